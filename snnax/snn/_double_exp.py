"""Leaky integrate-and-fire neurons with a synaptic current that rises and falls."""

from collections.abc import Callable, Sequence
from typing import Unpack

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray

from .._parameter import DECAY, acting, as_parameter, parameter
from ._filter import Gain, Parameter, UnityGain, as_decays, as_gains, leaky, leaky_over_time, split
from ._spiking import Firing, SpikingLayer, in_activation_dtype, in_state_dtype

_BITS = 12
"""The binary digits of the longest time to a peak, in steps."""


def _peak(beta: Array, rho: Array) -> Array:
    r"""The largest $k_n = \sum_{m=1}^{n} \beta^{n-m} \rho^{m-1}$, the response of two filters in a row to an impulse.

    It grows while $(\rho / \beta)^n (1 - \rho) \ge 1 - \beta$, which gives $n$. Its value is built up from the binary
    digits of $n$ by sums and products alone, so that it and its gradient are those of equal decays where they are
    equal.
    """
    slow, fast = jax.lax.stop_gradient((jnp.maximum(beta, rho), jnp.minimum(beta, rho)))
    tiny = jnp.finfo(beta.dtype).tiny
    apart = jnp.maximum(slow - fast, 1e-12)
    grows = jnp.log1p(apart / jnp.maximum(1 - slow, 1e-7)) / jnp.log1p(apart / jnp.maximum(fast, tiny))
    n = 1 + jnp.minimum(grows, 2.0**_BITS - 2).astype(jnp.int32)
    k, beta_n, rho_n = jnp.zeros_like(slow), jnp.ones_like(slow), jnp.ones_like(slow)
    for bit in reversed(range(_BITS)):
        k, beta_n, rho_n = k * (beta_n + rho_n), beta_n**2, rho_n**2
        odd = (n >> bit) % 2 == 1
        k = jnp.where(odd, beta * k + rho_n, k)
        beta_n, rho_n = jnp.where(odd, beta * beta_n, beta_n), jnp.where(odd, rho * rho_n, rho_n)
    return k


class DoubleExpState(eqx.Module):
    """The state of `DoubleExpLIF`: the potential `v`, the current `i`, its own input `rise` and the `countdown`."""

    v: Array
    i: Array
    rise: Array
    countdown: Array | None


