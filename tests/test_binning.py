"""Every event is in one frame or counted as outside, and frames tell what they say."""

import functools
import math

import equinox as eqx
import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from recordings import CAPACITY, SENSOR, listed, made, random_recording, rows, structured

from snnax import data


@functools.partial(jax.jit, static_argnames=("steps", "dt", "mode"))
def binned(events, steps, dt=None, start=None, mode=data.Counts()):
    return data.bin_events(events, steps, dt, start=start, mode=mode)


def frames_by_loop(rows, steps, dt, start, sensor_size=SENSOR):
    """Counts, one event after the other, and how many are outside; `dt` may be a fraction."""
    width, height, polarities = sensor_size
    frames, outside = np.zeros((steps, polarities, height, width), int), 0
    for x, y, t, p in rows:
        step = math.floor((t - start) / dt)
        if 0 <= step < steps:
            frames[step, p, y, x] += 1
        else:
            outside += 1
    return frames, outside


@hypothesis.given(rows(), st.sampled_from([(1, 1), (3, 7), (8, 20), (5, 100)]), st.integers(0, 120))
def test_steps_of_a_length_hold_what_falls_into_them(rows, shape, start):
    steps, dt = shape
    frames, outside = binned(made(rows), steps, dt, start)
    expected, left_out = frames_by_loop(structured(rows), steps, dt, start)
    np.testing.assert_array_equal(frames, expected)
    assert frames.dtype == jnp.int32 and outside == left_out and frames.sum() + outside == len(rows)


