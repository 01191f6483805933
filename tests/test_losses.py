"""Losses: least at the ideal output, what NumPy computes, gradients of the right sign, every dtype, and messages."""

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from helpers import Counter, allclose
from hypothesis import given, strategies as st

import snnax.snn as snn
from snnax import functional

FLOATS = [jnp.float32, jnp.float16, jnp.bfloat16]
STEPS = 20
SCORES = np.array([[3.0, 9.0, 4.0, 0.0], [1.0, 2.0, 2.0, 5.0], [7.0, 0.0, 1.0, 6.0]], np.float32)
LABELS = np.array([1, 3, 2])
# A loss of one example with its three arguments, and the ideal output for class 1 of 3.
BY_CLASS = {
    "cross_entropy": (functional.cross_entropy, {}, [0, 1e3, 0]),
    "cross_entropy, weighted": (
        functional.cross_entropy,
        {"class_weights": jnp.array([1.0, 2.0, 0.5])},
        [0, 1e3, 0],
    ),
    "class_mse": (functional.class_mse, {"correct": 0.8, "incorrect": 0.1}, [0.1, 0.8, 0.1]),
    "first_spike_cross_entropy": (functional.first_spike_cross_entropy, {"time_scale": 0.1}, [STEPS, 0, STEPS]),
}
LOSSES = pytest.mark.parametrize("name", BY_CLASS)


def softmax_cross_entropy(scores, label, smoothing=0.0, weights=None):
    p = np.exp(scores - scores.max())
    p /= p.sum()
    q = np.full(len(scores), smoothing / len(scores))
    q[label] += 1 - smoothing
    return -(q * (1 if weights is None else weights) * np.log(p)).sum()


def test_cross_entropy_is_that_of_a_softmax():
    weights = np.array([0.5, 1.0, 2.0, 3.0])
    for scores, label in zip(SCORES, LABELS, strict=True):
        for smoothing in (0.0, 0.3, 1.0):
            for w in (None, weights):
                loss = functional.cross_entropy(scores, label, label_smoothing=smoothing, class_weights=w)
                allclose(loss, softmax_cross_entropy(scores.astype(np.float64), label, smoothing, w))


def test_class_mse_and_first_spike_losses_are_their_formulas():
    targets = np.where(np.arange(4) == LABELS[:, None], 0.9, 0.2)
    for x, label, target in zip(SCORES / 10, LABELS, targets, strict=True):
        loss = functional.class_mse(x, label, correct=0.9, incorrect=0.2)
        allclose(loss, sum((a - b) ** 2 for a, b in zip(x, target, strict=True)) / 4)
        loss = functional.first_spike_cross_entropy(x, label, time_scale=2.5, label_smoothing=0.1)
        allclose(loss, softmax_cross_entropy(-x.astype(np.float64) / 2.5, label, 0.1))
    times, targets = np.array([3.0, 20.0, 11.0, 8.0]), np.array([2, 20, 15, 8])
    expected = [0.0, 0.0, ((4 - 1.5) / 20) ** 2, 0.0]
    loss = functional.first_spike_mse(jnp.asarray(times, jnp.float32), targets, steps=20, tolerance=1.5)
    allclose(loss, np.mean(expected))


@LOSSES
def test_a_loss_is_least_at_the_ideal_output(name):
    loss, arguments, ideal = BY_CLASS[name]
    ideal = jnp.asarray(ideal, jnp.float32)
    assert abs(float(loss(ideal, 1, **arguments))) < 1e-6
    for seed in range(20):
        other = jnp.clip(ideal + 0.3 * jr.normal(jr.key(seed), (3,)), -STEPS, 1e3)
        assert loss(other, 1, **arguments) >= loss(ideal, 1, **arguments)
    assert loss(jnp.roll(ideal, 1), 1, **arguments) > 0.1


