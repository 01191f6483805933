"""Layers without a state that NIR has: a weight for each input, a threshold, and axes that become one."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from snnax import snn
from snnax.functional import surrogate


def test_scale_multiplies_and_trains_arrays_alone():
    x = jnp.array([1.0, -2.0, 3.0])
    np.testing.assert_array_equal(snn.Scale(2.0)(x), 2 * x)
    weight = jnp.array([0.5, 1.0, -1.0])
    np.testing.assert_array_equal(jax.grad(lambda w: jnp.sum(snn.Scale(w)(x)))(weight), x)
    assert snn.Scale(weight)(x.astype(jnp.bfloat16)).dtype == jnp.bfloat16
    assert not jax.tree.leaves(snn.trainable(snn.Scale(snn.Fixed(weight))))[0]


def test_threshold_fires_at_the_threshold_and_has_its_surrogates_gradient():
    layer = snn.Threshold(jnp.array([0.5, 1.0, 2.0]), spike_fn=surrogate.SuperSpike(10.0))
    x = jnp.array([0.5, 0.999, 3.0])
    np.testing.assert_array_equal(layer(x), [1, 0, 1])
    grad = jax.grad(lambda x: jnp.sum(layer(x)))(x)
    np.testing.assert_allclose(grad, 1 / (1 + 10 * np.abs(x - layer.threshold)) ** 2, rtol=1e-5)


@pytest.mark.parametrize("layer", [snn.Scale, snn.Threshold])
def test_values_that_do_not_fit_the_input_are_refused(layer):
    with pytest.raises(ValueError, match=f"`snn.{layer.__name__}`: `[a-z]+` has the shape \\(3,\\), but .* \\(2,\\)"):
        layer(jnp.ones(3))(jnp.ones(2))


@pytest.mark.parametrize(
    "axes, shape", [((), (24,)), ((1,), (2, 12)), ((0, 1), (6, 4)), ((1, 1), (2, 3, 4)), ((-3, -2), (6, 4))]
)
def test_flatten_makes_one_axis_of_several(axes, shape):
    x = jnp.arange(24.0).reshape(2, 3, 4)
    np.testing.assert_array_equal(snn.Flatten(*axes)(x), np.reshape(x, shape))


def test_flatten_of_a_number_is_one_entry_and_axes_that_are_not_there_are_refused():
    assert snn.Flatten()(jnp.array(1.0)).shape == (1,)
    for axes in ((1, 3), (2, 1), (-4, -1)):
        with pytest.raises(ValueError, match="input of shape \\(2, 3, 4\\), which has no such axes"):
            snn.Flatten(*axes)(jnp.zeros((2, 3, 4)))
