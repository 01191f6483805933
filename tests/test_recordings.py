"""Recordings are read as they were written, in an order that the file system does not decide, as tonic reads them."""

import pickle
import subprocess
import sys
import types

import jax.numpy as jnp
import numpy as np
import pytest
from small_files import (
    KEYS,
    nmnist_bytes,
    random_events,
    spoken_digits,
    write_dvs_gesture,
    write_nmnist,
    write_small_shd,
    write_spikes,
)

from snnax import data, functional


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def same(events, x, y, t, p):
    assert events.dtype == np.dtype([("x", "i2"), ("y", "i2"), ("t", "i8"), ("p", "i1")])
    for name, column in {"x": x, "y": y, "t": t, "p": p}.items():
        np.testing.assert_array_equal(events[name], column)


def test_dvs_gesture_is_read_in_the_order_of_subject_lighting_and_label(tmp_path, rng):
    keys = [(17, "led", 10), (3, "natural", 2), (3, "fluorescent_led", 10), (3, "fluorescent_led", 9), (17, "led", 0)]
    recordings = {key: random_events(rng, 20 + number, 128, 128, 6000) for number, key in enumerate(keys)}
    write_dvs_gesture(tmp_path, recordings)
    source = data.DVSGesture(tmp_path)
    assert len(source) == 5
    assert list(zip(source.users, source.lightings, source.labels, strict=True)) == sorted(keys)
    for example, key in zip(source, sorted(keys), strict=True):
        x, y, p, t = recordings[key]
        same(example["events"], x, y, 1000 * t, p)
        assert (example["label"], example["user"]) == (key[2], key[0])
    assert source[-1]["label"] == 10 == source[1]["label"]


@pytest.mark.parametrize("dtype", [np.int16, np.int32, np.uint64, np.float32, np.float64, ">i4", "<f2"])
def test_times_do_not_overflow_in_the_dtype_of_the_file(tmp_path, dtype):
    write_dvs_gesture(tmp_path, {(1, "led", 0): ([1, 2], [3, 4], [0, 1], [5, 2000])}, dtype=dtype)
    same(data.DVSGesture(tmp_path)[0]["events"], [1, 2], [3, 4], [5000, 2_000_000], [0, 1])


def test_fractions_of_milliseconds_become_the_nearest_microsecond(tmp_path):
    write_dvs_gesture(tmp_path, {(1, "led", 0): ([1], [3], [0], [1.001])}, dtype=np.float64)
    assert data.DVSGesture(tmp_path)[0]["events"]["t"] == [1001]


def test_written_gestures_are_a_source(tmp_path):
    recording = data.record(0, 1, 1, 4)[:50]
    from snnax.data._write import save_recording

    save_recording(tmp_path / "DVSGesture/ibmGestureTest/user01_led/4.npy", recording)
    events = data.DVSGesture(tmp_path, "test")[0]["events"]
    same(events, recording["x"], recording["y"], 1000 * np.floor(recording["t"]), recording["p"])


def test_nmnist_is_read_bit_by_bit_with_its_overflow_marks(tmp_path):
    plain = nmnist_bytes([33, 0], [0, 33], [1, 0], [2**23 - 1, 70000])
    marked = nmnist_bytes([1, 0, 2, 0, 3], [1, 240, 2, 240, 3], [0, 0, 1, 1, 1], [8000, 5, 10, 6, 20])
    write_nmnist(tmp_path, {(7, 12): marked, (7, 3): plain, (0, 99): b""})
    source = data.NMNIST(tmp_path)
    assert source.labels.tolist() == [0, 7, 7] and [example["label"] for example in source] == [0, 7, 7]
    same(source[0]["events"], [], [], [], [])
    same(source[1]["events"], [33, 0], [0, 33], [2**23 - 1, 70000], [1, 0])
    same(source[2]["events"], [1, 2, 3], [1, 2, 3], [8000, 10 + 2**13, 20 + 2**14], [0, 1, 1])


