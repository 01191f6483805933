"""Leaky integrate-and-fire neurons."""

from collections.abc import Callable, Sequence
from typing import Any, Unpack

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PRNGKeyArray

from .._parameter import DECAY, POSITIVE, as_parameter, parameter
from ._filter import Gain, Parameter, as_decays, as_gains, decay, leaky, leaky_over_time, split
from ._leaky_loop import firing_loop, leaky_loop
from ._spiking import Firing, SpikingLayer, in_activation_dtype, in_state_dtype


class PotentialState(eqx.Module):
    """The state of a neuron without synaptic current: the potential `v` and the `countdown` of its refractoriness."""

    v: Array
    countdown: Array | None


class SynapticState(eqx.Module):
    """The state of a neuron with a synaptic current: the potential `v`, the current `i` and the `countdown`."""

    v: Array
    i: Array
    countdown: Array | None


class SimpleLIF(SpikingLayer):
    r"""Leaky integrate-and-fire neurons without a synaptic current.

    $$v_t = v_0 + \alpha\,(v_{t-1} - v_0) + g\,x_t, \qquad s_t = [v_t \ge \theta]$$

    after which `reset` acts on $v_t$. `nir.LIF` with $\alpha = 1 - dt/\tau$, $g = r\,dt/\tau$ and $v_0 =
    v_\text{leak}$; Norse's `LIFBox`; snnTorch's `Leaky` with `reset_delay=False` for `reset=snn.DelayedSubtractReset()`
    (its default resets a step later); Spyx's `LIF` fires a step later than this. `snn.SimpleLIF(snn.Logistic(0.9))` is
    the parametric LIF (W. Fang et al. 2021, arXiv:2007.05785); `snn.SimpleLIF.from_rc` makes the neuron of a resistance
    and a capacitance.

    Source: L. Lapicque 1907; W. Gerstner et al., Neuronal Dynamics (2014), section 1.3.
    """

    decay_constants: Parameter = parameter(DECAY)
    gain: Gain = parameter()
    rest: Parameter = parameter()

    def __init__(
        self,
        decay_constants: Parameter | Sequence[Parameter] | Callable,
        shape: Sequence[int] | None = None,
        *,
        gain: Gain | Callable = 1.0,
        rest: Parameter | Callable = 0.0,
        key: PRNGKeyArray | None = None,
        **firing: Unpack[Firing],
    ):
        r"""**Arguments:**

        - `decay_constants`: $\alpha$, the decay of the potential per time step, in [0, 1]; from a time constant by
            `snn.decay(tau, dt)`. A number is a constant, an array is trained, an initialiser `(key, shape, dtype)`
            draws one for each neuron.
        - `shape`, `key`: the shape of one example and a key, for arguments that are initialisers.
        - `gain`: $g$, the factor of the input, or `snn.UnityGain()` for $1 - \alpha$. Default 1.
        - `rest`: $v_0$, the potential to which the neuron decays. Default 0.
        - `threshold`, `reset`, `refractory`, `spike_fn`, `init_fn`: see `snn.SpikingLayer`.
        """
        keys = split(key, 4)
        (self.decay_constants,) = as_decays("snn.SimpleLIF", decay_constants, ["membrane"], shape=shape, key=keys[0])
        (self.gain,) = as_gains("snn.SimpleLIF", gain, ["membrane"], shape=shape, key=keys[1])
        self.rest = as_parameter("snn.SimpleLIF", "rest", rest, shape=shape, key=keys[2])
        super().__init__(shape=shape, key=keys[3], **firing)

    @classmethod
    def from_rc(
        cls,
        resistance: int | float | np.ndarray | Array,
        capacitance: int | float | np.ndarray | Array,
        dt: int | float,
        **arguments: Any,
    ) -> "SimpleLIF":
        r"""Lapicque's circuit: a resistance and a capacitance in parallel, which the input charges as a current.

        $$\alpha = e^{-dt/RC}, \qquad g = R\,(1 - \alpha)$$

        This is exact for a current that is constant within a step; a constant current $I$ settles at $v_0 + R I$.
        snnTorch's `Lapicque`, which takes Euler steps.

        **Arguments:**

        - `resistance`, `capacitance`: $R > 0$ and $C > 0$; $RC$ is the time constant in seconds. An array makes arrays
            of the decay and the gain, which are then trained.
        - `dt`: the time step in seconds.
        - `arguments`: all others of `snn.SimpleLIF` but `decay_constants` and `gain`.
        """
        owner = "snn.SimpleLIF.from_rc"
        r: Any = as_parameter(owner, "resistance", resistance, POSITIVE)
        c: Any = as_parameter(owner, "capacitance", capacitance, POSITIVE)
        alpha = decay(r * c, dt)
        return cls(alpha, gain=r * (1 - alpha), **arguments)

    def init_state(self, in_shape: Sequence[int], key: PRNGKeyArray | None = None) -> PotentialState:
        """The state at rest, for inputs of any shape `in_shape`."""
        return PotentialState(self.init_potential(in_shape, key, self.rest), self.init_countdown(in_shape))

    def __call__(
        self, state: PotentialState, x: Array, *, key: PRNGKeyArray | None = None
    ) -> tuple[PotentialState, Array]:
        """**Arguments:** `x`: the input current, of the shape of the layer; `key`: for a `spike_fn` that draws.

        **Returns:** the new state, and the spikes, of the shape and dtype of `x`.
        """
        v = leaky(state.v, in_state_dtype(x, state.v), self.decay_constants, self.gain, self.rest)
        spike, v, countdown = self.fire(v, state.v, state.countdown, key=key)
        return PotentialState(v, countdown), in_activation_dtype(spike, x)

    def over_time(self, state: PotentialState, xs: Array, *, keys: Array | None = None) -> tuple[PotentialState, Array]:
        """All steps, by a kernel where there is one. **Arguments** and **returns** as for every layer."""
        done = firing_loop(self, state.v, state.countdown, xs, self.decay_constants, self.gain, self.rest)
        if done is None:
            return super().over_time(state, xs, keys=keys)
        return PotentialState(done[1], done[3]), done[0]

    def in_parallel(
        self, state: PotentialState, xs: Array, *, keys: Array | None = None
    ) -> tuple[PotentialState, Array]:
        """All steps at once, as `over_time`; see `snn.Associative`."""
        v = leaky_over_time(state.v, in_state_dtype(xs, state.v), self.decay_constants, self.gain, self.rest)
        return PotentialState(v[-1], None), in_activation_dtype(self.fire_at_once(v, keys), xs)


