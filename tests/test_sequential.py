"""Sequential: layers in one time step, streams, gradients, random numbers, and what is kept of them."""

import equinox as eqx
import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from helpers import PLANS, Counter, allclose, linear, per_channel, spikes_like

import snnax.snn as snn
from snnax.functional import surrogate

EACH_PLAN = pytest.mark.parametrize("plan", PLANS, ids=lambda plan: type(plan).__name__)
# `Chunked` runs blocks layer by layer: where blocks do not matter, these say all.
TWO_PLANS = [snn.StepByStep(), snn.LayerByLayer()]
EACH_OF_TWO = pytest.mark.parametrize("plan", TWO_PLANS, ids=lambda plan: type(plan).__name__)


@eqx.filter_jit
def run(model, states, xs, key=None, **options):
    return model(states, xs, key, **options)


def identity(n):
    return eqx.tree_at(lambda m: (m.weight, m.bias), linear(n, n), (jnp.eye(n), jnp.zeros(n)))


def small_network(dropout=0.0):
    return snn.Sequential(
        linear(3, 4),
        snn.LIF([0.9, jnp.array(0.8)], threshold=0.4),
        eqx.nn.Dropout(dropout),
        linear(4, 2, 1),
        snn.SimpleLI(0.9),
    )


def test_shapes_are_inferred_through_convolution_pooling_flattening_and_nesting():
    model = snn.Sequential(
        eqx.nn.Conv2d(2, 4, 3, stride=2, key=jr.key(0)),
        snn.LIF([0.9, 0.8], threshold=per_channel(1.0, 1.0, 1.0, 1.0)),
        snn.SumPool2d(2, 2),
        snn.Sequential(eqx.nn.Conv2d(4, 3, 2, key=jr.key(1)), snn.SimpleIAF(refractory=1), snn.SpikingMaxPool2d(2)),
        snn.Flatten(),
        linear(3 * 2 * 1, 5),
        snn.SimpleLI(0.9),
    )
    states = model.init_state((2, 17, 13))
    assert states.layers[1].v.shape == states.layers[1].i.shape == (4, 8, 6)
    assert states.layers[3].layers[1].v.shape == states.layers[3].layers[1].countdown.shape == (3, 3, 2)
    assert states.layers[6].v.shape == (5,)
    assert [states.layers[i] for i in (0, 2, 4, 5)] == [None] * 4
    _, outs = jax.eval_shape(model, states, jax.ShapeDtypeStruct((7, 2, 17, 13), jnp.float32))
    assert [out.shape for out in outs[:3]] == [(7, 4, 8, 6), (7, 4, 8, 6), (7, 4, 4, 3)]
    assert [out.shape for out in outs[3]] == [(7, 3, 3, 2), (7, 3, 3, 2), (7, 3, 2, 1)]
    assert [out.shape for out in outs[4:]] == [(7, 6), (7, 5), (7, 5)]


def test_init_state_computes_nothing_but_the_states():
    """The input alone would fill four terabytes."""
    model = snn.Sequential(eqx.nn.Lambda(lambda x: jnp.sum(jnp.exp(x), axis=0)[:3]), snn.SimpleLIF(0.9))
    assert model.init_state((10**6, 10**6)).layers[1].v.shape == (3,)


@EACH_OF_TWO
def test_an_impulse_passes_ten_alternating_layers_in_its_step(plan):
    layers = [layer for _ in range(5) for layer in (identity(2), snn.SimpleLIF(0.5))]
    model = snn.Sequential(*layers)
    xs = jnp.zeros((4, 2)).at[1].set(1.0)
    _, outs = run(model, model.init_state((2,)), xs, plan=plan)
    assert len(outs) == 10
    for out in outs:
        np.testing.assert_array_equal(out, xs)


LENGTH = 5
STREAM = Counter(lambda model, states, xs, key: model(states, xs, key))


