"""`snn.check_layer` accepts a layer that keeps the contract, and says of another what it breaks."""

import equinox as eqx
import jax
import jax.numpy as jnp
import pytest
from jaxtyping import Array

import snnax.snn as snn
from snnax.functional import surrogate


class Trace(eqx.Module):
    v: Array


class Neuron(snn.StatefulLayer):
    """A leaky integrate-and-fire neuron, as a user would write it."""

    decay: Array
    spike_fn: surrogate.SuperSpike

    def __init__(self, decay=0.9):
        self.decay = jnp.asarray(decay)
        self.spike_fn = surrogate.SuperSpike(5.0)

    def init_state(self, in_shape, key=None):
        return Trace(jnp.zeros(in_shape))

    def __call__(self, state, x, *, key=None):
        v = self.decay * state.v + x.astype(state.v.dtype)
        spike = self.spike_fn(v - 1.0)
        return Trace(v * (1 - spike)), spike.astype(x.dtype)


class Filter(snn.StatefulLayer):
    """A sound layer, of which each class below breaks one property."""

    def init_state(self, in_shape, key=None):
        return Trace(jnp.zeros(in_shape))

    def __call__(self, state, x, *, key=None):
        v = 0.5 * state.v + x.astype(state.v.dtype)
        return Trace(v), v.astype(x.dtype)


class IgnoresItsState(Filter):
    def __call__(self, state, x, *, key=None):
        return Trace(0.5 * state.v + x.astype(state.v.dtype)), x


class ChangesTheDtype(Filter):
    def __call__(self, state, x, *, key=None):
        state, out = Filter.__call__(self, state, x)
        return Trace(state.v.astype(jnp.bfloat16)), out


class ChangesTheShape(Filter):
    def __call__(self, state, x, *, key=None):
        state, out = Filter.__call__(self, state, x)
        return Trace(state.v[None]), out


class ChangesTheStructure(Filter):
    def __call__(self, state, x, *, key=None):
        state, out = Filter.__call__(self, state, x)
        return (state.v,), out


class AlwaysFloat32(Filter):
    def __call__(self, state, x, *, key=None):
        state, out = Filter.__call__(self, state, x)
        return state, out.astype(jnp.float32)


class SweepsOtherwise(Filter):
    def over_time(self, state, xs, *, keys=None):
        state, outs = Filter.over_time(self, state, xs)
        return state, jnp.roll(outs, 1, axis=0)


class SweepsWithoutGradient(Filter):
    def over_time(self, state, xs, *, keys=None):
        state, outs = Filter.over_time(self, jax.lax.stop_gradient(state), xs)
        return state, jax.lax.stop_gradient(outs)


class StartsAnewInEveryPiece(Filter):
    def over_time(self, state, xs, *, keys=None):
        return Filter.over_time(self, jax.tree.map(jnp.zeros_like, state), xs)


class ActsOtherwiseOutsideJit(Filter):
    def __call__(self, state, x, *, key=None):
        state, out = Filter.__call__(self, state, x)
        return state, out if isinstance(x, jax.core.Tracer) else out + 1


def test_a_layer_in_twenty_lines_passes_and_trains():
    assert snn.check_layer(Neuron(), (3,), steps=5) is None
    assert snn.trainable(Neuron()).decay is True


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (IgnoresItsState, "IgnoresItsState.*the state does not matter"),
        (ChangesTheDtype, r"(?s)ChangesTheDtype.*like the one that it got.*float32.*bfloat16"),
        (ChangesTheShape, r"(?s)ChangesTheShape.*like the one that it got.*\(3,\).*\(1, ?3\)"),
        (ChangesTheStructure, r"(?s)ChangesTheStructure.*like the one that it got.*structure"),
        (AlwaysFloat32, r"AlwaysFloat32.*dtype of the input.*out\.astype\(x\.dtype\).*bfloat16.*float32"),
        (SweepsOtherwise, "SweepsOtherwise.*LayerByLayer.*StepByStep"),
        (SweepsWithoutGradient, "SweepsWithoutGradient.*LayerByLayer.*StepByStep.*gradient"),
        (StartsAnewInEveryPiece, "StartsAnewInEveryPiece.*LayerByLayer.*StepByStep"),
        (ActsOtherwiseOutsideJit, "ActsOtherwiseOutsideJit.*outside `jit`"),
    ],
)
def test_a_layer_that_breaks_the_contract_is_refused_by_name(layer, message):
    with pytest.raises(ValueError, match=message):
        snn.check_layer(layer(), (3,), steps=4)


def test_pieces_are_compared_with_the_whole_under_a_single_plan():
    with pytest.raises(ValueError, match="StartsAnewInEveryPiece.*pieces"):
        snn.check_layer(StartsAnewInEveryPiece(), (3,), steps=4, plans=[snn.LayerByLayer()])


def test_a_network_without_state_passes():
    snn.check_layer(snn.Sequential(eqx.nn.Lambda(jax.nn.relu), snn.Flatten()), (3,), steps=3)


def test_too_few_steps_are_refused():
    with pytest.raises(ValueError, match="`steps` must be 3 or more, got 2"):
        snn.check_layer(Neuron(), (3,), steps=2)
