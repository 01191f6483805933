"""The neurons beyond the leaky ones do what their equations say, step by step."""

import dataclasses
import math

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import between
from test_neurons import INPUTS, fire, trace

import snnax.snn as snn
from snnax.functional import surrogate

# The equations of the docstrings in plain Python numbers: from the state and the input to what is new in the state, the
# potential and the threshold; and what a spike then does to the state, besides the reset.
THETA, GAIN, OTHER_GAIN, REST, ALPHA, BETA, RHO = 0.41, 0.73, 1.31, 0.052, 0.9, 0.6, 0.7
COUPLING, STEP, ONSET, SHARPNESS, CRITICAL, CURVATURE = 0.37, 0.16, 0.3, 0.06, 0.21, 2.3
RISING_DECAY, TO_SOMA, TO_DENDRITE, DENDRITIC = 0.8, 0.6, -0.4, 0.3


def nothing(state, spike):
    return {}


def alif(state, x):
    return {}, REST + ALPHA * (state["v"] - REST) + GAIN * x, THETA + COUPLING * state["a"]


def alif_spike(state, spike):
    return {"a": RHO * state["a"] + (1 - RHO) * spike}


def qif(state, x):
    start = min(state["v"], THETA)
    rate = (1 - ALPHA) * CURVATURE
    u = max(start, (REST + CRITICAL) / 2 - 1 / (2 * rate))
    return {}, start + rate * (u - REST) * (u - CRITICAL) + GAIN * x, THETA


def eif(state, x):
    start = min(state["v"], THETA)
    rising = SHARPNESS * math.exp(min((start - ONSET) / SHARPNESS, 10))
    return {}, REST + ALPHA * (start - REST) + (1 - ALPHA) * rising + GAIN * x, THETA


def adex(state, x):
    _, v, threshold = eif(state, x + state["a"])
    coupling = COUPLING * (min(state["v"], THETA) - REST)
    return {"a": BETA * state["a"] + (1 - BETA) * coupling}, v, threshold


def adex_spike(state, spike):
    return {"a": state["a"] - STEP * spike}


def peak(beta, rho):
    """The largest of the first 200 values of the double exponential."""
    return max(sum(beta ** (n - m) * rho**m for m in range(n + 1)) for n in range(200))


def double_exp(state, x):
    rise = RISING_DECAY * state["rise"] + x
    i = BETA * state["i"] + OTHER_GAIN / peak(BETA, RISING_DECAY) * rise
    return {"rise": rise, "i": i}, REST + ALPHA * (state["v"] - REST) + GAIN * i, THETA


def two_compartment(state, x):
    d = BETA * state["d"] + TO_DENDRITE * (state["v"] - REST) + GAIN * x
    return {"d": d}, REST + ALPHA * (state["v"] - REST) + TO_SOMA * d, THETA


def two_compartment_spike(state, spike):
    return {"d": state["d"] - DENDRITIC * spike}


NEURONS = {
    "ALIF": (
        alif,
        alif_spike,
        lambda **f: snn.ALIF(ALPHA, ada_decay_constant=RHO, ada_coupling_var=COUPLING, gain=GAIN, rest=REST, **f),
    ),
    "QIF": (
        qif,
        nothing,
        lambda **f: snn.QIF(ALPHA, critical=CRITICAL, curvature=CURVATURE, gain=GAIN, rest=REST, **f),
    ),
    "EIF": (eif, nothing, lambda **f: snn.EIF(ALPHA, onset=ONSET, sharpness=SHARPNESS, gain=GAIN, rest=REST, **f)),
    "AdEx": (
        adex,
        adex_spike,
        lambda **f: snn.AdEx(
            ALPHA,
            ada_decay_constant=BETA,
            ada_step_val=STEP,
            ada_coupling_var=COUPLING,
            onset=ONSET,
            sharpness=SHARPNESS,
            gain=GAIN,
            rest=REST,
            **f,
        ),
    ),
    "DoubleExpLIF": (
        double_exp,
        nothing,
        lambda **f: snn.DoubleExpLIF([ALPHA, BETA, RISING_DECAY], gain=[GAIN, OTHER_GAIN], rest=REST, **f),
    ),
    "TwoCompartment": (
        two_compartment,
        two_compartment_spike,
        lambda **f: snn.TwoCompartment(
            [ALPHA, BETA],
            coupling=(TO_SOMA, TO_DENDRITE),
            dendritic_reset=DENDRITIC,
            gain=GAIN,
            rest=REST,
            **f,
        ),
    ),
}
RESETS = {
    "to a value": (snn.ResetToValue(-0.12), lambda v, s, theta: -0.12 if s else v),
    "by subtraction": (snn.SubtractReset(), lambda v, s, theta: v - theta * s),
    "not at all": (snn.NoReset(), lambda v, s, theta: v),
    "by delayed subtraction": (snn.DelayedSubtractReset(), lambda v, s, theta: v - theta * s),
}


