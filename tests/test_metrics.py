"""Metrics: what NumPy computes, ties and silence, known statistics, under `jit` and `vmap`, and messages."""

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from helpers import allclose, spikes_like

from snnax import functional


def test_accuracy_is_that_of_the_largest_score():
    scores, labels = jr.normal(jr.key(0), (50, 4)), jr.randint(jr.key(1), (50,), 0, 4)
    hits = np.argmax(scores, -1) == np.asarray(labels)
    assert 0 < hits.mean() < 1
    np.testing.assert_array_equal(functional.accuracy(scores, labels), hits)
    np.testing.assert_array_equal(jax.jit(jax.vmap(functional.accuracy))(scores, labels), hits)


def test_a_tie_counts_as_a_draw_and_silence_as_chance():
    assert functional.accuracy(jnp.array([2, 5, 5, 1]), 1) == 0.5
    assert functional.accuracy(jnp.array([2, 5, 5, 1]), 0) == 0
    silent, steps = jnp.zeros((20, 4)), 20
    for label in range(4):
        assert functional.accuracy(silent.sum(0), label) == 0.25
        assert functional.accuracy(-jnp.full(4, steps), label) == 0.25
    # The average over labels is that of a draw among the winners.
    assert functional.accuracy(jnp.tile(jnp.array([3, 3, 3]), (3, 1)), jnp.arange(3)).mean() == pytest.approx(1 / 3)


def test_by_first_spike_the_earliest_class_wins():
    times = jnp.array([20.0, 7.0, 20.0, 9.0])
    np.testing.assert_array_equal([functional.accuracy(-times, label) for label in range(4)], [0, 1, 0, 0])


def test_a_score_that_is_nan_is_never_right():
    assert functional.accuracy(jnp.array([jnp.nan, 1.0]), 0) == 0
    assert functional.accuracy(jnp.array([jnp.nan, 1.0]), 1) == 0


def test_votes_are_those_of_the_read_outs():
    readouts = jr.normal(jr.key(0), (9, 4))
    np.testing.assert_array_equal(functional.votes(readouts), np.bincount(np.argmax(readouts, -1), minlength=4))
    shared = functional.votes(jnp.array([[1, 1, 0], [0, 0, 0], [0, 3, 1]]))
    allclose(shared, np.array([1 / 2 + 1 / 3, 1 / 2 + 1 / 3 + 1, 1 / 3]))
    batch = jr.normal(jr.key(1), (9, 5, 4))
    allclose(functional.votes(batch), jax.vmap(functional.votes, in_axes=1)(batch))


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16, jnp.int32, jnp.bool_])
def test_rates_and_sparsity_are_pooled_over_all_neurons_of_all_layers(dtype):
    layers = {"a": spikes_like(jr.key(0), (300, 7), 0.2), "b": [None, spikes_like(jr.key(1), (300, 2, 3), 0.6)]}
    layers = jax.tree.map(lambda x: x.astype(dtype), layers)
    pooled = np.concatenate([np.asarray(x, np.float64).ravel() for x in jax.tree.leaves(layers)])
    rate, sparsity = functional.firing_rate(layers), functional.sparsity(layers)
    assert rate.dtype == sparsity.dtype == jnp.float32
    allclose(rate, pooled.mean())
    allclose(sparsity, (pooled == 0).mean())
    allclose(rate + sparsity, 1)
    rates = jax.tree.map(lambda x: x.astype(jnp.float32).mean(0), layers)
    allclose(jax.jit(functional.firing_rate)(rates), rate)


def test_graded_and_negative_spikes_are_not_zero():
    allclose(functional.sparsity(jnp.array([0.0, -1.0, 3.0, 0.0, 0.5])), 0.4)