def test_bug_16_rates_at_their_targets_cost_nothing_whatever_the_number_of_steps():
    """Spyx: the rates were compared with a number of spikes, and the loss at the target rate was 3.6."""
    for steps in (4, 40, 400):
        train = jnp.zeros((steps, 3)).at[: steps // 4, 1].set(1.0)
        assert functional.class_mse(train.mean(0), 1, correct=0.25) == 0
        assert functional.class_mse(train.mean(0), 0, correct=0.25) > 0.04


def test_the_first_spike_loss_is_nothing_at_the_target_times_and_within_the_tolerance():
    targets = jnp.array([5, 20, 12])
    assert functional.first_spike_mse(targets, targets, steps=STEPS) == 0
    near = jnp.array([6.0, 19.0, 12.0])
    assert functional.first_spike_mse(near, targets, steps=STEPS, tolerance=1.0) == 0
    assert functional.first_spike_mse(near, targets, steps=STEPS) > 0
    # Silent for a neuron that should have fired at once: all of the sequence away.
    assert functional.first_spike_mse(jnp.array([20.0]), jnp.array([0]), steps=STEPS) == 1


@LOSSES
def test_gradients_lead_to_the_ideal_output(name):
    loss, arguments, ideal = BY_CLASS[name]
    x = jnp.array([0.5, 0.4, 0.45])
    gradient = jax.grad(loss)(x, 1, **arguments)
    assert bool(jnp.isfinite(gradient).all())
    np.testing.assert_array_equal(np.sign(gradient), np.sign(x - jnp.asarray(ideal, jnp.float32)))
    at_ideal = jax.grad(loss)(jnp.asarray(ideal, jnp.float32), 1, **arguments)
    allclose(at_ideal, jnp.zeros(3))


def test_the_gradient_of_first_spikes_makes_a_silent_class_fire():
    model = snn.Sequential(snn.SimpleLIF(0.9))

    def loss(drive, of):
        xs = jnp.broadcast_to(drive, (STEPS, 3))
        _, outs = model(model.init_state((3,)), xs, collect=snn.FirstSpike())
        return of(outs[0])

    silent = jnp.full(3, 0.05)
    for of in (
        lambda times: functional.first_spike_cross_entropy(times, 1, time_scale=5.0),
        lambda times: functional.class_mse(times / STEPS, 1, correct=0.0, incorrect=1.0),
        lambda times: functional.first_spike_mse(times, jnp.array([STEPS, 3, STEPS]), steps=STEPS),
    ):
        gradient = jax.grad(loss)(silent, of)
        assert bool(jnp.isfinite(gradient).all()) and gradient[1] < 0
        assert gradient[0] >= 0 and gradient[2] >= 0
    allclose(loss(silent, lambda t: functional.first_spike_cross_entropy(t, 1, time_scale=5.0)), np.log(3))


@LOSSES
@pytest.mark.parametrize("dtype", FLOATS)
def test_floating_dtypes_are_kept(name, dtype):
    loss, arguments, _ = BY_CLASS[name]
    x = jnp.array([2.0, 3.0, 1.0], dtype)
    out = loss(x, 1, **arguments)
    assert out.dtype == dtype
    allclose(out, loss(x.astype(jnp.float32), 1, **arguments), rtol=1e-2)
    assert jax.grad(loss)(x, 1, **arguments).dtype == dtype


@LOSSES
def test_losses_in_float64(name):
    loss, arguments, _ = BY_CLASS[name]
    x = np.array([2.0, 3.0, 1.0])
    with jax.enable_x64(True):
        out = loss(x, np.int64(1), **arguments)
        assert out.dtype == loss(np.array([2, 3, 1]), 1, **arguments).dtype == jnp.float64
        allclose(functional.masked_mean(x, functional.length_mask(2, 3)), 2.5)
    allclose(out, loss(x.astype(np.float32), 1, **arguments))


@pytest.mark.parametrize("dtype", FLOATS)
def test_large_counts_in_half_precision_do_not_overflow(dtype):
    counts = jnp.array([300.0, 100.0], dtype)
    assert functional.class_mse(counts / 100, 1).dtype == dtype
    allclose(functional.first_spike_mse(counts, counts, steps=300), 0)
    allclose(functional.class_mse(counts, 0, correct=30.0, incorrect=100.0), 36450, rtol=1e-2)


@LOSSES
@pytest.mark.parametrize("dtype", [jnp.int32, jnp.uint8, jnp.bool_])
def test_whole_numbers_and_booleans_are_taken_as_floats(name, dtype):
    loss, arguments, _ = BY_CLASS[name]
    x = jnp.array([0, 1, 1], dtype)
    out = loss(x, 1, **arguments)
    assert out.dtype == jnp.float32
    allclose(out, loss(x.astype(jnp.float32), 1, **arguments))
    allclose(loss(np.asarray(x), np.int64(1), **arguments), out)


@LOSSES
def test_leading_axes_vmap_and_jit_agree_and_nothing_is_averaged(name):
    loss, arguments, _ = BY_CLASS[name]
    scores, labels = jr.uniform(jr.key(0), (5, 3)), jnp.array([0, 2, 1, 1, 0])
    one_by_one = jnp.stack([loss(x, int(y), **arguments) for x, y in zip(scores, labels, strict=True)])
    allclose(loss(scores, labels, **arguments), one_by_one)
    allclose(jax.vmap(lambda x, y: loss(x, y, **arguments))(scores, labels), one_by_one)
    jitted = Counter(lambda x, y: loss(x, y, **arguments))
    allclose(jitted(scores, labels), one_by_one)
    jitted(scores + 1, labels)
    assert jitted.traces == 1
    allclose(loss(scores, 2, **arguments), loss(scores, jnp.full(5, 2), **arguments))


@LOSSES
def test_a_label_that_is_no_class_is_refused_or_gives_nan(name):
    loss, arguments, _ = BY_CLASS[name]
    for label in (-1, 3):
        with pytest.raises(ValueError, match=rf"`labels` must be in \[0, 2\], got values from {label} to {label}"):
            loss(jnp.ones(3), label, **arguments)
        # Known, though inside of `jit`.
        with pytest.raises(ValueError, match="`labels` must be in"):
            jax.jit(lambda x, label=label: loss(x, label, **arguments))(jnp.ones(3))
    traced = jax.jit(lambda x, y: loss(x, y, **arguments))(jnp.ones((3, 3)), jnp.array([-1, 1, 3]))
    np.testing.assert_array_equal(jnp.isnan(traced), [True, False, True])


def test_labels_and_lengths_may_be_short_integers():
    scores = jnp.arange(300.0)
    allclose(functional.cross_entropy(scores, jnp.uint8(250)), functional.cross_entropy(scores, 250))
    for length in (np.int16(3), jnp.uint8(3)):
        np.testing.assert_array_equal(functional.length_mask(length, 300), np.arange(300) < 3)
    np.testing.assert_array_equal(functional.population_sum(jnp.full(400, 100, jnp.uint8), 2), [20000, 20000])


def test_a_class_of_which_nothing_is_possible_costs_nothing():
    scores = jnp.array([1.0, 2.0, -jnp.inf])
    allclose(functional.cross_entropy(scores, 1), softmax_cross_entropy(np.array([1.0, 2.0]), 1))
    assert bool(jnp.isfinite(jax.grad(functional.cross_entropy)(scores, 1)).all())


def test_masked_mean_is_over_the_axes_of_the_mask():
    values = np.arange(24, dtype=np.float32).reshape(4, 3, 2)
    mask = functional.length_mask(3, 4)
    np.testing.assert_array_equal(mask, [True, True, True, False])
    allclose(functional.masked_mean(values, mask), values[:3].mean(0))
    both = np.arange(12).reshape(4, 3) % 2 == 0
    allclose(functional.masked_mean(values, both), values[both].mean(0))
    allclose(functional.masked_mean(values[..., 0], both), values[..., 0][both].mean())
    assert functional.masked_mean(jnp.ones((4, 3), jnp.bfloat16), mask).dtype == jnp.bfloat16
    allclose(functional.masked_mean(np.array([1, 2, 4, 9]), mask), 7 / 3)


def test_what_is_masked_has_no_effect_on_values_and_gradients_not_even_nan():
    mask = functional.length_mask(3, 5)

    def loss(potentials, labels):
        return functional.masked_mean(functional.cross_entropy(potentials, labels), mask)

    potentials, labels = jr.normal(jr.key(0), (5, 4)), jnp.array([0, 3, 1, 2, 2])
    expected = loss(potentials, labels)
    allclose(functional.cross_entropy(potentials[:3], labels[:3]).mean(), expected)
    padded = potentials.at[3:].set(jnp.nan)
    allclose(loss(padded, labels), expected)
    gradient = jax.grad(loss)(potentials, labels)
    assert bool((gradient[:3] != 0).all()) and bool((gradient[3:] == 0).all())
    unlabelled = jax.jit(jax.value_and_grad(loss))(potentials, labels.at[3:].set(-1))
    allclose(unlabelled, (expected, gradient))


def test_a_batch_of_several_lengths_is_each_example_by_itself():
    values, lengths = jr.normal(jr.key(0), (3, 6)), jnp.array([6, 1, 4])
    masks = jax.vmap(functional.length_mask, (0, None))(lengths, 6)
    means = jax.vmap(functional.masked_mean)(values, masks)
    allclose(means, jnp.stack([v[: int(n)].mean() for v, n in zip(values, lengths, strict=True)]))


def test_a_mean_of_nothing_is_refused_or_nan():
    nothing = jnp.zeros(3, bool)
    with pytest.raises(ValueError, match="`functional.masked_mean`: `mask` is False everywhere"):
        functional.masked_mean(jnp.ones(3), nothing)
    assert jnp.isnan(jax.jit(functional.masked_mean)(jnp.ones(3), nothing))


@given(st.integers(1, 5), st.integers(1, 4), st.sampled_from([(), (2,), (3, 2)]), st.integers(0, 2**30))
def test_populations_are_sums_and_means_of_contiguous_neurons(classes, size, leading, seed):
    """Spyx summed over the classes and mixed the batch."""
    scores = np.random.default_rng(seed).integers(0, 9, (*leading, classes * size))
    expected = np.stack([scores[..., c * size : (c + 1) * size].sum(-1) for c in range(classes)], -1)
    np.testing.assert_array_equal(functional.population_sum(scores, classes), expected)
    allclose(functional.population_mean(scores, classes), expected / size)
    np.testing.assert_array_equal(jax.jit(functional.population_sum, static_argnums=1)(scores, classes), expected)


@pytest.mark.parametrize("dtype", [*FLOATS, jnp.int32, jnp.bool_])
def test_populations_keep_dtypes_and_weights_are_of_the_classes(dtype):
    """snnTorch: losses of population codes had the wrong dtype, and weights of two classes."""
    scores = jnp.array([1, 1, 0, 1, 1, 1, 1, 0, 0], dtype)
    counts, rates = functional.population_sum(scores, 3), functional.population_mean(scores, 3)
    floats = dtype in FLOATS
    assert counts.dtype == (jnp.int32 if dtype == jnp.bool_ else dtype)
    assert rates.dtype == (dtype if floats else jnp.float32)
    np.testing.assert_array_equal(counts, [2, 3, 1])
    weights = jnp.array([1.0, 2.0, 3.0])
    loss = functional.cross_entropy(counts, 2, class_weights=weights)
    assert loss.dtype == (dtype if floats else jnp.float32)
    allclose(loss, 3 * softmax_cross_entropy(np.array([2.0, 3.0, 1.0]), 2), rtol=1e-2)


MESSAGES = [
    (
        TypeError,
        "`functional.cross_entropy`: `scores` must be an array of real numbers or booleans, got .*list",
        lambda: functional.cross_entropy([1.0, 2.0], 1),
    ),
    (
        TypeError,
        "`functional.class_mse`: `outputs` must be an array of real .* got an array of dtype complex64",
        lambda: functional.class_mse(jnp.ones(2, jnp.complex64), 1),
    ),
    (
        ValueError,
        r"`functional.first_spike_cross_entropy`: `times` must have the shape \(..., classes\)",
        lambda: functional.first_spike_cross_entropy(jnp.ones(()), 0, time_scale=1.0),
    ),
    (
        TypeError,
        "`labels` must be whole numbers, the index of the class, got the dtype float32. From one-hot targets: ",
        lambda: functional.cross_entropy(jnp.ones(3), jnp.array([0.0, 1.0, 0.0])),
    ),
    (
        ValueError,
        r"`labels` must be one label or have the shape \(5,\), for `scores` of shape \(5, 3\), got \(3,\). For a batch",
        lambda: functional.cross_entropy(jnp.ones((5, 3)), jnp.array([0, 1, 0])),
    ),
    (
        ValueError,
        r"`labels` must be in \[0, 2\], got values from 1 to 7. There are 3 classes, numbered from 0.",
        lambda: functional.class_mse(jnp.ones((2, 3)), jnp.array([1, 7])),
    ),
    (
        ValueError,
        r"`label_smoothing` must be in \[0, 1\], got 1.5",
        lambda: functional.cross_entropy(jnp.ones(3), 1, label_smoothing=1.5),
    ),
    (
        ValueError,
        r"`class_weights` must have the shape \(3,\), one for each class, got \(2,\)",
        lambda: functional.cross_entropy(jnp.ones(3), 1, class_weights=jnp.ones(2)),
    ),
    (
        ValueError,
        r"`class_weights` must be in \[0, inf\), got values from -1.0 to 1.0",
        lambda: functional.cross_entropy(jnp.ones(2), 1, class_weights=np.array([1.0, -1.0])),
    ),
    (
        ValueError,
        r"`functional.first_spike_cross_entropy`: `time_scale` must be in \(0, inf\), got 0.0",
        lambda: functional.first_spike_cross_entropy(jnp.ones(3), 1, time_scale=0),
    ),
    (
        ValueError,
        r"`functional.first_spike_mse`: `times` must be in \[0, 10\], .* There are 10 steps, and `steps` itself is",
        lambda: functional.first_spike_mse(jnp.full(3, 12.0), jnp.zeros(3), steps=10),
    ),
    (
        ValueError,
        r"`functional.first_spike_mse`: `targets` must be in \[0, 10\], got values from -1.0 to -1.0",
        lambda: functional.first_spike_mse(jnp.ones(3), jnp.full(3, -1.0), steps=10),
    ),
    (
        ValueError,
        r"`times` and `targets` must have one shape, got \(3,\) and \(2,\)",
        lambda: functional.first_spike_mse(jnp.ones(3), jnp.ones(2), steps=10),
    ),
    (
        ValueError,
        "`functional.first_spike_mse`: `steps` must be the number of time steps, 1 or more, got 0",
        lambda: functional.first_spike_mse(jnp.ones(3), jnp.ones(3), steps=0),
    ),
    (
        ValueError,
        r"`tolerance` must be in \[0, inf\), got -1.0",
        lambda: functional.first_spike_mse(jnp.ones(3), jnp.ones(3), steps=10, tolerance=-1),
    ),
    (
        TypeError,
        r"`functional.length_mask`: `length` must be one whole number, got the shape \(2,\) .* For a batch: `jax.vmap",
        lambda: functional.length_mask(jnp.array([1, 2]), 5),
    ),
    (
        ValueError,
        r"`functional.length_mask`: `length` must be in \[0, 5\], got values from 6 to 6",
        lambda: functional.length_mask(6, 5),
    ),
    (
        TypeError,
        "`functional.masked_mean`: `mask` must be booleans, got the dtype int32. For example: `mask > 0`.",
        lambda: functional.masked_mean(jnp.ones(2), jnp.array([1, 0])),
    ),
    (
        ValueError,
        r"`mask` must have the shape of the first axes of `values`, which are \(2, 3\), got \(3,\)",
        lambda: functional.masked_mean(jnp.ones((2, 3)), jnp.ones(3, bool)),
    ),
    (
        ValueError,
        "`functional.population_sum`: 7 neurons cannot be shared equally by 3 classes. Give the last layer 6 or 9.",
        lambda: functional.population_sum(jnp.ones(7), 3),
    ),
    (
        ValueError,
        "`functional.population_mean`: 2 neurons cannot be shared equally by 3 classes. Give the last layer 3.",
        lambda: functional.population_mean(jnp.ones(2), 3),
    ),
    (
        ValueError,
        "`n_classes` must be the number of classes, 1 or more, got 0",
        lambda: functional.population_sum(jnp.ones(2), 0),
    ),
]


@pytest.mark.parametrize("error, message, call", MESSAGES, ids=[message[:60] for _, message, _ in MESSAGES])
def test_messages(unchecked, error, message, call):
    with pytest.raises(error, match=message):
        call()