@hypothesis.given(rows(latest=2**31 - 2), st.sampled_from([1, 3, 8, 1000]), st.booleans())
def test_equal_parts_hold_every_event(rows, steps, from_zero):
    frames, outside = binned(made(rows), steps, None, 0 if from_zero else None)
    assert outside == 0 and frames.sum() == len(rows)
    times = [row[2] for row in rows]
    first = 0 if from_zero or not rows else min(times)
    span = max([*times, first]) - first + 1
    for x, y, t, p in rows:
        assert frames[(int(t) - first) * steps // span, p, y, x] >= 1


def test_equal_parts_are_cut_exactly_where_floats_are_not():
    rng = np.random.default_rng(0)
    sensor = (1, 1, 2)
    for steps, span in ((46340, 2**31 - 1), (46340, 46341), (997, 1_500_001), (7, 3), (1000, 1), (3, 2**31 - 1)):
        edges = [(k * span) // steps for k in rng.integers(0, steps + 1, 30).tolist()]
        near = [edge + off for edge in edges for off in (-1, 0, 1, 2)]
        times = np.unique([0, span - 1, *(t for t in near if 0 <= t < span), *rng.integers(0, span, 50)])
        times = times[times <= 2**31 - 2]
        events = made([(0, 0, t, 0) for t in times.tolist()], sensor, 256)
        frames, outside = binned(events, steps)
        expected = np.zeros(steps, int)
        span = int(times[-1]) + 1
        np.add.at(expected, [int(t) * steps // span for t in times], 1)
        assert outside == 0
        np.testing.assert_array_equal(frames[:, 0, 0, 0], expected)


@hypothesis.given(rows())
def test_modes_follow_from_counts(rows):
    events = made(rows)
    counts, outside = binned(events, 4, 20)
    for mode, expected in (
        (data.Clipped(2), np.minimum(counts, 2).astype(np.uint8)),
        (data.Binary(), (counts > 0).astype(np.uint8)),
        (data.Signed(), counts[:, 1:] - counts[:, :1]),
    ):
        frames, same = binned(events, 4, 20, mode=mode)
        np.testing.assert_array_equal(frames, expected)
        assert frames.dtype == expected.dtype and same == outside


def test_a_pixel_that_fires_more_often_than_int16_counts_is_counted():
    t = np.arange(40_000, dtype=np.int64)
    array = np.zeros(t.size, structured([]).dtype)
    array["t"], array["p"] = t, 1
    events = data.Events.from_structured(array, (1, 1, 2))
    frames, _ = binned(events, 1)
    assert frames[0, 1, 0, 0] == 40_000
    assert binned(events, 1, mode=data.Signed())[0][0, 0, 0, 0] == 40_000
    assert binned(events, 1, mode=data.Clipped(255))[0][0, 1, 0, 0] == 255
    assert binned(events, 1, mode=data.Binary())[0][0, 1, 0, 0] == 1


def test_off_is_channel_0_and_rows_come_before_columns():
    frames, _ = binned(made([(6, 1, 5, 0), (0, 4, 15, 1)]), 2, 10)
    assert frames.shape == (2, 2, 5, 7) and frames[0, 0, 1, 6] == frames[1, 1, 4, 0] == 1
    signed, _ = binned(made([(6, 1, 5, 0), (0, 4, 15, 1)]), 2, 10, mode=data.Signed())
    assert signed.shape == (2, 1, 5, 7) and signed[0, 0, 1, 6] == -1 and signed[1, 0, 4, 0] == 1


def test_one_polarity_has_one_channel(unchecked):
    events = made([(0, 0, 5, 0), (3, 0, 6, 0)], (4, 1, 1))
    frames, _ = data.bin_events(events, 1)
    assert frames.shape == (1, 1, 1, 4) and frames[0, 0, 0].tolist() == [1, 0, 0, 1]
    with pytest.raises(ValueError, match="`data.Signed`: there is no sign where there is one polarity"):
        data.bin_events(events, 1, mode=data.Signed())


def test_an_empty_recording_gives_empty_frames():
    for events in (made([]), made([], capacity=0)):
        for dt in (None, 10):
            frames, outside = data.bin_events(events, 3, dt)
            assert frames.shape == (3, 2, 5, 7) and not frames.any() and outside == 0


def test_places_without_an_event_are_in_no_frame():
    """Their time is 2147483647, which is within these frames."""
    frames, outside = data.bin_events(made([(1, 1, 2_000_000_000, 1)]), 2, 10**8, start=1_999_999_990)
    assert frames.sum() == 1 and outside == 0 and frames[0, 1, 1, 1] == 1


def test_what_is_outside_can_be_refused(unchecked):
    @eqx.filter_jit
    def all_in(events):
        frames, outside = data.bin_events(events, 2, 10)
        return eqx.error_if(frames, outside > 0, "events outside of the frames")

    assert all_in(made([(0, 0, 19, 0)])).sum() == 1
    with pytest.raises(Exception, match="events outside of the frames"):
        all_in(made([(0, 0, 20, 0)])).block_until_ready()


def test_a_batch_equals_its_recordings():
    several = [random_recording(seed, n) for seed, n in enumerate((200, 0, 77))]
    for mode in (data.Counts(), data.Binary(), data.Clipped(2), data.Signed()):
        one = functools.partial(data.bin_events, steps=10, mode=mode)
        frames, outside = jax.jit(jax.vmap(one))(data.stack_events(several))
        in_turn, _ = jax.jit(lambda batch, one=one: jax.lax.map(one, batch))(data.stack_events(several))
        for i, events in enumerate(several):
            expected, _ = one(events)
            np.testing.assert_array_equal(frames[i], expected)
            np.testing.assert_array_equal(in_turn[i], expected)
        assert not outside.any()


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"steps": 0}, "`steps` must be a whole number of 1 or more, got 0"),
        ({"steps": 2, "dt": 0}, "`dt` must be a whole number of 1 or more, got 0"),
        ({"steps": 2, "dt": 0.01}, "`dt` must be a whole number of 1 or more, got 0.01"),
        ({"steps": 46341}, "a recording is cut into 46340 parts at most, got 46341. Give `dt`"),
        ({"steps": 2, "dt": 2**30}, "2 steps of 1073741824 microseconds are longer than a recording can be"),
        ({"steps": 2**25, "dt": 50}, r"frames of shape \(33554432, 2, 5, 7\) have too many cells"),
    ],
)
def test_frames_that_cannot_be_are_refused(arguments, message, unchecked):
    with pytest.raises(ValueError, match=f"`data.bin_events`: {message}"):
        data.bin_events(made([]), **arguments)


