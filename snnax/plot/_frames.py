"""Frames of an event camera as images: OFF in one colour, ON in another, on white."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ._panel import BLUE, VERMILION, as_numbers, panel, times

if TYPE_CHECKING:
    import matplotlib.axes

_SHAPES = {4: "(time, polarities, height, width)", 3: "(time, height, width)"}


def frames(
    frames: Any,
    *,
    steps: int | Sequence[int] = 8,
    most: float | int | None = None,
    dt: float | int | None = None,
    ax: "matplotlib.axes.Axes | None" = None,
) -> "matplotlib.axes.Axes":
    """Frames of a recording, side by side, with their times below: ON is blue, OFF is vermilion, both are dark.

    **Arguments:**

    - `frames`: `(time, polarities, height, width)`, with OFF first, as `data.bin_events` gives; or of one polarity,
        with signs, `(time, height, width)`, as of `data.voxel_grid`.
    - `steps`: which frames: so many from the first to the last, or a sequence of their numbers. Default: 8.
    - `most`: the value that has the full colour. Default: the largest of those drawn.
    - `dt`: the length of a time step in seconds. Default: the axis counts steps.
    - `ax`: where to draw. Default: a new figure.
    """
    values = off_and_on("frames", frames)
    chosen = np.asarray(steps)
    if isinstance(steps, int):
        if steps < 1:
            raise ValueError(f"`plot.frames`: `steps` must be 1 or more, or the numbers of frames, got {steps!r}.")
        chosen = np.linspace(0, len(values) - 1, min(steps, len(values))).round().astype(int)
    if chosen.ndim != 1 or chosen.dtype.kind not in "iu" or np.any((chosen < 0) | (chosen >= len(values))):
        raise ValueError(
            f"`plot.frames`: `steps` must be numbers of frames from 0 to {len(values) - 1}, or how many, got {steps!r}."
        )
    at, label = times("frames", len(values), dt)
    images = coloured("frames", values[chosen], most)
    _, height, width, _ = images.shape
    ax = panel("frames", ax, (9.0, 9.0 / len(images) * height / width + 0.6))
    gap = max(1, round(width / 20))
    lefts = np.arange(len(images)) * (width + gap)
    for left, image in zip(lefts, images, strict=True):
        ax.imshow(image, extent=(left, left + width, height, 0), interpolation="nearest")
        frame = np.array([(0, 0), (width, 0), (width, height), (0, height), (0, 0)]) + (left, 0)
        ax.plot(*frame.T, color="0.6", linewidth=0.8, clip_on=False)
    ax.set(xlim=(0, lefts[-1] + width), ylim=(height, 0), aspect="equal", yticks=[], xlabel=label)
    ax.set_xticks(lefts + width / 2, [f"{at[step]:.4g}" for step in chosen])
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    return ax


def off_and_on(owner: str, frames: Any) -> np.ndarray:
    """`(time, 2, height, width)`: how much there is of OFF and of ON."""
    values = as_numbers(owner, "frames", frames, _SHAPES)
    if values.ndim == 4 and values.shape[1] == 1:
        values = values[:, 0]
    if values.ndim == 3:
        return np.stack([np.maximum(-values, 0), np.maximum(values, 0)], axis=1)
    if values.shape[1] != 2:
        raise ValueError(
            f"`plot.{owner}`: `frames` must have 1 or 2 polarities, got {values.shape[1]} in {values.shape}. Time "
            "comes first, the polarities second."
        )
    if np.any(values < 0):
        raise ValueError(
            f"`plot.{owner}`: `frames` of two polarities must be 0 or more, got {values.min():.3g}. With signs, give "
            "one polarity: (time, height, width)."
        )
    return values


def coloured(owner: str, values: np.ndarray, most: float | int | None) -> np.ndarray:
    """Images, `(time, height, width, 3)`: white where there is nothing, darker where there is more."""
    from matplotlib.colors import to_rgb

    if most is not None and not (most > 0 and math.isfinite(most)):
        raise ValueError(f"`plot.{owner}`: `most` must be above 0, got {most!r}.")
    share = np.minimum(values / (most or float(values.max()) or 1.0), 1)
    shades = [1 - np.array(to_rgb(colour)) for colour in (VERMILION, BLUE)]
    return np.clip(1 - share[:, 0, ..., None] * shades[0] - share[:, 1, ..., None] * shades[1], 0, 1)
