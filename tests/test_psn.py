"""Parallel spiking neurons mix the steps as their equations say; which ones know the future is told and refused."""

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

import snnax.snn as snn
from snnax.functional import surrogate


def run(layer, xs, **kwargs):
    model = snn.Sequential(layer)
    return model(model.init_state(xs.shape[1:]), xs, **kwargs)[1][0]


def mixed(weight, threshold, xs):
    """Step by step in NumPy."""
    weight, xs = np.asarray(weight, float), np.asarray(xs, float)
    rows = []
    for t in range(len(weight)):
        v = sum(weight[t, u] * xs[u] for u in range(len(xs)))
        rows.append(v >= np.broadcast_to(threshold, len(weight))[t])
    return np.stack(rows)


@pytest.mark.parametrize("shape", [(6,), (2, 3, 3)])
def test_a_psn_equals_its_equation_and_a_masked_one_sees_the_last_steps_alone(shape, getkey):
    xs = 2 * jr.normal(getkey(), (12, *shape))
    layer = eqx.tree_at(lambda m: m.threshold, snn.PSN(12, key=getkey()), jnp.linspace(0.1, 1.2, 12))
    outs = run(layer, xs)
    np.testing.assert_array_equal(outs, mixed(layer.weight, layer.threshold, xs))
    assert 0.05 < outs.mean() < 0.95
    masked = snn.PSN(12, order=3, threshold=0.2, key=getkey())
    weight = np.asarray(masked.weight) * [[0 <= t - u < 3 for u in range(12)] for t in range(12)]
    outs = run(masked, xs)
    np.testing.assert_array_equal(outs, mixed(weight, 0.2, xs))
    assert 0.05 < outs.mean() < 0.95


def test_the_future_acts_on_the_past_of_a_psn_and_not_of_a_masked_one(getkey):
    xs = jr.normal(getkey(), (8, 4))
    smooth = {"spike_fn": eqx.nn.Identity(), "threshold": 0.0}
    key = getkey()
    for layer, causal in ((snn.PSN(8, key=key, **smooth), False), (snn.PSN(8, order=8, key=key, **smooth), True)):
        jacobian = jax.jacobian(lambda xs, layer=layer: run(layer, xs))(xs)[:, 0, :, 0]
        np.testing.assert_allclose(jacobian, np.tril(layer.weight) if causal else layer.weight, atol=1e-6)


def test_weights_start_within_their_bounds_and_weights_and_thresholds_are_trained(getkey):
    layer = snn.PSN(16, key=getkey())
    assert 0.2 < np.max(np.abs(layer.weight)) <= 0.25
    np.testing.assert_array_equal(layer.threshold, np.ones(16))
    np.testing.assert_array_equal(snn.SlidingPSN(4).weight, [1, 0.5, 0.25, 0.125])
    for one in (layer, snn.SlidingPSN(4)):
        gradient = eqx.filter_grad(lambda m: jnp.sum(run(m, jnp.ones((16, 3)))))(one)
        assert np.any(gradient.weight) and np.all(gradient.threshold < 0)


def test_sequences_of_another_length_are_refused_by_name(getkey):
    with pytest.raises(ValueError, match="`snn.PSN`: it mixes .* of 8 .*got one of 5.*`snn.SlidingPSN`"):
        run(snn.PSN(8, key=getkey()), jnp.ones((5, 3)))


def test_single_steps_pieces_and_cycles_are_refused_by_name(getkey):
    model = snn.Sequential(snn.PSN(4, key=getkey()))
    states, xs = model.init_state((3,)), jnp.ones((4, 3))
    for arguments in ({"plan": snn.StepByStep()}, {"plan": snn.Chunked(2)}, {"truncate": 2}):
        with pytest.raises(
            ValueError, match="`snn.PSN` needs all steps of a.*single steps .* there is `snn.SlidingPSN`"
        ):
            model(states, xs, **arguments)
    with pytest.raises(ValueError, match="`snn.PSN` needs all steps"):
        model.step(states, xs[0])
    with pytest.raises(ValueError, match="`snn.PSN` needs all steps"):
        run(snn.Recurrent(snn.PSN(4, key=getkey()), 0.5), xs)


