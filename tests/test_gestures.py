import json

import jax.numpy as jnp
import numpy as np
import pytest

from snnax import data
from snnax.data import _write

USER, LIGHTING = 7, 1


@pytest.fixture(scope="module")
def recordings():
    return [data.record(0, USER, LIGHTING, gesture) for gesture in range(11)]


def _events(pixel, levels, frame_time=10.0):
    """What one pixel reports of a sequence of log intensities."""
    state = pixel.init_state(jnp.full((1, 1), levels[0], jnp.float32))
    crossings = []
    for level in levels[1:]:
        state, crossing = pixel(state, jnp.full((1, 1), level, jnp.float32))
        crossings.append(crossing)
    return data.read_out(data.Crossings(*map(jnp.stack, zip(*crossings, strict=True))), frame_time)


def test_a_step_by_three_and_a_half_thresholds_gives_three_events():
    up, down = data.DVSPixel(0.2, 0.4), data.DVSPixel(0.4, 0.2)
    for pixel, sign in ((up, 1), (down, -1)):
        events = _events(pixel, [0.0, sign * 0.7, sign * 0.7])
        assert np.array_equal(events["p"], [sign > 0] * 3)
        np.testing.assert_allclose(events["t"], 10 * np.array([2, 4, 6]) / 7, rtol=1e-5)


def test_what_is_left_of_a_step_counts_in_the_next():
    events = _events(data.DVSPixel(0.2, 0.2), [0.0, 0.7, 0.9, 0.55])
    assert np.array_equal(events["p"], [1, 1, 1, 1, 0])
    # from 0.7 to 0.9 the level 0.8 is reached half way; from 0.9 to 0.55 the level 0.6 after 6/7
    np.testing.assert_allclose(events["t"][3:], [15, 20 + 60 / 7], rtol=1e-5)


def test_after_an_event_the_pixel_is_blind_for_the_refractory_time():
    # A slope of 1 per frame, 0.2 to the threshold, 0.25 blind: events at 0.2, 0.65, 1.10, 1.55, 2.0 frames.
    events = _events(data.DVSPixel(0.2, 0.2, refractory=0.25), [0.0, 1.0, 2.0, 2.95])
    np.testing.assert_allclose(events["t"][:4], [2.0, 6.5, 11.0, 15.5], rtol=1e-5)
    assert np.all(np.diff(events["t"]) > 4.5 - 1e-4)
    # Blind from 0.9 to 1.15: the level 0.9 is memorised anew at 1.15, so the fall to 0.7 needs no event until 0.65.
    events = _events(data.DVSPixel(0.9, 0.2, refractory=0.25), [0.0, 1.0, 0.0])
    np.testing.assert_allclose(events["t"][:2], [9.0, 13.5], rtol=1e-5)


def test_a_constant_scene_gives_no_events():
    assert _events(data.DVSPixel(0.2, 0.2), [0.3] * 4).size == 0


def test_a_pixel_refuses_what_is_out_of_range():
    with pytest.raises(ValueError, match="must be positive everywhere"):
        data.DVSPixel(np.array([0.1, 0.0]), 0.1)
    with pytest.raises(ValueError, match=r"must be in \[0, 1\), .* got 1.5"):
        data.DVSPixel(0.1, 0.1, refractory=1.5)


def test_noise_has_its_rate_and_keeps_its_distance():
    rng = np.random.default_rng(0)
    nothing = data.read_out(data.Crossings(*np.zeros((3, 1, 32, 32), np.int8)), 1.0)
    noise = data.with_noise(rng, nothing, (32, 32), duration=100.0, rate=0.1, refractory=1.0)
    expected = 32 * 32 * 10 * np.exp(-2 * 0.1)  # without those that come too close
    assert abs(noise.size - expected) < 5 * expected**0.5
    assert abs(noise["p"].mean() - 0.5) < 0.03
    assert _smallest_gap(noise) >= 1.0


