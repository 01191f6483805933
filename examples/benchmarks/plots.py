"""Draws the results of `run.py`."""

import pathlib

import numpy as np

COLOURS = {"StepByStep": "0.6", "LayerByLayer": "tab:blue", "Chunked": "tab:orange"}


def draw(results: dict, out: pathlib.Path):
    import matplotlib

    matplotlib.use("agg")
    import matplotlib.pyplot as plt

    tasks = results["tasks"]
    if tasks:
        figure, axes = plt.subplots(1, len(tasks), figsize=(3.2 * len(tasks), 3.2), layout="constrained", squeeze=False)
        for panel, (task, entries) in zip(axes[0], tasks.items(), strict=True):
            names = sorted(
                (name for name in entries if "seconds" in entries[name]),
                key=lambda name: -np.median(entries[name]["seconds"]),
            )
            times = [1e3 * np.median(entries[name]["seconds"]) for name in names]
            colours = ["tab:orange" if name.startswith("snnax") else "0.6" for name in names]
            bars = panel.barh(names, times, color=colours)
            panel.bar_label(bars, fmt="%.0f", padding=2, fontsize=8)
            panel.set_title(task)
            panel.set_xlabel("training step (ms)")
            panel.set_xlim(0, 1.18 * max(times))
            panel.spines[["top", "right"]].set_visible(False)
        figure.savefig(out / "libraries.png", dpi=110)
        plt.close(figure)
    rows = results["lengths"]
    if rows:
        figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
        for plan, colour in COLOURS.items():
            for collect, style in (("trains", "-"), ("sums", ":")):
                line = [row for row in rows if row["plan"] == plan and row["collect"] == collect]
                steps = [row["steps"] for row in line]
                label = f"{plan}, {'spike trains kept' if collect == 'trains' else 'collect=Sum()'}"
                left.loglog(
                    steps, [np.median(row["seconds"]) for row in line], style, color=colour, marker=".", label=label
                )
                right.loglog(steps, [row["bytes"] / 2**20 for row in line], style, color=colour, marker=".")
        left.set_ylabel("training step (s)")
        right.set_ylabel("temporaries and outputs (MiB)")
        for panel in (left, right):
            panel.set_xlabel("time steps")
            panel.spines[["top", "right"]].set_visible(False)
        left.legend(frameon=False, fontsize=8)
        figure.savefig(out / "plans.png", dpi=110)
        plt.close(figure)