class DoubleExpLIF(SpikingLayer):
    r"""Leaky integrate-and-fire neurons with a double-exponential synaptic current, which rises and then falls.

    $$r_t = \rho\,r_{t-1} + x_t, \qquad i_t = \beta\,i_{t-1} + \frac{g_i}{k}\,r_t, \qquad v_t = v_0 + \alpha\,(v_{t-1} -
    v_0) + g_v\,i_t, \qquad s_t = [v_t \ge \theta]$$

    after which `reset` acts on $v_t$; the currents go on. An input of 1 makes the current

    $$\frac{g_i}{k} \sum_{m=0}^{n} \beta^{n-m} \rho^m = \frac{g_i}{k}\,\frac{\beta^{n+1} - \rho^{n+1}}{\beta - \rho}$$

    $n$ steps later, and $k$ is the largest of these sums: the current peaks at $g_i$, for equal decays too, where it is
    the alpha function $(n + 1)\,\beta^n$. (The peak is looked for in the first 4095 steps.)

    With $\alpha = 0$ the potential itself is the double exponential, as in snnTorch's `Alpha`, which is 0 in the step
    of the input and needs decays that differ. Without a spike: `snn.LI([beta, rho])`, up to the factor.

    Source: A. Roth and M. van Rossum 2009, Modeling synapses, in Computational Modeling Methods for Neuroscientists.
    """

    decay_constants: tuple[Parameter, ...] = parameter(DECAY)
    gain: tuple[Gain, ...] = parameter()
    rest: Parameter = parameter()

    def __init__(
        self,
        decay_constants: Sequence[Parameter | Callable],
        shape: Sequence[int] | None = None,
        *,
        gain: Gain | Callable | Sequence[Gain | Callable] = 1.0,
        rest: Parameter | Callable = 0.0,
        key: PRNGKeyArray | None = None,
        **firing: Unpack[Firing],
    ):
        r"""**Arguments:**

        - `decay_constants`: $[\alpha, \beta, \rho]$, the decays of the potential, of the current and of its rise per
            time step, in [0, 1]; from time constants by `snn.decay(tau, dt)`. The last two may be exchanged. Of each: a
            number is a constant, an array is trained, an initialiser `(key, shape, dtype)` draws one for each neuron.
        - `shape`, `key`: the shape of one example and a key, for arguments that are initialisers.
        - `gain`: $g$ for both, or $[g_v, g_i]$; `snn.UnityGain()` for $g_v = 1 - \alpha$ and for $g_i / k = (1 -
            \beta)(1 - \rho)$, with which the current of an input sums to 1 over time. Default 1.
        - `rest`: $v_0$, the potential to which the neuron decays. Default 0.
        - `threshold`, `reset`, `refractory`, `spike_fn`, `init_fn`: see `snn.SpikingLayer`.
        """
        owner = "snn.DoubleExpLIF"
        keys = split(key, 4)
        names = ["membrane", "fall of the current", "rise of the current"]
        self.decay_constants = as_decays(owner, decay_constants, names, shape=shape, key=keys[0])
        self.gain = as_gains(owner, gain, ["membrane", "synapse"], shape=shape, key=keys[1])
        self.rest = as_parameter(owner, "rest", rest, shape=shape, key=keys[2])
        super().__init__(shape=shape, key=keys[3], **firing)

    def init_state(self, in_shape: Sequence[int], key: PRNGKeyArray | None = None) -> DoubleExpState:
        """The state at rest and without current, for inputs of any shape `in_shape`."""
        v = self.init_potential(in_shape, key, self.rest)
        return DoubleExpState(v, jnp.zeros_like(v), jnp.zeros_like(v), self.init_countdown(in_shape))

    def __call__(
        self, state: DoubleExpState, x: Array, *, key: PRNGKeyArray | None = None
    ) -> tuple[DoubleExpState, Array]:
        """**Arguments:** `x`: the input, of the shape of the layer; `key`: for a `spike_fn` that draws.

        **Returns:** the new state, and the spikes, of the shape and dtype of `x`.
        """
        r, i, v = self._filtered(leaky, state, x)
        spike, v, countdown = self.fire(v, state.v, state.countdown, key=key)
        return DoubleExpState(v, i, r, countdown), in_activation_dtype(spike, x)

    def in_parallel(
        self, state: DoubleExpState, xs: Array, *, keys: Array | None = None
    ) -> tuple[DoubleExpState, Array]:
        """All steps at once, as `over_time`; see `snn.Associative`."""
        r, i, v = self._filtered(leaky_over_time, state, xs)
        return DoubleExpState(v[-1], i[-1], r[-1], None), in_activation_dtype(self.fire_at_once(v, keys), xs)

    def synaptic_gains(self, dtype) -> tuple[Gain, Gain]:
        """The gains of the two filters that make the current: of its rise, and of its fall."""
        _, fall, rise = self.decay_constants
        if isinstance(self.gain[1], UnityGain):
            return self.gain[1], self.gain[1]
        peak = _peak(acting(fall, dtype, DECAY), acting(rise, dtype, DECAY))
        return 1.0, acting(self.gain[1], dtype) / peak

    def _filtered(self, leaky: Callable, state: DoubleExpState, x: Array) -> tuple[Array, Array, Array]:
        """The rise, the current and the potential that `leaky` makes of the input, in one step or in all."""
        membrane, fall, rise = self.decay_constants
        first, second = self.synaptic_gains(state.v.dtype)
        r = leaky(state.rise, in_state_dtype(x, state.v), rise, first)
        i = leaky(state.i, r, fall, second)
        return r, i, leaky(state.v, i, membrane, self.gain[0], self.rest)