@hypothesis.given(cuts=st.sets(st.integers(1, LENGTH - 1)))
@hypothesis.settings(max_examples=10)
def test_a_stream_in_pieces_of_any_length_equals_the_whole(cuts):
    """Under every other plan: test_check_layer.py and the battery."""
    model = snn.Sequential(eqx.nn.Dropout(0.5), snn.LIF([0.9, 0.8], refractory=1), snn.SimpleLI(0.9))
    states = model.init_state((3,))
    xs, key = jr.normal(jr.key(1), (LENGTH, 3)), jr.key(2)
    whole = STREAM(model, states, xs, key)
    pieces = []
    for first, last in zip([0, *sorted(cuts)], [*sorted(cuts), LENGTH], strict=True):
        states, outs = STREAM(model, states, xs[first:last], key)
        pieces.append(outs)
    assert int(states.step) == LENGTH
    allclose((states, jax.tree.map(lambda *leaves: jnp.concatenate(leaves), *pieces)), whole)


def test_steps_equal_a_call_under_every_plan(getkey):
    model = snn.Sequential(linear(3, 4), snn.LIF([0.9, 0.8]), snn.Sequential(eqx.nn.Dropout(0.5)))
    xs, key = 3 * jr.normal(getkey(), (4, 3)), getkey()
    states = start = model.init_state((3,))
    step = Counter(lambda model, states, x, key: model.step(states, x, key))
    outs = []
    for x in xs:
        states, out = step(model, states, x, key)
        outs.append(out)
    assert step.traces == 1
    stepped = states, jax.tree.map(lambda *leaves: jnp.stack(leaves), *outs)
    for plan in PLANS:
        allclose(stepped, run(model, start, xs, key, plan=plan))


def test_plans_agree_in_values_states_and_gradients(getkey):
    model = small_network()
    states, xs = model.init_state((3,)), 3 * jr.normal(getkey(), (6, 3))

    @eqx.filter_jit
    def everything(model, xs, plan):
        params, static = eqx.partition(model, snn.trainable(model))

        def loss(params, xs, v):
            start = eqx.tree_at(lambda s: s.layers[1].v, states, v)
            final, outs = eqx.combine(params, static)(start, xs, plan=plan)
            return jnp.sum(jnp.sin(outs[-1])) + jnp.sum(outs[1]) + jnp.sum(final.layers[1].i), (final, outs)

        return jax.value_and_grad(loss, argnums=(0, 1, 2), has_aux=True)(params, xs, states.layers[1].v)

    results = [everything(model, xs, plan) for plan in PLANS]
    for result in results[1:]:
        allclose(result, results[0])
    for path, leaf in jax.tree_util.tree_leaves_with_path(results[0][1]):
        assert np.any(leaf != 0), jax.tree_util.keystr(path)


@EACH_PLAN
def test_burn_in_stops_the_gradient_and_keeps_the_outputs(plan, getkey):
    model = snn.Sequential(linear(3, 4), snn.SimpleLIF(jnp.array(0.9)), snn.SimpleLI(0.9))
    states, xs = model.init_state((3,)), 1.0 + jr.normal(getkey(), (6, 3))

    @eqx.filter_jit
    def everything(model, states, xs, burnin):
        def loss(model, xs):
            outs = model(states, xs, plan=plan, burnin=burnin, collect=[snn.Trains(), snn.Sum(), snn.Trains()])[1]
            return jnp.sum(outs[-1]) + jnp.sum(outs[1]), outs

        (_, outs), gradients = eqx.filter_value_and_grad(lambda both: loss(*both), has_aux=True)((model, xs))
        return outs, gradients

    outs, _ = everything(model, states, xs, 0)
    burnt, (_, gradient) = everything(model, states, xs, 2)
    allclose(burnt, outs)
    assert burnt[-1].shape == (6, 4)
    np.testing.assert_array_equal(gradient[:2], np.zeros((2, 3)))
    assert np.all(np.any(gradient[2:] != 0, axis=1))
    all_burnt, gradients = everything(model, states, xs, 6)
    allclose(all_burnt, outs)
    assert not any(np.any(leaf) for leaf in jax.tree.leaves(gradients))


def test_burn_in_equals_a_first_call_whose_states_carry_no_gradient(getkey):
    model = small_network()
    states, xs = model.init_state((3,)), 3 * jr.normal(getkey(), (5, 3))

    def at_once(model):
        return jnp.sum(model(states, xs, burnin=2)[1][-1])

    def in_two(model):
        middle, head = model(states, xs[:2])
        _, tail = model(jax.lax.stop_gradient(middle), xs[2:])
        return jnp.sum(tail[-1]) + jax.lax.stop_gradient(jnp.sum(head[-1]))

    both = eqx.filter_jit(lambda model: [eqx.filter_value_and_grad(f)(model) for f in (at_once, in_two)])
    allclose(*both(model), rtol=1e-4)


