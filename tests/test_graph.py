"""Graphs equal a plain loop over time steps, under every plan."""

import equinox as eqx
import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

import snnax.snn as snn

PLANS = [snn.StepByStep(), snn.LayerByLayer(), snn.Chunked(3)]
SIZE = 3
STEPS = 7


def by_hand(nodes, edges, xs):
    """Every node's outputs, by a plain loop that knows nothing of plans: `edges` are (source, target, delay)."""
    states = {name: node.init_state((SIZE,)) for name, node in nodes.items() if isinstance(node, snn.StatefulLayer)}
    longest = max(delay for _, _, delay in edges)
    before = jnp.zeros((longest + len(xs), SIZE), xs.dtype)
    order = []
    while len(order) < len(nodes):
        known = {"input", *order}
        order += [
            name
            for name in nodes
            if name not in known
            and all(source in known for source, target, delay in edges if target == name and delay == 0)
        ]

    def step(carry, t):
        states, history = carry
        for name in order:
            x = sum(history[source][longest + t - delay] for source, target, delay in edges if target == name)
            if name in states:
                new, out = nodes[name](states[name], x)
                states = {**states, name: new}
            else:
                out = nodes[name](x)
            history = {**history, name: history[name].at[longest + t].set(out)}
        return (states, history), None

    history = {"input": before.at[longest:].set(xs), **{name: before for name in nodes}}
    (_, history), _ = jax.lax.scan(step, (states, history), jnp.arange(len(xs)))
    return {name: history[name][longest:] for name in nodes}


@st.composite
def graphs(draw):
    """The kinds of up to 8 nodes, and edges: forward ones with and without delay, and feedback with one."""
    n = draw(st.integers(2, 8))
    kinds = draw(st.lists(st.sampled_from(["linear", "lif", "simple", "integrator"]), min_size=n, max_size=n))
    edges = {}
    for target in range(n):
        source = draw(st.integers(-1, target - 1))
        edges[source, target] = draw(st.sampled_from([0, 0, 0, 1, 2]))
    pairs = st.tuples(st.integers(-1, n - 1), st.integers(0, n - 1))
    for source, target in draw(st.lists(pairs, max_size=6)):
        edges.setdefault((source, target), draw(st.integers(0 if source < target else 1, 3)))
    return kinds, edges, draw(st.integers(0, 10**6))


def make_node(kind, key):
    if kind == "linear":
        return eqx.nn.Linear(SIZE, SIZE, key=key)
    decay = jr.uniform(key, (SIZE,), minval=0.3, maxval=0.95)
    if kind == "lif":
        return snn.LIF([decay, 0.6], threshold=0.7)
    if kind == "simple":
        return snn.SimpleLIF(decay, threshold=0.5, reset=snn.SubtractReset(stop_gradient=False))
    return snn.SimpleLI(decay)


# Two cycles that share nodes, one of a node alone, skips, fan-in of three and delays everywhere.
LARGEST = {
    **{(i - 1, i): 0 for i in range(12)},
    **{(-1, 3): 0, (0, 5): 1, (2, 5): 0, (1, 9): 2, (8, 11): 1},
    **{(6, 2): 1, (4, 1): 2, (7, 7): 1, (10, 8): 3},
}


