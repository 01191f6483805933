"""Compiled kernels compute what their twins in plain JAX do, whatever transforms them."""

import dataclasses
import functools
import os
import platform
import subprocess
import sys

import equinox as eqx
import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from kernel_helpers import a, close, compiled, everything

import snnax
import snnax._kernels._leaky_loop as leaky_loop
import snnax._kernels._loop as loop
import snnax._kernels._spike_convolution as spike_convolution
import snnax._kernels._spike_product as spike_product
from snnax import _kernels, snn
from snnax.functional import surrogate


@pytest.fixture(autouse=True)
def for_small_arrays_too(monkeypatch):
    monkeypatch.setattr(loop, "SMALL", 0)
    monkeypatch.setattr(spike_product, "SMALL", 0)
    monkeypatch.setattr(spike_product, "COLUMNS", 1)


def spikes(key, shape, density):
    k1, k2 = jr.split(key)
    return jnp.where(jr.uniform(k1, shape) < density, jnp.sign(jr.normal(k2, shape)), 0.0).astype(jnp.float32)


def test_the_kernels_of_this_machine_are_named(capsys):
    snnax.kernels()
    printed = capsys.readouterr().out
    assert "products of spikes" in printed and "neuron loops" in printed
    assert ("active" in printed) == (_kernels.missing() is None) != ("Off because" in printed)


def test_the_environment_turns_kernels_off():
    code = "import snnax; snnax.kernels()"
    off = subprocess.run([sys.executable, "-c", code], env={**os.environ, "SNNAX_KERNELS": "0"}, capture_output=True)
    assert b"active" not in off.stdout and b"Off because the environment says SNNAX_KERNELS=0." in off.stdout