def test_shd_is_read_with_its_labels_speakers_and_class_names(tmp_path):
    times, units = [[0.5, 0.25], [], [1.0]], [[0, 699], [], [5]]
    write_spikes(tmp_path / "SHD/shd_train.h5", times, units, [0, 9, 3], [3, 3, 11])
    source = data.SHD(tmp_path)
    assert source.classes == tuple(key.decode() for key in KEYS) and source.speakers.tolist() == [3, 3, 11]
    same(source[0]["events"], [0, 699], [0, 0], [500_000, 250_000], [0, 0])
    same(source[1]["events"], [], [], [], [])
    assert source[1]["label"] == 9 and source[2]["speaker"] == 11 and source[2]["label"] == 3
    copy = pickle.loads(pickle.dumps(source))
    same(copy[2]["events"], [5], [0], [1_000_000], [0])
    assert copy.fingerprint == source.fingerprint


def test_ssc_has_three_parts(tmp_path):
    for number, name in enumerate(["train", "valid", "test"]):
        write_spikes(tmp_path / f"SSC/ssc_{name}.h5", [[0.5]], [[number]], [number], [0])
    parts = [data.SSC(tmp_path, part) for part in ("train", "validation", "test")]
    assert [part[0]["events"]["x"].item() for part in parts] == [part.labels.item() for part in parts] == [0, 1, 2]


def test_events_that_cannot_be_are_refused_or_left_out_as_asked(tmp_path):
    times = [[0.1, np.nan, 0.2, np.inf, -0.1, 0.3], [0.1]]
    write_spikes(tmp_path / "SHD/shd_train.h5", times, [[1, 2, 3, 4, 5, 700], [6]], [0, 0], [0, 0])
    source = data.SHD(tmp_path)
    with pytest.raises(data.MalformedFileError, match="4 of 6 events in .*shd_train.h5' cannot be, the first"):
        source[0]
    assert source[1]["events"]["x"] == [6]
    assert data.SHD(tmp_path, drop_invalid=True)[0]["events"]["x"].tolist() == [1, 3]
    write_nmnist(tmp_path, {(0, 1): nmnist_bytes([34, 0, 0], [0, 34, 33], [0, 0, 1], [0, 0, 9])})
    with pytest.raises(data.MalformedFileError, match=r"2 of 3 .* \{'x': 34, 'y': 0, 't': 0, 'p': 0\}. The sensor"):
        data.NMNIST(tmp_path)[0]
    same(data.NMNIST(tmp_path, drop_invalid=True)[0]["events"], [0], [33], [9], [1])
    columns = [1.5, 1, -1, 1, 128], [0, 0, 0, 0, 0], [0, 2, 0, 1, 0], [0, 0, 0, 7, 0]
    write_dvs_gesture(tmp_path, {(1, "led", 0): columns}, dtype=np.float32)
    with pytest.raises(data.MalformedFileError, match="4 of 5 events"):
        data.DVSGesture(tmp_path)[0]
    same(data.DVSGesture(tmp_path, drop_invalid=True)[0]["events"], [1], [0], [7000], [1])


def test_what_is_not_there_is_named_with_what_to_fetch(tmp_path):
    for make, message in {
        lambda: data.DVSGesture(tmp_path): r"no recordings in '.*ibmGestureTrain'. Fetch https://figshare.com/\S+ as",
        lambda: data.DVSGesture(tmp_path, "test"): "38020584 as ibmGestureTest.tar.gz and unpack it: `data.unpack",
        lambda: data.NMNIST(tmp_path): "no recordings in .* Fetch train.zip from https://www.garrickorchard.com",
        lambda: data.SHD(tmp_path): "there is no .*shd_train.h5'. Fetch https://zenkelab.org/datasets/shd_train.h5.zip",
        lambda: data.SSC(tmp_path, "validation"): "ssc_valid.h5.zip and unpack it: `data.unpack",
        lambda: data.SpokenDigits(tmp_path / "a.npz"): "`data.SpokenDigits`: there is no file '.*a.npz'",
    }.items():
        with pytest.raises(FileNotFoundError, match=message):
            make()
    for kind in (data.DVSGesture, data.NMNIST, data.SHD, data.SSC):
        with pytest.raises(ValueError, match="`part` must be one of .*'train'.*, got 'validate'"):
            kind(tmp_path, "validate")
    with pytest.raises(ValueError, match="`part` must be one of .*'all'"):
        data.SpokenDigits(tmp_path / "a.npz", "validate")


@pytest.mark.parametrize("name", ["user1/0", "user01_led/11", "user01_led/x", "userxx_led/0", "user01_led/01"])
def test_files_that_are_not_named_like_recordings_are_named(tmp_path, name):
    path = tmp_path / "DVSGesture/ibmGestureTrain" / f"{name}.npy"
    path.parent.mkdir(parents=True)
    path.touch()
    with pytest.raises(data.MalformedFileError, match=f"{name}.npy' is not named like a recording"):
        data.DVSGesture(tmp_path)


