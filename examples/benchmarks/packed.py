"""The memory of a training step on packed frames, and its time: 1000 steps of 2x128x128.

    python examples/benchmarks/packed.py
    python examples/benchmarks/packed.py --linear --density 0.01

compares frames in float32, in uint8 and in bits, by XLA's analysis of the compiled step (what it is given, and what it
needs beside that), and checks that losses and gradients are the same. The network is convolutional and runs under
`snn.Chunked()`; with `--linear` it is one of products, runs under `snn.LayerByLayer()`, and is compared with itself
without kernels.
"""

import argparse
import statistics

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from plans import in_turn

import snnax.snn as snn
from snnax import data

SIDE = 128


def of_products(first=()):
    k1, k2 = jr.split(jr.key(0))
    return snn.Sequential(
        *first,
        snn.Flatten(),
        eqx.nn.Linear(2 * SIDE * SIDE, 512, key=k1),
        snn.LIF([0.95, 0.9]),
        eqx.nn.Linear(512, 11, key=k2),
        snn.SimpleLI(0.95),
    )


def of_convolutions(first=()):
    k1, k2 = jr.split(jr.key(0))
    return snn.Sequential(
        *first,
        eqx.nn.Conv2d(2, 8, 5, 4, key=k1),
        snn.LIF([0.95, 0.9]),
        snn.Flatten(),
        eqx.nn.Linear(8 * 31 * 31, 11, key=k2),
        snn.SimpleLI(0.95),
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--steps", type=int, default=1000, help="time steps of a sequence")
    parser.add_argument("--batch", type=int, default=2, help="sequences in a batch")
    parser.add_argument("--density", type=float, default=0.02, help="share of ones (default: %(default)s)")
    parser.add_argument("--linear", action="store_true", help="a network of products under snn.LayerByLayer()")
    parser.add_argument("--turns", type=int, default=5, help="how often a step is timed; 0: not at all")
    arguments = parser.parse_args()
    rng = np.random.default_rng(0)
    bits = (rng.random((arguments.batch, arguments.steps, 2, SIDE, SIDE)) < arguments.density).astype(np.uint8)
    network, plan = (of_products, snn.LayerByLayer()) if arguments.linear else (of_convolutions, snn.Chunked())
    forms = {
        "float32": (network(), bits.astype(np.float32)),
        "uint8": (network(), bits),
        "bits": (network((snn.Unpack(SIDE),)), data.pack_frames(bits)),
    }
    kinds = {name: (*form, plan) for name, form in forms.items()}
    if arguments.linear:
        kinds |= {f"{name}, plain": (*form, snn.LayerByLayer(kernels=False)) for name, form in forms.items()}
    functions, results = {}, {}
    print(f"{arguments.batch} sequences of {arguments.steps} steps of 2x{SIDE}x{SIDE}, snn.{plan}, with gradients")
    print(f"{'frames':<15} {'given MiB':>10} {'beside MiB':>11} {'together MiB':>13}")
    for name, (model, xs, plan) in kinds.items():
        in_shape = xs.shape[2:]
        params, static = eqx.partition(model, eqx.is_inexact_array)

        def loss(params, xs, static=static, in_shape=in_shape, plan=plan):
            model = eqx.combine(params, static)
            states = model.init_state(in_shape)

            def one(xs):
                return model(states, xs, plan=plan, collect={-1: snn.Mean()})[1][-1]

            return jnp.mean(jax.vmap(one)(xs) ** 2)

        step = jax.jit(jax.value_and_grad(loss))
        analysis = step.lower(params, xs).compile().memory_analysis()
        given, beside = (n / 2**20 for n in (analysis.argument_size_in_bytes, analysis.temp_size_in_bytes))
        print(f"{name:<15} {given:>10.1f} {beside:>11.1f} {given + beside:>13.1f}", flush=True)
        xs = jax.device_put(xs)
        functions[name] = (step, (params, xs))
        if arguments.turns:
            value, gradient = step(params, xs)
            results[name] = [value, *jax.tree.leaves(gradient)]
    if arguments.turns:
        for result in results.values():
            for one, other in zip(result, results["float32"], strict=True):
                np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5 * np.max(np.abs(other)))
        times = in_turn(functions, arguments.turns)
        for name, seconds in times.items():
            ratio = statistics.median(a / b for a, b in zip(seconds, times["float32"], strict=True))
            print(f"{name:<15} {1e3 * statistics.median(seconds):8.0f} ms, {ratio:.2f} of the time of float32")


if __name__ == "__main__":
    main()
