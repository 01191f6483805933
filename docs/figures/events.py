"""Draws one synthetic gesture as events, frames, a voxel grid and time surfaces: docs/images/events.png.

python docs/figures/events.py
"""

import pathlib

import matplotlib
import numpy as np

from snnax import data, plot

matplotlib.use("agg")
import matplotlib.pyplot as plt  # noqa: E402

STEPS, DT, TAU = 8, 40_000, 60_000
ON, OFF = plot.COLOURS[:2]


def main(out: pathlib.Path):
    array = data.record(0, 7, 1, 3)
    events = data.Events.from_structured(array, (128, 128, 2), microseconds=1000)
    events = data.crop(data.crop_time(events, 0, STEPS * DT), (64, 64), (22, 28))
    frames = np.asarray(data.bin_events(events, STEPS, DT, mode=data.Clipped(2))[0]) / 2
    voxels = np.asarray(data.voxel_grid(events, STEPS))[:, 0]
    surfaces = np.asarray(data.time_surface(events, STEPS, DT, tau=TAU))

    figure = plt.figure(figsize=(12, 7), layout="constrained")
    grid = figure.add_gridspec(4, 1, height_ratios=[1.1, 1, 1, 1])
    panel = figure.add_subplot(grid[0])
    kept = events.to_structured()
    for polarity, colour, label in ((0, OFF, "OFF"), (1, ON, "ON")):
        some = kept[kept["p"] == polarity]
        panel.scatter(some["t"] / 1000, some["y"], s=1, color=colour, linewidths=0, label=label)
    for k in range(1, STEPS):
        panel.axvline(k * DT / 1000, color="0.8", linewidth=0.6, zorder=0)
    panel.set_xlim(0, STEPS * DT / 1000)
    panel.set_ylim(63, 0)
    panel.set_ylabel("y (pixels)")
    panel.set_xlabel("time (ms)")
    panel.set_title(f"{kept.size} events of a right hand that turns clockwise", fontsize=10)
    panel.legend(loc="upper right", markerscale=6, fontsize=8, framealpha=1)
    rows = (
        (f"bin_events(events, {STEPS}, {DT}, mode=Clipped(2))", frames, 1),
        (f"voxel_grid(events, {STEPS})", voxels, 2),
        (f"time_surface(events, {STEPS}, {DT}, tau={TAU})", surfaces, 1),
    )
    for row, (title, images, most) in enumerate(rows, start=1):
        panel = figure.add_subplot(grid[row])
        plot.frames(images, steps=STEPS, most=most, ax=panel)
        panel.set(xlabel="", xticks=[])
        panel.set_title(title, fontsize=9, loc="left", family="monospace")
    figure.savefig(out, dpi=100)


if __name__ == "__main__":
    main(pathlib.Path(__file__).parent.parent / "images" / "events.png")
