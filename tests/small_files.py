"""Small data sets, written in the formats and the places of the real ones."""

import io
import json
import zipfile

import h5py
import numpy as np

KEYS = [b"zero", b"one", b"two", b"three", b"four", b"null", b"eins", b"zwei", b"drei", "fünf".encode()]


def random_events(rng, length, width=34, height=34, latest=300_000):
    """Columns x, y, p and t, ordered by time."""
    x, y, p = rng.integers(0, width, length), rng.integers(0, height, length), rng.integers(0, 2, length)
    return x, y, p, np.sort(rng.integers(0, latest, length))


def write_dvs_gesture(root, recordings, part="ibmGestureTrain", dtype=np.int64):
    """`recordings`: columns x, y, p and t in milliseconds, by (user, lighting, label)."""
    for (user, lighting, label), columns in recordings.items():
        folder = root / "DVSGesture" / part / f"user{user:02d}_{lighting}"
        folder.mkdir(parents=True, exist_ok=True)
        np.save(folder / f"{label}.npy", np.stack(columns, -1).astype(dtype))
    (root / "DVSGesture" / f"{part}.tar.gz").touch()
    return root


def nmnist_bytes(x, y, p, t):
    """Five bytes an event. An event whose y is 240 adds 2**13 to the times from there on."""
    x, y, p, t = (np.asarray(column) for column in (x, y, p, t))
    return np.stack([x, y, p << 7 | t >> 16, t >> 8 & 255, t & 255], -1).astype(np.uint8).tobytes()


def write_nmnist(root, recordings, part="Train"):
    """`recordings`: bytes by (label, number)."""
    for (label, number), content in recordings.items():
        folder = root / "NMNIST" / part / str(label)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{number:05d}.bin").write_bytes(content)
    (root / "NMNIST" / f"{part.lower()}.zip").touch()
    return root


def write_spikes(path, times, units, labels, speakers, keys=KEYS, time_dtype=np.float16, unit_dtype=np.uint16):
    """The files of SHD and SSC."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        for name, lists, dtype in (("times", times, time_dtype), ("units", units, unit_dtype)):
            written = file.create_dataset(f"spikes/{name}", (len(lists),), h5py.vlen_dtype(np.dtype(dtype)))
            for number, one in enumerate(lists):
                written[number] = np.asarray(one, dtype)
        file["labels"] = np.asarray(labels, np.uint16)
        file["extra/keys"] = np.asarray(keys)
        file["extra/speaker"] = np.asarray(speakers, np.uint16)
    path.with_name(path.name + ".zip").touch()
    return path.parent.parent


def write_small_shd(root, part="train", recordings=8, seed=0):
    rng = np.random.default_rng(seed)
    lengths = [0, *rng.integers(3, 20, recordings - 1)]
    times = [np.sort(rng.random(length)) for length in lengths]
    units = [rng.integers(0, 700, length) for length in lengths]
    labels, speakers = np.arange(recordings) % 10, np.arange(recordings) // 2
    return write_spikes(root / "SHD" / f"shd_{part}.h5", times, units, labels, speakers)


def spoken_digits(takes=7, speakers=("ann", "bob"), seed=0):
    """The arrays of the npz file, by name."""
    rng = np.random.default_rng(seed)
    label, speaker, take = (a.ravel() for a in np.meshgrid(range(2), range(len(speakers)), range(takes), indexing="ij"))
    lengths = rng.integers(50, 90, label.size)
    return {
        "audio": rng.integers(-32768, 32768, lengths.sum()).astype(np.int16),
        "offset": np.concatenate([[0], np.cumsum(lengths)]),
        "label": label.astype(np.int8),
        "speaker": speaker.astype(np.int8),
        "take": take.astype(np.int16),
        "speakers": np.array(speakers),
    }


def npy_bytes(descr, shape, content=b"", version=1, header=None, order=False):
    """An npy file whose header says what one likes."""
    if header is None:
        header = json.dumps({"descr": descr, "fortran_order": "@", "shape": "#"})
        header = header.replace('"@"', str(order)).replace('"#"', str(shape)).encode()
    length = len(header).to_bytes(2 if version == 1 else 4, "little")
    return b"\x93NUMPY" + bytes([version, 0]) + length + header + content


def zip_bytes(members, compression=zipfile.ZIP_DEFLATED):
    """A zip file of bytes by name, or by `ZipInfo`."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", compression) as archive:
        for name, content in members:
            archive.writestr(name, content, compress_type=compression)
    return stream.getvalue()
