"""Layers without state over all steps at once are what they are step by step."""

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import pytest
from helpers import allclose

from snnax.snn._node import one_step, over_steps
from snnax.snn._product import is_convolution, is_matrix

KEY = jr.key(0)
FAST, PLAIN = True, False
LAYERS = {
    "Linear": (lambda: eqx.nn.Linear(4, 3, key=KEY), (4,), FAST),
    "Linear without bias": (lambda: eqx.nn.Linear(4, 3, use_bias=False, key=KEY), (4,), FAST),
    "Linear of scalars": (lambda: eqx.nn.Linear("scalar", "scalar", key=KEY), (), PLAIN),
    "Conv2d": (lambda: eqx.nn.Conv2d(16, 3, 3, key=KEY), (16, 6, 5), FAST),
    "Conv2d, strides, padding, no bias": (
        lambda: eqx.nn.Conv2d(17, 2, (3, 2), (2, 3), ((1, 2), (0, 1)), use_bias=False, key=KEY),
        (17, 6, 7),
        FAST,
    ),
    "Conv2d, few channels": (lambda: eqx.nn.Conv2d(2, 3, 3, key=KEY), (2, 5, 5), FAST),
    "Conv2d, groups": (lambda: eqx.nn.Conv2d(16, 4, 3, groups=2, key=KEY), (16, 5, 5), PLAIN),
    "Conv2d, dilation": (lambda: eqx.nn.Conv2d(16, 3, 2, dilation=2, key=KEY), (16, 5, 5), PLAIN),
    "Conv2d, padding by name": (lambda: eqx.nn.Conv2d(16, 3, 3, padding="SAME", key=KEY), (16, 5, 5), PLAIN),
    "Conv2d, circular": (
        lambda: eqx.nn.Conv2d(16, 3, 3, padding=1, padding_mode="CIRCULAR", key=KEY),
        (16, 5, 5),
        PLAIN,
    ),
    "ConvTranspose2d": (lambda: eqx.nn.ConvTranspose2d(16, 3, 3, key=KEY), (16, 4, 4), PLAIN),
    "GroupNorm": (lambda: eqx.nn.GroupNorm(2, 4), (4, 3), PLAIN),
}


@pytest.mark.parametrize("name", LAYERS)
def test_values_and_gradients_are_those_of_single_steps(name, getkey):
    make, in_shape, fast = LAYERS[name]
    layer = make()
    if jax.default_backend() == "cpu":
        assert (is_matrix(layer) or is_convolution(layer)) == fast
    xs = jr.normal(getkey(), (2, 5, *in_shape))

    def loss(arguments, function):
        layer, xs = arguments
        outs = jax.vmap(lambda xs: function(layer, xs))(xs)
        return jnp.sum(jnp.sin(outs)), outs

    def derivatives(function):
        return eqx.filter_jit(eqx.filter_value_and_grad(lambda a: loss(a, function), has_aux=True))((layer, xs))

    expected = derivatives(lambda layer, xs: jax.vmap(layer)(xs))
    allclose(derivatives(lambda layer, xs: over_steps(layer, xs, None)), expected, rtol=1e-4, atol=1e-5)
    looped = derivatives(lambda layer, xs: jax.lax.map(lambda x: one_step(layer, x, None), xs))
    allclose(looped, expected, rtol=1e-4, atol=1e-5)
