"""Parameters of neurons: numbers are constants, arrays are trained, and what is printed is what acts."""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import optax
import pytest
from helpers import LAYERS, Counter, allclose, between, linear, per_channel

import snnax.snn as snn
from snnax.functional import surrogate


def arrays(model):
    """The names of all arrays of a model."""
    return {
        jax.tree_util.keystr(path) for path, _ in jax.tree_util.tree_leaves_with_path(eqx.filter(model, eqx.is_array))
    }


def trained(model):
    leaves = jax.tree_util.tree_leaves_with_path(snn.trainable(model))
    return {jax.tree_util.keystr(path) for path, leaf in leaves if leaf is True}


def run(layer, xs):
    """A layer on a sequence, outside of any container."""
    state = layer.init_state(xs.shape[1:])
    outs = []
    for x in xs:
        state, out = layer(state, x)
        outs.append(out)
    return state, jnp.stack(outs)


@pytest.mark.parametrize(
    "number", [1, 0.5, np.float32(0.5), np.float64(0.5), np.int64(1)], ids=lambda n: type(n).__name__
)
def test_a_number_of_any_type_is_a_constant(number):
    layer = snn.LIF([number, 0.8], gain=number, rest=number, threshold=number, reset=snn.ResetToValue(number))
    assert arrays(layer) == set()
    for stored in (layer.decay_constants[0], layer.gain[1], layer.rest, layer.threshold, layer.reset.value):
        assert type(stored) is float
        assert stored == float(number)


@pytest.mark.parametrize("make", [jnp.array, np.array, np.float32], ids=["jax", "numpy float64", "numpy float32"])
def test_an_array_of_any_library_is_trained(make):
    def array(value):
        return np.array(value, np.float32) if make is np.float32 else make(value)

    layer = snn.LIF(
        [array(0.9), array([0.8, 0.7])],
        gain=[array(0.5), array([1.0, 2.0])],
        rest=array(-0.1),
        threshold=array([1.0, 1.1]),
        reset=snn.ResetToValue(array(-0.2)),
        spike_fn=surrogate.ArcTan(array(2.0)),
    )
    names = {".threshold", ".reset.value", ".spike_fn.slope", ".rest"}
    names |= {f".{name}[{i}]" for name in ("decay_constants", "gain") for i in (0, 1)}
    assert trained(layer) == names == arrays(layer)
    for leaf in jax.tree.leaves(eqx.filter(layer, eqx.is_array)):
        assert isinstance(leaf, jax.Array)
        assert leaf.dtype == jnp.float32 and not leaf.weak_type


def train_step(model, xs, optimiser, optimiser_state, states):
    params, static = eqx.partition(model, snn.trainable(model))

    def loss(params):
        _, outs = eqx.combine(params, static)(states, xs)
        return jnp.mean((jnp.mean(outs[-1], axis=0) - 2.0) ** 2)

    gradients = jax.grad(loss)(params)
    updates, optimiser_state = optimiser.update(gradients, optimiser_state, params)
    return eqx.combine(optax.apply_updates(params, updates), static), optimiser_state, gradients


def test_one_update_changes_what_is_trained_and_nothing_else(getkey):
    model = snn.Sequential(
        linear(3, 4),
        snn.LIF(
            [jnp.array(0.9), snn.Fixed(jnp.array([0.8, 0.7, 0.6, 0.5]))],
            gain=[snn.Fixed(jnp.array(1.0)), jnp.array(1.5)],
            threshold=jnp.array(0.8),
            rest=jnp.array([0.1, 0.1, 0.1, 0.1]),
            reset=snn.ResetToValue(jnp.array(0.05)),
            spike_fn=surrogate.SuperSpike(jnp.array(2.0)),
        ),
        snn.SimpleLI(0.9),
    )
    states = model.init_state((3,))
    optimiser = optax.sgd(0.01)
    xs = jr.normal(getkey(), (6, 3)) + 1.0
    step = Counter(train_step)
    optimiser_state = optimiser.init(eqx.filter(model, snn.trainable(model)))
    new, optimiser_state, gradients = step(model, xs, optimiser, optimiser_state, states)
    before, after = (dict(jax.tree_util.tree_leaves_with_path(eqx.filter(m, eqx.is_array))) for m in (model, new))
    changed = {jax.tree_util.keystr(path) for path in before if not np.array_equal(before[path], after[path])}
    assert (
        changed
        == trained(model)
        == {jax.tree_util.keystr(p) for p, _ in jax.tree_util.tree_leaves_with_path(gradients)}
    )
    assert changed == arrays(model) - {".layers[1].decay_constants[1].value", ".layers[1].gain[0].value"}
    step(new, xs, optimiser, optimiser_state, states)
    assert step.traces == 1


