"""The spike response model."""

from collections.abc import Callable, Sequence
from typing import Unpack

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray

from .._parameter import DECAY, as_parameter, parameter
from ._filter import Gain, Parameter, as_decays, as_gains, leaky, split
from ._reset import NoReset
from ._spiking import Firing, SpikingLayer, in_activation_dtype, in_state_dtype


class SpikeResponseState(eqx.Module):
    """The state of `SRM`: the responses to inputs `v` and to spikes `r`, the current `i` and the `countdown`."""

    v: Array
    i: Array
    r: Array
    countdown: Array | None


class SRM(SpikingLayer):
    r"""The spike response model: the potential is a response to the inputs minus one to the neuron's own spikes.

    $$i_t = \beta\,i_{t-1} + g_i\,x_t, \qquad v_t = v_0 + \alpha\,(v_{t-1} - v_0) + g_v\,i_t, \qquad s_t = [v_t -
    r_{t-1} \ge \theta], \qquad r_t = \gamma\,r_{t-1} + \eta\,s_t$$

    Nothing is reset: $v$ is the input filtered by $\varepsilon_n \propto \sum_{m \le n} \alpha^{n-m} \beta^m$, and $r$
    the spikes filtered by the refractory kernel $\eta\,\gamma^{n-1}$, from the step after a spike on. So the only
    `reset` is `snn.NoReset`, which says whether $r$ takes the spikes with their gradient; by default without. In a
    `refractory` period nothing fires, and both responses go on.

    The weights of the synapse are a layer before the neuron; the original SNNAX had them inside of it. Its $P$, $Q$ and
    $R$ are $i$, $v$ and $r / \eta$, with `gain=snn.UnityGain()`.

    Source: W. Gerstner et al., Neuronal Dynamics (2014), section 6.4; for these kernels J. Kaiser, H. Mostafa and E.
    Neftci 2020, doi:10.3389/fnins.2020.00424.
    """

    decay_constants: tuple[Parameter, ...] = parameter(DECAY)
    after_potential: Parameter = parameter()
    gain: tuple[Gain, ...] = parameter()
    rest: Parameter = parameter()

    def __init__(
        self,
        decay_constants: Sequence[Parameter | Callable],
        shape: Sequence[int] | None = None,
        *,
        after_potential: Parameter | Callable = 1.0,
        gain: Gain | Callable | Sequence[Gain | Callable] = 1.0,
        rest: Parameter | Callable = 0.0,
        key: PRNGKeyArray | None = None,
        **firing: Unpack[Firing],
    ):
        r"""**Arguments:**

        - `decay_constants`: $[\alpha, \beta, \gamma]$, the decays of the potential, of the current and of the response
            to spikes per time step, in [0, 1]; from time constants by `snn.decay(tau, dt)`. Of each: a number is a
            constant, an array is trained, an initialiser `(key, shape, dtype)` draws one for each neuron.
        - `shape`, `key`: the shape of one example and a key, for arguments that are initialisers.
        - `after_potential`: $\eta$, what a spike takes from the potential of the next step. Default 1.
        - `gain`: $g$ for both filters, or $[g_v, g_i]$; `snn.UnityGain()` for $1 -$ decay. Default 1.
        - `rest`: $v_0$, the potential to which the neuron decays. Default 0.
        - `reset`: `snn.NoReset(stop_gradient)`. Default `snn.NoReset()`.
        - `threshold`, `refractory`, `spike_fn`, `init_fn`: see `snn.SpikingLayer`.
        """
        keys = split(key, 5)
        names = ["membrane", "synapse", "response to spikes"]
        self.decay_constants = as_decays("snn.SRM", decay_constants, names, shape=shape, key=keys[0])
        self.after_potential = as_parameter("snn.SRM", "after_potential", after_potential, shape=shape, key=keys[1])
        self.gain = as_gains("snn.SRM", gain, ["membrane", "synapse"], shape=shape, key=keys[2])
        self.rest = as_parameter("snn.SRM", "rest", rest, shape=shape, key=keys[3])
        firing.setdefault("reset", NoReset())
        super().__init__(shape=shape, key=keys[4], **firing)
        if not isinstance(self.reset, NoReset):
            raise ValueError(
                f"`snn.SRM`: its spikes act by `after_potential`, so `reset` must be a `snn.NoReset`, got "
                f"{self.reset}. For a potential that is reset: `snn.LIF`."
            )

    def init_state(self, in_shape: Sequence[int], key: PRNGKeyArray | None = None) -> SpikeResponseState:
        """The state at rest, for inputs of any shape `in_shape`."""
        v = self.init_potential(in_shape, key, self.rest)
        return SpikeResponseState(v, jnp.zeros_like(v), jnp.zeros_like(v), self.init_countdown(in_shape))

    def __call__(
        self, state: SpikeResponseState, x: Array, *, key: PRNGKeyArray | None = None
    ) -> tuple[SpikeResponseState, Array]:
        """**Arguments:** `x`: the input, of the shape of the layer; `key`: for a `spike_fn` that draws.

        **Returns:** the new state, and the spikes, of the shape and dtype of `x`.
        """
        membrane, synapse, refractory = self.decay_constants
        i = leaky(state.i, in_state_dtype(x, state.i), synapse, self.gain[1])
        v = leaky(state.v, i, membrane, self.gain[0], self.rest)
        spike, _, countdown = self.fire(v - state.r, v - state.r, state.countdown, key=key)
        r = leaky(state.r, self.reset.seen(spike), refractory, self.after_potential)
        return SpikeResponseState(v, i, r, countdown), in_activation_dtype(spike, x)