@hypothesis.given(graphs())
@hypothesis.example((["linear", "lif", "simple", "linear", "lif", "integrator"] * 2, LARGEST, 0))
@hypothesis.settings(max_examples=8)
def test_every_plan_equals_a_plain_loop_on_random_graphs(graph):
    kinds, pairs, seed = graph
    with jax.enable_x64(True):
        key = jr.key(seed)
        names = {-1: "input", **{i: f"n{i}" for i in range(len(kinds))}}
        nodes = {names[i]: make_node(kind, jr.fold_in(key, i)) for i, kind in enumerate(kinds)}
        edges = [(names[a], names[b], delay) for (a, b), delay in pairs.items()]
        net = snn.Graph(nodes, [snn.Edge(*edge) for edge in edges], outputs=(names[len(kinds) - 1],))
        xs = jr.normal(key, (STEPS, SIZE))
        weights = {name: jr.normal(jr.fold_in(key, 100 + i), (STEPS, SIZE)) for i, name in enumerate(nodes)}

        def total(outs):
            return sum(jnp.sum(outs[name] * weights[name]) for name in nodes), outs

        @eqx.filter_jit
        def everything(nodes, xs):
            def reference(nodes_and_xs):
                return total(by_hand(nodes_and_xs[0], edges, nodes_and_xs[1]))

            def planned(nodes_and_xs, plan):
                model = eqx.tree_at(lambda net: net.nodes, net, nodes_and_xs[0])
                return total(model(model.init_state((SIZE,)), nodes_and_xs[1], plan=plan)[1])

            wanted = eqx.filter_grad(reference, has_aux=True)((nodes, xs))
            return wanted, [eqx.filter_grad(planned, has_aux=True)((nodes, xs), plan) for plan in PLANS]

        (gradient, outs), results = everything(nodes, xs)
        for plan, (planned_gradient, planned_outs) in zip(PLANS, results, strict=True):
            for name in nodes:
                np.testing.assert_allclose(
                    planned_outs[name], outs[name], rtol=1e-9, atol=1e-9, err_msg=f"{plan} {name}"
                )
            for a, b in zip(jax.tree.leaves(planned_gradient), jax.tree.leaves(gradient), strict=True):
                np.testing.assert_allclose(a, b, rtol=1e-8, atol=1e-8, err_msg=f"{plan}")


@pytest.mark.parametrize("seed", range(6))
def test_spike_trains_are_the_same_in_float32_on_random_graphs(seed):
    """Exactly, and that of a plain loop: no potential of these graphs lies within rounding of its threshold."""
    rng = np.random.default_rng(seed)
    n = 3 + seed
    kinds = rng.choice(["linear", "lif", "simple"], n)
    edges = [(int(rng.integers(-1, target)), target, int(rng.integers(0, 2))) for target in range(n)]
    edges += [(source, int(rng.integers(0, source + 1)), int(rng.integers(1, 4))) for source in range(1, n, 2)]
    names = {-1: "input", **{i: f"n{i}" for i in range(n)}}
    nodes = {names[i]: make_node(kind, jr.fold_in(jr.key(seed), i)) for i, kind in enumerate(kinds)}
    edges = [(names[source], names[target], delay) for source, target, delay in edges]
    net = snn.Graph(nodes, [snn.Edge(*edge) for edge in edges], outputs=(names[n - 1],))
    xs = 2 * jr.normal(jr.key(seed), (15, SIZE))
    expected = jax.jit(lambda xs: by_hand(nodes, edges, xs))(xs)
    spiking = [name for name, node in nodes.items() if isinstance(node, snn.SpikingLayer)]
    assert sum(int(expected[name].sum()) for name in spiking) > 5
    for plan in PLANS:
        _, outs = eqx.filter_jit(net)(net.init_state((SIZE,)), xs, plan=plan)
        for name in spiking:
            np.testing.assert_array_equal(outs[name], expected[name], err_msg=f"{plan} {name}")


def close(a, b):
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-5, atol=1e-5)


@pytest.fixture
def feedback(getkey):
    return snn.Graph(
        {
            "first": snn.LIF([0.9, 0.7]),
            "drop": eqx.nn.Dropout(0.3),
            "mix": eqx.nn.Linear(3, 3, key=getkey()),
            "second": snn.SimpleLIF(0.8),
            "read": snn.SimpleLI(0.9),
        },
        [
            ("input", "first"),
            ("first", "drop"),
            ("drop", "mix"),
            ("mix", "second"),
            snn.Edge("second", "first", delay=2),
            snn.Edge("second", "read", delay=1),
            ("input", "read"),
        ],
        outputs=("read",),
    )


def test_only_the_nodes_of_a_cycle_form_a_component(feedback):
    found = zip(feedback.topology.components, feedback.topology.cyclic, strict=True)
    assert [set(nodes) for nodes, cyclic in found if cyclic] == [{"first", "drop", "mix", "second"}]


