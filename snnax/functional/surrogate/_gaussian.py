"""Surrogates made of Gaussians."""

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array

from ..._parameter import POSITIVE, REAL, acting
from ._slope import Parameter, Sloped, parameter_of, slope_of


def _density(z: Array) -> Array:
    return jnp.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)


def _distribution(z: Array) -> Array:
    return jax.lax.erfc(-z / math.sqrt(2)) / 2


class Gaussian(Sloped):
    r"""The density of a normal distribution of width $\sigma = 1/k$, with peak $k/\sqrt{2\pi}$ and area 1.

    $$h(x) = k\,\varphi(kx), \qquad H(x) = \Phi(kx) = \tfrac12 \big(1 + \operatorname{erf}(kx/\sqrt2)\big)$$

    where $\varphi$ and $\Phi$ are the density and the distribution function of the standard normal distribution.
    SpikingJelly's `Erf(alpha)` is this with $k = \sqrt2\,\alpha$.

    Source: B. Yin, F. Corradi and S. Bohté 2021, doi:10.1038/s42256-021-00397-w, with $\sigma = 0.5$.
    """

    slope: Parameter = slope_of("Gaussian", 2.0)

    def derivative(self, x: Array) -> Array:
        k = self._k(x)
        return k * _density(k * x)

    def antiderivative(self, x: Array) -> Array:
        return _distribution(self._k(x) * x)


class MultiGaussian(Sloped):
    r"""A Gaussian of width $\sigma = 1/k$ with a wider one taken off on either side, so that it is negative far away.

    $$h(x) = k\,\Big[(1+a)\,\varphi(kx) - \tfrac{a}{b}\,\varphi\big(\tfrac{kx-1}{b}\big) -
    \tfrac{a}{b}\,\varphi\big(\tfrac{kx+1}{b}\big)\Big]$$
    $$H(x) = (1+a)\,\Phi(kx) - a\,\Phi\big(\tfrac{kx-1}{b}\big) - a\,\Phi\big(\tfrac{kx+1}{b}\big)$$

    Its area is $1 - a$. The authors' programs multiply it by 0.5.

    Source: B. Yin, F. Corradi and S. Bohté 2021, doi:10.1038/s42256-021-00397-w.

    **Arguments:** `slope`: $k > 0$, default 2. `height`: $a$, of the side lobes, default 0.15. `width`: $b > 0$, theirs
    in units of $\sigma$, default 6.
    """

    slope: Parameter = slope_of("MultiGaussian", 2.0)
    height: Parameter = parameter_of("MultiGaussian", "height", 0.15, REAL)
    width: Parameter = parameter_of("MultiGaussian", "width", 6.0)

    def _lobes(self, x: Array) -> tuple[Array, Array]:
        return acting(self.height, x.dtype), acting(self.width, x.dtype, POSITIVE)

    def derivative(self, x: Array) -> Array:
        k, (a, b) = self._k(x), self._lobes(x)
        u = k * x
        return k * ((1 + a) * _density(u) - a / b * (_density((u - 1) / b) + _density((u + 1) / b)))

    def antiderivative(self, x: Array) -> Array:
        u, (a, b) = self._k(x) * x, self._lobes(x)
        return (1 + a) * _distribution(u) - a * (_distribution((u - 1) / b) + _distribution((u + 1) / b))