class LIF(SpikingLayer):
    r"""Leaky integrate-and-fire neurons with an exponentially decaying synaptic current.

    $$i_t = \beta\,i_{t-1} + g_i\,x_t, \qquad v_t = v_0 + \alpha\,(v_{t-1} - v_0) + g_v\,i_t, \qquad s_t = [v_t \ge
    \theta]$$

    after which `reset` acts on $v_t$; the current goes on. The potential takes the new current, so that an input acts
    in its own step. `nir.CubaLIF` with $\beta = 1 - dt/\tau_\text{syn}$, $\alpha = 1 - dt/\tau_\text{mem}$,
    $g_i = w_\text{in}\,dt/\tau_\text{syn}$, $g_v = r\,dt/\tau_\text{mem}$; snnTorch's `Synaptic` with
    `reset_delay=False` for `reset=snn.DelayedSubtractReset()`, Spyx's `CuBaLIF` for `reset=snn.SubtractReset()`.

    Source: W. Gerstner et al., Neuronal Dynamics (2014), sections 1.3 and 3.1.
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

        - `decay_constants`: $[\alpha, \beta]$, the decays of the potential and of the current per time step, in [0, 1];
            from time constants by `snn.decay(tau, dt)`. Of each: a number is a constant, an array is trained, an
            initialiser `(key, shape, dtype)` draws one for each neuron.
        - `shape`, `key`: the shape of one example and a key, for arguments that are initialisers.
        - `gain`: $g$ for both filters, or $[g_v, g_i]$; `snn.UnityGain()` for $1 -$ decay. Default 1.
        - `rest`: $v_0$, the potential to which the neuron decays. Default 0.
        - `threshold`, `reset`, `refractory`, `spike_fn`, `init_fn`: see `snn.SpikingLayer`.
        """
        keys = split(key, 4)
        names = ["membrane", "synapse"]
        self.decay_constants = as_decays("snn.LIF", decay_constants, names, shape=shape, key=keys[0])
        self.gain = as_gains("snn.LIF", gain, names, shape=shape, key=keys[1])
        self.rest = as_parameter("snn.LIF", "rest", rest, shape=shape, key=keys[2])
        super().__init__(shape=shape, key=keys[3], **firing)

    def init_state(self, in_shape: Sequence[int], key: PRNGKeyArray | None = None) -> SynapticState:
        """The state at rest and without current, for inputs of any shape `in_shape`."""
        v = self.init_potential(in_shape, key, self.rest)
        return SynapticState(v, jnp.zeros_like(v), self.init_countdown(in_shape))

    def __call__(
        self, state: SynapticState, x: Array, *, key: PRNGKeyArray | None = None
    ) -> tuple[SynapticState, Array]:
        """**Arguments:** `x`: the input, of the shape of the layer; `key`: for a `spike_fn` that draws.

        **Returns:** the new state, and the spikes, of the shape and dtype of `x`.
        """
        i = leaky(state.i, in_state_dtype(x, state.i), self.decay_constants[1], self.gain[1])
        v = leaky(state.v, i, self.decay_constants[0], self.gain[0], self.rest)
        spike, v, countdown = self.fire(v, state.v, state.countdown, key=key)
        return SynapticState(v, i, countdown), in_activation_dtype(spike, x)

    def over_time(self, state: SynapticState, xs: Array, *, keys: Array | None = None) -> tuple[SynapticState, Array]:
        """All steps, by a kernel where there is one. **Arguments** and **returns** as for every layer."""
        i = leaky_loop(self, state.i, xs, self.decay_constants[1], self.gain[1])
        done = (
            i
            if i is None
            else firing_loop(self, state.v, state.countdown, i, self.decay_constants[0], self.gain[0], self.rest)
        )
        if i is None or done is None:
            return super().over_time(state, xs, keys=keys)
        return SynapticState(done[1], i[-1], done[3]), done[0]

    def in_parallel(self, state: SynapticState, xs: Array, *, keys: Array | None = None) -> tuple[SynapticState, Array]:
        """All steps at once, as `over_time`; see `snn.Associative`."""
        i = leaky_over_time(state.i, in_state_dtype(xs, state.i), self.decay_constants[1], self.gain[1])
        v = leaky_over_time(state.v, i, self.decay_constants[0], self.gain[0], self.rest)
        return SynapticState(v[-1], i[-1], None), in_activation_dtype(self.fire_at_once(v, keys), xs)
