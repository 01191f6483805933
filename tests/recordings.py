"""Small recordings of events for tests, and what is in them as a list."""

import hypothesis.strategies as st
import numpy as np

from snnax import data

SENSOR = (7, 5, 2)
CAPACITY = 16
TYPE = np.dtype([("x", np.int16), ("y", np.int16), ("t", np.int64), ("p", np.int8)])


def structured(rows):
    """Rows of x, y, t, p, in order of time."""
    array = np.array([tuple(row) for row in rows], TYPE)
    return array[np.argsort(array["t"], kind="stable")]


def made(rows, sensor_size=SENSOR, capacity=CAPACITY):
    return data.Events.from_structured(structured(rows), sensor_size, capacity=capacity)


def rows(sensor_size=SENSOR, latest=100, most=CAPACITY):
    ends = (sensor_size[0] - 1, sensor_size[1] - 1, latest, sensor_size[2] - 1)
    return st.lists(st.tuples(*(st.integers(0, end) for end in ends)), max_size=most)


def listed(events):
    """The events as tuples of x, y, t, p, after the checks of the constructor."""
    again = data.Events(
        *(np.asarray(a) for a in (events.x, events.y, events.t, events.p, events.count)), events.sensor_size
    )
    return [tuple(map(int, row)) for row in again.to_structured()]


def random_recording(seed, n=200, sensor_size=(16, 12, 2), latest=10_000, capacity=256):
    rng = np.random.default_rng(seed)
    ends = (sensor_size[0], sensor_size[1], latest + 1, sensor_size[2])
    return made(np.stack([rng.integers(0, end, n) for end in ends], -1), sensor_size, capacity)
