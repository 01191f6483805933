"""Resonate-and-fire neurons: the potential oscillates."""

from collections.abc import Callable, Sequence
from typing import Unpack

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray

from .._parameter import DECAY, POSITIVE, Interval, acting, as_parameter, parameter
from ._filter import Gain, Parameter, as_decays, as_gains, leaky, split
from ._reset import NoReset
from ._spiking import Firing, SpikingLayer, in_activation_dtype, in_state_dtype

NOT_NEGATIVE = Interval(0.0)
BALANCED = Interval(
    0.0, 0.99, "From a frequency in Hz: `2 * jnp.pi * frequency * dt`, and above the range a smaller time step `dt`."
)


class ResonatorState(eqx.Module):
    """The state of `ResonateAndFire`: the real part `v` and the imaginary part `u` of $z$, and the `countdown`."""

    v: Array
    u: Array
    countdown: Array | None


class BalancedResonatorState(eqx.Module):
    """The state of `BalancedResonateAndFire`: that of `ResonateAndFire`, and the refractory variable `q`."""

    v: Array
    u: Array
    q: Array
    countdown: Array | None


class ResonateAndFire(SpikingLayer):
    r"""Neurons whose potential is a damped oscillation, which inputs in its rhythm drive up to the threshold.

    $$z_t = \alpha\,e^{i\omega} z_{t-1} + g\,x_t, \qquad v_t = \mathrm{Re}\,z_t, \qquad s_t = [v_t \ge \theta]$$

    after which `reset` acts on $v_t$; the imaginary part $u_t$ goes on, as a current does. $z$ is kept as two real
    numbers and all parameters are real. With $\dot z = (-b + i\omega)\,z$ in continuous time $\alpha = e^{-b\,dt}$,
    `snn.decay(1 / b, dt)`, and the angle of one step is $\omega\,dt$.

    Source: E. Izhikevich 2001, doi:10.1016/S0893-6080(01)00078-8, who reads the potential from the imaginary part, a
    quarter of a period after the input; here the input acts in its own step.
    """

    decay_constants: Parameter = parameter(DECAY)
    frequency: Parameter = parameter()
    gain: Gain = parameter()

    def __init__(
        self,
        decay_constants: Parameter | Sequence[Parameter] | Callable,
        frequency: Parameter | Callable,
        shape: Sequence[int] | None = None,
        *,
        gain: Gain | Callable = 1.0,
        key: PRNGKeyArray | None = None,
        **firing: Unpack[Firing],
    ):
        r"""**Arguments:**

        - `decay_constants`: $\alpha$, the decay of the oscillation per time step, in [0, 1]. A number is a constant, an
            array is trained, an initialiser `(key, shape, dtype)` draws one for each neuron; so for all that follow.
        - `frequency`: $\omega$ in radians per time step; $2\pi f\,dt$ for $f$ in Hz. Above $\pi$ it is that of a slower
            oscillation.
        - `shape`, `key`: the shape of one example and a key, for arguments that are initialisers.
        - `gain`: $g$, the factor of the input, or `snn.UnityGain()` for $1 - \alpha$, which gives a gain of 1 in
            resonance. Default 1.
        - `threshold`, `reset`, `refractory`, `spike_fn`, `init_fn` (of the real part): see `snn.SpikingLayer`.
        """
        owner = "snn.ResonateAndFire"
        keys = split(key, 4)
        (self.decay_constants,) = as_decays(owner, decay_constants, ["membrane"], shape=shape, key=keys[0])
        self.frequency = as_parameter(owner, "frequency", frequency, shape=shape, key=keys[1])
        (self.gain,) = as_gains(owner, gain, ["membrane"], shape=shape, key=keys[2])
        super().__init__(shape=shape, key=keys[3], **firing)

    def init_state(self, in_shape: Sequence[int], key: PRNGKeyArray | None = None) -> ResonatorState:
        """The state at rest, for inputs of any shape `in_shape`."""
        v = self.init_potential(in_shape, key)
        return ResonatorState(v, jnp.zeros_like(v), self.init_countdown(in_shape))

    def __call__(
        self, state: ResonatorState, x: Array, *, key: PRNGKeyArray | None = None
    ) -> tuple[ResonatorState, Array]:
        """**Arguments:** `x`: the input, of the shape of the layer; `key`: for a `spike_fn` that draws.

        **Returns:** the new state, and the spikes, of the shape and dtype of `x`.
        """
        x_state = in_state_dtype(x, state.v)
        omega = acting(self.frequency, state.v.dtype)
        cos, sin = jnp.cos(omega), jnp.sin(omega)
        v = leaky(cos * state.v - sin * state.u, x_state, self.decay_constants, self.gain)
        u = acting(self.decay_constants, state.v.dtype, DECAY) * (sin * state.v + cos * state.u)
        spike, v, countdown = self.fire(v, state.v, state.countdown, key=key)
        return ResonatorState(v, u, countdown), in_activation_dtype(spike, x)


