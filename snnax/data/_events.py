"""Recordings of event cameras as arrays of a fixed capacity."""

from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Bool, Int8, Int16, Int32

from ..functional._encoding import as_count
from ._structured import LATEST, Number, arrays_of

EMPTY = LATEST + 1
"""The time of a place without an event."""
MOST_PIXELS = 2**15


class Events(eqx.Module):
    """A recording of an event camera, in order of time: a pytree of arrays that `jax.jit` and `jax.vmap` take.

        events = data.Events.from_structured(array, (128, 128, 2))
        frames, outside = data.bin_events(events, 30, 10_000)               # 30 steps of 10 ms

    The arrays have places for `capacity` events; the first `count` places hold events. `x` (to the right) and `y`
    (downwards) are pixels, `t` is the time in microseconds, and `p` the polarity, 0 for OFF and 1 for ON. In the places
    without an event `x`, `y` and `p` are 0 and `t` is 2147483647. `sensor_size` is the width, the height and the number
    of polarities (1 or 2), and static.

    `jax.jit` compiles anew for every capacity, so all recordings should have one: see `data.pad_events`. A batch, as
    `data.stack_events` makes it, has arrays `(batch, capacity)`; functions of one recording are mapped over it by
    `jax.vmap`. Values are checked when a recording is made, except for traced ones.
    """

    x: Int16[Array | np.ndarray, "*batch capacity"]
    y: Int16[Array | np.ndarray, "*batch capacity"]
    t: Int32[Array | np.ndarray, "*batch capacity"]
    p: Int8[Array | np.ndarray, "*batch capacity"]
    count: Int32[Array | np.ndarray, "*batch"]
    sensor_size: tuple[int, int, int] = eqx.field(static=True)

    def __check_init__(self):
        check_sensor("data.Events", self.sensor_size)
        wanted = {"x": np.int16, "y": np.int16, "t": np.int32, "p": np.int8, "count": np.int32}
        arrays = {name: getattr(self, name) for name in wanted}
        for name, array in arrays.items():
            shape = self.t.shape[:-1] if name == "count" else self.t.shape
            if not (hasattr(array, "dtype") and array.dtype == wanted[name] and array.shape == shape and self.t.ndim):
                got = f"{array.dtype}, {array.shape}" if hasattr(array, "dtype") else repr(array)
                raise TypeError(
                    f"`data.Events`: `{name}` must be an array of {np.dtype(wanted[name])} and of shape {shape}, got "
                    f"{got}. From a structured array: `data.Events.from_structured(array, sensor_size)`."
                )
        if not any(isinstance(array, Tracer) for array in arrays.values()):
            _check_values(self.sensor_size, **{name: np.asarray(array) for name, array in arrays.items()})

    @staticmethod
    def from_structured(
        array: np.ndarray,
        sensor_size: Sequence[int],
        *,
        capacity: int | None = None,
        microseconds: Number = 1,
        origin: Number = 0,
    ) -> "Events":
        """Events from a structured array with the fields `x`, `y`, `t`, `p`, as tonic's data sets give.

        **Arguments:**

        - `array`: `(events,)`, in order of time; its fields may have any order and any real dtype. `y` may be missing
            for a height of 1, and `p` for one polarity.
        - `sensor_size`: the width, the height and the number of polarities, as in `tonic.datasets.NMNIST.sensor_size`.
            With one polarity, `p` must be the same for all events, and becomes 0.
        - `capacity`: the number of places. Default: that of the events.
        - `microseconds`: in a unit of the array's times: 1000 for milliseconds. Default 1. Times that are no whole
            microseconds are rounded to the nearest.
        - `origin`: the time of the array that becomes 0, in its units, such as `array["t"][0]`. Default 0.

        **Returns:** the events, in NumPy arrays: they go to the device with the first function under `jax.jit` that
        takes them, or by `jax.device_put`.

        **Raises:** `TypeError` for other arrays and fields, `ValueError`, with the first that is wrong, for events
        beside the sensor or between its pixels, for times that are not finite, before `origin`, later than 35 minutes
        after it, or not in order, and for more events than `capacity`.
        """
        owner = "data.Events.from_structured"
        check_sensor(owner, sensor_size)
        width, height, polarities = map(int, sensor_size)
        x, y, t, p = arrays_of(owner, array, (width, height, polarities), microseconds, origin)
        events = Events(x, y, t, p, np.asarray(t.size, np.int32), (width, height, polarities))
        return events if capacity is None else pad_events(events, capacity)

    def to_structured(self) -> np.ndarray:
        """The events of one recording as a structured array, `(count,)`, with the fields of tonic: `x` and `y` in
        int16, `t` in int64 (microseconds), `p` in int8."""
        if np.ndim(self.count):
            raise ValueError(
                f"`data.Events.to_structured` takes one recording, got a batch of shape {np.shape(self.count)}. Take "
                "number i: `jax.tree.map(lambda a: a[i], events)`."
            )
        count = int(self.count)
        array = np.empty(count, np.dtype([("x", np.int16), ("y", np.int16), ("t", np.int64), ("p", np.int8)]))
        for name in "xytp":
            array[name] = np.asarray(getattr(self, name))[:count]
        return array

    @property
    def capacity(self) -> int:
        """The number of places for events."""
        return self.t.shape[-1]

    @property
    def valid(self) -> Bool[Array, "*batch capacity"]:
        """Which places hold an event."""
        return jnp.arange(self.capacity, dtype=jnp.int32) < jnp.asarray(self.count)[..., None]


