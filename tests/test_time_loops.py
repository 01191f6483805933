"""The loop that Pallas makes from a layer's own step is the scan of that step, and so are its derivatives."""

import contextlib
import os
import subprocess
import sys

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from helpers import LAYERS
from jax import lax

import snnax
import snnax.snn as snn
from snnax._kernels import _time_loop
from snnax._kernels._elementwise import ELEMENTWISE, as_it_is, walk
from snnax.functional import surrogate

STEPS = 5  # two turns of the loop below, and one more

ALONE = (
    "SimpleLIF, LIF, SimpleIAF, IAF, AdaptiveLIF, ALIF, QIF, EIF, AdEx, Izhikevich, DoubleExpLIF, SRM, TwoCompartment, "
    "ShortTermPlasticity, SimpleLI, LI, SigmaDelta, ResonateAndFire, BalancedResonateAndFire"
).split(", ")
NEURONS = [name for name, case in LAYERS.items() if type(case.make()).__name__ in ALONE]
NOT_THESE = {
    "AdaptiveLIF, all trained": "its surrogate's slope is trained through an arc tangent",
    "LIF, of several levels, subtraction with its gradient": "its surrogate compares with several thresholds at once",
}


@pytest.fixture(autouse=True)
def generated(monkeypatch):
    """Loops, in which few steps are read together: what is compiled grows with their number."""
    monkeypatch.setenv("SNNAX_KERNELS", "pallas")
    monkeypatch.setattr(_time_loop, "AHEAD", 2)


@contextlib.contextmanager
def plain():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SNNAX_KERNELS", "0")
        yield


def loops(function, *args):
    """The loops in a program, those in functions that it calls included."""
    closed, found = jax.make_jaxpr(function)(*args), []

    def rule(equation, values):
        found.extend([equation] if equation.primitive is _time_loop._loop else [])
        return as_it_is(equation, values)

    jax.eval_shape(lambda *args: walk(closed.jaxpr, [*closed.consts, *args], rule), *jax.tree.leaves(args))
    return found


def run(layer, xs, keys=None):
    """All steps of each of several examples."""
    state = layer.init_state(xs.shape[2:], key=jr.key(1))
    return jax.vmap(lambda xs: layer.over_time(state, xs, keys=keys))(xs)


def loss(params, static, xs):
    state, outs = run(eqx.combine(params, static), xs)
    weights = jnp.cos(jnp.arange(outs.size, dtype=float)).reshape(outs.shape)
    ends = [jnp.sum(jnp.sin(leaf)) for leaf in jax.tree.leaves(state) if jnp.issubdtype(leaf.dtype, jnp.floating)]
    return jnp.sum(weights * outs.astype(float)) + sum(ends), (state, outs)


def values_and_gradients(layer, xs):
    params, static = eqx.partition(layer, eqx.is_inexact_array)
    return jax.jit(jax.value_and_grad(lambda p, xs: loss(p, static, xs), (0, 1), has_aux=True))(params, xs)


def same(got, expected, tolerance=1e-9):
    for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(expected), strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_allclose(
            np.asarray(a, float), np.asarray(b, float), tolerance, tolerance * (1 + float(jnp.max(jnp.abs(b))))
        )


def like_the_scan(make, in_shape, examples=2, steps=STEPS):
    """Whether the loop is taken; compares values, last states and gradients with those of the scan, in float64."""
    with jax.enable_x64(True):
        layer = make()
        xs = 2 * jr.normal(jr.key(0), (examples, steps, *in_shape))
        taken = len(loops(lambda xs: run(layer, xs), xs)) == 1
        got = values_and_gradients(layer, xs)
        with plain():
            assert not loops(lambda xs: run(layer, xs), xs)
            expected = values_and_gradients(layer, xs)
        same(got, expected)
        return taken, jax.tree.map(np.asarray, got)


@pytest.mark.parametrize("name", NEURONS)
def test_neurons_that_are_alone_have_the_values_and_gradients_of_the_scan(name):
    case = LAYERS[name]
    taken, _ = like_the_scan(case.make, case.in_shape)
    assert taken == (name not in NOT_THESE), NOT_THESE.get(name)


SURROGATES = {
    "SuperSpike": surrogate.SuperSpike(),
    "Sigmoid": surrogate.Sigmoid(),
    "Tanh": surrogate.Tanh(),
    "ArcTan": surrogate.ArcTan(),
    "Exponential": surrogate.Exponential(),
    "Gaussian": surrogate.Gaussian(),
    "MultiGaussian": surrogate.MultiGaussian(),
    "Triangular": surrogate.Triangular(),
    "Boxcar": surrogate.Boxcar(),
    "SparseFastSigmoid": surrogate.SparseFastSigmoid(),
    "StraightThrough": surrogate.StraightThrough(),
    "LeakyStep": surrogate.LeakyStep(),
    "LogTailed": surrogate.LogTailed(),
    "Ternary": surrogate.Ternary(),
    "Relaxed": surrogate.Relaxed(surrogate.Sigmoid()),
}


