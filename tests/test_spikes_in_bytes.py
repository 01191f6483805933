"""Products of spikes in bytes, as counts and as bits, are those of spikes in floats, and make none of all steps."""

import dataclasses

import equinox as eqx
import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from helpers import PLANS, allclose
from kernel_helpers import compiled

import snnax.snn as snn
from snnax import _kernels, data
from snnax._kernels import _spike_product as product


@pytest.fixture(autouse=True)
def for_small_arrays_too(monkeypatch):
    monkeypatch.setattr(product, "SMALL", 0)
    monkeypatch.setattr(product, "COLUMNS", 1)
    monkeypatch.setattr(product, "TOGETHER", 100)


def counts(seed, shape, density):
    """Counts up to 255, and which share of them is not 0."""
    rng = np.random.default_rng(seed)
    return np.where(rng.random(shape) < density, rng.integers(1, 256, shape), 0).astype(np.uint8)


def packed(frames, seed=0):
    """Bits of `(rows, groups, size)`, of which the last of a byte that stand for nothing are anything."""
    *_, n = frames.shape
    rest = np.random.default_rng(seed).integers(0, 2, (*frames.shape[:-1], -n % 8))
    return np.packbits(np.concatenate([frames > 0, rest > 0], axis=-1), axis=-1)


@compiled
@hypothesis.given(
    rows=st.sampled_from([0, 1, 129, 300]),
    groups=st.sampled_from([0, 1, 3]),
    size=st.sampled_from([1, 8, 13, 64, 70, 128]),
    m=st.sampled_from([1, 64, 150]),
    density=st.sampled_from([0.0, 0.02, 0.15, 0.25, 1.0]),
    seed=st.integers(0, 9),
)
@hypothesis.settings(max_examples=25)
def test_products_of_counts_and_bits_are_those_of_floats(rows, groups, size, m, density, seed):
    frames, n = counts(seed, (rows, groups, size), density), groups * size
    w, g = jr.normal(jr.key(seed), (n, m)), jr.normal(jr.key(seed + 1), (rows, m))
    bits = packed(frames, seed).reshape(rows, groups * -(-size // 8))
    for x, group, floats in ((frames.reshape(rows, n), 0, frames), (bits, size, frames > 0)):
        x, floats = jnp.asarray(x), np.asarray(floats, np.float64).reshape(rows, n)
        np.testing.assert_array_equal(product.unpacked(x, group, jnp.float32), floats)
        for kernel, twin, other, expected in (
            (product._product_on_cpu, product.plain_product, w, floats @ np.asarray(w, float)),
            (product._transposed_product_on_cpu, product.plain_transposed_product, g, floats.T @ np.asarray(g, float)),
        ):
            scale = 1e-5 * max(1.0, float(np.max(floats, initial=0.0)) * max(rows, n) ** 0.5)
            np.testing.assert_allclose(
                jax.jit(kernel, static_argnames="size")(x, other, size=group), expected, 1e-5, scale
            )
            np.testing.assert_allclose(twin(x, other, size=group), expected, 1e-5, scale)
        share = jax.ffi.ffi_call("snnax_byte_share", jax.ShapeDtypeStruct((), jnp.float32))(x, size=np.int64(group))
        assert share == pytest.approx(np.count_nonzero(floats) / max(floats.size, 1))


@compiled
@pytest.mark.parametrize("form", ["floats", "counts", "bits"])
def test_products_with_more_weights_than_a_cache_holds_are_the_same(form):
    frames = counts(0, (150, 1, 9001), 0.02)
    floats = np.asarray(frames > 0 if form == "bits" else frames, np.float32).reshape(150, 9001)
    x = {"floats": floats, "counts": frames.reshape(150, 9001), "bits": packed(frames).reshape(150, -1)}[form]
    w, g = jr.normal(jr.key(0), (9001, 70)), jr.normal(jr.key(1), (150, 70))
    size = 9001 if form == "bits" else 0
    for kernel, other, expected in (
        (product._product_on_cpu, w, floats @ w),
        (product._transposed_product_on_cpu, g, floats.T @ g),
    ):
        got = jax.jit(kernel, static_argnames="size")(jnp.asarray(x), other, size=size)
        np.testing.assert_allclose(got, expected, 1e-4, 1e-5 * float(jnp.max(jnp.abs(expected))))


@compiled
@pytest.mark.parametrize("size", [0, 13])
def test_only_few_entries_of_bytes_are_multiplied_one_by_one(size):
    """The kernels do not see the zeros, of which some would make a dense product infinite."""
    w = jnp.full((13, 40), jnp.inf).at[3].set(2.0)
    for ones, finite in ((1, True), (5, False)):
        frames = np.zeros((100, 13), np.uint8)
        frames[:, 3 : 3 + ones] = 1
        x = jnp.asarray(packed(frames) if size else frames)
        out = jax.jit(_kernels.spike_product, static_argnames="size")(x, w, size=size)
        assert bool(jnp.all(jnp.isfinite(out))) == finite


@compiled
@pytest.mark.parametrize("density", [0.05, 0.6])
@pytest.mark.parametrize("size", [0, 10])
def test_products_of_bytes_have_the_derivatives_of_products_in_the_weights(size, density):
    frames, w = counts(0, (3, 20, 3, 10), density) % 4, jr.normal(jr.key(1), (30, 40))
    x = jnp.asarray(packed(frames).reshape(3, 20, 6) if size else frames.reshape(3, 20, 30))
    floats = jnp.asarray((frames > 0 if size else frames).reshape(3, 20, 30), jnp.float32)

    def in_bytes(x, w):
        return _kernels.spike_product(x, w, size)

    def loss(product, w, x):
        return jnp.sum(jnp.sin(product(x, w)))

    def batched(product, w, x):
        return jnp.sum(jax.vmap(loss, (None, None, 0))(product, w, x))

    for f in (loss, batched):
        results = []
        for product_of, given in ((in_bytes, x), (jnp.matmul, floats)):
            grad = jax.grad(f, 1)
            over = jax.jvp(lambda w, x=given, grad=grad, p=product_of: grad(p, w, x), (w,), (w + 1,))
            each = jax.vmap(grad, (None, None, 0))(product_of, w, given)
            models = jax.vmap(lambda w, x=given, p=product_of: jax.grad(loss, 1)(p, w, x))(jnp.stack([w, 2 * w]))
            third = jax.grad(lambda w, x=given, g=grad, p=product_of: jnp.sum(jnp.cos(g(p, w, x))))(w)
            results.append((product_of(given, w), jax.jit(grad, static_argnums=0)(product_of, w, given), over, each))
            results[-1] += (models, third)
        for got, expected in zip(jax.tree.leaves(results[0]), jax.tree.leaves(results[1]), strict=True):
            np.testing.assert_allclose(got, expected, 1e-4, 1e-4 * float(1 + jnp.max(jnp.abs(expected))))


@compiled
def test_bytes_have_no_tangent_and_may_be_given_one_of_none():
    x, w = jnp.asarray(counts(0, (5, 7), 0.2)), jr.normal(jr.key(0), (7, 40))
    none = np.zeros(x.shape, jax.dtypes.float0)
    _, moved = jax.jvp(_kernels.spike_product, (x, w), (none, w))
    np.testing.assert_allclose(moved, _kernels.spike_product(x, w))
    _, still = jax.jvp(lambda x: _kernels.spike_product(x, w), (x,), (none,))
    assert not np.any(still)


def test_a_batch_in_bytes_that_shares_its_weights_has_one_product_for_their_gradient():
    x, w = jnp.asarray(counts(0, (3, 20, 6), 0.1)), jr.normal(jr.key(1), (30, 40))
    grad = jax.grad(lambda w: jnp.sum(jax.vmap(lambda x: product._product.bind(x, w, size=10) ** 2)(x)))
    text = str(jax.make_jaxpr(grad)(w))
    assert "f32[30,40] = spike_transposed_product[size=10]" in text and "f32[60,40] = spike_product[size=10]" in text


SHAPE, STEPS, BATCH = (2, 3, 13), 30, 3


def layers(seed=0):
    k1, k2 = jr.split(jr.key(seed))
    return (
        snn.Flatten(),
        eqx.nn.Linear(78, 40, key=k1),
        snn.LIF([0.9, 0.8], gain=0.5),
        eqx.nn.Linear(40, 33, key=k2),
        snn.SimpleLI(0.9),
    )


def nested(*first):
    flatten, linear, *rest = layers()
    return snn.Sequential(snn.Sequential(*first, flatten, linear), *rest)


def graph(*first):
    """Spikes that meet the product by two ways: alone, and merged with what comes one step later."""
    nodes = dict(zip("abcdefg", [*first, *layers()], strict=False))
    names = list(nodes)
    edges = [*zip(["input", *names[:-1]], names, strict=True)]
    flat = names[len(first)]
    nodes |= {"other": eqx.nn.Linear(78, 33, key=jr.key(5)), "end": snn.SimpleLI(0.8)}
    edges += [(flat, "other"), snn.Edge(flat, "other", delay=1), ("other", "end")]
    return snn.Graph(nodes, edges, outputs=(names[-1], "end"))


NETWORKS = {"chain": lambda *first: snn.Sequential(*first, *layers()), "nested": nested, "graph": graph}
FORMS = {
    "counts": lambda frames: ((), frames),
    "bools": lambda frames: ((), frames > 0),
    "bits": lambda frames: ((snn.Unpack(13),), data.pack_frames(frames > 0)),
    "flat bits": lambda frames: ((snn.Flatten(), snn.Unpack(78)), np.packbits((frames > 0).reshape(3, 30, -1), -1)),
}


def results(model, xs, plan):
    """Values, states and gradients."""
    states = model.init_state(xs.shape[2:])

    def loss(model, xs):
        new, outs = jax.vmap(lambda x: model(states, x, plan=plan))(xs)
        return sum(jnp.sum(jnp.sin(out)) for out in jax.tree.leaves(outs)[-2:]), (outs, new)

    (_, (outs, new)), grads = eqx.filter_jit(eqx.filter_value_and_grad(loss, has_aux=True))(model, xs)
    return jax.tree.leaves(outs), jax.tree.leaves(new), jax.tree.leaves(grads)


@compiled
@pytest.mark.parametrize("plan", [snn.LayerByLayer(), snn.Chunked(7)], ids=str)
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_computes_the_same_of_bytes_with_and_without_kernels_and_step_by_step(name, form, plan):
    first, xs = FORMS[form](counts(1, (BATCH, STEPS, *SHAPE), 0.1) % 4)
    model = NETWORKS[name](*first)
    got = results(model, jnp.asarray(xs), plan)
    for other in (dataclasses.replace(plan, kernels=False), snn.StepByStep()):
        for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(results(model, jnp.asarray(xs), other)), strict=True):
            assert a.dtype == b.dtype
            np.testing.assert_allclose(a, b, 1e-4, 1e-4 * float(1 + np.max(np.abs(b))))
    called = jax.make_jaxpr(lambda xs: results(model, xs, plan)[0])(jnp.asarray(xs))
    assert f"spike_product[size={model_size(first)}]" in str(called)


def model_size(first):
    return first[-1].size if first else 0


@compiled
@pytest.mark.parametrize("form", ["counts", "bits"])
def test_spikes_in_bytes_do_not_become_floats_of_all_steps(form, monkeypatch):
    monkeypatch.setattr(product, "TOGETHER", 2**14)
    steps, shape = 256, (2, 32, 32)
    first, shape_in_bytes = ((snn.Unpack(32),), (2, 32, 4)) if form == "bits" else ((), shape)
    model = snn.Sequential(*first, snn.Flatten(), eqx.nn.Linear(2048, 32, key=jr.key(0)), snn.SimpleLIF(0.9))
    xs = jax.ShapeDtypeStruct((steps, *shape_in_bytes), jnp.uint8)

    def beside(plan):
        def loss(weight, xs):
            changed = eqx.tree_at(lambda model: model[len(first) + 1].weight, model, weight)
            return changed(changed.init_state(xs.shape[1:]), xs, plan=plan, collect={-1: snn.Sum()})[1][-1].sum()

        step = jax.jit(jax.grad(loss)).lower(jax.ShapeDtypeStruct((32, 2048), jnp.float32), xs).compile()
        return step.memory_analysis().temp_size_in_bytes

    floats = steps * 2048 * 4
    assert beside(snn.LayerByLayer(kernels=False)) > floats > 2 * beside(snn.LayerByLayer())


@compiled
def test_bytes_are_left_to_plain_jax_in_other_dtypes_and_without_kernels():
    model, xs = snn.Sequential(*layers()), jnp.ones((5, *SHAPE), jnp.uint8)

    def program(model, plan):
        return str(jax.make_jaxpr(lambda xs: model(model.init_state(SHAPE), xs, plan=plan)[1])(xs))

    low = snn.in_precision(model, jnp.bfloat16)
    assert "size=0" in program(model, snn.LayerByLayer())
    assert "spike_" not in program(low, snn.LayerByLayer())
    for plan in (snn.LayerByLayer(kernels=False), snn.Chunked(2, kernels=False), snn.StepByStep()):
        assert "spike_" not in program(model, plan)


@pytest.mark.parametrize("plan", PLANS, ids=lambda plan: type(plan).__name__)
def test_whole_numbers_reach_every_other_layer_as_floats(plan):
    """Neurons, layers of layers, convolutions and functions, and a network that ends before anything is computed."""
    xs = jnp.asarray(counts(2, (6, 2, 5, 5), 0.3))
    for layer in (
        snn.SimpleLIF(0.9),
        snn.Residual(snn.SimpleLIF(0.9)),
        eqx.nn.Conv2d(2, 3, 3, key=jr.key(0)),
        eqx.nn.Lambda(jnp.sqrt),
        snn.Each(eqx.nn.Lambda(jnp.sqrt)),
        snn.Flatten(1),
        snn.Sequential(snn.Flatten()),
        snn.Parallel(snn.Sequential(snn.Flatten()), snn.Sequential(snn.Flatten(), snn.SimpleLI(0.5))),
    ):
        model = snn.Sequential(layer)
        state = model.init_state((2, 5, 5))
        got, expected = (model(state, given, plan=plan)[1] for given in (xs, xs.astype(jnp.float32)))
        for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(expected), strict=True):
            assert a.dtype == jnp.float32
            allclose(a, b, rtol=0, atol=0)
