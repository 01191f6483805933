"""What goes out to NIR and comes back computes the same."""

import equinox as eqx
import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

import snnax.functional as F
from snnax import snn

nir = pytest.importorskip("nir")
import snnax.nir  # noqa: E402

T = 24


def draw(low, high):
    return lambda key, shape, dtype: jr.uniform(key, shape, dtype, low, high)


DECAY, GAIN, REST, THRESHOLD = draw(0.3, 0.97), draw(0.5, 1.5), draw(-0.2, 0.2), draw(0.4, 1.2)


def firing(shape):
    k1, k2 = jr.split(jr.key(3))
    reset = snn.ResetToValue(jr.uniform(k1, shape, minval=-0.3, maxval=0.1))
    return {"shape": shape, "key": k2, "threshold": THRESHOLD, "reset": reset}


def linear(n, m, key=0, **options):
    return eqx.nn.Linear(n, m, key=jr.key(key), **options)


def conv(*args, key=0, **options):
    return eqx.nn.Conv2d(*args, key=jr.key(key), **options)


# What is inside of a network, and the shape of its input.
LAYERS = {
    "SimpleLIF": lambda: (snn.SimpleLIF(DECAY, gain=GAIN, rest=REST, **firing((5,))), (5,)),
    "SimpleLIF, numbers": lambda: (snn.SimpleLIF(0.9, gain=0.7, threshold=0.8), (5,)),
    "SimpleLIF, unity": lambda: (snn.SimpleLIF(0.8, gain=snn.UnityGain(), threshold=0.3), (2, 3)),
    "SimpleLIF, no decay": lambda: (snn.SimpleLIF(1.0, gain=0.3), (5,)),
    "SimpleLIF, decay 0": lambda: (snn.SimpleLIF(0.0), (5,)),
    "LIF": lambda: (snn.LIF([DECAY, DECAY], gain=[GAIN, GAIN], rest=REST, **firing((5,))), (5,)),
    "LIF, no decay": lambda: (snn.LIF([1.0, 0.8], gain=0.3), (5,)),
    "SimpleIAF": lambda: (snn.SimpleIAF(gain=GAIN, **firing((5,))), (5,)),
    "IAF": lambda: (snn.IAF(DECAY, gain=[GAIN, GAIN], **firing((5,))), (5,)),
    "DoubleExpLIF": lambda: (snn.DoubleExpLIF([0.9, 0.8, 0.5], threshold=0.6), (5,)),
    "SimpleLI": lambda: (snn.SimpleLI(DECAY, (5,), gain=GAIN, rest=REST, key=jr.key(0)), (5,)),
    "SimpleLI, no decay": lambda: (snn.SimpleLI(1.0, gain=0.5), (5,)),
    "LI": lambda: (snn.LI([DECAY, DECAY], (5,), gain=GAIN, rest=REST, key=jr.key(0)), (5,)),
    "LI, no decay": lambda: (snn.LI([0.5, 1.0], gain=0.5), (5,)),
    "Affine": lambda: (linear(5, 3), (5,)),
    "Linear": lambda: (linear(5, 3, use_bias=False), (5,)),
    "Conv1d": lambda: (eqx.nn.Conv1d(2, 4, 3, 2, 1, 2, 2, key=jr.key(0)), (2, 11)),
    "Conv2d": lambda: (conv(4, 6, (3, 2), (2, 1), (1, 0), (1, 2), 2), (4, 7, 9)),
    "Conv2d, same": lambda: (conv(1, 2, (3, 4), padding="SAME"), (1, 6, 7)),
    "Conv2d, no bias": lambda: (conv(1, 2, 3, use_bias=False), (1, 5, 5)),
    "SumPool2d": lambda: (snn.SumPool2d((2, 3), (1, 2), (1, 0)), (2, 6, 7)),
    "AvgPool2d": lambda: (eqx.nn.AvgPool2d((2, 3), (2, 2), ((1, 1), (0, 0))), (2, 6, 7)),
    "Flatten": lambda: (snn.Flatten(), (2, 3, 4)),
    "Flatten, two axes": lambda: (snn.Flatten(1, 2), (2, 3, 4)),
    "Delay": lambda: (snn.Delay(3), (5,)),
    "Delay, each": lambda: (snn.Delay([0, 1, 2, 5, 3]), (5,)),
    "Scale": lambda: (snn.Scale(jnp.array([0.5, -1.0, 2.0])), (3,)),
    "Threshold": lambda: (snn.Threshold(jnp.array([0.0, 0.5, -0.5])), (3,)),
    "Identity": lambda: (eqx.nn.Identity(), (3,)),
    "Dropout": lambda: (eqx.nn.Dropout(0.5, inference=True), (3,)),
    "BatchNorm": lambda: (trained_norm(snn.BatchNorm(3)), (3, 2, 2)),
    "BatchNorm of a line": lambda: (trained_norm(snn.BatchNorm(3)), (3, 4)),
    "ThresholdDependentBatchNorm": lambda: (
        trained_norm(snn.ThresholdDependentBatchNorm(3, threshold=0.5, alpha=0.7)),
        (3,),
    ),
    "Recurrent": lambda: (snn.Recurrent(snn.LIF([0.9, 0.8], gain=0.5), linear(5, 5)), (5,)),
    "Recurrent, one to one": lambda: (snn.Recurrent(snn.SimpleLIF(0.9), jnp.linspace(-1.0, 1.0, 5)), (5,)),
    "Recurrent, deep": lambda: (
        snn.Recurrent(snn.Sequential(linear(5, 4), snn.SimpleLIF(0.9, threshold=0.3)), linear(4, 5, 1)),
        (5,),
    ),
    "Residual": lambda: (snn.Residual(snn.Sequential(linear(5, 5), snn.SimpleLIF(0.9, threshold=0.3))), (5,)),
    "Residual, shortcut": lambda: (snn.Residual(linear(5, 3), linear(5, 3, 1)), (5,)),
    "Parallel": lambda: (snn.Parallel(snn.Delay(2), linear(4, 4), snn.SimpleLIF(0.9)), (4,)),
}


