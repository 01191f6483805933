"""Recordings go into `data.Events` and out again unchanged, or are refused with a reason."""

import hypothesis
import hypothesis.extra.numpy as hnp
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from recordings import CAPACITY, SENSOR, listed, made, random_recording, rows, structured

from snnax import data


@hypothesis.given(
    rows(),
    st.permutations("xytp"),
    st.tuples(*(st.sampled_from(["<i2", ">i4", "<i8", "<u2", "<u8", "<f4", ">f8"]) for _ in "xyt")),
    st.sampled_from(["?", "<i1", "<u8", "<f2"]),
)
def test_a_structured_array_goes_in_and_out_in_any_order_of_fields_and_any_dtype(rows, order, dtypes, polarity):
    array = structured(rows)
    types = dict(zip("xyt", dtypes, strict=True)) | {"p": polarity}
    given = np.empty(len(array), [(name, types[name]) for name in order])
    for name in order:
        given[name] = array[name]
    events = data.Events.from_structured(given, SENSOR, capacity=CAPACITY)
    assert events.count == len(array) and events.capacity == CAPACITY
    np.testing.assert_array_equal(events.to_structured(), array)
    assert (events.t[len(array) :] == 2**31 - 1).all() and not events.x[len(array) :].any()
    np.testing.assert_array_equal(events.valid, np.arange(CAPACITY) < len(array))


def test_what_tonic_gives_goes_in_with_its_sensor_size():
    tonic = pytest.importorskip("tonic")
    array = tonic.io.make_structured_array([3, 1], [2, 0], [10, 20], [True, False], dtype=tonic.io.events_struct)
    events = data.Events.from_structured(array, tonic.datasets.NMNIST.sensor_size)
    assert listed(events) == [(3, 2, 10, 1), (1, 0, 20, 0)] and events.sensor_size == (34, 34, 2)
    frames = tonic.transforms.ToFrame(events.sensor_size, time_window=10)(events.to_structured())
    assert frames.sum() == 1 and frames[0, 1, 2, 3] == 1


def test_one_row_and_one_polarity_need_no_field():
    cochlea = np.array([(699, 0.25), (3, 1.0)], [("x", "<u2"), ("t", "<f2")])
    events = data.Events.from_structured(cochlea, (700, 1, 1), microseconds=1_000_000)
    assert listed(events) == [(699, 0, 250_000, 0), (3, 0, 1_000_000, 0)]
    ones = np.array([(3, 5, 1), (4, 6, 1)], [("x", int), ("t", int), ("p", int)])
    assert listed(data.Events.from_structured(ones, (700, 1, 1))) == [(3, 0, 5, 0), (4, 0, 6, 0)]


def test_times_are_rounded_to_microseconds_from_the_origin():
    array = np.array([(0, 0, 5.0004, 1), (0, 0, 7.0016, 0)], [(name, "<f8") for name in "xytp"])
    events = data.Events.from_structured(array, (1, 1, 2), microseconds=1000, origin=5.0)
    assert [row[2] for row in listed(events)] == [0, 2002]
    late = np.array([(0, 0, 2**62 + 3, 1), (0, 0, 2**62 + 5, 1)], structured([]).dtype)
    events = data.Events.from_structured(late, (1, 1, 2), microseconds=7, origin=late["t"][0])
    assert [row[2] for row in listed(events)] == [0, 14]  # in floats both would be at 0


def test_an_empty_recording_is_one():
    events = made([], capacity=0)
    assert events.count == 0 and events.capacity == 0 and listed(events) == []
    assert listed(data.pad_events(events, 5)) == []


def with_column(name, values, dtype):
    array = np.zeros(len(values), [(n, dtype if n == name else "<i8") for n in "xytp"])
    array[name] = values
    return array


def one_field(dtype):
    return np.zeros(2, [("x", dtype), ("y", "<i2"), ("t", "<i8"), ("p", "<i1")])