def test_a_start_that_is_no_time_is_refused(unchecked):
    for start, kind, message in (
        (0.5, TypeError, "`start` must be one whole number, got 0.5"),
        (True, TypeError, "`start` must be one whole number, got True"),
        (np.zeros(2, int), TypeError, r"`start` must be one whole number, got an array of int64 and shape \(2,\)"),
        (2**31, ValueError, "`start` must be from 0 to 2147483647, got 2147483648"),
        (-1, ValueError, "`start` must be from 0 to 2147483647, got -1"),
    ):
        with pytest.raises(kind, match=f"`data.bin_events`: {message}"):
            data.bin_events(made([]), 2, 10, start=start)


def test_a_step_that_is_traced_is_refused_with_the_remedy(unchecked):
    with pytest.raises(ValueError, match="A traced one must be made static: `static_argnames`"):
        jax.jit(data.bin_events)(made([]), 3)


@pytest.mark.parametrize("most", [0, 256, 1.5, True])
def test_a_clip_that_bytes_do_not_hold_is_refused(most, unchecked):
    with pytest.raises(ValueError, match="`data.Clipped`: `most` must be "):
        data.Clipped(most)


@hypothesis.settings(max_examples=50)
@hypothesis.given(st.integers(0, 2**16), st.sampled_from([137, 1000]))
def test_frames_are_those_of_tonic_where_it_gives_some(seed, dt):
    tonic = pytest.importorskip("tonic")
    events = random_recording(seed)
    array = events.to_structured()
    first, last = array["t"][[0, -1]]
    to_frame = functools.partial(tonic.transforms.ToFrame, events.sensor_size)
    theirs = to_frame(time_window=dt, include_incomplete=True)(array)
    frames, outside = data.bin_events(events, int(last - first) // dt + 1, dt, start=first)
    np.testing.assert_array_equal(frames[: len(theirs)], theirs)
    # An event just when tonic's last window ends is in none of them.
    assert (
        outside == 0
        and len(theirs) in (len(frames), len(frames) - 1)
        and theirs.sum() + frames[len(theirs) :].sum() == 200
    )
    theirs = to_frame(n_time_bins=7)(array)
    frames, outside = data.bin_events(events, 7, int(last - first) // 7, start=first)
    np.testing.assert_array_equal(frames, theirs)
    assert outside > 0 and frames.sum() + outside == 200


def test_what_tonic_loses_is_there():
    """Documented beside `data.bin_events`: parts cut off at the end, recordings shorter than their frames, overflow."""
    tonic = pytest.importorskip("tonic")
    events = random_recording(1)
    frames, outside = data.bin_events(events, 7)
    assert (
        frames.sum() == 200 > tonic.transforms.ToFrame(events.sensor_size, n_time_bins=7)(events.to_structured()).sum()
    )
    short = made([(0, 0, t, 1) for t in range(4)])
    frames, _ = data.bin_events(short, 9)
    assert frames.sum() == 4 and not tonic.transforms.ToFrame(SENSOR, n_time_bins=9)(short.to_structured()).any()
    many = np.zeros(40_000, structured([]).dtype)
    many["t"] = np.arange(many.size)
    frames, _ = data.bin_events(data.Events.from_structured(many, (1, 1, 2)), 1)
    assert frames.sum() == 40_000
    assert tonic.transforms.ToFrame((1, 1, 2), n_time_bins=1)(many).sum() < 0
    empty = tonic.transforms.ToFrame(SENSOR, n_time_bins=3)(structured([]))
    assert empty.shape == (3, 2, 7, 5) and data.bin_events(made([]), 3)[0].shape == (3, 2, 5, 7)
    assert listed(made([], capacity=CAPACITY)) == []
