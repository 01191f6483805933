"""Surrogates that do not fade above the threshold as they do below."""

import jax.numpy as jnp
from jaxtyping import Array

from ..._parameter import REAL, acting
from ._slope import Parameter, Sloped, parameter_of, slope_of
from ._surrogate import AbstractSurrogate


class StraightThrough(AbstractSurrogate):
    r"""The gradient passes as if there were no step.

    $$h(x) = 1, \qquad H(x) = x$$

    Clipped to $|x| < w/2$ it is $w$ times `Boxcar(1 / w)`: `Boxcar(1.0)` is the one clipped to half a unit on each
    side.

    Source: Y. Bengio, N. Léonard and A. Courville 2013, arXiv:1308.3432.
    """

    def derivative(self, x: Array) -> Array:
        return jnp.ones_like(x)

    def antiderivative(self, x: Array) -> Array:
        return x


class LeakyStep(AbstractSurrogate):
    r"""1 where it spikes, and a little of it elsewhere.

    $$h(x) = \begin{cases} 1 & x \ge 0 \\ a & x < 0 \end{cases}, \qquad H(x) = h(x)\,x$$

    snnTorch's `LSO(slope=a)`; with $a = 0$ its `heaviside`, a gradient for what has fired alone.

    Source: J. Eshraghian et al. 2023, doi:10.1109/JPROC.2023.3308088.

    **Arguments:** `leak`: $a$, the derivative below the threshold, default 0.1.
    """

    leak: Parameter = parameter_of("LeakyStep", "leak", 0.1, REAL)

    def derivative(self, x: Array) -> Array:
        return jnp.where(x >= 0, jnp.ones((), x.dtype), acting(self.leak, x.dtype))

    def antiderivative(self, x: Array) -> Array:
        return self.derivative(x) * x


class LogTailed(Sloped):
    r"""1 from the threshold to $1/k$ above it, falling slowly from there; 0 below the threshold.

    $$h(x) = \begin{cases} 0 & kx < 0 \\ 1 & 0 \le kx \le 1 \\ 1/(kx) & kx > 1 \end{cases}, \qquad
    H(x) = \frac{\operatorname{clip}(kx, 0, 1) + \log\max(kx, 1)}{k}$$

    Source: Z. Cai et al. 2017 (the log-tailed ReLU), arXiv:1702.00953, with $k = 1$.
    """

    slope: Parameter = slope_of("LogTailed", 1.0)

    def derivative(self, x: Array) -> Array:
        return jnp.where(x < 0, jnp.zeros((), x.dtype), 1 / jnp.maximum(self._k(x) * x, 1))

    def antiderivative(self, x: Array) -> Array:
        k = self._k(x)
        return (jnp.clip(k * x, 0, 1) + jnp.log(jnp.maximum(k * x, 1))) / k