def test_a_disc_covers_its_area():
    background = jnp.full((32, 32), 1.0)
    disc = jnp.array([[15.3, 16.6, 15.3, 16.6, 5.0]])
    image = data.render(disc, jnp.array([3.0]), background)
    assert abs(float((image - 1).sum()) / 2 - np.pi * 25) < 1.0
    assert float(image.max()) == 3.0 and float(image.min()) == 1.0


def test_the_right_arm_is_on_the_left_and_left_gestures_are_mirrored_right_ones():
    body, habit = data.subject(0, USER)
    time = np.linspace(0, 1.28, 129)
    for right, left in ((1, 2), (3, 6), (4, 5)):
        motions = [data.perform(gesture, np.random.default_rng(5), time, habit) for gesture in (right, left)]
        still = np.zeros((129, 2))
        a, b = (data.capsules(body, m.right, m.left, still, m.shrug) for m in motions)
        mirrored = b[:, [0, 1, 3, 2, 5, 4, 7, 6]] * np.array([-1, 1, -1, 1, 1]) + 2 * body.x * np.array([1, 0, 1, 0, 0])
        np.testing.assert_allclose(a, mirrored, atol=1e-3)
        assert a[..., 6, 2].mean() < body.x < a[..., 7, 2].mean()


@pytest.mark.parametrize("gesture, turn", [(3, 1), (4, -1), (5, 1), (6, -1)])
def test_circles_turn_as_their_name_says(gesture, turn):
    body, habit = data.subject(0, USER)
    motion = data.perform(gesture, np.random.default_rng(1), np.linspace(0, 1.28, 129), habit)
    parts = data.capsules(body, motion.right, motion.left, np.zeros((129, 2)), motion.shrug)
    hand = parts[:, 6 if gesture < 5 else 7, 2:4]
    x, y = (hand - hand.mean(0)).T
    area = (x[:-1] * np.diff(y) - y[:-1] * np.diff(x)).sum()  # positive for clockwise, as y points downwards
    assert turn * area > 500


def test_bones_keep_their_lengths():
    body, habit = data.subject(0, USER)
    motion = data.perform(3, np.random.default_rng(1), np.linspace(0, 1.28, 129), habit)
    parts = data.capsules(body, motion.right, motion.left, np.zeros((129, 2)), motion.shrug)
    for part, length in ((2, body.upper_arm), (4, body.forearm), (6, body.hand)):
        seen = np.hypot(parts[:, part, 2] - parts[:, part, 0], parts[:, part, 3] - parts[:, part, 1])
        assert np.all(seen <= length + 1e-3)  # foreshortened, never stretched


def test_an_unknown_gesture_is_refused():
    with pytest.raises(ValueError, match="must be in 0..10, got 11"):
        data.record(0, 1, 0, 11)


def _smallest_gap(events):
    order = np.lexsort((events["t"], events["y"] * 128 + events["x"]))
    events = events[order]
    same = (np.diff(events["x"]) == 0) & (np.diff(events["y"]) == 0)
    return np.diff(events["t"])[same].min()


def test_recordings_are_well_formed(recordings):
    for events in recordings:
        assert 1000 < events.size < 80_000
        assert events["x"].min() >= 0 and events["x"].max() < 128
        assert events["y"].min() >= 0 and events["y"].max() < 128
        assert np.array_equal(np.unique(events["p"]), [0, 1])
        assert events["t"].min() >= 0 and events["t"].max() <= 1280
        assert np.all(np.diff(events["t"]) >= 0)
        assert _smallest_gap(events) >= 1 - 1e-3


def test_recordings_are_those_of_their_seed(recordings):
    assert np.array_equal(data.record(0, USER, LIGHTING, 3), recordings[3])
    for other in ((1, USER, LIGHTING, 3), (0, USER + 1, LIGHTING, 3), (0, USER, LIGHTING + 1, 3)):
        events = data.record(*other)
        assert events.size != recordings[3].size or not np.array_equal(events, recordings[3])


