"""Every neuron does what its equations say, step by step; and its gradient is the one that they have."""

import pathlib

import equinox as eqx
import jax
import jax.flatten_util
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import allclose

import snnax.snn as snn
from snnax.functional import surrogate

DATA = pathlib.Path(__file__).parent / "data"


def trace(layer, xs, fields=("v",)):
    """The outputs of a layer outside of any container, and fields of its state, step by step."""
    state = layer.init_state(xs.shape[1:])
    rows = []
    for x in xs:
        state, out = layer(state, jnp.asarray(x))
        rows.append([out, *(getattr(state, name) for name in fields)])
    return [np.asarray(column) for column in zip(*rows, strict=True)]


# Worked out by hand; every number is a sum of a few powers of two, so float32 holds it exactly.
SIMPLE_LIF = {
    "input": [0.75, 0.5, 0.75, 0.5, 0.75, 0.0, 0.25, -0.5, 1.0, 1.0, 0.5, 0.5],
    "spike": [0, 0, 1, 0, 1, 0, 0, 0, 0, 1, 0, 0],
    "v": [0.75, 0.875, 0.0, 0.5, 0.0, 0.0, 0.25, -0.375, 0.8125, 0.0, 0.5, 0.75],
    "v, subtracted": [
        0.75, 0.875, 0.1875, 0.59375, 0.046875, 0.0234375, 0.26171875, -0.369140625, 0.8154296875, 0.40771484375,
        0.703857421875, 0.8519287109375,
    ],
}  # fmt: skip
LIF = {
    "input": [0.5, 0.0, 0.0, 0.5, 0.5, 0.0, 0.0, 0.0, -0.5, 0.0, 0.25, 1.0],
    "spike": [0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1],
    "i": [
        0.5, 0.25, 0.125, 0.5625, 0.78125, 0.390625, 0.1953125, 0.09765625, -0.451171875, -0.2255859375,
        0.13720703125, 1.068603515625,
    ],
    "v": [
        0.5, 0.5, 0.375, 0.75, 0.0, 0.390625, 0.390625, 0.29296875, -0.3046875, -0.3779296875, -0.0517578125, 0.0,
    ],
}  # fmt: skip


def test_simple_lif_equals_a_table_worked_out_by_hand():
    xs = np.array(SIMPLE_LIF["input"], np.float32)[:, None]
    spike, v = trace(snn.SimpleLIF(0.5), xs)
    np.testing.assert_array_equal(spike[:, 0], SIMPLE_LIF["spike"])
    np.testing.assert_allclose(v[:, 0], SIMPLE_LIF["v"], rtol=0, atol=1e-6)
    spike, v = trace(snn.SimpleLIF(0.5, reset=snn.SubtractReset()), xs)
    np.testing.assert_array_equal(spike[:, 0], SIMPLE_LIF["spike"])
    np.testing.assert_allclose(v[:, 0], SIMPLE_LIF["v, subtracted"], rtol=0, atol=1e-6)


def test_lif_equals_a_table_worked_out_by_hand():
    spike, v, i = trace(snn.LIF([0.5, 0.5]), np.array(LIF["input"], np.float32)[:, None], ("v", "i"))
    np.testing.assert_array_equal(spike[:, 0], LIF["spike"])
    np.testing.assert_allclose(v[:, 0], LIF["v"], rtol=0, atol=1e-6)
    np.testing.assert_allclose(i[:, 0], LIF["i"], rtol=0, atol=1e-6)


def test_a_potential_that_reaches_the_threshold_fires_in_the_step_of_its_input():
    for layer in (snn.SimpleLIF(0.9), snn.LIF([0.9, 0.8]), snn.SimpleIAF(), snn.IAF(0.9), snn.AdaptiveLIF(0.9)):
        below, reached = np.nextafter(np.float32(1), np.float32(0)), 1.0
        (spike,) = trace(layer, np.array([[below, reached]], np.float32), ())
        np.testing.assert_array_equal(spike, [[0, 1]])