def test_states_are_collected_of_whole_sequences_without_one_and_refused_of_others(getkey):
    """A collector of states runs a layer step by step, which these are not for."""
    xs, layer = 2 * jr.normal(getkey(), (6, 3)), snn.PSN(6, threshold=0.2, key=getkey())
    trains, states = run(layer, xs, collect=[(snn.Trains(), snn.Traces())])
    np.testing.assert_array_equal(trains, run(layer, xs))
    assert states is None and 0 < trains.mean() < 1
    with pytest.raises(ValueError, match="`snn.PSN` needs all steps.* a collector of states"):
        run(snn.Parallel(layer, snn.SimpleLI(0.9)), xs, collect=snn.Traces())


@pytest.mark.parametrize("order", [1, 2, 5])
def test_a_sliding_psn_equals_its_equation_and_streams(order, getkey):
    xs = jr.normal(getkey(), (14, 3, 2))
    layer = eqx.tree_at(lambda m: m.weight, snn.SlidingPSN(order, threshold=0.4), jr.normal(getkey(), (order,)))
    padded = np.concatenate([np.zeros((order - 1, 3, 2)), np.asarray(xs, float)])
    v = np.stack([sum(float(layer.weight[i]) * padded[t + order - 1 - i] for i in range(order)) for t in range(14)])
    assert 0.1 < np.mean(v >= 0.4) < 0.9
    np.testing.assert_array_equal(run(layer, xs), v >= 0.4)
    model = snn.Sequential(layer)
    states, outs = model.init_state((3, 2)), []
    for piece in (xs[:3], xs[3:4], xs[4:]):
        states, (out,) = model(states, piece)
        outs.append(out)
    np.testing.assert_array_equal(jnp.concatenate(outs), v >= 0.4)
    np.testing.assert_array_equal(states.layers[0], xs[14 - (order - 1) :])
    states = model.init_state((3, 2))
    for t in range(14):
        states, (out,) = model.step(states, xs[t])
        np.testing.assert_array_equal(out, v[t] >= 0.4)


def test_random_surrogates_get_a_key_for_each_step(getkey):
    class Drawn(surrogate.AbstractSurrogate):
        uniform: jax.Array

        def __call__(self, x):
            return (self.uniform < 0.5).astype(x.dtype)

        derivative = antiderivative = None

    class Coin(surrogate.AbstractRandomSurrogate):
        def draw(self, x, key):
            return Drawn(jr.uniform(key, x.shape))

        derivative = antiderivative = None

    for layer in (snn.PSN(40, spike_fn=Coin(), key=getkey()), snn.SlidingPSN(2, spike_fn=Coin())):
        model = snn.Sequential(layer)
        outs = model(model.init_state((1,)), jnp.ones((40, 1)), getkey())[1][0]
        assert 0.1 < outs.mean() < 0.9


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda key: snn.PSN(0, key=key), "`snn.PSN`: `steps` must be a number of steps, 1 or more, got 0"),
        (lambda key: snn.PSN(4, order=0, key=key), "`snn.PSN`: `order` must be a number of steps, 1 or more, got 0"),
        (lambda key: snn.SlidingPSN(True), "`snn.SlidingPSN`: `order` must be a number of steps, 1 or more, got True"),
        (lambda key: snn.PSN(4, threshold=jnp.ones(3), key=key), r"`snn.PSN`: `threshold` .* \(4,\), got \(3,\)"),
        (lambda key: snn.SlidingPSN(2, threshold=jnp.ones(3)), r"one for all, got an array of shape \(3,\)"),
        (lambda key: snn.PSN(4, spike_fn="relu", key=key), "`snn.PSN`: `spike_fn` must be a surrogate"),
    ],
)
def test_arguments_that_make_no_sense_are_refused(make, message, getkey, unchecked):
    with pytest.raises((ValueError, TypeError), match=message):
        make(getkey())
