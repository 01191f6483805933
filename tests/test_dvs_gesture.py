"""The main job: what it says when something is missing, and that an interruption changes nothing."""

import csv
import importlib.util
import pathlib
import re
import sys

import numpy as np
import pytest
from helpers import allclose
from small_files import write_dvs_gesture

from snnax import data

tonic = pytest.importorskip("tonic")
EXAMPLES = pathlib.Path(__file__).parent.parent / "examples"
CLASSES = 11
SMALL = ["--epochs", "2", "--batch-size", "16", "--steps", "3"]


@pytest.fixture(scope="module")
def job():
    spec = importlib.util.spec_from_file_location("dvs_gesture", EXAMPLES / "dvs_gesture.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def offline(monkeypatch):
    """Without a network; `calls` says whether somebody asked for it."""
    calls = []

    def download(self):
        calls.append(self.folder_name)
        raise OSError("no route to host")

    monkeypatch.setattr(tonic.datasets.DVSGesture, "download", download)
    return calls


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Three subjects to train on and one to test, whose recordings begin some time after 0 and last 150 ms."""
    folder = tmp_path_factory.mktemp("recordings")
    rng = np.random.default_rng(0)
    for part, users in (("ibmGestureTrain", (1, 2, 3)), ("ibmGestureTest", (24,))):
        recordings = {}
        for user in users:
            for label in range(CLASSES):
                x, y, p = (rng.integers(0, most, 400) for most in (128, 128, 2))
                recordings[user, "led", label] = (x, y, p, 10 * label + np.sort(rng.integers(0, 150, 400)))
        write_dvs_gesture(folder, recordings, part)
    return folder


def test_recordings_that_are_not_there_are_named_and_not_downloaded_unasked(job, offline, tmp_path):
    with pytest.raises(SystemExit) as caught:
        job.find_recordings(job.parse_arguments(["--data", str(tmp_path)]))
    first, *parts = str(caught.value).splitlines()
    assert first == "--data: to download the recordings through tonic add --download."
    for name, line in zip(("ibmGestureTrain", "ibmGestureTest"), parts, strict=True):
        assert f"there are no recordings in '{tmp_path / 'DVSGesture' / name}'" in line
    assert not offline


def test_a_download_that_fails_says_what_to_fetch_by_hand_and_where_to_put_it(job, offline, tmp_path):
    with pytest.raises(SystemExit) as caught:
        job.find_recordings(job.parse_arguments(["--data", str(tmp_path), "--download"]))
    message, gestures = str(caught.value), tonic.datasets.DVSGesture
    assert message.startswith("--download: the recordings could not be downloaded: no route to host\n")
    for url, name in ((gestures.train_url, gestures.train_filename), (gestures.test_url, gestures.test_filename)):
        assert (
            f"""Fetch {url} as {name} and unpack it: `data.unpack("{name}", '{tmp_path / "DVSGesture"}')`.""" in message
        )
    assert offline == ["ibmGestureTrain"]


def test_recordings_that_are_there_are_taken_as_they_are(job, offline, tmp_path):
    for part in ("ibmGestureTrain", "ibmGestureTest"):
        recordings = {(user, "led", label): ([1], [1], [0], [0]) for user in range(10) for label in range(CLASSES)}
        write_dvs_gesture(tmp_path, recordings, part)
    for options in ([], ["--download"]):
        assert job.find_recordings(job.parse_arguments(["--data", str(tmp_path), *options])) == tmp_path
    assert not offline


def test_without_data_the_first_line_says_that_gestures_are_synthetic(job, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(job.data, "write_gestures", lambda root, progress: progress(1, 1))
    root = job.find_recordings(job.parse_arguments(["--out", str(tmp_path / "run")]))
    assert root == tmp_path / "synthetic_gestures"
    assert capsys.readouterr().out.splitlines()[0].startswith("synthetic gestures (for the real recordings: --data DIR")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--download"], "--download needs --data DIR"),
        (["--epochs", "0"], "--epochs must be 1 or more, got 0"),
        (["--batch-size", "0"], "--batch-size must be 1 or more, got 0"),
        (["--seed", "-1"], "--seed must be 0 or more, got -1"),
        (["--step-ms", "nan"], "--step-ms must be 1 or more, got nan"),
        (["--learning-rate", "inf"], "--learning-rate must be 0 or more, got inf"),
    ],
)
def test_arguments_that_make_no_sense_are_refused(job, arguments, message, capsys):
    with pytest.raises(SystemExit):
        job.parse_arguments(arguments)
    assert message in capsys.readouterr().err


def test_every_argument_has_help(job, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "200")
    with pytest.raises(SystemExit):
        job.parse_arguments(["--help"])
    options = capsys.readouterr().out.partition("options:")[2].replace("\n                        ", " ")
    lines = [line for line in options.splitlines() if line.strip().startswith("-")]
    assert len(lines) == 11
    for line in lines:
        assert len(line.split()) > 4, line


def test_a_batch_of_more_than_all_recordings_is_refused(job):
    settings = job.parse_arguments(["--batch-size", "9"])
    with pytest.raises(SystemExit, match=r"--batch-size must be 8 \(all recordings\) or less, got 9\."):
        job.start(settings, 8)


def test_frames_count_the_events_of_a_block_of_pixels_from_the_first_event_on(job, root):
    settings = job.parse_arguments(["--steps", "3", "--step-ms", "30.5"])
    found = job.load_frames(root, "train", settings).arrays
    assert found["frames"].dtype == np.uint8
    recordings = data.DVSGesture(root)
    for frames, label, recording in zip(found["frames"], found["label"], recordings, strict=True):
        counts = np.zeros((3, 2, 32, 32), int)
        for x, y, t, p in recording["events"].tolist():
            step = (t - recording["events"]["t"].min()) // 30_500
            if step < 3:
                counts[step, p, y // 4, x // 4] += 1
        np.testing.assert_array_equal(frames, np.minimum(counts, 3))
        assert 0 < counts.sum() < 400 and label == recording["label"]


def test_events_out_of_order_are_put_in_order(job, tmp_path):
    late, early = [100, 90], [20, 50]
    write_dvs_gesture(tmp_path, {(1, "led", 0): ([0, 4, 8, 12], [0] * 4, [0] * 4, [*late, *early])})
    (frames,) = job.load_frames(tmp_path, "train", job.parse_arguments(["--steps", "2"])).arrays["frames"]
    assert np.argwhere(frames).tolist() == [[0, 0, 0, 2], [0, 0, 0, 3], [1, 0, 0, 1]]


def test_a_run_that_is_resumed_is_the_uninterrupted_run_bit_for_bit(job, root, monkeypatch, tmp_path, capsys):
    class Killed(job.train.CSVLog):
        def __call__(self, history):
            if len(history) == 2:
                raise KeyboardInterrupt
            super().__call__(history)

    states, tables = [], []
    for name in ("whole", "killed"):
        arguments = [*SMALL, "--data", str(root), "--out", str(tmp_path / name)]
        if name == "killed":
            # Checkpoints of an earlier run make way for those of a run that is not resumed.
            (tmp_path / name / "checkpoints").mkdir(parents=True)
            (tmp_path / name / "checkpoints" / "step_000000999.ckpt").write_bytes(b"of an earlier run")
            with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
                patched.setattr(job.train, "CSVLog", Killed)
                job.main(arguments)
            arguments.append("--resume")
        accuracy = job.main(arguments)
        assert re.fullmatch(r"test accuracy: \d+\.\d %", capsys.readouterr().out.splitlines()[-1])
        settings = job.parse_arguments(arguments)
        state, _ = job.start(settings, 33)
        states.append(job.checkpoints_of(settings).restore(state))
        rows = list(csv.DictReader((tmp_path / name / "metrics.csv").read_text().splitlines()))
        tables.append([{column: value for column, value in row.items() if column != "seconds"} for row in rows])
        assert len(rows) == 2 and float(rows[-1]["test_accuracy"]) == accuracy
        assert (tmp_path / name / "dvs_gesture.png").read_bytes().startswith(b"\x89PNG")
    assert tables[0] == tables[1] and states[0][0] == states[1][0] == 4
    (one, other) = (state for _, state in states)
    allclose((one.model, one.opt_state), (other.model, other.opt_state), rtol=0, atol=0)


def test_a_checkpoint_that_cannot_be_taken_up_is_refused_in_one_line(job, root, tmp_path):
    arguments = [*SMALL, "--data", str(root), "--out", str(tmp_path)]
    with pytest.raises(SystemExit, match="--resume: there is no checkpoint in .*checkpoints. Start without --resume"):
        job.main([*arguments, "--resume"])
    settings = job.parse_arguments(arguments)
    checkpoints = job.checkpoints_of(settings)
    checkpoints.save(2, job.start(settings, 33)[0])
    path = checkpoints.path(2)
    whole = path.read_bytes()
    with pytest.raises(
        SystemExit, match="^--resume: .* was made with other settings: seed=0 and not 1. Use the settings of that run"
    ):
        job.main([*arguments, "--resume", "--seed", "1"])
    for damaged in (whole[:-100], b"", b"\x93NUMPY", b"[]\n", whole.partition(b"\n")[0]):
        path.write_bytes(damaged)
        with pytest.raises(SystemExit, match="^--resume: .*step_000000002.ckpt: .* or start without --resume"):
            job.main([*arguments, "--resume"])


def test_the_picture_is_drawn_where_no_recording_is_told_right(job, tmp_path):
    settings = job.parse_arguments(["--batch-size", "1"])
    silent = data.Arrays(frames=np.zeros((2, 3, 2, 32, 32), np.uint8), label=np.array([10, 10], np.int32))
    history = [{"train_loss": 2.0, "train_accuracy": 0.1, "test_accuracy": 0.2}] * 2
    job.draw(job.start(settings, 2)[0].model, history, silent, 0.04, tmp_path / "picture.png")
    assert (tmp_path / "picture.png").read_bytes().startswith(b"\x89PNG")


@pytest.fixture
def checks(job, monkeypatch):
    monkeypatch.setitem(sys.modules, "dvs_gesture", job)
    spec = importlib.util.spec_from_file_location("gesture_checks", EXAMPLES / "gesture_checks.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_checks_of_the_gestures_shuffle_within_a_recording(job, checks):
    recordings = np.arange(3 * 20).reshape(3, 20, 1, 1, 1)
    mixed = checks.shuffled(recordings, 0)
    np.testing.assert_array_equal(np.sort(mixed, axis=1), recordings)
    assert not np.any(np.all(mixed == recordings, axis=1)) and not np.array_equal(mixed[0] + 20, mixed[1])
    names = tonic.datasets.DVSGesture.classes
    for one, other in checks.OPPOSITE.items():
        assert checks.OPPOSITE[other] == one and {names[one].split()[-1], names[other].split()[-1]} == {"cw", "ccw"}
        assert names[one].split()[:2] == names[other].split()[:2]
    for label, mirrored in enumerate(job.MIRRORED):
        assert job.MIRRORED[mirrored] == label
        assert ("ight" in names[label]) == ("eft" in names[mirrored])


def test_the_checks_of_the_gestures_take_a_finished_run(job, checks, root, monkeypatch, tmp_path, capsys):
    parse = job.parse_arguments
    monkeypatch.setattr(job, "parse_arguments", lambda arguments: parse([*arguments, *SMALL, "--data", str(root)]))
    settings = job.parse_arguments(["--out", str(tmp_path)])
    state, step = job.start(settings, 33)
    with pytest.raises(SystemExit, match="--run: there is no finished run in .* See `dvs_gesture.py` and its --resume"):
        checks.main(["--run", str(tmp_path)])
    job.checkpoints_of(settings).save(4, job.eqx.tree_at(lambda state: state.epoch, state, 2 + 0 * state.epoch))
    checks.main(["--run", str(tmp_path)])
    lines = capsys.readouterr().out.splitlines()[-6:]
    assert [bool(re.fullmatch(r"[\w ,]+: +\d+\.\d %", line)) for line in lines] == [True] * 6
    other = job.train.Checkpoints(tmp_path / "checkpoints", config={"seed": 1})
    other.save(4, state)
    with pytest.raises(SystemExit, match="(?s)--run: .* was made with other settings: "):
        checks.main(["--run", str(tmp_path)])
