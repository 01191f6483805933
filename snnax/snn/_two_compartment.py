"""Neurons with a dendrite."""

from collections.abc import Callable, Sequence
from typing import Unpack

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray

from .._parameter import DECAY, acting, as_parameter, parameter
from ._filter import Gain, Parameter, as_decays, as_gains, is_sequence, leaky, split
from ._spiking import Firing, SpikingLayer, in_activation_dtype, in_state_dtype


class TwoCompartmentState(eqx.Module):
    """The state of `TwoCompartment`: the potentials of the soma `v` and of the dendrite `d`, and the `countdown`."""

    v: Array
    d: Array
    countdown: Array | None


class TwoCompartment(SpikingLayer):
    r"""Leaky integrate-and-fire neurons of a soma, which fires, and a dendrite, which takes the input.

    $$d_t = \alpha_d\,d_{t-1} + \beta_d\,(v_{t-1} - v_0) + g\,x_t, \qquad v_t = v_0 + \alpha_s\,(v_{t-1} - v_0) +
    \beta_s\,d_t, \qquad s_t = [v_t \ge \theta]$$

    after which `reset` acts on the soma, and $\gamma\,s_t$ is taken from the dendrite, without its gradient where the
    reset stops it. In a `refractory` period the soma rests and the dendrite goes on. With $\beta_d < 0 < \beta_s$ the
    pair oscillates, which holds an input for long.

    The TC-LIF of the paper has decays of 1 and `reset=snn.SubtractReset()`. It resets at the beginning of the next
    step, where the dendrite still sees the soma before its reset: its $\gamma$ is here $\gamma - \beta_d\,\theta$. Its
    $\beta$ stay within bounds by a sigmoid: `snn.Logistic(0.5)`, `snn.Logistic(-0.5, low=-1, high=0)`.

    Source: S. Zhang et al. 2024, doi:10.1609/aaai.v38i15.29625.
    """

    decay_constants: tuple[Parameter, ...] = parameter(DECAY)
    coupling: tuple[Parameter, ...] = parameter()
    dendritic_reset: Parameter = parameter()
    gain: Gain = parameter()
    rest: Parameter = parameter()

    def __init__(
        self,
        decay_constants: Sequence[Parameter | Callable],
        shape: Sequence[int] | None = None,
        *,
        coupling: Sequence[Parameter | Callable] = (0.5, -0.5),
        dendritic_reset: Parameter | Callable = 0.5,
        gain: Gain | Callable = 1.0,
        rest: Parameter | Callable = 0.0,
        key: PRNGKeyArray | None = None,
        **firing: Unpack[Firing],
    ):
        r"""**Arguments:**

        - `decay_constants`: $[\alpha_s, \alpha_d]$, the decays of soma and dendrite per time step, in [0, 1]; from time
            constants by `snn.decay(tau, dt)`. Of each: a number is a constant, an array is trained, an initialiser
            `(key, shape, dtype)` draws one for each neuron; so for all that follow.
        - `shape`, `key`: the shape of one example and a key, for arguments that are initialisers.
        - `coupling`: $[\beta_s, \beta_d]$, of the dendrite to the soma and of the soma to the dendrite. Default (0.5,
            -0.5).
        - `dendritic_reset`: $\gamma$, what a spike takes from the dendrite. Default 0.5.
        - `gain`: $g$, the factor of the input, or `snn.UnityGain()` for $1 - \alpha_d$. Default 1.
        - `rest`: $v_0$, the potential to which the soma decays. Default 0.
        - `threshold`, `reset`, `refractory`, `spike_fn`, `init_fn`: see `snn.SpikingLayer`; of the soma.
        """
        owner = "snn.TwoCompartment"
        keys = split(key, 7)
        self.decay_constants = as_decays(owner, decay_constants, ["soma", "dendrite"], shape=shape, key=keys[0])
        if not is_sequence(coupling) or len(coupling) != 2:
            raise ValueError(
                f"`{owner}`: `coupling` must hold 2 (one to the soma and one to the dendrite), got {coupling}."
            )
        self.coupling = tuple(
            as_parameter(owner, "coupling", one, of=f" to the {name}", shape=shape, key=subkey)
            for one, name, subkey in zip(coupling, ("soma", "dendrite"), keys[1:3], strict=True)
        )
        self.dendritic_reset = as_parameter(owner, "dendritic_reset", dendritic_reset, shape=shape, key=keys[3])
        (self.gain,) = as_gains(owner, gain, ["dendrite"], shape=shape, key=keys[4])
        self.rest = as_parameter(owner, "rest", rest, shape=shape, key=keys[5])
        super().__init__(shape=shape, key=keys[6], **firing)

    def init_state(self, in_shape: Sequence[int], key: PRNGKeyArray | None = None) -> TwoCompartmentState:
        """The state at rest, for inputs of any shape `in_shape`."""
        v = self.init_potential(in_shape, key, self.rest)
        return TwoCompartmentState(v, jnp.zeros_like(v), self.init_countdown(in_shape))

    def __call__(
        self, state: TwoCompartmentState, x: Array, *, key: PRNGKeyArray | None = None
    ) -> tuple[TwoCompartmentState, Array]:
        """**Arguments:** `x`: the input to the dendrite, of the shape of the layer; `key`: for a `spike_fn` that draws.

        **Returns:** the new state, and the spikes of the soma, of the shape and dtype of `x`.
        """
        dtype = state.v.dtype
        of_soma, of_dendrite = self.decay_constants
        to_soma, to_dendrite = self.coupling
        back = acting(to_dendrite, dtype) * (state.v - acting(self.rest, dtype))
        d = leaky(state.d, in_state_dtype(x, state.v), of_dendrite, self.gain) + back
        v = leaky(state.v, d, of_soma, to_soma, self.rest)
        spike, v, countdown = self.fire(v, state.v, state.countdown, key=key)
        d = d - acting(self.dendritic_reset, dtype) * self.reset.seen(spike)
        return TwoCompartmentState(v, d, countdown), in_activation_dtype(spike, x)
