"""More events: of noise, or of another recording."""

import jax.numpy as jnp
import jax.random as jr
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Float32, Int32, PRNGKeyArray

from ..functional._arguments import check_range
from ..functional._encoding import UNIT, as_count
from ._events import Events, as_whole, columns, first_and_last, in_order, kept

_GRID = 16


def add_noise(key: PRNGKeyArray, events: Events, number: ArrayLike) -> tuple[Events, Int32[Array, ""]]:
    """The recording and events that are nowhere and at no time likelier than elsewhere, between its first and its last.

        events, lost = data.add_noise(key, data.pad_events(events, events.capacity + 1000), 1000)

    **Arguments:** `key`; `events`: one recording; `number`: of new events, 0 or more, may be traced, such as
    `jr.poisson(key, mean)`.

    **Returns:** the events, in the same capacity; and how many of the new ones found no place in it.
    """
    owner = "data.add_noise"
    own = columns(owner, events)
    number = as_whole(owner, "number", number, 0)
    added = jnp.minimum(number, events.capacity - events.count)
    place = jnp.arange(events.capacity, dtype=jnp.int32)
    width, height, polarities = events.sensor_size
    first, last = first_and_last(events)
    drawn = [
        jr.randint(key, (events.capacity,), *ends, dtype=jnp.int32)
        for key, ends in zip(
            jr.split(key, 4), ((0, width), (0, height), (first, last + 1), (0, polarities)), strict=True
        )
    ]
    is_new = place >= events.count
    x, y, t, p = (jnp.where(is_new, new, old) for new, old in zip(drawn, own, strict=True))
    return in_order(x, y, t, p, place < events.count + added, events.sensor_size), number - added


def join_events(first: Events, second: Events) -> Events:
    """The events of two recordings of one sensor, `first` and `second`, in order of time; the capacity is their sum.

    At the same time, those of `first` come first.
    """
    owner = "data.join_events"
    both = [columns(owner, events) for events in (first, second)]
    if first.sensor_size != second.sensor_size:
        raise ValueError(
            f"`{owner}` takes recordings of one sensor size, got {first.sensor_size} and {second.sensor_size}. "
            "`data.crop`, `data.downsample` and `data.merge_polarities` change it."
        )
    x, y, t, p = (jnp.concatenate(pair) for pair in zip(*both, strict=True))
    keep = jnp.concatenate([first.valid, second.valid])
    return in_order(x, y, t, p, keep, first.sensor_size)


def mix_events(
    key: PRNGKeyArray, first: Events, second: Events, share: float | Float[Array, ""], *, blobs: int = 3
) -> tuple[Events, Float32[Array, ""]]:
    r"""Two recordings in one: the first inside of a random region of space and time, the second outside of it.

    $$M(z) = \Big[\sum_{j=1}^{K} \exp\Big(-\sum_{d=1}^{3} \frac{(z_d - \mu_{jd})^2}{2 \sigma_{jd}^2}\Big) \ge c\Big]$$

    with $z$ the place and time of an event in units of the sensor and of the time that both recordings take, $\mu$
    uniform in [0, 1], $\sigma$ uniform in [0.1, 0.5], and $c$ such that the region has the volume `share`, as far as a
    grid of 16 by 16 by 16 points tells.

        events, weight = data.mix_events(key, one, other, jr.uniform(k1))
        loss = weight * F.cross_entropy(scores, label_of_one) + (1 - weight) * F.cross_entropy(scores, label_of_other)

    Source: G. Shen, D. Zhao and Y. Zeng 2023, EventMix, doi:10.1016/j.ins.2023.119170, whose labels go by the number of
    events too, or by distances.

    **Arguments:** `key`; `first`, `second`: recordings of one sensor size; `share`: of the region, in [0, 1], may be
    traced; `blobs`: $K$, static. Default 3.

    **Returns:** the events, with the sum of both capacities; and the part of them that is of the first recording, in
    float32 (`share` if there are none).
    """
    owner = "data.mix_events"
    check_range(owner, "share", share, UNIT)
    blobs = as_count(owner, "blobs", blobs)
    share = jnp.asarray(share, jnp.float32)
    places = [columns(owner, events)[:3] for events in (first, second)]
    ends = [first_and_last(events) for events in (first, second)]
    begin, end = jnp.minimum(ends[0][0], ends[1][0]), jnp.maximum(ends[0][1], ends[1][1])
    k1, k2 = jr.split(key)
    middle = jr.uniform(k1, (blobs, 3), jnp.float32)
    width = jr.uniform(k2, (blobs, 3), jnp.float32, 0.1, 0.5)

    def height(z):
        return jnp.exp(-(((z[..., None, :] - middle) / width) ** 2).sum(-1) / 2).sum(-1)

    def height_at(x, y, t):
        spans = (*first.sensor_size[:2], jnp.maximum(end - begin, 1))
        pairs = zip((x, y, t - begin), spans, strict=True)
        shares = [place.astype(jnp.float32) / jnp.asarray(span, jnp.float32) for place, span in pairs]
        return height(jnp.stack(shares, axis=-1))

    line = (jnp.arange(_GRID, dtype=jnp.float32) + 0.5) / _GRID
    grid = jnp.stack(jnp.meshgrid(line, line, line), axis=-1)
    level = jnp.quantile(height(grid), 1 - share)
    # Nothing is above the highest point of the grid, and nothing below the lowest.
    level = jnp.where(share == 0, jnp.inf, jnp.where(share == 1, -jnp.inf, level))
    inside = kept(first, height_at(*places[0]) >= level)
    outside = kept(second, height_at(*places[1]) < level)
    mixed = join_events(inside, outside)
    weight = inside.count.astype(jnp.float32) / jnp.maximum(mixed.count, 1).astype(jnp.float32)
    return mixed, jnp.where(mixed.count > 0, weight, share)
