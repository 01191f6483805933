"""Weights as images: the matrix, or what each neuron looks for."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ._panel import BLUE, VERMILION, as_numbers, panel, whole_numbers

if TYPE_CHECKING:
    import matplotlib.axes


def signed_colours() -> Any:
    """From the colour of what is below 0 through white to that of what is above."""
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list("signed", [VERMILION, "white", BLUE]).with_extremes(bad="0.8")


def weights(weight: Any, *, ax: "matplotlib.axes.Axes | None" = None) -> "matplotlib.axes.Axes":
    """A matrix of weights as an image, with the colours' scale beside it: white is 0.

    **Arguments:**

    - `weight`: `(outputs, inputs)`, such as `layer.weight` of an `eqx.nn.Linear`.
    - `ax`: where to draw. Default: a new figure.
    """
    if getattr(weight, "ndim", 2) > 2:
        raise ValueError(
            f"`plot.weights`: `weight` must have the shape (outputs, inputs), got {weight.shape}. Filters of a "
            "convolution are drawn by `plot.receptive_fields(weight)`."
        )
    values = as_numbers("weights", "weight", weight, {2: "(outputs, inputs)"})
    ax = panel("weights", ax, (5.6, 3.6))
    ax.imshow(values, aspect="auto", interpolation="nearest", cmap=signed_colours(), **_symmetric(values))
    _add_scale(ax)
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_locator(whole_numbers())
    ax.set(xlabel="input", ylabel="output")
    return ax


def receptive_fields(
    weight: Any,
    *,
    shape: Sequence[int] | None = None,
    columns: int | None = None,
    ax: "matplotlib.axes.Axes | None" = None,
) -> "matplotlib.axes.Axes":
    """What each neuron looks for: its incoming weights as an image, side by side; white is 0.

    **Arguments:**

    - `weight`: `(outputs, channels, height, width)`, the weight of an `eqx.nn.Conv2d`, whose outputs are rows and
        channels columns; or `(outputs, height, width)`; or, with `shape`, `(outputs, inputs)`.
    - `shape`: of one input, `(height, width)` or `(channels, height, width)`, as it was before `snn.Flatten`.
    - `columns`: the number of images in a row. Default: of several channels, that of the channels; else near to a
        square.
    - `ax`: where to draw. Default: a new figure.
    """
    owner = "receptive_fields"
    if shape is None:
        shapes = {3: "(outputs, height, width)", 4: "(outputs, channels, height, width)"}
        if getattr(weight, "ndim", 3) == 2:
            raise ValueError(
                f"`plot.{owner}`: `weight` of shape {weight.shape} needs the `shape` of one input, `shape=(height, "
                "width)` or `shape=(channels, height, width)`."
            )
        values = as_numbers(owner, "weight", weight, shapes)
    else:
        values = as_numbers(owner, "weight", weight, {2: "(outputs, inputs)"})
        if len(shape) not in (2, 3) or math.prod(shape) != values.shape[1]:
            raise ValueError(
                f"`plot.{owner}`: `shape` must be (height, width) or (channels, height, width) with the product "
                f"{values.shape[1]}, the number of inputs, got {tuple(shape)}."
            )
        values = values.reshape(-1, *shape)
    channels = values.shape[1] if values.ndim == 4 else 1
    images = values.reshape(-1, *values.shape[-2:])
    number, height, width = images.shape
    square = min(number, math.ceil(math.sqrt(number * height / width)))
    in_a_row = columns if columns is not None else channels if channels > 1 else square
    if not 1 <= in_a_row <= number:
        raise ValueError(f"`plot.{owner}`: `columns` must be from 1 to the {number} images, got {columns!r}.")
    rows = math.ceil(number / in_a_row)
    ax = panel(owner, ax, (5.6, 0.5 + 4.5 * rows * (height + 1) / (in_a_row * (width + 1))))
    for i, image in enumerate(images):
        left, top = (i % in_a_row) * (width + 1), (i // in_a_row) * (height + 1)
        ax.imshow(
            image,
            extent=(left, left + width, top + height, top),
            interpolation="nearest",
            cmap=signed_colours(),
            **_symmetric(values),
        )
        frame = np.array([(0, 0), (width, 0), (width, height), (0, height), (0, 0)]) + (left, top)
        ax.plot(*frame.T, color="0.6", linewidth=0.6, solid_joinstyle="miter")
    _add_scale(ax)
    ax.set(xlim=(-0.5, in_a_row * (width + 1) - 0.5), ylim=(rows * (height + 1) - 0.5, -0.5), aspect="equal")
    ax.set(xticks=[], yticks=[])
    ax.spines[:].set_visible(False)
    if channels > 1 and in_a_row == channels:
        ax.set(xlabel="channel", ylabel="output")
        ax.set_xticks((np.arange(channels) * (width + 1)) + width / 2, np.arange(channels))
        every = math.ceil(rows / 16)
        ax.set_yticks((np.arange(0, rows, every) * (height + 1)) + height / 2, np.arange(0, rows, every))
        ax.tick_params(length=0)
    return ax


def _symmetric(values: np.ndarray) -> dict[str, Any]:
    largest = float(np.nanmax(np.abs(values))) or 1.0
    return {"vmin": -largest, "vmax": largest}


def _add_scale(ax: Any) -> None:
    ax.figure.colorbar(ax.images[-1], ax=ax, label="weight", fraction=0.05, pad=0.03)
