"""What the loops keep for the backward pass, and what they leave out of it."""

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import pytest
from helpers import LAYERS, allclose, linear

import snnax.snn as snn
from snnax.snn import _loop

STEPS, SIZE = 7, 5


def inner_jaxprs(equation):
    leaves = jax.tree.leaves(equation.params, is_leaf=lambda p: hasattr(p, "eqns") or hasattr(p, "jaxpr"))
    return [jaxpr for jaxpr in (getattr(leaf, "jaxpr", leaf) for leaf in leaves) if hasattr(jaxpr, "eqns")]


def loops(jaxpr):
    """All scans of a jaxpr, inner ones included."""
    found = []
    for equation in jaxpr.eqns:
        if equation.primitive.name == "scan":
            found.append(equation)
        for inner in inner_jaxprs(equation):
            found += loops(inner)
    return found


def shapes(scan):
    """Of all that comes out of a scan: carries and stacked outputs."""
    return [v.aval.shape for v in scan.outvars]


def backward_loops(model, xs, in_shape, plan=None):
    params, static = eqx.partition(model, eqx.is_inexact_array)

    def loss(params):
        model = eqx.combine(params, static)
        _, outs = jax.vmap(lambda x: model(model.init_state(in_shape), x, plan=plan))(xs)
        return jnp.sum(outs[-1] if isinstance(outs, tuple) else outs["out"])

    return loops(jax.make_jaxpr(jax.grad(loss))(params).jaxpr)


def make_graph(key, inner=None):
    k1, k2, k3 = jr.split(key, 3)
    return snn.Graph(
        {
            "fc": eqx.nn.Linear(SIZE, SIZE, key=k1),
            "lif": snn.LIF([jnp.array(0.9), 0.8], gain=2.0),
            "back": eqx.nn.Linear(SIZE, SIZE, key=k2) if inner is None else inner,
            "out": snn.SimpleLI(0.9),
        },
        [("input", "fc"), ("fc", "lif"), ("lif", "back"), snn.Edge("back", "fc", delay=1), ("fc", "out")],
        outputs=("out",),
    )


@pytest.mark.parametrize(
    "make",
    [
        lambda key: snn.Sequential(snn.Recurrent(snn.SimpleLIF(0.9), eqx.nn.Linear(SIZE, SIZE, key=key))),
        lambda key: snn.Sequential(snn.Residual(snn.Recurrent(snn.SimpleLIF(0.9), eqx.nn.Linear(SIZE, SIZE, key=key)))),
        lambda key: make_graph(key),
        lambda key: make_graph(
            key, snn.Sequential(eqx.nn.Linear(SIZE, SIZE, key=key), snn.Residual(linear(SIZE, SIZE)))
        ),
    ],
    ids=["Recurrent", "inside of a Residual", "Graph", "containers inside of a cycle"],
)
@pytest.mark.parametrize(
    "plan", [snn.LayerByLayer(kernels=False), snn.Chunked(3, kernels=False)], ids=["LayerByLayer", "Chunked"]
)
def test_no_loop_carries_the_gradient_of_a_matrix(make, plan, getkey):
    model = make(getkey())
    found = backward_loops(model, jnp.ones((2, STEPS, SIZE)), (SIZE,), plan)
    innermost = [scan for scan in found if not any(loops(jaxpr) for jaxpr in inner_jaxprs(scan))]
    assert len(innermost) >= 2
    assert all((SIZE, SIZE) not in shapes(scan) for scan in innermost), [shapes(scan) for scan in innermost]


def products(jaxpr):
    """The shapes that are multiplied, in a jaxpr and all inner ones."""
    found = []
    for equation in jaxpr.eqns:
        if equation.primitive.name == "dot_general":
            found.append({tuple(v.aval.shape) for v in equation.invars})
        for inner in inner_jaxprs(equation):
            found += products(inner)
    return found


