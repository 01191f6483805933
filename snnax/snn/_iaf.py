"""Integrate-and-fire neurons: the potential does not decay."""

from collections.abc import Callable, Sequence
from typing import Unpack

import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray

from .._parameter import DECAY, acting, as_parameter, parameter
from ._filter import Gain, Parameter, UnityGain, as_decays, as_gains, leaky, leaky_over_time, split
from ._leaky_loop import firing_loop, leaky_loop
from ._lif import PotentialState, SynapticState
from ._linear_scan import associative, constant
from ._spiking import Firing, SpikingLayer, in_activation_dtype, in_state_dtype


def _integrated(v: Array, x: Array, gain: Gain, leak: Parameter) -> Array:
    return v + acting(gain, v.dtype) * x - acting(leak, v.dtype)


def _drive(xs: Array, gain: Gain, leak: Parameter) -> Array:
    """What the potential gains in each step."""
    return acting(gain, xs.dtype) * xs - acting(leak, xs.dtype)


def _integrated_over_time(v: Array, xs: Array, gain: Gain, leak: Parameter) -> Array:
    drive = _drive(xs, gain, leak)
    return associative(constant(jnp.ones((), v.dtype), drive), drive, v)


def _refuse_unity(owner: str, gain) -> None:
    if isinstance(gain, UnityGain):
        raise ValueError(
            f"`{owner}`: `gain` of the membrane cannot be `snn.UnityGain()`: the membrane does not decay, so 1 - "
            "decay is 0 and nothing would ever reach the threshold. Give a number or an array."
        )


class SimpleIAF(SpikingLayer):
    r"""Integrate-and-fire neurons without a synaptic current.

    $$v_t = v_{t-1} + g\,x_t - \lambda, \qquad s_t = [v_t \ge \theta]$$

    after which `reset` acts on $v_t$. `nir.IF` with $g = r\,dt$ and $\lambda = 0$.

    Source: L. Lapicque 1907; the linear leak is that of the original SNNAX.
    """

    gain: Gain = parameter()
    leak: Parameter = parameter()

    def __init__(
        self,
        shape: Sequence[int] | None = None,
        *,
        gain: Gain | Callable = 1.0,
        leak: Parameter | Callable = 0.0,
        key: PRNGKeyArray | None = None,
        **firing: Unpack[Firing],
    ):
        r"""**Arguments:**

        - `shape`, `key`: the shape of one example and a key, for arguments that are initialisers.
        - `gain`: $g$, the factor of the input. Default 1.
        - `leak`: $\lambda$, what the potential loses in every step, whatever its value. Default 0.
        - `threshold`, `reset`, `refractory`, `spike_fn`, `init_fn`: see `snn.SpikingLayer`.
        """
        keys = split(key, 3)
        _refuse_unity("snn.SimpleIAF", gain)
        (self.gain,) = as_gains("snn.SimpleIAF", gain, ["membrane"], shape=shape, key=keys[0])
        self.leak = as_parameter("snn.SimpleIAF", "leak", leak, shape=shape, key=keys[1])
        super().__init__(shape=shape, key=keys[2], **firing)

    def init_state(self, in_shape: Sequence[int], key: PRNGKeyArray | None = None) -> PotentialState:
        """The state at potential 0, for inputs of any shape `in_shape`."""
        return PotentialState(self.init_potential(in_shape, key), self.init_countdown(in_shape))

    def __call__(
        self, state: PotentialState, x: Array, *, key: PRNGKeyArray | None = None
    ) -> tuple[PotentialState, Array]:
        """**Arguments:** `x`: the input, of the shape of the layer; `key`: for a `spike_fn` that draws.

        **Returns:** the new state, and the spikes, of the shape and dtype of `x`.
        """
        v = _integrated(state.v, in_state_dtype(x, state.v), self.gain, self.leak)
        spike, v, countdown = self.fire(v, state.v, state.countdown, key=key)
        return PotentialState(v, countdown), in_activation_dtype(spike, x)

    def over_time(self, state: PotentialState, xs: Array, *, keys: Array | None = None) -> tuple[PotentialState, Array]:
        """All steps, by a kernel where there is one. **Arguments** and **returns** as for every layer."""
        done = firing_loop(self, state.v, state.countdown, _drive(xs, self.gain, self.leak), 1.0, 1.0)
        if done is None:
            return super().over_time(state, xs, keys=keys)
        return PotentialState(done[1], done[3]), done[0]

    def in_parallel(
        self, state: PotentialState, xs: Array, *, keys: Array | None = None
    ) -> tuple[PotentialState, Array]:
        """All steps at once, as `over_time`; see `snn.Associative`."""
        v = _integrated_over_time(state.v, in_state_dtype(xs, state.v), self.gain, self.leak)
        return PotentialState(v[-1], None), in_activation_dtype(self.fire_at_once(v, keys), xs)


