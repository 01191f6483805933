"""Distances between spike trains: closed forms, another way to compute them, and the axioms of a metric."""

import itertools

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from helpers import allclose, spikes_like
from hypothesis import given, strategies as st

import snnax.snn as snn
from snnax import functional

STEPS = 12
trains = st.lists(st.integers(0, 1), min_size=STEPS, max_size=STEPS).map(lambda bits: jnp.array(bits, jnp.float32))
DISTANCES = {
    "van_rossum, 0.7": lambda a, b: functional.van_rossum(a, b, 0.7),
    "van_rossum, 0": lambda a, b: functional.van_rossum(a, b, 0.0),
    "victor_purpura, 0.3": lambda a, b: functional.victor_purpura(a, b, 0.3),
    "victor_purpura, 5": lambda a, b: functional.victor_purpura(a, b, 5.0),
}
# Compiled once: hypothesis calls them hundreds of times.
DISTANCES = {name: jax.jit(distance) for name, distance in DISTANCES.items()}
EACH = pytest.mark.parametrize("name", DISTANCES)


def spike(*steps, length=STEPS):
    return jnp.zeros(length).at[jnp.array(steps, int)].set(1.0)


@EACH
@given(a=trains, b=trains, c=trains)
def test_the_axioms_of_a_metric(name, a, b, c):
    distance = DISTANCES[name]
    ab, ba, bc, ac = (float(distance(x, y)) for x, y in ((a, b), (b, a), (b, c), (a, c)))
    assert distance(a, a) == 0
    assert ab >= 0 and (ab > 1e-3) == bool((a != b).any())
    assert abs(ab - ba) < 1e-5
    assert ac <= ab + bc + 1e-5


@pytest.mark.parametrize("decay", [0.0, 0.5, 0.9, 1.0])
def test_van_rossum_of_single_spikes_has_a_closed_form(decay):
    nothing = jnp.zeros(STEPS)
    for first, second in ((0, 0), (2, 5), (0, 11), (10, 11)):
        square = functional.van_rossum(spike(first), spike(second), decay) ** 2
        allclose(square, 1 - decay ** (second - first))
        # The sum goes on after the last step, so where a spike stands does not matter.
        allclose(functional.van_rossum(spike(first), nothing, decay) ** 2, 0.5)


def test_van_rossum_is_the_integral_over_continuous_time():
    a, b, tau, dt = spikes_like(jr.key(0), (STEPS,)), spikes_like(jr.key(1), (STEPS,)), 0.005, 0.001
    # In steps of dt / 1000, until all has decayed.
    fine = 1000
    t = (np.arange(fine * (STEPS + 60)) + 0.5) * dt / fine
    f = sum(
        (float(a[k]) - float(b[k])) * np.where(t >= k * dt, np.exp(-np.maximum(t - k * dt, 0) / tau), 0)
        for k in range(STEPS)
    )
    square = functional.van_rossum(a, b, snn.decay(tau, dt)) ** 2
    allclose(square, (f**2).sum() * dt / fine / tau, rtol=1e-4)


def test_van_rossum_without_memory_counts_steps_and_with_all_of_it_spikes():
    a, b = spike(1, 4, 6, 9), spike(4, 7)
    allclose(functional.van_rossum(a, b, 0.0) ** 2, 4 / 2)
    allclose(functional.van_rossum(a, b, 1.0) ** 2, (4 - 2) ** 2 / 2)


def test_the_square_of_van_rossum_is_a_loss():
    def loss(a, b):
        return functional.van_rossum(a, b, 0.8) ** 2

    a, b = spike(3), spike(6)
    gradient = jax.grad(loss)(a, b)
    # From its definition: the derivative of a sum of squares, by the matrix of the filter with a long tail.
    lags = np.arange(200)[:, None] - np.arange(STEPS)
    kernel = np.where(lags >= 0, 0.8 ** np.maximum(lags, 0), 0)
    allclose(gradient, (1 - 0.8**2) * kernel.T @ kernel @ np.asarray(a - b), rtol=1e-4)
    assert gradient[6] < 0 < gradient[3]
    for derivative in (jax.grad(loss), jax.grad(lambda a, b: functional.van_rossum(a, b, 0.8))):
        np.testing.assert_array_equal(derivative(a, a), np.zeros(STEPS))