def by_hand(neuron, reset, refractory, xs):
    """The table of one neuron, in plain Python numbers."""
    integrate, spiked, _ = NEURONS[neuron]
    after = RESETS[reset][1]
    state = {"v": REST, "a": 0.0, "i": 0.0, "rise": 0.0, "d": 0.0}
    resting = 0
    rows = []
    for x in map(float, xs):
        new, integrated, theta = integrate(state, x)
        compared = integrated
        if reset == "by delayed subtraction" and state["v"] >= theta:
            compared -= theta
        if resting:
            spike, v = 0, state["v"]
            resting -= 1
        else:
            spike = int(compared >= theta)
            v = after(integrated, spike, theta)
            resting = refractory * spike
        state = {**state, **new, "v": v}
        state = {**state, **spiked(state, spike)}
        rows.append({"spike": spike, **state, "margin": abs(compared - theta)})
    return rows


@pytest.mark.parametrize("refractory", [0, 2])
@pytest.mark.parametrize("reset", RESETS)
@pytest.mark.parametrize("neuron", NEURONS)
def test_a_neuron_equals_its_equations_in_plain_numbers(neuron, reset, refractory):
    with jax.enable_x64(True):
        layer = NEURONS[neuron][2](threshold=THETA, reset=RESETS[reset][0], refractory=refractory)
        names = [field.name for field in dataclasses.fields(layer.init_state(())) if field.name != "countdown"]
        columns = trace(layer, INPUTS.astype(np.float64), names)
    for j in range(INPUTS.shape[1]):
        rows = by_hand(neuron, reset, refractory, INPUTS[:, j])
        assert len(rows) >= 12
        assert min(row["margin"] for row in rows) > 1e-6, "a table on the threshold says nothing"
        for column, name in zip(columns, ["spike", *names], strict=True):
            expected = [row[name] for row in rows]
            np.testing.assert_allclose(column[:, j], expected, rtol=1e-9, atol=1e-9, err_msg=f"{name} of neuron {j}")
    assert 0 < columns[0].sum() < columns[0].size


def test_the_resets_and_the_refractory_period_make_different_tables():
    """The inputs of the tables tell resets apart, and what a refractory period does to each."""
    apart = set()
    for neuron in NEURONS:
        without, with_period = (
            {
                reset: tuple(row["v"] for j in range(3) for row in by_hand(neuron, reset, refractory, INPUTS[:, j]))
                for reset in RESETS
            }
            for refractory in (0, 2)
        )
        assert set(without.values()).isdisjoint(with_period.values()), neuron
        apart.add(without["by subtraction"] != without["by delayed subtraction"])
        del without["by delayed subtraction"]
        assert len(set(without.values())) == len(without), neuron
    assert True in apart


@pytest.mark.parametrize("refractory", [0, 2])
def test_a_spike_response_is_the_kernels_of_inputs_and_of_spikes(refractory):
    """Written as sums over all inputs and all spikes before, not as a recursion."""
    after, gamma = 0.6, 0.7
    with jax.enable_x64(True):
        layer = snn.SRM(
            [ALPHA, BETA, gamma],
            after_potential=after,
            gain=[GAIN, OTHER_GAIN],
            rest=REST,
            threshold=THETA,
            refractory=refractory,
        )
        spike, v, r = trace(layer, INPUTS.astype(np.float64), ("v", "r"))
    epsilon = [GAIN * OTHER_GAIN * sum(ALPHA ** (n - m) * BETA**m for m in range(n + 1)) for n in range(12)]
    for j in range(INPUTS.shape[1]):
        fired = []
        for t in range(12):
            potential = REST + sum(epsilon[t - k] * float(INPUTS[k, j]) for k in range(t + 1))
            refractory_part = sum(after * gamma ** (t - k - 1) for k in fired)
            rests = any(t - k <= refractory for k in fired)
            margin = potential - refractory_part - THETA
            assert abs(margin) > 1e-6
            if margin >= 0 and not rests:
                fired.append(t)
            assert spike[t, j] == (t in fired)
            assert v[t, j] == pytest.approx(potential, abs=1e-9)
            assert r[t, j] == pytest.approx(sum(after * gamma ** (t - k) for k in fired), abs=1e-9)
        assert 0 < len(fired) < 12
    assert 0 < spike.sum() < spike.size