def pad_events(events: Events, capacity: int) -> Events:
    """The same `events` with room for `capacity` of them, for one recording or a batch.

    **Raises:** `ValueError` if that is too few. Under `jax.jit`, where the count is not known, it is any number below
    the capacity that there is.
    """
    capacity = as_count("data.pad_events", "capacity", capacity, 0)
    traced = isinstance(events.count, Tracer)
    needed = events.capacity if traced else int(np.max(np.asarray(events.count), initial=0))
    if needed > capacity:
        what = f"places for {needed} events, under `jax.jit`" if traced else f"{needed} events"
        raise ValueError(f"`data.pad_events`: a `capacity` of {capacity} is too small for {what}.")
    module = _module_of(events)

    def resized(array, empty):
        more = [(0, 0)] * (array.ndim - 1) + [(0, max(0, capacity - events.capacity))]
        return module.pad(array[..., :capacity], more, constant_values=empty)

    x, y, p = (resized(array, 0) for array in (events.x, events.y, events.p))
    return Events(x, y, resized(events.t, EMPTY), p, events.count, events.sensor_size)


def stack_events(recordings: Sequence[Events], capacity: int | None = None) -> Events:
    """A batch of recordings of one sensor size, along a new axis 0.

    **Arguments:** `recordings`; `capacity`: that of the batch. Default: the largest of the recordings. Give a number,
    so that what takes the batches is compiled once.
    """
    sizes = sorted({events.sensor_size for events in recordings})
    if len(sizes) != 1:
        raise ValueError(f"`data.stack_events` takes one recording or more, of one sensor size; got the sizes {sizes}.")
    if capacity is None:
        capacity = max(events.capacity for events in recordings)
    padded = [pad_events(events, capacity) for events in recordings]
    module = np if all(_module_of(events) is np for events in recordings) else jnp
    return jax.tree.map(lambda *arrays: module.stack(arrays), *padded)


def changed(events: Events, x=None, y=None, t=None, p=None) -> Events:
    """The same events, with new values for what is given."""

    def put(new, old, empty=0):
        return old if new is None else jnp.where(events.valid, new, empty).astype(old.dtype)

    x, y, t, p = put(x, events.x), put(y, events.y), put(t, events.t, EMPTY), put(p, events.p)
    return Events(x, y, t, p, events.count, events.sensor_size)


def kept(events: Events, keep: Bool[Array, " capacity"], x=None, y=None, t=None, p=None, sensor_size=None) -> Events:
    """The events for which `keep` holds, in their order, with new values for what is given."""
    old = columns("data.Events", events)
    x, y, t, p = (before if new is None else new for new, before in zip((x, y, t, p), old, strict=True))
    keep = keep & events.valid
    place = jnp.where(keep, jnp.cumsum(keep, dtype=jnp.int32) - 1, events.capacity)
    pixel = jnp.zeros_like(t).at[place].set(_joined(x, y, p), mode="drop")
    t = jnp.full_like(t, EMPTY).at[place].set(t, mode="drop")
    return _apart(pixel, t, keep, events.sensor_size if sensor_size is None else sensor_size)


def in_order(x: Array, y: Array, t: Array, p: Array, keep: Array, sensor_size: tuple[int, int, int]) -> Events:
    """The events for which `keep` holds, sorted by time; those at one time keep their order."""
    pixel, t = jnp.where(keep, _joined(x, y, p), 0), jnp.where(keep, t, EMPTY)
    t, pixel = jax.lax.sort((t, pixel), num_keys=1, is_stable=True)
    return _apart(pixel, t, keep, sensor_size)


