"""Leaky neurons over all time at once, where a kernel does it."""

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array

from .. import _kernels
from .._kernels import Kind, Returning, Slope, Spikes, wanted
from .._parameter import POSITIVE, acting
from ..functional import surrogate
from ..functional.surrogate import AbstractRandomSurrogate, AbstractSurrogate
from ._filter import Gain, Parameter, acting_leaky
from ._layer import StatefulLayer
from ._reset import ResetToValue
from ._spiking import SpikingLayer
from ._spiking_loop import KINDS, Adaptation, Neuron, over_time

Fired = tuple[Array, Array, Any, Any]

SLOPES = {
    surrogate.StraightThrough: Slope.STRAIGHT_THROUGH,
    surrogate.LeakyStep: Slope.LEAKY_STEP,
    surrogate.LogTailed: Slope.LOG_TAILED,
    surrogate.Triangular: Slope.TRIANGULAR,
    surrogate.Boxcar: Slope.BOXCAR,
    surrogate.SuperSpike: Slope.SUPER_SPIKE,
    surrogate.ArcTan: Slope.ARC_TAN,
    surrogate.Sigmoid: Slope.SIGMOID,
    surrogate.Tanh: Slope.SIGMOID,
    surrogate.Exponential: Slope.EXPONENTIAL,
    surrogate.Gaussian: Slope.GAUSSIAN,
}
"""The surrogates whose derivatives the kernels know."""


def leaky_loop(
    layer: StatefulLayer, v: Array, xs: Array, decay: Parameter, gain: Gain, rest: Parameter = 0.0
) -> Array | None:
    """What `leaky` gives after every step, `(time, ...)`, or `None` where no kernel does that."""
    if not (wanted() and xs.dtype == v.dtype == jnp.float32 and _steps_as_it_loops(layer)):
        return None
    return _kernels.leaky_loop(xs, v, *acting_leaky(decay, gain, rest, v.dtype))


def firing_loop(
    layer: SpikingLayer,
    v: Array,
    countdown: Array | None,
    xs: Array,
    decay: Parameter,
    gain: Gain,
    rest: Parameter = 0.0,
    *,
    a: Array | None = None,
    adaptation: Adaptation | None = None,
) -> Fired | None:
    """The spikes of all steps, and the potential, the adaptation `a` and the countdown after the last, where the
    potential of `layer` follows `leaky`, and adapts by `adaptation`; or `None` where no kernel does that.
    """
    kind, dtype = kind_of(layer, v, countdown, xs), v.dtype
    if kind is None:
        return None
    spike_fn: Any = layer.spike_fn
    filtering, (threshold, value) = acting_leaky(decay, gain, rest, dtype), reset_of(layer, dtype)
    if adaptation is not None or not is_simple(layer, kind):
        neuron = Neuron(*filtering, threshold, layer.reset, spike_fn, adaptation)
        return over_time(neuron, layer.refractory, v, a, countdown, xs)
    return *fired(layer, kind, xs, v, filtering, (threshold, value)), None, None


def kind_of(layer: SpikingLayer, v: Array, countdown: Array | None, xs: Array) -> Kind | None:
    """What a spike of `layer` does to its potential, where kernels know its reset, its surrogate and its step."""
    kind, spike_fn = KINDS.get(type(layer.reset)), layer.spike_fn
    if not (wanted() and xs.dtype == v.dtype == jnp.float32 and len(xs)):
        return None
    if not isinstance(spike_fn, AbstractSurrogate) or isinstance(spike_fn, AbstractRandomSurrogate):
        return None
    own = any(getattr(type(spike_fn), name) is not getattr(AbstractSurrogate, name) for name in ("value", "__call__"))
    if own or not _steps_as_it_loops(layer):
        return None
    return kind if (countdown is None) == (layer.refractory == 0) else None


def is_simple(layer: SpikingLayer, kind: Kind) -> bool:
    """Whether the potentials before the reset tell all of the neurons of `layer`."""
    return not layer.refractory and kind != Kind.DELAYED and (layer.reset.stop_gradient or kind == Kind.NONE)


def reset_of(layer: SpikingLayer, dtype) -> tuple[Array, Any]:
    """The threshold, and the value after a reset."""
    value = acting(layer.reset.value, dtype) if isinstance(layer.reset, ResetToValue) else 0.0
    return acting(layer.threshold, dtype, POSITIVE), value


def fired(
    layer: SpikingLayer,
    kind: Kind,
    xs: Array,
    v: Array,
    filtering: tuple[Array, Array, Array],
    reset: tuple[Array, Any],
    returning: Returning | None = None,
) -> tuple[Array, Array]:
    """The spikes of all steps, and the potential after the last, where `is_simple`.

    **Arguments:** `filtering`: the decay, the gain and the rest that act; `reset`: as `reset_of` says; `returning`:
        what the neurons hear of each other.
    """
    firing = Spikes(layer.spike_fn, *_slope_of(layer.spike_fn, v.dtype))
    spikes, potentials = _kernels.firing_loop(kind, firing, xs, v, *filtering, *reset, returning=returning)
    last = potentials[0, -1].reshape(v.shape)
    return spikes, layer.reset.after(last, spikes[-1], reset[0], spikes[-1])


def _slope_of(spike_fn: Any, dtype) -> tuple[Slope, Any]:
    """The derivative of `spike_fn` as kernels know it, and its parameter."""
    slope = SLOPES.get(type(spike_fn), Slope.GIVEN)
    if slope in (Slope.GIVEN, Slope.STRAIGHT_THROUGH):
        return slope, 0.0
    if slope == Slope.LEAKY_STEP:
        return slope, acting(spike_fn.leak, dtype)
    k = acting(spike_fn.slope, dtype, POSITIVE)
    return slope, 2 * k if isinstance(spike_fn, surrogate.Tanh) else k


def _steps_as_it_loops(layer: StatefulLayer) -> bool:
    """Whether the step of `layer` is that of the class of snnax whose loop runs: a subclass may have changed it."""
    classes = type(layer).__mro__
    defines = {name: next(c for c in classes if name in vars(c)) for name in ("over_time", "__call__")}
    fires = all(getattr(type(layer), name, None) is getattr(SpikingLayer, name) for name in ("fire", "_fire"))
    ours = defines["over_time"] is defines["__call__"] and defines["__call__"].__module__.startswith("snnax.snn.")
    return ours and (fires or not isinstance(layer, SpikingLayer))
