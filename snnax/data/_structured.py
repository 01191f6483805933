"""What structured arrays hold, checked: the way in for recordings of others."""

import numpy as np

Number = int | float | np.number
LATEST = np.iinfo(np.int32).max - 1
"""The largest time, in microseconds: 35 minutes."""


def arrays_of(
    owner: str, array: np.ndarray, sensor_size: tuple[int, int, int], microseconds: Number, origin: Number
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """x, y, t and p, in the dtypes of `data.Events`, whose `from_structured` says what is refused."""
    fields = _fields(owner, array, sensor_size)
    width, height, polarities = sensor_size
    x = _coordinate(owner, "x", fields["x"], width)
    y = _coordinate(owner, "y", fields["y"], height)
    p = fields["p"]
    if polarities == 2:
        p = _coordinate(owner, "p", p, 2)
    elif p.size and (p != p[0]).any():
        raise ValueError(
            f"`{owner}`: `sensor_size` has one polarity, but `p` has several values. Give (width, height, 2) and then, "
            "if one is enough, use `data.merge_polarities`."
        )
    else:
        p = np.zeros(p.size, np.int8)
    return x, y, _times(owner, fields["t"], microseconds, origin), p.astype(np.int8)


def _fields(owner: str, array: np.ndarray, sensor_size: tuple[int, int, int]) -> dict[str, np.ndarray]:
    """The fields of `array`, contiguous."""
    names = array.dtype.names if isinstance(array, np.ndarray) else None
    if names is None or array.ndim != 1:
        got = f"an array of {array.dtype} and shape {array.shape}" if isinstance(array, np.ndarray) else type(array)
        raise TypeError(f"`{owner}`: `array` must be a structured array of one axis, with x, y, t, p, got {got}.")
    optional = {name for name, size in (("y", sensor_size[1]), ("p", sensor_size[2])) if size == 1}
    if not (set("xytp") - optional <= set(names) <= set("xytp")):
        raise TypeError(
            f"`{owner}`: for a sensor {sensor_size} the fields of `array` must be x, y, t, p, got {names}. Leave "
            f'others out, `array[["x", "y", "t", "p"]]`; `y` may be missing for a height of 1, `p` for one polarity.'
        )
    for name in names:
        field = array.dtype[name]
        if field.shape or field.kind not in "biuf":
            raise TypeError(f"`{owner}`: the field `{name}` must be one real number for each event, got {field}.")
    zeros = np.zeros(len(array), np.int8)
    return {name: np.ascontiguousarray(array[name]) if name in names else zeros for name in "xytp"}


def _coordinate(owner: str, name: str, column: np.ndarray, size: int) -> np.ndarray:
    """Whole numbers from 0 to `size` - 1, in int16."""
    if column.size and not (column.min() >= 0 and column.max() < size):
        wrong = ~((column >= 0) & (column < size))
        raise _first_wrong(owner, f"a `{name}` from 0 to {size - 1}", wrong, column, "Is `sensor_size` right?")
    if column.dtype.kind == "f" and (column != np.trunc(column)).any():
        raise _first_wrong(owner, f"a whole number as `{name}`", column != np.trunc(column), column, "Round it.")
    return column.astype(np.int16, copy=False)


def _times(owner: str, column: np.ndarray, microseconds: Number, origin: Number) -> np.ndarray:
    """Times in whole microseconds after `origin`, in int32."""
    for name, value, least in (("microseconds", microseconds, 0.0), ("origin", origin, -(2.0**63))):
        real = isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)
        if not (real and least < value < 2.0**63):
            raise ValueError(f"`{owner}`: `{name}` must be a number above {least:g} and below 2^63, got {value!r}.")
    if not column.size:
        return np.zeros(0, np.int32)
    if column.dtype.kind == "f" and not np.isfinite(column).all():
        remedy = 'Leave them out: `array[np.isfinite(array["t"])]`.'
        raise _first_wrong(owner, "a finite time", ~np.isfinite(column), column, remedy)
    back = column[1:] < column[:-1]
    if back.any():
        remedy = 'Sort them: `array[np.argsort(array["t"], kind="stable")]`.'
        wanted = "a time that is not before that of the event in front of it"
        raise _first_wrong(owner, wanted, np.concatenate([[False], back]), column, remedy)
    exact = column.dtype.kind != "f" and all(isinstance(one, (int, np.integer)) for one in (microseconds, origin))
    if exact:  # in whole numbers of any size
        ends = [(int(end) - int(origin)) * int(microseconds) for end in (column[0], column[-1])]
    else:
        with np.errstate(over="ignore"):  # infinite, and refused as such
            scaled = np.rint((column.astype(np.float64) - float(origin)) * float(microseconds))
        ends = [scaled[0], scaled[-1]]
    if not 0 <= ends[0] <= ends[1] <= LATEST:
        raise ValueError(
            f"`{owner}`: times must be from 0 to {LATEST} microseconds (35 minutes) after `origin`, got times from "
            f"{ends[0]} to {ends[1]}: `t` is from {column[0]} to {column[-1]}, with {microseconds} microseconds in a "
            f'unit, after {origin}. To begin with the first event: `origin=array["t"][0]`; longer recordings must be '
            "cut into windows."
        )
    if exact:
        scaled = column.astype(np.int64)
        scaled -= np.int64(origin)
        scaled *= np.int64(microseconds)
    return scaled.astype(np.int32)


def _first_wrong(owner: str, wanted: str, wrong: np.ndarray, column: np.ndarray, remedy: str) -> ValueError:
    first = int(np.argmax(wrong))
    return ValueError(
        f"`{owner}`: {np.count_nonzero(wrong)} of {wrong.size} events do not have {wanted}; the first is number "
        f"{first}, with {column[first]}. {remedy}"
    )
