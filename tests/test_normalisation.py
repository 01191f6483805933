"""Batch normalisations against NumPy, in training and in inference; and weights that are standardised."""

import io

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from helpers import PLANS, allclose, linear, per_channel, per_step, spikes_like

import snnax.snn as snn

STEPS = 12
STEPWISE = (snn.BatchNorm, snn.BatchNormThroughTime)
WHOLE = (snn.ThresholdDependentBatchNorm, snn.TemporalEffectiveBatchNorm)


def make(kind, size=2, axis_name="batch", key=None, **options):
    """A normalisation of a kind, with random weights."""
    if kind in (snn.BatchNormThroughTime, snn.TemporalEffectiveBatchNorm):
        options = {"steps": STEPS, **options}
    norm = kind(size, axis_name=axis_name, **options)
    params, static = eqx.partition(norm, snn.trainable(norm))
    numbers = iter(range(10))
    key = jr.key(3) if key is None else key

    def draw(leaf):
        return 1 + 0.5 * jr.normal(jr.fold_in(key, next(numbers)), leaf.shape, leaf.dtype)

    return eqx.combine(jax.tree.map(draw, params), static)


def over_batch(model, xs, **kwargs):
    """A network on a batch `(batch, time, ...)`, in training."""

    def run(xs):
        return model(model.init_state(xs.shape[1:]), xs, **kwargs)[1]

    return jax.vmap(run, axis_name="batch")(xs)


def on_channels(a, x):
    return np.asarray(a, np.float64).reshape(-1, *(1,) * (x.ndim - 3))


def reference(norm, x, mean=None, variance=None):
    """The outputs for `x`, `(batch, time, size, *space)`, by NumPy; moments of `x` itself unless given."""
    x = np.asarray(x, np.float64)
    steps = x.shape[1]
    space = tuple(range(3, x.ndim))
    axes = (0, 1, *space) if isinstance(norm, WHOLE) else (0, *space)
    if mean is None:
        mean, variance = x.mean(axes, keepdims=True), x.var(axes, keepdims=True)
    out = (x - mean) / np.sqrt(variance + norm.eps)
    if isinstance(norm, snn.BatchNormThroughTime):
        return out * np.stack([on_channels(norm.weight[t], x) for t in range(steps)])
    if isinstance(norm, snn.ThresholdDependentBatchNorm):
        out = out * float(norm.alpha) * float(norm.threshold)
    out = out * on_channels(norm.weight, x) + on_channels(norm.bias, x)
    if isinstance(norm, snn.TemporalEffectiveBatchNorm):
        out = out * np.asarray(norm.step_weight[:steps], np.float64).reshape(-1, *(1,) * (x.ndim - 2))
    return out