def trained_norm(norm):
    fixed = [jnp.array(values) for values in ([0.5, 1.0, 2.0], [0.1, 0.0, -0.2], [0.3, -0.2, 0.0], [1.0, 0.5, 2.0])]
    where = lambda m: (m.weight, m.bias, m.mean.value, m.variance.value, m.estimated)  # noqa: E731
    return eqx.nn.inference_mode(eqx.tree_at(where, norm, (*fixed, True)))


def run(model, shape, xs):
    """The output of a container."""
    outs = eqx.filter_jit(model)(model.init_state(shape), xs)[1]
    while isinstance(outs, (dict, tuple)):
        key, model = (-1, model[-1]) if isinstance(outs, tuple) else ((k := model.topology.outputs[0]), model.nodes[k])
        outs = outs[key]
    return np.asarray(outs)


def inputs(shape, key=0):
    return 1.5 * jr.normal(jr.key(key), (T, *shape)) + 0.4


def there_and_back(model, shape, path, **terms):
    snnax.nir.write(path, model, shape, **terms)
    return snnax.nir.from_nir(path, **terms)


def assert_equal(model, back, shape, key=0):
    xs = inputs(shape, key)
    expected, got = (run(one, shape, xs) for one in (model, back))
    assert np.any(expected != 0)
    if set(np.unique(expected)) <= {0.0, 1.0}:
        np.testing.assert_array_equal(got, expected)
    np.testing.assert_allclose(got, expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", LAYERS)
def test_every_layer_that_nir_can_express_comes_back_the_same(name, tmp_path):
    layer, shape = LAYERS[name]()
    model = snn.Sequential(layer)
    for dt in (1e-3, 2.5e-4):
        back = there_and_back(model, shape, tmp_path / "x.nir", dt=dt)
        assert_equal(model, back, shape)
        again = there_and_back(back, shape, tmp_path / "y.nir", dt=dt)
        assert_equal(model, again, shape)
    assert set(again.nodes) == set(back.nodes)
