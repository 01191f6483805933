"""What the plans of snnax cost: time and memory by length, the first step, what is kept, and the parts of a step."""

import statistics
import time

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from tasks import DECAY, TASKS, simulate

import snnax.snn as snn

BATCH = 32
PLANS = {"StepByStep": snn.StepByStep(), "LayerByLayer": snn.LayerByLayer(), "Chunked": snn.Chunked()}
COLLECTS = {"trains": None, "sums": snn.Sum()}


def make_model():
    """The network of the task `mlp`, whose hidden layers fire as they do there."""
    weights, _ = simulate(TASKS["mlp"], "snnax")

    def linear(name):
        n_out, n_in = weights[name].shape
        layer = eqx.nn.Linear(n_in, n_out, use_bias=False, key=jax.random.key(0))
        return eqx.tree_at(lambda m: m.weight, layer, jnp.asarray(weights[name]))

    lif = snn.SimpleLIF(DECAY)
    return snn.Sequential(linear("in"), lif, linear("hidden"), lif, linear("out"), snn.SimpleLI(DECAY))


def make_step(steps: int, plan, collect):
    """A compiled training step with a loss on the counts and a rate regulariser on every layer, and its arguments."""
    model = make_model()
    optimiser = optax.adam(1e-3)
    rng = np.random.default_rng(0)
    xs = jnp.asarray(rng.random((BATCH, steps, 700)) < 0.02)
    labels = jnp.asarray(rng.integers(0, 20, BATCH))

    def loss_fn(model, xs, labels):
        def counts(xs):
            outs = model(model.init_state((700,)), xs, plan=plan, collect=collect)[1]
            return [out if collect else out.sum(0) for out in outs]

        first, second, logits = jax.vmap(counts)(xs)[1::2]
        rates = sum(jnp.mean((count.mean(0) / steps - 0.05) ** 2) for count in (first, second))
        return optax.softmax_cross_entropy_with_integer_labels(logits / steps, labels).mean() + rates

    def step(model, opt_state, xs, labels):
        loss, gradient = eqx.filter_value_and_grad(loss_fn)(model, xs, labels)
        updates, opt_state = optimiser.update(gradient, opt_state)
        return eqx.apply_updates(model, updates), opt_state, loss

    return eqx.filter_jit(step), (model, optimiser.init(eqx.filter(model, eqx.is_inexact_array)), xs, labels)


def compile_step(steps: int, plan, collect):
    """The compiled step, its arguments, the seconds that it took, and the bytes of temporaries and outputs."""
    step, arguments = make_step(steps, plan, collect)
    started = time.perf_counter()
    compiled = step.lower(*arguments).compile()
    seconds = time.perf_counter() - started
    analysis = compiled.compiled.memory_analysis()
    return compiled, arguments, seconds, analysis.temp_size_in_bytes + analysis.output_size_in_bytes


def seconds_of(function, *arguments) -> float:
    started = time.perf_counter()
    jax.block_until_ready(eqx.filter(function(*arguments), eqx.is_array))
    return time.perf_counter() - started


def in_turn(functions: dict, turns: int) -> dict[str, list[float]]:
    """Calls `functions` (with their arguments) one after the other, `turns` times, after one call of each."""
    for function, arguments in functions.values():
        seconds_of(function, *arguments)
    times = {name: [] for name in functions}
    for _ in range(turns):
        for name, (function, arguments) in functions.items():
            times[name].append(seconds_of(function, *arguments))
    return times


def by_length(lengths, turns: int) -> list[dict]:
    """Time and memory of a training step, for every plan and what is collected."""
    rows = []
    for steps in lengths:
        compiled = {}
        for plan in PLANS:
            for collect in COLLECTS:
                function, arguments, compile_s, size = compile_step(steps, PLANS[plan], COLLECTS[collect])
                compiled[plan, collect] = function, arguments
                rows.append({"steps": steps, "plan": plan, "collect": collect, "compile_s": compile_s, "bytes": size})
        for (plan, collect), seconds in in_turn(compiled, turns).items():
            row = next(r for r in rows if (r["steps"], r["plan"], r["collect"]) == (steps, plan, collect))
            row["seconds"] = seconds
    return rows


