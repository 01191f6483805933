"""Tasks that are made from a key: what they hold, that they can be learned, and what does not give them away."""

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

from snnax import data

TASKS = {
    "randman": (lambda key, n: data.randman(key, n, classes=3, units=20, steps=50), 3, (50, 20)),
    "randman of two dimensions": (
        lambda key, n: data.randman(key, n, classes=4, units=8, steps=30, dim=2, alpha=3.0),
        4,
        (30, 8),
    ),
    "poisson_patterns": (lambda key, n: data.poisson_patterns(key, n, classes=3, units=30, steps=60), 3, (60, 30)),
    "delayed_recall": (lambda key, n: data.delayed_recall(key, n, units=8, delay=20), 4, (40, 40)),
    "temporal_xor": (lambda key, n: data.temporal_xor(key, n), 2, (50, 20)),
}
EACH = pytest.mark.parametrize("task, classes, shape", TASKS.values(), ids=TASKS)
KEY = jr.key(5)


@EACH
def test_examples_are_spikes_over_time_with_labels(task, classes, shape):
    spikes, labels = task(KEY, 12)
    assert spikes.shape == (12, *shape) and spikes.dtype == jnp.float32
    assert labels.shape == (12,) and labels.dtype == jnp.int32
    assert set(np.unique(spikes)) == {0.0, 1.0}


@EACH
def test_a_key_gives_the_same_examples_always_and_another_key_others(task, classes, shape):
    spikes, labels = task(KEY, 12)
    again, same = jax.jit(task, static_argnums=1)(KEY, 12)
    assert np.array_equal(spikes, again) and np.array_equal(labels, same)
    other, _ = task(jr.key(6), 12)
    assert not np.array_equal(spikes, other)
    # All tasks repeat their conditions after 12 examples, and never an example.
    more, _ = task(KEY, 13)
    assert not np.array_equal(more[0], more[12])