def test_the_traces_of_the_original_srm_are_those_with_unity_gain():
    """P <- a P + (1 - a) x; Q <- b Q + (1 - b) P; R <- c R + S; a spike where Q - r R reaches the threshold."""
    a, b, c, r, threshold = 0.6, 0.8, 0.7, 0.5, 0.15
    xs = np.abs(INPUTS[:, :1])
    spike, v, i, after = trace(
        snn.SRM([b, a, c], after_potential=r, gain=snn.UnityGain(), threshold=threshold), xs, ("v", "i", "r")
    )
    big_p = big_q = big_r = fired = 0.0
    for t, x in enumerate(map(float, xs[:, 0])):
        big_p = a * big_p + (1 - a) * x
        big_q = b * big_q + (1 - b) * big_p
        big_r = c * big_r + fired
        assert abs(big_q - r * big_r - threshold) > 1e-5
        fired = float(big_q - r * big_r >= threshold)
        assert spike[t, 0] == fired
        np.testing.assert_allclose([i[t, 0], v[t, 0]], [big_p, big_q], rtol=1e-5)
        assert after[t, 0] == pytest.approx(r * (c * big_r + fired), rel=1e-5)
    assert 0 < spike.sum() < spike.size


def test_two_compartments_are_those_of_the_paper():
    """TC-LIF: both compartments without leak, reset at the beginning of the step after a spike."""
    to_soma, to_dendrite, gamma, threshold = 0.5, -0.4, 0.5, 0.8
    xs = np.abs(INPUTS[:, 2:])
    spike, _ = trace(
        snn.TwoCompartment(
            [1.0, 1.0],
            coupling=(to_soma, to_dendrite),
            dendritic_reset=gamma - to_dendrite * threshold,
            threshold=threshold,
            reset=snn.SubtractReset(),
        ),
        xs,
    )
    dendrite = soma = fired = 0.0
    for t, x in enumerate(map(float, xs[:, 0])):
        dendrite = dendrite + to_dendrite * soma + x - gamma * fired
        soma = soma + to_soma * dendrite - threshold * fired
        assert abs(soma - threshold) > 1e-5
        fired = float(soma >= threshold)
        assert spike[t, 0] == fired
    assert 1 < spike.sum() < len(xs)


def test_the_threshold_of_a_neuron_that_adapts_settles_at_its_own_plus_the_coupling():
    """Firing in every step it is theta + kappa; and it sinks back by rho where nothing fires."""
    layer = snn.ALIF(0.0, ada_decay_constant=0.5, ada_coupling_var=2.0)
    xs = np.concatenate([np.full((40, 1), 2.9999), np.zeros((3, 1))]).astype(np.float32)
    spike, a = trace(layer, xs, ("a",))
    assert spike[:10].all() and not spike[:40].all()
    fires = trace(layer, np.full((40, 1), 3.0001, np.float32), ("a",))
    assert fires[0].all() and fires[1][-1, 0] == pytest.approx(1.0, abs=1e-6)
    np.testing.assert_allclose(a[-1, 0], a[-4, 0] / 8, rtol=1e-5)


def test_a_neuron_that_adapts_fires_at_growing_intervals():
    for layer in (
        snn.ALIF(0.9, ada_decay_constant=0.98, threshold=0.5, reset=snn.SubtractReset()),
        snn.AdEx(0.9, ada_decay_constant=0.98, ada_step_val=0.05),
    ):
        spike, _ = trace(layer, np.full((200, 1), 0.3, np.float32))
        intervals = np.diff(np.flatnonzero(spike))
        assert len(intervals) > 5
        assert intervals[:3].mean() < intervals[-3:].mean()


# Gradients.


def by_loop(name, xs, seen):
    """The spikes of a loop by hand in which the responses to spikes take them through `seen`."""
    v = i = r = d = jnp.zeros(3)
    spikes = []
    for x in xs:
        if name == "SRM":
            i = 0.7 * i + x
            v = 0.8 * v + i
            spike = fire(v - r - 0.6, 3.0)
            r = 0.9 * r + 0.5 * seen(spike)
        else:
            d = 0.7 * d - 0.4 * v + x
            v = 0.8 * v + 0.6 * d
            spike = fire(v - 0.6, 3.0)
            v, d = v - 0.6 * seen(spike), d - 0.3 * seen(spike)
        spikes.append(spike)
    return jnp.stack(spikes)


