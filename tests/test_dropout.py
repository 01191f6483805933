"""Dropout with one mask for a sequence: the same in every step, under every plan and in pieces."""

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from helpers import PLANS, allclose, linear

import snnax.snn as snn


def ones_through(model, shape, key, **kwargs):
    return model(model.init_state(shape[1:]), jnp.ones(shape), key, **kwargs)[1][-1]


def test_the_mask_keeps_its_share_and_scales_what_it_keeps(getkey):
    for p in (0.0, 0.2, 0.75):
        out = np.asarray(ones_through(snn.Sequential(snn.SequenceDropout(p)), (3, 10_000), getkey()))
        assert np.all(out == out[0])
        np.testing.assert_allclose(np.unique(out), [1.0] if p == 0 else [0.0, 1 / (1 - p)], rtol=1e-6)
        # Four standard deviations of a share of 10 000.
        assert abs(np.mean(out[0] == 0) - p) <= 4 * np.sqrt(p * (1 - p) / 10_000)


def test_every_plan_draws_the_same_mask_and_another_key_another(getkey):
    inner = snn.Recurrent(snn.SimpleLI(0.9), snn.SequenceDropout(0.5))
    model = snn.Sequential(snn.SequenceDropout(0.5), snn.Residual(snn.Sequential(snn.SequenceDropout(0.5))), inner)
    key = getkey()
    outs = [ones_through(model, (7, 64), key, plan=plan) for plan in PLANS]
    for out in outs[1:]:
        allclose(out, outs[0])
    assert not np.allclose(ones_through(model, (7, 64), getkey()), outs[0])
    twins = snn.Sequential(snn.Parallel(snn.SequenceDropout(0.5), snn.SequenceDropout(0.5), merge=snn.Concatenate()))
    halves = np.split(ones_through(twins, (2, 64), key), 2, axis=-1)
    assert np.any(halves[0] != halves[1])


def test_a_stream_goes_on_with_its_mask_and_a_new_state_has_a_new_one(getkey):
    model = snn.Sequential(snn.SequenceDropout(0.5))
    states, key = model.init_state((64,)), getkey()
    used, (head,) = model(states, jnp.ones((2, 64)), key)
    for later in (key, getkey()):
        again, (tail,) = model(used, jnp.ones((3, 64)), later)
        np.testing.assert_array_equal(tail, np.broadcast_to(head[0], (3, 64)))
        _, (out,) = model.step(again, jnp.ones(64), later)
        np.testing.assert_array_equal(out, head[0])
    _, (other,) = model(states, jnp.ones((2, 64)), later)
    assert np.any(other[0] != head[0])


def test_gradients_pass_what_is_kept(getkey):
    model = snn.Sequential(snn.SequenceDropout(0.5))
    states, key = model.init_state((32,)), getkey()

    def total(xs):
        out = model(states, xs, key)[1][0]
        return jnp.sum(out), out

    gradient, out = jax.grad(total, has_aux=True)(jnp.ones((4, 32)))
    np.testing.assert_array_equal(gradient, out)


def test_in_inference_the_input_passes_and_no_key_is_needed(getkey):
    model = snn.Sequential(linear(3, 8), snn.SequenceDropout(0.9), snn.SimpleLI(0.5))
    states, xs = model.init_state((3,)), jr.normal(getkey(), (4, 3))
    inference = eqx.nn.inference_mode(model)
    without = snn.Sequential(model[0], model[2])
    allclose(inference(states, xs)[1][-1], without(without.init_state((3,)), xs)[1][-1])
    with pytest.raises(ValueError, match=r"(?s)`snn.SequenceDropout` draws its mask and needs a key.*inference_mode"):
        model(states, xs)


def test_the_dtype_of_the_input_is_kept(getkey):
    model = snn.Sequential(snn.SequenceDropout(0.5))
    _, (out,) = model(model.init_state((8,)), jnp.ones((2, 8), jnp.bfloat16), getkey())
    assert out.dtype == jnp.bfloat16 and set(np.unique(out.astype(jnp.float32))) == {0.0, 2.0}


@pytest.mark.parametrize("p", [1.0, -0.1, True, "half"])
def test_a_share_out_of_range_is_refused(p, unchecked):
    with pytest.raises(ValueError, match=r"`snn.SequenceDropout`: `p`, the share.*must be in \[0, 1\)"):
        snn.SequenceDropout(p)
