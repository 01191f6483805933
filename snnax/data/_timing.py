"""Events at other times."""

import jax
import jax.numpy as jnp
import jax.random as jr
from jax.typing import ArrayLike
from jaxtyping import Float, PRNGKeyArray

from .._parameter import Interval
from ..functional._arguments import check_range
from ..functional._encoding import as_number
from ._events import EMPTY, Events, as_whole, changed, columns, first_and_last, in_order, kept
from ._structured import LATEST

_POSITIVE = Interval(float(jnp.finfo(jnp.float32).tiny))


def reverse_time(events: Events) -> Events:
    """The `events` of a recording from its end to its beginning, between the same first and last times.

    A scene that runs backwards turns bright what it turned dark: `data.flip_polarity(data.reverse_time(events))`.
    """
    backwards = columns("data.reverse_time", events)
    first, last = first_and_last(events)
    place = jnp.arange(events.capacity, dtype=jnp.int32)
    place = jnp.where(events.valid, events.count - 1 - place, place)
    x, y, t, p = (column[place] for column in backwards)
    return changed(events, x, y, first + (last - t), p)


def crop_time(events: Events, start: ArrayLike, duration: ArrayLike) -> Events:
    """The events from `start` on and before `start + duration`, with times from `start`; the others are removed.

    **Arguments:** `events`: one recording; `start`, `duration`: in microseconds, whole numbers, which may be traced.
    """
    owner = "data.crop_time"
    _, _, t, _ = columns(owner, events)
    start, duration = as_whole(owner, "start", start), as_whole(owner, "duration", duration)
    since = t - start
    return kept(events, (since >= 0) & (since < duration), t=since)


def scale_time(events: Events, factor: Float[ArrayLike, ""]) -> Events:
    """All times multiplied by `factor`; events later than 35 minutes are removed.

        events = data.scale_time(events, jr.uniform(key, minval=0.8, maxval=1.25))

    **Arguments:** `events`: one recording; `factor`: positive, may be traced. Above 1 the recording is slower. Times
    are rounded to whole microseconds and, as this is done in float32, to one part in ten million.
    """
    owner = "data.scale_time"
    _, _, t, _ = columns(owner, events)
    check_range(owner, "factor", factor, _POSITIVE)
    t = jnp.round(t.astype(jnp.float32) * jnp.asarray(factor, jnp.float32))
    fits = t < float(EMPTY)
    return kept(events, fits, t=jnp.where(fits, t, 0.0).astype(jnp.int32))


def warp_time(events: Events, durations: Float[ArrayLike, " parts"]) -> Events:
    """The recording at several speeds: its equal parts get other durations, and the whole keeps its own.

        events = data.warp_time(events, jnp.exp(0.3 * jr.normal(key, (4,))))

    **Arguments:** `events`: one recording; `durations`: of the parts relative to each other, positive, may be traced.
    The first and the last event keep their times; the others are rounded as by `data.scale_time`.
    """
    owner = "data.warp_time"
    _, _, t, _ = columns(owner, events)
    check_range(owner, "durations", durations, _POSITIVE)
    durations = jnp.asarray(durations, jnp.float32)
    if durations.ndim != 1 or durations.size == 0:
        raise ValueError(f"`{owner}`: `durations` must have the shape (parts,), got {durations.shape}.")
    first, last = first_and_last(events)
    since, span = t - first, last - first
    before = jnp.linspace(0, 1, durations.size + 1, dtype=jnp.float32)
    after = jnp.concatenate([jnp.zeros(1, jnp.float32), jnp.cumsum(durations) / durations.sum()])
    share = since.astype(jnp.float32) / jnp.maximum(span, 1).astype(jnp.float32)
    warped = jnp.round(jnp.interp(share, before, after) * span.astype(jnp.float32)).astype(jnp.int32)
    # In order and within the recording whatever the rounding.
    warped = jax.lax.cummax(jnp.where(since < span, jnp.minimum(warped, span), span))
    return changed(events, t=first + warped)


def jitter_time(key: PRNGKeyArray, events: Events, deviation: int | float) -> Events:
    """Every event moved in time at random, and all of them sorted again; those that come to lie before 0, or after 35
    minutes, are removed.

    **Arguments:** `key`; `events`: one recording; `deviation`: the standard deviation of the normally distributed
    shifts, in microseconds, 0 or more. Shifts are rounded to whole microseconds.
    """
    owner = "data.jitter_time"
    x, y, t, p = columns(owner, events)
    deviation = as_number(owner, "deviation", deviation, Interval(0.0, 1e6))
    moved = jnp.round(deviation * jr.normal(key, (events.capacity,), jnp.float32)).astype(jnp.int32)
    inside = events.valid & (moved >= -t) & (moved <= LATEST - t)
    return in_order(x, y, t + jnp.where(inside, moved, 0), p, inside, events.sensor_size)
