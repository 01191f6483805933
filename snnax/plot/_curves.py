"""Curves: how training went, and the shape of a surrogate."""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import PRNGKeyArray

from ..functional.surrogate import AbstractRandomSurrogate, AbstractSurrogate, Custom
from ._panel import BLUE, COLOURS, DASHES, MARKERS, VERMILION, panel, plain, whole_numbers

if TYPE_CHECKING:
    import matplotlib.axes


def learning_curves(
    history: Sequence[Mapping[str, Any]], *metrics: str, ax: "matplotlib.axes.Axes | None" = None
) -> "matplotlib.axes.Axes":
    """Metrics over the epochs of training.

        plot.learning_curves(history, "train_loss", "loss")

    **Arguments:**

    - `history`: a row for each epoch: what `train.fit` returns, or the rows of `csv.DictReader` on what `train.CSVLog`
        wrote. The first epoch, number 0, is at 1: so many epochs are done then. Rows without `"epoch"` count from 1.
    - `metrics`: names in the history. A row may lack one; its neighbours are joined.
    - `ax`: where to draw. Default: a new figure.
    """
    rows = list(history)
    known = list(dict.fromkeys(name for row in rows for name in row))
    unknown = [name for name in metrics if name not in known]
    if not metrics or unknown or len(metrics) > len(COLOURS):
        raise ValueError(
            f"`plot.learning_curves`: `metrics` must be from 1 to {len(COLOURS)} names in the history, which has "
            f"{known}, got {list(metrics)}."
        )
    epochs = [_number("epoch", row["epoch"]) + 1 if "epoch" in row else i for i, row in enumerate(rows, 1)]
    curves = {}
    for name in metrics:
        there = [(x, row[name]) for x, row in zip(epochs, rows, strict=True) if row.get(name) not in ("", None)]
        curves[name] = np.array([(x, _number(name, value)) for x, value in there]).reshape(-1, 2)
    ax = panel("learning_curves", ax, (5.6, 3.2))
    for (name, points), colour, dash, marker in zip(curves.items(), COLOURS, DASHES, MARKERS, strict=False):
        line = {"color": colour, "linestyle": dash, "marker": marker, "markersize": 4, "label": name}
        ax.plot(points[:, 0], points[:, 1], markevery=max(1, len(points) // 20), **line)
    if len(metrics) > 1:
        ax.legend(frameon=False)
    ax.xaxis.set_major_locator(whole_numbers())
    ax.set(xlabel="epoch", ylabel=metrics[0] if len(metrics) == 1 else "")
    plain(ax)
    return ax


def _number(name: str, value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError) as error:
        raise ValueError(f"`plot.learning_curves`: {name!r} must be a number in every row, got {value!r}.") from error


def surrogate(
    spike_fn: AbstractSurrogate,
    *,
    low: float | int = -2.0,
    high: float | int = 2.0,
    key: PRNGKeyArray | None = None,
    ax: "matplotlib.axes.Axes | None" = None,
) -> "matplotlib.axes.Axes":
    """The shape of a surrogate: what a call returns, the derivative that stands in for its own, and the antiderivative.

    **Arguments:**

    - `spike_fn`: a surrogate. One from a derivative alone, `surrogate.Custom`, is drawn without its antiderivative.
    - `low`, `high`: the ends of the axis, in potentials minus the threshold.
    - `key`: for surrogates that draw random numbers, whose calls are drawn as single marks.
    - `ax`: where to draw. Default: a new figure.
    """
    if not isinstance(spike_fn, AbstractSurrogate):
        raise TypeError(
            f"`plot.surrogate`: `spike_fn` must be a surrogate such as `surrogate.SuperSpike(10.0)`, got {spike_fn!r}. "
            "A derivative of one's own goes in as `surrogate.Custom(derivative)`."
        )
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise ValueError(f"`plot.surrogate`: `low` must be below `high`, both finite, got {low} and {high}.")
    x = jnp.linspace(low, high, 601)
    drawn = spike_fn
    if isinstance(spike_fn, AbstractRandomSurrogate):
        if key is None:
            raise ValueError(
                f"`plot.surrogate`: `surrogate.{type(spike_fn).__name__}` draws random numbers: give `key=`."
            )
        drawn = spike_fn.draw(x, key)
    ax = panel("surrogate", ax, (4.8, 3.2))
    for line in (ax.axvline, ax.axhline):
        line(0, color="0.9", linewidth=0.8, zorder=0)
    if drawn is spike_fn:
        ax.plot(x, drawn(x), color="0.65", linewidth=3, label="what a call returns")
    else:
        ax.plot(x[::6], drawn(x)[::6], "|", color="0.65", markersize=5, label="what a call returns")
    if not isinstance(spike_fn, Custom):
        ax.plot(x, spike_fn.antiderivative(x), "--", color=BLUE, linewidth=1.4, label="antiderivative $H(x)$")
    ax.plot(x, drawn.derivative(x), color=VERMILION, linewidth=1.4, label="derivative $h(x)$")
    ax.set(xlim=(low, high), xlabel="potential minus threshold, $x$")
    plain(ax)
    return ax
