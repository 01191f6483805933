"""The events of a recording, as every source of recordings gives them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from .._files import MalformedFileError, shown

# Times are in microseconds.
EVENTS = np.dtype([("x", np.int16), ("y", np.int16), ("t", np.int64), ("p", np.int8)])
LATEST = 2**53  # microseconds, 285 years: up to here float64 counts every one


def as_events(
    owner: str,
    path,
    columns: dict[str, Any],
    sensor_size: tuple[int, int, int],
    *,
    microseconds: int = 1,
    drop_invalid: bool = False,
) -> np.ndarray:
    """Events as a structured array of `EVENTS`, from columns that a file holds.

    **Arguments:**

    - `owner`, `path`: who asks for which file, for messages.
    - `columns`: `x`, `y`, `t` and `p`, each a number or an array `(events,)` of integers or floating numbers.
    - `sensor_size`: width, height and polarities.
    - `microseconds`: in a unit of `t`. Times are rounded to whole microseconds.
    - `drop_invalid`: whether events that cannot be are left out, instead of refusing the file: those outside the
        sensor, between two pixels, and with a time that is negative, not finite or later than 285 years.
    """
    width, height, polarities = sensor_size
    most = {"x": width - 1, "y": height - 1, "t": LATEST // microseconds, "p": polarities - 1}
    columns = {name: _wide(column) for name, column in columns.items()}
    length = len(columns["t"])
    valid = np.ones(length, bool)
    for name, column in columns.items():
        valid &= (column >= 0) & (column <= most[name])  # not a number is neither
        if name != "t" and column.dtype.kind == "f":
            valid &= column == np.trunc(column)
    if not valid.all():
        if not drop_invalid:
            first = int(np.argmin(valid))
            values = {name: np.broadcast_to(column, length)[first].item() for name, column in columns.items()}
            raise MalformedFileError(
                f"`{owner}`: {np.count_nonzero(~valid)} of {length} events in {shown(path)} cannot be, the first of "
                f"them, number {first}: {values}. The sensor has {width} by {height} pixels and {polarities} "
                f"polarities, and times are from 0 to {most['t']}. To leave such events out: `drop_invalid=True`."
            )
        columns = {name: np.broadcast_to(column, length)[valid] for name, column in columns.items()}
    time = columns.pop("t")
    events = np.empty(len(time), EVENTS)
    events["t"] = np.rint(time * microseconds) if time.dtype.kind == "f" else time.astype(np.int64) * microseconds
    for name, column in columns.items():
        events[name] = column
    return events


def _wide(column) -> np.ndarray:
    column = np.asarray(column)
    with np.errstate(invalid="ignore"):  # some values that are not numbers signal it
        return column.astype({"f": np.float64, "b": np.int8}.get(column.dtype.kind, column.dtype))


def recordings(owner: str, folder: Path, pattern: str, key: Callable[[Path], Any], remedy: str) -> list[Path]:
    """The files of a part of a data set, ordered by `key`, which does not depend on the file system."""
    found = sorted((path for path in folder.glob(pattern) if not path.name.startswith(".")), key=key)
    if not found:
        raise FileNotFoundError(f"`{owner}`: there are no recordings in {shown(folder)}. {remedy}")
    return found


def numbered(owner: str, length: int, index) -> int:
    """The number of an example; `IndexError` outside, which also ends a loop over a source."""
    if not -length <= index < length:
        raise IndexError(f"`{owner}`: there is no example {index}; there are {length}.")
    return int(index) % length


def part_of(owner: str, part: str, parts: dict[str, str]) -> str:
    """The name on disk of a part of a data set."""
    if part not in parts:
        raise ValueError(f"`{owner}`: `part` must be one of {list(parts)}, got {part!r}.")
    return parts[part]