def parts(turns: int, steps: int = 100) -> dict[str, float]:
    """Milliseconds of a training step of the `mlp` network in batches of 128, and of what it is made of."""
    model = make_model()
    weights = [model[i].weight for i in (0, 2, 4)]
    xs = (jax.random.uniform(jax.random.key(0), (steps, 128, 700)) < 0.02).astype(jnp.float32)
    current = jax.random.normal(jax.random.key(1), (steps, 128, 512))
    labels = jnp.zeros(128, int)

    def products(weights, xs, hidden):
        return sum(jnp.sum((x @ w.T) ** 2) for x, w in zip((xs, hidden, hidden), weights, strict=True))

    def neurons(current):
        lif = snn.SimpleLIF(DECAY)

        def train(current):
            return lif.over_time(lif.init_state((512,)), current)[1]

        return sum(jnp.sum(jax.vmap(train, in_axes=1, out_axes=1)(current + i) ** 2) for i in range(2))

    def loss(model, xs):
        outs = jax.vmap(lambda xs: model(model.init_state((700,)), xs)[1][-1].mean(0), in_axes=1)(xs)
        return optax.softmax_cross_entropy_with_integer_labels(outs, labels).mean()

    functions = {
        "whole step, forward": (eqx.filter_jit(loss), (model, xs)),
        "whole step, forward and backward": (eqx.filter_jit(eqx.filter_grad(loss)), (model, xs)),
        "products alone, forward": (jax.jit(products), (weights, xs, current)),
        "products alone, forward and backward": (jax.jit(jax.grad(products, (0, 2))), (weights, xs, current)),
        "neurons alone, forward": (jax.jit(neurons), (current,)),
        "neurons alone, forward and backward": (jax.jit(jax.grad(neurons)), (current,)),
    }
    return {name: 1e3 * statistics.median(seconds) for name, seconds in in_turn(functions, turns).items()}


def first_steps(lengths=(100, 1000), repeats: int = 5) -> dict[str, list[float]]:
    """The ratio of the seconds of tracing and compiling, long against short, for every plan."""
    ratios = {}
    for name, plan in PLANS.items():
        compile_step(lengths[0], plan, COLLECTS["sums"])
        times = [[compile_step(steps, plan, COLLECTS["sums"])[2] for steps in lengths] for _ in range(repeats)]
        ratios[name] = [long / short for short, long in times]
    return ratios


def kept(size: int = 64, lengths=(64, 128)) -> dict[str, float]:
    """Bytes for each neuron and step that layers keep for the backward pass, besides their outputs.

    By XLA's analysis of the compiled forward half of a training step, whose outputs are what the backward half takes;
    the longer sequence less the shorter.
    """

    def trained(value):
        return jnp.full(size, value)

    layers = {
        "SimpleLI": snn.SimpleLI(DECAY),
        "SimpleLI, trained decays": snn.SimpleLI(trained(DECAY)),
        "SimpleLIF": snn.SimpleLIF(DECAY),
        "SimpleLIF, trained decays": snn.SimpleLIF(trained(DECAY)),
        "LIF": snn.LIF([DECAY, 0.8]),
        "LIF, trained decays": snn.LIF([trained(DECAY), trained(0.8)]),
        "SimpleIAF": snn.SimpleIAF(),
        "AdaptiveLIF": snn.AdaptiveLIF(DECAY),
        "AdaptiveLIF, trained decays": snn.AdaptiveLIF(trained(DECAY), ada_decay_constant=trained(0.8)),
    }

    def bytes_kept(layer, steps):
        params, static = eqx.partition(snn.Sequential(layer), eqx.is_inexact_array)

        def run(params, xs):
            model = eqx.combine(params, static)
            return model(model.init_state((size,)), xs)[1][-1]

        forward = jax.jit(lambda params, xs: jax.vjp(run, params, xs))
        compiled = forward.lower(params, jnp.zeros((steps, size))).compile()
        return compiled.memory_analysis().output_size_in_bytes - 4 * steps * size

    short, long = lengths
    return {
        name: (bytes_kept(layer, long) - bytes_kept(layer, short)) / ((long - short) * size)
        for name, layer in layers.items()
    }