@pytest.mark.parametrize("shape", [(2,), (2, 3), (2, 3, 2)])
@pytest.mark.parametrize("kind", (*STEPWISE, *WHOLE))
def test_in_training_the_moments_are_those_of_the_batch(kind, shape, getkey):
    xs = 3 + 2 * jr.normal(getkey(), (5, STEPS, *shape)) * (jnp.arange(1.0, STEPS + 1).reshape(-1, *(1,) * len(shape)))
    options = {"threshold": 0.5, "alpha": 0.7} if kind is snn.ThresholdDependentBatchNorm else {}
    norm = make(kind, **options)
    (out,) = over_batch(snn.Sequential(norm), xs)
    np.testing.assert_allclose(out, reference(norm, xs), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", (*STEPWISE, *WHOLE))
def test_without_a_batch_the_moments_are_those_of_the_example(kind, getkey):
    xs = 3 + 2 * jr.normal(getkey(), (STEPS, 2, 3, 3))
    norm = make(kind, axis_name=None)
    model = snn.Sequential(norm)
    _, (out,) = model(model.init_state((2, 3, 3)), xs)
    np.testing.assert_allclose(out, reference(norm, xs[None])[0], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", (*STEPWISE, *WHOLE))
def test_in_inference_the_statistics_are_those_of_all_batches(kind, getkey):
    """Of batches of different sizes, and for a sequence shorter than those."""
    batches = [1 + i + (1 + i) * jr.normal(getkey(), (n, STEPS, 2, 3)) for i, n in enumerate((3, 5, 2))]
    norm = make(kind)
    model = snn.estimate_norms(snn.Sequential(norm), batches)
    everything = np.concatenate([np.asarray(batch, np.float64) for batch in batches])
    axes = (0, 3) if kind is snn.BatchNormThroughTime else (0, 1, 3)
    np.testing.assert_allclose(model[0].mean.value, everything.mean(axes), rtol=1e-5)
    np.testing.assert_allclose(model[0].variance.value, everything.var(axes), rtol=1e-5)
    assert model[0].estimated and not model[0].inference

    xs = jr.normal(getkey(), (4, 7, 2, 3))
    inference = eqx.nn.inference_mode(model)
    mean, variance = (moment(everything, axes, keepdims=True) for moment in (np.mean, np.var))
    if kind is snn.BatchNormThroughTime:
        mean, variance = mean[:, :7], variance[:, :7]
    expected = reference(norm, xs, mean, variance)
    states = inference.init_state((2, 3))
    for plan in PLANS:
        _, (out,) = jax.vmap(lambda xs, plan=plan: inference(states, xs, plan=plan))(xs)
        np.testing.assert_allclose(out, expected, rtol=1e-5, atol=1e-5)


def test_a_layer_behind_others_is_estimated_on_what_they_give_in_training(getkey):
    """The second normalisation sees the first one's output for the moments of the batch, wherever both are."""
    first, second = make(snn.BatchNorm, 4), make(snn.TemporalEffectiveBatchNorm, 4, key=jr.key(9))
    linears = linear(3, 4), linear(4, 4, 1)
    model = snn.Sequential(linears[0], snn.Residual(snn.Sequential(first, snn.SimpleLIF(0.9), linears[1], second)))
    xs = jr.normal(getkey(), (6, STEPS, 3))
    chain = snn.Sequential(linears[0], first, snn.SimpleLIF(0.9), linears[1])
    outs = over_batch(chain, xs)
    inner = snn.estimate_norms(model, [xs])[1].parallel.branches[0]
    for norm, given in ((inner[0], outs[0]), (inner[3], outs[3])):
        np.testing.assert_allclose(norm.mean.value, np.mean(given, (0, 1)), rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(norm.variance.value, np.var(given, (0, 1)), rtol=1e-4, atol=1e-5)


def in_a_loop(norm):
    graph = snn.Graph(
        {"lin": linear(2, 2), "norm": norm, "lif": snn.SimpleLIF(0.9)},
        [("input", "lin"), ("lin", "norm"), ("norm", "lif"), snn.Edge("lif", "lin", delay=1)],
        outputs=("lif",),
    )
    return snn.Sequential(linear(3, 2, 1), graph, snn.Recurrent(snn.SimpleLI(0.9), make(snn.BatchNorm)))


@pytest.mark.parametrize("kind", STEPWISE)
def test_moments_of_each_step_are_the_same_under_every_plan_in_cycles_and_in_pieces(kind, getkey):
    model = in_a_loop(make(kind))
    xs = 2 * jr.normal(getkey(), (4, STEPS, 3))

    def loss(params, static, plan):
        outs = over_batch(eqx.combine(params, static), xs, plan=plan)
        return jnp.sum(outs[-1] ** 2), outs

    params, static = eqx.partition(model, snn.trainable(model))
    run = eqx.filter_jit(jax.value_and_grad(loss, has_aux=True))
    (_, outs), gradient = run(params, static, PLANS[0])
    assert all(np.any(leaf != 0) for leaf in jax.tree.leaves(gradient))
    for plan in PLANS[1:]:
        (_, others), other_gradient = run(params, static, plan)
        allclose(others, outs, atol=1e-5)
        allclose(other_gradient, gradient, rtol=1e-4, atol=1e-4)

    run = jax.vmap(model, in_axes=(None, 0), axis_name="batch")
    states, head = run(model.init_state((3,)), xs[:, :5])
    go_on = jax.vmap(model, axis_name="batch")
    _, tail = go_on(states, xs[:, 5:])
    allclose(jax.tree.map(lambda a, b: jnp.concatenate([a, b], 1), head, tail), outs, atol=1e-5)
    estimated = snn.estimate_norms(model, [xs])
    norm = estimated[1].nodes["norm"]
    assert norm.estimated and estimated[2].synapse.estimated
    given = outs[1]["lin"]
    axes = 0 if kind is snn.BatchNormThroughTime else (0, 1)
    np.testing.assert_allclose(norm.mean.value, np.mean(given, axes), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(norm.variance.value, np.var(given, axes), rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("kind", (*STEPWISE, *WHOLE))
def test_the_gradient_flows_through_the_moments_of_the_whole_batch(kind, getkey):
    """Against the same function of the whole batch, without a named axis."""
    xs = jr.normal(getkey(), (3, STEPS, 2))
    norm = make(kind, key=getkey())
    weights = jr.normal(getkey(), xs.shape)

    def by_name(xs):
        return jnp.sum(weights * over_batch(snn.Sequential(norm), xs)[0])

    def by_hand(xs):
        axes = (0, 1) if kind in WHOLE else 0
        out = (xs - jnp.mean(xs, axes)) / jnp.sqrt(jnp.var(xs, axes) + norm.eps)
        if kind is snn.BatchNormThroughTime:
            return jnp.sum(weights * norm.weight * out)
        out = norm.weight * out + norm.bias
        if kind is snn.TemporalEffectiveBatchNorm:
            out = norm.step_weight[:, None] * out
        return jnp.sum(weights * out)

    expected = jax.grad(by_hand)(xs)
    assert np.max(np.abs(expected)) > 0.1
    np.testing.assert_allclose(jax.grad(by_name)(xs), expected, rtol=1e-4, atol=1e-5)


def test_the_scale_of_a_threshold_dependent_norm_may_differ_between_channels(getkey):
    thresholds = snn.Fixed(per_channel(0.5, 2.0))
    norm = snn.ThresholdDependentBatchNorm(2, threshold=thresholds, alpha=0.5)
    (out,) = over_batch(snn.Sequential(norm), 5 + 3 * jr.normal(getkey(), (8, STEPS, 2, 4, 4)))
    np.testing.assert_allclose(np.std(out, (0, 1, 3, 4)), [0.25, 1.0], rtol=1e-3)
    with pytest.raises(ValueError, match="`threshold` has the shape"):
        snn.Sequential(norm).init_state((2, 4))


@pytest.mark.parametrize("kind", WHOLE)
def test_moments_over_time_need_the_whole_sequence_in_training_alone(kind, getkey):
    model = snn.Sequential(linear(3, 2), make(kind), snn.SimpleLIF(0.9))
    xs = jr.normal(getkey(), (4, STEPS, 3))
    inference = eqx.nn.inference_mode(snn.estimate_norms(model, [xs]))
    expected = over_batch(inference, xs)
    for arguments in ({"plan": snn.StepByStep()}, {"plan": snn.Chunked(5)}, {"truncate": 3}, {"burnin": 4}):
        with pytest.raises(
            ValueError,
            match=f"`snn.{kind.__name__}` needs all steps.*It takes single steps after `eqx.nn.inference_mode",
        ):
            over_batch(model, xs, **arguments)
        allclose(over_batch(inference, xs, **arguments), expected)


def test_statistics_live_in_the_model_and_not_in_its_states_and_are_not_trained(getkey):
    model = snn.Sequential(linear(3, 2), snn.BatchNorm(2), snn.SimpleLIF(0.9))
    xs = jr.normal(getkey(), (4, 6, 3))
    states = model.init_state((3,))
    assert states.layers[1] is None
    estimated = snn.estimate_norms(model, [xs])
    trained = eqx.filter(estimated, snn.trainable(estimated))
    assert jax.tree.leaves(trained[1].mean) == jax.tree.leaves(trained[1].variance) == []
    assert len(jax.tree.leaves((trained[1].weight, trained[1].bias))) == 2
    # The same structure, so that an optimiser goes on; saved and loaded with the model.
    assert jax.tree.structure(eqx.filter(model, eqx.is_array)) == jax.tree.structure(
        eqx.filter(estimated, eqx.is_array)
    )
    file = io.BytesIO()
    eqx.tree_serialise_leaves(file, estimated)
    file.seek(0)
    loaded = eqx.nn.inference_mode(eqx.tree_deserialise_leaves(file, model))
    allclose(loaded(states, xs[0]), eqx.nn.inference_mode(estimated)(states, xs[0]))
    # And all else is as it was.
    norm = model[1]
    before = norm.mean, norm.variance, norm.estimated
    back = eqx.tree_at(lambda m: (m[1].mean, m[1].variance, m[1].estimated), estimated, before)
    assert eqx.tree_equal(back, model)


def test_estimating_runs_all_other_layers_as_they_are(getkey):
    norm = snn.BatchNorm(400)
    dropping = snn.Sequential(eqx.nn.Dropout(0.5), norm)
    xs = jnp.ones((2, 3, 400)) + 0.01 * jr.normal(getkey(), (2, 3, 400))
    variance = snn.estimate_norms(dropping, [xs], getkey())[1].variance.value
    assert 0.7 < float(jnp.mean(variance)) < 1.1
    with pytest.raises(RuntimeError, match="(?s)[Dd]ropout.*key"):
        snn.estimate_norms(dropping, [xs])
    inference = snn.estimate_norms(eqx.nn.inference_mode(dropping), [xs])
    assert inference[1].inference and float(jnp.mean(inference[1].variance.value)) < 1e-3


def test_a_graph_of_several_inputs_is_estimated_from_mappings(getkey):
    graph = snn.Graph(
        {"a": linear(3, 2), "b": linear(4, 2, 1), "norm": snn.BatchNorm(2)},
        [("left", "a"), ("right", "b"), ("a", "norm"), ("b", "norm")],
        inputs=("left", "right"),
        outputs=("norm",),
    )
    batch = {"left": spikes_like(getkey(), (3, 5, 3)), "right": spikes_like(getkey(), (3, 5, 4)).astype(bool)}
    found = snn.estimate_norms(graph, [batch]).nodes["norm"].mean.value
    each = [
        np.mean(jax.vmap(jax.vmap(graph.nodes[node]))(batch[name].astype(jnp.float32)), (0, 1))
        for node, name in (("a", "left"), ("b", "right"))
    ]
    np.testing.assert_allclose(found, sum(each), rtol=1e-5, atol=1e-6)


def test_moments_of_narrow_inputs_are_computed_in_float32(getkey):
    xs = (100 + jr.normal(getkey(), (64, 2, 2))).astype(jnp.bfloat16)
    (out,) = over_batch(snn.Sequential(snn.BatchNorm(2)), xs)
    assert out.dtype == jnp.bfloat16
    np.testing.assert_allclose(np.asarray(out, np.float32), reference(snn.BatchNorm(2), xs), atol=0.02)


def test_statistics_of_values_far_from_zero_are_exact(getkey):
    xs = 1000 + 0.1 * jr.normal(getkey(), (8, 6, 3))
    norm = snn.estimate_norms(snn.Sequential(snn.BatchNorm(3)), [xs, xs + 1])[0]
    both = np.concatenate([np.asarray(xs, np.float64), np.asarray(xs + 1, np.float64)])
    np.testing.assert_allclose(norm.variance.value, both.var((0, 1)), rtol=1e-3)


def test_weights_and_biases_may_be_left_out(getkey):
    xs = jr.normal(getkey(), (4, STEPS, 2))
    for kind in (snn.BatchNorm, snn.ThresholdDependentBatchNorm, snn.TemporalEffectiveBatchNorm):
        norm = make(kind, use_weight=False, use_bias=False)
        assert norm.weight is None and norm.bias is None
        ones = eqx.tree_at(lambda n: (n.weight, n.bias), norm, (jnp.ones(2), jnp.zeros(2)), is_leaf=lambda x: x is None)
        allclose(over_batch(snn.Sequential(norm), xs), over_batch(snn.Sequential(ones), xs))
    norm = make(snn.BatchNormThroughTime, use_weight=False)
    np.testing.assert_allclose(np.std(over_batch(snn.Sequential(norm), xs)[0], 0), np.ones((STEPS, 2)), rtol=1e-3)


REFUSED = {
    "size": (lambda: snn.BatchNorm(0), "`snn.BatchNorm`: `size` must be a number of channels, 1 or more, got 0"),
    "eps": (lambda: snn.BatchNorm(2, eps=0.0), r"`eps` must be a number in \(0, inf\), got 0.0"),
    "steps": (lambda: snn.BatchNormThroughTime(2, -1), "`snn.BatchNormThroughTime`: `steps` must be a number of time"),
    "axis": (lambda: snn.BatchNorm(2, 5), "`axis_name` must be the name of the batch axis or None, got 5"),
    "threshold": (lambda: snn.ThresholdDependentBatchNorm(2, threshold=-1.0), r"`threshold` must be in \(0, inf\)"),
    "alpha": (lambda: snn.ThresholdDependentBatchNorm(2, alpha=0.0), r"`alpha` must be in \(0, inf\)"),
    "channels": (
        lambda: snn.Sequential(snn.BatchNorm(2)).init_state((3, 2)),
        r"`size=2` must be the number of .*\(3, 2\)",
    ),
    "a standardised module": (
        lambda: snn.WeightStandardised(eqx.nn.LayerNorm(3)),
        "`snn.WeightStandardised` takes an `eqx.nn.Linear`.*got `LayerNorm`",
    ),
    "eps of a standardised one": (lambda: snn.WeightStandardised(linear(2, 2), eps=-1.0), "`eps` must be a number"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_arguments_out_of_range_are_refused(case, unchecked):
    make_it, message = REFUSED[case]
    with pytest.raises((ValueError, TypeError), match=message):
        make_it()


@pytest.mark.parametrize("kind", (*STEPWISE, *WHOLE))
def test_a_batch_without_a_name_is_refused_in_training(kind, getkey):
    model = snn.Sequential(make(kind))
    states = model.init_state((2,))
    remedy = r"over a batch axis of the name 'batch'.*jax.vmap\(model, in_axes=\(None, 0\), axis_name='batch'\)"
    with pytest.raises(ValueError, match=remedy):
        jax.vmap(model, in_axes=(None, 0))(states, jnp.ones((3, STEPS, 2)))


def test_moments_of_one_value_are_refused():
    for kind in STEPWISE:
        with pytest.raises(ValueError, match="only one value for each channel.*Name the batch axis by `axis_name`"):
            snn.Sequential(make(kind, axis_name=None)).init_state((2,))
        with pytest.raises(ValueError, match="only one value for each channel.*Give a larger batch"):
            over_batch(snn.Sequential(make(kind)), jnp.ones((1, STEPS, 2)))
    for kind in WHOLE:
        model = snn.Sequential(make(kind, axis_name=None))
        with pytest.raises(ValueError, match="only one value for each channel"):
            model(model.init_state((2,)), jnp.ones((1, 2)))
        model(model.init_state((2,)), jnp.ones((2, 2)))


@pytest.mark.parametrize("kind", (*STEPWISE, *WHOLE))
def test_inference_without_statistics_is_refused(kind):
    model = eqx.nn.inference_mode(snn.Sequential(make(kind)))
    with pytest.raises(ValueError, match=f"`snn.{kind.__name__}` is in inference mode but has no.*estimate_norms"):
        model.init_state((2,))


@pytest.mark.parametrize("kind", (snn.BatchNormThroughTime, snn.TemporalEffectiveBatchNorm))
def test_more_steps_than_there_are_parameters_for_are_refused(kind, getkey):
    """Whether that can be told from the shapes, from the state, or in the run alone."""
    xs = jr.normal(getkey(), (3, STEPS + 1, 2))
    model = snn.Sequential(make(kind))
    message = rf"`snn.{kind.__name__}` has parameters for `steps=12` steps.*`steps=`"
    with pytest.raises(ValueError, match=message):
        over_batch(model, xs)
    inference = eqx.nn.inference_mode(snn.estimate_norms(model, [xs[:, :STEPS]]))
    states, _ = inference(inference.init_state((2,)), xs[0, :STEPS])
    with pytest.raises(ValueError, match=message):
        inference.step(states, xs[0, STEPS])
    with pytest.raises(RuntimeError, match="has parameters for `steps=12` steps"):
        eqx.filter_jit(inference.step)(states, xs[0, STEPS])
    with pytest.raises(RuntimeError, match="has parameters for `steps=12` steps"):
        inference(inference.init_state((2,)), xs[0], plan=snn.StepByStep())
    with pytest.raises(RuntimeError, match="has parameters for `steps=12` steps"):
        jax.block_until_ready(eqx.filter_jit(inference)(states, xs[0, :1]))


def test_complex_inputs_are_refused():
    model = snn.Sequential(snn.BatchNorm(2, None))
    with pytest.raises(TypeError, match="`snn.BatchNorm` takes real inputs, got complex64"):
        model(model.init_state((2, 3)), jnp.ones((4, 2, 3), jnp.complex64))


def test_what_cannot_be_estimated_is_refused(getkey, unchecked):
    model = snn.Sequential(snn.BatchNorm(2))
    with pytest.raises(ValueError, match="`snn.estimate_norms`: there were no batches"):
        snn.estimate_norms(model, [])
    with pytest.raises(ValueError, match="there is no batch normalisation in this network"):
        snn.estimate_norms(snn.Sequential(snn.SimpleLIF(0.9)), [jnp.ones((2, 3, 2))])
    with pytest.raises(ValueError, match=r"a batch must be an array.*\(batch, time, \*in_shape\), got shape \(2,\)"):
        snn.estimate_norms(model, [jnp.ones(2)])
    with pytest.raises(TypeError, match="`snn.estimate_norms`: the model must be a `snn.Sequential`"):
        snn.estimate_norms(snn.BatchNorm(2), [jnp.ones((2, 3, 2))])
    long = snn.Sequential(snn.Residual(snn.BatchNormThroughTime(2, 9)))
    with pytest.raises(ValueError, match="'0.0' has statistics for 9 steps, but the longest sequence had 4"):
        snn.estimate_norms(long, [jnp.ones((2, 4, 2)), jnp.ones((3, 3, 2))])
    two = snn.Sequential(snn.BatchNorm(2), snn.BatchNorm(2, "other"))
    with pytest.raises(ValueError, match=r"average over the axes \['batch', 'other'\]"):
        snn.estimate_norms(two, [jnp.ones((2, 4, 2))])


def test_standardised_weights_have_mean_zero_and_variance_one(getkey):
    for layer, x in (
        (eqx.nn.Linear(5, 3, key=getkey()), jr.normal(getkey(), (5,))),
        (eqx.nn.Conv2d(2, 3, 3, key=getkey()), jr.normal(getkey(), (2, 4, 4))),
        (eqx.nn.ConvTranspose1d(2, 3, 3, use_bias=False, key=getkey()), jr.normal(getkey(), (2, 4))),
    ):
        layer = eqx.tree_at(lambda m: m.weight, layer, 3 + 2 * layer.weight)
        weight = np.asarray(layer.weight, np.float64)
        axes = tuple(range(1, weight.ndim))
        expected = (weight - weight.mean(axes, keepdims=True)) / np.sqrt(weight.var(axes, keepdims=True) + 1e-5)
        standardised = snn.WeightStandardised(layer)
        np.testing.assert_allclose(standardised.weight, expected, rtol=1e-4, atol=1e-5)
        by_hand = eqx.tree_at(lambda m: m.weight, layer, jnp.asarray(expected, jnp.float32))
        np.testing.assert_allclose(standardised(x), by_hand(x), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("wrap", [snn.WeightStandardised, eqx.nn.WeightNorm], ids=lambda wrap: wrap.__name__)
def test_wrapped_weights_are_trained_alike_under_every_plan_and_in_cycles(wrap, getkey):
    model = snn.Sequential(
        wrap(linear(3, 4)),
        eqx.nn.LayerNorm(4),
        snn.Recurrent(snn.LIF([0.9, 0.8]), wrap(linear(4, 4, 1))),
    )
    xs = jr.normal(getkey(), (6, 3))

    def loss(model, plan):
        return jnp.sum(jnp.cos(jnp.arange(24.0)).reshape(6, 4) * model(model.init_state((3,)), xs, plan=plan)[1][-1])

    gradients = [eqx.filter_jit(eqx.filter_grad(loss))(model, plan) for plan in PLANS]
    assert all(np.any(leaf != 0) for leaf in jax.tree.leaves(gradients[0]))
    for gradient in gradients[1:]:
        allclose(gradient, gradients[0], rtol=1e-4, atol=1e-5)


def test_weights_of_each_step_are_those_of_its_number_in_a_stream(getkey):
    norm = snn.BatchNormThroughTime(2, STEPS, None)
    norm = eqx.tree_at(lambda m: m.weight, norm, per_step(STEPS, 2))
    model = snn.Sequential(norm)
    xs = jr.normal(getkey(), (STEPS, 2, 5))
    states, outs = model.init_state((2, 5)), []
    for x in xs:
        states, (out,) = model.step(states, x)
        outs.append(out)
    np.testing.assert_allclose(jnp.stack(outs), reference(norm, xs[None])[0], rtol=1e-4, atol=1e-5)
    assert int(states.layers[0].step) == STEPS
