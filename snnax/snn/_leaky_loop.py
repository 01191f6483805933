"""Leaky neurons over all time at once, where a kernel does it."""

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array

from .._kernels import Kind, neuron_loop, wanted
from .._parameter import POSITIVE, acting
from ..functional.surrogate import AbstractRandomSurrogate, AbstractSurrogate, emit
from ._filter import Gain, Parameter, acting_leaky
from ._layer import StatefulLayer
from ._reset import ResetToValue
from ._spiking import SpikingLayer, recomputed
from ._spiking_loop import KINDS, Adaptation, Neuron, over_time

Fired = tuple[Array, Array, Any, Any]


def leaky_loop(
    layer: StatefulLayer, v: Array, xs: Array, decay: Parameter, gain: Gain, rest: Parameter = 0.0
) -> Array | None:
    """What `leaky` gives after every step, `(time, ...)`, or `None` where no kernel does that."""
    if not (wanted() and xs.dtype == v.dtype == jnp.float32 and _steps_as_it_loops(layer)):
        return None
    return neuron_loop(Kind.NONE, xs, v, *acting_leaky(decay, gain, rest, v.dtype), 1.0, 0.0).reshape(xs.shape)


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
    potentials = neuron_loop(kind, xs, v, *filtering, threshold, value)
    return *fired(layer, potentials, xs.shape, threshold), None, None


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


def fired(layer: SpikingLayer, potentials: Array, shape: tuple[int, ...], threshold: Array) -> tuple[Array, Array]:
    """The spikes of all steps, of this shape, and the potential after the last, of the potentials before the reset in
    the form in which they are kept.
    """

    @recomputed
    def spikes_of(spike_fn, potentials, threshold):
        return emit(spike_fn, potentials.reshape(shape) - threshold)[0]

    spikes = spikes_of(layer.spike_fn, potentials, threshold)
    last = potentials[0, -1].reshape(shape[1:])
    return spikes, layer.reset.after(last, spikes[-1], threshold, spikes[-1])


def _steps_as_it_loops(layer: StatefulLayer) -> bool:
    """Whether the step of `layer` is that of the class of snnax whose loop runs: a subclass may have changed it."""
    classes = type(layer).__mro__
    defines = {name: next(c for c in classes if name in vars(c)) for name in ("over_time", "__call__")}
    fires = all(getattr(type(layer), name, None) is getattr(SpikingLayer, name) for name in ("fire", "_fire"))
    ours = defines["over_time"] is defines["__call__"] and defines["__call__"].__module__.startswith("snnax.snn.")
    return ours and (fires or not isinstance(layer, SpikingLayer))
