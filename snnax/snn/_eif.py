"""Exponential integrate-and-fire neurons."""

from collections.abc import Callable, Sequence
from typing import Unpack

import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray

from .._parameter import DECAY, POSITIVE, Interval, acting, as_parameter, parameter
from ._adaptive_lif import AdaptiveState
from ._filter import Gain, Parameter, as_decays, as_gains, leaky, split
from ._lif import PotentialState
from ._spiking import Firing, SpikingLayer, in_activation_dtype, in_state_dtype, recomputed

_SHARPNESS = Interval(1e-3, remedy="For a spike without an onset: `snn.SimpleLIF`.")
_LARGEST_EXPONENT = 10.0
"""Where the exponential is bounded. The potential rises by 22026 sharpnesses per time constant there: it fires."""


def _held(neuron: "EIF | AdEx", v: Array) -> Array:
    return jnp.minimum(v, acting(neuron.threshold, v.dtype, POSITIVE))


@recomputed
def _integrated(neuron: "EIF | AdEx", v: Array, x: Array) -> Array:
    v = _held(neuron, v)
    delta = acting(neuron.sharpness, v.dtype, _SHARPNESS)
    rising = delta * jnp.exp(jnp.minimum((v - acting(neuron.onset, v.dtype)) / delta, _LARGEST_EXPONENT))
    alpha = neuron.decay_constants
    return leaky(v, x, alpha, neuron.gain, neuron.rest) + (1 - acting(alpha, v.dtype, DECAY)) * rising


class EIF(SpikingLayer):
    r"""Exponential integrate-and-fire neurons: around the onset $v_T$ of a spike they begin to rise by themselves.

    $$v_t = v_0 + \alpha\,(\bar v_{t-1} - v_0) + (1 - \alpha)\,\Delta\,e^{\min((\bar v_{t-1} - v_T)/\Delta,\,10)} +
    g\,x_t, \qquad s_t = [v_t \ge \theta]$$

    after which `reset` acts on $v_t$. With $\bar v = \min(v, \theta)$ the threshold is the cut-off of the spike: what a
    reset has left above it is of no account. That and the bound of the exponent, at which the potential rises by 22026
    $\Delta$ per time constant, keep values and gradients finite.

    The step is that of $\tau\,\dot v = -(v - v_0) + \Delta\,e^{(v - v_T)/\Delta} + R I$, exact but for the exponential,
    which is held. The potential rests where leak and exponential are equal, above $v_0$ by $\Delta e^{(v_0 -
    v_T)/\Delta}$ (4e-6 by default). With $g$ from `snn.UnityGain()`, a constant input makes the neuron fire if it is
    above $v_T - \Delta - v_0$.

    The defaults are $V_T$ = -50.4 mV and $\Delta_T$ = 2 mV above a rest of -70.6 mV (R. Brette and W. Gerstner 2005),
    in units of 25.25 mV.

    Source: N. Fourcaud-Trocmé et al. 2003, doi:10.1523/JNEUROSCI.23-37-11628.2003.
    """

    decay_constants: Parameter = parameter(DECAY)
    onset: Parameter = parameter()
    sharpness: Parameter = parameter(_SHARPNESS)
    gain: Gain = parameter()
    rest: Parameter = parameter()

    def __init__(
        self,
        decay_constants: Parameter | Sequence[Parameter] | Callable,
        shape: Sequence[int] | None = None,
        *,
        onset: Parameter | Callable = 0.8,
        sharpness: Parameter | Callable = 0.08,
        gain: Gain | Callable = 1.0,
        rest: Parameter | Callable = 0.0,
        key: PRNGKeyArray | None = None,
        **firing: Unpack[Firing],
    ):
        r"""**Arguments:**

        - `decay_constants`: $\alpha$, the decay of the potential per time step, in [0, 1]; from a time constant by
            `snn.decay(tau, dt)`. A number is a constant, an array is trained, an initialiser `(key, shape, dtype)`
            draws one for each neuron; so for all that follow.
        - `shape`, `key`: the shape of one example and a key, for arguments that are initialisers.
        - `onset`: $v_T$, the potential at which the exponential has the slope of the leak. Default 0.8.
        - `sharpness`: $\Delta$, over which potential it grows e-fold, 0.001 or more. Default 0.08.
        - `gain`: $g$, the factor of the input, or `snn.UnityGain()` for $1 - \alpha$. Default 1.
        - `rest`: $v_0$, the potential of the leak. Default 0.
        - `threshold`: $\theta$, the cut-off of the spike. Default 1.
        - `reset`, `refractory`, `spike_fn`, `init_fn`: see `snn.SpikingLayer`.
        """
        keys = split(key, 6)
        (self.decay_constants,) = as_decays("snn.EIF", decay_constants, ["membrane"], shape=shape, key=keys[0])
        self.onset = as_parameter("snn.EIF", "onset", onset, shape=shape, key=keys[1])
        self.sharpness = as_parameter("snn.EIF", "sharpness", sharpness, _SHARPNESS, shape=shape, key=keys[2])
        (self.gain,) = as_gains("snn.EIF", gain, ["membrane"], shape=shape, key=keys[3])
        self.rest = as_parameter("snn.EIF", "rest", rest, shape=shape, key=keys[4])
        super().__init__(shape=shape, key=keys[5], **firing)

    def init_state(self, in_shape: Sequence[int], key: PRNGKeyArray | None = None) -> PotentialState:
        """The state at $v_0$, for inputs of any shape `in_shape`."""
        return PotentialState(self.init_potential(in_shape, key, self.rest), self.init_countdown(in_shape))

    def __call__(
        self, state: PotentialState, x: Array, *, key: PRNGKeyArray | None = None
    ) -> tuple[PotentialState, Array]:
        """**Arguments:** `x`: the input current, of the shape of the layer; `key`: for a `spike_fn` that draws.

        **Returns:** the new state, and the spikes, of the shape and dtype of `x`.
        """
        v = _integrated(self, state.v, in_state_dtype(x, state.v))
        spike, v, countdown = self.fire(v, state.v, state.countdown, key=key)
        return PotentialState(v, countdown), in_activation_dtype(spike, x)


