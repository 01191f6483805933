"""What the tests share: the table of layers, and comparisons that say where they fail."""

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np

import snnax.snn as snn
from snnax.functional import surrogate


class Case(NamedTuple):
    """A line of the table: how to make a layer, the shape of one input, and whether the layer is a spiking neuron."""

    make: Callable[[], Any]
    in_shape: tuple[int, ...]
    spikes: bool = False


VECTOR = (3,)
MAPS = (2, 4, 4)


def per_channel(*values):
    return jnp.array(values).reshape(-1, 1, 1)


def between(low, high):
    return lambda key, shape, dtype: jr.uniform(key, shape, dtype, low, high)


def linear(n_in, n_out, number=0):
    return eqx.nn.Linear(n_in, n_out, key=jr.key(number))


# A new layer joins the battery by a line here. Together, the lines of a layer take it through every reset and kind of
# parameter, on vectors and on feature maps.
LAYERS = {
    "SimpleLIF": Case(lambda: snn.SimpleLIF(0.9), VECTOR, True),
    "SimpleLIF, a decay for each channel, subtraction with its gradient": Case(
        lambda: snn.SimpleLIF(per_channel(0.95, 0.8), reset=snn.SubtractReset(stop_gradient=False)), MAPS, True
    ),
    "SimpleLIF, fixed decays, unity gain, at rest above zero, refractory": Case(
        lambda: snn.SimpleLIF(
            snn.Fixed(jnp.array([0.7, 0.5, 0.3])), gain=snn.UnityGain(), rest=0.2, threshold=0.6, refractory=2
        ),
        VECTOR,
        True,
    ),
    "SimpleLIF, initialisers": Case(
        lambda: snn.SimpleLIF(
            between(0.5, 0.9),
            shape=VECTOR,
            gain=between(0.5, 1.5),
            threshold=snn.Fixed(between(0.5, 1.0)),
            init_fn=between(0.0, 0.4),
            key=jr.key(1),
        ),
        VECTOR,
        True,
    ),
    "LIF": Case(lambda: snn.LIF([0.95, 0.9]), MAPS, True),
    "LIF, trained, a pair of gains, delayed subtraction": Case(
        lambda: snn.LIF(
            [jnp.array(0.9), jnp.array([0.9, 0.8, 0.7])],
            gain=[jnp.array(1.5), snn.UnityGain()],
            threshold=jnp.array([0.5, 0.8, 1.1]),
            reset=snn.DelayedSubtractReset(),
        ),
        VECTOR,
        True,
    ),
    "LIF, initialisers, delayed subtraction with its gradient, refractory": Case(
        lambda: snn.LIF(
            [between(0.5, 0.9), snn.Fixed(between(0.5, 0.9))],
            shape=VECTOR,
            reset=snn.DelayedSubtractReset(stop_gradient=False),
            refractory=1,
            rest=jnp.array(-0.1),
            key=jr.key(2),
        ),
        VECTOR,
        True,
    ),
    "SimpleIAF": Case(lambda: snn.SimpleIAF(), VECTOR, True),
    "SimpleIAF, a trained leak, subtraction": Case(
        lambda: snn.SimpleIAF(leak=jnp.array(0.1), gain=jnp.array([0.7, 1.2, 1.0]), reset=snn.SubtractReset()),
        VECTOR,
        True,
    ),
    "IAF, a trained reset value with its gradient": Case(
        lambda: snn.IAF(0.8, reset=snn.ResetToValue(jnp.array(-0.2), stop_gradient=False)), VECTOR, True
    ),
    "IAF, no reset, refractory": Case(
        lambda: snn.IAF(
            jnp.array(0.7), gain=[jnp.array(0.6), snn.UnityGain()], leak=0.3, reset=snn.NoReset(), refractory=2
        ),
        VECTOR,
        True,
    ),
    "AdaptiveLIF": Case(lambda: snn.AdaptiveLIF(0.9), VECTOR, True),
    "AdaptiveLIF, all trained": Case(
        lambda: snn.AdaptiveLIF(
            per_channel(0.9, 0.8),
            ada_decay_constant=per_channel(0.8, 0.6),
            ada_step_val=jnp.array(0.5),
            ada_coupling_var=per_channel(-0.5, 0.5),
            gain=jnp.array(0.8),
            rest=jnp.array(0.1),
            threshold=jnp.array(0.9),
            reset=snn.SubtractReset(stop_gradient=False),
            refractory=1,
            spike_fn=surrogate.ArcTan(jnp.array(2.0)),
        ),
        MAPS,
        True,
    ),
    "SimpleLI": Case(lambda: snn.SimpleLI(0.9), VECTOR),
    "SimpleLI, a decay for each channel, unity gain, at rest above zero": Case(
        lambda: snn.SimpleLI(per_channel(0.95, 0.8), gain=snn.UnityGain(), rest=jnp.array(0.2)), MAPS
    ),
    "LI, initialisers": Case(
        lambda: snn.LI(
            [jnp.array(0.9), snn.Fixed(between(0.5, 0.9))],
            shape=VECTOR,
            gain=[0.5, jnp.array([1.0, 2.0, 3.0])],
            init_fn=between(-0.5, 0.5),
            key=jr.key(3),
        ),
        VECTOR,
    ),
    "SigmaDelta": Case(lambda: snn.SigmaDelta(0.9, step=0.3), VECTOR),
    "SigmaDelta, all trained": Case(
        lambda: snn.SigmaDelta(per_channel(0.9, 0.5), step=per_channel(0.2, 0.4), gain=jnp.array(0.7)), MAPS
    ),
    "ResonateAndFire": Case(lambda: snn.ResonateAndFire(0.95, 0.6), VECTOR, True),
    "ResonateAndFire, all trained, refractory": Case(
        lambda: snn.ResonateAndFire(
            per_channel(0.9, 0.7),
            per_channel(0.3, 0.8),
            gain=jnp.array(0.8),
            threshold=jnp.array(0.7),
            reset=snn.SubtractReset(stop_gradient=False),
            refractory=1,
        ),
        MAPS,
        True,
    ),
    "BalancedResonateAndFire": Case(lambda: snn.BalancedResonateAndFire(0.01, 0.3), VECTOR, True),
    "BalancedResonateAndFire, initialisers, reset to a value, refractory": Case(
        lambda: snn.BalancedResonateAndFire(
            between(0.01, 0.1),
            between(0.1, 0.5),
            shape=VECTOR,
            refractory_decay=jnp.array(0.8),
            refractory_damping=jnp.array(0.1),
            gain=jnp.array([0.8, 1.0, 1.2]),
            reset=snn.ResetToValue(0.2),
            refractory=2,
            init_fn=between(0.0, 0.4),
            key=jr.key(5),
        ),
        VECTOR,
        True,
    ),
    "SpikingLSTM": Case(lambda: snn.SpikingLSTM(3, 5, key=jr.key(6)), VECTOR, True),
    "SpikingLSTM, no bias, an initialiser, subtraction, refractory": Case(
        lambda: snn.SpikingLSTM(
            3, 4, False, threshold=between(0.05, 0.2), reset=snn.SubtractReset(), refractory=1, key=jr.key(7)
        ),
        VECTOR,
        True,
    ),
    "SpikingConvLSTM2d": Case(
        lambda: snn.SpikingConvLSTM2d(2, 3, 3, 2, 1, threshold=per_channel(0.05, 0.1, 0.05), key=jr.key(8)), MAPS, True
    ),
    "SpikingGRU": Case(lambda: snn.SpikingGRU(3, 5, reset=snn.ResetToValue(), key=jr.key(9)), VECTOR, True),
    "WinnerTakeAll": Case(lambda: snn.Sequential(snn.WinnerTakeAll(3, (1, 2)), snn.WinnerTakeAll()), MAPS),
    "PhasorLinear, Phasor": Case(
        lambda: snn.Sequential(snn.PhasorLinear(3, 4, key=jr.key(10)), snn.Phasor(jnp.array(0.5))), VECTOR
    ),
    "PhasorLinear, SpikingPhasor": Case(
        lambda: snn.Sequential(snn.PhasorLinear(3, 4, key=jr.key(11)), snn.SpikingPhasor(3, threshold=jnp.array(0.3))),
        VECTOR,
    ),
    "SumPool2d, SpikingMaxPool2d, Flatten": Case(
        lambda: snn.Sequential(snn.SumPool2d(2), snn.SpikingMaxPool2d(2, threshold=jnp.array(1.5)), snn.Flatten()),
        MAPS,
    ),
    "SumPool1d, SpikingMaxPool1d": Case(lambda: snn.Sequential(snn.SumPool1d(2), snn.SpikingMaxPool1d(2, 2)), (2, 5)),
    "Dropout": Case(lambda: eqx.nn.Dropout(0.5), VECTOR),
    "nested Sequential": Case(
        lambda: snn.Sequential(
            linear(3, 4),
            snn.Sequential(
                snn.LIF([0.9, jnp.array(0.8)], gain=2.0), snn.Sequential(linear(4, 2, 1), snn.SimpleLI(0.9))
            ),
        ),
        VECTOR,
    ),
    "Delay": Case(lambda: snn.Delay([0, 3, 5]), VECTOR),
    "Delay, trained for each channel": Case(lambda: snn.Delay(per_channel(0.5, 2.2), max_delay=4), MAPS),
    "Recurrent": Case(lambda: snn.Recurrent(snn.LIF([0.9, 0.8]), linear(3, 3)), VECTOR),
    "Recurrent, one to one": Case(lambda: snn.Recurrent(snn.SimpleLIF(0.9), jnp.full((3,), -0.5)), VECTOR),
    "Residual, Recurrent convolution": Case(
        lambda: snn.Residual(snn.Recurrent(snn.SimpleLIF(0.9), eqx.nn.Conv2d(2, 2, 3, padding=1, key=jr.key(4)))),
        MAPS,
    ),
    "Parallel, nested Graph with dropout in its cycle": Case(
        lambda: snn.Parallel(
            snn.SimpleLI(0.9),
            snn.Graph(
                {"neurons": snn.SimpleLIF(0.9), "drop": eqx.nn.Dropout(0.2)},
                [("input", "neurons"), ("neurons", "drop"), snn.Edge("drop", "neurons", delay=2)],
                outputs=("neurons",),
            ),
            merge=snn.Concatenate(),
        ),
        VECTOR,
    ),
}

