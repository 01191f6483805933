"""The largest entries go through, as many as asked for, along any axes."""

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

import snnax.snn as snn
from snnax.functional import surrogate


def winners_by_sorting(x, k, axis):
    """The places of the k largest along axis 0 of what `axis` moves there, the first of equals first."""
    axes = tuple(range(x.ndim)) if axis is None else (axis,) if isinstance(axis, int) else tuple(axis)
    moved = np.moveaxis(x, axes, tuple(range(len(axes))))
    flat = moved.reshape(int(np.prod(moved.shape[: len(axes)])), -1)
    mask = np.zeros_like(flat)
    for j in range(flat.shape[1]):
        mask[np.argsort(-flat[:, j], kind="stable")[:k], j] = 1
    return np.moveaxis(mask.reshape(moved.shape), tuple(range(len(axes))), axes)


@pytest.mark.parametrize("k", [1, 3])
@pytest.mark.parametrize("axis", [0, 1, -1, (1, 2), (2, 0), [0], None])
def test_the_winners_are_the_largest_along_the_axes(k, axis):
    # Two decimals, so that some are equal.
    x = np.round(np.asarray(jr.normal(jr.key(0), (4, 5, 6))), 1).astype(np.float32)
    mask = winners_by_sorting(x, k, axis)
    layer = snn.WinnerTakeAll(k, axis)
    np.testing.assert_array_equal(layer.mask(jnp.asarray(x)), mask)
    np.testing.assert_array_equal(layer(jnp.asarray(x)), x * mask)
    np.testing.assert_array_equal(jax.jit(jax.vmap(layer))(jnp.stack([x, -x]))[0], x * mask)


def test_of_equal_entries_the_first_win():
    for dtype in (jnp.float32, jnp.bfloat16, jnp.int32):
        x = jnp.array([1, 2, 2, 0, 2], dtype)
        assert snn.WinnerTakeAll(2)(x).tolist() == [0, 2, 2, 0, 0]
        assert snn.WinnerTakeAll(2)(x).dtype == dtype
    assert snn.WinnerTakeAll(5)(jnp.array([1.0, 2.0, 2.0, 0.0, -2.0])).tolist() == [1, 2, 2, 0, -2]


def test_channels_compete_at_each_place_by_default():
    x = jnp.array([[[1.0, 4.0]], [[3.0, 2.0]]])
    assert snn.WinnerTakeAll()(x).tolist() == [[[0.0, 4.0]], [[3.0, 0.0]]]


def test_the_gradient_goes_to_the_winners():
    x = jnp.array([0.5, -1.0, 2.0, 1.5])
    weights = jnp.array([1.0, 2.0, 3.0, 4.0])
    gradient = jax.grad(lambda x: jnp.sum(weights * snn.WinnerTakeAll(2)(x)))(x)
    assert gradient.tolist() == [0, 0, 3, 4]


def test_in_the_surrogate_only_the_highest_potential_fires_and_is_reset():
    """snnTorch's inhibition."""
    spike, winner = surrogate.SuperSpike(), snn.WinnerTakeAll()
    layer = snn.SimpleLIF(0.9, spike_fn=lambda x: winner.mask(x) * spike(x))
    xs = jnp.abs(jr.normal(jr.key(1), (20, 4)))
    _, outs = eqx.filter_jit(layer.over_time)(layer.init_state((4,)), xs)
    v, expected = np.zeros(4), []
    for x in np.asarray(xs):
        v = 0.9 * v + x
        fired = (np.arange(4) == v.argmax()) & (v >= 1)
        v = np.where(fired, 0, v)
        expected.append(fired)
    np.testing.assert_array_equal(outs, expected)
    assert 10 < outs.sum() <= 20 and np.any(outs.sum(axis=0) > 1)
    gradient = jax.grad(lambda xs: layer.over_time(layer.init_state((4,)), xs)[1].sum())(xs)
    assert np.any(gradient != 0)


def test_lateral_inhibition_is_recurrent_with_a_matrix_without_diagonal():
    w, neuron = 0.4, snn.SimpleLIF(0.9)
    by_sum = snn.Recurrent(neuron, eqx.nn.Lambda(lambda s: w * (s - jnp.sum(s))))
    matrix = eqx.tree_at(lambda m: m.weight, eqx.nn.Linear(4, 4, use_bias=False, key=jr.key(0)), -w * (1 - jnp.eye(4)))
    by_matrix = snn.Recurrent(neuron, matrix)
    xs = jnp.abs(jr.normal(jr.key(2), (30, 4)))
    one, other, free = (layer.over_time(layer.init_state((4,)), xs)[1] for layer in (by_sum, by_matrix, neuron))
    np.testing.assert_array_equal(one, other)
    assert 0 < one.sum() < free.sum()


def test_wrong_arguments_are_refused_with_the_remedy():
    for k in (0, -1, True):
        with pytest.raises(ValueError, match=f"`k` must be a number of winners, 1 or more, got {k}"):
            snn.WinnerTakeAll(k)
    with pytest.raises(ValueError, match=r"cannot be 4 winners among 3 entries, those of an input of shape \(3,\)"):
        snn.WinnerTakeAll(4)(jnp.ones(3))
    with pytest.raises(ValueError, match=r"shape \(3,\) has no axis 1. Give one from 0 to 0, without the axes of time"):
        snn.WinnerTakeAll(1, 1)(jnp.ones(3))
    with pytest.raises(ValueError, match=r"has no axis \(0, 2\)"):
        snn.WinnerTakeAll(1, (0, 2))(jnp.ones((3, 2)))
    with pytest.raises(TypeError, match="complex numbers have no largest, got complex64. Give their real part"):
        snn.WinnerTakeAll()(jnp.ones(3, jnp.complex64))