# The equations of the docstrings in plain Python numbers, each from the state and the input to what is new in the state
# and the potential.
THETA, GAIN, OTHER_GAIN, REST, LEAK, ALPHA, BETA = 0.41, 0.73, 1.31, 0.052, 0.023, 0.9, 0.6
COUPLING, STEP = 0.41, 0.16


def simple_lif(state, x):
    return {}, REST + ALPHA * (state["v"] - REST) + GAIN * x


def lif(state, x):
    i = BETA * state["i"] + OTHER_GAIN * x
    return {"i": i}, REST + ALPHA * (state["v"] - REST) + GAIN * i


def simple_iaf(state, x):
    return {}, state["v"] + GAIN * x - LEAK


def iaf(state, x):
    i = BETA * state["i"] + OTHER_GAIN * x
    return {"i": i}, state["v"] + GAIN * i - LEAK


def adaptive_lif(state, x):
    return {"a": state["a"]}, REST + ALPHA * (state["v"] - REST) + GAIN * (x + state["a"])


FIRING = {
    "SimpleLIF": (simple_lif, lambda **f: snn.SimpleLIF(ALPHA, gain=GAIN, rest=REST, **f), REST),
    "LIF": (lif, lambda **f: snn.LIF([ALPHA, BETA], gain=[GAIN, OTHER_GAIN], rest=REST, **f), REST),
    "SimpleIAF": (simple_iaf, lambda **f: snn.SimpleIAF(gain=GAIN, leak=LEAK, **f), 0.0),
    "IAF": (iaf, lambda **f: snn.IAF(BETA, gain=[GAIN, OTHER_GAIN], leak=LEAK, **f), 0.0),
    "AdaptiveLIF": (
        adaptive_lif,
        lambda **f: snn.AdaptiveLIF(
            ALPHA, ada_decay_constant=BETA, ada_step_val=STEP, ada_coupling_var=COUPLING, gain=GAIN, rest=REST, **f
        ),
        REST,
    ),
}
RESETS = {
    "to zero": (snn.ResetToValue(), lambda v, s: 0.0 if s else v),
    "to a value": (snn.ResetToValue(-0.12), lambda v, s: -0.12 if s else v),
    "by subtraction": (snn.SubtractReset(), lambda v, s: v - THETA * s),
    "not at all": (snn.NoReset(), lambda v, s: v),
    "by delayed subtraction": (snn.DelayedSubtractReset(), lambda v, s: v - THETA * s),
}
INPUTS = np.array(
    [
        [0.45, 0.35, 0.0, 0.2, 0.65, 0.1, -0.3, 0.55, 0.85, 0.0, 0.15, 0.4],
        [0.15] * 12,
        [1.2, -0.7, 0.0, 0.05, 0.15, 1.3, 0.05, 0.4, -0.75, 1.1, 0.45, 0.0],
    ],
    np.float32,
).T


def by_hand(integrate, start, reset_name, refractory, xs):
    """The table of one neuron: rows of (spike, v, i or a) in plain Python numbers."""
    after = RESETS[reset_name][1]
    state = {"v": start, "i": 0.0, "a": 0.0}
    resting = 0
    rows = []
    for x in map(float, xs):
        new, integrated = integrate(state, x)
        compared = integrated
        if reset_name == "by delayed subtraction" and state["v"] >= THETA:
            compared -= THETA
        if resting:
            spike, v = 0, state["v"]
            resting -= 1
        else:
            spike = int(compared >= THETA)
            v = after(integrated, spike)
            resting = refractory * spike
        if "a" in new:
            potential = state["v"] if rows and rows[-1]["resting"] else integrated
            new["a"] = BETA * state["a"] + (1 - BETA) * COUPLING * (potential - REST) - STEP * spike
        state = {**state, **new, "v": v}
        rows.append({"spike": spike, **state, "resting": resting, "margin": abs(compared - THETA)})
    return rows