@pytest.fixture
def small(monkeypatch):
    """A set of two subjects, one lighting; the events are made up, as the real ones are tested above."""
    monkeypatch.setattr(_write, "_SPLITS", (("ibmGestureTrain", (1,)), ("ibmGestureTest", (24,))))
    monkeypatch.setattr(_write, "LIGHTINGS", data.LIGHTINGS[:1])

    def record(seed, user, lighting, gesture):
        events = np.zeros(5, data.read_out(data.Crossings(*np.zeros((3, 1, 1, 1), np.int8)), 1.0).dtype)
        events["x"], events["t"] = user, np.arange(5) + gesture + 0.5
        return events

    monkeypatch.setattr(_write, "record", record)
    return monkeypatch


def test_tonic_reads_what_is_written(small, tmp_path):
    tonic = pytest.importorskip("tonic")
    small.undo()
    small.setattr(_write, "_SPLITS", (("ibmGestureTrain", (1,)), ("ibmGestureTest", (24,))))
    small.setattr(_write, "LIGHTINGS", data.LIGHTINGS[:1])
    data.write_gestures(tmp_path)
    small.setattr(tonic.datasets.DVSGesture, "_folder_contains_at_least_n_files_of_type", lambda *_: True)
    for train, user in ((True, 1), (False, 24)):
        gestures = tonic.datasets.DVSGesture(str(tmp_path), train=train)
        assert sorted(gestures.targets) == list(range(11)) and set(gestures.users) == {user}
        assert set(gestures.lighting) == {data.LIGHTINGS[0].name}
        for events, target in gestures:
            written = data.record(0, user, 0, target)
            assert np.array_equal(events["x"], written["x"]) and np.array_equal(events["y"], written["y"])
            assert np.array_equal(events["p"], written["p"] == 1)
            assert np.array_equal(events["t"], 1000 * np.floor(written["t"]).astype(int))  # microseconds
    assert tuple(name.lower() for name in gestures.classes[:3]) == data.GESTURES[:3]


def test_progress_is_called_after_each_recording(small, tmp_path):
    calls = []
    assert data.write_gestures(tmp_path / "new", progress=lambda *call: calls.append(call)).name == "DVSGesture"
    assert calls == [(done, 22) for done in range(1, 23)]


def test_a_whole_set_is_reused_and_any_other_is_refused(small, tmp_path):
    folder = data.write_gestures(tmp_path, seed=3)
    calls = []
    assert data.write_gestures(tmp_path, seed=3, progress=lambda *call: calls.append(call)) == folder
    assert not calls
    with pytest.raises(FileExistsError, match="holds another set, .*'seed': 3.*asked for .*'seed': 4"):
        data.write_gestures(tmp_path, seed=4)
    manifest = folder / "snnax.json"
    whole = json.loads(manifest.read_text())
    manifest.write_text(json.dumps(whole | {"version": -1}))
    with pytest.raises(FileExistsError, match="holds another set"):
        data.write_gestures(tmp_path, seed=3)
    manifest.write_text("{")
    with pytest.raises(FileExistsError, match="cannot read"):
        data.write_gestures(tmp_path, seed=3)
    manifest.unlink()
    with pytest.raises(FileExistsError, match="perhaps it holds the real recordings"):
        data.write_gestures(tmp_path, seed=3)
    assert len(list(folder.rglob("*.npy"))) == 22


def test_an_interrupted_set_leaves_nothing(small, tmp_path):
    def interrupt(done, total):
        if done == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        data.write_gestures(tmp_path, progress=interrupt)
    assert not list(tmp_path.iterdir())
    data.write_gestures(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["DVSGesture"]


@pytest.mark.parametrize("seed", [-1, 1.0, True, "0"])
def test_a_seed_that_is_none_is_refused(seed, tmp_path):
    with pytest.raises(ValueError, match="`seed` must be a non-negative integer, got"):
        data.write_gestures(tmp_path, seed=seed)
