"""Potentials over time, with the threshold and the spikes."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ._panel import COLOURS, DASHES, VERMILION, as_names, as_numbers, panel, plain, set_time, times

if TYPE_CHECKING:
    import matplotlib.axes


def traces(
    potentials: Any,
    *,
    spikes: Any = None,
    threshold: Any = None,
    highlight: int | None = None,
    names: Sequence[str] | None = None,
    dt: float | int | None = None,
    ax: "matplotlib.axes.Axes | None" = None,
) -> "matplotlib.axes.Axes":
    """Potentials, or other parts of states, over time; with the threshold, and above them the spikes.

    **Arguments:**

    - `potentials`: `(time,)` or `(time, neurons)`, such as `outs[1].v[:, :3]` where `snn.Traces()` was collected;
        of seven neurons at most, unless one is highlighted.
    - `spikes`: of the same shape. Default: none.
    - `threshold`: one for all, one for each neuron, or, where it moves, of the shape of the potentials. Default: none.
    - `highlight`: the number of a neuron that is drawn bold, before all others in grey, such as the label among the
        classes of a read-out. Default: all alike.
    - `names`: of the neurons, for a legend. Default: their numbers, where there are several and none is highlighted.
    - `dt`: the length of a time step in seconds. Default: the axis counts steps.
    - `ax`: where to draw. Default: a new figure.
    """
    given = as_numbers("traces", "potentials", potentials, {1: "(time,)", 2: "(time, neurons)"})
    v = given.reshape(len(given), -1)
    if highlight is not None and not 0 <= highlight < v.shape[1]:
        raise ValueError(f"`plot.traces`: `highlight` must be a neuron from 0 to {v.shape[1] - 1}, got {highlight!r}.")
    if highlight is None and v.shape[1] > len(COLOURS):
        raise ValueError(
            f"`plot.traces`: {v.shape[1]} neurons are too many to be told apart. Choose {len(COLOURS)} at most: "
            f"`potentials[:, :{len(COLOURS)}]`; or give `highlight=`, the number of one."
        )
    names = as_names("traces", names, v.shape[1], "neurons")
    at, label = times("traces", len(v), dt)
    fired = None
    if spikes is not None:
        fired = as_numbers("traces", "spikes", spikes, {1: "(time,)", 2: "(time, neurons)"})
        if fired.shape != given.shape:
            raise ValueError(
                f"`plot.traces`: `spikes` must have the shape of `potentials`, {given.shape}, got {fired.shape}."
            )
        fired = fired.reshape(v.shape)
    levels = None if threshold is None else _levels(threshold, given.shape).reshape(v.shape)
    styles = [(colour, dash, 1.3, 2.0) for colour, dash in zip(COLOURS, DASHES, strict=True)]
    if highlight is not None:
        styles = [("0.7", "-", 1.0, 2.0)] * v.shape[1]
        styles[highlight] = (VERMILION, "-", 2.2, 2.5)
    colours = [style[0] for style in styles]
    ax = panel("traces", ax)
    numbered = v.shape[1] > 1 and highlight is None
    for i, (colour, dash, width, order) in zip(range(v.shape[1]), styles, strict=False):
        name = names[i] if names is not None else f"neuron {i}" if numbered else None
        name = name if highlight in (None, i) else None
        ax.plot(at[:-1], v[:, i], color=colour, linestyle=dash, linewidth=width, zorder=order, label=name)
    if levels is not None:
        if np.ptp(levels) == 0:
            ax.axhline(levels[0, 0], color="0.45", linewidth=1, linestyle=(0, (2, 2)), zorder=1, label="threshold")
        else:
            for i in range(v.shape[1]):
                label_of = "threshold" if i == 0 else None
                ax.plot(at[:-1], levels[:, i], color=colours[i], linewidth=0.9, linestyle=(0, (2, 2)), label=label_of)
    if fired is not None:
        _spikes_above(ax, at, fired, colours, np.concatenate([v] if levels is None else [v, levels]))
    if names is not None or numbered or levels is not None:
        ax.legend(fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)
    set_time(ax, at, label)
    ax.set_ylabel("potential")
    plain(ax)
    return ax


def _levels(threshold: Any, shape: tuple[int, ...]) -> np.ndarray:
    """A threshold for every neuron and step."""
    if isinstance(threshold, (int, float)) or getattr(threshold, "shape", None) == ():
        return np.full(shape, float(threshold))
    levels = as_numbers("traces", "threshold", threshold, f"{shape[1:]} or {shape}")
    if levels.shape not in (shape[1:], shape):
        raise ValueError(
            f"`plot.traces`: `threshold` must be one number, or have the shape {shape[1:]}, one for each neuron, or "
            f"{shape}, where it moves, got {levels.shape}."
        )
    return np.broadcast_to(levels, shape)


def _spikes_above(ax: Any, at: np.ndarray, fired: np.ndarray, colours: list[str], values: np.ndarray) -> None:
    """A row of strokes above the traces for each neuron."""
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    row = 0.08 * (high - low or 1.0)
    for i in range(fired.shape[1]):
        bottom = high + row * (1 + 1.25 * i)
        ax.vlines(at[np.nonzero(fired[:, i])[0]], bottom, bottom + row, color=colours[i], linewidth=1.5)
    ax.set_ylim(low - row, high + row * (2.5 + 1.25 * fired.shape[1]))