@pytest.mark.parametrize("refractory", [0, 2])
@pytest.mark.parametrize("reset", RESETS)
@pytest.mark.parametrize("neuron", FIRING)
def test_a_neuron_equals_its_equations_in_plain_numbers(neuron, reset, refractory):
    integrate, make, start = FIRING[neuron]
    layer = make(threshold=THETA, reset=RESETS[reset][0], refractory=refractory)
    extra = {"LIF": "i", "IAF": "i", "AdaptiveLIF": "a"}.get(neuron)
    columns = trace(layer, INPUTS, ("v", extra) if extra else ("v",))
    for j in range(INPUTS.shape[1]):
        rows = by_hand(integrate, start, reset, refractory, INPUTS[:, j])
        assert min(row["margin"] for row in rows) > 1e-5, "a table on the threshold says nothing"
        for column, name in zip(columns, ("spike", "v", extra), strict=False):
            expected = [row[name] for row in rows]
            np.testing.assert_allclose(column[:, j], expected, rtol=1e-6, atol=1e-6, err_msg=f"{name} of neuron {j}")
    spikes = columns[0]
    assert 0 < spikes.sum() < spikes.size


def test_the_resets_and_the_refractory_period_make_different_tables():
    """The inputs of the tables tell all resets apart, for every neuron."""
    for integrate, _, start in FIRING.values():
        tables = {
            (reset, refractory): tuple(
                row["v"] for j in range(3) for row in by_hand(integrate, start, reset, refractory, INPUTS[:, j])
            )
            for reset in RESETS
            for refractory in (0, 2)
        }
        assert len(set(tables.values())) == len(tables)


@pytest.mark.parametrize("neuron", ["SimpleLI", "LI"])
def test_an_integrator_equals_its_equations_in_plain_numbers(neuron):
    if neuron == "SimpleLI":
        layer, integrate = snn.SimpleLI(ALPHA, gain=GAIN, rest=REST), simple_lif
    else:
        layer, integrate = snn.LI([ALPHA, BETA], gain=[GAIN, OTHER_GAIN], rest=REST), lif
    out, v = trace(layer, INPUTS)
    np.testing.assert_array_equal(out, v)
    for j in range(INPUTS.shape[1]):
        state = {"v": REST, "i": 0.0}
        for t, x in enumerate(map(float, INPUTS[:, j])):
            new, potential = integrate(state, x)
            state = {**state, **new, "v": potential}
            assert out[t, j] == pytest.approx(potential, rel=1e-6, abs=1e-6)


def test_a_refractory_neuron_stays_at_its_reset_value_for_so_many_steps():
    spike, v, i = trace(snn.LIF([0.5, 0.5], refractory=3), np.ones((9, 1), np.float32), ("v", "i"))
    np.testing.assert_array_equal(spike[:, 0], [1, 0, 0, 0, 1, 0, 0, 0, 1])
    np.testing.assert_array_equal(v, np.zeros((9, 1)))
    np.testing.assert_allclose(i[:, 0], 2 - 2.0 ** -np.arange(9))


def test_delayed_subtraction_never_subtracts_twice():
    """From 2.5 at rest in one step: 1.5 and a spike, then 1.5 without (it has not climbed another threshold)."""
    xs = np.array([[2.5], [0.0], [0.0], [0.6], [0.0]], np.float32)
    spike, v = trace(snn.SimpleIAF(reset=snn.DelayedSubtractReset()), xs)
    np.testing.assert_array_equal(spike[:, 0], [1, 0, 0, 1, 0])
    np.testing.assert_allclose(v[:, 0], [1.5, 1.5, 1.5, 1.1, 1.1], atol=1e-6)
    spike, v = trace(snn.SimpleIAF(reset=snn.SubtractReset()), xs)
    np.testing.assert_array_equal(spike[:, 0], [1, 1, 0, 1, 0])