@EACH_OF_TWO
def test_a_nested_chain_equals_the_flat_one(plan, getkey):
    layers = [
        linear(3, 4),
        snn.LIF([0.9, jnp.array(0.8)], gain=2.0),
        linear(4, 3, 1),
        snn.SimpleLIF(0.8),
        snn.SimpleLI(0.9),
    ]
    flat = snn.Sequential(*layers)
    nested = snn.Sequential(layers[0], snn.Sequential(layers[1], snn.Sequential(*layers[2:4])), layers[4])
    xs = 1.0 + jr.normal(getkey(), (5, 3))

    @eqx.filter_jit
    def everything(model, xs):
        def loss(both):
            model, xs = both
            final, outs = model(model.init_state((3,)), xs, plan=plan)
            return jnp.sum(jnp.sin(outs[-1])), (final, outs)

        return eqx.filter_value_and_grad(loss, has_aux=True)((model, xs))

    (value, (final, outs)), (gradient, by_inputs) = everything(flat, xs)
    (value_n, (final_n, outs_n)), (gradient_n, by_inputs_n) = everything(nested, xs)
    allclose((value, by_inputs), (value_n, by_inputs_n))
    assert isinstance(outs_n[1], tuple) and isinstance(outs_n[1][1], tuple)
    for tree, tree_n in (((outs), (outs_n)), (final.layers, final_n.layers), (gradient, gradient_n)):
        leaves, leaves_n = jax.tree.leaves(tree), [leaf for leaf in jax.tree.leaves(tree_n) if leaf.dtype != jnp.int32]
        allclose(leaves, leaves_n)
    assert [int(s.step) for s in (final_n, final_n.layers[1], final_n.layers[1].layers[1])] == [5, 5, 5]


def test_dropout_masks_differ_between_steps_layers_and_examples_and_agree_between_plans(getkey):
    def two():
        return snn.Sequential(eqx.nn.Dropout(0.5), snn.Sequential(eqx.nn.Identity(), eqx.nn.Dropout(0.5)))

    model = snn.Sequential(eqx.nn.Dropout(0.5), two(), eqx.nn.Dropout(0.0))
    states, xs = model.init_state((64,)), jnp.ones((4, 64))

    @eqx.filter_jit
    def masks(model, keys, plan):
        _, outs = jax.vmap(lambda key: model(states, xs, key, plan=plan))(keys)
        first, (second, (_, third)), last = outs
        ratios = [first, second / first, third / second]
        return jnp.stack([jnp.nan_to_num(ratio) for ratio in ratios]), last

    keys = jr.split(getkey(), 2)
    results = [masks(model, keys, plan) for plan in PLANS]
    for result in results[1:]:
        allclose(result, results[0])
    drawn, _ = results[0]
    assert drawn.shape == (3, 2, 4, 64)
    assert set(np.unique(drawn)) == {0.0, 2.0}
    # The second and the third mask are seen where the ones before them let the signal through.
    flat = np.asarray(drawn[0]).reshape(8, 64)
    assert len(np.unique(flat, axis=0)) == 8
    for layer in (1, 2):
        seen = np.asarray(drawn[:layer].prod(axis=0)) != 0
        assert not np.array_equal(np.asarray(drawn[layer])[seen], np.asarray(drawn[layer - 1])[seen])
    again, _ = masks(model, keys, PLANS[0])
    np.testing.assert_array_equal(again, drawn)


@EACH_OF_TWO
def test_inference_mode_needs_no_key(plan, getkey):
    model = eqx.nn.inference_mode(small_network(0.5))
    states, xs = model.init_state((3,)), jr.normal(getkey(), (4, 3))
    allclose(run(model, states, xs, plan=plan), run(small_network(), states, xs, plan=plan))


