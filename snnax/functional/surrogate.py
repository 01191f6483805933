r"""Surrogate gradients: the derivative that stands in for that of the spike.

A surrogate is called on $x = v - \theta$, the distance of the potential from the threshold. Its value is the step
$[x \ge 0]$, so a potential that *reaches* the threshold fires; its derivative is a function $h(x)$ given by the class.
Every $h$ is the derivative of a smooth function $H$, the `antiderivative`: the relaxed spike whose exact gradient is
the surrogate gradient (Neftci, Mostafa and Zenke 2019, doi:10.1109/MSP.2019.2931595).

The value and the gradient keep the dtype of $x$. All surrogates share one `custom_jvp`, so they work under `jvp`,
`vjp`, `vmap`, `jit` and when differentiated again.

A `slope` that is an array is trained: its gradient is that of the antiderivative, $\partial H / \partial k$.
"""

import abc
from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Inexact, PRNGKeyArray

from .._parameter import POSITIVE, acting, as_parameter


class AbstractSurrogate(eqx.Module):
    """What a surrogate is: `derivative` $h$ and `antiderivative` $H$, with $h = H'$."""

    @abc.abstractmethod
    def derivative(self, x: Array) -> Array:
        """The surrogate derivative $h(x)$, elementwise."""

    @abc.abstractmethod
    def antiderivative(self, x: Array) -> Array:
        """A function $H$ with $H' = h$, elementwise."""

    def value(self, x: Array) -> Array:
        """What a call returns: the step $[x \\ge 0]$."""
        return (x >= 0).astype(x.dtype)

    def fired(self, spike: Array) -> Array:
        """1 for what fired, from what a call returned: the spike itself where that is 0 or 1."""
        return spike

    def __call__(self, x: Inexact[Array, "..."] | float) -> Inexact[Array, "..."]:
        """**Arguments:** `x`: the potential minus the threshold, of any shape and floating dtype.

        **Returns:** 1 where `x >= 0` and 0 elsewhere, in the shape and dtype of `x`.
        """
        return _spike((self, jnp.asarray(x)))


@eqx.filter_custom_jvp
def _spike(surrogate_and_x):
    surrogate, x = surrogate_and_x
    return surrogate.value(jnp.asarray(x))


@_spike.def_jvp
def _spike_jvp(primals, tangents):
    ((surrogate, x),) = primals
    ((surrogate_tangent, x_tangent),) = tangents
    x = jnp.asarray(x)
    out = surrogate.value(x)
    tangent = jnp.zeros_like(out)
    if x_tangent is not None:
        tangent = tangent + surrogate.derivative(x) * x_tangent
    if any(t is not None for t in jax.tree.leaves(surrogate_tangent)):
        _, of_parameters = eqx.filter_jvp(lambda s: s.antiderivative(x), (surrogate,), (surrogate_tangent,))
        if of_parameters is not None:  # `None` where all of them are `Fixed`
            tangent = tangent + of_parameters
    return out, tangent.astype(out.dtype)


class AbstractRandomSurrogate(AbstractSurrogate):
    """A surrogate that draws random numbers, and is called with a key: `draw` gives the surrogate of one call."""

    @abc.abstractmethod
    def draw(self, x: Array, key: PRNGKeyArray) -> AbstractSurrogate:
        """The surrogate of one call on `x`, with its random numbers drawn."""

    def __call__(self, x: Inexact[Array, "..."] | float, *, key: PRNGKeyArray) -> Inexact[Array, "..."]:
        """**Arguments:** `x`: the potential minus the threshold, of any shape and floating dtype; `key`: of this call.

        **Returns:** what the drawn surrogate gives, in the shape and dtype of `x`.
        """
        x = jnp.asarray(x)
        return self.draw(x, key)(x)


def emit(spike_fn: Callable[..., Array], x: Array, key: PRNGKeyArray | None = None) -> tuple[Array, Array]:
    """What neurons give at the distance `x` from their threshold, and 1 for each that fired.

    **Arguments:** `spike_fn`: a surrogate or a function of one array; `key`: for an `AbstractRandomSurrogate`.
    """
    if not isinstance(spike_fn, AbstractRandomSurrogate):
        spike = spike_fn(x)
    elif key is None:
        raise ValueError(
            f"`surrogate.{type(spike_fn).__name__}` draws random numbers and needs a key: `model(states, xs, key)`."
        )
    else:
        spike = spike_fn(x, key=key)
    return spike, spike_fn.fired(spike) if isinstance(spike_fn, AbstractSurrogate) else spike


class _Sloped(AbstractSurrogate):
    slope: eqx.AbstractVar[float | Array]

    def _k(self, x: Array) -> Array:
        return acting(self.slope, x.dtype, POSITIVE)


def _slope_field(owner: str, default: float):
    def to_slope(slope):
        return as_parameter(f"surrogate.{owner}", "slope", slope, POSITIVE)

    return eqx.field(default=default, converter=to_slope, metadata={"interval": POSITIVE})


class SuperSpike(_Sloped):
    r"""The derivative of a fast sigmoid.

    $$h(x) = \frac{1}{(1 + k |x|)^2}, \qquad H(x) = \frac{x}{1 + k |x|}$$

    Source: F. Zenke and S. Ganguli 2018, doi:10.1162/neco_a_01086 (with the square, which the original SNNAX lacked).
    """

    slope: float | Array = _slope_field("SuperSpike", 10.0)

    def derivative(self, x: Array) -> Array:
        return 1 / (1 + self._k(x) * jnp.abs(x)) ** 2

    def antiderivative(self, x: Array) -> Array:
        return x / (1 + self._k(x) * jnp.abs(x))