@EACH
def test_slices_are_balanced(task, classes, shape):
    _, labels = task(KEY, 24)
    for start in (0, 12):
        assert np.array_equal(np.bincount(labels[start : start + 12], minlength=classes), [12 // classes] * classes)


@pytest.mark.parametrize("name", [name for name in TASKS if name != "temporal_xor"])
def test_classes_are_drawn_once_and_not_for_each_example(name):
    task, classes, _ = TASKS[name]
    spikes, labels = (np.asarray(out) for out in task(KEY, 200))
    early, late = (
        np.stack([spikes[part][labels[part] == c].mean(0) for c in range(classes)])
        for part in (slice(100), slice(100, None))
    )
    distance = ((early[:, None] - late[None]) ** 2).sum((2, 3))
    assert np.array_equal(distance.argmin(1), np.arange(classes))


def nearest(train, labels, test):
    """The label of the nearest neighbour, for flat examples."""
    return labels[((test[:, None] - train[None]) ** 2).sum(-1).argmin(1)]


def blurred(spikes, width=5):
    """Spikes over time with a Gaussian window."""
    kernel = np.exp(-0.5 * (np.arange(-3 * width, 3 * width + 1) / width) ** 2)
    return np.apply_along_axis(lambda train: np.convolve(train, kernel, mode="same"), 1, spikes)


# Random manifolds.


@pytest.mark.parametrize("dim, alpha", [(1, 2.0), (2, 3.0), (1, 1.0)])
def test_manifolds_are_told_apart_by_times_and_not_by_counts(dim, alpha):
    spikes, labels = data.randman(KEY, 400, classes=5, units=20, steps=50, dim=dim, alpha=alpha)
    assert (spikes.sum(1) == 1).all()
    times, labels = np.asarray(spikes.argmax(1), np.float64), np.asarray(labels)
    found = nearest(times[:200], labels[:200], times[200:])
    assert (found == labels[200:]).mean() > 0.9


def test_manifolds_are_those_of_the_formula_and_span_all_steps():
    # One unit, one dimension: an example's time is that of some point of the curve, and the curve is smooth.
    spikes, _ = data.randman(KEY, 2000, classes=1, units=3, steps=200, alpha=3.0)
    times = np.asarray(spikes.argmax(1))
    assert (times.min(0) <= 2).all() and (times.max(0) >= 197).all()
    key_manifold, key_point = jr.split(KEY)
    amplitude, frequency, phase = np.asarray(jr.uniform(key_manifold, (3, 10, 1, 1, 3)), np.float64)[:, :, 0, 0]
    points = np.asarray(jr.uniform(key_point, (2000, 1)), np.float64)

    def curve(z):
        return sum(
            amplitude[k - 1] / k**3 * np.sin(2 * np.pi * (frequency[k - 1] * k * z + phase[k - 1]))
            for k in range(1, 11)
        )

    line = curve(np.linspace(0, 1, 20_001)[:, None])
    exact = 199 * (curve(points) - line.min(0)) / (line.max(0) - line.min(0))
    assert np.abs(times - exact).max() <= 0.51


def test_smoother_manifolds_are_smoother():
    def roughness(alpha):
        spikes, _ = data.randman(KEY, 600, classes=1, units=20, steps=1000, alpha=alpha)
        point = np.asarray(jr.uniform(jr.split(KEY)[1], (600, 1)))[:, 0]
        times = np.asarray(spikes.argmax(1))[point.argsort()]
        return np.abs(np.diff(times, axis=0)).mean()

    assert roughness(3.0) < roughness(1.5) < roughness(0.5)


def test_the_product_of_dimensions_spans_all_steps():
    spikes, _ = data.randman(KEY, 3000, classes=1, units=10, steps=20, dim=2, alpha=3.0)
    times = np.asarray(spikes.argmax(1))
    assert (times.min(0) <= 2).all() and (times.max(0) >= 17).all()


# Poisson patterns.


def test_patterns_are_told_apart_by_their_templates():
    spikes, labels = (np.asarray(out) for out in data.poisson_patterns(KEY, 60, classes=6, units=20, steps=80))
    smooth = blurred(spikes).reshape(60, -1)
    assert (nearest(smooth[:30], labels[:30], smooth[30:]) == labels[30:]).all()


def test_a_pattern_without_jitter_is_its_template_and_with_jitter_moves():
    frozen, labels = data.poisson_patterns(KEY, 8, classes=2, units=40, steps=500, rate=0.1, jitter=0.0)
    assert np.array_equal(frozen[0], frozen[2]) and not np.array_equal(frozen[0], frozen[1])
    p, n = 0.1, 40 * 500
    assert (np.abs(np.asarray(frozen).mean((1, 2)) - p) < 5 * np.sqrt(p * (1 - p) / n)).all()
    # One spike per unit or so: how far it has moved is normally distributed.
    sparse, _ = data.poisson_patterns(KEY, 400, classes=1, units=30, steps=200, rate=0.004, jitter=0.0)
    moved, _ = data.poisson_patterns(KEY, 400, classes=1, units=30, steps=200, rate=0.004, jitter=3.0)
    single = (np.asarray(sparse[0]).sum(0) == 1) & (np.abs(np.asarray(sparse[0]).argmax(0) - 100) < 80)
    shift = (np.asarray(moved).argmax(1) - np.asarray(sparse).argmax(1))[:, single]
    assert single.sum() > 3
    assert abs(shift.std() - np.sqrt(9 + 1 / 12)) < 0.25 and abs(shift.mean()) < 0.3


def test_spikes_that_leave_the_sequence_do_not_come_back_at_the_other_end():
    options = dict(classes=1, units=40, steps=300, rate=0.003)
    (frozen,), _ = data.poisson_patterns(KEY, 1, jitter=0.0, **options)
    moved, _ = data.poisson_patterns(KEY, 200, jitter=20.0, **options)
    early, late = (~np.asarray(frozen[half]).any(0) for half in (slice(30, None), slice(270)))
    assert np.asarray(frozen)[:30, early].any() and np.asarray(frozen)[270:, late].any()
    assert not np.asarray(moved)[:, 150:, early].any() and not np.asarray(moved)[:, :150, late].any()


# Memory.


def test_the_cue_tells_the_answer_and_the_total_count_does_not():
    spikes, labels = (np.asarray(out) for out in data.delayed_recall(KEY, 800))
    groups = spikes.reshape(800, 70, 5, 10)
    assert (groups[:, :10, :4].sum((1, 3)).argmax(1) == labels).all()
    # After the cue nothing tells it, and the request is the same for all.
    assert (groups[:, 10:, :4].sum((1, 3)).argmax(1) == labels).mean() < 0.35
    assert (groups[:, 60:, 4].mean((1, 2)) > 0.3).all() and groups[:, :60, 4].mean() < 0.03
    assert groups[:, 60:, :4].mean() < 0.03
    counts = spikes.sum((1, 2))
    means = np.array([counts[labels == c].mean() for c in range(4)])
    assert np.ptp(means) < 5 * counts.std() * np.sqrt(2 / 200)
    rate = groups[np.arange(800), :10, labels].mean()
    assert abs(rate - 0.5) < 0.02 and abs(groups[:, 10:60].mean() - 0.02) < 0.002


def test_a_rule_solves_the_temporal_xor_and_counts_do_not():
    spikes, labels = (np.asarray(out) for out in data.temporal_xor(KEY, 800))
    kind = spikes.reshape(800, 50, 2, 10).sum(3)
    first, second = kind[:, :5].sum(1).argmax(1), kind[:, 25:30].sum(1).argmax(1)
    assert np.array_equal(first ^ second, labels)
    assert np.array_equal(first * 2 + second, np.arange(800) % 4)
    assert not kind[:, 5:25].any() and not kind[:, 30:].any()
    counts = spikes.sum((1, 2))
    assert abs(counts[labels == 0].mean() - counts[labels == 1].mean()) < 5 * counts.std() * np.sqrt(2 / 400)
    # No linear read-out of any channel at any step solves it.
    design = np.concatenate([kind[:, [*range(5), *range(25, 30)]].reshape(800, -1), np.ones((800, 1))], axis=1)
    weights = np.linalg.lstsq(design[:400], 2.0 * labels[:400] - 1, rcond=None)[0]
    assert ((design[400:] @ weights > 0) == labels[400:]).mean() < 0.6


def test_background_is_added_to_the_pulses():
    spikes, _ = data.temporal_xor(KEY, 200, background=0.1, rate=1.0, pulse=3, delay=0, units=2)
    assert spikes.shape == (200, 6, 4)
    assert abs(float(spikes.mean()) - 0.55) < 0.03
    silent, _ = data.delayed_recall(KEY, 4, rate=0.0, background=0.0)
    assert not silent.any()


def test_what_makes_no_sense_is_refused(unchecked):
    with pytest.raises(ValueError, match="`data.randman`: `alpha` must be a positive number, got 0"):
        data.randman(KEY, 10, alpha=0)
    with pytest.raises(ValueError, match="`data.randman`: `examples` must be a whole number of 1 or more, got 0"):
        data.randman(KEY, 0)
    with pytest.raises(ValueError, match=r"`data.poisson_patterns`: `rate` must be a number in \[0, 1\], got 20"):
        data.poisson_patterns(KEY, 10, rate=20)
    with pytest.raises(ValueError, match=r"`jitter` must be a number in \[0, inf\), got -1. .* time steps"):
        data.poisson_patterns(KEY, 10, jitter=-1)
    with pytest.raises(ValueError, match="`data.temporal_xor`: `delay` must be a whole number of 0 or more, got -1"):
        data.temporal_xor(KEY, 10, delay=-1)
    with pytest.raises(ValueError, match=r"`data.delayed_recall`: `background` must be a number in \[0, 1\], got 1.5"):
        data.delayed_recall(KEY, 10, background=1.5)
