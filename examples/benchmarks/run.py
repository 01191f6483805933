"""Runs snnax against other libraries on the same tasks, and its plans against each other.

    pip install spyx jaxpike                                         beside snnax
    python -m venv torch-env && torch-env/bin/pip install torch snntorch spikingjelly norse
    python examples/benchmarks/run.py --torch-python torch-env/bin/python

`snnax` is the default plan, `snnax:StepByStep()` another one, and `snnax:micro16` takes the batch 16 examples at a time
and adds up their gradients before the update, which is exact and keeps the memory at work small.

Every library first shows that its hidden layers fire the spikes of a reference simulation. Then all train in turn, A B
C A B C, so that a machine that drifts slows all of them alike, and the times of each turn are compared.
"""

import argparse
import json
import pathlib
import sys

import compare
import numpy as np
from tasks import CPU_TASKS, TASKS
from worker import DTYPES

VARIANTS = {
    **{name: ["snnax", "snnax:StepByStep()"] for name in TASKS},
    **{name: ["snnax", "snnax:micro16", "snnax:StepByStep()"] for name in ("mlp", "rnn", "feedback")},
    **{name: ["snnax", "snnax:Chunked()"] for name in TASKS if name.startswith("events")},
}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", default="runs/benchmarks", help="folder for results (default: %(default)s)")
    parser.add_argument("--tasks", default=",".join(CPU_TASKS), help=f"of {', '.join(TASKS)} (default: %(default)s)")
    parser.add_argument("--dtype", default="float32", choices=DTYPES, help="of products (default: %(default)s)")
    parser.add_argument("--peers", default=",".join(compare.PEERS), help="(default: %(default)s)")
    parser.add_argument("--torch-python", default=sys.executable, help="interpreter that has the torch libraries")
    parser.add_argument("--turns", type=int, default=20, help="of every library (default: %(default)s)")
    parser.add_argument("--lengths", default="100,250,500,1000,2000,4000", help="(default: %(default)s)")
    parser.add_argument("--keep-buffers", action="store_true", help="tell the allocator of every library to keep them")
    parser.add_argument("--skip-plans", action="store_true", help="leave out what concerns snnax alone")
    arguments = parser.parse_args()
    tasks = list(filter(None, arguments.tasks.split(",")))
    unknown = [name for name in tasks if name not in TASKS] + [
        name for name in filter(None, arguments.peers.split(",")) if name not in compare.PEERS
    ]
    if unknown:
        parser.error(f"{unknown}: the tasks are {', '.join(TASKS)}, the peers {', '.join(compare.PEERS)}")
    out = pathlib.Path(arguments.out)
    out.mkdir(parents=True, exist_ok=True)
    pythons = {"jax": sys.executable, "torch": arguments.torch_python}
    results = {"versions": compare.versions(pythons), "machine": compare.machine(), "dtype": arguments.dtype}
    results["keep_buffers"] = arguments.keep_buffers
    results |= {"tasks": {}, "lengths": []}
    print(*(f"{name} {version}" for name, version in results["versions"].items()), sep=", ")
    print(*results["machine"].values(), arguments.dtype, sep=", ")
    for task in tasks:
        print(f"\n{task}: {TASKS[task].about}")
        peers = list(filter(None, arguments.peers.split(",")))
        libraries = VARIANTS[task] + peers
        entries = compare.compare(task, libraries, pythons, arguments.turns, arguments.dtype, arguments.keep_buffers)
        results["tasks"][task] = entries
        print(compare.table(entries))
        print_ratios(entries)
        save(results, out)
    if not arguments.skip_plans:
        measure_plans(results, [int(steps) for steps in arguments.lengths.split(",")], arguments.turns)
        save(results, out)
    import plots

    plots.draw(results, out)
    print(f"\nwritten to {out}/")


def print_ratios(entries: dict):
    """How snnax compares with the fastest other library; below 1, snnax is faster."""
    others = [name for name in entries if not name.startswith("snnax") and "seconds" in entries[name]]
    if not others:
        return
    best = compare.fastest(entries, others)
    for name in (name for name in entries if name.startswith("snnax") and "seconds" in entries[name]):
        middle, low, high = compare.ratio(entries[name]["seconds"], entries[best]["seconds"])
        print(f"{name} / {best}: {middle:.2f} ({low:.2f}-{high:.2f})")


def measure_plans(results: dict, lengths: list[int], turns: int):
    import plans

    results["parts_ms"] = plans.parts(turns)
    print("\nparts of a training step (mlp), medians in ms")
    for name, milliseconds in results["parts_ms"].items():
        print(f"  {name:40s} {milliseconds:7.1f}")
    results["bytes_kept"] = plans.kept()
    print("\nbytes kept for the backward pass, for each neuron and step, besides the outputs")
    for name, size in results["bytes_kept"].items():
        print(f"  {name:40s} {size:4.0f}")
    results["first_step_ratios"] = plans.first_steps()
    print("\nfirst step (tracing and compiling), T = 1000 against T = 100")
    for plan, ratios in results["first_step_ratios"].items():
        print(f"  {plan:14s} {np.median(ratios):.2f}")
    print(f"\n{'steps':>6s} {'plan':14s} {'collect':8s} {'median ms':>10s} {'MiB':>9s} {'compile s':>10s}")
    for steps in lengths:
        rows = plans.by_length([steps], max(3, min(turns, 20_000 // steps)))
        results["lengths"] += rows
        for row in rows:
            print(
                f"{row['steps']:6d} {row['plan']:14s} {row['collect']:8s} {1e3 * np.median(row['seconds']):10.1f} "
                f"{row['bytes'] / 2**20:9.1f} {row['compile_s']:10.1f}"
            )
        whole = next(row for row in rows if (row["plan"], row["collect"]) == ("StepByStep", "trains"))
        lean = next(row for row in rows if (row["plan"], row["collect"]) == ("Chunked", "sums"))
        middle, low, high = compare.ratio(lean["seconds"], whole["seconds"])
        print(
            f"       Chunked with sums against StepByStep with trains: memory {lean['bytes'] / whole['bytes']:.3f}, "
            f"time {middle:.2f} ({low:.2f}-{high:.2f})"
        )


def save(results: dict, out: pathlib.Path):
    (out / "results.json").write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
