"""Izhikevich's neurons fire as the program in the paper does, and in the patterns that it shows."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import snnax.snn as snn
from snnax.functional import surrogate

NAMES = [
    "regular_spiking",
    "intrinsically_bursting",
    "chattering",
    "fast_spiking",
    "low_threshold_spiking",
    "thalamo_cortical",
    "resonator",
]


def run(layer, currents):
    state, outs = jax.jit(layer.over_time)(layer.init_state(currents.shape[1:]), currents)
    return np.asarray(outs), state


def times(name, current=10.0, steps=1000, **arguments):
    outs, _ = run(snn.Izhikevich.named(name, **arguments), jnp.full((steps, 1), current))
    return np.flatnonzero(outs[:, 0])


PUBLISHED = {
    "regular_spiking": (0.02, 0.2, -65, 8),
    "intrinsically_bursting": (0.02, 0.2, -55, 4),
    "chattering": (0.02, 0.2, -50, 2),
    "fast_spiking": (0.1, 0.2, -65, 2),
    "low_threshold_spiking": (0.02, 0.25, -65, 2),
    "thalamo_cortical": (0.02, 0.25, -65, 0.05),
    "resonator": (0.1, 0.26, -65, 2),
}


@pytest.mark.parametrize("name", NAMES)
def test_a_neuron_equals_the_program_of_the_paper_but_for_the_overshoot(name):
    """The program resets at the beginning of the next step, and starts at -65 mV."""
    a, b, c, d = PUBLISHED[name]
    currents = np.where(np.arange(300) % 100 < 70, 10.0, -3.0) + 2 * np.sin(np.arange(300))
    with jax.enable_x64(True):
        layer = snn.Izhikevich.named(name, init_fn=jnp.array(-65.0))
        state = layer.init_state((1,))
        v, u = -65.0, b * -65.0
        fired = np.array([False])
        count = 0
        for current in currents:
            if fired:
                v, u = c, u + d
            v = v + 0.5 * (0.04 * v**2 + 5 * v + 140 - u + current)
            v = v + 0.5 * (0.04 * v**2 + 5 * v + 140 - u + current)
            u = u + a * (b * min(v, 30) - u)
            fired = v >= 30
            assert abs(v - 30) > 1e-6
            count += fired
            state, out = layer(state, jnp.array([current]))
            assert bool(out[0]) == bool(fired)
            expected = (c, u + d) if fired else (v, u)
            np.testing.assert_allclose((state.v[0], state.u[0]), expected, rtol=1e-9)
    assert count > 5


def test_other_steps_and_gains_are_those_of_the_equations():
    a, b, c, d, dt, gain, cut_off = 0.03, 0.22, -60.0, 5.0, 0.5, 20.0, 25.0
    currents = np.abs(np.sin(np.arange(60.0)))
    with jax.enable_x64(True):
        layer = snn.Izhikevich(a, b, c, d, dt=dt, gain=gain, threshold=cut_off, refractory=3)
        state = layer.init_state((1,))
        v = float(state.v[0])
        assert 0.04 * v**2 + 5 * v + 140 - b * v == pytest.approx(0, abs=1e-9)
        u, rests, count = b * v, 0, 0
        for current in currents:
            state, out = layer(state, jnp.array([current]))
            if rests:
                u, rests, fired = u + dt * a * (b * v - u), rests - 1, False
            else:
                new = v
                for _ in range(2):
                    new += dt / 2 * (0.04 * new**2 + 5 * new + 140 - u + gain * current)
                fired = new >= cut_off
                u = u + dt * a * (b * min(new, cut_off) - u) + d * fired
                v = c if fired else new
                rests = 3 * fired
            count += fired
            assert bool(out[0]) == bool(fired)
            np.testing.assert_allclose((state.v[0], state.u[0]), (v, u), rtol=1e-9)
    assert count > 1


@pytest.mark.parametrize("name", NAMES)
def test_a_smaller_step_fires_as_the_equations_do(name):
    """The solution of the equations at a step of 0.01 ms, by a loop; and the numbers that the documentation gives."""
    a, b, c, d = PUBLISHED[name]
    counts = []
    for dt in (0.01, 1.0):
        v, count = float(snn.Izhikevich.named(name).rest), 0
        u = b * v
        for _ in range(round(1000 / dt)):
            for _ in range(2):
                v += dt / 2 * (0.04 * v**2 + 5 * v + 140 - u + 10)
            u += dt * a * (b * (v if dt == 1 else min(v, 30)) - u)
            if v >= 30:
                v, u, count = c, u + d, count + 1
        counts.append(count)
    exact, by_the_program = counts
    coarse, fine = len(times(name)), len(times(name, steps=10_000, dt=0.1))
    assert fine == pytest.approx(exact, rel=0.1)
    assert abs(coarse - exact) < abs(by_the_program - exact)
    if name == "fast_spiking":
        assert (exact, coarse) == (136, 89) and by_the_program == pytest.approx(exact / 2, abs=2)


def test_strong_inhibition_makes_no_spikes():
    """The steps of the program in the paper do, from inputs of -180 on."""
    for name in NAMES:
        currents = jnp.where(jnp.arange(60)[:, None] < 20, -jnp.array([50.0, 200.0, 500.0, 1e4]), 0.0)
        outs, _ = run(snn.Izhikevich.named(name), currents)
        assert outs[:20].sum() == 0, name


def test_a_regular_spiking_neuron_adapts():
    intervals = np.diff(times("regular_spiking"))
    assert intervals[0] < intervals[1]
    assert intervals[0] < 0.9 * intervals[-5:].mean()


def test_a_fast_spiking_neuron_fires_faster_and_without_adaptation():
    regular, fast = times("regular_spiking"), times("fast_spiking")
    assert len(fast) > 2 * len(regular)
    late = np.diff(fast)[1:]
    assert late[: len(late) // 2].mean() == pytest.approx(late[len(late) // 2 :].mean(), rel=0.15)


def bursts(spikes, pause=20):
    """The numbers of spikes between pauses."""
    return [len(burst) for burst in np.split(spikes, np.flatnonzero(np.diff(spikes) > pause) + 1)]


def test_a_chattering_neuron_bursts_again_and_again_and_an_intrinsically_bursting_one_at_first():
    chattering = bursts(times("chattering"))
    assert len(chattering) > 10 and np.mean(np.array(chattering) >= 3) > 0.8
    intrinsically = bursts(times("intrinsically_bursting"))
    assert intrinsically[0] >= 2
    assert np.mean(np.array(intrinsically[-10:]) == 1) > 0.8
    assert max(bursts(times("regular_spiking"))) == 1


def test_a_thalamo_cortical_neuron_fires_when_inhibition_ends_and_a_regular_one_does_not():
    """The rebound of the paper's figure 2."""
    currents = jnp.concatenate([jnp.full((200, 1), -20.0), jnp.zeros((100, 1))])
    for name, rebounds in (("thalamo_cortical", True), ("regular_spiking", False)):
        outs, _ = run(snn.Izhikevich.named(name), currents)
        assert outs[:200].sum() == 0
        assert (outs[200:].sum() > 0) == rebounds, name


