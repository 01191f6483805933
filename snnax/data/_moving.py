"""Events at other pixels."""

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from ..functional._encoding import as_count
from ._events import MOST_PIXELS, Events, as_whole, changed, columns, kept


def shift(events: Events, dx: ArrayLike, dy: ArrayLike) -> Events:
    """All events moved by whole pixels; those that leave the sensor are removed.

        events = data.shift(events, *jr.randint(key, (2,), -3, 4))

    **Arguments:** `events`: one recording; `dx` to the right and `dy` downwards, whole numbers, which may be traced.
    """
    owner = "data.shift"
    x, y, _, _ = columns(owner, events)
    return _moved(events, x + as_whole(owner, "dx", dx), y + as_whole(owner, "dy", dy))


def flip_x(events: Events) -> Events:
    """The `events` mirrored, left to right. Labels that say left or right change with it."""
    x, _, _, _ = columns("data.flip_x", events)
    return changed(events, x=events.sensor_size[0] - 1 - x)


def flip_y(events: Events) -> Events:
    """The `events` mirrored, top to bottom."""
    _, y, _, _ = columns("data.flip_y", events)
    return changed(events, y=events.sensor_size[1] - 1 - y)


def rotate(events: Events, angle: Float[ArrayLike, ""]) -> Events:
    """Turned about the middle of the sensor, each event to the nearest pixel; those that leave it are removed.

        events = data.rotate(events, jr.uniform(key, minval=-0.2, maxval=0.2))

    **Arguments:** `events`: one recording; `angle`: in radians, clockwise as one sees the image, may be traced.
    """
    x, y, _, _ = columns("data.rotate", events)
    width, height, _ = events.sensor_size
    cosine, sine = (function(jnp.asarray(angle, jnp.float32)) for function in (jnp.cos, jnp.sin))
    middle_x, middle_y = (width - 1) / 2, (height - 1) / 2
    x, y = x.astype(jnp.float32) - middle_x, y.astype(jnp.float32) - middle_y
    turned_x, turned_y = cosine * x - sine * y + middle_x, sine * x + cosine * y + middle_y
    return _moved(events, jnp.round(turned_x).astype(jnp.int32), jnp.round(turned_y).astype(jnp.int32))


def crop(events: Events, size: Sequence[int], corner: Sequence[ArrayLike] | Array | np.ndarray) -> Events:
    """The events in a window, in pixels of the window; the others are removed.

        events = data.crop(events, (96, 96), jr.randint(key, (2,), 0, 128 - 96 + 1))

    **Arguments:** `events`: one recording; `size`: the width and the height of the window, which become those of the
    sensor, static; `corner`: the pixel (x, y) of the sensor at its upper left, may be traced.
    """
    owner = "data.crop"
    x, y, _, _ = columns(owner, events)
    width, height = (as_count(owner, "size", n) for n in _pair(owner, "size", size))
    left, upper = (as_whole(owner, "corner", at) for at in _pair(owner, "corner", corner))
    return _moved(events, x - left, y - upper, (width, height, events.sensor_size[2]))


def downsample(events: Events, factor: int | tuple[int, int]) -> Events:
    """Pixels merged in blocks: all events are kept, in their order.

    **Arguments:** `events`; `factor`: the width and height of a block, a whole number or a pair of them, static. Where
    it does not divide the sensor, the blocks at the right and at the lower edge are smaller.
    """
    owner = "data.downsample"
    factors = _pair(owner, "factor", factor) if isinstance(factor, tuple) else (factor, factor)
    by_x, by_y = (as_count(owner, "factor", n) for n in factors)
    width, height, polarities = events.sensor_size
    x, y = (
        (array.astype(np.int32) // np.int32(min(by, MOST_PIXELS))).astype(np.int16)
        for array, by in ((events.x, by_x), (events.y, by_y))
    )
    sensor_size = -(-width // by_x), -(-height // by_y), polarities
    return Events(x, y, events.t, events.p, events.count, sensor_size)


def merge_polarities(events: Events) -> Events:
    """ON and OFF `events` alike: all are kept, with polarity 0, as from a sensor with one polarity."""
    width, height, _ = events.sensor_size
    return Events(events.x, events.y, events.t, events.p * np.int8(0), events.count, (width, height, 1))


def flip_polarity(events: Events) -> Events:
    """The `events` with ON and OFF exchanged."""
    _, _, _, p = columns("data.flip_polarity", events)
    if events.sensor_size[2] == 1:
        raise ValueError("`data.flip_polarity` takes events of two polarities, got one.")
    return changed(events, p=1 - p)


def _pair(owner: str, name: str, values: Any) -> Any:
    if len(values) != 2:
        raise ValueError(f"`{owner}`: `{name}` must be a pair for x and y, got {values}.")
    return values


def _moved(events: Events, x: Array, y: Array, sensor_size: tuple[int, int, int] | None = None) -> Events:
    """The events at new pixels, without those that are not on the sensor."""
    width, height, _ = sensor_size or events.sensor_size
    inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    return kept(events, inside, x=x, y=y, sensor_size=sensor_size)