ARRAYS_REFUSED = {
    "a list": ([(1, 2, 3, 0)], TypeError, "must be a structured array .* got <class 'list'>"),
    "columns": (
        np.zeros((3, 4)),
        TypeError,
        r"must be a structured array .* got an array of float64 and shape \(3, 4\)",
    ),
    "two axes": (np.zeros((2, 2), structured([]).dtype), TypeError, r"of one axis, .* shape \(2, 2\)"),
    "no polarity": (
        np.zeros(2, [(n, int) for n in "xyt"]),
        TypeError,
        r"fields .* must be x, y, t, p, got \('x', 'y', 't'\)",
    ),
    "more fields": (np.zeros(2, [(n, int) for n in "xytpw"]), TypeError, "Leave others out, `array"),
    "text": (one_field("<U3"), TypeError, "field `x` must be one real number for each event, got <U3"),
    "objects": (one_field("O"), TypeError, "field `x` must be one real number for each event, got object"),
    "complex": (one_field("<c8"), TypeError, "field `x` must be one real number for each event, got complex64"),
    "vectors": (one_field(("<i2", (2,))), TypeError, "field `x` must be one real number"),
    "dates": (one_field("<M8[us]"), TypeError, "field `x` must be one real number"),
    "left of the sensor": (
        with_column("x", [3, -1, -2], "<i2"),
        ValueError,
        "2 of 3 events do not have a `x` from 0 to 6; the first is number 1, with -1. Is `sensor",
    ),
    "right of it": (with_column("x", [7], "<u8"), ValueError, "a `x` from 0 to 6; .* with 7"),
    "far right of it": (with_column("x", [2**64 - 1], "<u8"), ValueError, "with 18446744073709551615"),
    "below it": (with_column("y", [5], "<i2"), ValueError, "a `y` from 0 to 4"),
    "nowhere": (
        with_column("x", [0, np.nan], "<f4"),
        ValueError,
        "1 of 2 events do not have a `x` .* number 1, with nan",
    ),
    "between pixels": (with_column("y", [1.5], "<f4"), ValueError, "a whole number as `y`; .* with 1.5. Round it"),
    "a third polarity": (with_column("p", [0, 1, 2], "<i1"), ValueError, "a `p` from 0 to 1; the first is number 2"),
    "a signed polarity": (with_column("p", [1, -1], "<i1"), ValueError, "a `p` from 0 to 1"),
    "before 0": (
        with_column("t", [-1, 5], "<i8"),
        ValueError,
        r"from -1 to 5: .* To begin with the first event: `origin=array\[\"t\"\]\[0\]`",
    ),
    "after 35 minutes": (
        with_column("t", [0, 2**31 - 1], "<i8"),
        ValueError,
        "times must be from 0 to 2147483646 microseconds .* longer recordings must be cut",
    ),
    "after the end of time": (with_column("t", [0, 1e308], "<f8"), ValueError, "times must be from 0 to 2147483646"),
    "at no time": (
        with_column("t", [0, np.nan, np.inf], "<f4"),
        ValueError,
        r"2 of 3 events do not have a finite time; .* number 1, with nan. .* `array\[np.isfinite",
    ),
    "backwards": (
        with_column("t", [0, 9, 8], "<u4"),
        ValueError,
        r"1 of 3 events .* not before .*number 2, with 8. Sort them: `array\[np.argsort",
    ),
}


@pytest.mark.parametrize("name", ARRAYS_REFUSED)
def test_an_array_that_is_no_recording_is_refused_with_the_reason(name, unchecked):
    array, kind, message = ARRAYS_REFUSED[name]
    with pytest.raises(kind, match=f"(?s)`data.Events.from_structured`: .*{message}"):
        data.Events.from_structured(array, SENSOR)


@pytest.mark.parametrize(
    "sensor_size, kind, message",
    [
        ((7, 5), TypeError, r"must be \(width, height, polarities\), three whole numbers, got \(7, 5\)"),
        ((7, 5.0, 2), TypeError, "`sensor_size` must be"),
        ((7, 0, 2), ValueError, "a width and a height from 1 to 32768 and 1 or 2 polarities"),
        ((2**16, 5, 2), ValueError, "a width and a height from 1 to 32768"),
        ((7, 5, 3), ValueError, "1 or 2 polarities, got"),
    ],
)
def test_a_sensor_that_cannot_be_is_refused(sensor_size, kind, message, unchecked):
    with pytest.raises(kind, match=message):
        data.Events.from_structured(structured([]), sensor_size)


