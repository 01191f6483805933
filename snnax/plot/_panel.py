"""What all pictures share: the axes, the time along them, colours, and arrays for matplotlib."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

if TYPE_CHECKING:
    import matplotlib.axes

# Okabe and Ito's colours, which differ for every kind of colour blindness, the yellow left out, which is lost on white.
BLACK, ORANGE, SKY, GREEN, BLUE, VERMILION, PURPLE = (
    "#000000",
    "#E69F00",
    "#56B4E9",
    "#009E73",
    "#0072B2",
    "#D55E00",
    "#CC79A7",
)
COLOURS = (BLUE, VERMILION, GREEN, PURPLE, BLACK, SKY, ORANGE)
"""The colours of lines, in order: those of Okabe and Ito, which differ for every kind of colour blindness."""
DASHES = ("-", "--", "-.", ":", (0, (6, 1, 1, 1, 1, 1)), (0, (1, 1)), (0, (8, 3)))
"""The dashes of lines, in order, one for each colour."""
MARKERS = ("o", "s", "^", "D", "v", "x", "P")


def import_matplotlib(owner: str) -> None:
    """Says how to install matplotlib, which is an extra, where it is not."""
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        message = f'`plot.{owner}` needs matplotlib, and {error.name} is not here: pip install "snnax[plot]"'
        raise ImportError(message) from error


def panel(owner: str, ax: Any, size: tuple[float, float] = (6.4, 3.2)) -> "matplotlib.axes.Axes":
    """`ax`, or the axes of a new figure of pyplot."""
    import_matplotlib(owner)
    import matplotlib.axes
    import matplotlib.pyplot as plt

    if ax is None:
        _, ax = plt.subplots(figsize=size, layout="constrained")
    if not isinstance(ax, matplotlib.axes.Axes):
        raise TypeError(
            f"`plot.{owner}`: `ax` must be the axes to draw into, one of those that `plt.subplots` gives, got "
            f"{type(ax)}."
        )
    return ax


def plain(ax: "matplotlib.axes.Axes") -> None:
    """Axes with a line below and at the left only."""
    ax.spines[["top", "right"]].set_visible(False)


def whole_numbers() -> Any:
    """Ticks at round whole numbers, for numbers of neurons, spikes and epochs."""
    from matplotlib.ticker import MaxNLocator

    return MaxNLocator(6, steps=[1, 2, 5, 10], integer=True, min_n_ticks=1)


def check_axis(owner: str, dt: float | int | None) -> None:
    if dt is not None and not dt > 0:
        raise ValueError(f"`plot.{owner}`: `dt` must be the length of a time step in seconds, above 0, got {dt!r}.")


def times(owner: str, steps: int, dt: float | int | None) -> tuple[np.ndarray, str]:
    """Where time steps are on an axis, one more than there are, and what the axis is called."""
    check_axis(owner, dt)
    if dt is None:
        return np.arange(steps + 1), "time step"
    if steps * dt < 1:
        return np.arange(steps + 1) * (1000 * dt), "time (ms)"
    return np.arange(steps + 1) * dt, "time (s)"


def set_time(ax: "matplotlib.axes.Axes", at: np.ndarray, label: str) -> None:
    """An axis of time that is the same for all pictures of one recording, which may share it."""
    ax.set_xlim(at[0] - at[1] / 2, at[-1] - at[1] / 2)
    ax.set_xlabel(label)


def as_numbers(owner: str, name: str, value: Any, shapes: Mapping[int, str] | str) -> np.ndarray:
    """`value` in float64, if it is an array with one of the numbers of axes for which there is a shape, or with any."""
    wanted = shapes if isinstance(shapes, str) else " or ".join(shapes.values())
    if isinstance(value, Tracer):
        raise TypeError(
            f"`plot.{owner}`: `{name}` has no values yet, as it is traced. Draw outside of `jax.jit`, `jax.grad` and "
            "`jax.vmap`, from what they return."
        )
    real = isinstance(value, (np.ndarray, jax.Array)) and (
        jnp.issubdtype(value.dtype, jnp.bool_)
        or (jnp.issubdtype(value.dtype, jnp.number) and not jnp.issubdtype(value.dtype, jnp.complexfloating))
    )
    if not real:
        got = f"an array of dtype {value.dtype}" if hasattr(value, "dtype") else type(value)
        raise TypeError(f"`plot.{owner}`: `{name}` must be an array of real numbers, {wanted}, got {got}.")
    if value.ndim == 0 or 0 in value.shape or not (isinstance(shapes, str) or value.ndim in shapes):
        raise ValueError(
            f"`plot.{owner}`: `{name}` must have the shape {wanted}, with no axis of length 0, got {value.shape}."
        )
    return np.asarray(value).astype(np.float64)


def as_trains(owner: str, name: str, value: Any) -> np.ndarray:
    """`(time, neurons)`, from a train of any shape with time first."""
    array = as_numbers(owner, name, value, "(time, ...)")
    return array.reshape(len(array), -1)


def as_names(owner: str, names: Sequence[str] | None, number: int, of: str) -> list[str] | None:
    """One name for each, as strings."""
    if names is not None and (isinstance(names, str) or len(names) != number):
        raise ValueError(f"`plot.{owner}`: `names` must have one name for each of the {number} {of}, got {names!r}.")
    return None if names is None else [str(name) for name in names]