@pytest.mark.parametrize("stop", [True, False])
@pytest.mark.parametrize("name", ["SRM", "TwoCompartment"])
def test_the_gradient_flows_through_the_response_to_spikes_where_the_reset_lets_it(name, stop):
    options = {"threshold": 0.6, "spike_fn": surrogate.SuperSpike(3.0)}
    if name == "SRM":
        layer = snn.SRM([0.8, 0.7, 0.9], after_potential=0.5, reset=snn.NoReset(stop_gradient=stop), **options)
    else:
        reset = snn.SubtractReset(stop_gradient=stop)
        layer = snn.TwoCompartment([0.8, 0.7], coupling=(0.6, -0.4), dendritic_reset=0.3, reset=reset, **options)
    xs = jnp.asarray(INPUTS[:6])
    weights = jnp.cos(jnp.arange(xs.size)).reshape(xs.shape)
    seen = jax.lax.stop_gradient if stop else lambda spike: spike
    of_layer = jax.grad(lambda xs: jnp.sum(weights * layer.over_time(layer.init_state((3,)), xs)[1]))(xs)
    of_loop = jax.grad(lambda xs: jnp.sum(weights * by_loop(name, xs, seen)))(xs)
    of_other = jax.grad(lambda xs: jnp.sum(weights * by_loop(name, xs, jax.lax.stop_gradient)))(xs)
    np.testing.assert_allclose(of_layer, of_loop, rtol=1e-4, atol=1e-5)
    assert np.allclose(of_loop, of_other, atol=1e-3) == stop


# What they have in common with all neurons.

ALL = {
    "ALIF": lambda **f: snn.ALIF(0.9, **f),
    "QIF": lambda **f: snn.QIF(0.9, **f),
    "EIF": lambda **f: snn.EIF(0.9, **f),
    "AdEx": lambda **f: snn.AdEx(0.9, **f),
    "Izhikevich": lambda **f: snn.Izhikevich(**f),
    "DoubleExpLIF": lambda **f: snn.DoubleExpLIF([0.9, 0.8, 0.5], **f),
    "SRM": lambda **f: snn.SRM([0.9, 0.8, 0.7], **f),
    "TwoCompartment": lambda **f: snn.TwoCompartment([0.9, 0.8], **f),
}


@pytest.mark.parametrize("name", ALL)
def test_a_state_has_any_rank_and_is_float32_when_the_activations_are_bfloat16(name):
    layer = ALL[name](refractory=1)
    for shape in ((), (3,), (2, 3, 4)):
        state, out = jax.eval_shape(layer, layer.init_state(shape), jax.ShapeDtypeStruct(shape, jnp.bfloat16))
        assert out.shape == shape and out.dtype == jnp.bfloat16
        assert {leaf.shape for leaf in jax.tree.leaves(state)} == {shape}
        assert {leaf.dtype for leaf in jax.tree.leaves(state)} == {jnp.dtype(jnp.float32), jnp.dtype(jnp.int32)}


@pytest.mark.parametrize("name", ALL)
def test_every_argument_of_firing_reaches_the_neuron(name):
    spike_fn = surrogate.Sigmoid(2.0)
    reset = snn.NoReset(stop_gradient=False)
    layer = ALL[name](threshold=0.5, reset=reset, refractory=2, spike_fn=spike_fn, init_fn=between(0.1, 0.2))
    assert (layer.threshold, layer.reset, layer.refractory, layer.spike_fn) == (0.5, reset, 2, spike_fn)
    state = layer.init_state((4,), jax.random.key(0))
    assert jnp.all((state.v >= 0.1) & (state.v <= 0.2)) and state.countdown.shape == (4,)
    with pytest.raises(TypeError, match=rf"`snn\.{name}` takes no 'colour'"):
        ALL[name](colour="red")


PARAMETERS = {
    "ALIF": (
        lambda draw, **f: snn.ALIF(
            draw, ada_decay_constant=draw, ada_coupling_var=draw, gain=draw, rest=draw, threshold=draw, **f
        ),
        6,
    ),
    "QIF": (
        lambda draw, **f: snn.QIF(draw, critical=draw, curvature=draw, gain=draw, rest=draw, threshold=draw, **f),
        6,
    ),
    "EIF": (
        lambda draw, **f: snn.EIF(draw, onset=draw, sharpness=draw, gain=draw, rest=draw, threshold=draw, **f),
        6,
    ),
    "AdEx": (
        lambda draw, **f: snn.AdEx(
            draw,
            ada_decay_constant=draw,
            ada_step_val=draw,
            ada_coupling_var=draw,
            onset=draw,
            sharpness=draw,
            gain=draw,
            rest=draw,
            threshold=draw,
            **f,
        ),
        9,
    ),
    "Izhikevich": (lambda draw, **f: snn.Izhikevich(draw, draw, draw, draw, gain=draw, threshold=draw, **f), 6),
    "DoubleExpLIF": (
        lambda draw, **f: snn.DoubleExpLIF([draw] * 3, gain=[draw] * 2, rest=draw, threshold=draw, **f),
        7,
    ),
    "SRM": (
        lambda draw, **f: snn.SRM([draw] * 3, after_potential=draw, gain=[draw] * 2, rest=draw, threshold=draw, **f),
        8,
    ),
    "TwoCompartment": (
        lambda draw, **f: snn.TwoCompartment(
            [draw] * 2, coupling=(draw, draw), dendritic_reset=draw, gain=draw, rest=draw, threshold=draw, **f
        ),
        8,
    ),
    "ShortTermPlasticity": (
        lambda draw, **f: snn.ShortTermPlasticity([draw] * 2, utilisation=draw, gain=draw, **f),
        4,
    ),
}