def test_other_arguments_out_of_range_are_refused(unchecked):
    array = structured([(0, 0, 1, 0), (0, 0, 2, 1)])
    for arguments, message in (
        ({"microseconds": 0}, "`microseconds` must be a number above 0 .* got 0"),
        ({"microseconds": np.nan}, "`microseconds` must be a number above 0 .* got nan"),
        ({"microseconds": True}, "`microseconds` must be a number above 0"),
        ({"origin": "first"}, "`origin` must be a number above .* got 'first'"),
        ({"capacity": 1}, "`data.pad_events`: a `capacity` of 1 is too small for 2 events"),
        ({"capacity": -1}, "`capacity` must be a whole number of 0 or more, got -1"),
    ):
        with pytest.raises(ValueError, match=message):
            data.Events.from_structured(array, SENSOR, **arguments)
    with pytest.raises(ValueError, match="has one polarity, but `p` has several values. .* `data.merge_polarities`"):
        data.Events.from_structured(array, (7, 5, 1))


REAL = st.sampled_from(["?", "<i1", "<u1", ">i2", "<u2", "<i4", "<u4", ">i8", "<u8", "<f2", ">f4", "<f8"])


@hypothesis.settings(max_examples=400)
@hypothesis.given(
    st.tuples(REAL, REAL, REAL, REAL).flatmap(
        lambda kinds: hnp.arrays(
            [(name, kind) for name, kind in zip("xytp", kinds, strict=True)],
            st.integers(0, 4),
            elements=st.tuples(
                *(
                    st.one_of(hnp.from_dtype(np.dtype(kind)), st.sampled_from([0, 1]).map(np.dtype(kind).type))
                    for kind in kinds
                )
            ),
        )
    ),
    st.sampled_from([1, 1000, 1e6, 0.5]),
    st.sampled_from([0, 1, -0.5]),
)
def test_whatever_is_in_the_fields_it_is_kept_or_refused(array, microseconds, origin):
    try:
        events = data.Events.from_structured(array, SENSOR, microseconds=microseconds, origin=origin)
    except ValueError as error:
        assert "`data.Events.from_structured`: " in str(error)
        times = (array["t"].astype(np.longdouble) - origin) * microseconds
        fine = np.isfinite(times).all() and (times >= -0.5).all() and (np.diff(times) >= 0).all()
        fine &= (times <= 2**31 - 2).all()
        for name, size in zip("xyp", SENSOR, strict=True):
            column = array[name].astype(np.longdouble)
            fine &= np.isin(column, np.arange(size)).all()
        assert not fine
    else:
        times = np.rint((array["t"].astype(np.float64) - origin) * microseconds)
        assert listed(events) == [
            (int(x), int(y), int(t), int(p))
            for x, y, t, p in zip(array["x"], array["y"], times, array["p"], strict=True)
        ]


def test_arrays_that_are_no_recording_are_refused_by_the_constructor(unchecked):
    fields = ("x", "y", "t", "p", "count")
    good = {name: getattr(made([(1, 2, 3, 0), (4, 3, 9, 1)], capacity=3), name) for name in fields}

    def events(sensor_size=SENSOR, **other):
        return data.Events(**(good | other), sensor_size=sensor_size)

    events()
    for other, kind, message in (
        (
            {"t": good["t"].astype(np.int64)},
            TypeError,
            r"`t` must be an array of int32 and of shape \(3,\), got int64, ",
        ),
        ({"x": good["x"][:2]}, TypeError, r"`x` must be an array of int16 and of shape \(3,\), got int16, \(2,\)"),
        ({"count": 2}, TypeError, r"`count` must be an array of int32 and of shape \(\), got 2"),
        ({"count": np.int32(4)}, ValueError, "`count` must be from 0 to the capacity, 3, got 4"),
        ({"x": np.array([1, 7, 0], np.int16)}, ValueError, "`x` must be from 0 to 6, got values from 0 to 7"),
        ({"y": np.array([1, -1, 0], np.int16)}, ValueError, "`y` must be from 0 to 4, got values from -1"),
        (
            {"t": good["t"][[1, 0, 2]]},
            ValueError,
            "`t` must be in order, with 2147483647 in the places without an event",
        ),
        ({"t": np.array([3, 9, 10], np.int32)}, ValueError, "`t` must be 2147483647 in the places without an event"),
        ({"t": np.array([-3, 9, 2**31 - 1], np.int32)}, ValueError, "`t` must be 0 or more, got -3"),
        ({"sensor_size": (7, 5)}, TypeError, "`sensor_size` must be"),
    ):
        with pytest.raises(kind, match=f"`data.Events`: {message}"):
            events(**other)