@pytest.mark.parametrize("name", SURROGATES)
def test_every_surrogate_passes_its_gradient_to_every_parameter(name):
    def make():
        trained = {"gain": jnp.array([1.0, 0.8]), "threshold": jnp.array([0.4, 0.6])}
        return snn.SimpleLIF(jnp.array(0.9), rest=jnp.array(0.05), spike_fn=SURROGATES[name], **trained)

    taken, (_, gradients) = like_the_scan(make, (2,))
    assert taken
    for leaf in jax.tree.leaves(gradients):
        assert np.all(leaf != 0) if leaf.ndim < 2 else np.any(leaf != 0)


@jax.custom_jvp
def soft(x):
    return jnp.where(x > 0, 1.0, 0.0).astype(x.dtype)


@soft.defjvp
def _soft_jvp(primals, tangents):
    return soft(primals[0]), tangents[0] / (1 + jnp.abs(primals[0]))


@jax.custom_vjp
def soft_backwards(x):
    return soft(x)


soft_backwards.defvjp(lambda x: (soft(x), x), lambda x, error: (error / (1 + jnp.abs(x)),))


class Own(snn.StatefulLayer):
    """A neuron of a user's: parameters in a shape of their own, a state in a dictionary, a spike that is raw JAX."""

    raw: jax.Array
    spike: object = soft

    def init_state(self, in_shape, key=None):
        zeros = jnp.zeros(in_shape)
        return {"v": zeros, "trace": (zeros, jnp.zeros(in_shape, jnp.int32))}

    def __call__(self, state, x, *, key=None):
        decay = jax.nn.sigmoid(self.raw).reshape(-1, 1, 1)
        trace, count = state["trace"]
        v = decay * state["v"] * (1 - 0.5 * trace) + x.astype(state["v"].dtype) - 0.1 * count.astype(trace.dtype)
        spike = self.spike(v - 0.7)
        out = jnp.clip(spike, 0, 0.8) * jnp.exp(-jnp.square(v))
        return {"v": v - spike, "trace": (0.8 * trace + spike, jnp.minimum(count + 1, 3))}, out.astype(x.dtype)


def test_a_layer_of_ones_own_is_taken():
    taken, (_, (of_layer, of_input)) = like_the_scan(lambda: Own(jnp.array([1.0, 2.0])), (2, 3, 1))
    assert taken and np.all(of_layer.raw != 0) and np.any(of_input != 0)


def test_a_derivative_that_knows_only_backwards_is_left_to_the_scan():
    taken, _ = like_the_scan(lambda: Own(jnp.array([1.0, 2.0]), soft_backwards), (2, 3, 1))
    assert not taken


class Step(snn.StatefulLayer):
    """A step `(v, x) -> (v, out)` as a layer."""

    step: object
    shape: tuple | None = eqx.field(static=True, default=None)

    def init_state(self, in_shape, key=None):
        return jnp.zeros(in_shape if self.shape is None else self.shape)

    def __call__(self, state, x, *, key=None):
        return self.step(state, x, key) if key is not None else self.step(state, x)


@jax.custom_jvp
def by_rows(x, factors):
    return x * factors[:, None]


by_rows.defjvps(lambda dx, out, x, factors: dx * factors[:, None], lambda df, out, x, factors: x * df[:, None])


NOT_ALONE = {
    "sum": lambda v, x: (0.9 * v + x - 0.1 * jnp.sum(v), v),
    "mean over one axis": lambda v, x: (0.9 * v + x - jnp.mean(v, 0), v),
    "product of matrices": lambda v, x: (0.9 * v + x @ v, v),
    "transpose": lambda v, x: (0.9 * v.T + x, v),
    "order": lambda v, x: (0.9 * v + x, jnp.sort(v)),
    "neighbours": lambda v, x: (0.9 * v + jnp.roll(x, 1), v),
    "flipped in a function": lambda v, x: jax.jit(lambda v, x: (0.9 * v + x, jnp.flip(v)))(v, x),
    "a parameter for each row": lambda v, x: (0.9 * v + by_rows(x, jnp.array([1.0, 2.0, 3.0])), v),
    "a loop": lambda v, x: (lax.fori_loop(0, 3, lambda i, v: 0.9 * v + x, v), v),
    "a condition": lambda v, x: (lax.cond(jnp.array(True), jnp.sin, jnp.cos, v) + x, v),
    "another shape out": lambda v, x: (0.9 * v + x, v[:1]),
    "an operation that is not compiled": lambda v, x: (0.9 * v + jnp.arctan(x), v),
}