def test_the_gradient_of_a_fixed_array_is_zero(getkey):
    layer = snn.SimpleLIF(snn.Fixed(jnp.array([0.9, 0.8])), gain=jnp.array(1.0))
    gradient = eqx.filter_grad(lambda layer: jnp.sum(run(layer, jnp.ones((3, 2)))[1]))(layer)
    assert np.all(gradient.decay_constants.value == 0)
    assert gradient.gain != 0


def test_a_fixed_array_acts_like_a_trained_one_and_is_printed_and_saved():
    values = jnp.array([0.9, 0.5])
    xs = jnp.full((4, 2), 0.4)
    allclose(run(snn.SimpleLIF(snn.Fixed(values)), xs), run(snn.SimpleLIF(values), xs))
    assert "decay_constants=Fixed(value=f32[2])" in repr(snn.SimpleLIF(snn.Fixed(values)))
    assert arrays(snn.SimpleLIF(snn.Fixed(values))) == {".decay_constants.value"}


def test_an_initialiser_draws_a_value_for_each_neuron():
    def make(key):
        draw = between(0.1, 0.9)
        return snn.LIF([draw, snn.Fixed(draw)], shape=(2, 3), gain=[draw, 1.0], threshold=draw, rest=draw, key=key)

    layer = make(jr.key(0))
    values = jax.tree.leaves(eqx.filter(layer, eqx.is_array))
    assert len(values) == 5
    assert all(value.shape == (2, 3) and value.dtype == jnp.float32 for value in values)
    assert len(np.unique(np.stack(values))) == 30
    assert eqx.tree_equal(layer, make(jr.key(0))) and not eqx.tree_equal(layer, make(jr.key(1)))
    assert isinstance(layer.decay_constants[1], snn.Fixed)


def test_an_initialiser_of_the_potential_draws_at_init_state():
    layer = snn.SimpleLIF(0.9, init_fn=between(0.2, 0.4), rest=0.1)
    state = layer.init_state((5,), jr.key(0))
    assert np.all((state.v >= 0.2) & (state.v <= 0.4)) and len(np.unique(state.v)) == 5
    assert not np.array_equal(state.v, layer.init_state((5,), jr.key(1)).v)


def test_project_writes_back_what_acts_and_leaves_the_rest():
    model = snn.Sequential(linear(2, 3), snn.LIF([0.9, 0.8]))
    bad = eqx.tree_at(
        lambda m: (m.decay_constants[0], m.threshold, m.spike_fn.slope),
        snn.LIF(
            [jnp.array([0.2, 0.5, 0.3]), snn.Fixed(jnp.array(0.9))],
            gain=jnp.array(-3.0),
            rest=jnp.array(7.0),
            threshold=jnp.array(1.0),
            spike_fn=surrogate.Sigmoid(jnp.array(1.0)),
        ),
        (jnp.array([1.2, 0.5, -0.3]), jnp.array(-2.0), jnp.array(-1.0)),
    )
    projected = snn.project({"model": eqx.tree_at(lambda m: m.layers[1], model, bad), "other": jnp.array(5.0)})
    layer = projected["model"][1]
    np.testing.assert_array_equal(layer.decay_constants[0], np.array([1.0, 0.5, 0.0], np.float32))
    assert 0 < layer.threshold < 1e-30 and 0 < layer.spike_fn.slope < 1e-30
    assert layer.gain[0] == -3.0 and layer.rest == 7.0 and projected["other"] == 5.0
    assert eqx.tree_equal(projected["model"][0], model[0])
    assert jax.tree.structure(projected["model"][1]) == jax.tree.structure(bad)


@pytest.mark.parametrize("name", LAYERS)
def test_project_leaves_a_layer_in_its_range_as_it_is(name):
    layer = LAYERS[name].make()
    assert eqx.tree_equal(snn.project(layer), layer)


