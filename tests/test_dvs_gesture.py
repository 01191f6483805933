"""The main job: what it says when something is missing, and that an interruption changes nothing."""

import importlib.util
import pathlib
import sys

import jax
import numpy as np
import pytest
from helpers import allclose

tonic = pytest.importorskip("tonic")
EXAMPLES = pathlib.Path(__file__).parent.parent / "examples"
RECORDINGS, CLASSES = 8, 11


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
def frames():
    rng = np.random.default_rng(0)
    return rng.integers(0, 3, (RECORDINGS, 3, 2, 32, 32), np.uint8), rng.integers(0, CLASSES, RECORDINGS, np.int32)


@pytest.fixture
def trainer(job):
    def make(*arguments):
        settings = job.parse_arguments(["--epochs", "3", "--batch-size", "4", "--steps", "3", *arguments])
        return job.Trainer(settings, RECORDINGS)

    # optax adds Python numbers to whole numbers, which strict promotion refuses.
    with jax.numpy_dtype_promotion("standard"):
        yield make


def test_recordings_that_are_not_there_are_named_and_not_downloaded_unasked(job, offline, tmp_path):
    with pytest.raises(SystemExit) as caught:
        job.find_recordings(job.parse_arguments(["--data", str(tmp_path)]))
    message, folder = str(caught.value), tmp_path / "DVSGesture"
    assert message.startswith(f"--data: the recordings are not in {folder}. To download them through tonic add --down")
    assert not offline


def test_a_download_that_fails_says_what_to_fetch_by_hand_and_where_to_put_it(job, offline, tmp_path):
    with pytest.raises(SystemExit) as caught:
        job.find_recordings(job.parse_arguments(["--data", str(tmp_path), "--download"]))
    message, gestures = str(caught.value), tonic.datasets.DVSGesture
    assert message.startswith("--download: the recordings could not be downloaded: no route to host")
    for url, name in ((gestures.train_url, gestures.train_filename), (gestures.test_url, gestures.test_filename)):
        assert f"{url}    as    {tmp_path / 'DVSGesture' / name}\n" in message
    assert offline == ["ibmGestureTrain"]


def test_recordings_that_are_there_are_taken_as_they_are(job, offline, tmp_path):
    for part in ("ibmGestureTrain", "ibmGestureTest"):
        user = tmp_path / "DVSGesture" / part / "user07_led"
        user.mkdir(parents=True)
        for i in range(100):
            np.save(user / f"{i % CLASSES}{i}.npy", np.zeros((1, 4), np.int32))
        (tmp_path / "DVSGesture" / f"{part}.tar.gz").touch()
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


def test_a_batch_of_more_than_all_recordings_is_refused(trainer):
    with pytest.raises(SystemExit, match=r"--batch-size must be 8 \(all recordings\) or less, got 9\."):
        trainer("--batch-size", "9")


def test_a_run_that_is_resumed_is_the_uninterrupted_run_bit_for_bit(trainer, frames, tmp_path):
    path = tmp_path / "checkpoint.eqx"
    whole, first, second = trainer(), trainer(), trainer()
    for _ in range(2):
        whole.train_epoch(*frames)
    first.train_epoch(*frames)
    first.save(path)
    second.load(path)
    assert (second.epoch, second.history) == (1, first.history)
    second.train_epoch(*frames)
    allclose((second.model, second.opt_state), (whole.model, whole.opt_state), rtol=0, atol=0)
    assert second.history == whole.history and second.evaluate(*frames) == whole.evaluate(*frames)


def test_a_save_that_is_interrupted_leaves_the_last_checkpoint_whole(job, trainer, monkeypatch, tmp_path):
    path = tmp_path / "checkpoint.eqx"
    trainer().save(path)
    before = path.read_bytes()

    def half(file, tree):
        file.write(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(job.eqx, "tree_serialise_leaves", half)
    with pytest.raises(KeyboardInterrupt):
        trainer().save(path)
    assert path.read_bytes() == before


def test_a_checkpoint_that_cannot_be_taken_up_is_refused(trainer, tmp_path):
    path = tmp_path / "checkpoint.eqx"
    with pytest.raises(
        SystemExit, match="--resume: there is no checkpoint at .*checkpoint.eqx. Start without --resume"
    ):
        trainer().load(path)
    trainer().save(path)
    whole = path.read_bytes()
    for arguments, wrong in ((["--seed", "1"], "{'seed': 0}"), (["--data", "somewhere"], "{'data': None}")):
        with pytest.raises(SystemExit, match=f"--resume: .* was made with other settings: {wrong}. Use the same ones"):
            trainer(*arguments).load(path)
    for damaged in (whole[:-100], b"", b"\x93NUMPY", b"[]\n", whole.partition(b"\n")[0]):
        path.write_bytes(damaged)
        fresh = trainer()
        with pytest.raises(SystemExit, match="--resume: .* is damaged or no checkpoint of this script .*Start without"):
            fresh.load(path)
        assert fresh.epoch == 0 and not fresh.history


def test_the_picture_shows_recording_layers_and_curves(job, trainer, frames, tmp_path):
    run = trainer()
    run.history = [{"loss": 2.0, "train_accuracy": 0.1, "test_accuracy": 0.2}] * 2
    job.draw(run, *frames, tmp_path / "picture.png")
    assert (tmp_path / "picture.png").read_bytes().startswith(b"\x89PNG")


def test_the_checks_of_the_gestures_shuffle_within_a_recording(job, monkeypatch):
    monkeypatch.setitem(sys.modules, "dvs_gesture", job)
    spec = importlib.util.spec_from_file_location("gesture_checks", EXAMPLES / "gesture_checks.py")
    checks = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(checks)
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