FAULTS = """
import ctypes, resource, sys
import snnax
if len(sys.argv) > 1:
    snnax.keep_buffers()
library = ctypes.CDLL(None)
library.malloc.restype = ctypes.c_void_p
library.free.argtypes = [ctypes.c_void_p]
def touch():
    buffer = ctypes.c_void_p(library.malloc(ctypes.c_size_t(2**26)))
    library.memset(buffer, 1, ctypes.c_size_t(2**26))
    library.free(buffer)
for _ in range(2):
    touch()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(5):
    touch()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@compiled
@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the C library is not glibc")
def test_buffers_that_are_kept_are_not_filled_with_zeros_again():
    faults = []
    for arguments in ([], ["keep"]):
        done = subprocess.run([sys.executable, "-c", FAULTS, *arguments], capture_output=True, text=True, check=True)
        faults.append(int(done.stdout))
    assert faults[1] < 0.1 * faults[0]


def test_what_keeps_buffers_says_why_it_cannot():
    code = "import snnax; snnax.keep_buffers()"
    off = subprocess.run([sys.executable, "-c", code], env={**os.environ, "SNNAX_KERNELS": "0"}, capture_output=True)
    assert b"RuntimeError: `snnax.keep_buffers` is compiled as the kernels are, and there are none" in off.stderr


@compiled
@hypothesis.given(
    rows=st.sampled_from([0, 1, 129, 1100]),
    n=st.sampled_from([1, 17, 70]),
    m=st.sampled_from([1, 64, 150]),
    density=st.sampled_from([0.0, 0.02, 0.15, 0.25, 1.0]),
    seed=st.integers(0, 9),
)
@hypothesis.settings(max_examples=12, deadline=None)
def test_products_of_spikes_equal_the_dense_ones(rows, n, m, density, seed):
    k1, k2, k3 = jr.split(jr.key(seed), 3)
    x, w, g = spikes(k1, (rows, n), density), jr.normal(k2, (n, m)), jr.normal(k3, (rows, m))
    for kernel, plain, args in (
        (spike_product._product_on_cpu, spike_product.plain_product, (x, w)),
        (spike_product._transposed_product_on_cpu, spike_product.plain_transposed_product, (x, g)),
    ):
        close(jax.jit(kernel)(*args), plain(*args))
    share = jax.ffi.ffi_call("snnax_share", jax.ShapeDtypeStruct((), jnp.float32))(x)
    assert share == pytest.approx(np.count_nonzero(x) / max(x.size, 1))


@compiled
def test_only_few_entries_are_multiplied_one_by_one():
    """The kernels do not see the zeros, of which some would make a dense product infinite."""
    w = jnp.full((8, 40), jnp.inf).at[3].set(2.0)
    for density, finite in ((1, True), (4, False)):
        x = jnp.zeros((100, 8)).at[:, 3 : 3 + density].set(1.0)
        out = jax.jit(_kernels.spike_product)(x, w)
        assert bool(jnp.all(jnp.isfinite(out))) == finite


@compiled
@pytest.mark.parametrize("density", [0.05, 0.6])
def test_products_of_spikes_have_the_derivatives_of_products(density):
    x, w = spikes(jr.key(0), (3, 20, 30), density), jr.normal(jr.key(1), (30, 40))

    def loss(product, w, x):
        return jnp.sum(jnp.sin(product(x, w)))

    def batched(product, w, x):
        return jnp.sum(jax.vmap(loss, (None, None, 0))(product, w, x))

    for f in (loss, batched):
        results = []
        for product in (_kernels.spike_product, jnp.matmul):
            grad = jax.grad(f, (1, 2))
            over = jax.jvp(lambda w, x, grad=grad, product=product: grad(product, w, x), (w, x), (w + 1, x - 1))
            each = jax.vmap(grad, (None, None, 0))(product, w, x)
            models = jax.vmap(lambda w, product=product: product(x, w))(jnp.stack([w, 2 * w]))
            results.append((jax.jit(grad, static_argnums=0)(product, w, x), over, each, models))
        close(*results)


@compiled
def test_products_and_convolutions_of_nothing_are_empty():
    out = jax.vmap(_kernels.spike_product, (0, None))(jnp.zeros((2, 0, 3)), jnp.zeros((3, 40)))
    assert out.shape == (2, 0, 40)
    assert _kernels.spike_product(jnp.zeros((2, 5, 0)), jnp.zeros((0, 40))).shape == (2, 5, 40)
    images, w = jnp.zeros((2, 0, 1, 4, 4)), jnp.zeros((8, 1, 2, 2))
    convolution = jax.vmap(lambda x: _kernels.spike_convolution(x, w, (1, 1), ((0, 0), (0, 0))))
    assert convolution(images).shape == (2, 0, 8, 3, 3)


def test_a_batch_that_shares_its_weights_has_one_product_for_their_gradient():
    x, w = spikes(jr.key(0), (3, 20, 30), 0.1), jr.normal(jr.key(1), (30, 40))
    grad = jax.grad(lambda w: jnp.sum(jax.vmap(lambda x: spike_product._product.bind(x, w) ** 2)(x)))
    assert "f32[30,40] = spike_transposed_product" in str(jax.make_jaxpr(grad)(w))


SHAPES = {  # images, weights, stride, padding
    "square": ((3, 9, 11), (8, 3, 2), (1, 1), ((0, 0), (0, 0))),
    "strided, uneven": ((2, 8, 8), (16, 5, 3), (2, 3), ((2, 1), (0, 2))),
    "one by one": ((1, 4, 5), (9, 1, 1), (2, 1), ((0, 0), (1, 1))),
    "whole": ((2, 4, 5), (8, 4, 5), (1, 1), ((0, 0), (0, 0))),
}


@compiled
@pytest.mark.parametrize("density", [0.0, 0.15, 0.9])
@pytest.mark.parametrize("name", SHAPES)
def test_convolutions_of_spikes_and_their_derivatives_are_those_of_jax(name, density):
    image, (out, *kernel), stride, padding = SHAPES[name]
    x, w = spikes(jr.key(0), (2, 5, *image), density), jr.normal(jr.key(1), (out, image[0], *kernel))

    def reference(x, w):
        y = jax.lax.conv_general_dilated(x.reshape(-1, *image), w, stride, padding)
        return y.reshape(*x.shape[:-3], *y.shape[1:])

    def ours(x, w):
        return _kernels.spike_convolution(x, w, stride, padding)

    results = []
    for convolution in (ours, reference):

        def loss(w, x, convolution=convolution):
            return jnp.sum(jnp.sin(convolution(x, w)))

        def batched(w, x, loss=loss):
            return jnp.sum(jax.vmap(loss, (None, 0))(w, x))

        grad = jax.grad(batched, (0, 1))
        over = jax.jvp(jax.grad(loss, (0, 1)), (w, x), (w + 1, x - 1))
        each = jax.vmap(jax.grad(loss), (None, 0))(w, x)
        models = jax.vmap(lambda w, convolution=convolution: convolution(x, w))(jnp.stack([w, 2 * w]))
        results.append((jax.jit(convolution)(x, w), jax.jit(grad)(w, x), over, each, models))
    close(*results, 1e-4)


@compiled
@hypothesis.given(data=st.data())
@hypothesis.settings(max_examples=10, deadline=None)
def test_convolutions_and_what_moves_images_and_weights_equal_their_twins(data):
    size = functools.partial(data.draw, st.integers(1, 5))
    images, channels = data.draw(st.sampled_from([0, 1, 3, 70])), data.draw(st.sampled_from([1, 2, 3, 17]))
    out, kernel = data.draw(st.sampled_from([1, 5, 16, 33, 70])), (size(), size())
    options = {"stride": (size(), size()), "padding": ((size() - 1, size() - 1), (size() - 1, size() - 1))}
    image = tuple(k + 2 * size() - 2 for k in kernel)
    density, few = data.draw(st.sampled_from([0.0, 0.1, 1.0])), data.draw(st.sampled_from([0.0, 0.2, jnp.inf]))
    k1, k2, k3 = jr.split(jr.key(data.draw(st.integers(0, 9))), 3)
    x, w = spikes(k1, (images, channels, *image), density), jr.normal(k2, (out, channels, *kernel))
    y = spike_convolution.plain_convolution(x, w, **options)
    g = jr.normal(k3, y.shape)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(spike_convolution, "FEW", few)
        for name, args, more in (
            ("convolution", (x, w), {}),
            ("weight_gradient", (x, g), {"kernel": kernel}),
            ("image_gradient", (g, w), {"image": image}),
        ):
            kernel_of = functools.partial(getattr(spike_convolution, f"_{name}_on_cpu"), **options, **more)
            twin = functools.partial(getattr(spike_convolution, f"plain_{name}"), **options, **more)
            close(jax.jit(kernel_of)(*args), twin(*args), 1e-4)


THREADS = """
import hashlib, os, sys
os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: int(sys.argv[1])])
import equinox as eqx, jax, jax.numpy as jnp, jax.random as jr
import snnax._kernels._loop as loop, snnax._kernels._spike_product as spike_product
from snnax import snn
layer = lambda kind, *sizes, **more: kind(*sizes, use_bias=False, **more)  # the gradients of biases are sums of XLA's
loop.SMALL = spike_product.SMALL = 0
model = snn.Sequential(
    layer(eqx.nn.Conv2d, 3, 24, 3, padding=1, key=jr.key(0)), snn.SimpleLIF(0.9), snn.Flatten(),
    layer(eqx.nn.Linear, 24 * 81, 96, key=jr.key(1)), snn.ALIF(0.9),
    snn.Recurrent(snn.LIF([0.9, 0.8]), layer(eqx.nn.Linear, 96, 96, key=jr.key(2))),
    layer(eqx.nn.Linear, 96, 40, key=jr.key(3)),
)
states = model.init_state((3, 9, 9))
digest = hashlib.sha256()
for density in (0.02, 0.9):
    xs = (jr.uniform(jr.key(4), (9, 20, 3, 9, 9)) < density) * jr.normal(jr.key(5), (9, 20, 3, 9, 9))
    loss = lambda given: jnp.sum(jax.vmap(lambda x: given[0](states, x)[1][-1])(given[1]) ** 3)
    step = eqx.filter_jit(eqx.filter_grad(loss))
    assert all(f"snnax_{name}" in step.lower((model, xs)).as_text() for name in sys.argv[2].split())
    for leaf in jax.tree.leaves(step((model, xs))):
        digest.update(leaf.tobytes())
