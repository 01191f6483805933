"""What all spiking layers share: when a neuron fires, what the spike does to it, and how long it rests."""

from collections.abc import Callable, Sequence
from typing import Any, TypedDict

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PRNGKeyArray

from .._elsewhere import refuse_unknown
from .._parameter import POSITIVE, Fixed, acting, as_parameter, check_shapes, parameter
from ..functional.surrogate import AbstractSurrogate, SuperSpike, emit
from ._filter import Parameter, is_shape
from ._layer import StatefulLayer, name_of
from ._reset import AbstractReset, NoReset, ResetToValue

InitFn = Callable | np.ndarray | Array | Fixed | None


class Firing(TypedDict, total=False):
    """The keyword arguments that every spiking layer takes; `SpikingLayer.__init__` says what they mean."""

    threshold: Parameter
    reset: AbstractReset
    refractory: int
    spike_fn: Callable[[Array], Array]
    init_fn: InitFn


ELSEWHERE_FIRING = {
    "spike_grad": "`spike_fn`",
    "surrogate_function": "`spike_fn`",
    "activation": "`spike_fn`",
    "v_threshold": "`threshold`",
    "learn_threshold": "an array in place of a number as the threshold",
}
"""What other libraries call the arguments of all that fires, and what they are here."""

_ELSEWHERE = ELSEWHERE_FIRING | {
    "beta": "the first argument, `decay_constants`,",
    "alpha": "one of `decay_constants`",
    "tau": "`decay_constants=snn.decay(tau, dt)`",
    "reset_mechanism": "`reset`",
    "v_reset": "`reset=snn.ResetToValue(v_reset)`",
    "reset_val": "`reset=snn.ResetToValue(reset_val)`",
    "stop_reset_grad": "`stop_gradient`, of the reset,",
    "learn_beta": "an array in place of a number as the decay",
}


