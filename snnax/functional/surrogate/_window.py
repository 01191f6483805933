"""Surrogates that are zero outside a window around the threshold."""

import jax.numpy as jnp
from jaxtyping import Array

from ..._parameter import POSITIVE, acting
from ._slope import Parameter, Sloped, parameter_of, slope_of


class Triangular(Sloped):
    r"""A triangle of height 1, half-width $1/k$ and area $1/k$.

    $$h(x) = \max(0, 1 - k|x|), \qquad H(x) = \tfrac{1}{2k} + u - \tfrac{k}{2}\,u|u|, \quad u =
    \operatorname{clip}(x, -1/k, 1/k)$$

    Source: S. Esser et al. 2016, doi:10.1073/pnas.1604850113; G. Bellec et al. 2018, arXiv:1803.09574.
    """

    slope: Parameter = slope_of("Triangular", 1.0)

    def derivative(self, x: Array) -> Array:
        return jnp.maximum(1 - self._k(x) * jnp.abs(x), 0)

    def antiderivative(self, x: Array) -> Array:
        k = self._k(x)
        u = jnp.clip(x, -1 / k, 1 / k)
        return 1 / (2 * k) + u - k / 2 * u * jnp.abs(u)


class Boxcar(Sloped):
    r"""A box of height $k$ and width $1/k$, whose area is 1 for every slope.

    $$h(x) = k\,\big[|x| < \tfrac{1}{2k}\big], \qquad H(x) = \operatorname{clip}(kx + \tfrac12, 0, 1)$$

    Source: Y. Wu et al. 2018 ("rectangular"), doi:10.3389/fnins.2018.00331.
    """

    slope: Parameter = slope_of("Boxcar", 1.0)

    def derivative(self, x: Array) -> Array:
        k = self._k(x)
        return jnp.where(jnp.abs(x) < 1 / (2 * k), k, jnp.zeros((), x.dtype))

    def antiderivative(self, x: Array) -> Array:
        return jnp.clip(self._k(x) * x + 0.5, 0, 1)


class SparseFastSigmoid(Sloped):
    r"""`SuperSpike` inside a window of half-width $w$, so that neurons far from their threshold get no gradient.

    $$h(x) = \frac{[|x| < w]}{(1 + k |x|)^2}, \qquad H(x) = \frac{u}{1 + k |u|} + \frac{w}{1 + k w}, \quad u =
    \operatorname{clip}(x, -w, w)$$

    snnTorch's `SFS`, whose window is that above $w$.

    Source: N. Perez-Nieves and D. Goodman 2021, arXiv:2105.08810.

    **Arguments:** `slope`: $k > 0$, default 10. `window`: $w > 0$, in units of the potential, default 1.
    """

    slope: Parameter = slope_of("SparseFastSigmoid", 10.0)
    window: Parameter = parameter_of("SparseFastSigmoid", "window", 1.0)

    def _w(self, x: Array) -> Array:
        return acting(self.window, x.dtype, POSITIVE)

    def derivative(self, x: Array) -> Array:
        inside = jnp.abs(x) < self._w(x)
        return jnp.where(inside, 1 / (1 + self._k(x) * jnp.abs(x)) ** 2, jnp.zeros((), x.dtype))

    def antiderivative(self, x: Array) -> Array:
        k, w = self._k(x), self._w(x)
        u = jnp.clip(x, -w, w)
        return u / (1 + k * jnp.abs(u)) + w / (1 + k * w)