@pytest.mark.parametrize("name", PARAMETERS)
def test_an_initialiser_draws_another_value_for_each_neuron_and_parameter(name):
    make, count = PARAMETERS[name]
    layer = make(between(0.1, 0.9), shape=(3, 2), key=jax.random.key(0))
    drawn = [leaf for leaf in jax.tree.leaves(layer) if eqx.is_array(leaf)]
    assert [leaf.shape for leaf in drawn] == [(3, 2)] * count
    assert len(np.unique(np.stack(drawn))) == 6 * count
    with pytest.raises(ValueError, match=rf"`snn\.{name}`: `\w+` is an initialiser.*`shape=` .*`key=`"):
        make(between(0.1, 0.9))


@pytest.mark.parametrize("name", PARAMETERS)
def test_parameters_that_do_not_fit_the_inputs_are_refused(name):
    layer = PARAMETERS[name][0](jnp.full((3,), 0.5))
    with pytest.raises(ValueError, match=rf"`snn\.{name}`: `\w+` has the shape \(3,\).*inputs of shape \(4,\)"):
        layer.init_state((4,))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: snn.ALIF(1.5), r"`snn\.ALIF`: `decay_constants` must be in \[0, 1\], got 1\.5.*snn\.decay"),
        (lambda: snn.ALIF(0.9, ada_decay_constant=-1.0), r"`snn\.ALIF`: `ada_decay_constant` must be in \[0, 1\]"),
        (lambda: snn.QIF(0.9, curvature=0.0), r"`snn\.QIF`: `curvature` must be in \(0, inf\), got 0\.0"),
        (lambda: snn.EIF(0.9, sharpness=0.0), r"`snn\.EIF`: `sharpness` must be in \[0\.001, inf\), got 0\.0"),
        (lambda: snn.AdEx(0.9, sharpness=-1.0), r"`snn\.AdEx`: `sharpness` must be in .*without an onset: `snn"),
        (lambda: snn.AdEx(0.9, ada_decay_constant=2.0), r"`snn\.AdEx`: `ada_decay_constant` must be in \[0, 1\]"),
        (lambda: snn.TwoCompartment([0.9, 1.1]), r"`snn\.TwoCompartment`: `decay_constants` .*1\.1 for the dendrite"),
        (lambda: snn.TwoCompartment([0.9, 0.9], coupling=(1.0,)), r"`snn\.TwoCompartment`: `coupling` must hold 2"),
        (lambda: snn.DoubleExpLIF([0.9, 0.8]), r"must hold 3 .*got `decay_constants=\[0\.9, 0\.8\]`"),
        (lambda: snn.DoubleExpLIF([0.9, 0.8]), r"The decays come first: `snn\.DoubleExpLIF\(\[0\.95, 0\.9, 0\.8\], "),
        (lambda: snn.SRM([0.9, 0.8, 2.0]), r"`snn\.SRM`: `decay_constants` .*2\.0 for the response to spikes"),
        (
            lambda: snn.SRM([0.9, 0.8, 0.7], reset=snn.SubtractReset()),
            r"`snn\.SRM`: .*`reset` must be a `snn\.NoReset`, got SubtractReset.*`snn\.LIF`",
        ),
        (
            lambda: snn.ShortTermPlasticity([0.9, 0.8], utilisation=1.2),
            r"`snn\.ShortTermPlasticity`: `utilisation` must be in \[0, 1\], got 1\.2",
        ),
        (lambda: snn.ShortTermPlasticity([0.9, 1.8]), "got 1.8 for the facilitation"),
    ],
)
def test_an_argument_out_of_its_range_is_refused_by_name(make, message):
    with pytest.raises(ValueError, match=f"(?s){message}"):
        make()