def test_a_trained_decay_out_of_range_acts_as_clipped_and_its_gradient_passes():
    xs = jnp.array([[0.3], [0.2], [-0.1], [0.4]])
    for value, edge in ((1.3, 1.0), (-0.2, 0.0)):
        layer = snn.SimpleLI(jnp.array(0.5))
        outside = eqx.tree_at(lambda m: m.decay_constants, layer, jnp.array(value))
        at_edge = eqx.tree_at(lambda m: m.decay_constants, layer, jnp.array(edge))
        assert eqx.tree_equal(snn.project(outside), at_edge)
        (out, gradient), (out_edge, gradient_edge) = (
            eqx.filter_value_and_grad(lambda m: jnp.sum(run(m, xs)[1] * jnp.array([1.0, 2.0, 3.0, 4.0])[:, None]))(m)
            for m in (outside, at_edge)
        )
        allclose(out, out_edge)
        allclose(gradient, gradient_edge)
        assert abs(float(gradient.decay_constants)) > 0.1


def test_a_trained_threshold_below_zero_acts_as_the_smallest_positive_number():
    layer = eqx.tree_at(lambda m: m.threshold, snn.SimpleLIF(0.9, threshold=jnp.array(1.0)), jnp.array(-1.0))
    _, outs = run(layer, jnp.array([[0.0, -0.5], [1e-20, -0.5]]))
    np.testing.assert_array_equal(outs, [[0, 0], [1, 0]])


def test_unity_gain_is_one_minus_the_decay_and_follows_it():
    xs = jnp.array([[0.3, 0.9], [0.2, 0.1], [-0.1, 0.0]])
    decays = jnp.array([0.9, 0.6])
    unity = snn.SimpleLI(decays, gain=snn.UnityGain())
    explicit = snn.SimpleLI(decays, gain=1 - decays)
    allclose(run(unity, xs), run(explicit, xs))

    def total(decays, layer):
        return jnp.sum(run(layer(decays), xs)[1])

    follows = jax.grad(total)(decays, lambda d: snn.SimpleLI(d, gain=snn.UnityGain()))
    allclose(follows, jax.grad(total)(decays, lambda d: snn.SimpleLI(d, gain=1 - d)))
    assert not np.allclose(follows, jax.grad(total)(decays, lambda d: snn.SimpleLI(d, gain=1 - decays)))
    moved = eqx.tree_at(lambda m: m.decay_constants, unity, jnp.array([0.5, 0.5]))
    allclose(run(moved, xs)[1][0], 0.5 * xs[0])


def test_unity_gain_of_a_constant_input_settles_at_the_input():
    layer = snn.LI([0.5, 0.4], gain=snn.UnityGain(), rest=0.0)
    _, outs = layer.over_time(layer.init_state((1,)), jnp.full((60, 1), 0.7))
    assert float(outs[-1, 0]) == pytest.approx(0.7, abs=1e-5)


def test_parameters_of_any_kind_give_the_same_dynamics():
    xs = jnp.linspace(-0.5, 1.5, 12).reshape(6, 2)
    reference = run(snn.LIF([0.9, 0.8], gain=[0.7, 1.2], rest=0.1, threshold=0.8), xs)
    for kind in (jnp.array, np.array, lambda v: jnp.full((2,), v), lambda v: snn.Fixed(jnp.array(v)), np.float32):
        layer = snn.LIF([kind(0.9), kind(0.8)], gain=[kind(0.7), kind(1.2)], rest=kind(0.1), threshold=kind(0.8))
        allclose(run(layer, xs), reference)
    drawn = snn.LIF(
        [lambda k, s, d: jnp.full(s, 0.9, d), 0.8], (2,), gain=[0.7, 1.2], rest=0.1, threshold=0.8, key=jr.key(0)
    )
    allclose(run(drawn, xs), reference)


def test_float64_parameters_from_numpy_are_float64_where_jax_is():
    values = np.array([0.9, 0.8])
    assert values.dtype == np.float64
    assert snn.SimpleLIF(values).decay_constants.dtype == jnp.float32
    with jax.enable_x64(True):
        layer = snn.SimpleLIF(values)
        assert layer.decay_constants.dtype == jnp.float64
        state, out = layer(layer.init_state((2,)), jnp.ones((2,)))
        assert state.v.dtype == out.dtype == jnp.float64


