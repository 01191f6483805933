"""What a read-out should do, from the number of a class."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import snnax.functional as functional
import snnax.snn as snn


def test_the_correct_class_fires_at_its_rate_and_the_others_at_theirs():
    # An incorrect rate above zero made snnTorch's function fail.
    out = functional.rate_targets(1, 4, 20, correct_rate=0.75, incorrect_rate=0.1)
    assert out.shape == (20, 4) and out.dtype == jnp.float32
    assert np.array_equal(out.sum(0), [2, 15, 2, 2])
    assert np.array_equal(np.flatnonzero(out[:, 0]), [0, 10])
    assert np.array_equal(functional.rate_targets(2, 3, 5), np.eye(3)[[2] * 5])


@pytest.mark.parametrize("steps", [1, 7, 100, 1000])
def test_targets_have_their_count_at_regular_intervals(steps):
    for percent in range(101):
        train = functional.rate_targets(0, 1, steps, correct_rate=percent / 100)[:, 0]
        assert train.sum() == -(-percent * steps // 100)
        if percent:
            assert train[0] == 1
            intervals = np.diff(np.flatnonzero(train))
            assert intervals.size == 0 or (100 // percent <= intervals.min() and intervals.max() <= -(-100 // percent))


def test_first_spikes_are_as_the_collector_counts_them():
    times = functional.latency_targets(2, 4, 10, correct_step=3)
    assert np.array_equal(times, [10, 10, 3, 10])
    assert np.array_equal(functional.latency_targets(0, 3, 10, correct_step=1, incorrect_step=8), [1, 8, 8])
    spikes = jax.nn.one_hot(times.astype(int), 10, axis=0)
    model = snn.Sequential(snn.SimpleLIF(0.0))
    _, outs = model(model.init_state((4,)), spikes, collect=snn.FirstSpike())
    assert np.array_equal(outs[-1], times)
    assert functional.first_spike_mse(outs[-1], times, steps=10) == 0


def test_one_hot_and_back_is_the_argmax():
    # snnTorch's inverse gave the numbers of the rows.
    rows = jnp.array([[0, 0, 1], [1, 0, 0], [0, 1, 0]])
    assert np.array_equal(rows.argmax(-1), [2, 0, 1])
    assert np.array_equal(jax.nn.one_hot(rows.argmax(-1), 3), rows)
    targets = jax.vmap(lambda label: functional.rate_targets(label, 3, 8, incorrect_rate=0.25))(rows.argmax(-1))
    assert np.array_equal(targets.sum(1).argmax(-1), [2, 0, 1])


@pytest.mark.parametrize("targets", [functional.rate_targets, functional.latency_targets])
def test_targets_under_vmap_and_jit(targets):
    labels = jnp.array([2, 0, 1])
    each = jnp.stack([targets(label, 3, 6) for label in labels])
    assert np.array_equal(jax.jit(jax.vmap(lambda label: targets(label, 3, 6)))(labels), each)
    assert np.array_equal(jax.jit(lambda: targets(np.int64(2), 3, 6))(), each[0])
    none = jax.jit(lambda label: targets(label, 3, 6))(5)
    assert (none == targets(0, 3, 6).T[1:].T[..., :1]).all()


@pytest.mark.parametrize("targets", [functional.rate_targets, functional.latency_targets])
def test_labels_and_sizes_are_checked(targets, unchecked):
    for label in (-1, 3):
        with pytest.raises(
            ValueError, match=rf"`functional.{targets.__name__}`: `label` must be in \[0, 2\], got .* from {label}"
        ):
            targets(label, 3, 5)
    for label in (1.0, True, jnp.array([0, 1])):
        with pytest.raises(TypeError, match=r"`label` must be one whole number, got dtype .* by `jax.vmap`"):
            targets(label, 3, 5)
    with pytest.raises(ValueError, match="`classes` must be a whole number of 1 or more, got 0"):
        targets(0, 0, 5)
    with pytest.raises(ValueError, match="`steps` must be a whole number of 1 or more, got 0"):
        targets(0, 3, 0)


def test_rates_and_steps_out_of_range_are_refused(unchecked):
    with pytest.raises(
        ValueError, match=r"`functional.rate_targets`: `incorrect_rate` must be a number in \[0, 1\], got 2"
    ):
        functional.rate_targets(0, 3, 5, incorrect_rate=2)
    with pytest.raises(ValueError, match=r"`correct_step` must be in 0..5, where 5 is silence, got 6"):
        functional.latency_targets(0, 3, 5, correct_step=6)
    with pytest.raises(ValueError, match="`incorrect_step` must be a whole number of 0 or more, got -1"):
        functional.latency_targets(0, 3, 5, incorrect_step=-1)
