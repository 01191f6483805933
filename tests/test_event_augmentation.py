"""What augmentation does, against the events one by one: compiled, of one recording and in batches."""

import functools
import math

import equinox as eqx
import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from recordings import CAPACITY, SENSOR, listed, made, random_recording, rows, structured

from snnax import data

WIDTH, HEIGHT, _ = SENSOR
BIG = (16, 12, 2)
SEEDS = st.integers(0, 2**32 - 1)


@functools.cache
def compiled(function):
    return eqx.filter_jit(function)


def apply(function, rows, *args):
    return listed(compiled(function)(made(rows), *args))


def in_time(rows):
    return [tuple(map(int, row)) for row in structured(rows)]


@hypothesis.given(rows(), st.integers(-9, 9), st.integers(-9, 9))
def test_a_shift_moves_events_and_removes_those_that_leave(rows, dx, dy):
    moved = [(x + dx, y + dy, t, p) for x, y, t, p in in_time(rows)]
    inside = [row for row in moved if 0 <= row[0] < WIDTH and 0 <= row[1] < HEIGHT]
    assert apply(data.shift, rows, jnp.int32(dx), jnp.int32(dy)) == inside


@hypothesis.given(rows())
def test_flips_mirror_and_undo_themselves(rows):
    events = in_time(rows)
    assert apply(data.flip_x, rows) == [(WIDTH - 1 - x, y, t, p) for x, y, t, p in events]
    assert apply(data.flip_y, rows) == [(x, HEIGHT - 1 - y, t, p) for x, y, t, p in events]
    assert apply(data.flip_polarity, rows) == [(x, y, t, 1 - p) for x, y, t, p in events]
    for flip in (data.flip_x, data.flip_y, data.flip_polarity, data.reverse_time):
        twice = compiled(flip)(compiled(flip)(made(rows)))
        assert listed(twice) == events


@hypothesis.given(rows())
def test_reversed_time_goes_from_the_last_event_to_the_first(rows):
    events = in_time(rows)
    total = events[0][2] + events[-1][2] if events else 0
    assert apply(data.reverse_time, rows) == [(x, y, total - t, p) for x, y, t, p in reversed(events)]


@hypothesis.given(rows(), st.floats(-7, 7, width=32))
def test_a_rotation_turns_about_the_middle_to_the_nearest_pixel(rows, angle):
    kept = []
    for x, y, t, p in in_time(rows):
        right, down = x - (WIDTH - 1) / 2, y - (HEIGHT - 1) / 2
        turned = (
            math.cos(angle) * right - math.sin(angle) * down + (WIDTH - 1) / 2,
            math.sin(angle) * right + math.cos(angle) * down + (HEIGHT - 1) / 2,
        )
        hypothesis.assume(all(abs(c % 1 - 0.5) > 1e-4 for c in turned))  # near the edge of a pixel either is right
        column, row = map(round, turned)
        if 0 <= column < WIDTH and 0 <= row < HEIGHT:
            kept.append((column, row, t, p))
    assert apply(data.rotate, rows, jnp.float32(angle)) == kept


def test_a_positive_angle_turns_clockwise():
    """From the upper left corner of a square, as one sees it, to the upper right."""
    assert listed(data.rotate(made([(0, 0, 1, 0), (1, 2, 2, 0)], (4, 4, 2)), math.pi / 2)) == [
        (3, 0, 1, 0),
        (1, 1, 2, 0),
    ]


@hypothesis.given(rows(), st.integers(-3, 8), st.integers(-3, 8))
def test_a_crop_has_its_own_pixels_and_sensor(rows, left, upper):
    cropped = compiled(data.crop)(made(rows), (3, 2), jnp.array([left, upper]))
    moved = [(x - left, y - upper, t, p) for x, y, t, p in in_time(rows)]
    assert listed(cropped) == [row for row in moved if 0 <= row[0] < 3 and 0 <= row[1] < 2]
    assert cropped.sensor_size == (3, 2, 2)