print(digest.hexdigest())
"""
CALLED = (
    "convolution weight_gradient image_gradient firing_loop spike_errors spiking_loop coupled_loop recurrent_loop "
    "returning_errors share product transposed_product dense_product"
)


@compiled
@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system binds no process to processors")
@pytest.mark.skipif(os.cpu_count() == 1, reason="there is one processor")
def test_sums_do_not_depend_on_the_number_of_threads():
    runs = [
        subprocess.run([sys.executable, "-c", THREADS, n, CALLED], capture_output=True, text=True) for n in ("1", "2")
    ]
    assert [run.returncode for run in runs] == [0, 0], [run.stderr[-2000:] for run in runs]
    assert runs[0].stdout == runs[1].stdout != ""


@pytest.mark.parametrize("plan", [snn.LayerByLayer(), snn.LayerByLayer(kernels=False), snn.StepByStep()], ids=str)
def test_windows_that_do_not_fit_are_refused(plan):
    model = snn.Sequential(eqx.nn.Conv2d(1, 8, 5, padding=1, key=jr.key(0)))
    with pytest.raises(ValueError, match="windows of 5 by 5 was given images of 4 by 6, padding included"):
        model(model.init_state((1, 2, 4)), jnp.zeros((3, 1, 2, 4)), plan=plan)


@compiled
def test_a_batch_of_images_that_shares_its_weights_has_one_convolution_for_each_gradient():
    image, (out, *kernel), stride, padding = SHAPES["square"]
    x, w = spikes(jr.key(0), (2, 5, *image), 0.1), jr.normal(jr.key(1), (out, image[0], *kernel))
    convolution = jax.vmap(lambda x, w: _kernels.spike_convolution(x, w, stride, padding), (0, None))
    text = str(jax.make_jaxpr(jax.grad(lambda x, w: jnp.sum(convolution(x, w) ** 2), (0, 1)))(x, w))
    assert "f32[8,3,3,2] = spike_weight_gradient" in text and "f32[10,3,9,11] = image_gradient" in text


RESETS = [snn.ResetToValue(), snn.ResetToValue(a(-0.1)), snn.SubtractReset(), snn.NoReset()]
LAYERS = {
    "SimpleLIF": lambda reset: snn.SimpleLIF(
        jnp.linspace(0.0, 1.0, 6),
        gain=a(0.8),
        rest=a(0.1),
        threshold=jnp.linspace(0.6, 1.0, 6),
        reset=reset,
        spike_fn=surrogate.SuperSpike(a(5.0)),
    ),
    "SimpleLIF, numbers": lambda reset: snn.SimpleLIF(0.9, reset=reset, spike_fn=surrogate.ArcTan(3.0)),
    "LIF": lambda reset: snn.LIF([a(0.9), a(0.8)], gain=snn.UnityGain(), threshold=0.3, reset=reset),
    "SimpleIAF": lambda reset: snn.SimpleIAF(gain=a(0.5), leak=a(0.05), reset=reset),
    "IAF": lambda reset: snn.IAF(a(0.7), gain=0.3, reset=reset, init_fn=a(0.2)),
    "SimpleLI": lambda reset: snn.SimpleLI(a(0.9), rest=a(0.3)),
    "LI": lambda reset: snn.LI([0.9, a(0.8)], gain=[a(0.5), 1.0]),
}


@compiled
@pytest.mark.parametrize("reset", RESETS, ids=str)
@pytest.mark.parametrize("name", LAYERS)
def test_the_loop_of_every_leaky_neuron_equals_its_scan(name, reset):
    layer = LAYERS[name](reset)
    x, state = jr.normal(jr.key(0), (3, 20, 6)) + 0.5, layer.init_state((6,))
    close(everything(layer, state, x, True), everything(layer, state, x, False), 2e-4)
    called = str(jax.make_jaxpr(lambda x: layer.over_time(state, x))(x[0]))
    assert ("snnax_leaky_loop" if name in ("SimpleLI", "LI") else "snnax_firing_loop") in called


@hypothesis.given(
    examples=st.integers(1, 3),
    steps=st.integers(1, 12),
    n=st.sampled_from([1, 5, 64, 1025]),
    seed=st.integers(0, 9),
)
@hypothesis.settings(max_examples=10, deadline=None)
@compiled
def test_the_compiled_filters_equal_their_twins_and_each_others_transpose(examples, steps, n, seed):
    keys = jr.split(jr.key(seed), 5)
    x, u, w = (jr.normal(key, (examples, steps, n)) for key in keys[:3])
    alpha = jr.uniform(keys[3], (1, n))
    args = x, 0.1 * jr.normal(keys[4], (examples, n)), alpha, jnp.ones((1, n)), jnp.full((1, n), 0.05)
    close(jax.jit(leaky_loop._leaky.bind)(*args), leaky_loop.plain_leaky(*args))
    outs = []
    for backwards, given in ((False, u), (True, w)):
        outs.append(jax.jit(lambda *args, b=backwards: leaky_loop.moved(*args, backwards=b))(given, alpha[:, None]))
        close(outs[-1], leaky_loop.plain_moved(given, alpha[:, None], backwards=backwards))
    assert jnp.sum(outs[0] * w) == pytest.approx(float(jnp.sum(outs[1] * u)), rel=1e-3, abs=1e-3)


def network():
    return snn.Sequential(
        eqx.nn.Linear(40, 64, key=jr.key(0)),
        snn.LIF([0.9, 0.8], gain=0.5),
        snn.Recurrent(snn.SimpleLIF(0.9, gain=0.3), eqx.nn.Linear(64, 64, key=jr.key(1))),
        eqx.nn.Linear(64, 32, key=jr.key(2)),
        snn.SimpleLI(0.9),
    )


@compiled
@pytest.mark.parametrize("plan", [snn.LayerByLayer(), snn.Chunked(7)], ids=str)
def test_a_network_computes_the_same_with_and_without_kernels_under_every_plan(plan):
    model = network()
    xs = spikes(jr.key(3), (4, 30, 40), 0.2)
    states = model.init_state((40,))

    def loss(model, plan):
        outs = jax.vmap(lambda x: model(states, x, plan=plan)[1])(xs)
        return jnp.mean(outs[-1] ** 2), outs

    grad = eqx.filter_jit(eqx.filter_value_and_grad(loss, has_aux=True))
    without = dataclasses.replace(plan, kernels=False)
    (results, grads), (expected, expected_grads) = grad(model, plan), grad(model, without)
    for got, train in zip(results[1][1:3], expected[1][1:3], strict=True):
        np.testing.assert_array_equal(got, train)
        assert np.any(train == 1)
    close((results, grads), (expected, expected_grads), 1e-4)
    close((expected, expected_grads), grad(model, snn.StepByStep()), 1e-4)


@compiled
@pytest.mark.parametrize(
    "plan", [snn.StepByStep(), snn.LayerByLayer(kernels=False), snn.Chunked(7, kernels=False)], ids=str
)
def test_plans_without_kernels_are_plain_jax_forward_and_backward(plan):
    model, xs = network(), jnp.zeros((30, 40))

    def loss(model, xs):
        return jnp.sum(model(model.init_state((40,)), xs, plan=plan)[1][-1])

    text = str(jax.make_jaxpr(eqx.filter_grad(loss))(model, xs))
    assert "snnax_" not in text and "spike_" not in text


@compiled
def test_a_spike_differs_only_where_the_potential_is_within_rounding_of_the_threshold():
    x = jr.normal(jr.key(0), (400, 64))
    plain = snn.SimpleLIF(0.95, gain=0.3)
    state = plain.init_state((64,))
    with _kernels.using(True):
        _, got = jax.jit(plain.over_time)(state, x)
    v = np.zeros(64)
    for t in range(400):  # in float64, reset by the spikes that were given
        v = 0.95 * v + 0.3 * np.asarray(x[t], np.float64)
        away = np.abs(v - 1) > 1e-5
        np.testing.assert_array_equal(np.asarray(got[t])[away], (v >= 1)[away])
        v = np.where(np.asarray(got[t]) == 1, 0.0, v)
    assert 100 < np.sum(got) < 20_000


class Late(surrogate.SuperSpike):
    def __call__(self, x):
        return super().__call__(x - 0.5)


@compiled
def test_inside_of_a_shard_map_everything_is_plain_jax():
    layer, mesh = snn.SimpleLIF(0.9), jax.make_mesh((1,), ("batch",))
    spec = jax.sharding.PartitionSpec()
    run = jax.shard_map(
        lambda x: layer.over_time(layer.init_state((3,)), x)[1], mesh=mesh, in_specs=spec, out_specs=spec
    )
    assert "firing_loop" not in str(jax.make_jaxpr(run)(jnp.ones((5, 3))))
    assert "firing_loop" in str(jax.make_jaxpr(lambda x: layer.over_time(layer.init_state((3,)), x))(jnp.ones((5, 3))))


@compiled
def test_other_dtypes_and_surrogates_keep_to_the_scan():
    x = jnp.ones((5, 3))
    odd = [
        snn.SimpleLIF(0.9, spike_fn=surrogate.MultiLevel(2)),
        snn.SimpleLIF(0.9, spike_fn=Late()),
        snn.SimpleLIF(0.9, spike_fn=surrogate.Relaxed(surrogate.Sigmoid())),
    ]
    for layer in odd:
        assert "firing_loop" not in str(jax.make_jaxpr(layer.over_time)(layer.init_state((3,)), x))
    layer = snn.SimpleLIF(0.9)
    for dtype in (jnp.bfloat16, jnp.float16):
        assert "firing_loop" not in str(jax.make_jaxpr(layer.over_time)(layer.init_state((3,)), x.astype(dtype)))
    assert "firing_loop" in str(jax.make_jaxpr(layer.over_time)(layer.init_state((3,)), x))