def test_a_folder_of_nmnist_that_is_no_digit_is_named(tmp_path):
    (tmp_path / "NMNIST/Train/ten").mkdir(parents=True)
    (tmp_path / "NMNIST/Train/ten/00001.bin").touch()
    with pytest.raises(data.MalformedFileError, match="ten/00001.bin' is not in a folder named by a digit"):
        data.NMNIST(tmp_path)


def test_an_example_that_is_not_there_ends_a_loop(tmp_path):
    write_nmnist(tmp_path, {(0, 1): b""})
    source = data.NMNIST(tmp_path)
    assert len(list(source)) == 1
    for index in (1, -2):
        with pytest.raises(IndexError, match=f"`data.NMNIST`: there is no example {index}; there are 1"):
            source[index]


@pytest.fixture
def digits(tmp_path):
    arrays = spoken_digits()
    np.savez_compressed(tmp_path / "fsdd.npz", **arrays)
    return tmp_path / "fsdd.npz", arrays


def test_spoken_digits_are_cut_out_of_the_sound_and_divided_by_take(digits):
    path, arrays = digits
    everything, train, test = (data.SpokenDigits(path, part) for part in ("all", "train", "test"))
    assert everything.names == ("ann", "bob") and len(everything) == len(train) + len(test) == 28
    assert set(test.takes) == {0, 1, 2, 3, 4} and set(train.takes) == {5, 6}
    for number, example in enumerate(everything):
        np.testing.assert_array_equal(example["audio"], arrays["audio"][slice(*arrays["offset"][number : number + 2])])
        assert [example[name] for name in ("label", "speaker", "take")] == [
            arrays[name][number] for name in ("label", "speaker", "take")
        ]
    rows = np.flatnonzero(arrays["take"] >= 5)
    np.testing.assert_array_equal(train[3]["audio"], everything[int(rows[3])]["audio"])
    with pytest.raises(ValueError, match="read-only"):
        train[0]["audio"][0] = 1


def test_spoken_digits_become_spikes_by_the_audio_encoders(digits):
    def spikes(example):
        sound = jnp.asarray(example["audio"][:50], jnp.float32) / 32768
        bands = functional.mel_spectrogram(sound, 8000, 2, window=0.004, hop=0.001)
        return {"spikes": functional.send_on_delta(bands, 0.5), "label": example["label"]}

    example = data.Mapped(data.SpokenDigits(digits[0]), spikes)[3]
    assert example["spikes"].shape == (3, 2) and np.abs(example["spikes"]).sum() > 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"audio": np.zeros(5, np.int32)}, "must have int16 samples"),
        ({"audio": np.zeros((5, 2), np.int16)}, "'audio' in .* has the shape .*5, 2.* expected the shape .any,."),
        ({"offset": np.zeros(29, int)}, "an offset that grows"),
        ({"offset": np.zeros(0, int)}, "an offset that grows"),
        ({"label": np.full(28, 10)}, "each label must be from 0 to 9, got 10 to 10"),
        ({"speaker": np.full(28, 2)}, "each speaker must be from 0 to 1, got 2 to 2"),
        ({"label": np.zeros(27, int)}, "27 labels, 28 speakers"),
        ({"take": np.zeros(28)}, "'take' in .*float64"),
        ({"speakers": np.array([1, 2])}, "'speakers' in"),
        ({"take": None}, r"has no \['take'\]; it has \['audio', 'label'"),
    ],
)
def test_spoken_digits_that_do_not_fit_together_are_refused(tmp_path, change, message):
    arrays = {name: array for name, array in {**spoken_digits(), **change}.items() if array is not None}
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(data.MalformedFileError, match=message):
        data.SpokenDigits(tmp_path / "a.npz")


