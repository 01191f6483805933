"""Leaky integrators: read-outs that filter and do not fire."""

from collections.abc import Callable, Sequence

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray

from .._parameter import DECAY, as_parameter, parameter
from ._filter import Gain, Parameter, as_decays, as_gains, leaky, leaky_over_time, split
from ._layer import StatefulLayer
from ._leaky_loop import leaky_loop
from ._spiking import InitFn, as_init_fn, in_activation_dtype, in_state_dtype, init_potential


class IntegratorState(eqx.Module):
    """The state of `SimpleLI`: the potential `v`."""

    v: Array


class SynapticIntegratorState(eqx.Module):
    """The state of `LI`: the potential `v` and the synaptic current `i`."""

    v: Array
    i: Array


class SimpleLI(StatefulLayer):
    r"""Leaky integrators without a synaptic current, the usual read-out. The output is the potential.

    $$v_t = v_0 + \alpha\,(v_{t-1} - v_0) + g\,x_t$$

    `nir.LI` with $\alpha = 1 - dt/\tau$, $g = r\,dt/\tau$ and $v_0 = v_\text{leak}$; Spyx's `LI`.

    Source: W. Gerstner et al., Neuronal Dynamics (2014), section 1.3, without the threshold.
    """

    init_fn: InitFn = parameter()
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
        init_fn: InitFn = None,
        key: PRNGKeyArray | None = None,
    ):
        r"""**Arguments:**

        - `decay_constants`: $\alpha$, the decay of the potential per time step, in [0, 1]; from a time constant by
            `snn.decay(tau, dt)`. A number is a constant, an array is trained, an initialiser draws one for each neuron.
        - `shape`, `key`: the shape of one example and a key, for arguments that are initialisers.
        - `gain`: $g$, the factor of the input, or `snn.UnityGain()` for $1 - \alpha$. Default 1.
        - `rest`: $v_0$, the potential to which the integrator decays. Default 0.
        - `init_fn`: the potential before the first step, an initialiser `(key, shape, dtype)` or an array (trained
            where `init_state` is called inside the loss). Default: at rest.
        """
        keys = split(key, 3)
        (self.decay_constants,) = as_decays("snn.SimpleLI", decay_constants, ["membrane"], shape=shape, key=keys[0])
        (self.gain,) = as_gains("snn.SimpleLI", gain, ["membrane"], shape=shape, key=keys[1])
        self.rest = as_parameter("snn.SimpleLI", "rest", rest, shape=shape, key=keys[2])
        self.init_fn = as_init_fn("snn.SimpleLI", init_fn)

    def init_state(self, in_shape: Sequence[int], key: PRNGKeyArray | None = None) -> IntegratorState:
        """The state at rest, for inputs of any shape `in_shape`."""
        return IntegratorState(init_potential(self, self.init_fn, in_shape, key, self.rest))

    def __call__(
        self, state: IntegratorState, x: Array, *, key: PRNGKeyArray | None = None
    ) -> tuple[IntegratorState, Array]:
        """**Arguments:** `x`: the input, of the shape of the layer. `key` is ignored.

        **Returns:** the new state, and the potential, in the shape and dtype of `x`.
        """
        v = leaky(state.v, in_state_dtype(x, state.v), self.decay_constants, self.gain, self.rest)
        return IntegratorState(v), in_activation_dtype(v, x)

    def over_time(
        self, state: IntegratorState, xs: Array, *, keys: Array | None = None
    ) -> tuple[IntegratorState, Array]:
        """All steps, by a kernel where there is one. **Arguments** and **returns** as for every layer."""
        v = leaky_loop(self, state.v, xs, self.decay_constants, self.gain, self.rest)
        return super().over_time(state, xs, keys=keys) if v is None else (IntegratorState(v[-1]), v)

    def in_parallel(
        self, state: IntegratorState, xs: Array, *, keys: Array | None = None
    ) -> tuple[IntegratorState, Array]:
        """All steps at once, as `over_time`; see `snn.Associative`."""
        v = leaky_over_time(state.v, in_state_dtype(xs, state.v), self.decay_constants, self.gain, self.rest)
        return IntegratorState(v[-1]), in_activation_dtype(v, xs)