class Sigmoid(_Sloped):
    r"""The derivative of the logistic function.

    $$h(x) = k\,\sigma(kx)\,\sigma(-kx), \qquad H(x) = \sigma(kx)$$

    Written as a product of two sigmoids it stays finite where $e^{k|x|}$ overflows.

    Source: E. Neftci, H. Mostafa and F. Zenke 2019, doi:10.1109/MSP.2019.2931595.
    """

    slope: float | Array = _slope_field("Sigmoid", 4.0)

    def derivative(self, x: Array) -> Array:
        k = self._k(x)
        return k * jax.nn.sigmoid(k * x) * jax.nn.sigmoid(-k * x)

    def antiderivative(self, x: Array) -> Array:
        return jax.nn.sigmoid(self._k(x) * x)


class ArcTan(_Sloped):
    r"""The derivative of an arc tangent, with peak $k/2$.

    $$h(x) = \frac{k/2}{1 + (\pi k x / 2)^2}, \qquad H(x) = \frac{1}{\pi}\arctan\!\left(\frac{\pi k x}{2}\right)$$

    Source: W. Fang et al. 2021, arXiv:2007.05785. This is the form of snnTorch's `atan` and SpikingJelly's `ATan`.
    """

    slope: float | Array = _slope_field("ArcTan", 2.0)

    def derivative(self, x: Array) -> Array:
        k = self._k(x)
        return (k / 2) / (1 + (jnp.pi / 2 * k * x) ** 2)

    def antiderivative(self, x: Array) -> Array:
        return jnp.arctan(jnp.pi / 2 * self._k(x) * x) / jnp.pi


class Triangular(_Sloped):
    r"""A triangle of height 1 and half-width $1/k$.

    $$h(x) = \max(0, 1 - k|x|), \qquad H(x) = u - \tfrac{k}{2}\,u|u|, \quad u = \operatorname{clip}(x, -1/k, 1/k)$$

    Source: S. Esser et al. 2016, doi:10.1073/pnas.1604850113; G. Bellec et al. 2018, arXiv:1803.09574.
    """

    slope: float | Array = _slope_field("Triangular", 1.0)

    def derivative(self, x: Array) -> Array:
        return jnp.maximum(1 - self._k(x) * jnp.abs(x), 0)

    def antiderivative(self, x: Array) -> Array:
        k = self._k(x)
        u = jnp.clip(x, -1 / k, 1 / k)
        return u - k / 2 * u * jnp.abs(u)


class Boxcar(_Sloped):
    r"""A box of height $k$ and width $1/k$, whose area is 1 for every slope.

    $$h(x) = k\,\big[|x| < \tfrac{1}{2k}\big], \qquad H(x) = \operatorname{clip}(kx, -\tfrac12, \tfrac12)$$

    Source: Y. Wu et al. 2018 ("rectangular"), doi:10.3389/fnins.2018.00331.
    """

    slope: float | Array = _slope_field("Boxcar", 1.0)

    def derivative(self, x: Array) -> Array:
        k = self._k(x)
        return jnp.where(jnp.abs(x) < 1 / (2 * k), k, jnp.zeros((), x.dtype))

    def antiderivative(self, x: Array) -> Array:
        return jnp.clip(self._k(x) * x, -0.5, 0.5)


class Custom(AbstractSurrogate):
    """A surrogate from any derivative, and, if asked, from any value in place of the step.

        surrogate.Custom(lambda x: jnp.exp(-(x**2)))

    trains as a Gaussian surrogate. With `primal`, the value is no step at all:

        s = surrogate.Sigmoid(4.0)
        surrogate.Custom(s.derivative, primal=s.antiderivative)

    is the smooth twin of `s`, whose gradient finite differences can see.
    """

    derivative_fn: Callable
    primal_fn: Callable | None

    def __init__(self, derivative: Callable[[Array], Array], *, primal: Callable[[Array], Array] | None = None):
        """**Arguments:**

        - `derivative`: the derivative $h$, an elementwise function that keeps the dtype.
        - `primal`: replaces the step $[x \\ge 0]$ as the value. Default: the step.
        """
        for name, function in (("derivative", derivative), ("primal", primal)):
            if not callable(function) and not (name == "primal" and function is None):
                raise TypeError(f"`surrogate.Custom`: `{name}` must be a function of one array, got {function!r}.")
        self.derivative_fn = derivative
        self.primal_fn = primal

    def value(self, x: Array) -> Array:
        return (x >= 0).astype(x.dtype) if self.primal_fn is None else self.primal_fn(x)

    def derivative(self, x: Array) -> Array:
        return self.derivative_fn(x)

    def antiderivative(self, x: Array) -> Array:
        """Raises `TypeError`: a derivative alone does not say how its integral depends on its parameters."""
        raise TypeError(
            "`surrogate.Custom` was made from a derivative alone, so its parameters cannot be trained. Give them as "
            "Python numbers (constants), or write a subclass of `surrogate.AbstractSurrogate` with an "
            "`antiderivative`."
        )
