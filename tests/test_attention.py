"""Spiking self-attention and the transformer block equal their equations, unrolled in NumPy."""

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from helpers import linear, spikes_like

import snnax.snn as snn

TOKENS, FEATURES, HEADS, STEPS = 3, 8, 2, 12
DECAY, THRESHOLD = 0.8, 0.4


def neuron():
    return snn.SimpleLIF(DECAY, threshold=THRESHOLD)


class Fires:
    """The neuron in NumPy: leaky, reset to zero."""

    def __init__(self):
        self.v = 0.0

    def __call__(self, x):
        v = DECAY * self.v + x
        spike = v >= THRESHOLD
        self.v = v * (1 - spike)
        return spike.astype(float)


def affine(layers, x):
    """A linear layer and, where there is one, the normalisation of every token."""
    linear, norm = layers[0].layer, layers[1]
    x = x @ np.asarray(linear.weight, float).T + np.asarray(linear.bias, float)
    if isinstance(norm, eqx.nn.Identity):
        return x
    return (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5)


def no_norm(features):
    return eqx.nn.Identity()


def attention_by_hand(graph, scale, heads):
    """A function of one step of the inputs, which keeps its neurons."""
    fires = {name: Fires() for name in ("query", "key", "value", "attention", "out")}
    maps = {name: graph.nodes[name].layers for name in ("query", "key", "value", "out")}

    def step(x):
        query, key, value = (fires[name](affine(maps[name], x)) for name in ("query", "key", "value"))
        mixed = np.zeros_like(query)
        size = query.shape[1] // heads
        for head in range(heads):
            own = slice(head * size, (head + 1) * size)
            for i in range(len(query)):
                for j in range(len(key)):
                    mixed[i, own] += scale * np.dot(query[i, own], key[j, own]) * value[j, own]
        attention = fires["attention"](mixed)
        return {
            "query": query,
            "key": key,
            "value": value,
            "attention": attention,
            "out": fires["out"](affine(maps["out"], attention)),
        }

    return step


@pytest.mark.parametrize("tokens", [TOKENS, 7])
@pytest.mark.parametrize("arguments", [{}, {"norm": no_norm}])
def test_attention_equals_its_equations_whichever_product_comes_first(tokens, arguments, getkey):
    graph = snn.spiking_self_attention(FEATURES, HEADS, neuron(), scale=0.3, key=getkey(), **arguments)
    xs = spikes_like(getkey(), (STEPS, tokens, FEATURES))
    step = attention_by_hand(graph, 0.3, HEADS)
    _, outs = graph(graph.init_state((tokens, FEATURES)), xs)
    for t, x in enumerate(np.asarray(xs, float)):
        for name, expected in step(x).items():
            out = outs[name][-1] if isinstance(outs[name], tuple) else outs[name]
            np.testing.assert_array_equal(out[t], expected, err_msg=f"{name} at step {t}")
    for name in ("query", "key", "value", "attention", "out"):
        assert 0.01 < np.mean(outs[name][-1] if isinstance(outs[name], tuple) else outs[name]) < 0.98, name


def test_the_block_equals_its_equations(getkey):
    block = snn.spiking_transformer_block(FEATURES, HEADS, neuron(), hidden_features=10, scale=0.6, key=getkey())
    xs = spikes_like(getkey(), (STEPS, TOKENS, FEATURES))
    states, outs = block(block.init_state((TOKENS, FEATURES)), xs)
    attention = attention_by_hand(block.nodes["attention"], 0.6, HEADS)
    layers = block.nodes["mlp"].layers
    hidden, last = Fires(), Fires()
    for t, x in enumerate(np.asarray(xs, float)):
        attended = x + attention(x)["out"]
        out = attended + last(affine(layers[3:5], hidden(affine(layers[:2], attended))))
        np.testing.assert_array_equal(outs["attended"][t], attended)
        np.testing.assert_array_equal(outs["out"][t], out)
    assert 0.02 < np.mean(outs["mlp"][-1]) < 0.98
    assert layers[0].layer.out_features == 10


@pytest.mark.parametrize("rate", [0.05, 0.5])
def test_a_block_of_the_usual_width_fires_untrained_and_every_weight_has_a_gradient(rate, getkey):
    block = snn.spiking_transformer_block(32, 4, snn.SimpleLIF(0.9), key=getkey())
    assert block.nodes["mlp"].layers[0].layer.out_features == 128
    xs = spikes_like(getkey(), (50, 16, 32), rate)

    @eqx.filter_jit
    @eqx.filter_value_and_grad(has_aux=True)
    def loss(block):
        _, outs = block(block.init_state((16, 32)), xs)
        return jnp.mean(outs["out"] ** 2), outs

    (_, outs), gradient = loss(block)
    names = ("query", "key", "value", "out")
    spikes = [*(outs["attention"][name][-1] for name in names), outs["attention"]["attention"], *outs["mlp"][2::3]]
    for spike in spikes:
        assert 0.02 < spike.mean() < 0.4
    for leaf in jax.tree.leaves(gradient):
        assert np.any(leaf) and np.all(np.isfinite(leaf))


