"""Events as frames of counts."""

import math
from collections.abc import Callable

import equinox as eqx
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Int32, Integer, UInt8

from ..functional._encoding import as_count
from ._events import Events, columns
from ._time_grid import as_grid


class Counts(eqx.Module):
    """Frames of the numbers of events, `(steps, polarities, height, width)` in int32, which holds as many as there can
    be."""

    def __call__(self, events: Events, step: Int32[Array, " capacity"], steps: int) -> Int32[Array, "steps p y x"]:
        """**Arguments:** `events`; `step`: that of each event, `steps` for those that are left out. **Returns:** the
        frames."""
        shape, cell = _cells(events, step, steps)
        return jnp.zeros(math.prod(shape), jnp.int32).at[cell].add(1, mode="drop").reshape(shape)


class Clipped(eqx.Module):
    """Frames of the numbers of events, `most` where there are more: `(steps, polarities, height, width)` in uint8."""

    most: int = eqx.field(static=True)

    def __check_init__(self):
        if as_count("data.Clipped", "most", self.most) > 255:
            raise ValueError(f"`data.Clipped`: `most` must be from 1 to 255, got {self.most}. Or use `data.Counts()`.")

    def __call__(self, events: Events, step: Int32[Array, " capacity"], steps: int) -> UInt8[Array, "steps p y x"]:
        """As `data.Counts`."""
        return jnp.minimum(Counts()(events, step, steps), self.most).astype(jnp.uint8)


class Binary(eqx.Module):
    """Frames of 1 where there is an event or more, of 0 elsewhere: `(steps, polarities, height, width)` in uint8."""

    def __call__(self, events: Events, step: Int32[Array, " capacity"], steps: int) -> UInt8[Array, "steps p y x"]:
        """As `data.Counts`."""
        shape, cell = _cells(events, step, steps)
        return jnp.zeros(math.prod(shape), jnp.uint8).at[cell].set(1, mode="drop").reshape(shape)


class Signed(eqx.Module):
    """Frames of the number of ON events less that of OFF events, `(steps, 1, height, width)` in int32."""

    def __call__(self, events: Events, step: Int32[Array, " capacity"], steps: int) -> Int32[Array, "steps 1 y x"]:
        """As `data.Counts`."""
        if events.sensor_size[2] == 1:
            raise ValueError("`data.Signed`: there is no sign where there is one polarity. Use `data.Counts()`.")
        shape, cell = _cells(events, step, steps, polarities=1)
        _, _, _, p = columns("data.Signed", events)
        sign = 2 * p - 1
        return jnp.zeros(math.prod(shape), jnp.int32).at[cell].add(sign, mode="drop").reshape(shape)


def bin_events(
    events: Events,
    steps: int,
    dt: int | None = None,
    *,
    start: ArrayLike | None = None,
    mode: Callable[[Events, Array, int], Array] = Counts(),
) -> tuple[Integer[Array, "steps channels height width"], Int32[Array, ""]]:
    """Events of one recording as frames.

        frames, outside = data.bin_events(events, 30, 10_000)                       # 30 steps of 10 ms
        frames, outside = data.bin_events(events, 30)                               # the recording in 30 equal parts
        frames, outside = data.bin_events(events, 30, mode=data.Clipped(3))
        frames = eqx.error_if(frames, outside > 0, "events outside of the frames")

    Step k holds the events from `start` + k·`dt` on, and before `start` + (k+1)·`dt`.

    **Arguments:**

    - `events`: one recording; a batch goes through `jax.vmap`.
    - `steps`: the number of frames, static under `jax.jit`.
    - `dt`: the length of a step in whole microseconds, static under `jax.jit`. Default: the time from `start` to the
        last event, in `steps` equal parts, to which an event belongs exactly.
    - `start`: when the first step begins, in microseconds, 0 or later; may be traced. Default: 0 with `dt`, the first
        event without.
    - `mode`: what frames tell: `data.Counts()` (default), `data.Clipped(most)`, `data.Binary()`, `data.Signed()`.

    **Returns:** the frames, whose channel 0 is OFF and channel 1 is ON; and how many events are in none of them, for
    they come before or after: refuse them by `eqx.error_if`, or leave them out.
    """
    _, _, t, _ = columns("data.bin_events", events)
    grid = as_grid("data.bin_events", events, steps, dt, start)
    step = grid.number(t)
    inside = events.valid & (step >= 0) & (step < grid.steps)
    frames = mode(events, jnp.where(inside, step, grid.steps), grid.steps)
    return frames, jnp.asarray(events.count) - inside.sum(dtype=jnp.int32)


def _cells(events: Events, step: Array, steps: int, polarities: int | None = None) -> tuple[tuple[int, ...], Array]:
    """The shape of the frames, and the number of the cell that each event falls into."""
    width, height, channels = events.sensor_size
    channels = channels if polarities is None else polarities
    shape = steps, channels, height, width
    if math.prod(shape) + channels * height * width > 2**31 - 1:
        raise ValueError(f"`data.bin_events`: frames of shape {shape} have too many cells, 2147483647 or more.")
    x, y, _, p = columns("data.bin_events", events)
    channel = step * channels + p if channels > 1 else step
    return shape, (channel * height + y) * width + x
