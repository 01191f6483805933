"""Surrogates that are largest at the threshold and fade on both sides."""

import jax
import jax.numpy as jnp
from jaxtyping import Array

from ._slope import Parameter, Sloped, slope_of


class SuperSpike(Sloped):
    r"""The derivative of a fast sigmoid, with peak 1 and area $2/k$.

    $$h(x) = \frac{1}{(1 + k |x|)^2}, \qquad H(x) = \frac{1}{k} + \frac{x}{1 + k |x|}$$

    Source: F. Zenke and S. Ganguli 2018, doi:10.1162/neco_a_01086 (with the square, which the original SNNAX lacked).
    """

    slope: Parameter = slope_of("SuperSpike", 10.0)

    def derivative(self, x: Array) -> Array:
        return 1 / (1 + self._k(x) * jnp.abs(x)) ** 2

    def antiderivative(self, x: Array) -> Array:
        k = self._k(x)
        return 1 / k + x / (1 + k * jnp.abs(x))


class LogisticBell(Sloped):
    """What `Sigmoid` and `EscapeNoise` share."""

    def derivative(self, x: Array) -> Array:
        k = self._k(x)
        return k * jax.nn.sigmoid(k * x) * jax.nn.sigmoid(-k * x)

    def antiderivative(self, x: Array) -> Array:
        return jax.nn.sigmoid(self._k(x) * x)


class Sigmoid(LogisticBell):
    r"""The derivative of the logistic function, with peak $k/4$ and area 1.

    $$h(x) = k\,\sigma(kx)\,\sigma(-kx), \qquad H(x) = \sigma(kx)$$

    Written as a product of two sigmoids it stays finite where $e^{k|x|}$ overflows.

    Source: E. Neftci, H. Mostafa and F. Zenke 2019, doi:10.1109/MSP.2019.2931595.
    """

    slope: Parameter = slope_of("Sigmoid", 4.0)


class Tanh(Sloped):
    r"""The derivative of a hyperbolic tangent, with peak $k/2$ and area 1.

    $$h(x) = \frac{k}{2 \cosh^2(kx)}, \qquad H(x) = \frac{1 + \tanh(kx)}{2}$$

    It is `Sigmoid(2k)`. Spyx's `tanh(k)` is this times $2/k$.

    Source: the hyperbolic tangent in place of the step, as in Spyx's `axn.tanh`, which lacks the factor $k$.
    """

    slope: Parameter = slope_of("Tanh", 2.0)

    def derivative(self, x: Array) -> Array:
        k = self._k(x)
        return 2 * k * jax.nn.sigmoid(2 * k * x) * jax.nn.sigmoid(-2 * k * x)

    def antiderivative(self, x: Array) -> Array:
        return (1 + jnp.tanh(self._k(x) * x)) / 2


class ArcTan(Sloped):
    r"""The derivative of an arc tangent, with peak $k/2$ and area 1.

    $$h(x) = \frac{k/2}{1 + (\pi k x / 2)^2}, \qquad H(x) = \frac{1}{2} + \frac{1}{\pi}\arctan\!\left(\frac{\pi k
    x}{2}\right)$$

    Source: W. Fang et al. 2021, arXiv:2007.05785. This is the form of snnTorch's `atan` and SpikingJelly's `ATan`.
    """

    slope: Parameter = slope_of("ArcTan", 2.0)

    def derivative(self, x: Array) -> Array:
        k = self._k(x)
        return (k / 2) / (1 + (jnp.pi / 2 * k * x) ** 2)

    def antiderivative(self, x: Array) -> Array:
        return 0.5 + jnp.arctan(jnp.pi / 2 * self._k(x) * x) / jnp.pi


class Exponential(Sloped):
    r"""An exponential on either side of the threshold, with peak $k/2$ and area 1.

    $$h(x) = \frac{k}{2}\,e^{-k|x|}, \qquad H(x) = \tfrac12 + \tfrac12 \operatorname{sign}(x)\,(1 - e^{-k|x|})$$

    The rate at which a noisy neuron escapes over its threshold, on both sides of it. snnTorch's `spike_rate_escape` has
    its peak at 1 above the threshold.

    Source: S. Shrestha and G. Orchard 2018 (SLAYER), arXiv:1810.08646.
    """

    slope: Parameter = slope_of("Exponential", 2.0)

    def derivative(self, x: Array) -> Array:
        k = self._k(x)
        return k / 2 * jnp.exp(-k * jnp.abs(x))

    def antiderivative(self, x: Array) -> Array:
        # One exponential for each side, of which the other is 0: both are bounded, and smooth at the threshold.
        k = self._k(x)
        return (1 + jnp.expm1(-k * jnp.maximum(-x, 0)) - jnp.expm1(-k * jnp.maximum(x, 0))) / 2