@pytest.mark.parametrize("name", NOT_ALONE)
def test_a_step_in_which_neurons_meet_is_left_to_the_scan(name):
    assert not like_the_scan(lambda: Step(NOT_ALONE[name]), (3, 3))[0]


def test_a_state_that_is_not_one_for_each_neuron_is_left_to_the_scan():
    assert not like_the_scan(lambda: Step(lambda n, x: (n + 1, x * n), ()), (3,))[0]


@pytest.mark.parametrize(
    "name",
    ["SpikingLSTM", "Recurrent", "TraceMaxPool2d", "BatchNorm, in inference", "Residual, Recurrent convolution", "LRU"],
)
def test_layers_with_weights_norms_or_pools_inside_are_left_to_the_scan(name):
    layer, in_shape = LAYERS[name].make(), LAYERS[name].in_shape
    assert not loops(lambda xs: run(layer, xs), jnp.ones((2, STEPS, *in_shape)))


def test_random_numbers_are_left_to_the_scan_and_keys_that_nobody_uses_are_not():
    xs, keys = jnp.ones((2, STEPS, 3)), jr.split(jr.key(0), STEPS)
    drawing = Step(lambda v, x, key: (0.9 * v + x + jr.normal(key, x.shape), v))
    assert not loops(lambda xs, keys: run(drawing, xs, keys), xs, keys)
    assert not loops(lambda xs, keys: run(snn.LIF([0.9, 0.8], spike_fn=surrogate.EscapeNoise()), xs, keys), xs, keys)
    assert loops(lambda xs, keys: run(snn.LIF([0.9, 0.8]), xs, keys), xs, keys)


def test_a_step_that_does_not_keep_its_state_gets_the_message_of_the_scan():
    for step in (lambda v, x: ((v, v), x), lambda v, x: (v.astype(jnp.bfloat16), x)):
        with pytest.raises(TypeError, match="scan body function"):
            run(Step(step), jnp.ones((2, STEPS, 3)))


def test_what_depends_on_parameters_alone_is_computed_before_the_loop():
    layer = Own(jnp.array([1.0, 2.0]))
    (loop,) = loops(lambda xs: run(layer, xs), jnp.ones((2, STEPS, 2, 3, 1)))
    names = {equation.primitive.name for equation in loop.params["program"].jaxpr.eqns}
    assert "logistic" not in names and "exp" in names


@pytest.mark.parametrize("neurons", [1, 5, 128, 150, 300])
@pytest.mark.parametrize(("examples", "steps"), [(1, 1), (3, 4), (2, 7)])
def test_any_number_of_neurons_examples_and_steps(neurons, examples, steps):
    make = lambda: snn.SimpleLIF(jnp.linspace(0.5, 0.9, neurons), gain=jnp.array(0.7))  # noqa: E731
    assert like_the_scan(make, (neurons,), examples, steps)[0]


def test_every_mixture_of_derivatives_is_that_of_the_scan():
    with jax.enable_x64(True):
        params = {"a": jnp.array(0.9), "b": jnp.array([0.8, 0.7]), "t": jnp.array(0.5), "k": jnp.array(3.0)}
        xs = jr.normal(jr.key(0), (3, STEPS, 2))
        d_params = jax.tree.map(lambda a: jr.normal(jr.key(3), a.shape), params)

        def f(params, xs):
            layer = snn.LIF(
                [params["a"], params["b"]],
                gain=[1.2, snn.UnityGain()],
                threshold=params["t"],
                reset=snn.SubtractReset(stop_gradient=False),
                spike_fn=surrogate.Sigmoid(params["k"]),
            )
            return loss(*eqx.partition(layer, eqx.is_inexact_array), xs)[0]

        def all_of_them():
            g = lambda params: f(params, xs)  # noqa: E731
            along = lambda params: jax.jvp(g, (params,), (d_params,))[1]  # noqa: E731
            at = lambda a: f(params | {"a": a}, xs)  # noqa: E731
            return {
                "forward": jax.jvp(f, (params, xs), (d_params, xs)),
                "backward": jax.grad(f, (0, 1))(params, xs),
                "forward over backward": jax.jvp(jax.grad(g), (params,), (d_params,)),
                "backward over forward": jax.grad(along)(params),
                "backward over backward": jax.grad(lambda p: jnp.sum(jax.grad(g)(p)["b"] ** 2))(params),
                "of the third order": jax.grad(jax.grad(jax.grad(at)))(params["a"]),
                "for several thresholds": jax.vmap(lambda t: jax.grad(g)(params | {"t": t}))(jnp.array([0.4, 0.6])),
            }

        got = jax.jit(all_of_them)()
        with plain():
            expected = jax.jit(all_of_them)()
        for name in expected:
            same(got[name], expected[name])


