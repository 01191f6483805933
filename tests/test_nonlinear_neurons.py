"""Quadratic and exponential neurons: when they fire, what they are in millivolts, and that nothing overflows."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import snnax.snn as snn

UNITY = snn.UnityGain()


def spikes(layer, current, steps=3000):
    xs = jnp.full((steps, *jnp.shape(current)), 1.0) * current
    _, outs = jax.jit(layer.over_time)(layer.init_state(jnp.shape(current)), xs)
    return np.asarray(outs)


@pytest.mark.parametrize(
    ("layer", "rheobase"),
    [
        # c (v_c - v_0)^2 / 4, the largest that leak and rise hold together.
        (snn.QIF(0.98, gain=UNITY), 2.0 * 0.5**2 / 4),
        (snn.QIF(0.98, critical=0.7, curvature=1.5, rest=-0.1, gain=UNITY), 1.5 * 0.8**2 / 4),
        # v_T - delta - v_0, where the exponential has the slope of the leak.
        (snn.EIF(0.98, gain=UNITY), 0.8 - 0.08),
        (snn.EIF(0.98, onset=0.6, sharpness=0.03, rest=0.1, gain=UNITY), 0.6 - 0.03 - 0.1),
        (snn.AdEx(0.98, ada_step_val=0.0, gain=UNITY), 0.8 - 0.08),
        # With a slow adaptation A the potential v carries (1 - A) v = v_T - delta + delta log(1 - A) at most.
        (
            snn.AdEx(0.9, ada_decay_constant=0.9, ada_step_val=0.0, ada_coupling_var=-0.2, gain=UNITY),
            1.2 * (0.8 - 0.08 + 0.08 * np.log(1.2)),
        ),
    ],
    ids=["QIF", "QIF, shifted", "EIF", "EIF, shifted", "AdEx without adaptation", "AdEx"],
)
def test_a_constant_input_makes_a_neuron_fire_above_its_rheobase_only(layer, rheobase):
    below, above = spikes(layer, jnp.array([0.97, 1.03], jnp.float32) * rheobase).T
    assert below.sum() == 0
    assert above.sum() > 0


def test_the_neuron_of_brette_and_gerstner_is_that_of_their_units():
    """The equations of the paper in pF, nS, mV and pA, with the same steps, against those in units of the threshold."""
    dt = 1e-4
    capacitance, leak, e_l, v_t, delta, tau_w, a, b = 281.0, 30.0, -70.6, -50.4, 2.0, 0.144, 4.0, 80.5
    unit = 25.25
    cut_off, reset, current = e_l + unit, e_l, 900.0
    layer = snn.AdEx(
        snn.decay(9.37e-3, dt),
        ada_decay_constant=snn.decay(144e-3, dt),
        ada_coupling_var=-0.133,
        ada_step_val=0.106,
        gain=UNITY,
    )
    v, w = e_l, 0.0
    times = []
    alpha, beta = np.exp(-dt * leak * 1e3 / capacitance), np.exp(-dt / tau_w)
    for t in range(4000):
        drive = e_l + delta * np.exp((v - v_t) / delta) + (current - w) / leak
        v, w = drive + alpha * (v - drive), beta * w + (1 - beta) * a * (v - e_l)
        if v >= cut_off:
            v, w = reset, w + b
            times.append(t)
    found = np.flatnonzero(spikes(layer, jnp.array(current / (leak * unit)), 4000))
    assert len(times) > 6
    assert len(found) == len(times)
    np.testing.assert_allclose(found, times, rtol=0.01)
    assert np.diff(times)[0] < 0.8 * np.diff(times)[-1]


LAYERS = {
    "QIF": lambda **f: snn.QIF(jnp.array(0.9), critical=jnp.array(0.5), curvature=jnp.array(2.0), **f),
    "QIF without decay": lambda **f: snn.QIF(jnp.array(1.0), **f),
    "EIF": lambda **f: snn.EIF(jnp.array(0.9), onset=jnp.array(0.8), sharpness=jnp.array(0.08), **f),
    "EIF, sharp": lambda **f: snn.EIF(jnp.array(0.9), onset=jnp.array(0.1), sharpness=jnp.array(1e-3), **f),
    "EIF, trained to a sharpness below zero": lambda **f: eqx.tree_at(
        lambda m: m.sharpness, snn.EIF(jnp.array(0.9), sharpness=jnp.array(0.1), **f), jnp.array(-0.3)
    ),
    "AdEx": lambda **f: snn.AdEx(jnp.array(0.9), sharpness=jnp.array(0.01), **f),
    "Izhikevich": lambda **f: snn.Izhikevich(jnp.array(0.02), jnp.array(0.2), threshold=jnp.array(30.0), **f),
}


@pytest.mark.parametrize("reset", [snn.ResetToValue(), snn.SubtractReset(), snn.NoReset(), snn.DelayedSubtractReset()])
@pytest.mark.parametrize("name", LAYERS)
def test_values_and_gradients_are_finite_whatever_the_input_and_the_reset(name, reset):
    xs = jnp.stack([jnp.full((60,), size) for size in (0.0, 1.0, 30.0, 1e4, -1.0, -30.0, -1e4)], axis=1)
    xs = jnp.concatenate([xs, -xs, jnp.zeros((5, 7))])

    @eqx.filter_jit
    def both(layer, xs):
        def loss(layer_and_xs):
            layer, xs = layer_and_xs
            state, outs = layer.over_time(layer.init_state((7,)), xs)
            return jnp.sum(outs) + jnp.sum(jnp.tanh(state.v)), (state, outs)

        return eqx.filter_grad(loss, has_aux=True)((layer, xs))

    gradients, (state, outs) = both(LAYERS[name](reset=reset), xs)
    for leaf in jax.tree.leaves((gradients, state, outs)):
        assert np.all(np.isfinite(leaf))
    assert outs.sum() > 0


def test_inhibition_makes_no_spikes_and_a_lower_potential_stays_lower():
    """A plain Euler step of a parabola carries a potential far below rest to one far above."""
    layer = snn.QIF(0.9)
    starts = jnp.linspace(-60.0, 0.5, 200)
    state = eqx.tree_at(lambda s: s.v, layer.init_state((200,)), starts)
    for _ in range(100):
        state, out = layer(state, jnp.zeros(200))
        assert out.sum() == 0
        assert np.all(np.diff(state.v) > -1e-6)
    assert np.all(np.abs(state.v[:-1]) < 0.3)


def test_a_quadratic_neuron_decays_to_its_rest_below_the_critical_potential_and_fires_above():
    layer = snn.QIF(0.9, critical=0.5)
    state = eqx.tree_at(lambda s: s.v, layer.init_state((3,)), jnp.array([0.01, 0.49, 0.51]))
    first, _ = layer(state, jnp.zeros(3))
    assert float(first.v[0]) == pytest.approx(0.009, rel=0.01)
    fired = 0
    for _ in range(200):
        state, out = layer(state, jnp.zeros(3))
        fired = fired + out
    np.testing.assert_array_equal(fired, [0, 0, 1])


def test_an_exponential_neuron_with_a_steep_onset_is_a_leaky_one_that_fires_there():
    """Its threshold is the onset: the limit of the paper."""
    xs = 0.3 * jax.random.uniform(jax.random.key(0), (200, 5))
    steep = snn.EIF(0.9, onset=0.8, sharpness=1e-3, threshold=2.0)
    hard = snn.SimpleLIF(0.9, threshold=0.8)
    rates = [float(jnp.mean(jax.jit(layer.over_time)(layer.init_state((5,)), xs)[1])) for layer in (steep, hard)]
    assert rates[1] > 0.02
    assert rates[0] == pytest.approx(rates[1], rel=0.25)
