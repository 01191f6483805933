"""The synthetic gestures have the subjects, the lightings and the split of the real ones."""

import numpy as np

from snnax import data
from snnax.data import _write


def test_the_set_is_split_by_subject_as_the_real_one():
    assert data.TRAIN_USERS == tuple(range(1, 24)) and data.TEST_USERS == tuple(range(24, 30))
    assert _write._SPLITS == (("ibmGestureTrain", data.TRAIN_USERS), ("ibmGestureTest", data.TEST_USERS))
    assert len(data.GESTURES) == 11
    assert [light.name for light in data.LIGHTINGS] == ["fluorescent", "led", "natural"]
    assert len({(light.level, light.slope, light.noise) for light in data.LIGHTINGS}) == 3


def test_subjects_differ_in_build_place_speed_and_amplitude_and_stay_themselves():
    people = [data.subject(0, user) for user in (*data.TRAIN_USERS, *data.TEST_USERS)]
    columns = {
        "build": [body.reach for body, _ in people],
        "place": [body.x for body, _ in people],
        "height": [body.y for body, _ in people],
        "speed": [habit.tempo for _, habit in people],
        "amplitude": [habit.size for _, habit in people],
    }
    for name, values in columns.items():
        assert len(set(values)) == 29, name
    assert np.ptp(columns["speed"]) > 0.25 and np.ptp(columns["amplitude"]) > 0.2 and np.ptp(columns["place"]) > 8
    assert data.subject(0, 7) == data.subject(0, 7) != data.subject(1, 7)


def test_the_thresholds_of_pixels_differ_by_the_mismatch():
    thresholds = data.mismatched(np.random.default_rng(0), (128, 128), 0.32, 0.03)
    assert abs(thresholds.mean() - 0.32) < 1e-3 and abs(thresholds.std() - 0.03) < 1e-3
    assert data.mismatched(np.random.default_rng(0), (1000,), 0.1, 1.0).min() == np.float32(0.025)
