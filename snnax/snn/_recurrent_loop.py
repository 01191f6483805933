"""Leaky neurons that hear each other through a matrix, over all time at once, where a kernel does it."""

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, PyTree

from .._kernels import Returning, heard
from ._filter import acting_leaky
from ._leaky_loop import fired, is_simple, kind_of, leaky_loop, reset_of
from ._lif import LIF, PotentialState, SimpleLIF, SynapticState
from ._product import is_matrix


def returning_loop(neuron: Any, synapse: Any, state: Any, last: Array, xs: Array) -> tuple[PyTree, Array] | None:
    """The state of the neurons after all steps, and their spikes; or `None` where no kernel does that.

    **Arguments:** `state`: that of the `neuron`; `last`: its spikes in the step before.
    """
    if type(neuron) not in (SimpleLIF, LIF) or not is_matrix(synapse) or last.ndim != 1:
        return None
    kind = kind_of(neuron, state.v, state.countdown, xs)
    if kind is None or not is_simple(neuron, kind) or not last.dtype == synapse.weight.dtype == jnp.float32:
        return None
    if synapse.bias is not None:
        xs = xs + synapse.bias
    xs = xs.at[0].add(synapse.weight @ last)
    reset, w = reset_of(neuron, xs.dtype), synapse.weight.T

    def loop(xs, decay, gain, gamma, beta):
        leak = acting_leaky(decay, gain, neuron.rest, xs.dtype)
        return fired(neuron, kind, xs, state.v, leak, reset, Returning(gamma, beta, w))

    if isinstance(neuron, SimpleLIF):
        spikes, v = loop(xs, neuron.decay_constants, neuron.gain, 1.0, None)
        return PotentialState(v, None), spikes
    beta, gamma, _ = acting_leaky(neuron.decay_constants[1], neuron.gain[1], 0.0, xs.dtype)
    i: Any = leaky_loop(neuron, state.i, xs, neuron.decay_constants[1], neuron.gain[1])
    spikes, v = loop(i, neuron.decay_constants[0], neuron.gain[0], gamma, beta)
    gamma, beta = (jnp.broadcast_to(one, v.shape)[None] for one in (gamma, beta))
    return SynapticState(v, i[-1] + heard(spikes[None], gamma, beta, w)[0, -1], None), spikes