@pytest.mark.parametrize("simulator", ["norse", "snntorch"])
def test_simple_lif_reproduces_the_published_traces_of_other_simulators(simulator):
    """The neuron of `lif_norse.nir`: tau = 2.5 ms, r = 1, v_leak = 0, v_threshold = 0.1, reset to 0, dt = 0.1 ms."""
    tau, dt, threshold = 2.5e-3, 1e-4, 0.1
    xs, v, spikes = np.loadtxt(DATA / f"lif_{simulator}.csv", delimiter=",", dtype=np.float32).T
    if simulator == "norse":
        layer, scale = snn.SimpleLIF(1 - dt / tau, gain=dt / tau, threshold=threshold), 1.0
    else:
        # Its import divides the threshold by the gain in place of multiplying the input by it.
        layer, scale = snn.SimpleLIF(1 - dt / tau, threshold=threshold / (dt / tau)), dt / tau
    model = snn.Sequential(layer)
    collect = (snn.Trains(), snn.Traces())
    _, ((out, states),) = eqx.filter_jit(model)(model.init_state((1,)), jnp.asarray(xs)[:, None], collect=[collect])
    assert len(xs) == 1000 and spikes.sum() == 4
    np.testing.assert_array_equal(out[:, 0], spikes)
    np.testing.assert_allclose(scale * states.v[:, 0], scale * v, rtol=0, atol=1e-6)


# Pooling.