class IAF(SpikingLayer):
    r"""Integrate-and-fire neurons with an exponentially decaying synaptic current.

    $$i_t = \beta\,i_{t-1} + g_i\,x_t, \qquad v_t = v_{t-1} + g_v\,i_t - \lambda, \qquad s_t = [v_t \ge \theta]$$

    after which `reset` acts on $v_t$; the current goes on.

    Source: W. Gerstner et al., Neuronal Dynamics (2014), sections 1.3 and 3.1; the linear leak is that of the original.
    """

    decay_constants: Parameter = parameter(DECAY)
    gain: tuple[Gain, ...] = parameter()
    leak: Parameter = parameter()

    def __init__(
        self,
        decay_constants: Parameter | Sequence[Parameter] | Callable,
        shape: Sequence[int] | None = None,
        *,
        gain: Gain | Callable | Sequence[Gain | Callable] = 1.0,
        leak: Parameter | Callable = 0.0,
        key: PRNGKeyArray | None = None,
        **firing: Unpack[Firing],
    ):
        r"""**Arguments:**

        - `decay_constants`: $\beta$, the decay of the current per time step, in [0, 1]; from a time constant by
            `snn.decay(tau, dt)`. A number is a constant, an array is trained, an initialiser draws one for each neuron.
        - `shape`, `key`: the shape of one example and a key, for arguments that are initialisers.
        - `gain`: $g$ for both, or $[g_v, g_i]$; for $g_i$ also `snn.UnityGain()`, which is $1 - \beta$. Default 1.
        - `leak`: $\lambda$, what the potential loses in every step, whatever its value. Default 0.
        - `threshold`, `reset`, `refractory`, `spike_fn`, `init_fn`: see `snn.SpikingLayer`.
        """
        keys = split(key, 4)
        (self.decay_constants,) = as_decays("snn.IAF", decay_constants, ["synapse"], shape=shape, key=keys[0])
        self.gain = as_gains("snn.IAF", gain, ["membrane", "synapse"], shape=shape, key=keys[1])
        _refuse_unity("snn.IAF", self.gain[0])
        self.leak = as_parameter("snn.IAF", "leak", leak, shape=shape, key=keys[2])
        super().__init__(shape=shape, key=keys[3], **firing)

    def init_state(self, in_shape: Sequence[int], key: PRNGKeyArray | None = None) -> SynapticState:
        """The state at potential 0 and without current, for inputs of any shape `in_shape`."""
        v = self.init_potential(in_shape, key)
        return SynapticState(v, jnp.zeros_like(v), self.init_countdown(in_shape))

    def __call__(
        self, state: SynapticState, x: Array, *, key: PRNGKeyArray | None = None
    ) -> tuple[SynapticState, Array]:
        """**Arguments:** `x`: the input, of the shape of the layer; `key`: for a `spike_fn` that draws.

        **Returns:** the new state, and the spikes, of the shape and dtype of `x`.
        """
        i = leaky(state.i, in_state_dtype(x, state.i), self.decay_constants, self.gain[1])
        v = _integrated(state.v, i, self.gain[0], self.leak)
        spike, v, countdown = self.fire(v, state.v, state.countdown, key=key)
        return SynapticState(v, i, countdown), in_activation_dtype(spike, x)

    def over_time(self, state: SynapticState, xs: Array, *, keys: Array | None = None) -> tuple[SynapticState, Array]:
        """All steps, by a kernel where there is one. **Arguments** and **returns** as for every layer."""
        i = leaky_loop(self, state.i, xs, self.decay_constants, self.gain[1])
        done = (
            i
            if i is None
            else firing_loop(self, state.v, state.countdown, _drive(i, self.gain[0], self.leak), 1.0, 1.0)
        )
        if i is None or done is None:
            return super().over_time(state, xs, keys=keys)
        return SynapticState(done[1], i[-1], done[3]), done[0]

    def in_parallel(self, state: SynapticState, xs: Array, *, keys: Array | None = None) -> tuple[SynapticState, Array]:
        """All steps at once, as `over_time`; see `snn.Associative`."""
        i = leaky_over_time(state.i, in_state_dtype(xs, state.i), self.decay_constants, self.gain[1])
        v = _integrated_over_time(state.v, i, self.gain[0], self.leak)
        return SynapticState(v[-1], i[-1], None), in_activation_dtype(self.fire_at_once(v, keys), xs)
