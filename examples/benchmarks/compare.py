"""Trains a task with several libraries in turn, each in a process of its own, and compares the times of each turn."""

import json
import os
import pathlib
import platform
import shutil
import subprocess
import sys
import time

import numpy as np
from worker import TORCH

HERE = pathlib.Path(__file__).parent
REST = 0.3  # seconds before a turn, in which the threads of the library before go to sleep
KEPT = {  # what tells glibc to keep large buffers, see docs/kernels.md
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": "2147483647",
    "MALLOC_TOP_PAD_": "268435456",
    "MALLOC_ARENA_MAX": "1",
}
PEERS = ("spyx", "jaxpike", "spikingjelly", "snntorch", "norse")


def compare(
    task: str, libraries: list[str], pythons: dict[str, str], turns: int, dtype: str, keep: bool = False, log=print
) -> dict:
    """The result of every library by name; those that could not take part say why under `"absent"`.

    `keep`: whether the allocators of all libraries keep their large buffers.
    """
    # All share a GPU, if there is one.
    environment = {**os.environ, "XLA_PYTHON_CLIENT_PREALLOCATE": "false", **(KEPT if keep else {})}
    results, workers = {}, {}
    for library in libraries:
        python = pythons["torch" if library in TORCH else "jax"]
        command = [python, str(HERE / "worker.py"), "--library", library, "--task", task, "--dtype", dtype]
        worker = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
        )
        ready = next((json.loads(line) for line in worker.stdout if line.startswith('{"ready"')), None)
        if ready is None:
            said = worker.stderr.read().strip().splitlines() or ["it ended without a word"]
            reason = next((line for line in reversed(said) if "Error:" in line), said[-1])
            results[library] = {"absent": reason}
            log(f"  {library}: {reason}")
            continue
        results[library] = {**ready, "seconds": []}
        workers[library] = worker
    for _ in range(turns):
        for library, worker in workers.items():
            time.sleep(REST)
            worker.stdin.write("\n")
            worker.stdin.flush()
            turn = json.loads(worker.stdout.readline())
            results[library]["seconds"].append(turn["seconds"])
            results[library]["resident_mib"] = turn["resident_mib"]
            results[library]["device_mib"] = turn["device_mib"]
    for worker in workers.values():
        worker.stdin.close()
        worker.wait()
    return results


def ratio(seconds: list[float], other: list[float]) -> tuple[float, float, float]:
    """The median of the ratios of each turn, and its 95 % bootstrap interval."""
    ratios = np.array(seconds) / np.array(other)
    draws = np.random.default_rng(0).choice(ratios, (10_000, len(ratios)))
    low, high = np.percentile(np.median(draws, axis=1), [2.5, 97.5])
    return float(np.median(ratios)), float(low), float(high)


def fastest(results: dict, among) -> str:
    return min((name for name in among if "seconds" in results[name]), key=lambda n: np.median(results[n]["seconds"]))


def table(results: dict) -> str:
    """Rows from fast to slow, with the ratio of each library to snnax; below 1, snnax is slower."""
    rows = [f"{'library':24s} {'median ms':>10s} {'least ms':>9s} {'times snnax (95 %)':>22s} {'first step s':>13s}"]
    memory = "device" if any(entry.get("device_mib") for entry in results.values()) else "resident"
    rows[0] += f" {memory + ' MiB':>13s} {'spikes off':>11s}"
    for name in sorted((n for n in results if "seconds" in results[n]), key=lambda n: np.median(results[n]["seconds"])):
        entry = results[name]
        middle, low, high = ratio(entry["seconds"], results["snnax"]["seconds"])
        rows.append(
            f"{name:24s} {1e3 * np.median(entry['seconds']):10.1f} {1e3 * min(entry['seconds']):9.1f} "
            f"{middle:9.2f} ({low:.2f}-{high:.2f}) {entry['first_step_s']:13.1f} {entry[memory + '_mib'] or 0:13.0f} "
            f"{100 * max(entry['wrong']):9.2f} %"
        )
    rows += [f"{name:24s} took no part: {entry['absent']}" for name, entry in results.items() if "absent" in entry]
    return "\n".join(rows)


def versions(pythons: dict[str, str]) -> dict[str, str]:
    """The versions of all libraries, asked of the interpreters that run them."""
    names = (
        "snnax",
        "jax",
        "jaxlib",
        "equinox",
        "optax",
        "spyx",
        "jaxpike",
        "torch",
        "snntorch",
        "spikingjelly",
        "norse",
    )
    script = (
        "import importlib.metadata as m, json\nfound = {}\n"
        f"for name in {names!r}:\n"
        "    try: found[name] = m.version(name)\n"
        "    except m.PackageNotFoundError: pass\n"
        "print(json.dumps(found))"
    )
    found: dict[str, str] = {}
    for python in dict.fromkeys(pythons.values()):
        done = subprocess.run([python, "-c", script], capture_output=True, text=True, check=True)
        found = {**json.loads(done.stdout), **found}
    return found


def machine() -> dict[str, str]:
    cpu = platform.processor() or platform.machine()
    info = pathlib.Path("/proc/cpuinfo")
    if info.exists():
        models = [
            line.partition(":")[2].strip() for line in info.read_text().splitlines() if line.startswith("model name")
        ]
        cpu = f"{len(models)} x {models[0]}" if models else cpu
    found = {"cpu": cpu, "python": sys.version.split()[0], "system": platform.system()}
    if shutil.which("nvidia-smi"):
        query = ["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"]
        found["gpu"] = subprocess.run(query, capture_output=True, text=True, check=True).stdout.strip()
    return found
