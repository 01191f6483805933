"""Izhikevich's neurons, in millivolts and milliseconds."""

from collections.abc import Callable, Sequence
from typing import Any, Unpack

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray

from .._parameter import POSITIVE, acting, as_parameter, parameter
from ..functional.surrogate import ArcTan
from ._filter import Parameter, split
from ._reset import ResetToValue
from ._spiking import Firing, SpikingLayer, in_activation_dtype, in_state_dtype, recomputed

_NAMED: dict[str, dict[str, Any]] = {
    "regular_spiking": {"a": 0.02, "b": 0.2, "c": -65.0, "d": 8.0},
    "intrinsically_bursting": {"a": 0.02, "b": 0.2, "c": -55.0, "d": 4.0},
    "chattering": {"a": 0.02, "b": 0.2, "c": -50.0, "d": 2.0},
    "fast_spiking": {"a": 0.1, "b": 0.2, "c": -65.0, "d": 2.0},
    "low_threshold_spiking": {"a": 0.02, "b": 0.25, "c": -65.0, "d": 2.0},
    "thalamo_cortical": {"a": 0.02, "b": 0.25, "c": -65.0, "d": 0.05},
    "resonator": {"a": 0.1, "b": 0.26, "c": -65.0, "d": 2.0},
}
"""Figure 2 of the paper."""


class RecoveryState(eqx.Module):
    """The state of `Izhikevich`: the potential `v`, the recovery `u` and the `countdown`."""

    v: Array
    u: Array
    countdown: Array | None