def test_per_channel_parameters_act_on_their_channel():
    layer = snn.SimpleLI(per_channel(0.5, 0.0))
    state, _ = run(layer, jnp.ones((2, 2, 3, 3)))
    np.testing.assert_array_equal(state.v, np.broadcast_to(np.array([1.5, 1.0]).reshape(2, 1, 1), (2, 3, 3)))


OUT_OF_RANGE = [
    (lambda v: snn.SimpleLIF(v), "snn.SimpleLIF`: `decay_constants", r"\[0, 1\]", "for the membrane"),
    (lambda v: snn.LIF([0.9, v]), "snn.LIF`: `decay_constants", r"\[0, 1\]", "for the synapse"),
    (lambda v: snn.LI([v, 0.9]), "snn.LI`: `decay_constants", r"\[0, 1\]", "for the membrane"),
    (lambda v: snn.SimpleLI(v), "snn.SimpleLI`: `decay_constants", r"\[0, 1\]", "for the membrane"),
    (lambda v: snn.IAF(v), "snn.IAF`: `decay_constants", r"\[0, 1\]", "for the synapse"),
    (lambda v: snn.AdaptiveLIF(v), "snn.AdaptiveLIF`: `decay_constants", r"\[0, 1\]", "for the membrane"),
    (lambda v: snn.AdaptiveLIF(0.9, ada_decay_constant=v), "snn.AdaptiveLIF`: `ada_decay_constant", r"\[0, 1\]", ""),
]


@pytest.mark.parametrize(("make", "name", "interval", "which"), OUT_OF_RANGE, ids=[case[1] for case in OUT_OF_RANGE])
def test_a_decay_out_of_range_is_refused_with_its_value_and_the_remedy(make, name, interval, which):
    for value, shown in (
        (1.7, r"1\.7"),
        (-0.1, r"-0\.1"),
        (math.nan, "nan"),
        (math.inf, "inf"),
        (jnp.array([0.5, 1.5]), r"values from 0\.5 to 1\.5"),
        (np.array([0.5, np.nan]), "values from nan to nan"),
        (snn.Fixed(jnp.array([-0.5, 0.5])), r"values from -0\.5 to 0\.5"),
    ):
        with pytest.raises(
            ValueError, match=rf"`{name}` must be in {interval}, got {shown}.*{which}.*snn\.decay\(tau, dt\)"
        ):
            make(value)
    with pytest.raises(ValueError, match=rf"`{name}` must be in {interval}, got 2.*snn\.decay"):
        make(2)


@pytest.mark.parametrize("make", [LAYERS[name].make for name in ("SimpleLIF", "LIF", "SimpleIAF", "AdaptiveLIF")])
def test_a_threshold_that_is_not_positive_is_refused(make):
    kind = type(make())
    arguments = {snn.SimpleLIF: (0.9,), snn.LIF: ([0.9, 0.8],), snn.SimpleIAF: (), snn.AdaptiveLIF: (0.9,)}[kind]
    for value, shown in ((0.0, r"0\.0"), (-1.0, r"-1\.0"), (math.nan, "nan"), (jnp.array([1.0, 0.0]), "values from 0")):
        with pytest.raises(
            ValueError, match=rf"`snn\.{kind.__name__}`: `threshold` must be in \(0, inf\), got {shown}"
        ):
            kind(*arguments, threshold=value)


@pytest.mark.parametrize("name", ["decay_constants", "gain", "rest", "threshold"])
def test_what_is_neither_a_number_nor_a_floating_array_is_refused(name, unchecked):
    for value, shown in (
        (jnp.array([1, 0]), "an array of dtype int32"),
        (np.array([1, 0]), "an array of dtype int64"),
        (np.array([True]), "an array of dtype bool"),
        (np.array(["0.9"]), "an array of dtype <U3"),
        (True, "True"),
        (np.True_, "True"),
        ("0.9", "'0.9'"),
        (None, "None"),
        ({"a": 0.9}, "{'a': 0.9}"),
        (0.9 + 0.1j, "complex|j"),
    ):
        with pytest.raises(
            TypeError, match=rf"`snn\.SimpleLIF`: `{name}` must be a number .* or a floating array .*, got.*({shown})"
        ):
            snn.SimpleLIF(**{"decay_constants": 0.9, name: value})


