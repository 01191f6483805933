"""Events left out at random."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, Float, PRNGKeyArray

from ..functional._arguments import check_range
from ..functional._encoding import UNIT
from ._events import Events, columns, first_and_last, kept


def drop_events(key: PRNGKeyArray, events: Events, probability: float | Float[Array, ""]) -> Events:
    """Each event left out with a probability.

    Source: F. Gu, W. Sng, X. Hu and F. Yu 2021, EventDrop, arXiv:2106.05836.

    **Arguments:** `key`; `events`: one recording; `probability`: in [0, 1], may be traced.
    """
    columns("data.drop_events", events)
    check_range("data.drop_events", "probability", probability, UNIT)
    return kept(events, ~jr.bernoulli(key, probability, (events.capacity,)))


def drop_by_area(key: PRNGKeyArray, events: Events, share: float | Float[Array, ""]) -> Events:
    """The events in a rectangle left out, which lies anywhere on the sensor and has its proportions.

    Source: as `data.drop_events`.

    **Arguments:** `key`; `events`: one recording; `share`: of the sensor's area, in [0, 1], may be traced. The
    sides are rounded to whole pixels.
    """
    x, y, _, _ = columns("data.drop_by_area", events)
    check_range("data.drop_by_area", "share", share, UNIT)
    inside = jnp.ones(events.capacity, bool)
    side = jnp.sqrt(jnp.asarray(share, jnp.float32))
    for each, place, size in zip(jr.split(key), (x, y), events.sensor_size, strict=False):
        length = jnp.round(side * size).astype(jnp.int32)
        since = place - jr.randint(each, (), 0, size - length + 1, dtype=jnp.int32)
        inside &= (since >= 0) & (since < length)
    return kept(events, ~inside)


def drop_by_time(key: PRNGKeyArray, events: Events, share: float | Float[Array, ""]) -> Events:
    """The events in an interval of time left out, which lies anywhere between the first and the last.

    Source: as `data.drop_events`.

    **Arguments:** `key`; `events`: one recording; `share`: of the time from the first event to the last, in [0, 1], may
    be traced.
    """
    _, _, t, _ = columns("data.drop_by_time", events)
    check_range("data.drop_by_time", "share", share, UNIT)
    first, last = first_and_last(events)
    span = last - first + 1
    length = jnp.round(jnp.asarray(share, jnp.float32) * span.astype(jnp.float32)).astype(jnp.int32)
    length = jnp.minimum(length, span)  # in float32 a long span may be rounded up
    since = t - first - jr.randint(key, (), 0, span - length + 1, dtype=jnp.int32)
    return kept(events, (since < 0) | (since >= length))


def sometimes(
    key: PRNGKeyArray, probability: float | Float[Array, ""], function: Callable[[Events], Events], events: Events
) -> Events:
    """`function(events)` with a probability, and otherwise `events`.

        events = data.sometimes(key, 0.5, data.flip_x, events)

    **Arguments:** `key`; `probability`: in [0, 1], may be traced; `function`: keeps the capacity and the sensor size;
    `events`.
    """
    check_range("data.sometimes", "probability", probability, UNIT)
    new = function(events)
    if new.capacity != events.capacity or new.sensor_size != events.sensor_size:
        raise ValueError(
            f"`data.sometimes`: `function` must keep the capacity and the sensor size, {events.capacity} and "
            f"{events.sensor_size}; it gives {new.capacity} and {new.sensor_size}."
        )
    chosen = jr.bernoulli(key, probability)
    return jax.tree.map(lambda a, b: jnp.where(chosen, a, b), new, events)