class BalancedResonateAndFire(SpikingLayer):
    r"""Resonate-and-fire neurons that stay stable at every frequency and that a spike damps in place of a reset.

    $$a_t = \sqrt{1 - \omega^2} - b - \rho\,q_{t-1} + i\omega, \qquad z_t = a_t\,z_{t-1} + g\,x_t, \qquad
      v_t = \mathrm{Re}\,z_t$$

    $$s_t = [v_t \ge \theta + q_{t-1}], \qquad q_t = \gamma\,q_{t-1} + s_t$$

    An Euler step of $\dot z = (p - b' - q + i\omega')\,z + x$ with $p = (\sqrt{1 - (\omega' dt)^2} - 1)/dt$, the
    damping at which it neither grows nor decays: $|a_t| \le 1$ while $b + \rho\,q_{t-1} \le 2\sqrt{1 - \omega^2}$.
    What is given is per time step: $\omega = \omega' dt$, $b = b' dt$, $\rho = dt$ and, in the paper, $g = dt$
    ($dt$ = 0.01). `reset` acts on $v_t$ after a spike; by default there is none. The gradient flows through all of it.

    Source: S. Higuchi, S. Kairat, S. Bohté and S. Otte 2024, arXiv:2402.14603.
    """

    damping: Parameter = parameter(NOT_NEGATIVE)
    frequency: Parameter = parameter(BALANCED)
    refractory_decay: Parameter = parameter(DECAY)
    refractory_damping: Parameter = parameter(NOT_NEGATIVE)
    gain: Parameter = parameter()

    def __init__(
        self,
        damping: Parameter | Callable,
        frequency: Parameter | Callable,
        shape: Sequence[int] | None = None,
        *,
        refractory_decay: Parameter | Callable = 0.9,
        refractory_damping: Parameter | Callable = 0.01,
        gain: Parameter | Callable = 1.0,
        key: PRNGKeyArray | None = None,
        **firing: Unpack[Firing],
    ):
        r"""**Arguments:**

        - `damping`: $b$ per time step, 0 or more. A number is a constant, an array is trained, an initialiser
            `(key, shape, dtype)` draws one for each neuron; so for all that follow.
        - `frequency`: $\omega$ in radians per time step, in [0, 0.99]; $2\pi f\,dt$ for $f$ in Hz.
        - `shape`, `key`: the shape of one example and a key, for arguments that are initialisers.
        - `refractory_decay`: $\gamma$, the decay of $q$ per time step, in [0, 1]. Default 0.9.
        - `refractory_damping`: $\rho$, how much $q$ damps per time step, 0 or more. Default 0.01.
        - `gain`: $g$, the factor of the input. Default 1.
        - `threshold`, `reset`, `refractory`, `spike_fn`, `init_fn` (of the real part): see `snn.SpikingLayer`; `reset`
            is `snn.NoReset()` by default.
        """
        owner = "snn.BalancedResonateAndFire"
        keys = split(key, 6)
        self.damping = as_parameter(owner, "damping", damping, NOT_NEGATIVE, shape=shape, key=keys[0])
        self.frequency = as_parameter(owner, "frequency", frequency, BALANCED, shape=shape, key=keys[1])
        self.refractory_decay = as_parameter(
            owner, "refractory_decay", refractory_decay, DECAY, shape=shape, key=keys[2]
        )
        self.refractory_damping = as_parameter(
            owner, "refractory_damping", refractory_damping, NOT_NEGATIVE, shape=shape, key=keys[3]
        )
        self.gain = as_parameter(owner, "gain", gain, shape=shape, key=keys[4])
        firing.setdefault("reset", NoReset())
        super().__init__(shape=shape, key=keys[5], **firing)

    def init_state(self, in_shape: Sequence[int], key: PRNGKeyArray | None = None) -> BalancedResonatorState:
        """The state at rest, for inputs of any shape `in_shape`."""
        v = self.init_potential(in_shape, key)
        return BalancedResonatorState(v, jnp.zeros_like(v), jnp.zeros_like(v), self.init_countdown(in_shape))

    def __call__(
        self, state: BalancedResonatorState, x: Array, *, key: PRNGKeyArray | None = None
    ) -> tuple[BalancedResonatorState, Array]:
        """**Arguments:** `x`: the input, of the shape of the layer; `key`: for a `spike_fn` that draws.

        **Returns:** the new state, and the spikes, of the shape and dtype of `x`.
        """
        dtype = state.v.dtype
        omega = acting(self.frequency, dtype, BALANCED)
        damping = acting(self.damping, dtype, NOT_NEGATIVE)
        damping = damping + acting(self.refractory_damping, dtype, NOT_NEGATIVE) * state.q
        factor = jnp.sqrt(1 - omega**2) - damping
        v = factor * state.v - omega * state.u + acting(self.gain, dtype) * in_state_dtype(x, state.v)
        u = omega * state.v + factor * state.u
        threshold = acting(self.threshold, dtype, POSITIVE) + state.q
        spike, v, countdown = self.fire(v, state.v, state.countdown, threshold=threshold, key=key)
        q = acting(self.refractory_decay, dtype, DECAY) * state.q + spike
        return BalancedResonatorState(v, u, q, countdown), in_activation_dtype(spike, x)