class Izhikevich(SpikingLayer):
    r"""Izhikevich's neurons: two equations for the firing patterns of cortical cells. In mV and ms, as in the paper.

    The potential takes two half steps, the recovery $u$ one step, from $v = \min(v_{t-1}, \theta)$:

    $$v' = v + \tfrac{dt}{2}\,f(v), \qquad v_t = v' + \tfrac{dt}{2}\,f(v'), \qquad f(v) = 0.04\,\bar v^2 + 5\,\bar v +
    140 - u_{t-1} + g\,x_t, \qquad \bar v = \max(v, -62.5 - 25/dt)$$

    $$s_t = [v_t \ge \theta], \qquad u_t = u_{t-1} + dt\,a\,(b\,\min(v_t, \theta) - u_{t-1}) + d\,s_t$$

    with the potential $v_t$ before the reset, which then takes it to $c$. The threshold is the cut-off of the spike, 30
    mV: what lies above it is of no account, so that all stays finite under every reset. (The program in the paper lets
    $u$ see how far the last step overshot, which slows the neurons down: at an input of 10, a fast-spiking one fires
    136 times in a second where the step is 0.01 ms; at `dt=1` half as often by the program, 89 times by these
    equations.) $\bar v$ holds the slope where a half step from a lower potential would end above one from a higher, and
    strong inhibition would make spikes.

    Inputs are in the units of the paper, in which some 5 to 15 make a neuron fire. A neuron starts at the rest of its
    equations; the program in the paper starts at `init_fn=jnp.array(-65.0)`.

    Source: E. Izhikevich 2003, doi:10.1109/TNN.2003.820440.
    """

    dt: float = eqx.field(static=True, default=1.0)
    a: Parameter = parameter()
    b: Parameter = parameter()
    d: Parameter = parameter()
    gain: Parameter = parameter()

    def __init__(
        self,
        a: Parameter | Callable = 0.02,
        b: Parameter | Callable = 0.2,
        c: Parameter | Callable | None = None,
        d: Parameter | Callable = 8.0,
        shape: Sequence[int] | None = None,
        *,
        dt: float = 1.0,
        gain: Parameter | Callable = 1.0,
        key: PRNGKeyArray | None = None,
        **firing: Unpack[Firing],
    ):
        r"""**Arguments:**

        - `a`: the rate of the recovery, per ms. Default 0.02. A number is a constant, an array is trained, an
            initialiser `(key, shape, dtype)` draws one for each neuron; so for all that follow.
        - `b`: how the recovery follows the potential, per mV. Default 0.2.
        - `c`: the potential after a spike, in mV: the value of the default `reset`. Default -65.
        - `d`: what a spike adds to the recovery. Default 8.
        - `shape`, `key`: the shape of one example and a key, for arguments that are initialisers.
        - `dt`: the time step in ms, above 0. Default 1.
        - `gain`: $g$, the factor of the input. Default 1.
        - `threshold`: $\theta$, the cut-off of the spike. Default 30 mV.
        - `spike_fn`: the surrogate, of a distance in mV. Default `surrogate.ArcTan(0.1)`.
        - `reset`, in the place of `c`; `refractory`, `init_fn`: see `snn.SpikingLayer`.
        """
        owner = "snn.Izhikevich"
        keys = split(key, 6)
        self.a = as_parameter(owner, "a", a, shape=shape, key=keys[0])
        self.b = as_parameter(owner, "b", b, shape=shape, key=keys[1])
        self.d = as_parameter(owner, "d", d, shape=shape, key=keys[2])
        self.gain = as_parameter(owner, "gain", gain, shape=shape, key=keys[3])
        if isinstance(dt, bool) or not isinstance(dt, (int, float)) or not dt > 0:
            raise ValueError(f"`{owner}`: `dt` must be a number above 0, the time step in ms, got {dt!r}.")
        self.dt = float(dt)
        if "reset" in firing and c is not None:
            raise ValueError(
                f"`{owner}`: `c` is the value of the default reset, got c={c} and a `reset`. Give one of them; for "
                "both: `reset=snn.ResetToValue(c)`."
            )
        c = as_parameter(owner, "c", -65.0 if c is None else c, shape=shape, key=keys[4])
        defaults: Firing = {"threshold": 30.0, "reset": ResetToValue(c), "spike_fn": ArcTan(0.1)}
        super().__init__(shape=shape, key=keys[5], **{**defaults, **firing})

    @classmethod
    def named(cls, name: str, shape: Sequence[int] | None = None, **arguments: Any) -> "Izhikevich":
        """Neurons of one of the types of the paper.

        **Arguments:**

        - `name`: `"regular_spiking"`, `"intrinsically_bursting"`, `"chattering"`, `"fast_spiking"`,
            `"low_threshold_spiking"`, `"thalamo_cortical"` or `"resonator"`.
        - `shape`, `arguments`: those of `snn.Izhikevich`, which come before those of the type.
        """
        if name not in _NAMED:
            raise ValueError(f"`snn.Izhikevich.named`: `name` must be one of {list(_NAMED)}, got {name!r}.")
        parameters = {key: value for key, value in _NAMED[name].items() if key != "c" or "reset" not in arguments}
        return cls(shape=shape, **{**parameters, **arguments})

    @property
    def rest(self) -> Array:
        """Where the neuron rests without input, in mV; -70 for `b=0.2`.

        Where it does not rest (`b` above 0.267), the potential at which it changes least.
        """
        b = acting(self.b, jnp.zeros(()).dtype)
        square = (5 - b) ** 2 - 4 * 0.04 * 140
        root = jnp.sqrt(jnp.where(square > 0, square, 1.0))
        return (b - 5 - jnp.where(square > 0, root, 0.0)) / (2 * 0.04)

    def init_state(self, in_shape: Sequence[int], key: PRNGKeyArray | None = None) -> RecoveryState:
        """The state at rest, for inputs of any shape `in_shape`; with `init_fn` the recovery is $b v$."""
        v = self.init_potential(in_shape, key, self.rest)
        return RecoveryState(v, acting(self.b, v.dtype) * v, self.init_countdown(in_shape))

    def __call__(
        self, state: RecoveryState, x: Array, *, key: PRNGKeyArray | None = None
    ) -> tuple[RecoveryState, Array]:
        """**Arguments:** `x`: the input current, of the shape of the layer; `key`: for a `spike_fn` that draws.

        **Returns:** the new state, and the spikes, of the shape and dtype of `x`.
        """
        dtype = state.v.dtype
        integrated = recomputed(type(self)._integrated)(self, state.v, state.u, in_state_dtype(x, state.v))
        if state.countdown is not None:
            integrated = jnp.where(state.countdown > 0, state.v, integrated)
        spike, v, countdown = self.fire(integrated, state.v, state.countdown, key=key)
        u = recomputed(type(self)._recovered)(self, integrated, state.u) + acting(self.d, dtype) * spike
        return RecoveryState(v, u, countdown), in_activation_dtype(spike, x)

    def _integrated(self, v: Array, u: Array, x: Array) -> Array:
        current = acting(self.gain, v.dtype) * x - u
        v = jnp.minimum(v, acting(self.threshold, v.dtype, POSITIVE))
        for _ in range(2):
            above = jnp.maximum(v, -62.5 - 25 / self.dt)
            v = v + self.dt / 2 * ((0.04 * above + 5) * above + 140 + current)
        return v

    def _recovered(self, v: Array, u: Array) -> Array:
        v = jnp.minimum(v, acting(self.threshold, v.dtype, POSITIVE))
        return u + self.dt * acting(self.a, v.dtype) * (acting(self.b, v.dtype) * v - u)
