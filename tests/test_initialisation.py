"""Weights drawn by rules and set by data: what they were meant to make of the network, measured independently."""

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from helpers import linear, spikes_like
from jax.nn import initializers

import snnax.snn as snn
from snnax.snn._feeds import feeds_of
from snnax.snn._record import written


def conv(n_in, n_out, number=0, **kwargs):
    return eqx.nn.Conv2d(n_in, n_out, 3, key=jr.key(number), **kwargs)


def outs_of(model, batch, key=None):
    """All outputs, each `(batch, time, ...)`."""
    states = model.init_state(jax.tree.map(lambda a: a.shape[2:], batch))
    return jax.vmap(lambda xs: model(states, xs, key)[1])(batch)


# Rules


@pytest.mark.parametrize(
    "layer, fan_in, fan_out",
    [
        (linear(300, 200), 300, 200),
        (conv(20, 40), 20 * 9, 40 * 9),
        (conv(40, 80, groups=4), 10 * 9, 80 * 9),
        (eqx.nn.ConvTranspose1d(60, 70, 5, key=jr.key(0)), 60 * 5, 70 * 5),
    ],
    ids=["Linear", "Conv2d", "Conv2d in groups", "ConvTranspose1d"],
)
def test_rules_see_the_fans_of_the_layers(layer, fan_in, fan_out, getkey):
    for rule, variance in (
        (initializers.he_normal(), 2 / fan_in),
        (initializers.lecun_uniform(), 1 / fan_in),
        (initializers.glorot_normal(), 2 / (fan_in + fan_out)),
    ):
        weight = snn.initialise(layer, rule, getkey()).weight
        assert weight.shape == layer.weight.shape
        assert np.var(weight) == pytest.approx(variance, rel=0.1)


@pytest.mark.parametrize("layer", [linear(12, 5), linear(5, 12), conv(3, 7), eqx.nn.WeightNorm(linear(12, 5))])
def test_orthogonal_weights_are_orthogonal(layer, getkey):
    layer = snn.initialise(layer, initializers.orthogonal(), getkey())
    weight = getattr(layer, "layer", layer).weight
    rows = np.asarray(weight).reshape(weight.shape[0], -1)
    gram = rows @ rows.T if rows.shape[0] <= rows.shape[1] else rows.T @ rows
    np.testing.assert_allclose(gram, np.eye(len(gram)), atol=1e-5)
    if isinstance(layer, eqx.nn.WeightNorm):
        np.testing.assert_allclose(layer.g, np.linalg.norm(rows, axis=1, keepdims=True), rtol=1e-5)


def test_all_linear_layers_are_drawn_with_keys_of_their_own_and_nothing_else(getkey):
    model = snn.Sequential(
        linear(8, 8),
        snn.LIF([jnp.array(0.9), 0.8], threshold=jnp.ones(8)),
        snn.Residual(snn.Recurrent(snn.SimpleLIF(0.9), linear(8, 8))),
        eqx.nn.LayerNorm(8),
        eqx.nn.MLP(8, 8, 8, 1, key=getkey()),
        snn.Graph({"a": linear(8, 8), "b": snn.SimpleLI(0.9)}, [("input", "a"), ("a", "b")], outputs=("b",)),
    )
    drawn = snn.initialise(model, initializers.normal(1.0), getkey())

    def weights(model):
        is_linear = lambda node: isinstance(node, eqx.nn.Linear)  # noqa: E731
        return [node for node in jax.tree.leaves(model, is_leaf=is_linear) if is_linear(node)]

    assert len(weights(model)) == 5
    new = [np.asarray(node.weight) for node in weights(drawn)]
    assert all(np.max(np.abs(a - b)) > 1 for i, a in enumerate(new) for b in new[:i])
    for before, after in zip(weights(model), weights(drawn), strict=True):
        np.testing.assert_array_equal(before.bias, after.bias)
    assert eqx.tree_equal(eqx.tree_at(weights, drawn, weights(model)), model)
    with_bias = snn.initialise(model, initializers.normal(1.0), getkey(), bias=initializers.constant(0.3))
    assert all(np.all(node.bias == 0.3) for node in weights(with_bias))
    assert eqx.tree_equal(
        snn.initialise(model, initializers.normal(1.0), jr.key(4)),
        snn.initialise(model, initializers.normal(1.0), jr.key(4)),
    )