def test_random_numbers_are_the_same_under_every_plan_and_in_a_stream(feedback, getkey):
    key, xs = getkey(), 1 + jr.normal(getkey(), (9, 3))
    states = feedback.init_state((3,))
    results = [feedback(states, xs, key, plan=plan) for plan in PLANS]
    for result in results[1:]:
        close(result, results[0])
    middle, head = feedback(states, xs[:4], key)
    last, tail = feedback(middle, xs[4:], key)
    close((last, jax.tree.map(lambda a, b: jnp.concatenate([a, b]), head, tail)), results[0])
    assert not np.array_equal(results[0][1]["drop"] == 0, feedback(states, xs, getkey())[1]["drop"] == 0)


def test_the_order_of_nodes_and_edges_does_not_matter(feedback, getkey):
    key, xs = getkey(), jr.normal(getkey(), (5, 3))
    names = list(feedback.nodes)[::-1]
    turned = snn.Graph({n: feedback.nodes[n] for n in names}, feedback.topology.edges[::-1], outputs=("read",))
    close(turned(turned.init_state((3,)), xs, key)[1], feedback(feedback.init_state((3,)), xs, key)[1])


def test_a_chain_graph_equals_sequential(getkey):
    layers = [
        eqx.nn.Linear(3, 4, key=getkey()),
        snn.LIF([0.9, 0.8]),
        eqx.nn.Linear(4, 2, key=getkey()),
        snn.SimpleLI(0.9),
    ]
    names = ["a", "b", "c", "d"]
    edges = list(zip(["input", *names], names, strict=False))
    chain = snn.Graph(dict(zip(names, layers, strict=True)), edges, outputs=("d",))
    model = snn.Sequential(*layers)
    xs = jr.normal(getkey(), (6, 3))
    for plan in PLANS:
        _, outs = chain(chain.init_state((3,)), xs, plan=plan)
        _, same = model(model.init_state((3,)), xs, plan=plan)
        close([outs[name] for name in names], list(same))


def test_several_inputs_and_outputs_go_by_name(getkey):
    left, right = eqx.nn.Linear(3, 2, key=getkey()), eqx.nn.Embedding(5, 2, key=getkey())
    net = snn.Graph(
        {"left": left, "right": right, "both": snn.SimpleLI(0.5)},
        [("x", "left"), ("words", "right"), ("left", "both"), ("right", "both")],
        inputs=("x", "words"),
        outputs=("both", "left"),
        merge={"both": snn.Concatenate()},
    )
    xs = {"x": jr.normal(getkey(), (4, 3)), "words": jnp.array([0, 4, 2, 2])}
    states = net.init_state({"x": (3,), "words": ()})
    _, outs = net(states, xs)
    close((outs["left"], outs["right"]), (jax.vmap(left)(xs["x"]), jax.vmap(right)(xs["words"])))
    both = jnp.concatenate([outs["left"], outs["right"]], axis=1)
    close(outs["both"][1], 0.5 * both[0] + both[1])
    _, one = net.step(states, {name: x[0] for name, x in xs.items()})
    close(one["both"], outs["both"][0])


def test_signals_without_delay_pass_within_a_step_and_delayed_ones_wait():
    net = snn.Graph(
        {"a": eqx.nn.Identity(), "b": eqx.nn.Identity()},
        [("input", "a"), snn.Edge("a", "b", delay=3)],
        outputs=("b",),
    )
    impulse = jnp.zeros((6, 1)).at[1].set(1.0)
    for plan in PLANS:
        _, outs = net(net.init_state((1,)), impulse, plan=plan)
        assert np.argmax(outs["a"]) == 1 and np.argmax(outs["b"]) == 4