@pytest.mark.parametrize("name", NAMES)
def test_a_neuron_without_input_rests(name):
    layer = snn.Izhikevich.named(name)
    outs, state = run(layer, jnp.zeros((200, 2)))
    assert outs.sum() == 0
    np.testing.assert_allclose(state.v, layer.rest, atol=0.1)


def test_the_rest_is_that_of_the_equations_and_has_a_gradient_where_there_is_none():
    assert float(snn.Izhikevich().rest) == pytest.approx(-70.0, abs=1e-3)
    b = jnp.array([0.2, 0.25, 0.2667, 0.3])
    rests = snn.Izhikevich(b=b).rest
    residue = 0.04 * rests**2 + 5 * rests + 140 - b * rests
    np.testing.assert_allclose(residue[:3], 0, atol=1e-3)
    assert residue[3] > 0 and float(rests[3]) == pytest.approx(-(5 - 0.3) / 0.08, rel=1e-6)
    gradient = jax.grad(lambda b: jnp.sum(snn.Izhikevich(b=b).rest))(b)
    assert np.all(np.isfinite(gradient))
    # Of the implicit equation: dv/db = v / (0.08 v + 5 - b).
    np.testing.assert_allclose(gradient[:2], (rests / (0.08 * rests + 5 - b))[:2], rtol=1e-3)


def test_the_types_are_those_of_the_paper_and_may_be_changed():
    for name, (a, b, c, d) in PUBLISHED.items():
        layer = snn.Izhikevich.named(name)
        assert (layer.a, layer.b, layer.reset.value, layer.d) == (a, b, c, d)
        assert (layer.threshold, layer.dt) == (30.0, 1.0)
    layer = snn.Izhikevich.named("chattering", a=jnp.array(0.03), dt=0.25, refractory=1)
    assert (float(layer.a), layer.dt, layer.refractory) == (pytest.approx(0.03), 0.25, 1)
    reset = snn.ResetToValue(-50.0, stop_gradient=False)
    assert snn.Izhikevich.named("chattering", reset=reset).reset == reset
    assert layer.spike_fn == surrogate.ArcTan(0.1)
    assert snn.Izhikevich(spike_fn=surrogate.Sigmoid(0.2)).spike_fn == surrogate.Sigmoid(0.2)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: snn.Izhikevich.named("RS"), r"`snn\.Izhikevich\.named`: `name` must be one of \['regular_s.*got 'RS'"),
        (lambda: snn.Izhikevich(dt=0.0), r"`snn\.Izhikevich`: `dt` must be a number above 0.*in ms, got 0\.0"),
        (
            lambda: snn.Izhikevich(c=-60.0, reset=snn.NoReset()),
            r"`snn\.Izhikevich`: `c` is the value of the default reset, got c=-60\.0 and a `reset`",
        ),
        (lambda: snn.Izhikevich(threshold=-50.0), r"`snn\.Izhikevich`: `threshold` must be in \(0, inf\)"),
    ],
)
def test_an_argument_that_makes_no_sense_is_refused(make, message):
    with pytest.raises(ValueError, match=f"(?s){message}"):
        make()