class SpikingLayer(StatefulLayer):
    r"""The part of a neuron that is the same for all: it fires, is reset and rests.

    A neuron integrates its input into a potential $v_t$ by an equation of its own and then calls `fire`:

    1. it spikes if the potential reaches the threshold: $s_t = [v_t \ge \theta]$;
    2. `reset` says what becomes of the potential (`ResetToValue`, `SubtractReset`, `NoReset`, `DelayedSubtractReset`);
    3. for the next `refractory` steps the potential stays where the reset has put it and nothing fires.

    All of it happens in the step in which the input came. Subclass it for a neuron of your own: `__init__` passes the
    arguments below on, `init_state` uses `init_potential` and `init_countdown`, `__call__` integrates in the dtype of
    the state, calls `fire`, and gives spikes in the dtype of its input:

        class Quadratic(snn.SpikingLayer):
            decay: jax.Array = snn.parameter((0.0, 1.0))

            def __init__(self, decay, **firing):
                super().__init__(**firing)
                self.decay = decay

            def init_state(self, in_shape, key=None):
                return {"v": self.init_potential(in_shape, key), "countdown": self.init_countdown(in_shape)}

            def __call__(self, state, x, *, key=None):
                v = self.decay * state["v"] + 0.1 * state["v"] ** 2 + x.astype(state["v"].dtype)
                spike, v, countdown = self.fire(v, state["v"], state["countdown"])
                return {"v": v, "countdown": countdown}, spike.astype(x.dtype)

        snn.check_layer(Quadratic(jnp.array(0.9), threshold=0.8, refractory=2), (5,))
    """

    reset: AbstractReset
    refractory: int = eqx.field(static=True)
    spike_fn: Callable[[Array], Array]
    init_fn: InitFn = parameter()
    threshold: Parameter = parameter(POSITIVE)

    def __init__(
        self,
        *,
        threshold: Parameter | Callable = 1.0,
        reset: AbstractReset | None = None,
        refractory: int = 0,
        spike_fn: Callable[[Array], Array] | None = None,
        init_fn: InitFn = None,
        shape: Sequence[int] | None = None,
        key: PRNGKeyArray | None = None,
        **unknown: object,
    ):
        r"""**Arguments:**

        - `threshold`: $\theta > 0$, the potential at which a neuron fires. A number is a constant, an array (a scalar,
            or of a shape that broadcasts to the layer's) is trained, an initialiser `(key, shape, dtype)` draws one for
            each neuron. Default 1.
        - `reset`: an `AbstractReset`. Default `snn.ResetToValue(0.0)`.
        - `refractory`: the number of steps after a spike in which nothing fires; 0 or more. Default 0.
        - `spike_fn`: the surrogate, called on the potential minus the threshold. Default `surrogate.SuperSpike()`.
        - `init_fn`: the potential before the first step: an initialiser `(key, shape, dtype)`, or an array, which is
            trained where `init_state` is called inside the loss. Default: at rest.
        - `shape`, `key`: the shape of one example and a key, for arguments that are initialisers.
        """
        owner = name_of(self)
        refuse_unknown(
            owner,
            unknown,
            _ELSEWHERE,
            "Every spiking layer takes `threshold`, `reset`, `refractory`, `spike_fn`, `init_fn`, `shape` and `key`.",
        )
        if not is_shape(shape):
            raise ValueError(f"`{owner}`: `shape` must be a tuple of sizes such as (8, 8), got {shape}.")
        self.threshold = as_parameter(owner, "threshold", threshold, POSITIVE, shape=shape, key=key)
        self.reset = ResetToValue() if reset is None else reset
        self.refractory = refractory
        self.spike_fn = SuperSpike() if spike_fn is None else spike_fn
        self.init_fn = as_init_fn(owner, init_fn)
        if not isinstance(self.reset, AbstractReset):
            raise TypeError(f"`{owner}`: `reset` must be a reset such as `snn.SubtractReset()`, got {reset!r}.")
        if not isinstance(refractory, int) or isinstance(refractory, bool) or refractory < 0:
            raise ValueError(f"`{owner}`: `refractory` must be a number of time steps, 0 or more, got {refractory!r}.")

    def __check_init__(self):
        rest = getattr(self, "rest", 0.0)
        check_spike_fn(name_of(self), self.spike_fn, self.threshold, rest=rest, refractory=self.refractory)

    def init_potential(self, in_shape: Sequence[int], key: PRNGKeyArray | None, rest: Parameter = 0.0) -> Array:
        """The potential before the first step: `rest`, or what `init_fn` draws."""
        return init_potential(self, self.init_fn, in_shape, key, rest)

    def init_countdown(self, in_shape: Sequence[int]) -> Array | None:
        """The steps for which each neuron still rests; `None` where there is no refractory period."""
        return jnp.zeros(in_shape, jnp.int32) if self.refractory else None

    def fire(
        self,
        v: Array,
        previous: Array,
        countdown: Array | None,
        *,
        threshold: Array | None = None,
        key: PRNGKeyArray | None = None,
    ) -> tuple[Array, Array, Array | None]:
        """Fires, resets and rests.

        **Arguments:** `v`: the potential that was integrated in this step; `previous`: the potential in the state
        before it; `countdown`: as in the state; `threshold`: the threshold of this step, where it is not the field of
        that name; `key`: that of the step, for a `spike_fn` that draws random numbers.

        **Returns:** the spikes, and the new potential and countdown for the state.
        """
        if self.refractory and countdown is None:
            raise ValueError(
                f"`{name_of(self)}`: with `refractory={self.refractory}`, `fire` needs the countdown of the state. "
                "Make it by `self.init_countdown(in_shape)` in `init_state`, and keep what `fire` gives back."
            )
        return recomputed(type(self)._fire)(self, v, previous, countdown, threshold, key)

    def _fire(
        self,
        v: Array,
        previous: Array,
        countdown: Array | None,
        threshold: Array | None,
        key: PRNGKeyArray | None,
    ) -> tuple[Array, Array, Array | None]:
        if threshold is None:
            threshold = acting(self.threshold, v.dtype, POSITIVE)
        spike, fired = emit(self.spike_fn, self.reset.before(v, previous, threshold) - threshold, key)
        v = self.reset.after(v, spike, threshold, fired)
        if countdown is None:
            return spike, v, None
        resting = countdown > 0
        spike = jnp.where(resting, jnp.zeros_like(spike), spike)
        v = jnp.where(resting, previous, v)
        countdown = jnp.where(jax.lax.stop_gradient(spike) != 0, self.refractory, jnp.maximum(countdown - 1, 0))
        return spike, v, countdown

    def fire_at_once(self, v: Array, keys: Array | None) -> Array:
        """The spikes of all steps from their potentials `v`, `(time, ...)`, where nothing is reset or rests."""
        self.check_linear()
        return jax.vmap(lambda v, key: self.fire(v, v, None, key=key)[0])(v, keys)

    def check_linear(self) -> None:
        """Refuses neurons whose spikes act back on the potential, which then is not linear in the input."""
        if not isinstance(self.reset, NoReset) or self.refractory:
            raise ValueError(
                f"`snn.Associative`: the potential of `{name_of(self)}` with `reset={self.reset}` and "
                f"`refractory={self.refractory}` is not linear, for what comes depends on the spikes before. Give it "
                "`reset=snn.NoReset()` and no refractory period, or leave it as it is."
            )