@pytest.mark.parametrize("plan", [snn.LayerByLayer(), snn.Chunked(3)], ids=["LayerByLayer", "Chunked"])
def test_what_is_not_part_of_a_cycle_stays_out_of_its_loop(plan):
    """The products before and after a cycle take all steps at once."""
    net = snn.Graph(
        {
            "in": linear(3, 4),
            "lif": snn.SimpleLIF(0.9),
            "back": linear(4, 4),
            "fc": linear(4, 2),
            "out": snn.SimpleLI(0.9),
        },
        [("input", "in"), ("in", "lif"), ("lif", "back"), snn.Edge("back", "lif", 1), ("lif", "fc"), ("fc", "out")],
        outputs=("out",),
    )
    jaxpr = jax.make_jaxpr(lambda xs: net(net.init_state((3,)), xs, plan=plan))(jnp.ones((6, 3))).jaxpr
    innermost = [scan for scan in loops(jaxpr) if not any(loops(inner) for inner in inner_jaxprs(scan))]
    looped = [pair for scan in innermost for pair in products(scan.params["jaxpr"].jaxpr)]
    assert looped == [{(4, 4), (4,)}]
    assert {(3, 4), (4, 2)} <= set().union(*products(jaxpr))


@pytest.mark.parametrize("backend", ["cpu", "gpu"])
@pytest.mark.parametrize(
    "plan", [snn.StepByStep(), snn.LayerByLayer(kernels=False), snn.Chunked(kernels=False)], ids=str
)
def test_a_program_does_not_grow_with_the_sequence_but_unrolls_on_a_gpu(plan, backend, getkey, monkeypatch):
    net = make_graph(getkey())

    def length(steps):
        def loss(net, xs):
            return jnp.sum(net(net.init_state((SIZE,)), xs, plan=plan)[1]["out"])

        gradient = jax.jit(lambda net, xs: eqx.filter_grad(loss)(net, xs))
        return len(gradient.lower(net, jnp.ones((steps, SIZE))).as_text().splitlines())

    plainly = length(1600)
    monkeypatch.setattr(jax, "default_backend", lambda: backend)
    assert length(1600) == length(14400)
    assert length(1600) > 1.5 * plainly if backend == "gpu" else length(1600) == plainly


def bytes_kept(layer, in_shape, steps):
    """What the compiled forward half of a training step gives: the outputs, and all that the backward half takes."""
    params, static = eqx.partition(snn.Sequential(layer), eqx.is_inexact_array)

    def run(params, xs):
        model = eqx.combine(params, static)
        return model(model.init_state(in_shape), xs)[1][-1]

    forward = jax.jit(lambda params, xs: jax.vjp(run, params, xs))
    compiled = forward.lower(params, jnp.ones((steps, *in_shape))).compile()
    return compiled.memory_analysis().output_size_in_bytes


@pytest.mark.parametrize("name", ["SimpleLIF", "LIF", "SimpleIAF", "AdaptiveLIF"])
def test_the_compiled_step_keeps_four_bytes_for_a_neuron_and_step_besides_its_spikes(name):
    case = LAYERS[name]
    sizes = [bytes_kept(case.make(), case.in_shape, steps) for steps in (10, 20)]
    neurons = jnp.zeros(case.in_shape).size
    assert (sizes[1] - sizes[0]) / (10 * neurons) == 4 + 4


def test_a_spiking_layer_keeps_one_array_besides_its_spikes(getkey):
    for name in ("SimpleLIF", "LIF", "SimpleIAF"):
        case = LAYERS[name]
        model = snn.Sequential(case.make())
        xs = jr.normal(getkey(), (STEPS, *case.in_shape))

        def loss(xs, model=model, case=case):
            outs = model(model.init_state(case.in_shape), xs, plan=snn.LayerByLayer(kernels=False))[1]
            return jnp.sum(outs[-1])

        forward = loops(jax.make_jaxpr(jax.grad(loss))(xs).jaxpr)[0]
        assert shapes(forward).count((STEPS, *case.in_shape)) == 2, name