def test_leave_out_divides_by_group_so_that_nobody_is_in_both_parts(digits):
    source = data.SpokenDigits(digits[0])
    for speaker in np.unique(source.speakers):
        training, testing = data.leave_out(source, speaker, by=source.speakers)
        assert sorted([*training.indices, *testing.indices]) == list(range(28))
        assert {example["speaker"] for example in testing} == {speaker}
        assert speaker not in [example["speaker"] for example in training]
    for held_out, message in {(2,): r"got \[2\] of \[0, 1\]", (0, 1): "but not all", (): r"got \[\] of"}.items():
        with pytest.raises(ValueError, match=message):
            data.leave_out(source, held_out, by=source.speakers)
    letters = data.Arrays(x=np.arange(3))
    assert [part.indices.tolist() for part in data.leave_out(letters, "b", by=["a", "b", "a"])] == [[0, 2], [1]]
    with pytest.raises(ValueError, match="`data.leave_out`: `by` must name a group for each of 3 examples, got .2,."):
        data.leave_out(letters, "b", by=["a", "b"])


def test_speakers_of_shd_are_held_out_for_validation(tmp_path):
    source = data.SHD(write_small_shd(tmp_path))
    for training, validation in (
        data.leave_out(source, [1, 3], by=source.speakers),
        data.split(source, 0.5, by=source.speakers),
    ):
        speakers = [{int(example["speaker"]) for example in part} for part in (training, validation)]
        assert len(speakers[0]) == len(speakers[1]) == 2 and not speakers[0] & speakers[1]


def test_batches_of_recordings_are_padded_by_the_loader(tmp_path):
    write_nmnist(
        tmp_path, {(0, 1): nmnist_bytes([1, 2], [3, 4], [1, 1], [5, 6]), (1, 1): nmnist_bytes([7], [8], [1], [9])}
    )
    (batch,) = data.Loader(data.NMNIST(tmp_path), 2, shuffle=False, pad=["events"]).epoch(0)
    assert batch["length"].tolist() == [2, 1] and batch["label"].tolist() == [0, 1]
    assert batch["events"]["x"].tolist() == [[1, 2], [7, 0]] and batch["events"]["t"].tolist() == [[5, 6], [9, 0]]


def test_windows_hold_every_event_once_with_label_and_recording(tmp_path, rng):
    recordings = {(1, "led", label): random_events(rng, 40 * label, 128, 128, 3000) for label in range(4)}
    recordings[1, "led", 2][3][:] += 500  # does not begin at 0
    source = data.DVSGesture(write_dvs_gesture(tmp_path, recordings))
    windows = data.Windows(source, 700_000)
    assert windows.recordings.tolist() == [window["recording"] for window in windows]
    for number, recording in enumerate(source):
        own = [window for window in windows if window["recording"] == number]
        assert [window["window"] for window in own] == list(range(len(own)))
        assert {window["label"] for window in own} == {number} and {window["user"] for window in own} == {1}
        assert all(np.all((w["events"]["t"] >= 0) & (w["events"]["t"] < 700_000)) for w in own)
        start = recording["events"]["t"].min() if number else 0
        again = [w["events"]["t"] + 700_000 * w["window"] + start for w in own]
        np.testing.assert_array_equal(np.concatenate(again), recording["events"]["t"])
        for name in "xyp":
            np.testing.assert_array_equal(np.concatenate([w["events"][name] for w in own]), recording["events"][name])
    assert len(windows[0]["events"]) == 0 and windows[1]["recording"] == 1


def test_windows_that_make_no_sense_are_refused(tmp_path):
    write_dvs_gesture(tmp_path, {(1, "led", 0): ([1, 1], [1, 1], [0, 0], [0, 10**12])})
    source = data.DVSGesture(tmp_path)
    for duration in (0, -1, True):
        with pytest.raises(ValueError, match="`duration` must be a whole number, 1 or more, got"):
            data.Windows(source, duration)
    with pytest.raises(ValueError, match="recording 0 would give 1000000000000001 windows of 1, more than"):
        data.Windows(source, 1)


def test_sequential_mnist_reads_pixels_row_by_row_or_in_one_fixed_order(rng):
    images, labels = rng.integers(0, 256, (5, 28, 28)).astype(np.uint8), np.arange(5)
    plain, permuted = (data.SequentialMNIST(images, labels, permuted_by=seed) for seed in (None, 1))
    for number, (one, other) in enumerate(zip(plain, permuted, strict=True)):
        assert one["pixels"].shape == (784, 1) and one["pixels"].dtype == np.float32 and one["label"] == number
        np.testing.assert_array_equal(one["pixels"][28 * 3 + 5], images[number, 3, 5] / np.float32(255))
        np.testing.assert_array_equal(other["pixels"], one["pixels"][permuted.permutation])
    assert sorted(permuted.permutation) == list(range(784))
    assert permuted.permutation[:8].tolist() == [649, 265, 111, 301, 339, 559, 742, 202]
    assert len(data.SequentialMNIST(images[:0], labels[:0])) == 0