def test_a_fixed_number_is_refused_and_the_message_says_that_numbers_are_constants(unchecked):
    with pytest.raises(TypeError, match="`snn.Fixed`: `value` must be .*array.*got 0.95.*number.*constant"):
        snn.Fixed(0.95)


def test_an_initialiser_without_shape_or_key_is_refused():
    draw = between(0.0, 1.0)
    for arguments in ({}, {"shape": (3,)}, {"key": jr.key(0)}):
        for name in ("threshold", "gain", "rest"):
            with pytest.raises(ValueError, match=rf"`snn.SimpleLIF`: `{name}` is an initialiser.*`shape=`.*`key=`"):
                snn.SimpleLIF(0.9, **{name: draw}, **arguments)
        with pytest.raises(ValueError, match="`snn.LIF`: `decay_constants` is an initialiser.*`shape=`.*`key=`"):
            snn.LIF([0.9, draw], **arguments)
    with pytest.raises(ValueError, match=r"`snn.SimpleLIF`: its `init_fn`.*init_state\(in_shape, key\)"):
        snn.SimpleLIF(0.9, init_fn=draw).init_state((3,))


@pytest.mark.parametrize(
    ("layer", "name"),
    [
        (lambda v: snn.SimpleLIF(v), "decay_constants"),
        (lambda v: snn.SimpleLIF(snn.Fixed(v)), "decay_constants"),
        (lambda v: snn.LIF([0.9, v]), "decay_constants"),
        (lambda v: snn.LI([0.9, 0.9], gain=[1.0, v]), "gain"),
        (lambda v: snn.SimpleLI(0.9, rest=v), "rest"),
        (lambda v: snn.SimpleIAF(leak=v), "leak"),
        (lambda v: snn.IAF(0.9, threshold=v), "threshold"),
        (lambda v: snn.AdaptiveLIF(0.9, ada_coupling_var=v), "ada_coupling_var"),
        (lambda v: snn.SimpleLIF(0.9, reset=snn.ResetToValue(v)), "value"),
        (lambda v: snn.SimpleLIF(0.9, spike_fn=surrogate.ArcTan(v)), "slope"),
    ],
)
def test_a_parameter_of_the_wrong_shape_is_refused_by_name(layer, name):
    wrong = layer(jnp.full((4,), 0.5))
    for in_shape in ((3,), (4, 3)):
        with pytest.raises(
            ValueError,
            match=rf"`snn\.{type(wrong).__name__}`: `{name}` has the shape \(4,\).*{in_shape}".replace(
                "(4, 3)", r"\(4, 3\)"
            ).replace("(3,)", r"\(3,\)"),
        ):
            wrong.init_state(in_shape)
    assert wrong.init_state((4,)).v.shape == wrong.init_state((2, 4)).v.shape[1:]
    with pytest.raises(ValueError, match=r"\(2, 1, 1\)"):
        layer(per_channel(0.5, 0.5)).init_state((2,))


def test_decay_is_the_exponential_of_the_time_step_over_the_time_constant():
    assert snn.decay(0.02, 0.001) == math.exp(-0.05)
    assert type(snn.decay(0.02, 0.001)) is float
    assert snn.decay(20, 1) == math.exp(-0.05)
    assert type(snn.decay(np.float32(0.02), 0.001)) is float
    for taus in (jnp.array([0.02, 0.01]), np.array([0.02, 0.01])):
        result = snn.decay(taus, 1e-3)
        assert isinstance(result, jax.Array) and result.dtype == jnp.float32
        allclose(result, np.exp([-0.05, -0.1]))
    allclose(jax.grad(lambda tau: snn.decay(tau, 0.001))(0.02), 0.001 / 0.02**2 * math.exp(-0.05), rtol=1e-4)
    assert snn.SimpleLIF(snn.decay(0.02, 0.001)).decay_constants == math.exp(-0.05)


def test_decay_refuses_what_is_not_greater_than_zero():
    for tau, dt, message in (
        (0.0, 0.001, r"`tau` must be greater than 0.*got 0\.0"),
        (-0.02, 0.001, r"`tau` must be greater than 0.*got -0\.02"),
        (math.nan, 0.001, "`tau` must be greater than 0.*got nan"),
        (0.02, 0.0, r"`dt` must be greater than 0.*got 0\.0"),
        (jnp.array([0.02, -1.0]), 0.001, "`tau` must be greater than 0"),
    ):
        with pytest.raises(ValueError, match=rf"`snn\.decay`: {message}"):
            snn.decay(tau, dt)


