"""Collectors equal what is computed afterwards from whole trains, under every plan and in every window."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import PLANS, linear

import snnax.snn as snn


def afterwards(collector, outs):
    """The same from a whole train, in NumPy."""
    steps = len(outs)
    if isinstance(collector, snn.Window):
        stop = steps if collector.stop is None else int(collector.stop)
        return afterwards(collector.collector, outs[int(collector.start) : stop])
    if isinstance(collector, snn.At):
        return outs[list(collector.at)]
    if isinstance(collector, snn.FirstSpike):
        return np.where(outs.any(0), np.argmax(outs, axis=0), steps)
    return {
        snn.Sum: lambda: outs.sum(0),
        snn.Mean: lambda: outs.mean(0),
        snn.Max: lambda: outs.max(0),
        snn.Last: lambda: outs[-1],
    }[type(collector)]()


COLLECTORS = [snn.Sum(), snn.Mean(), snn.Max(), snn.Last(), snn.At((0, 3)), snn.FirstSpike()]
WINDOWED = [
    *COLLECTORS,
    *(snn.Window(collector, start=2, stop=7) for collector in COLLECTORS),
    *(snn.Window(collector, stop=jnp.array(5)) for collector in COLLECTORS),
    snn.Window(snn.Window(snn.Sum(), start=1), start=3, stop=9),
]


@pytest.mark.parametrize("plan", PLANS, ids=lambda plan: type(plan).__name__)
def test_a_collector_equals_what_is_computed_from_the_train(plan, getkey):
    model = snn.Sequential(linear(3, 4), snn.SimpleLIF(0.9, threshold=0.5))
    xs = 2 * jax.random.normal(getkey(), (10, 3))
    states = model.init_state((3,))
    train = np.asarray(model(states, xs)[1][-1])
    assert 0 < train.mean() < 1
    _, outs = model(states, xs, plan=plan, collect={1: WINDOWED})
    for collector, out in zip(WINDOWED, outs[1], strict=True):
        np.testing.assert_allclose(out, afterwards(collector, train), rtol=1e-6, err_msg=repr(collector))


@pytest.mark.parametrize("plan", PLANS, ids=lambda plan: type(plan).__name__)
def test_padded_sequences_give_what_the_unpadded_give(plan, getkey):
    model = snn.Sequential(linear(3, 4), snn.SimpleLIF(0.9, threshold=0.5), snn.SimpleLI(0.9))
    xs = 2 * jax.random.normal(getkey(), (2, 8, 3))
    lengths = jnp.array([8, 5])
    states = model.init_state((3,))

    def scores(xs, length):
        return model(states, xs, plan=plan, collect={2: snn.Window(snn.Mean(), stop=length)})[1][2]

    padded = jax.vmap(scores)(xs, lengths)
    for i, length in enumerate((8, 5)):
        alone = model(states, xs[i, :length], plan=plan, collect={2: snn.Mean()})[1][2]
        np.testing.assert_allclose(padded[i], alone, rtol=1e-5)
    gradient = jax.grad(lambda xs: jnp.sum(jax.vmap(scores)(xs, lengths)))(xs)
    assert not np.any(gradient[1, 5:]) and np.any(gradient[1, :5]) and np.all(np.isfinite(gradient))


def test_what_cannot_be_collected_is_refused():
    model = snn.Sequential(snn.SimpleLI(0.9))
    states, xs = model.init_state((3,)), jnp.ones((4, 3))
    with pytest.raises(ValueError, match=r"`snn.At\(\(1, 4\)\)`: the sequence has 4 steps, of which the last is 3"):
        model(states, xs, collect=snn.At((1, 4)))
    with pytest.raises(ValueError, match="`snn.At`: `steps` must be a tuple"):
        snn.At((-1,))
    with pytest.raises(ValueError, match="`snn.Window`: the window from 2 to 5 must hold a step and lie within"):
        model(states, xs, collect=snn.Window(snn.Sum(), start=2, stop=5))
    with pytest.raises(ValueError, match="the sequence has 2 steps"):
        model(states, xs, collect=snn.Window(snn.At((2,)), start=2))
    with pytest.raises(TypeError, match="`snn.Window` takes a collector that accumulates.*slicing"):
        snn.Window(snn.Trains())


def test_the_window_is_a_whole_number_of_steps(unchecked):
    with pytest.raises(TypeError, match="`snn.Window`: `stop` must be a whole number of steps, got 2.5"):
        snn.Window(snn.Sum(), stop=2.5)