def _joined(x: Array, y: Array, p: Array) -> Array:
    """Pixel and polarity in one number, so that they move together: 15, 15 and 1 bits."""
    return (x * MOST_PIXELS + y) * 2 + p


def _apart(pixel: Array, t: Array, keep: Array, sensor_size: tuple[int, int, int]) -> Events:
    x, y, p = pixel >> 16, (pixel >> 1) % MOST_PIXELS, pixel % 2
    count = keep.sum(dtype=jnp.int32)
    return Events(x.astype(jnp.int16), y.astype(jnp.int16), t, p.astype(jnp.int8), count, sensor_size)


def first_and_last(events: Events) -> tuple[Array, Array]:
    """The times of the first and of the last event; 0 where there are none."""
    if not events.capacity:
        return jnp.zeros((), jnp.int32), jnp.zeros((), jnp.int32)
    t, count = jnp.asarray(events.t), jnp.asarray(events.count)
    return jnp.where(count > 0, t[0], 0), jnp.where(count > 0, t[jnp.maximum(count - 1, 0)], 0)


def columns(owner: str, events: Events) -> tuple[Array, Array, Array, Array]:
    """x, y, t and p of one recording, in int32; a batch is refused."""
    if np.ndim(events.count):
        raise ValueError(
            f"`{owner}` takes one recording, got a batch of shape {np.shape(events.count)}. For a batch: `jax.vmap`."
        )
    x, y, t, p = (jnp.asarray(array).astype(jnp.int32) for array in (events.x, events.y, events.t, events.p))
    return x, y, t, p


def as_whole(owner: str, name: str, value: Any, least: int = -EMPTY) -> Array:
    """One whole number, traced or not, in int32."""
    whole = type(value) is int or (hasattr(value, "dtype") and jnp.issubdtype(value.dtype, jnp.integer))
    if not whole or jnp.ndim(value):
        dtype = getattr(value, "dtype", None)
        got = repr(value) if dtype is None else f"an array of {dtype} and shape {jnp.shape(value)}"
        raise TypeError(f"`{owner}`: `{name}` must be one whole number, got {got}.")
    if not isinstance(value, Tracer) and not least <= int(value) <= EMPTY:
        raise ValueError(f"`{owner}`: `{name}` must be from {least} to {EMPTY}, got {value}.")
    return jnp.asarray(value).astype(jnp.int32)


def check_sensor(owner: str, sensor_size: Sequence[int]) -> None:
    whole = all(isinstance(n, (int, np.integer)) and not isinstance(n, bool) for n in sensor_size)
    if not (len(sensor_size) == 3 and whole):
        raise TypeError(
            f"`{owner}`: `sensor_size` must be (width, height, polarities), three whole numbers, got {sensor_size}."
        )
    if not (all(1 <= n <= MOST_PIXELS for n in sensor_size[:2]) and sensor_size[2] in (1, 2)):
        raise ValueError(
            f"`{owner}`: `sensor_size` must be a width and a height from 1 to {MOST_PIXELS} and 1 or 2 polarities, got "
            f"{sensor_size}."
        )


def _check_values(sensor_size, x, y, t, p, count) -> None:
    """That the first `count` are events in order, and the others empty."""
    problem = None
    capacity = t.shape[-1]
    if (count < 0).any() or (count > capacity).any():
        problem = f"`count` must be from 0 to the capacity, {capacity}, got {count}"
    for name, array, size in zip("xyp", (x, y, p), sensor_size, strict=True):
        if problem is None and array.size and not (array.min() >= 0 and array.max() < size):
            problem = f"`{name}` must be from 0 to {size - 1}, got values from {array.min()} to {array.max()}"
    if problem is None and (t[..., 1:] < t[..., :-1]).any():
        problem = "`t` must be in order, with 2147483647 in the places without an event"
    if problem is None and not (np.count_nonzero(t != EMPTY, axis=-1) == count).all():  # in order, they are the last
        problem = "`t` must be 2147483647 in the places without an event, and there alone"
    if problem is None and t.size and t.min() < 0:
        problem = f"`t` must be 0 or more, got {t.min()}"
    if problem is not None:
        raise ValueError(f"`data.Events`: {problem}.")


def _module_of(events: Events):
    """NumPy for events in its arrays, `jax.numpy` for others."""
    return np if all(isinstance(leaf, np.ndarray) for leaf in jax.tree.leaves(events)) else jnp
