"""Spikes other than 0 and 1, made of a surrogate at each of several thresholds."""

from collections.abc import Callable

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array

from ..._parameter import POSITIVE, acting
from ._bell import SuperSpike
from ._slope import Parameter, parameter_of
from ._surrogate import AbstractRandomSurrogate, AbstractSurrogate, check_single


def _check_inner(owner: str, surrogate: object) -> None:
    check_single(owner, surrogate)
    if isinstance(surrogate, AbstractRandomSurrogate):
        raise ValueError(
            f"`surrogate.{owner}`: `surrogate.{type(surrogate).__name__}` draws random numbers, and one draw cannot "
            "serve several thresholds. Give it a surrogate that draws none."
        )


class Ternary(AbstractSurrogate):
    r"""Spikes of both signs: 1 at the threshold, and −1 at another that lies lower by a gap $g$.

    $$s = [x \ge 0] - [-g - x \ge 0], \qquad h(x) = h_1(x) + h_1(-g - x), \qquad H(x) = H_1(x) - H_1(-g - x)$$

    where $h_1$ and $H_1$ are those of the surrogate of one threshold. For a threshold $\theta$ and a potential that
    rests at 0, $g = 2\theta$ makes the neuron symmetric. Both spikes take the potential back: `ResetToValue` acts on
    each, and `SubtractReset` subtracts the threshold times the spike, so that −1 adds it.

    With $g \le \theta$ a neuron at rest would fire in every step, which is refused where both are numbers.

    Source: Y. Guo et al. 2024, arXiv:2312.06372.

    **Arguments:** `surrogate`: that of one threshold, default `SuperSpike()`. `gap`: $g > 0$, in units of the
    potential, default 2.
    """

    surrogate: AbstractSurrogate = SuperSpike()
    gap: Parameter = parameter_of("Ternary", "gap", 2.0)

    def __check_init__(self):
        _check_inner("Ternary", self.surrogate)

    def check_neuron(self, owner: str, height: float | None, refractory: int) -> None:
        self.surrogate.check_neuron(owner, height, refractory)
        if height is not None and isinstance(self.gap, float) and self.gap <= height:
            raise ValueError(
                f"`{owner}`: with a threshold that lies {height:g} above the rest, "
                f"`surrogate.Ternary(gap={self.gap:g})` fires -1 at rest, in every step. Give a larger `gap`: "
                f"`surrogate.Ternary(gap={2 * height:g})` makes the neuron symmetric."
            )

    def _below(self, x: Array) -> Array:
        return -acting(self.gap, x.dtype, POSITIVE) - x

    def value(self, x: Array) -> Array:
        return self.surrogate.value(x) - self.surrogate.value(self._below(x))

    def derivative(self, x: Array) -> Array:
        return self.surrogate.derivative(x) + self.surrogate.derivative(self._below(x))

    def antiderivative(self, x: Array) -> Array:
        return self.surrogate.antiderivative(x) - self.surrogate.antiderivative(self._below(x))

    def fired(self, spike: Array, x: Array) -> Array:
        """$|s|$, with the gradient $h_1(x) - h_1(-g - x)$."""
        del spike
        return self.surrogate(x) + self.surrogate(self._below(x))


class MultiLevel(AbstractSurrogate):
    r"""Spikes that count how many levels the potential has reached, at most $n$: several spikes in one step.

    $$s = \sum_{j=0}^{n-1} [x - jd \ge 0] = \operatorname{clip}(\lfloor x/d \rfloor + 1, 0, n), \qquad
    h(x) = \sum_{j=0}^{n-1} h_1(x - jd), \qquad H(x) = \sum_{j=0}^{n-1} H_1(x - jd)$$

    where $h_1$ and $H_1$ are those of the surrogate of one level. With `SubtractReset` and $d = \theta$, what is left
    of the potential is below the threshold; `ResetToValue` acts once, whatever the number.

    Source: L. Feng et al. 2022, arXiv:2210.06386; X. Luo et al. 2024, arXiv:2407.20708.

    **Arguments:** `levels`: $n$, 1 or more. `surrogate`: that of one level, default `SuperSpike()`. `step`: $d > 0$,
    the distance of two levels, in units of the potential, default 1.
    """

    levels: int = eqx.field(static=True)
    surrogate: AbstractSurrogate = SuperSpike()
    step: Parameter = parameter_of("MultiLevel", "step", 1.0)

    def __check_init__(self):
        if not isinstance(self.levels, int) or isinstance(self.levels, bool) or self.levels < 1:
            raise ValueError(
                f"`surrogate.MultiLevel`: `levels` must be a whole number, 1 or more, got {self.levels!r}."
            )
        _check_inner("MultiLevel", self.surrogate)

    def check_neuron(self, owner: str, height: float | None, refractory: int) -> None:
        self.surrogate.check_neuron(owner, height, refractory)

    def _over_levels(self, function: Callable[[Array], Array], x: Array) -> Array:
        levels = jnp.arange(self.levels, dtype=x.dtype).reshape(-1, *[1] * x.ndim)
        return jnp.sum(function(x - levels * acting(self.step, x.dtype, POSITIVE)), axis=0)

    def value(self, x: Array) -> Array:
        return self._over_levels(self.surrogate.value, x)

    def derivative(self, x: Array) -> Array:
        return self._over_levels(self.surrogate.derivative, x)

    def antiderivative(self, x: Array) -> Array:
        return self._over_levels(self.surrogate.antiderivative, x)

    def fired(self, spike: Array, x: Array) -> Array:
        """$\\min(s, 1)$, with the gradient $h_1(x)$ of the first level."""
        del spike
        return self.surrogate(x)