@EACH_OF_TWO
def test_an_embedding_takes_whole_numbers(plan):
    embedding = eqx.nn.Embedding(5, 3, key=jr.key(0))
    tokens = np.array([3, 0, 4], np.uint8)
    for model in (
        snn.Sequential(embedding, snn.SimpleLI(0.0)),
        snn.Sequential(snn.Sequential(embedding), snn.SimpleLI(0.0)),
    ):
        states = model.init_state(())
        _, outs = run(model, states, tokens, plan=plan)
        allclose(outs[-1], embedding.weight[tokens.astype(int)])
        allclose(model.step(states, tokens[0])[1][-1], embedding.weight[3])


def full(train):
    """What each collector should give for a train."""
    train = np.asarray(train, np.float64)
    fired = train != 0
    first = np.where(fired.any(axis=0), fired.argmax(axis=0), len(train))
    return {snn.Trains: train, snn.Sum: train.sum(axis=0), snn.Max: train.max(axis=0), snn.FirstSpike: first}


@EACH_PLAN
def test_collectors_equal_what_full_trains_give(plan, getkey):
    inner = snn.Sequential(linear(4, 3, 1), snn.SimpleLIF(0.8, threshold=0.2))
    model = snn.Sequential(linear(3, 4), snn.LIF([0.9, 0.8], threshold=0.4), inner)
    states, xs = model.init_state((3,)), 1.0 + jr.normal(getkey(), (7, 3))
    _, trains = run(model, states, xs, plan=plan)
    assert 0 < np.mean(trains[1]) < 1 and 0 < np.mean(trains[2][1]) < 1

    kinds = {"train": snn.Trains(), "sum": snn.Sum(), "max": snn.Max(), "first": snn.FirstSpike()}
    requests = {
        "one for all": snn.Sum(),
        "one for each": [snn.Max(), None, snn.FirstSpike()],
        "a mapping": {-2: snn.FirstSpike(), 0: snn.Sum()},
        "nested": {1: (snn.Max(), [snn.Sum()]), 2: {-1: kinds, 0: None}},
        "in a whole container": {-1: (None, snn.Sum())},
        "nothing": {},
    }

    @eqx.filter_jit
    def everything(model, xs):
        return {name: model(states, xs, plan=plan, collect=collect)[1] for name, collect in requests.items()}

    def of(train, collector):
        return full(train)[type(collector)]

    a, b, (c, d) = trains
    results = everything(model, xs)
    sums = of(a, snn.Sum()), of(b, snn.Sum()), (of(c, snn.Sum()), of(d, snn.Sum()))
    allclose(results["one for all"], sums)
    expected = of(a, snn.Max()), None, (of(c, snn.FirstSpike()), of(d, snn.FirstSpike()))
    assert jax.tree.structure(results["one for each"]) == jax.tree.structure(expected)
    allclose(results["one for each"][0], of(a, snn.Max()))
    assert results["one for each"][1] is None
    allclose(results["one for each"][2][1], of(d, snn.FirstSpike()))
    allclose(results["a mapping"], (sums[0], of(b, snn.FirstSpike()), (None, None)))
    allclose(
        results["nested"],
        (None, (of(b, snn.Max()), [sums[1]]), (None, {name: of(d, kind) for name, kind in kinds.items()})),
    )
    allclose(results["in a whole container"], (None, None, (None, sums[2][1])))
    assert results["nothing"] == (None, None, (None, None))


@EACH_PLAN
def test_traces_are_the_states_after_every_step(plan, getkey):
    model = snn.Sequential(linear(3, 4), snn.LIF([0.9, 0.8], refractory=1), snn.Sequential(snn.SimpleLI(0.9)))
    states, xs = model.init_state((3,)), 1.0 + jr.normal(getkey(), (4, 3))
    final, (_, (out, traces), (inner,)) = run(
        model, states, xs, plan=plan, collect=[None, (snn.Trains(), snn.Traces()), snn.Traces()], burnin=1
    )
    expected, expected_inner = [], []
    for x in xs:
        states, outs = model.step(states, x)
        expected.append((outs[1], states.layers[1]))
        expected_inner.append(states.layers[2].layers[0])
    allclose((out, traces), jax.tree.map(lambda *leaves: jnp.stack(leaves), *expected))
    allclose(inner, jax.tree.map(lambda *leaves: jnp.stack(leaves), *expected_inner))
    allclose(jax.tree.map(lambda leaf: leaf[-1], traces), final.layers[1])


