"""How a recording is cut into steps."""

import equinox as eqx
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Int

from ..functional._encoding import as_count
from ._events import Events, as_whole, first_and_last

_MOST_PARTS = 46340  # its square is the largest below 2^31


class TimeGrid(eqx.Module):
    """Steps from `start` on: each of `dt` microseconds, or `steps` equal parts of `span` microseconds."""

    start: Array
    span: Array
    steps: int = eqx.field(static=True)
    dt: int | None = eqx.field(static=True)

    def number(self, t: Int[Array, "..."]) -> Int[Array, "..."]:
        """The number of the step that a time falls into; outside of 0 to `steps` - 1 for others."""
        since = t - self.start
        if self.dt is not None:
            return since // self.dt
        near = jnp.floor(since.astype(jnp.float32) * (self.steps / self.span.astype(jnp.float32))).astype(jnp.int32)
        near = jnp.where(since < self._begin(near), near - 1, near)
        return jnp.where(since >= self._begin(near + 1), near + 1, near)

    def end(self, number: Int[Array, "..."]) -> Int[Array, "..."]:
        """The time since `start` at which a step ends; an event at that time belongs to the next."""
        return self._begin(number + 1)

    def _begin(self, number):
        if self.dt is not None:
            return number * self.dt
        # number * span / steps, rounded up, of which the first product would not fit.
        whole, rest = self.span // self.steps, self.span % self.steps
        return number * whole + (number * rest + self.steps - 1) // self.steps


def as_grid(owner: str, events: Events, steps: int, dt: int | None, start: ArrayLike | None) -> TimeGrid:
    steps = as_count(owner, "steps", steps)
    first, last = first_and_last(events)
    if dt is not None:
        dt = as_count(owner, "dt", dt)
        if steps * dt > 2**31 - 1:
            raise ValueError(
                f"`{owner}`: {steps} steps of {dt} microseconds are longer than a recording can be, 35 minutes."
            )
        first = jnp.zeros((), jnp.int32)
    elif steps > _MOST_PARTS:
        raise ValueError(f"`{owner}`: a recording is cut into {_MOST_PARTS} parts at most, got {steps}. Give `dt`.")
    start = first if start is None else as_whole(owner, "start", start, 0)
    return TimeGrid(start, jnp.maximum(last - start + 1, 1), steps, dt)
