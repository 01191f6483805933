"""Spikes: when each neuron fires, how often, and how often those of each layer do."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import jax
import numpy as np
from jaxtyping import PyTree

from ._panel import (
    BLACK,
    BLUE,
    VERMILION,
    as_names,
    as_numbers,
    as_trains,
    check_axis,
    panel,
    plain,
    set_time,
    times,
    whole_numbers,
)

if TYPE_CHECKING:
    import matplotlib.axes


def raster(
    spikes: Any, *, dt: float | int | None = None, ax: "matplotlib.axes.Axes | None" = None
) -> "matplotlib.axes.Axes":
    """A mark for every spike: time to the right, neurons upwards.

    Spikes below 0, such as those of `surrogate.Ternary`, are marked shorter and in another colour.

    **Arguments:**

    - `spikes`: `(time, ...)`, of one example; whatever is not 0 is a spike. Neurons are numbered in the order of
        `reshape`.
    - `dt`: the length of a time step in seconds. Default: the axis counts steps.
    - `ax`: where to draw. Default: a new figure.
    """
    trains = as_trains("raster", "spikes", spikes)
    at, label = times("raster", len(trains), dt)
    ax = panel("raster", ax)
    signed = bool(np.any(trains < 0))
    kinds = [(trains > 0, 0.8, BLUE if signed else BLACK, "above 0"), (trains < 0, 0.4, VERMILION, "below 0")]
    for fired, length, colour, name in kinds[: 1 + signed]:
        when, which = np.nonzero(fired)
        # The projecting cap keeps a spike as long as wide where there are more neurons than dots of ink; snapped to
        # them its length would be 0, of which nothing is drawn.
        ax.vlines(
            at[when],
            which - length / 2,
            which + length / 2,
            color=colour,
            linewidth=1.3,
            capstyle="projecting",
            snap=False,
            label=name,
        )
    if signed:
        ax.legend(loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=2, frameon=False, fontsize=8)
    set_time(ax, at, label)
    ax.set_ylim(-0.5, trains.shape[1] - 0.5)
    ax.yaxis.set_major_locator(whole_numbers())
    ax.set_ylabel("neuron")
    plain(ax)
    return ax


def spike_counts(
    spikes: Any,
    *,
    names: Sequence[str] | None = None,
    highlight: int | None = None,
    ax: "matplotlib.axes.Axes | None" = None,
) -> "matplotlib.axes.Axes":
    """A bar for every neuron, as long as the number of its spikes, such as those of the classes in a read-out.

    **Arguments:**

    - `spikes`: `(time, ...)`, of one example. Counts that `snn.Sum()` has collected go in as `counts[None]`.
    - `names`: of the neurons. Default: their numbers.
    - `highlight`: the number of a neuron to be marked by another colour and by strokes, such as the label.
    - `ax`: where to draw. Default: a new figure.
    """
    counts = as_trains("spike_counts", "spikes", spikes).sum(axis=0)
    names = as_names("spike_counts", names, counts.size, "neurons")
    if highlight is not None and not 0 <= highlight < counts.size:
        raise ValueError(
            f"`plot.spike_counts`: `highlight` must be a neuron from 0 to {counts.size - 1}, got {highlight!r}."
        )
    ax = panel("spike_counts", ax)
    bars = ax.bar(np.arange(counts.size), counts, color=BLUE, edgecolor="white", linewidth=0 if names is None else 0.5)
    if highlight is not None:
        bars[highlight].set(facecolor=VERMILION, hatch="///", edgecolor="white")
    if names is None:
        ax.xaxis.set_major_locator(whole_numbers())
    else:
        crowded = sum(map(len, names)) > 50
        ax.set_xticks(np.arange(counts.size), names, rotation=40 if crowded else 0, ha="right" if crowded else "center")
        ax.tick_params(axis="x", length=0)
    ax.yaxis.set_major_locator(whole_numbers())
    ax.axhline(0, color="black", linewidth=0.8)
    ax.set(xlim=(-0.6, counts.size - 0.4), ylabel="spikes")
    ax.set_xlabel("neuron" if names is None else "")
    plain(ax)
    return ax


def rates(
    outs: PyTree, *, dt: float | int | None = None, bins: int = 20, ax: "matplotlib.axes.Axes | None" = None
) -> "matplotlib.axes.Axes":
    """How often the neurons of each layer fire: a histogram for each layer, one above the other.

    Layers come from the top. A bar marks the mean of each; beside it is the share of neurons that never fire. All
    histograms are drawn equally high.

    **Arguments:**

    - `outs`: what a call of a network gives, whole trains `(time, ...)` of one example; or a mapping from names to
        trains, or one train. A layer spikes, and has a row, if all its values are whole numbers; currents and
        potentials have no rate.
    - `dt`: the length of a time step in seconds. Default: rates are in spikes per step.
    - `bins`: the number of bins between 0 and the highest rate.
    - `ax`: where to draw. Default: a new figure.
    """
    trains = trains_of("rates", outs)
    check_axis("rates", dt)
    if not isinstance(bins, int) or bins < 1:
        raise ValueError(f"`plot.rates`: `bins` must be a number of bins, 1 or more, got {bins!r}.")
    of_layers = {name: np.mean(train != 0, axis=0) / (dt or 1) for name, train in trains.items()}
    ax = panel("rates", ax, (6.4, 1.0 + 0.75 * len(trains)))
    highest = max(float(one.max()) for one in of_layers.values()) or 1 / (dt or 1)
    edges = np.linspace(0, highest, bins + 1)
    rows = np.arange(len(trains))[::-1]
    for row, one in zip(rows, of_layers.values(), strict=True):
        counts = np.histogram(one, edges)[0]
        ax.stairs(row + 0.78 * counts / counts.max(), edges, baseline=row, fill=True, color=BLUE, alpha=0.55)
        ax.stairs(row + 0.78 * counts / counts.max(), edges, baseline=row, color=BLUE)
        ax.plot([one.mean()] * 2, [row, row + 0.78], color=VERMILION, linewidth=2, solid_capstyle="butt")
        ax.text(
            1.01,
            row + 0.3,
            f"mean {one.mean():.3g}\n{100 * np.mean(one == 0):.0f} % silent",
            transform=ax.get_yaxis_transform(),
            fontsize=8,
            va="center",
        )
    ax.set_yticks(rows, list(of_layers))
    ax.tick_params(axis="y", length=0)
    ax.set(xlim=(0, highest), ylim=(-0.05, len(trains)))
    ax.set(xlabel="spikes per step" if dt is None else "rate (Hz)", ylabel="layer")
    plain(ax)
    return ax


def trains_of(owner: str, outs: PyTree) -> dict[str, np.ndarray]:
    """The trains of spikes, `(time, neurons)`, in the outs of a container, by the names of the layers."""
    if not isinstance(outs, (tuple, list, Mapping)):
        outs = {"spikes": outs}
    entries = jax.tree_util.tree_flatten_with_path(outs, is_leaf=lambda x: not isinstance(x, (tuple, list, Mapping)))[0]
    found = {}
    for path, entry in entries:
        if entry is not None:
            name = jax.tree_util.keystr(path, simple=True, separator=".")
            train = as_numbers(owner, f"outs[{name}]", entry, "(time, ...)")
            if np.all(train == np.round(train)):
                found[name] = train.reshape(len(train), -1)
    if not found:
        raise ValueError(
            f"`plot.{owner}`: none of the {len(entries)} entries of `outs` is a train of spikes, an array of whole "
            "numbers. Give the outs of a network with a spiking layer, or `{'name': spikes}`."
        )
    lengths = {name: len(train) for name, train in found.items()}
    if len(set(lengths.values())) > 1:
        raise ValueError(
            f"`plot.{owner}`: the trains must have the same number of time steps, got {lengths}. Collect whole trains, "
            "`collect=snn.Trains()`, the default."
        )
    return found
