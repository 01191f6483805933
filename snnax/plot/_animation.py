"""A film: the frames of a recording beside the spikes of a network."""

import os
import pathlib
from typing import TYPE_CHECKING, Any

from jaxtyping import PyTree

from ._frames import coloured, off_and_on
from ._panel import VERMILION, import_matplotlib, times
from ._spikes import raster, trains_of

if TYPE_CHECKING:
    import matplotlib.figure


def animate(
    path: str | os.PathLike,
    frames: Any,
    outs: PyTree,
    *,
    fps: float | int = 10,
    most: float | int | None = None,
    dt: float | int | None = None,
    figure: "matplotlib.figure.Figure | None" = None,
) -> pathlib.Path:
    """Writes a film of a recording beside the spikes that it causes: a picture for every time step.

        plot.animate("gesture.gif", frames, outs, dt=0.04)

    **Arguments:**

    - `path`: the file: `.gif`, or `.mp4`, for which ffmpeg must be installed.
    - `frames`: as for `plot.frames`.
    - `outs`: as for `plot.rates`, of as many steps as the frames: a raster for each layer that spikes.
    - `fps`: pictures in a second.
    - `most`: the value that has the full colour. Default: the largest.
    - `dt`: the length of a time step in seconds, for the axes. Default: they count steps.
    - `figure`: of matplotlib, which is filled; its size and resolution are those of the film. Default: a new one.

    **Returns:** the path.
    """
    import_matplotlib("animate")
    from matplotlib.animation import FFMpegWriter, PillowWriter
    from matplotlib.figure import Figure

    path = pathlib.Path(path)
    writers = {".gif": PillowWriter, ".mp4": FFMpegWriter}
    if path.suffix.lower() not in writers:
        raise ValueError(f"`plot.animate`: `path` must end with .gif or .mp4, got {str(path)!r}.")
    writer = writers[path.suffix.lower()]
    if not writer.isAvailable():
        raise RuntimeError(
            "`plot.animate` writes .mp4 by the program ffmpeg, which is not here. Install it, or write a .gif."
        )
    if not fps > 0:
        raise ValueError(f"`plot.animate`: `fps` must be above 0, got {fps!r}.")
    values, trains = off_and_on("animate", frames), trains_of("animate", outs)
    steps = len(next(iter(trains.values())))
    if steps != len(values):
        raise ValueError(f"`plot.animate`: there are {len(values)} frames, but the spikes have {steps} time steps.")
    images = coloured("animate", values, most)
    at, label = times("animate", steps, dt)
    figure = Figure(figsize=(7.2, 3.4), dpi=80, layout="constrained") if figure is None else figure
    grid = figure.add_gridspec(1, 2, width_ratios=(1, 1.6))
    left, right = figure.add_subfigure(grid[0]), figure.add_subfigure(grid[1])
    picture = left.subplots()
    image = picture.imshow(images[0], interpolation="nearest")
    picture.set(xticks=[], yticks=[])
    panels = right.subplots(len(trains), 1, sharex=True, squeeze=False)[:, 0]
    covers, half = [], at[1] / 2
    for ax, (name, train) in zip(panels, trains.items(), strict=True):
        raster(train, dt=dt, ax=ax)
        ax.set_ylabel(name, fontsize=8)
        ax.set_xlabel(label if ax is panels[-1] else "", fontsize=8)
        ax.tick_params(labelsize=8)
        covers.append(ax.axvspan(0, 1, color="white", zorder=3))
        covers[-1].set(y=-0.05, height=1.1)
    lines = [ax.axvline(at[0], color=VERMILION, linewidth=1, zorder=4) for ax in panels]
    film = writer(fps=fps)
    with film.saving(figure, str(path), figure.dpi):
        for step in range(steps):
            image.set_data(images[step])
            picture.set_title(
                f"{label.replace('time ', '')} {step}" if dt is None else _with_unit(at[step], label), fontsize=9
            )
            for cover, line in zip(covers, lines, strict=True):
                cover.set(x=at[step] + half, width=at[steps] - at[step])
                line.set_xdata([at[step]] * 2)
            film.grab_frame()
    return path


def _with_unit(value: float, label: str) -> str:
    return f"{value:.4g} {label.partition('(')[2].rstrip(')')}"
