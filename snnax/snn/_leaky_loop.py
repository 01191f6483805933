"""Leaky neurons over all time at once, where a kernel does it."""

import jax.numpy as jnp
from jaxtyping import Array

from .._kernels import Kind, neuron_loop, wanted
from .._parameter import POSITIVE, acting
from ..functional.surrogate import AbstractRandomSurrogate, AbstractSurrogate, emit
from ._filter import Gain, Parameter, acting_leaky
from ._reset import NoReset, ResetToValue, SubtractReset
from ._spiking import SpikingLayer, recomputed

_KINDS = {NoReset: Kind.NONE, ResetToValue: Kind.TO_VALUE, SubtractReset: Kind.SUBTRACT}


def leaky_loop(v: Array, xs: Array, decay: Parameter, gain: Gain, rest: Parameter = 0.0) -> Array | None:
    """What `leaky` gives after every step, `(time, ...)`, or `None` where no kernel does that."""
    if not (wanted() and xs.dtype == v.dtype == jnp.float32):
        return None
    return neuron_loop(Kind.NONE, xs, v, *acting_leaky(decay, gain, rest, v.dtype), 1.0, 0.0).reshape(xs.shape)


def firing_loop(
    layer: SpikingLayer, v: Array, xs: Array, decay: Parameter, gain: Gain, rest: Parameter = 0.0
) -> tuple[Array, Array] | None:
    """The spikes of all steps and the potential after the last, where the potential of `layer` follows `leaky`; or
    `None` where no kernel does that.
    """
    kind = kind_of(layer, v, xs)
    if kind is None:
        return None
    theta, value = reset_of(layer, v.dtype)
    potentials = neuron_loop(kind, xs, v, *acting_leaky(decay, gain, rest, v.dtype), theta, value)
    return fired(layer, potentials.reshape(xs.shape), theta)


def kind_of(layer: SpikingLayer, v: Array, xs: Array) -> Kind | None:
    """What a spike of `layer` does to its potential, where a kernel knows it."""
    kind, spike_fn = _KINDS.get(type(layer.reset)), layer.spike_fn
    if not (wanted() and xs.dtype == v.dtype == jnp.float32 and kind is not None) or layer.refractory:
        return None
    plain = isinstance(spike_fn, AbstractSurrogate) and not isinstance(spike_fn, AbstractRandomSurrogate)
    if not plain or type(spike_fn).value is not AbstractSurrogate.value or not layer.reset.stop_gradient:
        return None
    return kind


def reset_of(layer: SpikingLayer, dtype) -> tuple[Array, Array | float]:
    """The threshold, and the value after a reset."""
    value = acting(layer.reset.value, dtype) if isinstance(layer.reset, ResetToValue) else 0.0
    return acting(layer.threshold, dtype, POSITIVE), value


def fired(layer: SpikingLayer, potentials: Array, threshold: Array) -> tuple[Array, Array]:
    """The spikes of all steps and the potential after the last, of the potentials before the reset."""

    @recomputed
    def spikes_of(spike_fn, potentials, threshold):
        return emit(spike_fn, potentials - threshold)[0]

    spikes = spikes_of(layer.spike_fn, potentials, threshold)
    return spikes, layer.reset.after(potentials[-1], spikes[-1], threshold, spikes[-1])