SPIKING = [name for name, case in LAYERS.items() if case.spikes]
NEURONS = [name for name, case in LAYERS.items() if hasattr(case.make(), "init_fn")]
PLANS = [snn.StepByStep(), snn.LayerByLayer(), snn.Chunked(3)]


def allclose(a, b, rtol=1e-5, atol=1e-6):
    """Compares two pytrees, structures included; a failure names the leaf."""
    assert jax.tree.structure(a) == jax.tree.structure(b), f"{jax.tree.structure(a)} is not {jax.tree.structure(b)}"
    leaves, _ = jax.tree_util.tree_flatten_with_path(a)
    for (path, x), y in zip(leaves, jax.tree.leaves(b), strict=True):
        where = jax.tree_util.keystr(path) or "the only leaf"
        assert jnp.shape(x) == jnp.shape(y), f"at {where}: {jnp.shape(x)} is not {jnp.shape(y)}"
        np.testing.assert_allclose(
            np.asarray(x, np.float64), np.asarray(y, np.float64), rtol=rtol, atol=atol, err_msg=f"at {where}"
        )


def spikes_like(key, shape, rate=0.5):
    """Random spikes of 0 and 1, in float32."""
    return jr.bernoulli(key, rate, shape).astype(jnp.float32)


class Counter:
    """Wraps a function under `eqx.filter_jit` and counts how often it is traced."""

    def __init__(self, function):
        self.traces = 0

        def counted(*args, **kwargs):
            self.traces += 1
            return function(*args, **kwargs)

        self.jitted = eqx.filter_jit(counted)

    def __call__(self, *args, **kwargs):
        return self.jitted(*args, **kwargs)