def edit_distance(a, b, cost):
    """Over all matchings of spikes that keep their order."""
    a, b = np.flatnonzero(a), np.flatnonzero(b)
    best = len(a) + len(b)
    for k in range(1, min(len(a), len(b)) + 1):
        for chosen in itertools.combinations(a, k):
            for others in itertools.combinations(b, k):
                moved = sum(abs(int(i) - int(j)) for i, j in zip(chosen, others, strict=True))
                best = min(best, cost * moved + len(a) + len(b) - 2 * k)
    return best


@given(a=trains, b=trains, cost=st.sampled_from([0.0, 0.1, 0.35, 1.0, 2.0]))
def test_victor_purpura_is_the_least_cost_of_all_matchings(a, b, cost):
    distance = jax.jit(functional.victor_purpura)(a, b, jnp.asarray(cost))
    allclose(distance, edit_distance(a, b, cost))


@given(a=trains, b=trains)
def test_victor_purpura_compares_numbers_of_spikes_or_coincidences(a, b):
    distance = jax.jit(functional.victor_purpura)
    allclose(distance(a, b, jnp.asarray(0.0)), abs(a.sum() - b.sum()))
    for cost in (2.0, 1e6, jnp.inf):
        allclose(distance(a, b, jnp.asarray(cost)), a.sum() + b.sum() - 2 * (a * b).sum())


@EACH
def test_distances_are_neuron_by_neuron(name):
    a, b = spikes_like(jr.key(0), (STEPS, 3, 2)), spikes_like(jr.key(1), (STEPS, 3, 2))
    distances = DISTANCES[name](a, b)
    assert distances.shape == (3, 2)
    for i, j in np.ndindex(3, 2):
        allclose(distances[i, j], DISTANCES[name](a[:, i, j], b[:, i, j]))
    batch = jax.vmap(DISTANCES[name])(jnp.stack([a, b]), jnp.stack([b, b]))
    allclose(batch, jnp.stack([distances, jnp.zeros((3, 2))]))


def test_distances_keep_floats_and_take_booleans():
    a, b = spike(1, 5), spike(2, 9)
    for dtype in (jnp.float32, jnp.float16, jnp.bfloat16):
        distance = functional.van_rossum(a.astype(dtype), b.astype(bool), 0.9)
        assert distance.dtype == dtype
        allclose(distance, functional.van_rossum(a, b, 0.9), rtol=1e-2)
    for dtype in (jnp.float16, jnp.int32, jnp.bool_):
        distance = functional.victor_purpura(a.astype(dtype), b, 0.2)
        assert distance.dtype == jnp.float32
        allclose(distance, 0.2 * (1 + 4))
        assert functional.van_rossum(a.astype(dtype), b, 0.9).dtype == jnp.float32


def test_distances_in_float64():
    with jax.enable_x64(True):
        a, b = np.eye(STEPS)[2], np.eye(STEPS, dtype=np.float32)[7]
        distance = functional.van_rossum(a, b, 0.9)
        assert distance.dtype == jnp.float64
        allclose(distance, np.sqrt(1 - 0.9**5), rtol=1e-12, atol=0)
        assert functional.victor_purpura(a, b, 0.25) == 1.25


MESSAGES = [
    (
        r"`functional.van_rossum`: `decay` must be in \[0, 1\], got 1.5. From a time constant: `snn.decay\(tau, dt\)`.",
        lambda: functional.van_rossum(spike(1), spike(2), 1.5),
    ),
    (
        r"`functional.van_rossum`: `train_a` and `train_b` must have one shape, got \(12,\) and \(5,\).",
        lambda: functional.van_rossum(spike(1), spike(2, length=5), 0.5),
    ),
    (
        r"`functional.van_rossum`: `train_a` must have the shape \(time, ...\), with one step at least, got \(0, 3\).",
        lambda: functional.van_rossum(jnp.ones((0, 3)), jnp.ones((0, 3)), 0.5),
    ),
    (
        r"`functional.victor_purpura`: `train_b` must hold 0 or 1 in every step, got values from 0.0 to 2.0.",
        lambda: functional.victor_purpura(spike(1), 2 * spike(2), 0.5),
    ),
    (
        r"`functional.victor_purpura`: `cost` must be in \[0, inf\), got -1.0.",
        lambda: functional.victor_purpura(spike(1), spike(2), -1.0),
    ),
    (
        r"`functional.victor_purpura`: `train_a` and `train_b` must have one shape, got \(12,\) and \(12, 1\).",
        lambda: functional.victor_purpura(spike(1), spike(2)[:, None], 1.0),
    ),
]


@pytest.mark.parametrize("message, call", MESSAGES, ids=[message[:60] for message, _ in MESSAGES])
def test_messages(message, call):
    with pytest.raises(ValueError, match=message):
        call()
