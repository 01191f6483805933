"""Events between two frames, divided among both."""

import jax.numpy as jnp
from jaxtyping import Array, Float32

from ..functional._encoding import as_count
from ._events import Events, columns, first_and_last


def voxel_grid(events: Events, steps: int) -> Float32[Array, "steps 1 height width"]:
    r"""Signed events, divided between the two frames that are nearest in time.

    $$V_k(y, x) = \sum_i p_i \max(0, 1 - |k - t^*_i|), \qquad t^*_i = (B - 1) \frac{t_i - t_0}{t_N - t_0}$$

    over the events $i$ of a pixel, with $p_i = 1$ for ON and -1 for OFF (1 for all where there is one polarity), the
    times $t_0$ and $t_N$ of the first and the last event, and $B$ frames. If all events are at one time, they are in
    frame 0. The sum over frames is the number of ON less that of OFF events. On a GPU the order of the additions, and
    with it the last bits of the result, may differ from call to call.

    Source: A. Zhu, L. Yuan, K. Chaney and K. Daniilidis 2019, arXiv:1812.08156.

    **Arguments:** `events`: one recording; a batch goes through `jax.vmap`. `steps`: $B$, static under `jax.jit`.

    **Returns:** the grid, `(steps, 1, height, width)`, in float32.
    """
    owner = "data.voxel_grid"
    x, y, t, p = columns(owner, events)
    steps = as_count(owner, "steps", steps)
    width, height, polarities = events.sensor_size
    first, last = first_and_last(events)
    since, span = (time.astype(jnp.float32) for time in (t - first, jnp.maximum(last - first, 1)))
    at = (steps - 1) * (since / span)
    lower = jnp.floor(at)
    upper_share = at - lower
    lower = lower.astype(jnp.int32)
    sign = jnp.where(events.valid, 2 * p - 1 if polarities == 2 else 1, 0).astype(jnp.float32)
    grid = jnp.zeros((steps + 1, 1, height, width), jnp.float32)  # the last event has no share in the frame after it
    grid = grid.at[lower, 0, y, x].add(sign * (1 - upper_share)).at[lower + 1, 0, y, x].add(sign * upper_share)
    return grid[:steps]