class LI(StatefulLayer):
    r"""Leaky integrators with an exponentially decaying synaptic current. The output is the potential.

    $$i_t = \beta\,i_{t-1} + g_i\,x_t, \qquad v_t = v_0 + \alpha\,(v_{t-1} - v_0) + g_v\,i_t$$

    `nir.CubaLI` with $\beta = 1 - dt/\tau_\text{syn}$, $\alpha = 1 - dt/\tau_\text{mem}$,
    $g_i = w_\text{in}\,dt/\tau_\text{syn}$ and $g_v = r\,dt/\tau_\text{mem}$.

    Source: W. Gerstner et al., Neuronal Dynamics (2014), sections 1.3 and 3.1, without the threshold.
    """

    init_fn: InitFn = parameter()
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
        init_fn: InitFn = None,
        key: PRNGKeyArray | None = None,
    ):
        r"""**Arguments:**

        - `decay_constants`: $[\alpha, \beta]$, the decays of the potential and of the current per time step, in [0, 1].
        - `shape`, `key`: the shape of one example and a key, for arguments that are initialisers.
        - `gain`: $g$ for both filters, or $[g_v, g_i]$; `snn.UnityGain()` for $1 -$ decay. Default 1.
        - `rest`: $v_0$, the potential to which the integrator decays. Default 0.
        - `init_fn`: the potential before the first step, an initialiser `(key, shape, dtype)` or an array (trained
            where `init_state` is called inside the loss). Default: at rest.
        """
        keys = split(key, 3)
        names = ["membrane", "synapse"]
        self.decay_constants = as_decays("snn.LI", decay_constants, names, shape=shape, key=keys[0])
        self.gain = as_gains("snn.LI", gain, names, shape=shape, key=keys[1])
        self.rest = as_parameter("snn.LI", "rest", rest, shape=shape, key=keys[2])
        self.init_fn = as_init_fn("snn.LI", init_fn)

    def init_state(self, in_shape: Sequence[int], key: PRNGKeyArray | None = None) -> SynapticIntegratorState:
        """The state at rest and without current, for inputs of any shape `in_shape`."""
        v = init_potential(self, self.init_fn, in_shape, key, self.rest)
        return SynapticIntegratorState(v, jnp.zeros_like(v))

    def __call__(
        self, state: SynapticIntegratorState, x: Array, *, key: PRNGKeyArray | None = None
    ) -> tuple[SynapticIntegratorState, Array]:
        """**Arguments:** `x`: the input, of the shape of the layer. `key` is ignored.

        **Returns:** the new state, and the potential, in the shape and dtype of `x`.
        """
        i = leaky(state.i, in_state_dtype(x, state.i), self.decay_constants[1], self.gain[1])
        v = leaky(state.v, i, self.decay_constants[0], self.gain[0], self.rest)
        return SynapticIntegratorState(v, i), in_activation_dtype(v, x)

    def over_time(
        self, state: SynapticIntegratorState, xs: Array, *, keys: Array | None = None
    ) -> tuple[SynapticIntegratorState, Array]:
        """All steps, by a kernel where there is one. **Arguments** and **returns** as for every layer."""
        i = leaky_loop(self, state.i, xs, self.decay_constants[1], self.gain[1])
        v = i if i is None else leaky_loop(self, state.v, i, self.decay_constants[0], self.gain[0], self.rest)
        if i is None or v is None:
            return super().over_time(state, xs, keys=keys)
        return SynapticIntegratorState(v[-1], i[-1]), v

    def in_parallel(
        self, state: SynapticIntegratorState, xs: Array, *, keys: Array | None = None
    ) -> tuple[SynapticIntegratorState, Array]:
        """All steps at once, as `over_time`; see `snn.Associative`."""
        i = leaky_over_time(state.i, in_state_dtype(xs, state.i), self.decay_constants[1], self.gain[1])
        v = leaky_over_time(state.v, i, self.decay_constants[0], self.gain[0], self.rest)
        return SynapticIntegratorState(v[-1], i[-1]), in_activation_dtype(v, xs)
