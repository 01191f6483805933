"""What the loop over time of a layer of neurons costs on a GPU: as a scan, and as the kernel that Pallas makes of it.

    python examples/benchmarks/gpu_loop.py

For whoever has a GPU: the generated loop has never been measured on one. Each line is forward, or forward and
backward, of `LIF` alone, in float32 or bfloat16, as a multiple of the scan with `unroll=1` in the same run, and of the
floor: the bytes that the kernel reads and writes, at the bandwidth that a copy of 1 GiB reaches in this run. Before it
is timed, each way has to give the spikes of the first.

XLA launches the kernels of a scan from the host, step by step. To have it record the loop as a CUDA graph instead, run
all of it again under

    XLA_FLAGS=--xla_gpu_enable_command_buffer=+WHILE

and compare the times, not the multiples. With `--smoke`, tiny, to see that it runs: on a CPU the kernel is interpreted,
and its times mean nothing.
"""

import argparse
import os
import statistics
import time

os.environ["SNNAX_KERNELS"] = "pallas"

import jax
import jax.numpy as jnp
import jax.random as jr

import snnax.snn as snn


def scanned(layer, unroll):
    def over_time(state, xs):
        return jax.lax.scan(lambda state, x: layer(state, x), state, xs, unroll=unroll)

    return over_time


def programs(layer, xs, weights):
    """Each way, forward and forward with backward."""
    state = layer.init_state(xs.shape[2:])
    ways = {f"scan, unroll={n}": scanned(layer, n) for n in (1, 4, 8)}
    ways["generated loop"] = layer.over_time
    for name, over_time in ways.items():

        def outs(layer_state, xs, over_time=over_time):
            return jax.vmap(lambda xs: over_time(layer_state, xs)[1])(xs)

        def back(layer_state, xs, outs=outs):
            value, transpose = jax.vjp(lambda xs: outs(layer_state, xs), xs)
            return value, transpose(weights)

        yield name, "forward", jax.jit(lambda xs, f=outs: f(state, xs))
        yield name, "both", jax.jit(lambda xs, f=back: f(state, xs))


def seconds(function, *args, turns):
    jax.block_until_ready(function(*args))
    times = []
    for _ in range(turns):
        start = time.perf_counter()
        jax.block_until_ready(function(*args))
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def bytes_moved(xs, direction):
    """Input and output; with the backward pass also both states, written and read, the input and errors at both."""
    forward, states = 2 * xs.nbytes, 2 * 4 * xs.size
    return forward if direction == "forward" else forward + 2 * states + 3 * xs.nbytes


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--examples", type=int, default=256)
    parser.add_argument("--steps", type=int, default=256)
    parser.add_argument("--neurons", type=int, default=512)
    parser.add_argument("--turns", type=int, default=30)
    parser.add_argument("--smoke", action="store_true", help="tiny sizes, to see that it runs")
    options = parser.parse_args()
    if options.smoke:
        options.examples, options.steps, options.neurons, options.turns = 2, 9, 130, 1
    device = jax.devices()[0]
    how = "interpreted" if device.platform == "cpu" else "compiled"
    print(f"jax {jax.__version__}, {device.device_kind}, XLA_FLAGS={os.environ.get('XLA_FLAGS', '')!r}; kernels {how}")
    block = jnp.zeros(2**16 if options.smoke else 2**28)
    copy = jax.jit(lambda block: block + 1)
    bandwidth = 2 * block.nbytes / seconds(copy, block, turns=options.turns)
    print(f"a copy moves {bandwidth / 1e9:.0f} GB/s")
    shape = options.examples, options.steps, options.neurons
    for dtype in (jnp.float32, jnp.bfloat16):
        xs = jr.bernoulli(jr.key(0), 0.1, shape).astype(dtype)
        weights = jr.normal(jr.key(1), shape, dtype)
        first, spikes = {}, None
        for name, direction, function in programs(snn.LIF([0.95, 0.9]), xs, weights):
            outs = jax.tree.leaves(function(xs))[0]
            spikes = outs if spikes is None else spikes
            if not jnp.mean(outs != spikes) < 1e-3:
                raise SystemExit(f"{name} gives other spikes than the scan.")
            took = seconds(function, xs, turns=options.turns)
            over_scan = took / first.setdefault(direction, took)
            floor = bytes_moved(xs, direction) / bandwidth
            print(
                f"{jnp.dtype(dtype).name:<9} {name:<16} {direction:<8} {1e3 * took:9.3f} ms "
                f"{over_scan:6.2f} of the scan {took / floor:7.1f} of the floor",
                flush=True,
            )


if __name__ == "__main__":
    main()