@EACH_OF_TWO
def test_the_gradient_of_the_first_spike_is_the_time_until_the_next(plan):
    """t is the sum over steps of the products of (1 - s) up to them: differentiated by hand for 0, 0, 1, 0, 1."""
    trains = jnp.array([[0.0, 0.0], [0.0, 0.0], [1.0, 0.0], [0.0, 0.0], [1.0, 0.0]])
    model = snn.Sequential(eqx.nn.Identity())
    states = model.init_state((2,))

    @eqx.filter_jit
    def everything(trains):
        def first(trains):
            return model(states, trains, plan=plan, collect=snn.FirstSpike())[1][0]

        return first(trains), jax.jacrev(first)(trains), first(trains.astype(jnp.bfloat16))

    time, jacobian, low = everything(trains)
    np.testing.assert_array_equal(time, [2.0, 5.0])
    assert time.dtype == low.dtype == jnp.float32
    np.testing.assert_array_equal(jacobian[0, :, 0], [-2, -1, -2, 0, 0])
    np.testing.assert_array_equal(jacobian[1, :, 1], [-5, -4, -3, -2, -1])
    np.testing.assert_array_equal(jacobian[0, :, 1], np.zeros(5))


@EACH_OF_TWO
def test_whole_numbers_and_booleans_are_computed_in_the_dtype_of_the_parameters(plan, getkey):
    model = snn.Sequential(linear(3, 4), snn.LIF([0.9, 0.8]), snn.SimpleLI(0.9))
    alone = snn.Sequential(snn.SimpleLIF(0.9))
    states = model.init_state((3,))
    spikes = np.asarray(spikes_like(getkey(), (4, 3)))
    expected, *results, (_, (out,)) = eqx.filter_jit(
        lambda trains: (
            [model(states, train, plan=plan) for train in trains]
            + [alone(alone.init_state((3,)), trains[1], plan=plan)]
        )
    )([spikes, *(spikes.astype(dtype) for dtype in (np.uint8, np.bool_, np.int32))])
    for result in results:
        allclose(result, expected)
    assert out.dtype == expected[1][1].dtype == jnp.float32
    # Frames straight from NumPy, and one step.
    allclose(model(states, spikes.astype(np.uint8), plan=plan)[1], expected[1])
    allclose(model.step(states, spikes[0].astype(np.uint8))[1][-1], expected[1][-1][0])


@EACH_OF_TWO
def test_a_bfloat16_network_keeps_bfloat16_activations_and_float32_states(plan, getkey):
    def low(leaf):
        return leaf.astype(jnp.bfloat16) if eqx.is_inexact_array(leaf) else leaf

    model = snn.Sequential(
        jax.tree.map(low, linear(3, 4)),
        snn.LIF([0.9, jnp.array(0.8)]),
        jax.tree.map(low, linear(4, 2)),
        snn.LI([0.9, 0.8]),
    )
    states = model.init_state((3,))
    for xs in (jnp.ones((3, 3), jnp.bfloat16), np.ones((3, 3), np.uint8)):
        final, outs = run(model, states, xs, plan=plan, collect=[(snn.Trains(), snn.Sum(), snn.Max())] * 4)
        for trains, total, largest in outs:
            assert trains.dtype == jnp.bfloat16
            assert total.dtype == jnp.float32
            assert largest.dtype in (jnp.bfloat16, jnp.float32)
        assert {leaf.dtype for leaf in jax.tree.leaves(final.layers)} == {jnp.dtype("float32")}


def test_a_count_of_spikes_in_bfloat16_is_exact():
    model = snn.Sequential(eqx.nn.Identity())
    _, (total,) = run(model, model.init_state((1,)), jnp.ones((300, 1), jnp.bfloat16), collect=snn.Sum())
    assert total[0] == 300


def test_a_chain_has_layers_a_length_an_order_and_slices():
    layers = linear(3, 4), snn.LIF([0.9, 0.8]), snn.Flatten(), snn.SimpleLI(0.9)
    model = snn.Sequential(*layers)
    assert model.layers == layers and len(model) == 4
    assert list(model) == list(layers) and model[1] is layers[1] and model[-1] is layers[-1]
    assert isinstance(model[1:3], snn.Sequential) and model[1:3].layers == layers[1:3]
    assert model[::2].layers == layers[::2]
    with pytest.raises(IndexError):
        model[4]
    with pytest.raises(TypeError, match="snn.Sequential.*one by one"):
        model[2:2]