@pytest.mark.parametrize("plan", PLANS)
def test_bug_03_fan_in_skips_several_inputs_recurrence_and_feedback_are_what_is_drawn(plan, getkey):
    """SNNAX: nodes took the wrong sources, lists of inputs raised, and feedback never arrived."""
    mix, back = eqx.nn.Conv2d(4, 2, 1, key=getkey()), eqx.nn.Conv2d(2, 2, 3, padding=1, key=getkey())
    net = snn.Graph(
        {"a": snn.SimpleLIF(0.9), "b": snn.SimpleLIF(0.8), "both": mix, "c": snn.SimpleLIF(0.7), "back": back},
        [
            *[("left", "a"), ("right", "b"), snn.Edge("b", "b", delay=1)],
            *[("a", "both"), ("b", "both"), ("both", "c"), ("a", "c")],
            *[("c", "back"), snn.Edge("back", "a", delay=1)],
        ],
        inputs=("left", "right"),
        outputs=("c",),
        merge={"both": snn.Concatenate(axis=0)},
    )
    shape = (2, 3, 3)
    xs = {name: 2 * jr.normal(getkey(), (6, *shape)) for name in ("left", "right")}
    _, outs = net(net.init_state({"left": shape, "right": shape}), xs, plan=plan)
    va = vb = vc = b = echo = jnp.zeros(shape)
    expected = []
    for left, right in zip(xs["left"], xs["right"], strict=True):
        va, vb = 0.9 * va + left + echo, 0.8 * vb + right + b
        a, b = (va >= 1).astype(float), (vb >= 1).astype(float)
        vc = 0.7 * vc + mix(jnp.concatenate([a, b])) + a
        c = (vc >= 1).astype(float)
        va, vb, vc, echo = va * (1 - a), vb * (1 - b), vc * (1 - c), back(c)
        expected.append(c)
    assert 0 < jnp.mean(jnp.stack(expected)) < 1
    np.testing.assert_array_equal(outs["c"], jnp.stack(expected))


@pytest.mark.parametrize("plan", PLANS)
def test_two_layers_with_feedback_equal_their_unrolled_computation(plan, getkey):
    fc1, fc2, back = (eqx.nn.Linear(a, b, key=getkey()) for a, b in ((3, 4), (4, 5), (5, 4)))
    net = snn.Graph(
        {"fc1": fc1, "lif1": snn.SimpleLIF(0.9), "fc2": fc2, "lif2": snn.SimpleLIF(0.9), "back": back},
        [
            *[("input", "fc1"), ("fc1", "lif1"), ("lif1", "fc2"), ("fc2", "lif2")],
            *[snn.Edge("lif2", "back", delay=1), ("back", "lif1")],
        ],
        outputs=("lif2",),
    )
    xs = 4 * jr.normal(getkey(), (20, 3))
    _, outs = net(net.init_state((3,)), xs, plan=plan)
    v1, v2, second, expected = jnp.zeros(4), jnp.zeros(5), jnp.zeros(5), []
    for x in xs:
        v1 = 0.9 * v1 + fc1(x) + back(second)
        first = (v1 >= 1).astype(float)
        v2 = 0.9 * v2 + fc2(first)
        second = (v2 >= 1).astype(float)
        v1, v2 = v1 * (1 - first), v2 * (1 - second)
        expected.append(second)
    assert jnp.sum(jnp.stack(expected)) > 3
    np.testing.assert_array_equal(outs["lif2"], jnp.stack(expected))


def test_a_cycle_of_feature_maps_equals_a_recurrent_convolution(getkey):
    conv = eqx.nn.Conv2d(2, 4, 3, padding=1, key=getkey())
    back = eqx.nn.Conv2d(4, 4, 3, padding=1, key=getkey())
    net = snn.Graph(
        {"conv": conv, "lif": snn.LIF([0.9, 0.8]), "back": back},
        [("input", "conv"), ("conv", "lif"), snn.Edge("lif", "back", delay=1), ("back", "lif")],
        outputs=("lif",),
    )
    states = net.init_state((2, 5, 5))
    assert states.layers["lif"].v.shape == (4, 5, 5)
    recurrent = snn.Sequential(conv, snn.Recurrent(snn.LIF([0.9, 0.8]), back))
    xs = 3 * jr.normal(getkey(), (5, 2, 5, 5))
    _, outs = net(states, xs)
    _, same = recurrent(recurrent.init_state((2, 5, 5)), xs)
    assert jnp.mean(outs["lif"]) > 0
    close(outs["lif"], same[1])


