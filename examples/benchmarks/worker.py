"""One library and one task in a process of its own: checks its spikes, then trains whenever its parent asks."""

import argparse
import importlib
import json
import resource
import sys
import time

import numpy as np
from tasks import CHECKED_EXAMPLES, CHECKED_STEPS, TASKS, inputs, simulate

TORCH = ("snntorch", "spikingjelly", "norse")
DTYPES = ("float32", "bfloat16")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--library", required=True, help="a library, or snnax:<plan>, or snnax:micro<size>")
    parser.add_argument("--task", required=True, choices=TASKS)
    parser.add_argument("--dtype", default="float32", choices=DTYPES, help="of products (default: %(default)s)")
    arguments = parser.parse_args()
    library, _, variant = arguments.library.partition(":")
    task = TASKS[arguments.task]
    weights, expected = simulate(task, library, arguments.dtype)
    xs, labels = inputs(task)
    networks = importlib.import_module("torch_networks" if library in TORCH else "jax_networks")
    network = networks.build(library, variant, task, weights, arguments.dtype)

    found = network.spikes(xs[:CHECKED_STEPS, :CHECKED_EXAMPLES])
    wrong = [check(ours, theirs, arguments.dtype) for ours, theirs in zip(found, expected, strict=True)]
    batch = network.place(xs), network.place(labels)
    started = time.perf_counter()
    loss = network.train(*batch)
    first = time.perf_counter() - started
    for _ in range(2):  # Spyx traces its step a second time
        network.train(*batch)
    report(ready=True, first_step_s=first, loss=loss, rates=[float(s.mean()) for s in found], wrong=wrong)
    for _ in sys.stdin:
        started = time.perf_counter()
        loss = network.train(*batch)
        seconds = time.perf_counter() - started
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        report(seconds=seconds, loss=loss, resident_mib=memory, device_mib=networks.device_mib())


def check(found: np.ndarray, expected: np.ndarray, dtype: str) -> float:
    """The part of the spikes that differ. One in a hundred may: rounding moves a spike, and that one moves others.

    In bfloat16, where some libraries round their potentials too, the rate may differ by a tenth, and any spike.
    """
    if found.shape != expected.shape:
        raise SystemExit(f"The spikes have the shape {found.shape}, but the reference {expected.shape}.")
    wrong = float(np.abs(found - expected).sum() / expected.sum())
    if dtype == "float32" and wrong > 0.01:
        raise SystemExit(f"{100 * wrong:.2f} % of the spikes differ from the reference simulation.")
    if abs(found.mean() / expected.mean() - 1) > 0.1:
        raise SystemExit(f"The rate is {found.mean():.4f}, that of the reference simulation {expected.mean():.4f}.")
    return wrong


def report(**entries):
    print(json.dumps(entries), flush=True)


if __name__ == "__main__":
    main()
