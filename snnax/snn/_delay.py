"""Delays: what goes in comes out some steps later."""

from collections.abc import Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, PRNGKeyArray

from .._parameter import Fixed, Interval, acting, as_parameter, check_shapes, parameter
from ._filter import Parameter
from ._layer import StatefulLayer


class Delay(StatefulLayer):
    r"""Gives at step $t$ what it was given at step $t - d$, and zeros before.

    Whole numbers are constants: one for all (`snn.Delay(3)`) or one for each channel or neuron
    (`snn.Delay([0, 3, 5])`). A floating array is trained; between whole steps the signal is interpolated:

    $$y_t = (1 - f)\,x_{t - \lfloor d \rfloor} + f\,x_{t - \lfloor d \rfloor - 1}, \qquad f = d - \lfloor d \rfloor$$

    so that $\partial y_t / \partial d$ is the difference of the two. A trained delay acts, and is projected by
    `snn.project`, within $[0, d_\max]$.

    Source: S. Shrestha and G. Orchard 2018, arXiv:1810.08646; I. Hammouamri et al. 2023, arXiv:2306.17670.
    """

    max_delay: int = eqx.field(static=True)
    delay: np.ndarray | Parameter = parameter(lambda layer: _interval(layer.max_delay))

    def __init__(self, delay: int | Sequence[int] | np.ndarray | Array | Fixed, *, max_delay: int | None = None):
        r"""**Arguments:**

        - `delay`: $d$ in time steps, 0 or more: whole numbers (constants) or a floating array (trained; `snn.Fixed` of
            one is not). An array must broadcast to the shape of the input, such as `(channels, 1, 1)`.
        - `max_delay`: $d_\max$, the longest that a delay may become; the state holds so many steps. Default: the
            longest given, rounded up.
        """
        if isinstance(delay, float):
            delay = jnp.asarray(delay)
        trained = isinstance(delay, Fixed) or eqx.is_inexact_array(delay)
        values = jax.tree.leaves(delay)[0] if trained else np.asarray(delay)
        if not trained and (values.dtype.kind not in "iu" or values.size == 0):
            raise TypeError(f"`snn.Delay`: `delay` must be whole numbers or a floating array, got {delay!r}.")
        if max_delay is None and isinstance(values, Tracer):
            raise ValueError("`snn.Delay`: a traced `delay` does not tell its size. Give `max_delay`.")
        self.max_delay = int(np.ceil(values.max())) if max_delay is None else max_delay
        interval = _interval(self.max_delay)
        if not trained and not interval.holds(values):
            raise ValueError(f"`snn.Delay`: `delay` must be in {interval}, got {delay}. {interval.remedy}")
        self.delay = as_parameter("snn.Delay", "delay", delay, interval) if trained else values

    def init_state(self, in_shape: Sequence[int], key: PRNGKeyArray | None = None) -> Array:
        """The last `max_delay` inputs, the oldest first: zeros."""
        check_shapes("snn.Delay", self, tuple(in_shape))
        return jnp.zeros((self.max_delay, *in_shape))

    def __call__(self, state: Array, x: Array, *, key: PRNGKeyArray | None = None) -> tuple[Array, Array]:
        """**Arguments:** `x`: the input, of any shape. **Returns:** the new state, and the delayed input, of the shape
        and dtype of `x`.
        """
        state, outs = self.over_time(state, jnp.asarray(x)[None])
        return state, outs[0]

    def over_time(self, state: Array, xs: Array, *, keys: Array | None = None) -> tuple[Array, Array]:
        """All steps at once, by looking up. **Arguments** and **returns** as for every layer."""
        line = jnp.concatenate([state, jnp.asarray(xs).astype(state.dtype)])
        steps = xs.shape[0]
        if isinstance(self.delay, np.ndarray):
            outs = self._look_up(line, steps, self.delay)
        else:
            delay = acting(self.delay, state.dtype, _interval(self.max_delay))
            floor = jnp.floor(jax.lax.stop_gradient(delay))
            fraction = delay - floor
            early = self._look_up(line, steps, floor.astype(jnp.int32))
            late = self._look_up(line, steps, jnp.minimum(floor.astype(jnp.int32) + 1, self.max_delay))
            outs = (1 - fraction) * early + fraction * late
        out = outs.astype(xs.dtype) if jnp.issubdtype(xs.dtype, jnp.inexact) else outs
        return line[steps:], out

    def _look_up(self, line: Array, steps: int, delay: Array | np.ndarray) -> Array:
        """The line `delay` steps before each of the last `steps`."""
        if delay.ndim == 0:
            return jax.lax.dynamic_slice_in_dim(line, self.max_delay - delay, steps)
        delay = jnp.broadcast_to(jnp.asarray(delay), line.shape[1:])
        when = self.max_delay + jnp.arange(steps).reshape(-1, *(1,) * delay.ndim) - delay
        return jnp.take_along_axis(line, when, axis=0)


def _interval(max_delay: int) -> Interval:
    return Interval(0.0, float(max_delay), f"The longest that fits is `max_delay={max_delay}`.")