def test_sequential_mnist_refuses_other_images():
    images = np.zeros((3, 28, 28), np.uint8)
    with pytest.raises(ValueError, match=r"`images` must be \(n, height, width\) in uint8, got .3, 28, 28. in float"):
        data.SequentialMNIST(images / 255, np.zeros(3, int))
    for labels in (np.zeros(2, int), np.zeros(3)):
        with pytest.raises(ValueError, match="`labels` must be a whole number for each of 3 images"):
            data.SequentialMNIST(images, labels)


def test_reading_needs_neither_tonic_nor_h5py_where_the_format_does_not(tmp_path):
    write_nmnist(tmp_path, {(0, 1): nmnist_bytes([1], [1], [0], [0])})
    write_small_shd(tmp_path)
    script = f"""
import sys
import types
sys.modules["h5py"] = sys.modules["tonic"] = sys.modules["aedat"] = None
from snnax import data
assert len(data.NMNIST({str(tmp_path)!r})[0]["events"]) == 1
for kind in (data.SHD, data.CIFAR10DVS):
    try:
        kind({str(tmp_path)!r})
    except ImportError as error:
        print(error)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [
        "`data.SHD` reads HDF5 files and needs h5py: pip install h5py",
        "`data.CIFAR10DVS` needs tonic and aedat, and aedat is not here: pip install tonic aedat",
    ]


def as_tonic(cls, root, monkeypatch, **options):
    monkeypatch.setattr(cls, "_check_exists", lambda self: True)
    return cls(save_to=str(root), **options)


def test_sources_equal_tonics_classes_on_the_same_files(tmp_path, rng, monkeypatch):
    tonic = pytest.importorskip("tonic")
    keys = [(2, "led", 3), (1, "natural", 0), (1, "led", 10), (1, "led", 2)]
    write_dvs_gesture(tmp_path, {key: random_events(rng, 50, 128, 128, 6000) for key in keys})
    marked = nmnist_bytes([1, 0, 2], [1, 240, 2], [0, 0, 1], [8000, 5, 10])
    numbers = {(label, number): nmnist_bytes(*random_events(rng, 40)) for label in (3, 1) for number in (20, 3)}
    write_nmnist(tmp_path, {**numbers, (0, 5): marked})
    write_small_shd(tmp_path)
    theirs = as_tonic(tonic.datasets.DVSGesture, tmp_path, monkeypatch)
    for source, through in (
        (data.DVSGesture(tmp_path), data.FromTonic(theirs)),
        (data.NMNIST(tmp_path), data.FromTonic(as_tonic(tonic.datasets.NMNIST, tmp_path, monkeypatch))),
    ):
        assert len(source) == len(through) > 3
        by_label = sorted((int(e["label"]), len(e["events"]), e["events"]["t"].sum()) for e in source)
        assert by_label == sorted((int(e["label"]), len(e["events"]), e["events"]["t"].sum()) for e in through)
        where = {str(path): number for number, path in enumerate(source.paths)}
        for number, example in enumerate(through):
            mine = source[where[str(through.paths[through.order[number]])]]
            np.testing.assert_array_equal(mine["events"], example["events"])
            assert mine["label"] == example["label"]
    source, through = data.SHD(tmp_path), data.FromTonic(as_tonic(tonic.datasets.SHD, tmp_path, monkeypatch))
    for mine, example in zip(source, through, strict=True):
        np.testing.assert_array_equal(mine["events"]["x"], example["events"]["x"])
        assert np.all(np.abs(mine["events"]["t"] - example["events"]["t"]) <= 1)  # tonic cuts, here they are rounded
        assert mine["label"] == example["label"]


class Listed:
    """As a class of tonic: files, an order that is the file system's, pairs of events and target."""

    sensor_size = (4, 4, 2)
    dtype = np.dtype([("t", "u8"), ("x", "u2"), ("y", "u2"), ("p", "?")])

    def __init__(self, folder, names):
        self.data = [str(folder / name) for name in names]
        for number, path in enumerate(self.data):
            np.array([(number, number % 4, 1, True)], self.dtype).tofile(path)

    def __len__(self):
        return len(self.data)

    def __getitem__(self, index):
        return np.fromfile(self.data[index], self.dtype), index