def test_a_slice_takes_up_where_the_part_before_it_ends(getkey):
    model = snn.Sequential(linear(3, 4), snn.LIF([0.9, 0.8]), linear(4, 2), snn.SimpleLI(0.9))
    xs = 1.0 + jr.normal(getkey(), (4, 3))
    _, outs = run(model, model.init_state((3,)), xs)
    _, head = run(model[:2], model[:2].init_state((3,)), xs)
    _, tail = run(model[2:], model[2:].init_state((4,)), head[-1])
    allclose((*head, *tail), outs)


def test_new_data_and_equal_models_share_a_trace():
    counted = Counter(lambda model, states, xs, plan: model(states, xs, plan=plan, collect={-1: snn.Sum()}))

    def make(seed):
        return snn.Sequential(
            linear(3, 4, seed),
            snn.LIF([0.9, jnp.array(0.8)], reset=snn.SubtractReset(), spike_fn=surrogate.ArcTan(3.0)),
            eqx.nn.Lambda(jax.nn.relu),
            snn.Sequential(snn.SimpleLI(0.9)),
        )

    model = make(0)
    states = model.init_state((3,))
    for i in range(3):
        states, _ = counted(model, states, jnp.asarray(np.full((2, 3), i, np.float32)), snn.LayerByLayer())
    counted(make(0), make(0).init_state((3,)), jnp.ones((2, 3)), snn.LayerByLayer())
    counted(make(1), states, jnp.ones((2, 3)), snn.LayerByLayer())
    assert counted.traces == 1
    counted(model, states, jnp.ones((2, 3)), snn.StepByStep())
    counted(model, states, jnp.ones((3, 3)), snn.StepByStep())
    assert counted.traces == 3


def test_forward_and_reverse_mode_agree_step_by_step(getkey):
    model = snn.Sequential(linear(3, 4), snn.LIF([0.9, jnp.array(0.8)]), snn.AdaptiveLIF(0.8), snn.SimpleLI(0.9))
    params, static = eqx.partition(model, snn.trainable(model))
    states, xs = model.init_state((3,)), 1.0 + jr.normal(getkey(), (4, 3))
    tangents = jax.tree.map(lambda leaf: jr.normal(getkey(), leaf.shape), (params, xs))

    def total(params, xs):
        _, outs = eqx.combine(params, static)(states, xs, plan=snn.StepByStep())
        return jnp.sum(jnp.sin(outs[-1]))

    @jax.jit
    def both(params, xs, tangents):
        _, forward = jax.jvp(total, (params, xs), tangents)
        return forward, jax.grad(total, argnums=(0, 1))(params, xs)

    forward, gradients = both(params, xs, tangents)
    reverse = sum(jnp.vdot(g, t) for g, t in zip(jax.tree.leaves(gradients), jax.tree.leaves(tangents), strict=True))
    assert float(forward) == pytest.approx(float(reverse), rel=1e-4)
    assert forward != 0


def test_a_batch_with_states_of_its_own_goes_on(getkey):
    model = snn.Sequential(eqx.nn.Dropout(0.5), snn.SimpleLIF(0.9))
    states, xs, keys = model.init_state((3,)), jr.normal(getkey(), (2, 4, 3)), jr.split(getkey(), 2)

    @eqx.filter_jit
    def everything(model, xs, keys):
        middle, _ = jax.vmap(model, in_axes=(None, 0, 0))(states, xs[:, :2], keys)
        batched = jax.vmap(model)(middle, xs[:, 2:], keys)
        return batched, [model(states, x, key) for x, key in zip(xs, keys, strict=True)]

    (final, outs), alone = everything(model, xs, keys)
    for i in range(2):
        allclose(jax.tree.map(lambda leaf, i=i: leaf[i], final), alone[i][0])
        allclose(jax.tree.map(lambda leaf, i=i: leaf[i], outs), jax.tree.map(lambda leaf: leaf[2:], alone[i][1]))