def test_gains_of_the_wrong_number_or_place_are_refused():
    with pytest.raises(
        ValueError, match="`snn.LIF`: `gain` must be one for all filters or one for each .*got 3 values"
    ):
        snn.LIF([0.9, 0.8], gain=[1.0, 1.0, 1.0])
    for make in (
        lambda g: snn.SimpleIAF(gain=g),
        lambda g: snn.IAF(0.9, gain=g),
        lambda g: snn.IAF(0.9, gain=[g, 1.0]),
    ):
        with pytest.raises(ValueError, match="IAF`: `gain` of the membrane cannot be `snn.UnityGain.*does not decay"):
            make(snn.UnityGain())
    with pytest.raises(
        ValueError, match=r"`snn.LIF`: `decay_constants` must hold 2 \(one for the membrane and one for"
    ):
        snn.LIF([0.9])


def test_a_logistic_parameter_acts_as_its_value_and_stays_in_its_range():
    plain, logistic = snn.SimpleLIF(jnp.array([0.9, 0.5])), snn.SimpleLIF(snn.Logistic(jnp.array([0.9, 0.5])))
    state, x = plain.init_state((2,)), jnp.array([0.3, 0.2])
    state = eqx.tree_at(lambda s: s.v, state, jnp.array([0.4, 0.1]))
    allclose(logistic(state, x), plain(state, x))

    def potential(layer):
        return jnp.sum(layer(state, x)[0].v)

    raw = eqx.filter_grad(potential)(logistic).decay_constants.raw
    np.testing.assert_allclose(raw, np.array([0.4, 0.1]) * np.array([0.9 * 0.1, 0.5 * 0.5]), rtol=1e-5)
    far = eqx.tree_at(lambda m: m.decay_constants.raw, logistic, jnp.array([20.0, -20.0]))
    np.testing.assert_allclose(far.decay_constants.value, [1.0, 0.0], atol=1e-6)
    assert eqx.tree_equal(snn.project(far), far)
    assert jax.tree.leaves(eqx.filter(logistic, snn.trainable(logistic)))[0] is logistic.decay_constants.raw


def test_a_logistic_parameter_takes_an_initialiser_and_a_range_of_its_own():
    layer = snn.SimpleLIF(
        snn.Logistic(between(0.2, 0.8)), threshold=snn.Logistic(1.0, low=0.5, high=2.0), shape=(5,), key=jr.key(0)
    )
    assert layer.decay_constants.value.shape == (5,) and len(np.unique(layer.decay_constants.raw)) == 5
    np.testing.assert_allclose(layer.threshold.value, 1.0, rtol=1e-6)


def test_a_logistic_parameter_outside_of_its_range_is_refused():
    with pytest.raises(ValueError, match=r"`snn.Logistic`: `value` must be .* inside of \(0, 1\).*got 1.0"):
        snn.Logistic(1.0)
    with pytest.raises(
        ValueError,
        match=r"`snn.SimpleLIF`: `decay_constants` must be in \[0, 1\], but its `snn.Logistic` goes from 0 to 2",
    ):
        snn.SimpleLIF(snn.Logistic(0.9, high=2.0))
    with pytest.raises(ValueError, match="`low` must be less than `high`"):
        snn.Logistic(0.9, low=1.0, high=0.0)


def test_an_initial_potential_given_as_an_array_is_trained():
    layer = snn.SimpleLIF(0.9, init_fn=jnp.array([0.2, 0.4]))

    def potential(layer):
        return jnp.sum(layer(layer.init_state((2,)), jnp.zeros(2))[0].v)

    np.testing.assert_allclose(eqx.filter_grad(potential)(layer).init_fn, [0.9, 0.9], rtol=1e-6)
    with pytest.raises(ValueError, match=r"`snn.SimpleLIF`: `init_fn` has the shape \(2,\).*inputs of shape \(3,\)"):
        layer.init_state((3,))
    fixed = snn.SimpleLI(0.9, init_fn=snn.Fixed(jnp.array(0.3)))
    np.testing.assert_allclose(fixed.init_state((2,)).v, [0.3, 0.3], rtol=1e-6)
    assert not jax.tree.leaves(eqx.filter(fixed, snn.trainable(fixed)))
