"""How long ago each pixel had its last event."""

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float32

from .._parameter import POSITIVE
from ..functional._encoding import as_number
from ._events import Events, columns
from ._time_grid import as_grid


def time_surface(
    events: Events, steps: int, dt: int | None = None, *, tau: int | float, start: ArrayLike | None = None
) -> Float32[Array, "steps polarities height width"]:
    r"""Exponential time surfaces at the end of every step.

    $$S_k(p, y, x) = \exp\left(-(T_k - t_{pyx}) / \tau\right)$$

    with the time $T_k$ at which step $k$ ends, and that of the last event of polarity $p$ in the pixel before it,
    $t_{pyx}$; 0 where there was none.

    Source: X. Lagorce, G. Orchard, F. Galluppi, B. Shi and R. Benosman 2017, doi:10.1109/TPAMI.2016.2574707.

    **Arguments:**

    - `events`: one recording; a batch goes through `jax.vmap`.
    - `steps`, `dt`, `start`: as in `data.bin_events`. Events before `start` have their part in all surfaces, those
        after the last step have none.
    - `tau`: $\tau$, the time constant in microseconds, positive.

    **Returns:** the surfaces, `(steps, polarities, height, width)`, in float32.
    """
    owner = "data.time_surface"
    x, y, t, p = columns(owner, events)
    grid = as_grid(owner, events, steps, dt, start)
    tau = as_number(owner, "tau", tau, POSITIVE)
    width, height, polarities = events.sensor_size
    step = jnp.where(events.valid, jnp.maximum(grid.number(t), 0), grid.steps)
    shape = grid.steps, polarities, height, width
    latest = jnp.full(shape, -1, jnp.int32).at[step, p, y, x].max(t, mode="drop")
    latest = jax.lax.cummax(latest)
    since = latest - grid.start
    end = grid.end(jnp.arange(grid.steps, dtype=jnp.int32))[:, None, None, None]
    # In two parts, as the time from an event long before `start` may not fit.
    ago = (end - jnp.maximum(since, 0)).astype(jnp.float32) - jnp.minimum(since, 0).astype(jnp.float32)
    return jnp.where(latest < 0, 0.0, jnp.exp(-ago / tau))