@hypothesis.given(rows(), st.integers(0, 2 * CAPACITY))
def test_padding_changes_the_room_and_nothing_else(rows, capacity):
    events = made(rows)
    if capacity < events.count:
        with pytest.raises(ValueError, match=f"a `capacity` of {capacity} is too small for {events.count} events"):
            data.pad_events(events, capacity)
    else:
        padded = data.pad_events(events, capacity)
        assert padded.capacity == capacity and listed(padded) == listed(events)
        assert all(isinstance(leaf, np.ndarray) for leaf in jax.tree.leaves(padded))


def test_under_jit_padding_grows_and_does_not_shrink():
    events = made([(1, 2, 3, 0)])
    assert jax.jit(lambda e: data.pad_events(e, 20))(events).capacity == 20
    with pytest.raises(ValueError, match="a `capacity` of 15 is too small for places for 16 events, under `jax.jit`"):
        jax.jit(lambda e: data.pad_events(e, 15))(events)


def test_a_batch_holds_its_recordings():
    several = [
        made([(1, 2, 3, 0)], capacity=1),
        made([], capacity=4),
        made([(0, 0, t, 1) for t in range(3)], capacity=3),
    ]
    batch = data.stack_events(several)
    assert batch.t.shape == (3, 4) and batch.count.tolist() == [1, 0, 3] and isinstance(batch.t, np.ndarray)
    assert data.stack_events(several, 7).capacity == data.pad_events(batch, 7).capacity == 7
    for i, events in enumerate(several):
        assert listed(jax.tree.map(lambda a, i=i: a[i], batch)) == listed(events)
    np.testing.assert_array_equal(batch.valid, np.arange(4) < batch.count[:, None])
    on_device = data.stack_events(jax.tree.map(jnp.asarray, several))
    assert isinstance(on_device.t, jax.Array) and on_device.count.tolist() == [1, 0, 3]


def test_recordings_that_do_not_go_together_are_no_batch(unchecked):
    with pytest.raises(ValueError, match=r"of one sensor size; got the sizes \[\]"):
        data.stack_events([])
    with pytest.raises(ValueError, match=r"got the sizes \[\(7, 5, 2\), \(16, 12, 2\)\]"):
        data.stack_events([made([]), random_recording(0)])
    with pytest.raises(ValueError, match="a `capacity` of 1 is too small for 2 events"):
        data.stack_events([made([(0, 0, 0, 0)] * 2)], 1)


def test_a_batch_is_refused_where_one_recording_is_due(unchecked):
    batch = data.stack_events([made([])] * 2)
    with pytest.raises(ValueError, match=r"takes one recording, got a batch of shape \(2,\). Take number i: `jax.tree"):
        batch.to_structured()
    for function in (lambda e: data.bin_events(e, 3), lambda e: data.voxel_grid(e, 3)):
        with pytest.raises(ValueError, match=r"`data.\w+` takes one recording, .* For a batch: `jax.vmap`"):
            function(batch)


def test_a_recording_is_a_pytree_whose_sensor_is_static():
    events = made([(1, 2, 3, 0)])
    assert len(jax.tree.leaves(events)) == 5
    traces = []

    @jax.jit
    def times(events):
        traces.append(events.sensor_size)
        return events.t + 0

    times(events), times(made([(4, 4, 4, 1)])), times(made([(0, 0, 4, 1)], (9, 5, 2)))
    assert traces == [SENSOR, (9, 5, 2)]


def test_a_loader_gives_batches_of_recordings():
    source = [{"events": structured([(i, 0, t, 1) for t in range(i)]), "label": i} for i in range(6)]

    def padded(example):
        return example | {"events": data.Events.from_structured(example["events"], SENSOR, capacity=CAPACITY)}

    loader = data.Loader(data.Mapped(source, padded), batch_size=2, seed=0)
    labels = []
    for batch in loader.epoch(0, place=jax.device_put):
        frames, outside = jax.jit(jax.vmap(lambda events: data.bin_events(events, 1, 10)))(batch["events"])
        np.testing.assert_array_equal(frames.sum((1, 2, 3, 4)), batch["label"])
        labels += batch["label"].tolist()
    assert sorted(labels) == list(range(6)) and not outside.any()


def test_a_loader_refuses_recordings_of_different_capacities(unchecked):
    source = [{"events": made([], capacity=n)} for n in (4, 3)]
    with pytest.raises(ValueError, match=r"under 'events' have the capacities \[3, 4\]. .* `data.pad_events"):
        next(data.Loader(source, 2, prefetch=0).epoch(0))
