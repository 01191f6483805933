"""Leaky integrate-and-fire neurons that adapt by their threshold."""

from collections.abc import Callable, Sequence
from typing import Unpack

import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray

from .._parameter import DECAY, POSITIVE, acting, as_parameter, parameter
from ._adaptive_lif import AdaptiveState
from ._filter import Gain, Parameter, as_decays, as_gains, leaky, split
from ._leaky_loop import firing_loop
from ._spiking import Firing, SpikingLayer, in_activation_dtype, in_state_dtype
from ._spiking_loop import Adaptation


class ALIF(SpikingLayer):
    r"""Leaky integrate-and-fire neurons whose threshold rises with their spikes.

    $$v_t = v_0 + \alpha\,(v_{t-1} - v_0) + g\,x_t, \qquad s_t = [v_t \ge \theta_t], \qquad \theta_t = \theta +
    \kappa\,a_{t-1}$$

    $$a_t = \rho\,a_{t-1} + (1 - \rho)\,s_t$$

    after which `reset` acts on $v_t$, with the threshold $\theta_t$ of the step. So $a$ is a running mean of the
    spikes, and the threshold of a neuron that fires in every step settles at $\theta + \kappa$. The gradient flows
    through the spikes that raise the threshold.

    The paper subtracts the threshold: `reset=snn.SubtractReset()`. Its later form (G. Bellec et al. 2020,
    doi:10.1038/s41467-020-17236-y) adds $s_t$ without the factor: its $\beta$ is $\kappa\,(1 - \rho)$.
    Spyx's `ALIF` is this with $\kappa = 1$ and subtraction, its spikes a step later than here.

    Source: G. Bellec et al. 2018, arXiv:1803.09574. For adaptation by a current see `snn.AdaptiveLIF`.
    """

    decay_constants: Parameter = parameter(DECAY)
    ada_decay_constant: Parameter = parameter(DECAY)
    ada_coupling_var: Parameter = parameter()
    gain: Gain = parameter()
    rest: Parameter = parameter()

    def __init__(
        self,
        decay_constants: Parameter | Sequence[Parameter] | Callable,
        shape: Sequence[int] | None = None,
        *,
        ada_decay_constant: Parameter | Callable = 0.95,
        ada_coupling_var: Parameter | Callable = 1.8,
        gain: Gain | Callable = 1.0,
        rest: Parameter | Callable = 0.0,
        key: PRNGKeyArray | None = None,
        **firing: Unpack[Firing],
    ):
        r"""**Arguments:**

        - `decay_constants`: $\alpha$, the decay of the potential per time step, in [0, 1]. A number is a constant, an
            array is trained, an initialiser `(key, shape, dtype)` draws one for each neuron; so for all that follow.
        - `shape`, `key`: the shape of one example and a key, for arguments that are initialisers.
        - `ada_decay_constant`: $\rho$, the decay of the adaptation per time step, in [0, 1]. Default 0.95.
        - `ada_coupling_var`: $\kappa$, by how much the adaptation raises the threshold. Default 1.8.
        - `gain`: $g$, or `snn.UnityGain()` for $1 - \alpha$. Default 1.
        - `rest`: $v_0$, the potential to which the neuron decays. Default 0.
        - `threshold`: $\theta$, that of a neuron which has not fired. Default 1.
        - `reset`, `refractory`, `spike_fn`, `init_fn`: see `snn.SpikingLayer`.
        """
        owner = "snn.ALIF"
        keys = split(key, 6)
        (self.decay_constants,) = as_decays(owner, decay_constants, ["membrane"], shape=shape, key=keys[0])
        self.ada_decay_constant = as_parameter(
            owner, "ada_decay_constant", ada_decay_constant, DECAY, shape=shape, key=keys[1]
        )
        self.ada_coupling_var = as_parameter(owner, "ada_coupling_var", ada_coupling_var, shape=shape, key=keys[2])
        (self.gain,) = as_gains(owner, gain, ["membrane"], shape=shape, key=keys[3])
        self.rest = as_parameter(owner, "rest", rest, shape=shape, key=keys[4])
        super().__init__(shape=shape, key=keys[5], **firing)

    def init_state(self, in_shape: Sequence[int], key: PRNGKeyArray | None = None) -> AdaptiveState:
        """The state at rest and without adaptation, for inputs of any shape `in_shape`."""
        v = self.init_potential(in_shape, key, self.rest)
        return AdaptiveState(v, jnp.zeros_like(v), self.init_countdown(in_shape))

    def __call__(
        self, state: AdaptiveState, x: Array, *, key: PRNGKeyArray | None = None
    ) -> tuple[AdaptiveState, Array]:
        """**Arguments:** `x`: the input, of the shape of the layer; `key`: for a `spike_fn` that draws.

        **Returns:** the new state, and the spikes, of the shape and dtype of `x`.
        """
        dtype = state.v.dtype
        v = leaky(state.v, in_state_dtype(x, state.v), self.decay_constants, self.gain, self.rest)
        threshold = acting(self.threshold, dtype, POSITIVE) + acting(self.ada_coupling_var, dtype) * state.a
        spike, v, countdown = self.fire(v, state.v, state.countdown, threshold=threshold, key=key)
        rho = acting(self.ada_decay_constant, dtype, DECAY)
        return AdaptiveState(v, rho * state.a + (1 - rho) * spike, countdown), in_activation_dtype(spike, x)

    def over_time(self, state: AdaptiveState, xs: Array, *, keys: Array | None = None) -> tuple[AdaptiveState, Array]:
        """All steps, by a kernel where there is one. **Arguments** and **returns** as for every layer."""
        rho = acting(self.ada_decay_constant, state.v.dtype, DECAY)
        adaptation = Adaptation(rho, 1 - rho, raises=acting(self.ada_coupling_var, state.v.dtype))
        leaking = self.decay_constants, self.gain, self.rest
        done = firing_loop(self, state.v, state.countdown, xs, *leaking, a=state.a, adaptation=adaptation)
        if done is None:
            return super().over_time(state, xs, keys=keys)
        return AdaptiveState(*done[1:]), done[0]