def test_norms_stand_behind_every_linear_map_with_as_many_features(getkey):
    seen = []

    def norm(features):
        seen.append(features)
        return snn.Each(eqx.nn.LayerNorm(features))

    block = snn.spiking_transformer_block(4, 1, neuron(), hidden_features=6, norm=norm, key=getkey())
    assert sorted(seen) == [4, 4, 4, 4, 4, 6]
    for layers in (block.nodes["mlp"].layers, block.nodes["attention"].nodes["query"].layers):
        assert [type(layer).__name__ for layer in layers[:3]] == ["Each", "Each", "SimpleLIF"]
    xs = spikes_like(getkey(), (4, 5, 4))
    assert block(block.init_state((5, 4)), xs)[1]["out"].shape == (4, 5, 4)


def test_a_graph_of_ones_own_may_attend_across(getkey):
    graph = snn.Graph(
        {"query": snn.Each(linear(3, 4)), "key": snn.Each(linear(2, 4, 1)), "value": snn.Each(linear(2, 6, 2)),
         "read": snn.SimpleLI(0.0)},
        [("a", "query"), ("b", "key"), ("b", "value"), ("query", "read"), ("key", "read"), ("value", "read")],
        inputs=("a", "b"),
        outputs=("read",),
        merge={"read": snn.Attend(2, 0.5)},
    )  # fmt: skip
    a, b = jr.normal(getkey(), (1, 5, 3)), jr.normal(getkey(), (1, 7, 2))
    _, outs = graph(graph.init_state({"a": (5, 3), "b": (7, 2)}), {"a": a, "b": b})
    query, key, value = (np.asarray(outs[name][0]) for name in ("query", "key", "value"))
    heads = [
        0.5 * query[:, 2 * h : 2 * h + 2] @ key[:, 2 * h : 2 * h + 2].T @ value[:, 3 * h : 3 * h + 3] for h in (0, 1)
    ]
    np.testing.assert_allclose(outs["read"][0], np.concatenate(heads, axis=1), rtol=1e-5, atol=1e-5)
    bad = snn.Graph(graph.nodes, graph.topology.edges, inputs=("a", "b"), outputs=("read",),
                    merge={"read": snn.Attend(3, 0.5)})  # fmt: skip
    with pytest.raises(
        ValueError, match=r"node 'read' merges signals by `Attend\(heads=3, scale=0.5\)` that do not fit"
    ):
        bad.init_state({"a": (5, 3), "b": (7, 2)})


def test_features_that_no_heads_divide_are_refused(getkey):
    with pytest.raises(ValueError, match="`features` must be a multiple of `heads`, got 8 and 3"):
        snn.spiking_self_attention(8, 3, neuron(), key=getkey())
    with pytest.raises(ValueError, match="`features` must be a multiple of `heads`, got 8 and 0"):
        snn.spiking_transformer_block(8, 0, neuron(), key=getkey())


@pytest.mark.parametrize("layer, shape", [(linear(3, 4), (5, 3)), (eqx.nn.LayerNorm(3), (5, 3)),
                                          (eqx.nn.Conv2d(16, 2, 3, key=jr.key(0)), (3, 16, 5, 5))])  # fmt: skip
def test_each_equals_a_loop_over_the_first_axis(layer, shape, getkey):
    x = jr.normal(getkey(), shape)
    expected = jnp.stack([layer(one) for one in x])
    np.testing.assert_allclose(snn.Each(layer)(x), expected, rtol=1e-5, atol=1e-5)
    model = snn.Sequential(snn.Each(layer))
    _, (outs,) = model(model.init_state(shape), x[None])
    np.testing.assert_allclose(outs[0], expected, rtol=1e-5, atol=1e-5)


def test_each_entry_draws_random_numbers_of_its_own(getkey):
    dropped = snn.Each(eqx.nn.Dropout(0.5))(jnp.ones((6, 20)), key=getkey())
    assert len(np.unique(np.asarray(dropped), axis=0)) == 6


def test_layers_with_a_state_are_refused_in_each(unchecked):
    for layer, name in ((snn.SimpleLIF(0.9), "`snn.SimpleLIF`"), (snn.Sequential(linear(3, 3)), "`snn.Sequential`")):
        with pytest.raises(TypeError, match=f"`snn.Each` takes a layer without state, got {name}. Neurons take arrays"):
            snn.Each(layer)
    with pytest.raises(TypeError, match="`snn.Each`: the layer must be .*`eqx.nn.Lambda"):
        snn.Each(jnp.tanh)