class AdEx(SpikingLayer):
    r"""Adaptive exponential integrate-and-fire neurons: `snn.EIF` with the adaptation current of `snn.AdaptiveLIF`.

    $$v_t = v_0 + \alpha\,(\bar v_{t-1} - v_0) + (1 - \alpha)\,\Delta\,e^{\min((\bar v_{t-1} - v_T)/\Delta,\,10)} +
    g\,(x_t + a_{t-1}), \qquad s_t = [v_t \ge \theta]$$

    $$a_t = \beta\,a_{t-1} + (1 - \beta)\,A\,(\bar v_{t-1} - v_0) - b\,s_t$$

    after which `reset` acts on $v_t$; $\bar v = \min(v, \theta)$. Values and gradients are finite, as in `snn.EIF`.
    The adaptation takes the potential before the step, which no spike has carried far. The $w$ of the paper is $-a$,
    its $a / g_L$ is $-A$.

    The neuron of the paper is, in units of 25.25 mV above -70.6 mV and of 757.5 pA, with `dt` in seconds:

        snn.AdEx(
            snn.decay(9.37e-3, dt),
            ada_decay_constant=snn.decay(144e-3, dt),
            ada_coupling_var=-0.133,
            ada_step_val=0.106,
            gain=snn.UnityGain(),
        )

    Source: R. Brette and W. Gerstner 2005, doi:10.1152/jn.00686.2005.
    """

    decay_constants: Parameter = parameter(DECAY)
    ada_decay_constant: Parameter = parameter(DECAY)
    ada_step_val: Parameter = parameter()
    ada_coupling_var: Parameter = parameter()
    onset: Parameter = parameter()
    sharpness: Parameter = parameter(_SHARPNESS)
    gain: Gain = parameter()
    rest: Parameter = parameter()

    def __init__(
        self,
        decay_constants: Parameter | Sequence[Parameter] | Callable,
        shape: Sequence[int] | None = None,
        *,
        ada_decay_constant: Parameter | Callable = 0.95,
        ada_step_val: Parameter | Callable = 0.1,
        ada_coupling_var: Parameter | Callable = 0.0,
        onset: Parameter | Callable = 0.8,
        sharpness: Parameter | Callable = 0.08,
        gain: Gain | Callable = 1.0,
        rest: Parameter | Callable = 0.0,
        key: PRNGKeyArray | None = None,
        **firing: Unpack[Firing],
    ):
        r"""**Arguments:**

        - `decay_constants`, `shape`, `key`, `onset`, `sharpness`, `gain`, `rest` and `threshold`: as for `snn.EIF`.
        - `ada_decay_constant`: $\beta$, the decay of the adaptation per time step, in [0, 1]. Default 0.95.
        - `ada_step_val`: $b$, what a spike takes from the adaptation current. Default 0.1.
        - `ada_coupling_var`: $A$, the coupling of the adaptation to the potential. Default 0.
        - `reset`, `refractory`, `spike_fn`, `init_fn`: see `snn.SpikingLayer`.
        """
        owner = "snn.AdEx"
        keys = split(key, 9)
        (self.decay_constants,) = as_decays(owner, decay_constants, ["membrane"], shape=shape, key=keys[0])
        self.ada_decay_constant = as_parameter(
            owner, "ada_decay_constant", ada_decay_constant, DECAY, shape=shape, key=keys[1]
        )
        self.ada_step_val = as_parameter(owner, "ada_step_val", ada_step_val, shape=shape, key=keys[2])
        self.ada_coupling_var = as_parameter(owner, "ada_coupling_var", ada_coupling_var, shape=shape, key=keys[3])
        self.onset = as_parameter(owner, "onset", onset, shape=shape, key=keys[4])
        self.sharpness = as_parameter(owner, "sharpness", sharpness, _SHARPNESS, shape=shape, key=keys[5])
        (self.gain,) = as_gains(owner, gain, ["membrane"], shape=shape, key=keys[6])
        self.rest = as_parameter(owner, "rest", rest, shape=shape, key=keys[7])
        super().__init__(shape=shape, key=keys[8], **firing)

    def init_state(self, in_shape: Sequence[int], key: PRNGKeyArray | None = None) -> AdaptiveState:
        """The state at $v_0$ and without adaptation, for inputs of any shape `in_shape`."""
        v = self.init_potential(in_shape, key, self.rest)
        return AdaptiveState(v, jnp.zeros_like(v), self.init_countdown(in_shape))

    def __call__(
        self, state: AdaptiveState, x: Array, *, key: PRNGKeyArray | None = None
    ) -> tuple[AdaptiveState, Array]:
        """**Arguments:** `x`: the input current, of the shape of the layer; `key`: for a `spike_fn` that draws.

        **Returns:** the new state, and the spikes, of the shape and dtype of `x`.
        """
        dtype = state.v.dtype
        v = _integrated(self, state.v, in_state_dtype(x, state.v) + state.a)
        spike, v, countdown = self.fire(v, state.v, state.countdown, key=key)
        coupling = acting(self.ada_coupling_var, dtype) * (_held(self, state.v) - acting(self.rest, dtype))
        beta = acting(self.ada_decay_constant, dtype, DECAY)
        a = beta * state.a + (1 - beta) * coupling - acting(self.ada_step_val, dtype) * spike
        return AdaptiveState(v, a, countdown), in_activation_dtype(spike, x)