def test_activations_in_bfloat16_keep_states_in_float32():
    layer = snn.LIF([jnp.array(0.9), 0.8], threshold=jnp.array(0.6), reset=snn.SubtractReset())
    xs = jr.normal(jr.key(0), (2, STEPS, 150), jnp.bfloat16)
    assert loops(lambda xs: run(layer, xs), xs)
    got = values_and_gradients(layer, xs)
    (_, (state, outs)), (_, of_input) = got
    assert outs.dtype == of_input.dtype == jnp.bfloat16 and state.v.dtype == jnp.float32
    with plain():
        same(got, values_and_gradients(layer, xs), 0.02)


@pytest.mark.parametrize("plan", [snn.LayerByLayer(), snn.Chunked(4)], ids=str)
def test_networks_train_by_the_loops_as_they_do_step_by_step(plan):
    k1, k2, k3 = jr.split(jr.key(0), 3)
    model = snn.Sequential(
        eqx.nn.Conv2d(2, 2, 3, key=k1), snn.LIF([0.9, jnp.array(0.8)]), snn.Flatten(), eqx.nn.Linear(8, 4, key=k2),
        snn.ALIF(jnp.array(0.9), threshold=0.3), snn.Recurrent(snn.SimpleLIF(0.9), eqx.nn.Linear(4, 4, key=k3)),
        snn.SimpleLI(0.9),
    )  # fmt: skip
    xs = 2 * jr.normal(jr.key(1), (3, STEPS, 2, 4, 4))

    def gradient(model, plan):
        def f(model):
            states = model.init_state((2, 4, 4))
            return jnp.sum(jax.vmap(lambda xs: model(states, xs, plan=plan)[1][-1])(xs) ** 2)

        return eqx.filter_jit(eqx.filter_value_and_grad(f))(model)

    same(gradient(model, plan), gradient(model, snn.StepByStep()), 1e-4)


def test_the_loops_are_off_unless_they_are_asked_for(monkeypatch):
    model, xs = snn.Sequential(snn.LIF([0.9, 0.8])), jnp.ones((STEPS, 3))
    states = model.init_state((3,))
    assert loops(lambda xs: model(states, xs), xs)
    assert not loops(lambda xs: model(states, xs, plan=snn.LayerByLayer(kernels=False)), xs)
    assert not loops(lambda xs: model(states, xs, plan=snn.StepByStep()), xs)
    monkeypatch.delenv("SNNAX_KERNELS")
    assert not loops(lambda xs: model(states, xs), xs)


def test_the_report_says_what_is_known_of_the_loops(capsys, monkeypatch):
    snnax.kernels()
    printed = capsys.readouterr().out
    assert "generated loops         active" in printed and "interpreted, which is slow and for tests" in printed
    assert "Off because the environment says SNNAX_KERNELS=pallas." in printed
    monkeypatch.delenv("SNNAX_KERNELS")
    snnax.kernels()
    printed = capsys.readouterr().out
    assert "generated loops         off" in printed
    assert "checked in interpret mode, not measured on a GPU. SNNAX_KERNELS=pallas turns them on." in printed


# What a GPU would compile. Mosaic makes its code when a program is lowered, which needs no GPU.


def for_cuda(function, *args):
    pytest.importorskip("jax.experimental.pallas.mosaic_gpu")
    return jax.jit(function).trace(*args).lower(lowering_platforms=("cuda",)).as_text()


def fused(text):
    return "mosaic_gpu" in text and "stablehlo.while" not in text


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
@pytest.mark.parametrize("name", ["LIF, of both signs", "AdEx, all trained, refractory", "own"])
def test_loops_forwards_and_backwards_are_kernels_for_cuda(name, dtype):
    make, in_shape, *_ = LAYERS.get(name, (lambda: Own(jnp.array([1.0, 2.0])), (2, 3, 1)))
    layer = make()
    params, static = eqx.partition(layer, eqx.is_inexact_array)
    xs = jnp.zeros((2, 3, *in_shape), dtype)
    assert fused(for_cuda(lambda xs: run(layer, xs), xs))
    assert fused(for_cuda(jax.grad(lambda p, xs: loss(p, static, xs)[0], (0, 1)), params, xs))


