"""Neurons without reset and a state-space layer: all steps by an associative scan against one after the other.

    python examples/benchmarks/associative.py

prints how many times the time of the loop the scan takes, forward and with the backward pass; below 1, the scan wins.
"""

import argparse
import statistics

import equinox as eqx
import jax
import jax.numpy as jnp
from plans import in_turn

import snnax.snn as snn

FEATURES = 128
LAYERS = {
    "SimpleLIF, one decay": snn.SimpleLIF(jnp.array(0.95), reset=snn.NoReset()),
    "LIF, decays per neuron": snn.LIF([jnp.full(FEATURES, 0.95), jnp.full(FEATURES, 0.9)], reset=snn.NoReset()),
    "LRU, 128 states": snn.LRU(FEATURES, 128, key=jax.random.key(0)),
}


def functions_of(layer, xs) -> dict:
    """The layer on a batch in both forms, forward and with the gradients of layer and input."""
    functions = {}
    for name, one in (("loop", layer), ("scan", snn.Associative(layer))):

        def total(layer_and_xs):
            one, xs = layer_and_xs
            state = one.init_state(xs.shape[2:])
            return jnp.sum(jax.vmap(lambda x: one.over_time(state, x)[1])(xs) ** 2)

        functions[name, "forward"] = eqx.filter_jit(total), ((one, xs),)
        functions[name, "with backward"] = eqx.filter_jit(eqx.filter_grad(total)), ((one, xs),)
    return functions


def ratios_of(layer, batch: int, steps: int, turns: int) -> dict[str, float]:
    """How many times the time of the loop the scan takes, in the median over the turns."""
    xs = jax.random.normal(jax.random.key(1), (batch, steps, FEATURES))
    times = in_turn(functions_of(layer, xs), turns)
    return {
        what: statistics.median(a / b for a, b in zip(times["scan", what], times["loop", what], strict=True))
        for what in ("forward", "with backward")
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--lengths", default="100,500,1000,2000,4000", help="numbers of time steps")
    parser.add_argument("--batches", default="1,32", help="sizes of the batch")
    parser.add_argument("--turns", type=int, default=9, help="how often each is timed")
    arguments = parser.parse_args()
    lengths, batches = ([int(n) for n in values.split(",")] for values in (arguments.lengths, arguments.batches))
    print(f"{'scan / loop, by the number of steps':<52}" + "".join(f"{steps:>7}" for steps in lengths))
    for name, layer in LAYERS.items():
        for batch in batches:
            ratios = [ratios_of(layer, batch, steps, arguments.turns) for steps in lengths]
            for what in ratios[0]:
                row = f"{name}, batch {batch}, {what}"
                print(f"{row:<52}" + "".join(f"{ratio[what]:>7.2f}" for ratio in ratios), flush=True)


if __name__ == "__main__":
    main()