def test_any_data_set_of_tonic_comes_in_the_order_of_its_files_and_is_checked(tmp_path):
    dataset = Listed(tmp_path, ["c", "a", "b"])
    source = data.FromTonic(dataset)
    assert [int(example["label"]) for example in source] == [1, 2, 0]
    same(source[1]["events"], [2], [1], [2], [1])
    with pytest.raises(data.MalformedFileError, match=r"`data.FromTonic\(Listed\)`: 1 of 1 events in .*/b' cannot be"):
        data.FromTonic(dataset, sensor_size=(2, 2, 2))[1]
    prints = [data.FromTonic(dataset, drop_invalid=drop).fingerprint for drop in (False, True)]
    (tmp_path / "b").write_bytes(b"")
    assert len({*prints, source.fingerprint}) == 3
    (tmp_path / "b").unlink()
    with pytest.raises(FileNotFoundError, match=r"`data.FromTonic\(Listed\)`: there is no file '.*/b'"):
        source[1]
    dataset.sensor_size = None
    with pytest.raises(ValueError, match="the sensor's size must be known, got None. Give `sensor_size=.width, height"):
        data.FromTonic(dataset)
    frames = type("Frames", (list,), {"sensor_size": (4, 4, 2)})([(np.zeros((3, 2, 4, 4)), 0)])
    with pytest.raises(data.MalformedFileError, match="gives ndarray with the fields .., not events. Make"):
        data.FromTonic(frames)[0]
    unlisted = data.FromTonic(frames).fingerprint
    frames.root = "elsewhere"
    assert data.FromTonic(frames).fingerprint not in (unlisted, *prints)


class Decoder:
    """In the place of `aedat.Decoder`: a file is two packets of events, of the second of two streams."""

    def __init__(self, path):
        self.events = np.fromfile(path, [("t", "<u8"), ("x", "<u2"), ("y", "<u2"), (("p", "on"), "?")])
        if not len(self.events):
            raise type("PanicException", (BaseException,), {})("range end index 8")

    def id_to_stream(self):
        return {0: {"type": "imus"}, 1: {"type": "events", "width": 128, "height": 128}}

    def __iter__(self):
        halves = self.events[:1], self.events[1:]
        return iter([{"stream_id": 0, "imus": None}, *({"stream_id": 1, "events": half} for half in halves)])


def test_cifar10_dvs_comes_through_tonic_in_a_fixed_order_and_nothing_is_downloaded(tmp_path, rng, monkeypatch):
    tonic = pytest.importorskip("tonic")
    monkeypatch.setitem(sys.modules, "aedat", types.SimpleNamespace(Decoder=Decoder))
    monkeypatch.setattr(tonic.datasets.CIFAR10DVS, "download", None)
    with pytest.raises(FileNotFoundError, match="no recordings in .*CIFAR10DVS'. Fetch https://figshare"):
        data.CIFAR10DVS(tmp_path)
    dtype = [("t", "<u8"), ("x", "<u2"), ("y", "<u2"), ("p", "?")]
    for number, label in enumerate(tonic.datasets.CIFAR10DVS.classes):
        folder = tmp_path / "CIFAR10DVS" / label
        folder.mkdir(parents=True)
        for k in reversed(range(100)):
            np.array([(k, number, 127, True), (k + 1, 127, number, False)], dtype).tofile(
                folder / f"cifar10_{label}_{k}.aedat4"
            )
    with pytest.raises(FileNotFoundError, match="must have CIFAR10DVS.zip and 1000 recordings or more, got 1000"):
        data.CIFAR10DVS(tmp_path)
    (tmp_path / "CIFAR10DVS" / "CIFAR10DVS.zip").touch()
    source = data.CIFAR10DVS(tmp_path)
    assert len(source) == 1000 and source.labels.tolist() == np.repeat(range(10), 100).tolist()
    same(source[702]["events"], [7, 127], [127, 7], [10, 11], [1, 0])  # cifar10_horse_10 after _0 and _1
    assert source[702]["label"] == 7
    (folder / f"cifar10_{label}_0.aedat4").write_bytes(b"")
    with pytest.raises(data.MalformedFileError, match="truck_0.aedat4' cannot be read.*panic in Rust: range end index"):
        source[900]
