"""Leaky integrate-and-fire neurons that adapt by a current."""

from collections.abc import Callable, Sequence
from typing import Unpack

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray

from .._parameter import DECAY, acting, as_parameter, parameter
from ._filter import Gain, Parameter, acting_leaky, as_decays, as_gains, leaky, split
from ._leaky_loop import firing_loop
from ._spiking import Firing, SpikingLayer, in_activation_dtype, in_state_dtype
from ._spiking_loop import Adaptation


class AdaptiveState(eqx.Module):
    """The state of a neuron that adapts: the potential `v`, the adaptation `a` and the `countdown`."""

    v: Array
    a: Array
    countdown: Array | None


class AdaptiveLIF(SpikingLayer):
    r"""Leaky integrate-and-fire neurons with an adaptation current, which every spike lowers.

    $$v_t = v_0 + \alpha\,(v_{t-1} - v_0) + g\,(x_t + a_{t-1}), \qquad s_t = [v_t \ge \theta]$$

    $$a_t = \beta\,a_{t-1} + (1 - \beta)\,A\,(v_t - v_0) - b\,s_t$$

    with the potential $v_t$ before the reset, which then acts on it. $A$ couples the adaptation to the potential
    ($A < 0$: resonance), $b > 0$ lets a neuron that fires fire less. The gradient flows through all of it.

    Source: R. Brette and W. Gerstner 2005, doi:10.1152/jn.00686.2005, without the exponential; the original SNNAX.
    For adaptation by the threshold see `snn.ALIF`.
    """

    decay_constants: Parameter = parameter(DECAY)
    ada_decay_constant: Parameter = parameter(DECAY)
    ada_step_val: Parameter = parameter()
    ada_coupling_var: Parameter = parameter()
    gain: Gain = parameter()
    rest: Parameter = parameter()

    def __init__(
        self,
        decay_constants: Parameter | Sequence[Parameter] | Callable,
        shape: Sequence[int] | None = None,
        *,
        ada_decay_constant: Parameter | Callable = 0.8,
        ada_step_val: Parameter | Callable = 1.0,
        ada_coupling_var: Parameter | Callable = 0.5,
        gain: Gain | Callable = 1.0,
        rest: Parameter | Callable = 0.0,
        key: PRNGKeyArray | None = None,
        **firing: Unpack[Firing],
    ):
        r"""**Arguments:**

        - `decay_constants`: $\alpha$, the decay of the potential per time step, in [0, 1]. A number is a constant, an
            array is trained, an initialiser `(key, shape, dtype)` draws one for each neuron; so for all that follow.
        - `shape`, `key`: the shape of one example and a key, for arguments that are initialisers.
        - `ada_decay_constant`: $\beta$, the decay of the adaptation per time step, in [0, 1]. Default 0.8.
        - `ada_step_val`: $b$, what a spike takes from the adaptation current. Default 1.
        - `ada_coupling_var`: $A$, the coupling of the adaptation to the potential. Default 0.5.
        - `gain`: $g$, or `snn.UnityGain()` for $1 - \alpha$. Default 1.
        - `rest`: $v_0$, the potential to which the neuron decays. Default 0.
        - `threshold`, `reset`, `refractory`, `spike_fn`, `init_fn`: see `snn.SpikingLayer`.
        """
        owner = "snn.AdaptiveLIF"
        keys = split(key, 7)
        (self.decay_constants,) = as_decays(owner, decay_constants, ["membrane"], shape=shape, key=keys[0])
        self.ada_decay_constant = as_parameter(
            owner, "ada_decay_constant", ada_decay_constant, DECAY, shape=shape, key=keys[1]
        )
        self.ada_step_val = as_parameter(owner, "ada_step_val", ada_step_val, shape=shape, key=keys[2])
        self.ada_coupling_var = as_parameter(owner, "ada_coupling_var", ada_coupling_var, shape=shape, key=keys[3])
        (self.gain,) = as_gains(owner, gain, ["membrane"], shape=shape, key=keys[4])
        self.rest = as_parameter(owner, "rest", rest, shape=shape, key=keys[5])
        super().__init__(shape=shape, key=keys[6], **firing)

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
        integrated = leaky(state.v, in_state_dtype(x, state.v) + state.a, self.decay_constants, self.gain, self.rest)
        if state.countdown is not None:
            integrated = jnp.where(state.countdown > 0, state.v, integrated)
        spike, v, countdown = self.fire(integrated, state.v, state.countdown, key=key)
        coupling = acting(self.ada_coupling_var, dtype) * (integrated - acting(self.rest, dtype))
        beta = acting(self.ada_decay_constant, dtype, DECAY)
        a = beta * state.a + (1 - beta) * coupling - acting(self.ada_step_val, dtype) * spike
        return AdaptiveState(v, a, countdown), in_activation_dtype(spike, x)

    def over_time(self, state: AdaptiveState, xs: Array, *, keys: Array | None = None) -> tuple[AdaptiveState, Array]:
        """All steps, by a kernel where there is one. **Arguments** and **returns** as for every layer."""
        dtype, leaking = state.v.dtype, (self.decay_constants, self.gain, self.rest)
        beta, (_, gain, _) = acting(self.ada_decay_constant, dtype, DECAY), acting_leaky(*leaking, dtype)
        follows, adds = (1 - beta) * acting(self.ada_coupling_var, dtype), -acting(self.ada_step_val, dtype)
        adaptation = Adaptation(beta, adds, drives=gain, follows=follows)
        done = firing_loop(self, state.v, state.countdown, xs, *leaking, a=state.a, adaptation=adaptation)
        if done is None:
            return super().over_time(state, xs, keys=keys)
        return AdaptiveState(*done[1:]), done[0]