def test_a_u_shaped_network_with_skips_equals_its_layers_by_hand(getkey):
    down, deep, up = (eqx.nn.Linear(a, b, key=getkey()) for a, b in ((4, 2), (2, 2), (2, 4)))
    net = snn.Graph(
        {"down": down, "deep": deep, "mid": snn.SimpleLI(0.5), "up": up, "out": snn.SimpleLI(0.9)},
        [
            ("input", "down"),
            ("down", "deep"),
            ("deep", "mid"),
            ("down", "mid"),
            ("mid", "up"),
            ("up", "out"),
            ("input", "out"),
        ],
        outputs=("out",),
        merge={"out": snn.Concatenate()},
    )
    xs = jr.normal(getkey(), (5, 4))
    mid = out = 0.0
    expected = []
    for x in xs:
        low = down(x)
        mid = 0.5 * mid + deep(low) + low
        out = 0.9 * out + jnp.concatenate([up(mid), x])
        expected.append(out)
    _, outs = net(net.init_state((4,)), xs)
    close(outs["out"], jnp.stack(expected))


@pytest.mark.parametrize(
    "edges, inputs, message",
    [
        (
            [("input", "a"), ("a", "b"), ("b", "a")],
            ("input",),
            "'a' -> 'b' -> 'a' form a cycle without a delay.*delay=1",
        ),
        ([("input", "a"), ("a", "a"), ("a", "b")], ("input",), "'a' -> 'a' form a cycle"),
        ([("input", "a"), ("a", "c")], ("input",), "names 'c', but the nodes are"),
        ([("input", "a")], ("input",), r"no input reaches the nodes \['b'\]"),
        ([("input", "a"), ("a", "b"), ("a", "b")], ("input",), "given twice: .'a -> b'"),
        ([("input", "a"), ("a", "b")], ("input", "more"), r"the inputs \['more'\] are connected to nothing"),
        ([("input", "a"), ("a", "b"), ("b", "input")], ("input",), "ends at an input"),
        ([("a", "b"), ("b", "b")], ("a",), "'a' is an input and a node"),
    ],
)
def test_a_graph_that_cannot_run_is_refused_by_name(edges, inputs, message):
    with pytest.raises(ValueError, match=message):
        snn.Graph({"a": snn.SimpleLI(0.9), "b": snn.SimpleLI(0.9)}, edges, inputs=inputs, outputs=("b",))


def test_shapes_that_do_not_fit_are_refused_by_name(getkey):
    nodes = {"a": eqx.nn.Linear(3, 2, key=getkey()), "b": snn.SimpleLI(0.9)}
    net = snn.Graph(nodes, [("input", "a"), ("a", "b"), ("input", "b")], outputs=("b",))
    with pytest.raises(ValueError, match=r"node 'b' merges signals.*'a -> b': \(2,\), 'input -> b': \(3,\)"):
        net.init_state((3,))
    with pytest.raises(ValueError, match=r"node 'a', `Linear`.*it takes \(3,\)"):
        net.init_state((4,))


@pytest.mark.parametrize("delay", [-1, True])
def test_a_delay_that_is_no_number_of_steps_is_refused(delay):
    with pytest.raises(ValueError, match="`delay` must be a number of time steps, 0 or more"):
        snn.Edge("a", "b", delay)


def test_missing_inputs_and_inputs_of_different_length_are_refused():
    net = snn.Graph({"a": snn.SimpleLI(0.9)}, [("x", "a"), ("y", "a")], inputs=("x", "y"), outputs=("a",))
    with pytest.raises(TypeError, match="'x': .*'y': "):
        net.init_state((3,))
    states = net.init_state({"x": (3,), "y": (3,)})
    with pytest.raises(TypeError, match=r"several inputs: give a mapping with the names \['x', 'y'\], got \['x'\]"):
        net(states, {"x": jnp.ones((2, 3))})
    with pytest.raises(ValueError, match="same number of time steps, got {'x': 2, 'y': 3}"):
        net(states, {"x": jnp.ones((2, 3)), "y": jnp.ones((3, 3))})
