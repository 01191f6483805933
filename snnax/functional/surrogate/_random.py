"""Surrogates that draw random numbers: for the spike, or for its gradient."""

import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, PRNGKeyArray

from ..._parameter import POSITIVE, REAL, acting
from ._bell import LogisticBell
from ._one_sided import LeakyStep
from ._slope import Parameter, parameter_of, slope_of
from ._surrogate import AbstractRandomSurrogate, AbstractSurrogate


class EscapeNoise(AbstractRandomSurrogate, LogisticBell):
    r"""Fires at random, more often the nearer the threshold, as if that had logistic noise.

    $$P(s = 1) = \sigma(kx), \qquad h(x) = k\,\sigma(kx)\,\sigma(-kx), \qquad H(x) = \sigma(kx)$$

    The gradient is that of the probability. At the threshold a neuron fires in half of the steps, and at rest, 1 below
    it, in $\sigma(-k)$ of them. `Relaxed(EscapeNoise(k))` gives the probability in place of the spike.

    It draws in inference too, so a network needs a key there as well, `eqx.nn.inference_mode` or not. One key for a
    whole batch gives all its examples the same noise: `jax.vmap(model, in_axes=(None, 0, 0))(states, xs, keys)` with
    `keys = jr.split(key, len(xs))`.

    Source: W. Gerstner et al., Neuronal Dynamics (2014), section 9.1; the gradient: G. Ma, R. Yan and H. Tang 2023,
    arXiv:2305.16044.
    """

    slope: Parameter = slope_of("EscapeNoise", 4.0)

    def draw(self, x: Array, key: PRNGKeyArray) -> AbstractSurrogate:
        # In float32 at least: the 8 bits of a bfloat16 would round the probability.
        dtype = x.dtype if jnp.finfo(x.dtype).bits >= 32 else jnp.float32
        return _Escape(self, jr.uniform(key, x.shape, dtype))


class _Escape(AbstractSurrogate):
    """One draw of `noise`: fires where the uniform number is below the probability."""

    noise: EscapeNoise
    uniform: Array

    def value(self, x: Array) -> Array:
        return (self.uniform < self.noise.antiderivative(x.astype(self.uniform.dtype))).astype(x.dtype)

    def derivative(self, x: Array) -> Array:
        return self.noise.derivative(x)

    def antiderivative(self, x: Array) -> Array:
        return self.noise.antiderivative(x)


class StochasticSpike(AbstractRandomSurrogate):
    r"""A step whose gradient is 1 where it spikes, and normal noise elsewhere.

    $$h(x) = \begin{cases} 1 & x \ge 0 \\ \xi \sim \mathcal{N}(\mu, \sigma^2) & x < 0 \end{cases}, \qquad
    H(x) = h(x)\,x$$

    The spike itself is not random; without the noise it is `LeakyStep(mean)`. snnTorch's `SSO`, whose noise is uniform:
    that of its default arguments, in [−0.1, 0.1), has the default mean and variance here.

    Source: J. Eshraghian et al. 2023, doi:10.1109/JPROC.2023.3308088.

    **Arguments:** `mean`: $\mu$, default 0. `variance`: $\sigma^2 > 0$, default 0.0033.
    """

    mean: Parameter = parameter_of("StochasticSpike", "mean", 0.0, REAL)
    variance: Parameter = parameter_of("StochasticSpike", "variance", 0.0033)

    def draw(self, x: Array, key: PRNGKeyArray) -> AbstractSurrogate:
        deviation = jnp.sqrt(acting(self.variance, x.dtype, POSITIVE))
        return LeakyStep(acting(self.mean, x.dtype) + deviation * jr.normal(key, x.shape, x.dtype))

    def derivative(self, x: Array) -> Array:
        return LeakyStep(self.mean).derivative(x)

    def antiderivative(self, x: Array) -> Array:
        return LeakyStep(self.mean).antiderivative(x)