def test_the_variation_of_intervals_is_that_of_numpy():
    train = spikes_like(jr.key(0), (200, 3, 2), 0.3)
    expected = np.empty((3, 2))
    for i, j in np.ndindex(3, 2):
        intervals = np.diff(np.flatnonzero(train[:, i, j]))
        expected[i, j] = intervals.std() / intervals.mean()
    allclose(functional.isi_cv(train), expected)
    allclose(jax.jit(jax.vmap(functional.isi_cv))(train[None].astype(bool)), expected[None])


def test_regular_trains_do_not_vary_and_random_ones_do_as_their_distribution():
    regular = jnp.zeros(100).at[3::7].set(1)
    assert functional.isi_cv(regular) == 0
    random = spikes_like(jr.key(0), (20000, 4), 0.1)
    # Intervals of a Bernoulli process are geometric. The standard error for 2000 intervals is about 0.02.
    np.testing.assert_allclose(functional.isi_cv(random), np.sqrt(1 - 0.1), atol=0.08)


def test_less_than_two_intervals_have_no_variation():
    train = jnp.zeros((10, 4)).at[2, 1].set(1).at[jnp.array([2, 5]), 2].set(1).at[jnp.array([0, 5, 9]), 3].set(1)
    np.testing.assert_array_equal(jnp.isnan(functional.isi_cv(train)), [True, True, True, False])
    allclose(functional.isi_cv(train)[3], 0.5 / 4.5)


def test_synchrony_is_one_for_copies_and_falls_with_the_root_of_the_number_of_neurons():
    one = jr.normal(jr.key(0), (500, 1))
    allclose(functional.synchrony(jnp.tile(one, (1, 30))), 1)
    for neurons in (25, 100):
        independent = jr.normal(jr.key(neurons), (4000, neurons))
        np.testing.assert_allclose(functional.synchrony(independent), neurons**-0.5, rtol=0.1)
    opposed = jnp.concatenate([one, -one], 1)
    allclose(functional.synchrony(opposed), 0)


def test_synchrony_is_that_of_numpy_for_feature_maps():
    traces = jr.uniform(jr.key(0), (40, 2, 3)) + jr.uniform(jr.key(1), (40, 1, 1))
    flat = np.asarray(traces, np.float64).reshape(40, 6)
    expected = np.sqrt(flat.mean(1).var() / flat.var(0).mean())
    allclose(functional.synchrony(traces), expected)
    allclose(jax.jit(functional.synchrony)(traces + 100), expected, rtol=1e-3)
    # Moving one of two common trains by a step destroys it.
    train = spikes_like(jr.key(2), (1000, 1), 0.1)
    assert functional.synchrony(jnp.concatenate([train, jnp.roll(train, 1, 0)], 1)) < 0.8


def test_a_population_that_does_not_vary_has_no_synchrony():
    assert jnp.isnan(functional.synchrony(jnp.zeros((10, 3))))


MESSAGES = [
    (
        r"`functional.accuracy`: `labels` must be in \[0, 2\], got values from 3 to 3.",
        lambda: functional.accuracy(jnp.ones(3), 3),
    ),
    (
        r"`functional.votes`: `scores` must have the shape \(readouts, ..., classes\), got \(3,\).",
        lambda: functional.votes(jnp.ones(3)),
    ),
    ("`functional.firing_rate`: `rates` holds no numbers, got ", lambda: functional.firing_rate((None, {}))),
    ("`functional.sparsity`: `trains` holds no numbers, got ", lambda: functional.sparsity(jnp.ones((0, 3)))),
    (
        r"`functional.isi_cv`: `train` must have the shape \(time, ...\), with one step at least, got \(\).",
        lambda: functional.isi_cv(jnp.ones(())),
    ),
    (
        r"`functional.synchrony`: `traces` must have the shape \(time, ...\), with one step at least, got \(0, 2\).",
        lambda: functional.synchrony(jnp.ones((0, 2))),
    ),
]


@pytest.mark.parametrize("message, call", MESSAGES, ids=[message[:50] for message, _ in MESSAGES])
def test_messages(message, call):
    with pytest.raises(ValueError, match=message):
        call()