def recomputed(function: Callable) -> Callable:
    """`function`, of which the backward pass keeps the arguments alone, and computes what is in between anew."""
    return eqx.filter_checkpoint(function, prevent_cse=False)


def init_potential(
    layer: eqx.Module, init_fn: InitFn, in_shape: Sequence[int], key: PRNGKeyArray | None, rest: Parameter
) -> Array:
    """The potential before the first step, after checking that the parameters of `layer` fit `in_shape`."""
    owner = name_of(layer)
    if not is_shape(in_shape) or in_shape is None:
        raise TypeError(f"`{owner}`: the shape of an input must be a tuple of sizes such as (8,), got {in_shape!r}.")
    check_shapes(owner, layer, tuple(in_shape))
    dtype = jnp.zeros(()).dtype
    if not callable(init_fn):
        return jnp.broadcast_to(acting(rest if init_fn is None else init_fn, dtype), tuple(in_shape))
    if key is None:
        raise ValueError(
            f"`{owner}`: its `init_fn` draws the initial potential, so `init_state(in_shape, key)` needs a key."
        )
    return init_fn(key, tuple(in_shape), dtype)


def check_spike_fn(
    owner: str, spike_fn: object, threshold: Parameter, *, rest: Parameter = 0.0, refractory: int = 0
) -> None:
    if not callable(spike_fn) or isinstance(spike_fn, type):
        raise TypeError(
            f"`{owner}`: `spike_fn` must be a surrogate such as `surrogate.SuperSpike(10.0)`, got {spike_fn!r}."
        )
    if isinstance(spike_fn, AbstractSurrogate):
        height = threshold - rest if isinstance(threshold, float) and isinstance(rest, float) else None
        spike_fn.check_neuron(owner, height, refractory)


def as_init_fn(owner: str, init_fn: Any) -> Any:
    """The initial potential as it is stored."""
    if isinstance(init_fn, (np.ndarray, Fixed)) or eqx.is_array(init_fn):
        return as_parameter(owner, "init_fn", init_fn)
    if init_fn is not None and not callable(init_fn):
        raise TypeError(
            f"`{owner}`: `init_fn` must be an initialiser `(key, shape, dtype)`, an array or None, got {init_fn!r}."
        )
    return init_fn


def in_state_dtype(x: Array, v: Array) -> Array:
    """The input in the dtype in which neurons compute: that of their state, float32 at least."""
    x = jnp.asarray(x)
    if jnp.issubdtype(x.dtype, jnp.complexfloating) and not jnp.issubdtype(v.dtype, jnp.complexfloating):
        raise TypeError(f"These neurons take real inputs, got {x.dtype}. Give its real part or its absolute value.")
    return x.astype(v.dtype)


def in_activation_dtype(out: Array, x: Array) -> Array:
    """The output in the dtype of the input; the state's where that holds whole numbers."""
    return out.astype(jnp.asarray(x).dtype) if jnp.issubdtype(jnp.asarray(x).dtype, jnp.inexact) else out
