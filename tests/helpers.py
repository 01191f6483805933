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


def per_step(*shape):
    """Numbers that differ from step to step."""
    return jnp.cos(jnp.arange(float(np.prod(shape))).reshape(shape))


def with_weights(norm, weight):
    return eqx.tree_at(lambda m: m.weight, norm, weight)


def estimated(norm, in_shape):
    """A normalisation in inference mode, with the statistics of some random batch."""
    xs = 1 + 2 * jr.normal(jr.key(7), (4, 12, *in_shape))
    return eqx.nn.inference_mode(snn.estimate_norms(snn.Sequential(norm), [xs])[0])


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
    "SimpleLIF, from a resistance and a trained capacitance": Case(
        lambda: snn.SimpleLIF.from_rc(2.0, jnp.array([1e-3, 2e-3, 5e-3]), 1e-3, threshold=0.5), VECTOR, True
    ),
    "ALIF": Case(lambda: snn.ALIF(0.9), VECTOR, True),
    "ALIF, all trained, subtraction with its gradient, refractory": Case(
        lambda: snn.ALIF(
            per_channel(0.9, 0.8),
            ada_decay_constant=per_channel(0.8, 0.6),
            ada_coupling_var=per_channel(1.5, -0.2),
            gain=jnp.array(0.8),
            rest=jnp.array(0.1),
            threshold=jnp.array(0.9),
            reset=snn.SubtractReset(stop_gradient=False),
            refractory=1,
        ),
        MAPS,
        True,
    ),
    "QIF": Case(lambda: snn.QIF(0.9), VECTOR, True),
    "QIF, all trained, refractory": Case(
        lambda: snn.QIF(
            per_channel(0.9, 0.8),
            critical=per_channel(0.6, 0.7),
            curvature=jnp.array(1.5),
            gain=jnp.array(0.8),
            rest=per_channel(0.1, -0.1),
            threshold=jnp.array(0.9),
            reset=snn.ResetToValue(jnp.array(0.3)),
            refractory=2,
        ),
        MAPS,
        True,
    ),
    "EIF": Case(lambda: snn.EIF(0.9), VECTOR, True),
    "EIF, all trained, refractory": Case(
        lambda: snn.EIF(
            per_channel(0.9, 0.8),
            onset=per_channel(0.7, 0.75),
            sharpness=jnp.array(0.04),
            gain=jnp.array(0.8),
            rest=per_channel(0.1, -0.1),
            threshold=jnp.array(0.9),
            reset=snn.ResetToValue(jnp.array(0.3), stop_gradient=False),
            refractory=1,
        ),
        MAPS,
        True,
    ),
    "AdEx": Case(lambda: snn.AdEx(0.9), VECTOR, True),
    "AdEx, all trained, refractory": Case(
        lambda: snn.AdEx(
            per_channel(0.9, 0.8),
            ada_decay_constant=per_channel(0.8, 0.6),
            ada_step_val=jnp.array(0.3),
            ada_coupling_var=per_channel(-0.5, 0.5),
            onset=per_channel(0.7, 0.75),
            sharpness=jnp.array(0.04),
            gain=jnp.array(0.8),
            rest=per_channel(0.1, -0.1),
            threshold=jnp.array(0.9),
            reset=snn.SubtractReset(),
            refractory=1,
        ),
        MAPS,
        True,
    ),
    "Izhikevich": Case(lambda: snn.Izhikevich(gain=50.0), VECTOR, True),
    "Izhikevich, all trained, refractory": Case(
        lambda: snn.Izhikevich(
            a=per_channel(0.02, 0.1),
            b=per_channel(0.2, 0.25),
            c=per_channel(-65.0, -50.0),
            d=jnp.array(2.0),
            dt=0.5,
            gain=per_channel(80.0, 120.0),
            threshold=jnp.array(25.0),
            refractory=1,
        ),
        MAPS,
        True,
    ),
    "DoubleExpLIF": Case(lambda: snn.DoubleExpLIF([0.9, 0.8, 0.5]), VECTOR, True),
    "DoubleExpLIF, all trained, equal decays, refractory": Case(
        lambda: snn.DoubleExpLIF(
            [per_channel(0.9, 0.8), jnp.array(0.7), per_channel(0.6, 0.7)],
            gain=[jnp.array(0.8), per_channel(1.5, 1.2)],
            rest=jnp.array(0.1),
            threshold=jnp.array(0.9),
            reset=snn.SubtractReset(),
            refractory=1,
        ),
        MAPS,
        True,
    ),
    "DoubleExpLIF, initialisers, unity gain": Case(
        lambda: snn.DoubleExpLIF(
            [between(0.5, 0.9), snn.Fixed(between(0.5, 0.9)), between(0.1, 0.5)],
            shape=VECTOR,
            gain=[1.0, snn.UnityGain()],
            key=jr.key(5),
        ),
        VECTOR,
        True,
    ),
    "SRM": Case(lambda: snn.SRM([0.9, 0.8, 0.7]), VECTOR, True),
    "SRM, all trained, refractory": Case(
        lambda: snn.SRM(
            [per_channel(0.9, 0.8), jnp.array(0.7), per_channel(0.6, 0.5)],
            after_potential=per_channel(0.6, 0.8),
            gain=[snn.UnityGain(), per_channel(1.5, 1.2)],
            rest=jnp.array(0.1),
            threshold=jnp.array(0.3),
            reset=snn.NoReset(stop_gradient=False),
            refractory=1,
        ),
        MAPS,
        True,
    ),
    "TwoCompartment": Case(lambda: snn.TwoCompartment([0.9, 0.95]), VECTOR, True),
    "TwoCompartment, all trained, refractory": Case(
        lambda: snn.TwoCompartment(
            [per_channel(0.9, 0.8), per_channel(0.95, 1.0)],
            coupling=(jnp.array(0.6), per_channel(-0.4, 0.1)),
            dendritic_reset=jnp.array(0.4),
            gain=jnp.array(0.8),
            rest=jnp.array(0.1),
            threshold=jnp.array(0.9),
            reset=snn.SubtractReset(stop_gradient=False),
            refractory=1,
        ),
        MAPS,
        True,
    ),
    "ShortTermPlasticity": Case(lambda: snn.ShortTermPlasticity([0.95, 0.8]), VECTOR),
    "ShortTermPlasticity, all trained": Case(
        lambda: snn.ShortTermPlasticity(
            [per_channel(0.95, 0.8), per_channel(0.8, 0.5)], utilisation=jnp.array(0.3), gain=per_channel(1.5, 2.0)
        ),
        MAPS,
    ),
    "PoissonSource, SpikeSource": Case(
        lambda: snn.Parallel(
            snn.PoissonSource(jnp.array([0.2, 0.5, 0.9, 1.0])),
            snn.SpikeSource(snn.Fixed((jnp.arange(36.0) % 5 == 0).astype(jnp.float32).reshape(9, 4))),
        ),
        VECTOR,
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
    "Scale, Threshold": Case(
        lambda: snn.Sequential(snn.Scale(jnp.array([0.5, -2.0, 1.0])), snn.Threshold(jnp.array(0.4))), VECTOR
    ),
    "Unpack": Case(lambda: snn.Sequential(snn.Unpack(20), linear(20, 4), snn.SimpleLIF(0.9)), VECTOR),
    "SumPool1d, SpikingMaxPool1d": Case(lambda: snn.Sequential(snn.SumPool1d(2), snn.SpikingMaxPool1d(2, 2)), (2, 5)),
    "TraceMaxPool1d, padded": Case(lambda: snn.TraceMaxPool1d(3, 2, 1, decay_constant=0.8), (2, 5)),
    "TraceMaxPool2d": Case(lambda: snn.TraceMaxPool2d(2, 2, decay_constant=snn.Fixed(per_channel(0.5, 1.0))), MAPS),
    "BatchNorm, of one example": Case(lambda: snn.BatchNorm(2, None), MAPS),
    "BatchNorm, in inference": Case(lambda: estimated(snn.BatchNorm(3), VECTOR), VECTOR),
    "BatchNormThroughTime, of one example": Case(
        lambda: with_weights(snn.BatchNormThroughTime(2, 12, None), per_step(12, 2)), MAPS
    ),
    "BatchNormThroughTime, in inference": Case(
        lambda: estimated(with_weights(snn.BatchNormThroughTime(3, 12), per_step(12, 3)), VECTOR), VECTOR
    ),
    "ThresholdDependentBatchNorm, in inference": Case(
        lambda: estimated(snn.ThresholdDependentBatchNorm(2, threshold=0.5, use_bias=False), MAPS), MAPS
    ),
    "TemporalEffectiveBatchNorm, in inference": Case(
        lambda: eqx.tree_at(
            lambda m: m.step_weight,
            estimated(snn.TemporalEffectiveBatchNorm(2, 12, use_weight=False), MAPS),
            1 + per_step(12),
        ),
        MAPS,
    ),
    "WeightStandardised": Case(lambda: snn.WeightStandardised(eqx.nn.Conv2d(2, 3, 3, key=jr.key(6))), MAPS),
    "SequenceDropout": Case(lambda: snn.SequenceDropout(0.5), (8,)),
    "LIF, of both signs": Case(
        lambda: snn.LIF(
            [0.9, jnp.array(0.8)],
            threshold=0.5,
            reset=snn.ResetToValue(0.1, stop_gradient=False),
            spike_fn=surrogate.Ternary(surrogate.SuperSpike(jnp.array(5.0)), gap=jnp.array([1.0, 0.8, 1.2])),
        ),
        VECTOR,
    ),
    "LIF, of both signs, subtraction, refractory": Case(
        lambda: snn.LIF(
            [0.9, 0.8],
            threshold=jnp.array(0.5),
            reset=snn.SubtractReset(),
            refractory=1,
            spike_fn=surrogate.Ternary(gap=1.0),
        ),
        MAPS,
    ),
    "LIF, of several levels, subtraction with its gradient": Case(
        lambda: snn.LIF(
            [0.9, 0.8],
            reset=snn.SubtractReset(stop_gradient=False),
            spike_fn=surrogate.MultiLevel(3, surrogate.ArcTan(per_channel(2.0, 3.0)), step=jnp.array(1.2)),
        ),
        MAPS,
    ),
    # In a container, because neurons that fire at random are not silent in silence.
    "LIF, with escape noise, of a size": Case(
        lambda: snn.Sequential(
            linear(3, 4),
            snn.LIF([0.9, jnp.array(0.8)], spike_fn=surrogate.EscapeNoise(jnp.array(3.0))),
            snn.GradedSpikes(jnp.array([0.5, 1.0, 2.0, -1.0])),
        ),
        VECTOR,
    ),
    "SimpleLIF, a stochastic spike": Case(
        lambda: snn.Sequential(snn.SimpleLIF(0.9, spike_fn=surrogate.StochasticSpike(variance=jnp.array(0.1)))), VECTOR
    ),
    "GradedSpikes": Case(lambda: snn.GradedSpikes(jnp.array([0.5, 2.0, -1.0])), VECTOR),
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
    "Associative SimpleLIF, a decay for each channel": Case(
        lambda: snn.Associative(
            snn.SimpleLIF(per_channel(0.95, 0.8), gain=jnp.array(0.5), rest=jnp.array(0.1), reset=snn.NoReset())
        ),
        MAPS,
    ),
    "Associative LIF, unity gain": Case(
        lambda: snn.Associative(snn.LIF([jnp.array(0.9), 0.8], gain=snn.UnityGain(), reset=snn.NoReset())), VECTOR
    ),
    "Associative SimpleIAF": Case(
        lambda: snn.Associative(snn.SimpleIAF(leak=jnp.array(0.1), reset=snn.NoReset())), VECTOR
    ),
    "Associative IAF": Case(lambda: snn.Associative(snn.IAF(jnp.array(0.7), gain=0.3, reset=snn.NoReset())), VECTOR),
    "Associative ResonateAndFire": Case(
        lambda: snn.Associative(
            snn.ResonateAndFire(jnp.array([0.9, 0.8, 1.0]), jnp.array(0.4), gain=snn.UnityGain(), reset=snn.NoReset())
        ),
        VECTOR,
    ),
    "Associative SimpleLI, Associative LI": Case(
        lambda: snn.Sequential(
            snn.Associative(snn.SimpleLI(jnp.array(0.9))), snn.Associative(snn.LI([0.9, jnp.array([0.5, 0.0, 1.0])]))
        ),
        VECTOR,
    ),
    "LRU": Case(lambda: snn.LRU(3, 4, key=jr.key(5)), VECTOR),
    "S5, Associative LRU, spikes": Case(
        lambda: snn.Sequential(
            snn.S5(3, 4, key=jr.key(6)), snn.Associative(snn.LRU(3, 2, key=jr.key(7))), snn.SimpleLIF(0.9)
        ),
        VECTOR,
    ),
    "Associative S5": Case(lambda: snn.Associative(snn.S5(3, 4, max_step=1.0, key=jr.key(8))), VECTOR),
    "AssociativeMemory": Case(lambda: snn.AssociativeMemory(3, 4, 2, threshold=0.1, key=jr.key(9)), VECTOR),
    "Associative AssociativeMemory": Case(
        lambda: snn.Associative(snn.AssociativeMemory(3, 2, 4, threshold=jnp.array(0.2), key=jr.key(10))), VECTOR
    ),
    "PSN": Case(lambda: snn.PSN(6, key=jr.key(11)), MAPS),
    "PSN, masked, in a Parallel": Case(
        lambda: snn.Parallel(snn.PSN(6, order=2, threshold=0.2, key=jr.key(12)), snn.SimpleLI(0.9)), VECTOR
    ),
    "SlidingPSN": Case(lambda: snn.SlidingPSN(3), MAPS),
    "SlidingPSN, a constant threshold": Case(lambda: snn.SlidingPSN(2, threshold=0.5), VECTOR),
    "spiking self-attention, few tokens": Case(
        lambda: snn.spiking_self_attention(8, 2, snn.SimpleLIF(0.9, threshold=0.3), key=jr.key(13)), (3, 8)
    ),
    "spiking transformer block without norms, many tokens": Case(
        lambda: snn.spiking_transformer_block(
            4,
            2,
            snn.SimpleLIF(0.9, threshold=jnp.array(0.5)),
            hidden_features=6,
            norm=lambda features: eqx.nn.Identity(),
            key=jr.key(14),
        ),
        (5, 4),
    ),
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