def plain(step, children, carry, xs):
    return jax.lax.scan(lambda carry, x: step(children, carry, x), carry, xs)


@pytest.fixture(params=["Recurrent", "Graph"])
def network(request, getkey):
    if request.param == "Graph":
        return make_graph(getkey())
    synapse = eqx.nn.Linear(SIZE, SIZE, key=getkey())
    return snn.Sequential(snn.Recurrent(snn.LIF([jnp.array(0.9), 0.8], gain=2.0), synapse), linear(SIZE, SIZE))


def test_derivatives_are_those_of_a_plain_scan(network, getkey, monkeypatch):
    """Reverse mode, forward mode, reverse over reverse and per example; in all weights, inputs and states."""
    params, static = eqx.partition(network, eqx.is_inexact_array)
    xs = jr.normal(getkey(), (3, STEPS, SIZE))
    direction = jax.tree.map(lambda leaf: jr.normal(getkey(), leaf.shape), params)

    def loss(params, xs):
        model = eqx.combine(params, static)
        states, outs = model(model.init_state((SIZE,)), xs)
        return jnp.sum(jax.tree.leaves(outs)[-1] ** 2) + jnp.sum(jax.tree.leaves(states)[0].astype(float))

    def batch_loss(params):
        return jax.vmap(loss, in_axes=(None, 0))(params, xs).mean()

    def slope(params):
        return sum(
            jnp.vdot(a, b)
            for a, b in zip(jax.tree.leaves(jax.grad(batch_loss)(params)), jax.tree.leaves(direction), strict=True)
        )

    def derivatives():
        return jax.jit(
            lambda params: (
                jax.value_and_grad(batch_loss)(params),
                jax.jvp(batch_loss, (params,), (direction,)),
                jax.vmap(jax.grad(loss, argnums=(0, 1)), in_axes=(None, 0))(params, xs),
                jax.grad(slope)(params),
            )
        )(params)

    found = derivatives()
    monkeypatch.setattr(_loop, "scan", plain)
    expected = derivatives()
    assert all(jnp.any(leaf != 0) for leaf in jax.tree.leaves(expected[0]))
    allclose(found, expected, rtol=2e-4, atol=1e-4)


def test_frozen_weights_get_no_gradient(network, getkey):
    """Inference and training of other layers go through the same loop."""
    xs = jr.normal(getkey(), (STEPS, SIZE))
    gradient = eqx.filter_grad(lambda xs: jnp.sum(jax.tree.leaves(network(network.init_state((SIZE,)), xs)[1])[-1]))(xs)
    assert gradient.shape == xs.shape
    assert jnp.any(gradient != 0)


class Weighted(snn.AbstractMerge):
    """A sum with a weight for each signal: a merge of a user's, which is trained."""

    weights: jax.Array

    def __call__(self, signals):
        return sum(weight * signal for weight, signal in zip(self.weights, signals, strict=False))

    def guess(self, shapes):
        return next((shape for shape in shapes if shape is not None), None)

    def fits(self, shapes):
        return len(set(shapes)) == 1


def test_trained_merges_and_shared_layers_work_inside_of_a_cycle(getkey):
    shared = linear(SIZE, SIZE)
    net = snn.Graph(
        {"in": shared, "lif": snn.SimpleLIF(0.9), "back": shared},
        [("input", "in"), ("in", "lif"), ("lif", "back"), snn.Edge("back", "lif", delay=1)],
        outputs=("lif",),
        merge=Weighted(jnp.array([1.0, 0.5])),
    )
    xs = 2 * jr.normal(getkey(), (STEPS, SIZE))

    def loss(net, plan):
        return jnp.sum(net(net.init_state((SIZE,)), xs, plan=plan)[1]["lif"])

    found = [eqx.filter_jit(eqx.filter_grad(loss))(net, plan) for plan in (snn.LayerByLayer(), snn.StepByStep())]
    allclose(*found, rtol=1e-4)
    assert jnp.all(found[0].merges["lif"].weights != 0)