def test_what_is_no_rule_is_refused(unchecked):
    for wrong in ({"initialiser": 0.5}, {"initialiser": initializers.he_normal(), "bias": 0.0}):
        with pytest.raises(TypeError, match=f"`snn.initialise`: `{list(wrong)[-1]}` must be an initialiser"):
            snn.initialise(linear(2, 2), key=jr.key(0), **wrong)


# Which weights are in front of which neurons

LIF = snn.SimpleLIF(0.9)
BRANCH = snn.Sequential(linear(4, 4, 1), LIF)
NETWORKS = {
    "a chain": (
        lambda: snn.Sequential(
            conv(1, 2), snn.SumPool2d(2), snn.Flatten(), eqx.nn.Dropout(0.5), LIF, linear(4, 4), LIF
        ),
        {"4": ["0"], "6": ["5"]},
    ),
    "neurons first, a filter between": (
        lambda: snn.Sequential(LIF, linear(4, 4), snn.SimpleLI(0.9), snn.Delay(2), LIF, linear(4, 2)),
        {"0": [], "4": ["1"]},
    ),
    "a normalisation is nearest": (
        lambda: snn.Sequential(linear(4, 4), snn.BatchNorm(4), LIF, linear(4, 4), eqx.nn.LayerNorm(4), LIF),
        {"2": ["1"], "5": ["4"]},
    ),
    "a normalisation without weights is passed": (
        lambda: snn.Sequential(linear(4, 4), snn.BatchNorm(4, use_weight=False), LIF),
        {"2": ["0"]},
    ),
    "a residual block: the sum feeds on both": (
        lambda: snn.Sequential(linear(4, 4), snn.Residual(BRANCH), snn.Residual(linear(4, 4)), LIF),
        {"1.0.1": ["1.0.0"], "3": ["2.0", "0"]},
    ),
    "weights feed the first of several": (
        lambda: snn.Sequential(linear(4, 4), snn.Parallel(LIF, LIF)),
        {"1.0": ["0"], "1.1": []},
    ),
    "a recurrence, neurons in its synapse": (
        lambda: snn.Sequential(
            linear(4, 4), snn.Recurrent(LIF, BRANCH), linear(4, 4), snn.Recurrent(LIF, linear(4, 4))
        ),
        {"1.synapse.1": ["1.synapse.0"], "1.neuron": ["0"], "3.neuron": ["2"]},
    ),
    "chains of Equinox": (
        lambda: snn.Sequential(
            eqx.nn.Sequential([linear(4, 4), eqx.nn.Lambda(jax.nn.relu)]),
            LIF,
            eqx.nn.MLP(4, 4, 4, 1, key=jr.key(0)),
            LIF,
            eqx.nn.WeightNorm(linear(4, 4)),
            LIF,
            snn.WeightStandardised(linear(4, 4)),
            LIF,
        ),
        {"1": ["0"], "3": ["2"], "5": ["4"], "7": []},
    ),
    "neurons that are made of layers": (
        lambda: snn.Sequential(
            linear(4, 4), snn.SpikingLSTM(4, 4, key=jr.key(0)), snn.PhasorLinear(4, 4, key=jr.key(0)), LIF
        ),
        {"1": ["0"], "3": []},
    ),
    "a graph with a skip, a feedback and a nested chain": (
        lambda: snn.Graph(
            {
                "fc1": linear(4, 4),
                "lif1": LIF,
                "fc2": linear(4, 4),
                "lif2": LIF,
                "back": linear(4, 4),
                "skip": linear(4, 4),
                "block": BRANCH,
            },
            [
                *[("input", "fc1"), ("fc1", "lif1"), ("lif1", "fc2"), ("fc2", "lif2"), ("lif2", "block")],
                *[snn.Edge("lif2", "back", delay=1), ("back", "lif1")],
                *[snn.Edge("input", "skip", delay=3), ("skip", "lif2")],
            ],
            outputs=("block",),
        ),
        {"lif1": ["fc1"], "lif2": ["fc2", "skip"], "block.1": ["block.0"]},
    ),
    "neurons that hear a cycle alone": (
        lambda: snn.Graph(
            {"fc": linear(4, 4), "lif": LIF, "back": linear(4, 4), "inhibitory": LIF},
            [
                *[("input", "fc"), ("fc", "lif")],
                *[snn.Edge("lif", "back", delay=1), ("back", "inhibitory"), snn.Edge("inhibitory", "lif", delay=1)],
            ],
            outputs=("lif",),
        ),
        {"inhibitory": ["back"], "lif": ["fc"]},
    ),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_the_weights_in_front_of_neurons_are_found(name):
    make, expected = NETWORKS[name]
    found = {written(feed.neurons): [written(one.path) for one in feed.weights] for feed in feeds_of(make())}
    assert found == expected


# A rate for each layer


def deep(key, n=40):
    """A network whose later layers are silent at first."""
    keys = jr.split(key, 5)
    return snn.Sequential(
        eqx.nn.Linear(20, n, key=keys[0]),
        snn.LIF([0.9, 0.8]),
        snn.Residual(snn.Sequential(eqx.nn.Linear(n, n, key=keys[1]), snn.AdaptiveLIF(0.9, threshold=3.0))),
        eqx.nn.Linear(n, n, key=keys[2]),
        snn.Recurrent(snn.SimpleLIF(0.9, threshold=5.0), eqx.nn.Linear(n, n, key=keys[3])),
        eqx.nn.Linear(n, 3, key=keys[4]),
        snn.SimpleLI(0.9),
    )


def rates_of(model, batch):
    """By the outputs of the layers: the residual block gives what came in besides its spikes."""
    outs = outs_of(model, batch)
    return [float(np.mean(np.asarray(out) != 0)) for out in (outs[1], outs[2] - outs[1], outs[4])]


def test_every_layer_fires_at_the_rate_that_was_chosen(getkey):
    model, batch = deep(getkey()), spikes_like(getkey(), (8, 25, 20), 0.1)
    assert min(rates_of(model, batch)) < 0.02
    calibrated = snn.calibrate(model, batch, 0.15)
    np.testing.assert_allclose(rates_of(calibrated, batch), 0.15, rtol=0.051)
    several = snn.calibrate(model, batch, {1: 0.1, "2.0.1": 0.05, "4.neuron": 0.3}, tolerance=0.1)
    np.testing.assert_allclose(rates_of(several, batch), [0.1, 0.05, 0.3], rtol=0.101)


def test_only_weights_in_front_are_scaled_each_by_one_factor(getkey):
    model, batch = deep(getkey()), spikes_like(getkey(), (8, 25, 20), 0.1)
    calibrated = snn.calibrate(model, batch, 0.2)

    def linears(model):
        return model[0], model[2].parallel.branches[0][0], model[3]

    factors = []
    for before, after in zip(linears(model), linears(calibrated), strict=True):
        ratios = np.concatenate([np.ravel(after.weight / before.weight), np.ravel(after.bias / before.bias)])
        np.testing.assert_allclose(ratios, ratios[0], rtol=1e-4)
        factors.append(ratios[0])
    assert len(set(np.round(factors, 3))) == 3
    assert eqx.tree_equal(eqx.tree_at(linears, calibrated, linears(model)), model)


def test_layers_that_are_not_named_stay_as_they_are(getkey):
    model, batch = deep(getkey()), spikes_like(getkey(), (8, 25, 20), 0.1)
    calibrated = snn.calibrate(model, batch, {"2.0.1": 0.2})
    assert rates_of(calibrated, batch)[1] == pytest.approx(0.2, rel=0.051)
    assert eqx.tree_equal(calibrated[0], model[0]) and eqx.tree_equal(calibrated[3], model[3])


def test_layers_of_a_graph_that_feed_back_settle_at_their_rates(getkey):
    n = 30
    keys = jr.split(getkey(), 4)
    nodes = {name: eqx.nn.Linear(n, n, key=key) for name, key in zip(("fc1", "fc2", "back"), keys, strict=False)}
    model = snn.Graph(
        {**nodes, "lif1": snn.LIF([0.9, 0.8]), "lif2": snn.SimpleLIF(0.9, threshold=4.0), "norm": snn.BatchNorm(n)},
        [
            *[("input", "fc1"), ("fc1", "norm"), ("norm", "lif1"), ("lif1", "fc2"), ("fc2", "lif2")],
            *[snn.Edge("lif2", "back", delay=1), ("back", "lif1")],
        ],
        outputs=("lif2",),
    )
    batch = spikes_like(getkey(), (8, 25, n), 0.2)
    calibrated = snn.calibrate(model, batch, 0.2)

    def run(xs):
        return calibrated(calibrated.init_state((n,)), xs)[1]

    outs = jax.vmap(run, axis_name="batch")(batch)
    for name in ("lif1", "lif2"):
        assert float(jnp.mean(outs[name])) == pytest.approx(0.2, rel=0.051)
    assert not eqx.tree_equal(calibrated.nodes["norm"], model.nodes["norm"])
    assert eqx.tree_equal(calibrated.nodes["fc1"], model.nodes["fc1"])
    assert eqx.tree_equal(calibrated.nodes["back"], model.nodes["back"])


def test_neurons_that_are_made_of_layers_are_calibrated_by_what_is_in_front(getkey):
    model = snn.Sequential(linear(20, 10), snn.SpikingGRU(10, 30, threshold=0.3, key=getkey()))
    batch = spikes_like(getkey(), (8, 25, 20), 0.3)
    calibrated = snn.calibrate(model, batch, 0.15)
    assert float(jnp.mean(outs_of(calibrated, batch)[1])) == pytest.approx(0.15, rel=0.051)
    assert eqx.tree_equal(calibrated[1], model[1]) and not eqx.tree_equal(calibrated[0], model[0])


def test_a_rate_is_reached_with_random_numbers_in_the_network(getkey):
    model = snn.Sequential(
        linear(20, 40), snn.SimpleLIF(0.9), eqx.nn.Dropout(0.5), linear(40, 40, 1), snn.SimpleLIF(0.9)
    )
    batch, key = spikes_like(getkey(), (8, 25, 20), 0.2), getkey()
    calibrated = snn.calibrate(model, batch, 0.1, key)
    keys = jr.split(getkey(), 8)
    states = model.init_state((20,))
    outs = jax.vmap(lambda xs, key: calibrated(states, xs, key)[1])(batch, keys)
    assert float(jnp.mean(outs[-1])) == pytest.approx(0.1, rel=0.2)


def cut(layer):
    """A layer whose weights are 0, so that no factor changes what it gives."""
    return eqx.tree_at(lambda one: one.weight, layer, replace_fn=jnp.zeros_like)


def test_layers_that_cannot_reach_their_rate_are_refused_by_name(getkey):
    model = snn.Sequential(
        cut(eqx.nn.Linear(3, 8, use_bias=False, key=getkey())), snn.SimpleLIF(0.9), linear(8, 8), snn.SimpleLIF(0.9)
    )
    with pytest.raises(
        ValueError,
        match="(?s)the neurons '1' cannot be made to fire at 0.1 by scaling the weights of '0'.*reached is 0,",
    ):
        snn.calibrate(model, jnp.ones((4, 10, 3)), 0.1)
    resting = snn.Sequential(linear(3, 8), snn.SimpleLIF(0.9, refractory=4))
    with pytest.raises(ValueError, match="'1' cannot be made to fire at 0.5.*the nearest that was reached is 0.[01]"):
        snn.calibrate(resting, jnp.ones((4, 10, 3)), 0.5)


def test_rates_and_names_that_cannot_be_are_refused(getkey, unchecked):
    batch = jnp.ones((2, 4, 3))
    model = snn.Sequential(linear(3, 4), snn.SimpleLIF(0.9))
    with pytest.raises(ValueError, match=r"`rate` names \['5'\], but the spiking layers with weights.*are \['1'\]"):
        snn.calibrate(model, batch, {5: 0.1})
    for wrong in (0.0, 1.0, "often"):
        with pytest.raises(ValueError, match=r"`rate` must be a share of neurons and steps in \(0, 1\)"):
            snn.calibrate(model, batch, {1: wrong})
    bare = snn.Sequential(snn.SimpleLIF(0.9), linear(3, 4))
    for call in (
        lambda: snn.calibrate(bare, batch, 0.1),
        lambda: snn.lsuv(bare, batch),
        lambda: snn.fluctuation_init(bare, 0.1, jr.key(0)),
    ):
        with pytest.raises(ValueError, match="`snn.[a-z_]*`: this network has no spiking layer with weights in front"):
            call()
    with pytest.raises(TypeError, match="`snn.calibrate`: the model must be a `snn.Sequential`"):
        snn.calibrate(linear(3, 4), batch, 0.1)


# The moments of the membrane


def free_membrane(decays, gain, xs):
    """The potentials of a LIF that never fires, for `(batch, time, n)`, by NumPy."""
    v, i, vs = np.zeros(xs[:, 0].shape), np.zeros(xs[:, 0].shape), []
    for t in range(xs.shape[1]):
        i = decays[1] * i + gain * np.asarray(xs[:, t], np.float64)
        v = decays[0] * v + gain * i
        vs.append(v)
    return np.stack(vs)


@pytest.mark.parametrize("mean, variance", [(0.0, 1.0), (-0.85, 1.0), (0.4, 0.25)])
def test_potentials_get_the_mean_and_variance_that_are_wanted(mean, variance, getkey):
    model = snn.Sequential(
        linear(20, 50),
        snn.LIF([0.9, 0.8]),
        snn.Residual(snn.Sequential(linear(50, 50, 1), snn.LIF([0.8, 0.0], gain=0.5, refractory=2))),
        linear(50, 50, 2),
        snn.LIF([0.7, 0.5], threshold=0.5, reset=snn.SubtractReset()),
    )
    batch = spikes_like(getkey(), (8, 20, 20), 0.2)
    model = snn.initialise(model, initializers.orthogonal(), getkey(), bias=initializers.zeros)
    model = snn.lsuv(model, batch, mean=mean, variance=variance)
    outs = outs_of(model, batch)
    inner = jax.vmap(jax.vmap(model[2].parallel.branches[0][0]))(outs[1])
    for decays, gain, given in (([0.9, 0.8], 1.0, outs[0]), ([0.8, 0.0], 0.5, inner), ([0.7, 0.5], 1.0, outs[3])):
        v = free_membrane(decays, gain, given)
        assert np.mean(v) == pytest.approx(mean, abs=0.051 * np.sqrt(variance))
        assert np.var(v) == pytest.approx(variance, rel=0.051)
    assert 0.005 < float(jnp.mean(outs[4])) < 0.6
    # The biases are alike, for they were 0; the weights are orthogonal as before, but for a factor.
    np.testing.assert_allclose(model[3].bias, model[3].bias[0], rtol=1e-4, atol=1e-6)
    weight = np.asarray(model[3].weight)
    np.testing.assert_allclose(weight @ weight.T, np.eye(50) * (weight @ weight.T)[0, 0], atol=1e-5)


def test_biases_that_differ_are_scaled_with_the_weights(getkey):
    model = snn.Sequential(eqx.nn.Linear(5, 30, key=getkey()), snn.LIF([0.95, 0.9]))
    batch = spikes_like(getkey(), (4, 12, 5), 0.3)
    fitted = snn.lsuv(model, batch)
    v = free_membrane([0.95, 0.9], 1.0, outs_of(fitted, batch)[0])
    assert np.mean(v) == pytest.approx(0.0, abs=0.051) and np.var(v) == pytest.approx(1.0, rel=0.051)
    factors = fitted[0].weight / model[0].weight
    np.testing.assert_allclose(factors, factors[0, 0], rtol=1e-4)
    shifts = fitted[0].bias - factors[0, 0] * model[0].bias
    np.testing.assert_allclose(shifts, shifts[0], rtol=1e-3, atol=1e-6)


def test_without_bias_the_mean_is_left_alone(getkey):
    model = snn.Sequential(eqx.nn.Linear(20, 50, use_bias=False, key=getkey()), snn.SimpleLIF(0.9))
    batch = spikes_like(getkey(), (4, 20, 20), 0.2)
    with pytest.raises(
        ValueError,
        match="(?s)the potentials of '1' have a mean.*could not be set to a mean of 2 and.*"
        "There is no bias in front of them.*`mean=None`",
    ):
        snn.lsuv(model, batch, mean=2.0)
    fitted = snn.lsuv(model, batch, mean=None, variance=2.0, tolerance=0.01)
    v = free_membrane([0.9, 0.0], 1.0, outs_of(fitted, batch)[0])
    assert np.var(v) == pytest.approx(2.0, rel=0.011)
    np.testing.assert_allclose(
        fitted[0].weight / model[0].weight, (fitted[0].weight / model[0].weight)[0, 0], rtol=1e-4
    )


def test_potentials_that_nothing_moves_and_neurons_without_one_are_refused(getkey):
    model = snn.Sequential(cut(eqx.nn.Linear(3, 4, use_bias=False, key=getkey())), snn.SimpleLIF(0.9))
    with pytest.raises(ValueError, match="the potentials of '1' have a mean of 0 and a variance of 0.*`snn.diagnose`"):
        snn.lsuv(model, jnp.ones((2, 5, 3)))
    with pytest.raises(ValueError, match="`snn.lsuv`: `variance` must be above 0, got 0"):
        snn.lsuv(model, jnp.ones((2, 5, 3)), variance=0.0)

    class Nameless(snn.SpikingLayer):
        def init_state(self, in_shape, key=None):
            return self.init_potential(in_shape, key)

        def __call__(self, state, x, *, key=None):
            spike, state, _ = self.fire(0.9 * state + x, state, None)
            return state, spike

    nameless = snn.Sequential(linear(3, 4), Nameless())
    with pytest.raises(ValueError, match="`Nameless` has no real potential `v` in its state.*`snn.calibrate`"):
        snn.lsuv(nameless, jnp.ones((2, 5, 3)))
    with pytest.raises(ValueError, match="`snn.fluctuation_init`: `Nameless` has no real potential"):
        snn.fluctuation_init(nameless, 0.1, jr.key(0))
    assert eqx.tree_equal(snn.calibrate(nameless, jnp.ones((2, 5, 3)), 0.5, tolerance=0.9)[1], nameless[1])


# Fluctuations


@pytest.mark.parametrize("mean, xi, rest", [(0.0, 1.0, 0.0), (0.3, 2.0, 0.0), (0.2, 1.5, 0.2)])
def test_weights_have_the_moments_of_the_formula(mean, xi, rest, getkey):
    """For a leaky integrator the response to an impulse is a geometric series."""
    n, nu, alpha, theta = 300, 0.1, 0.9, 1.5
    model = snn.Sequential(linear(n, 400), snn.SimpleLIF(alpha, rest=rest, threshold=theta))
    layer = snn.fluctuation_init(model, nu, getkey(), mean=mean, xi=xi)[0]
    integral, square = 1 / (1 - alpha), 1 / (1 - alpha**2)
    expected_mean = (mean - rest) / (n * nu * integral)
    expected = np.sqrt(((theta - mean) / xi) ** 2 / (n * nu * (1 - nu) * square) - expected_mean**2)
    assert np.std(layer.weight) == pytest.approx(expected, rel=0.02)
    assert np.mean(layer.weight) == pytest.approx(expected_mean, abs=4 * expected / np.sqrt(layer.weight.size))
    assert not np.any(layer.bias)


def test_potentials_fluctuate_as_was_meant(getkey):
    """The mean, and the variance over time, of potentials without spikes; and neurons fire by them."""
    n, nu, mean, xi = 200, 0.1, 0.2, 1.6
    model = snn.Sequential(linear(n, 200), snn.LIF([0.8, 0.6], gain=[0.5, 1.5]))
    model = snn.fluctuation_init(model, nu, getkey(), mean=mean, xi=xi)
    batch = jr.bernoulli(getkey(), nu, (1, 3000, n)).astype(jnp.float32)
    currents, spikes = outs_of(model, batch)
    i, v, vs = 0.0, 0.0, []
    for x in np.asarray(currents[0], np.float64):
        i = 0.6 * i + 1.5 * x
        v = 0.8 * v + 0.5 * i
        vs.append(v)
    vs = np.stack(vs)[100:]
    deviation = (1 - mean) / xi
    assert np.mean(np.var(vs, axis=0)) == pytest.approx(deviation**2, rel=0.05)
    # Each neuron has a mean of its own, which varies with its weights.
    spread = np.std(np.mean(vs, axis=0))
    assert np.mean(vs) == pytest.approx(mean, abs=4 * spread / np.sqrt(200))
    assert 0.01 < float(jnp.mean(spikes)) < 0.5


def test_recurrent_weights_take_their_share_of_the_fluctuations_and_inputs_have_a_rate_of_their_own(getkey):
    n, hidden = 100, 150
    synapse = linear(hidden, hidden, 2)
    model = snn.Sequential(
        linear(n, hidden), snn.SimpleLIF(0.5), linear(hidden, hidden, 1), snn.Recurrent(snn.SimpleLIF(0.9), synapse)
    )
    new = snn.fluctuation_init(model, 0.05, getkey(), input_rate=0.3, feedforward=0.75)
    expected = {
        "first": np.sqrt(0.75 / (n * 0.3 * 0.7)),
        "second": np.sqrt(0.75 * (1 - 0.81) / (hidden * 0.05 * 0.95)),
        "back": np.sqrt(0.25 * (1 - 0.81) / (hidden * 0.05 * 0.95)),
    }
    assert np.std(new[0].weight) == pytest.approx(expected["first"] / np.sqrt(0.75) * np.sqrt(1 - 0.25), rel=0.03)
    assert np.std(new[2].weight) == pytest.approx(expected["second"], rel=0.03)
    assert np.std(new[3].synapse.weight) == pytest.approx(expected["back"], rel=0.03)
    assert not np.any(new[3].synapse.bias)
    one_to_one = snn.Sequential(linear(n, 3), snn.Recurrent(snn.SimpleLIF(0.9), jnp.full((3,), -0.5)))
    kept = snn.fluctuation_init(one_to_one, 0.05, getkey())
    assert eqx.tree_equal(kept[1], one_to_one[1])


def test_a_convolution_sums_over_its_kernel_and_several_weights_share_the_fluctuations(getkey):
    model = snn.Sequential(conv(16, 64), snn.SimpleLIF(0.5))
    new = snn.fluctuation_init(model, 0.1, getkey())
    assert np.std(new[0].weight) == pytest.approx(np.sqrt(0.75 / (16 * 9 * 0.09)), rel=0.03)
    two = snn.Sequential(snn.Parallel(linear(100, 80), linear(100, 80, 1)), snn.SimpleLIF(0.5))
    new = snn.fluctuation_init(two, 0.1, getkey())
    for branch in new[0].branches:
        assert np.std(branch.weight) == pytest.approx(np.sqrt(0.75 / (200 * 0.09)), rel=0.03)
    up = snn.Sequential(eqx.nn.ConvTranspose1d(16, 64, 4, stride=2, key=getkey()), snn.SimpleLIF(0.5))
    new = snn.fluctuation_init(up, 0.1, getkey())
    assert np.std(new[0].weight) == pytest.approx(np.sqrt(0.75 / (16 * 2 * 0.09)), rel=0.03)


def test_parameters_that_differ_between_neurons_are_averaged(getkey):
    decays = jnp.array([0.9, 0.5, 0.1, 0.7])
    model = snn.Sequential(linear(500, 4), snn.SimpleLIF(decays, threshold=jnp.array([0.5, 1.5, 1.0, 1.0])))
    new = snn.fluctuation_init(model, 0.1, getkey())
    square = np.mean(1 / (1 - np.asarray(decays) ** 2))
    assert np.std(new[0].weight) == pytest.approx(np.sqrt(1 / (500 * 0.09 * square)), rel=0.06)


class Quadratic(snn.SpikingLayer):
    def init_state(self, in_shape, key=None):
        return {"v": self.init_potential(in_shape, key)}

    def __call__(self, state, x, *, key=None):
        v = 0.5 * state["v"] + 0.1 * state["v"] ** 2 + x
        spike, v, _ = self.fire(v, state["v"], None)
        return {"v": v}, spike


FLUCTUATIONS_REFUSED = {
    "rate": (lambda m: snn.fluctuation_init(m, 1.0, jr.key(0)), r"`rate` must be in \(0, 1\) spikes per step, got 1.0"),
    "input rate": (lambda m: snn.fluctuation_init(m, 0.1, jr.key(0), input_rate=0.0), "`input_rate` must be in"),
    "xi": (lambda m: snn.fluctuation_init(m, 0.1, jr.key(0), xi=0.0), "`xi` must be above 0"),
    "share": (lambda m: snn.fluctuation_init(m, 0.1, jr.key(0), feedforward=1.5), "`feedforward` in"),
    "mean": (
        lambda m: snn.fluctuation_init(m, 0.1, jr.key(0), mean=1.0),
        "`mean` must be below the threshold of '1', 1, got 1.0",
    ),
    "a mean that few inputs cannot carry": (
        lambda m: snn.fluctuation_init(m, 0.1, jr.key(0), mean=0.9, xi=3.0),
        "weights in front of '1' need a mean of 0.3, whose own fluctuations are larger than `xi=3.0` allows",
    ),
    "neurons without a leak": (
        lambda m: snn.fluctuation_init(snn.Sequential(m[0], snn.SimpleIAF()), 0.1, jr.key(0)),
        "the response of the neurons '1' to an impulse does not fade, or is not proportional.*`snn.calibrate`",
    ),
    "neurons that grow by themselves": (
        lambda m: snn.fluctuation_init(snn.Sequential(m[0], snn.AdaptiveLIF(0.9)), 0.1, jr.key(0)),
        "the response of the neurons '1' to an impulse does not fade, or is not proportional.*`snn.calibrate`",
    ),
    "neurons that are not linear": (
        lambda m: snn.fluctuation_init(snn.Sequential(m[0], Quadratic()), 0.1, jr.key(0)),
        "the response of the neurons '1' to an impulse does not fade, or is not proportional.*`snn.calibrate`",
    ),
    "neurons with weights of their own": (
        lambda m: snn.fluctuation_init(snn.Sequential(m[0], snn.SpikingLSTM(2, 3, key=jr.key(0))), 0.1, jr.key(0)),
        "the neurons '1' have weights of their own. `snn.initialise`",
    ),
    "a normalisation": (
        lambda m: snn.fluctuation_init(snn.Sequential(m[0], eqx.nn.LayerNorm(2), m[1]), 0.1, jr.key(0)),
        "in front of the neurons '2' is `LayerNorm`, '1', but it takes linear layers and convolutions",
    ),
}


@pytest.mark.parametrize("case", FLUCTUATIONS_REFUSED)
def test_fluctuations_that_cannot_be_are_refused(case):
    call, message = FLUCTUATIONS_REFUSED[case]
    with pytest.raises((ValueError, TypeError), match=f"`snn.fluctuation_init`: .*{message}"):
        call(snn.Sequential(linear(3, 2), snn.SimpleLIF(0.9)))