OPERATIONS = {
    "abs, sign": lambda x, v: jnp.abs(x) * jnp.sign(v),
    "add, sub, mul, div, neg": lambda x, v: -(x + v) * (x - v) / (3 + v),
    "and, or, xor, not": lambda x, v: jnp.where((x > 0) & ~(v > 0) | (x > 1) ^ (v > 1), x, v),
    "eq, ne, lt, le, gt, ge": lambda x, v: jnp.where(
        (x == v) | (x != 2 * v) & (x < 1) & (x <= 2) & (x > -1) & (x >= -2), x, v
    ),
    "exp, exp2, log": lambda x, v: jnp.exp(x) * jnp.exp2(v) + jnp.log(3 + v),
    "integer_pow, square, rsqrt": lambda x, v: x**3 + lax.integer_pow(3 + v, -2) + jnp.square(x) * lax.rsqrt(3 + v),
    "max, min, clamp": lambda x, v: jnp.maximum(x, v) + jnp.minimum(x, v) + lax.clamp(-1.0, x, 1.0),
    "logistic, tanh, sin, cos": lambda x, v: jax.nn.sigmoid(x) * jnp.tanh(v) + jnp.sin(x) * jnp.cos(v),
    "round, select_n, convert_element_type": lambda x, v: jnp.round(x) * v.astype(jnp.int32).astype(x.dtype),
    "stop_gradient, copy": lambda x, v: lax.stop_gradient(x) * jnp.array(v, copy=True),
}


@pytest.mark.parametrize("names", OPERATIONS)
def test_every_operation_that_is_taken_is_compiled_with_its_derivatives(names):
    def step(v, x):
        v = 0.5 * v + OPERATIONS[names](x, jnp.tanh(v))
        return v, jnp.where(v > 1, v, x)

    f = lambda xs: jnp.sum(jnp.sin(run(Step(step), xs)[1]))  # noqa: E731
    xs = jnp.ones((2, 3, 3))
    programs = loops(f, xs)
    assert programs and set(names.split(", ")) <= {e.primitive.name for e in programs[0].params["program"].jaxpr.eqns}
    assert fused(for_cuda(jax.grad(f), xs))


def test_the_operations_that_are_taken_are_all_tested():
    of_derivatives = {"add_any", "copy_p", "one_minus_square"}
    assert {name for names in OPERATIONS for name in names.split(", ")} | of_derivatives == ELEMENTWISE


def test_what_mosaic_does_not_compile_is_a_scan_for_cuda():
    with jax.enable_x64(True):
        text = for_cuda(lambda xs: run(snn.LIF([0.9, 0.8]), xs), jnp.ones((2, STEPS, 3)))
    assert "mosaic_gpu" not in text and "stablehlo.while" in text


def test_kernels_for_cuda_compute_what_the_scan_does(monkeypatch):
    """By JAX's simulation of a GPU, in which every block finds its own neurons and memory is not a number at first."""
    monkeypatch.setattr(_time_loop, "AHEAD", 8)
    simulation = pytest.importorskip("jax._src.pallas.mosaic_gpu.interpret.params")
    layer = snn.LIF([jnp.array(0.9), 0.8], threshold=jnp.array(0.5))
    xs = jr.normal(jr.key(0), (2, 11, 150))
    params, static = eqx.partition(layer, eqx.is_inexact_array)
    f = jax.value_and_grad(lambda p, xs: loss(p, static, xs), (0, 1), has_aux=True)
    closed = jax.make_jaxpr(f)(params, xs)

    def rule(equation, values):
        if equation.primitive is _time_loop._loop:
            return _time_loop._fused(_time_loop._by_mosaic, *map(jnp.asarray, values), **equation.params)
        return as_it_is(equation, values)

    with simulation.force_gpu_interpret_mode():
        got = jax.jit(lambda *args: walk(closed.jaxpr, [*closed.consts, *args], rule))(*jax.tree.leaves((params, xs)))
    with plain():
        same(got, jax.jit(f)(params, xs), 1e-5)


def test_the_benchmark_for_a_gpu_runs():
    script = os.path.join(os.path.dirname(__file__), "..", "examples", "benchmarks", "gpu_loop.py")
    environment = {name: value for name, value in os.environ.items() if name != "SNNAX_KERNELS"}
    done = subprocess.run([sys.executable, script, "--smoke"], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    assert "generated loop" in done.stdout and "interpreted" in done.stdout