def windows(x, kernel, stride, padding=0, fill=0.0):
    """All windows of the last two axes, flattened: (channels, rows, columns, kernel * kernel)."""
    x = np.pad(x, [(0, 0), (padding, padding), (padding, padding)], constant_values=fill)
    rows, columns = ((n - kernel) // stride + 1 for n in x.shape[1:])
    return np.stack(
        [
            [
                x[:, i * stride : i * stride + kernel, j * stride : j * stride + kernel].reshape(len(x), -1)
                for j in range(columns)
            ]
            for i in range(rows)
        ]
    ).transpose(2, 0, 1, 3)


@pytest.mark.parametrize(("kernel", "stride", "padding"), [(2, 1, 0), (2, 2, 0), (3, 2, 1)])
def test_sums_and_spiking_maxima_are_taken_over_windows(kernel, stride, padding):
    x = np.round(np.cos(np.arange(2 * 5 * 4)).reshape(2, 5, 4), 2).astype(np.float32)
    sums = snn.SumPool2d(kernel, stride, padding)(jnp.asarray(x))
    np.testing.assert_allclose(sums, windows(x, kernel, stride, padding).sum(axis=-1), atol=1e-6)
    largest = windows(x, kernel, stride, padding, fill=-np.inf).max(axis=-1)
    threshold = float(np.sort(largest.ravel())[largest.size // 2])
    spikes = snn.SpikingMaxPool2d(kernel, stride, padding, threshold=threshold)(jnp.asarray(x))
    np.testing.assert_array_equal(spikes, largest >= np.float32(threshold))
    assert 0 < np.mean(spikes) < 1


def test_pooling_over_one_axis_is_that_of_two_with_the_other_of_length_one():
    x = jnp.asarray(np.cos(np.arange(12)).reshape(2, 6), jnp.float32)
    for one, two in (
        (snn.SumPool1d(3, 2, 1), snn.SumPool2d((3, 1), (2, 1), ((1, 1), (0, 0)))),
        (snn.SpikingMaxPool1d(2, 2, threshold=0.5), snn.SpikingMaxPool2d((2, 1), (2, 1), threshold=0.5)),
    ):
        np.testing.assert_array_equal(one(x), two(x[:, :, None])[:, :, 0])


def test_the_gradient_of_a_spiking_maximum_goes_to_the_maximum_of_its_window():
    spike = surrogate.SuperSpike(5.0)
    pool = snn.SpikingMaxPool1d(2, 2, threshold=jnp.array(0.7), spike_fn=spike)
    x = jnp.array([[0.2, 0.9, 0.5, 0.1]])
    by_pool, by_input = eqx.filter_grad(lambda both: jnp.sum(both[0](both[1])))((pool, x))
    slopes = [float(spike.derivative(jnp.array(largest - 0.7))) for largest in (0.9, 0.5)]
    np.testing.assert_allclose(by_input, [[0, slopes[0], slopes[1], 0]], rtol=1e-5)
    assert float(by_pool.threshold) == pytest.approx(-sum(slopes), rel=1e-5)


# Gradients.


def smooth(kind, slope):
    """A surrogate whose value is its antiderivative, so that finite differences can see its gradient."""
    spike = kind(slope)
    return surrogate.Custom(spike.derivative, primal=spike.antiderivative)


def trained(value):
    return jnp.array(value)


def twins():
    """Every neuron with all parameters trained, a smooth spike and a reset that passes gradients."""
    resets = {
        "to a value": lambda: snn.ResetToValue(trained(-0.2), stop_gradient=False),
        "by subtraction": lambda: snn.SubtractReset(stop_gradient=False),
        "by delayed subtraction": lambda: snn.DelayedSubtractReset(stop_gradient=False),
        "not at all": lambda: snn.NoReset(stop_gradient=False),
    }

    def firing(reset, kind=surrogate.Sigmoid, slope=2.0):
        return {"threshold": trained([0.9, 0.7]), "reset": resets[reset](), "spike_fn": smooth(kind, slope)}

    def pair(a, b):
        return [trained(a), trained(b)]

    two = [0.8, 0.6]
    return {
        "SimpleLI": lambda: snn.SimpleLI(trained(two), gain=trained(0.7), rest=trained(0.1)),
        "LI": lambda: snn.LI(pair(two, 0.7), gain=pair(0.7, two), rest=trained(0.1)),
        "SimpleLIF": lambda: snn.SimpleLIF(
            trained(two), gain=trained(0.7), rest=trained(0.1), **firing("to a value", surrogate.ArcTan)
        ),
        "SimpleLIF, unity gain": lambda: snn.SimpleLIF(
            trained(two), gain=snn.UnityGain(), rest=trained(0.1), **firing("by subtraction", surrogate.SuperSpike, 1.0)
        ),
        "LIF": lambda: snn.LIF(pair(two, 0.7), gain=pair(0.7, two), rest=trained(0.1), **firing("by subtraction")),
        "LIF, delayed": lambda: snn.LIF(pair(two, 0.7), rest=trained(two), **firing("by delayed subtraction")),
        "SimpleIAF": lambda: snn.SimpleIAF(gain=trained(two), leak=trained(0.05), **firing("not at all")),
        "IAF": lambda: snn.IAF(trained(two), gain=pair(0.7, two), leak=trained(0.05), **firing("to a value")),
        "AdaptiveLIF": lambda: snn.AdaptiveLIF(
            trained(two),
            ada_decay_constant=trained(two),
            ada_step_val=trained(0.3),
            ada_coupling_var=trained(0.4),
            gain=trained(0.7),
            rest=trained(0.1),
            **firing("by subtraction"),
        ),
    }


@pytest.mark.parametrize("name", twins())
def test_the_gradient_of_the_smooth_twin_equals_finite_differences(name):
    with jax.enable_x64(True):
        layer = twins()[name]()
        params, static = eqx.partition(layer, snn.trainable(layer))
        xs = jnp.asarray(INPUTS[:5, :2], jnp.float64)
        flat, unravel = jax.flatten_util.ravel_pytree((params, xs))
        assert flat.dtype == jnp.float64

        def loss(flat):
            params, xs = unravel(flat)
            layer = eqx.combine(params, static)
            state, outs = layer.over_time(layer.init_state((2,)), xs)
            return jnp.sum(outs * jnp.cos(jnp.arange(outs.size).reshape(outs.shape))) + jnp.sum(jnp.sin(state.v))

        @jax.jit
        def both(flat):
            steps = 1e-5 * jnp.eye(flat.size)
            ahead, behind = jax.vmap(loss)(flat + steps), jax.vmap(loss)(flat - steps)
            return jax.grad(loss)(flat), (ahead - behind) / 2e-5

        gradient, numeric = both(flat)
        np.testing.assert_allclose(gradient, numeric, rtol=1e-6, atol=1e-8)
        assert np.all(np.asarray(gradient) != 0)
    assert jnp.zeros(()).dtype == jnp.float32


def fire(x, slope):
    """A step with the derivative of SuperSpike, from stop_gradient alone."""
    relaxed = x / (1 + slope * jnp.abs(x))
    return relaxed + jax.lax.stop_gradient((x >= 0).astype(x.dtype) - relaxed)


HAND_RESETS = {
    "to a value": (
        lambda p: snn.ResetToValue(p["c"]),
        lambda v, s, p: v * (1 - s) + s * p["c"],
    ),
    "by subtraction": (lambda p: snn.SubtractReset(), lambda v, s, p: v - s * p["theta"]),
}


@pytest.mark.parametrize("reset", HAND_RESETS)
def test_a_reset_with_a_stopped_gradient_has_that_of_a_loop_by_hand(reset):
    make, after = HAND_RESETS[reset]
    p = {"alpha": jnp.array(0.9), "beta": jnp.array(0.6), "theta": jnp.array(0.8), "c": jnp.array(-0.2)}
    xs = jnp.asarray(INPUTS[:5])
    weights = jnp.cos(jnp.arange(xs.size)).reshape(xs.shape)

    def of_layer(p, xs):
        spike_fn = surrogate.SuperSpike(3.0)
        layer = snn.LIF([p["alpha"], p["beta"]], threshold=p["theta"], reset=make(p), spike_fn=spike_fn)
        _, outs = layer.over_time(layer.init_state((3,)), xs)
        return jnp.sum(outs * weights)

    def of_loop(p, xs):
        v = i = jnp.zeros(3)
        total = 0.0
        for x, w in zip(xs, weights, strict=True):
            i = p["beta"] * i + x
            v = p["alpha"] * v + i
            spike = fire(v - p["theta"], 3.0)
            total = total + jnp.sum(w * spike)
            v = after(v, jax.lax.stop_gradient(spike), p)
        return total

    of_each = jax.jit(lambda p, xs: [jax.value_and_grad(f, argnums=(0, 1))(p, xs) for f in (of_layer, of_loop)])
    by_layer, by_loop = of_each(p, xs)
    allclose(by_layer, by_loop, rtol=1e-4, atol=1e-5)
    assert np.any(by_layer[1][1] != 0)


def test_nothing_flows_through_a_neuron_that_rests():
    layer = snn.SimpleLIF(0.9, refractory=2)

    of_inputs = jax.jit(jax.jacrev(lambda xs: layer.over_time(layer.init_state(()), xs)[1]))
    jacobian = of_inputs(jnp.array([1.5, 0.9, 0.9, 0.5]))
    assert jacobian[0, 0] != 0 and jacobian[3, 3] != 0
    np.testing.assert_array_equal(jacobian[1:3], np.zeros((2, 4)))
    np.testing.assert_array_equal(jacobian[3, 1:3], [0, 0])


def test_the_potential_starts_at_rest_and_decays_towards_it():
    for layer in (snn.SimpleLIF(0.5, rest=0.25), snn.LIF([0.5, 0.5], rest=0.25), snn.SimpleLI(0.5, rest=0.25)):
        state = layer.init_state((2,))
        np.testing.assert_array_equal(state.v, [0.25, 0.25])
        state = eqx.tree_at(lambda s: s.v, state, jnp.array([0.75, -0.75]))
        state, _ = layer(state, jnp.zeros(2))
        np.testing.assert_array_equal(state.v, [0.5, -0.25])


def test_states_are_float32_when_the_activations_are_bfloat16():
    """0.999 is 1 in bfloat16: the potential would never decay."""
    x = jax.ShapeDtypeStruct((4,), jnp.bfloat16)
    for layer in (snn.LIF([0.999, 0.999]), snn.SimpleIAF(refractory=1), snn.AdaptiveLIF(0.999), snn.SimpleLI(0.999)):
        state, out = jax.eval_shape(layer, layer.init_state((4,)), x)
        assert out.dtype == jnp.bfloat16
        assert state.v.dtype == jnp.float32
    start = eqx.tree_at(lambda s: s.v, snn.SimpleLI(0.999).init_state((4,)), jnp.ones(4))
    state, _ = snn.SimpleLI(0.999)(start, jnp.zeros(4, jnp.bfloat16))
    np.testing.assert_allclose(state.v, 0.999, rtol=1e-6)