@hypothesis.given(rows(), st.integers(1, 9), st.integers(1, 9))
def test_downsampling_keeps_every_event(rows, by_x, by_y):
    events = data.downsample(made(rows), (by_x, by_y))
    assert listed(events) == [(x // by_x, y // by_y, t, p) for x, y, t, p in in_time(rows)]
    assert events.sensor_size == (math.ceil(WIDTH / by_x), math.ceil(HEIGHT / by_y), 2)
    assert listed(data.downsample(made(rows), by_x)) == listed(data.downsample(made(rows), (by_x, by_x)))
    frames, _ = data.bin_events(events, 1, 101)
    assert frames.sum() == len(rows)


def test_downsampling_by_more_than_the_sensor_leaves_one_pixel():
    wide = made([(2**15 - 1, 2**15 - 1, 0, 1)], (2**15, 2**15, 2))
    assert listed(data.downsample(wide, 2**15)) == listed(data.downsample(wide, 10**9)) == [(0, 0, 0, 1)]
    assert listed(data.flip_x(data.shift(data.flip_y(wide), -(2**15) + 1, 0))) == [(2**15 - 1, 0, 0, 1)]


@hypothesis.given(rows())
def test_merged_polarities_keep_every_event(rows):
    events = data.merge_polarities(made(rows))
    assert listed(events) == [(x, y, t, 0) for x, y, t, _ in in_time(rows)] and events.sensor_size == (WIDTH, HEIGHT, 1)
    merged, both = data.bin_events(events, 2, 50)[0], data.bin_events(made(rows), 2, 50)[0]
    np.testing.assert_array_equal(merged[:, 0], both.sum(1))


@hypothesis.given(rows(), st.integers(0, 120), st.integers(0, 120))
def test_a_window_of_time_starts_at_0(rows, start, duration):
    kept = [(x, y, t - start, p) for x, y, t, p in in_time(rows) if start <= t < start + duration]
    assert apply(data.crop_time, rows, jnp.int32(start), jnp.int32(duration)) == kept


@hypothesis.given(rows(), st.sampled_from([0.25, 0.5, 1.0, 1.5, 3.0]))
def test_scaled_times_are_multiples(rows, factor):
    scaled = [(x, y, round(t * factor), p) for x, y, t, p in in_time(rows)]
    assert apply(data.scale_time, rows, jnp.float32(factor)) == scaled


def test_scaled_times_that_do_not_fit_are_removed():
    events = made([(0, 0, 1, 0), (0, 0, 2**30 - 64, 0), (0, 0, 2**30, 0), (1, 1, 2**31 - 2, 1)])
    assert listed(data.scale_time(events, 2.0)) == [(0, 0, 2, 0), (0, 0, 2**31 - 128, 0)]


@hypothesis.given(rows(latest=2**31 - 2), st.lists(st.floats(0.125, 8, width=32), min_size=3, max_size=3))
def test_warped_time_has_its_speeds_and_its_ends(rows, durations):
    before = in_time(rows)
    after = apply(data.warp_time, rows, jnp.array(durations, jnp.float32))
    assert [(x, y, p) for x, y, _, p in before] == [(x, y, p) for x, y, _, p in after]
    if rows:
        first, last = before[0][2], before[-1][2]
        assert (after[0][2], after[-1][2]) == (first, last)
        ends = np.concatenate([[0], np.cumsum(durations)]) / sum(durations)
        share = (np.array([t for _, _, t, _ in before]) - first) / max(last - first, 1)
        expected = first + np.interp(share, np.linspace(0, 1, 4), ends) * (last - first)
        np.testing.assert_allclose([t for _, _, t, _ in after], expected, atol=0.6 + 4e-7 * last)


@hypothesis.given(rows(), SEEDS, st.sampled_from([0.0, 1.0, 40.0]))
def test_jittered_events_are_sorted_again_and_keep_their_pixels(rows, seed, deviation):
    events = compiled(data.jitter_time)(jr.key(seed), made(rows), deviation)
    after = listed(events)  # which checks that they are in order
    places = sorted((x, y, p) for x, y, _, p in rows)
    assert all(place in places for place in sorted((x, y, p) for x, y, _, p in after))
    if deviation == 0:
        assert after == in_time(rows)
    if all(t >= 100 for _, _, t, _ in rows) or deviation <= 1 and all(t > 10 for _, _, t, _ in rows):
        assert len(after) == len(rows)


def test_jitter_has_its_deviation_and_removes_what_leaves_the_time():
    n = 20_000
    array = np.zeros(n, structured([]).dtype)
    array["t"] = 10**6
    events = data.Events.from_structured(array, (1, 1, 2))
    t = np.asarray(data.jitter_time(jr.key(0), events, 250.0).t)
    assert abs(t.mean() - 10**6) < 8 and abs(t.std() - 250) < 5
    for time in (0, 2**31 - 2):
        array["t"] = time
        half = data.jitter_time(jr.key(1), data.Events.from_structured(array, (1, 1, 2)), 250.0)
        listed(half)
        assert abs(int(half.count) - n / 2) < 300


@hypothesis.given(rows(), SEEDS)
def test_dropped_events_are_gone_and_the_others_as_they_were(rows, seed):
    for drop in map(compiled, (data.drop_events, data.drop_by_area, data.drop_by_time)):
        none, some, all_ = (listed(drop(jr.key(seed), made(rows), jnp.float32(share))) for share in (0.0, 0.4, 1.0))
        assert none == in_time(rows) and all_ == []
        rest = iter(in_time(rows))
        assert all(row in rest for row in some)  # a part of them, in the same order


def test_drops_have_their_shares():
    many = random_recording(0, 5000, (20, 30, 2), 10**6, 5000)
    left = [int(data.drop_events(jr.key(i), many, 0.3).count) for i in range(5)]
    assert abs(np.mean(left) - 3500) < 60
    full = made([(x, y, 7, 0) for x in range(20) for y in range(30)], (20, 30, 2), 600)
    corners = set()
    for i in range(20):
        cut = data.drop_by_area(jr.key(i), full, 0.25)
        gone = {(x, y) for x in range(20) for y in range(30)} - {row[:2] for row in listed(cut)}
        columns, lines = ({place[axis] for place in gone} for axis in (0, 1))
        assert len(columns) == 10 and len(lines) == 15 and len(gone) == 150
        corners.add((min(columns), min(lines)))
    assert len(corners) > 15 and {0 <= x <= 10 and 0 <= y <= 15 for x, y in corners} == {True}
    line = made([(0, 0, t, 0) for t in range(5, 205)], capacity=200)
    starts = set()
    for i in range(20):
        gone = sorted(set(range(5, 205)) - {row[2] for row in listed(data.drop_by_time(jr.key(i), line, 0.25))})
        assert gone == list(range(gone[0], gone[0] + 50))
        starts.add(gone[0])
    assert len(starts) > 10


@hypothesis.given(rows(), SEEDS, st.integers(0, 20))
def test_noise_goes_into_free_places_and_what_finds_none_is_counted(rows, seed, number):
    noisy, lost = compiled(data.add_noise)(jr.key(seed), made(rows), jnp.int32(number))
    after, before = listed(noisy), in_time(rows)
    assert len(after) + lost == len(before) + number and (lost == 0 or noisy.count == CAPACITY)
    rest = iter(after)
    assert all(row in rest for row in before)
    if rows:
        assert {before[0][2] <= t <= before[-1][2] for _, _, t, _ in after} == {True}


def test_noise_is_everywhere_alike():
    events = data.pad_events(made([(0, 0, 1000, 0), (0, 0, 1999, 1)]), 8002)
    noisy, lost = data.add_noise(jr.key(0), events, 8000)
    assert lost == 0
    frames, _ = data.bin_events(noisy, 10)
    mean = 8000 / frames.size
    assert abs(float(frames.std()) - mean**0.5) < 0.3 and frames.shape == (10, 2, 5, 7)
    assert frames.sum((1, 2, 3)).min() > 700 and frames.sum((0, 2, 3)).min() > 3800


@hypothesis.given(rows(), rows())
def test_joined_recordings_have_the_events_of_both_in_order(one, other):
    joined = compiled(data.join_events)(made(one), made(other))
    both = in_time(one) + in_time(other)
    assert listed(joined) == sorted(both, key=lambda row: row[2]) and joined.capacity == 2 * CAPACITY


@hypothesis.given(rows(), rows(), SEEDS, st.floats(0, 1, width=32))
def test_a_mixture_takes_from_both_and_tells_how_much(one, other, seed, share):
    # Told apart by polarity.
    one, other = ([(x, y, t, p) for x, y, t, _ in each] for each, p in ((one, 0), (other, 1)))
    mixed, weight = compiled(data.mix_events)(jr.key(seed), made(one), made(other), jnp.float32(share))
    after = listed(mixed)
    for each, p in ((one, 0), (other, 1)):
        rest = iter(in_time(each))
        assert all(row in rest for row in after if row[3] == p)
    expected = sum(1 for row in after if row[3] == 0) / len(after) if after else share
    np.testing.assert_allclose(weight, expected, rtol=1e-6)
    if share in (0.0, 1.0):
        assert after == in_time(one if share else other)


def test_the_region_of_a_mixture_has_its_volume_and_divides_the_two():
    """Both recordings have an event at every place and time: each of them is once in the mixture."""
    places = [(x, y, t, 0) for x in range(16) for y in range(12) for t in range(0, 200, 10)]
    one = made(places, BIG, len(places))
    other = data.flip_polarity(one)
    for seed, share in enumerate((0.1, 0.3, 0.5, 0.8)):
        mixed, weight = data.mix_events(jr.key(seed), one, other, share)
        after = listed(mixed)
        assert sorted((x, y, t, 0) for x, y, t, _ in after) == sorted(places)
        assert abs(float(weight) - share) < 0.06
        # The region hangs together: neighbours in time are mostly on one side.
        side = {row[:3]: row[3] for row in after}
        alike = [side[x, y, t] == side[x, y, t + 10] for x, y, t, _ in places if t < 190]
        assert np.mean(alike) > 0.9
    for seed in range(5):
        weights = [float(data.mix_events(jr.key(seed), one, other, share)[1]) for share in (0.0, 1.0)]
        assert weights == [0.0, 1.0]


@hypothesis.given(rows(), SEEDS)
def test_sometimes_is_all_or_nothing(rows, seed):
    chosen = {}
    for probability in (0.0, 0.5, 1.0):
        events = compiled(data.sometimes)(jr.key(seed), jnp.float32(probability), data.flip_x, made(rows))
        chosen[probability] = listed(events)
    assert chosen[0.0] == in_time(rows) and chosen[1.0] == apply(data.flip_x, rows)
    assert chosen[0.5] in (chosen[0.0], chosen[1.0])


def test_sometimes_has_its_probability():
    events = made([(0, 0, 0, 0)])
    flipped = jax.vmap(lambda key: data.sometimes(key, 0.3, data.flip_x, events).x[0])(jr.split(jr.key(0), 2000))
    assert abs(float((flipped == WIDTH - 1).mean()) - 0.3) < 0.03


def all_of_it(key, events):
    k = jr.split(key, 9)
    events = data.shift(events, *jr.randint(k[0], (2,), -2, 3))
    events = data.sometimes(k[1], 0.5, data.flip_x, events)
    events = data.rotate(events, jr.uniform(k[2], minval=-0.2, maxval=0.2))
    events = data.scale_time(events, jr.uniform(k[3], minval=0.8, maxval=1.25))
    events = data.warp_time(events, jnp.exp(0.3 * jr.normal(k[4], (4,))))
    events = data.jitter_time(k[5], events, 20.0)
    events = data.drop_by_area(k[6], data.drop_events(k[7], events, 0.1), 0.1)
    events, lost = data.add_noise(k[8], events, 10)
    return data.crop(events, (10, 10), (3, 1)), lost


def test_a_batch_is_augmented_as_its_recordings_are_each_by_its_key():
    several = [random_recording(seed, n) for seed, n in enumerate((200, 0, 250))]
    keys = jr.split(jr.key(1), 3)
    batch, lost = jax.jit(jax.vmap(all_of_it))(keys, data.stack_events(several))
    for i, events in enumerate(several):
        one, one_lost = jax.jit(all_of_it)(keys[i], events)
        assert listed(jax.tree.map(lambda a, i=i: a[i], batch)) == listed(one) and lost[i] == one_lost
    assert batch.count[0] not in (0, 200) and len(set(map(tuple, batch.x.tolist()))) > 1


BATCH_OF_TWO = data.stack_events([made([(0, 0, 0, 0)])] * 2)
ONE = made([(0, 0, 0, 0)])
MERGED = data.merge_polarities(ONE)
KEY = jr.key(0)


@pytest.mark.parametrize(
    "call, kind, message",
    [
        (lambda: data.shift(ONE, 0.5, 0), TypeError, "`data.shift`: `dx` must be one whole number, got 0.5"),
        (lambda: data.shift(ONE, 0, 2**40), ValueError, "`data.shift`: `dy` must be from"),
        (lambda: data.crop(ONE, (0, 3), (0, 0)), ValueError, "`data.crop`: `size` must be a whole number of 1 or more"),
        (
            lambda: data.crop(ONE, (3, 3), (0.0, 0)),
            TypeError,
            "`data.crop`: `corner` must be one whole number, got 0.0",
        ),
        (lambda: data.crop(ONE, (3, 2**16), (0, 0)), ValueError, "a width and a height from 1 to 32768"),
        (
            lambda: data.crop(ONE, (3,), (0, 0)),
            ValueError,
            r"`data.crop`: `size` must be a pair for x and y, got \(3,\)",
        ),
        (
            lambda: data.crop(ONE, (3, 3), jnp.zeros(3, int)),
            ValueError,
            "`data.crop`: `corner` must be a pair for x and y",
        ),
        (lambda: data.downsample(ONE, (1, 2, 3)), ValueError, "`data.downsample`: `factor` must be a pair for x and y"),
        (lambda: data.crop_time(ONE, 1e3, 5), TypeError, "`data.crop_time`: `start` must be one whole number"),
        (
            lambda: data.downsample(ONE, 0),
            ValueError,
            "`data.downsample`: `factor` must be a whole number of 1 or more",
        ),
        (lambda: data.flip_polarity(MERGED), ValueError, "takes events of two polarities, got one"),
        (
            lambda: data.scale_time(ONE, 0.0),
            ValueError,
            r"`data.scale_time`: `factor` must be in .*, got values from 0.0",
        ),
        (lambda: data.warp_time(ONE, jnp.array([1.0, -1.0])), ValueError, "`data.warp_time`: `durations` must be in"),
        (lambda: data.warp_time(ONE, jnp.ones((2, 2))), ValueError, r"must have the shape \(parts,\), got \(2, 2\)"),
        (lambda: data.jitter_time(KEY, ONE, -1), ValueError, r"`deviation` must be a number in \[0, 1e\+06\], got -1"),
        (lambda: data.drop_events(KEY, ONE, 1.5), ValueError, r"`data.drop_events`: `probability` must be in \[0, 1\]"),
        (lambda: data.drop_by_area(KEY, ONE, -0.1), ValueError, r"`data.drop_by_area`: `share` must be in \[0, 1\]"),
        (lambda: data.drop_by_time(KEY, ONE, 2.0), ValueError, r"`data.drop_by_time`: `share` must be in \[0, 1\]"),
        (
            lambda: data.add_noise(KEY, ONE, -1),
            ValueError,
            "`data.add_noise`: `number` must be from 0 to 2147483647, got -1",
        ),
        (
            lambda: data.add_noise(KEY, ONE, 1.5),
            TypeError,
            "`data.add_noise`: `number` must be one whole number, got 1.5",
        ),
        (
            lambda: data.join_events(ONE, MERGED),
            ValueError,
            r"one sensor size, got \(7, 5, 2\) and \(7, 5, 1\). `data.crop`",
        ),
        (lambda: data.mix_events(KEY, ONE, ONE, 1.1), ValueError, r"`data.mix_events`: `share` must be in \[0, 1\]"),
        (
            lambda: data.mix_events(KEY, ONE, ONE, 0.5, blobs=0),
            ValueError,
            "`blobs` must be a whole number of 1 or more",
        ),
        (lambda: data.sometimes(KEY, 2.0, data.flip_x, ONE), ValueError, r"`probability` must be in \[0, 1\]"),
        (
            lambda: data.sometimes(KEY, 0.5, data.merge_polarities, ONE),
            ValueError,
            r"`function` must keep the capacity and the sensor size, 16 and \(7, 5, 2\); it gives 16 and \(7, 5, 1\)",
        ),
        *(
            (
                lambda function=function: function(BATCH_OF_TWO),
                ValueError,
                r"takes one recording, .* For a batch: `jax.vmap`",
            )
            for function in (
                data.flip_x,
                data.flip_y,
                data.flip_polarity,
                data.reverse_time,
                lambda events: data.shift(events, 1, 1),
                lambda events: data.rotate(events, 0.1),
                lambda events: data.crop(events, (2, 2), (0, 0)),
                lambda events: data.crop_time(events, 0, 5),
                lambda events: data.scale_time(events, 0.5),
                lambda events: data.warp_time(events, jnp.ones(2)),
                lambda events: data.jitter_time(KEY, events, 1.0),
                lambda events: data.drop_events(KEY, events, 0.5),
                lambda events: data.drop_by_area(KEY, events, 0.5),
                lambda events: data.drop_by_time(KEY, events, 0.5),
                lambda events: data.add_noise(KEY, events, 1),
                lambda events: data.join_events(ONE, events),
                lambda events: data.mix_events(KEY, events, ONE, 0.5),
            )
        ),
    ],
)
def test_what_cannot_be_done_is_refused(call, kind, message, unchecked):
    with pytest.raises(kind, match=message):
        call()
