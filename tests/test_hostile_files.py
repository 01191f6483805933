"""Files that are cut off, damaged or made to do harm give a clear error or a correct result, soon and in little memory.

npz files and archives have checksums: with a bit flipped, what they give is an error or equal. npy, bin and HDF5 files
have none: what they give then is an error or a recording that could be one.
"""

import gzip
import io
import os
import random
import struct
import tarfile
import time
import tracemalloc
import zipfile
import zlib

import h5py
import numpy as np
import pytest
from small_files import (
    KEYS,
    nmnist_bytes,
    npy_bytes,
    random_events,
    spoken_digits,
    write_small_shd,
    write_spikes,
    zip_bytes,
)

from snnax import _hdf5, data

DOCUMENTED = (data.MalformedFileError, data.UnsafeFileError)
MEMORY, SECONDS = 30_000_000, 20


def gesture(folder, content):
    path = folder / "DVSGesture/ibmGestureTrain/user01_led/0.npy"
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    return data.DVSGesture(folder)[0]["events"]


def nmnist(folder, content):
    path = folder / "NMNIST/Train/3/00001.bin"
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    return data.NMNIST(folder)[0]["events"]


def spoken(folder, content):
    (folder / "a.npz").write_bytes(content)
    source = data.SpokenDigits(folder / "a.npz")
    return [source.names, *(value for example in source for value in example.values())]


def unpacked(folder, content, **options):
    """Everything that is in the folder afterwards, by name; nothing may be beside it."""
    (folder / "archive").write_bytes(content)
    try:
        data.unpack(folder / "archive", folder / "in/here", **options)
    finally:
        assert sorted(os.listdir(folder)) == ["archive", "in"] and os.listdir(folder / "in") == ["here"]
        found = {str(path.relative_to(folder / "in/here")): path for path in (folder / "in/here").rglob("*")}
        assert not any(path.is_symlink() or name.startswith(".unpack") for name, path in found.items())
    return {name: path.read_bytes() for name, path in found.items() if path.is_file()}


def shd(folder, content):
    path = folder / "SHD/shd_train.h5"
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    source = data.SHD(folder)
    return [source.classes, *(value for example in source for value in example.values())]


def could_be(read, found):
    """Whether every event is one that the sensor can give."""
    width, height, polarities = {gesture: (128, 128, 2), nmnist: (34, 34, 2), shd: (700, 1, 1)}[read]
    for events in found[1::3] if read is shd else [found]:
        assert events.dtype == [("x", "<i2"), ("y", "<i2"), ("t", "<i8"), ("p", "i1")]
        for name, end in (("x", width), ("y", height), ("p", polarities), ("t", 2**53 + 1)):
            assert np.all((events[name] >= 0) & (events[name] < end))
    return True


def equal(one, other):
    if isinstance(one, dict):
        return one == other
    return len(one) == len(other) and all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


def npy(array):
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def npz(compressed=True, **arrays):
    stream = io.BytesIO()
    (np.savez_compressed if compressed else np.savez)(stream, **arrays)
    return stream.getvalue()


def tar(members, zipped=True):
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz" if zipped else "w") as archive:
        for name, content, changes in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            for field, value in changes.items():
                setattr(info, field, value)
            archive.addfile(info, io.BytesIO(content))
    return stream.getvalue()


rng = np.random.default_rng(0)
FILES = {"train/a.bin": rng.bytes(300), "train/deep/er/b.bin": b"b" * 400, "c": b""}
COLUMNS = np.stack(random_events(rng, 20, 128, 128, 6000), -1)
GOOD = {
    "npy": (gesture, npy(COLUMNS)),
    "npy float": (gesture, npy(COLUMNS.astype(np.float32))),
    "bin": (nmnist, nmnist_bytes(*random_events(rng, 20))),
    "npz": (spoken, npz(**spoken_digits(1))),
    "npz stored": (spoken, npz(compressed=False, **spoken_digits(1))),
    "zip": (unpacked, zip_bytes(FILES.items())),
    "tar.gz": (unpacked, tar([(name, content, {}) for name, content in FILES.items()])),
}
CHECKED = {spoken, unpacked}


def flipped(content, bit):
    changed = bytearray(content)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def damaged():
    """Cut off and with bits flipped, at places drawn once."""
    draw = random.Random(1)
    for kind, (_, content) in GOOD.items():
        for cut in [0, 1, 10, len(content) - 1, *draw.sample(range(len(content)), 4)]:
            yield pytest.param(kind, content[:cut], id=f"{kind} cut at {cut}")
        for bit in draw.sample(range(8 * len(content)), 24):
            yield pytest.param(kind, flipped(content, bit), id=f"{kind} bit {bit}")


@pytest.fixture
def modest():
    """Neither much time nor much memory."""
    tracemalloc.start()
    start = time.perf_counter()
    yield
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < MEMORY and time.perf_counter() - start < SECONDS


@pytest.mark.parametrize(("kind", "content"), [*damaged()])
def test_a_damaged_file_is_an_error_or_a_correct_result(tmp_path, modest, kind, content):
    read, good = GOOD[kind]
    try:
        found = read(tmp_path, content)
    except DOCUMENTED as error:
        assert str(tmp_path) in str(error)
        return
    if read in CHECKED:
        (tmp_path / "good").mkdir()
        assert equal(found, read(tmp_path / "good", good))
    else:
        assert could_be(read, found)


def test_good_files_are_read(tmp_path):
    for number, (kind, (read, content)) in enumerate(GOOD.items()):
        (tmp_path / str(number)).mkdir()
        found = read(tmp_path / str(number), content)
        assert found == FILES if read is unpacked else len(found) == 20 or read is spoken, kind


def one(x=0, y=0, p=0, t=0, dtype=np.int64):
    return npy(np.array([[x, y, p, t]], dtype))


MALFORMED_NPY = {
    "x negative": one(x=-1),
    "y negative": one(y=-1),
    "t negative": one(t=-1),
    "p negative": one(p=-1),
    "x outside": one(x=128),
    "y outside": one(y=2**62),
    "x that wraps": one(x=2**16),
    "p of two": one(p=2),
    "t that overflows": one(t=2**62),
    "t uint64": one(t=2**63, dtype=np.uint64),
    "t int8 -1": one(t=-1, dtype=np.int8),
    "t signalling nan": one(t=np.uint32(0x7F800001).view(np.float32), dtype=np.float32),
    "t nan": one(t=np.nan, dtype=np.float32),
    "t inf": one(t=np.inf, dtype=np.float16),
    "t -inf": one(t=-np.inf, dtype=np.float64),
    "t 1e300": one(t=1e300, dtype=np.float64),
    "x nan": one(x=np.nan, dtype=np.float64),
    "x between": one(x=0.5, dtype=np.float64),
    "bool": npy(np.zeros((2, 4), bool)),
    "complex": npy(np.zeros((2, 4), complex)),
    "strings": npy(np.zeros((2, 4), "U3")),
    "dates": npy(np.zeros((2, 4), "M8[us]")),
    "structured": npy(np.zeros((2, 4), [("x", "i4")])),
    "void": npy(np.zeros((2, 4), "V4")),
    "one axis": npy(np.zeros(8)),
    "three axes": npy(np.zeros((2, 4, 1))),
    "five columns": npy(np.zeros((2, 5))),
    "no columns": npy(np.zeros((2, 0))),
    "scalar": npy(np.float64(1)),
    "longer": npy(np.zeros((2, 4))) + b"1",
    "negative length": npy_bytes("<f8", (-1, 4), bytes(64)),
    "two negative lengths": npy_bytes("<f8", (-2, -4), bytes(64)),
    "shape of strings": npy_bytes("<f8", ("2", 4), bytes(64)),
    "no such dtype": npy_bytes("<q7", (2, 4), bytes(64)),
    "dtype of dtypes": npy_bytes([["x", "<f8"]], (2, 4), bytes(64)),
    "version 3": npy_bytes("<f8", (2, 4), bytes(64), version=3),
    "version 9": npy_bytes("<f8", (2, 4), bytes(64), version=9),
    "header of code": npy_bytes("", (), header=b"__import__('os').abort()"),
    "header of brackets": npy_bytes("", (), header=b"(" * 9000),
    "header of minuses": npy_bytes("", (), header=b"-" * 60000 + b"1"),
    "header of nothing": npy_bytes("", (), header=b""),
    "header of bytes": npy_bytes("", (), header=b"\xff\x00\n"),
    "text": b"x,y,p,t\n" * 20,
    "pickle": b"\x80\x04c__builtin__\nprint\n.",
}
UNSAFE_NPY = {
    "objects": npy(np.array([[None] * 4])),
    "objects inside": npy(np.zeros((1, 4), [("x", object)])),
    "huge": npy_bytes("<f8", (2**40, 4)),
    "huger than 64 bits": npy_bytes("<f8", (2**80, 4)),
    "header of gigabytes": b"\x93NUMPY\2\0" + struct.pack("<I", 2**32 - 1),
    "header of 100 kB": npy_bytes("", (), header=b" " * 100_000, version=2),
}


@pytest.mark.parametrize("name", [*MALFORMED_NPY, *UNSAFE_NPY])
def test_an_npy_file_that_is_no_recording_is_refused_by_name(tmp_path, modest, name):
    kind = data.UnsafeFileError if name in UNSAFE_NPY else data.MalformedFileError
    with pytest.raises(kind, match="`data.DVSGesture`: .*/user01_led/0.npy'"):
        gesture(tmp_path, {**MALFORMED_NPY, **UNSAFE_NPY}[name])


@pytest.mark.parametrize("array", [COLUMNS[:0], np.asfortranarray(COLUMNS), COLUMNS.astype(">i2")])
def test_an_npy_file_that_is_only_unusual_is_read(tmp_path, modest, array):
    found = gesture(tmp_path, npy(array))
    expected = array.astype(int) * [1, 1, 1, 1000]
    np.testing.assert_array_equal(np.stack([found[name] for name in "xypt"], -1), expected)


def test_a_file_of_more_than_the_limit_is_not_read(tmp_path, modest):
    path = tmp_path / "DVSGesture/ibmGestureTrain/user01_led/0.npy"
    path.parent.mkdir(parents=True)
    header = npy_bytes("<f8", (2**26, 4))
    path.write_bytes(header)
    os.truncate(path, len(header) + 2**31)  # sparse
    with pytest.raises(data.UnsafeFileError, match="0.npy' asks for 2147483648 bytes; the limit is 1073741824"):
        data.DVSGesture(tmp_path)[0]
    path = tmp_path / "NMNIST/Train/1/1.bin"
    path.parent.mkdir(parents=True)
    path.touch()
    os.truncate(path, 5 * 2**24)
    with pytest.raises(data.UnsafeFileError, match="1.bin' has 83886080 bytes; the limit is 67108864"):
        data.NMNIST(tmp_path)[0]


def test_overflow_marks_without_end_take_no_longer_than_events(tmp_path):
    start = time.perf_counter()
    marks = nmnist_bytes(np.zeros(400_000, int), np.full(400_000, 240), 0 * np.arange(400_000), np.zeros(400_000, int))
    events = nmnist(tmp_path, marks + nmnist_bytes([1], [1], [1], [7]))
    assert events["t"] == [400_000 * 2**13 + 7] and time.perf_counter() - start < 5


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_what_is_no_file_is_not_waited_for(tmp_path):
    folder = tmp_path / "DVSGesture/ibmGestureTrain/user01_led"
    folder.mkdir(parents=True)
    os.mkfifo(folder / "0.npy")
    os.symlink("/dev/zero", folder / "1.npy")
    (folder / "2.npy").mkdir()
    os.symlink("nowhere", folder / "3.npy")
    source = data.DVSGesture(tmp_path)
    for index in range(3):
        with pytest.raises(data.UnsafeFileError, match=f"{index}.npy' is not a file, but a folder, a device or a pipe"):
            source[index]
    with pytest.raises(FileNotFoundError, match="there is no file '.*3.npy'"):
        source[3]


def test_a_name_cannot_write_into_the_terminal(tmp_path):
    path = tmp_path / "DVSGesture/ibmGestureTrain/\x1b[2J\nuser01_led/0.npy"
    path.parent.mkdir(parents=True)
    path.touch()
    with pytest.raises(data.MalformedFileError) as caught:
        data.DVSGesture(tmp_path)
    assert r"\x1b[2J\nuser01_led/0.npy" in str(caught.value) and "\x1b" not in str(caught.value)


def members(**changes):
    return {f"{name}.npy": npy(array) for name, array in spoken_digits(1).items()} | changes


HOSTILE_NPZ = {
    "objects": lambda: zip_bytes(members(**{"take.npy": npy(np.array([None, None]))}).items()),
    "pickle": lambda: zip_bytes(members(**{"take.npy": b"\x80\x04."}).items()),
    "huge": lambda: zip_bytes(members(**{"audio.npy": npy_bytes("<i2", (2**60,))}).items()),
    "not there": lambda: zip_bytes(members(**{"audio.npy": npy_bytes("<i2", (2**28,), bytes(1000))}).items()),
    "lzma": lambda: zip_bytes(members().items(), zipfile.ZIP_LZMA),
    "bzip2": lambda: zip_bytes(members().items(), zipfile.ZIP_BZIP2),
    "twice": lambda: zip_bytes([*members().items(), ("take.npy", npy(np.zeros(4)))]),
    "no member": lambda: zip_bytes([]),
    "longer": lambda: zip_bytes(members(**{"take.npy": npy(spoken_digits(1)["take"]) + b"1"}).items()),
    "checksum": lambda: flipped(zip_bytes(members().items(), zipfile.ZIP_STORED), 8 * 200),
    "directory": lambda: zip_bytes(members().items())[:-10] + struct.pack("<IIH", 2**31, 0, 0),
    "path": lambda: zip_bytes([(f"../{name}", content) for name, content in members().items()]),
    "bad letters": lambda: zip_bytes(members(**{"speakers.npy": npy_bytes("<U1", (2,), b"\xff" * 8)}).items()),
    "offsets wrap": lambda: npz(**{**spoken_digits(1), "offset": np.array([0, 2**64 - 5, 1, 2, 3], np.uint64)}),
}


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("name", HOSTILE_NPZ)
def test_an_npz_file_that_does_harm_is_refused_by_name(tmp_path, modest, name):
    content = HOSTILE_NPZ[name]()
    tracemalloc.reset_peak()
    with pytest.raises(DOCUMENTED, match="`data.SpokenDigits`: .*a.npz'"):
        spoken(tmp_path, content)


def symlink(name, target):
    info = zipfile.ZipInfo(name)
    info.create_system, info.external_attr = 3, 0o120777 << 16
    return info, target


HOSTILE_ZIPS = {
    "up": [("../a", "1")],
    "up inside": [("b/../../a", "1")],
    "only up": [("..", "1")],
    "absolute": [("/tmp/a", "1")],
    "drive": [("C:a", "1")],
    "backslash": [("..\\a", "1")],
    "control": [("a\nb", "1")],
    "empty part": [("a//b", "1")],
    "link": [symlink("a", "/etc/passwd")],
    "link and through it": [symlink("a", "/tmp"), ("a/b", "1")],
    "twice": [("a", "1"), ("a", "2")],
    "file as folder": [("a", "1"), ("a/b", "2")],
    "folder as file": [("a/b", "1"), ("a", "2")],
    "long": [("a" * 300, "1")],
    "deep": [("a/" * 100 + "b", "1")],
    "large": [("a", bytes(2_000_000))],
}
HOSTILE_TARS = {
    "up": [("../a", b"1", {})],
    "absolute": [("/tmp/a", b"1", {})],
    "link": [("a", b"", {"type": tarfile.SYMTYPE, "linkname": "/etc/passwd"})],
    "hard link": [("a", b"", {"type": tarfile.LNKTYPE, "linkname": "../archive"})],
    "device": [("a", b"", {"type": tarfile.CHRTYPE, "devmajor": 1, "devminor": 5})],
    "pipe": [("a", b"", {"type": tarfile.FIFOTYPE})],
    "twice": [("a", b"1", {}), ("a", b"2", {})],
    "large": [("a", bytes(2_000_000), {})],
    "negative": [("a", b"1" * 512, {"pax_headers": {"size": "-512"}})],
    "gigabytes that are not there": [("a", b"1" * 512, {"pax_headers": {"size": str(2**33)}})],
}


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("name", HOSTILE_ZIPS)
def test_a_zip_file_leads_nowhere_else(tmp_path, modest, name):
    with pytest.raises(data.UnsafeFileError, match="`data.unpack`: .*archive'"):
        unpacked(tmp_path, zip_bytes([("fine", "1"), *HOSTILE_ZIPS[name]]), limit=1_000_000)
    assert os.listdir(tmp_path / "in/here") == []


@pytest.mark.parametrize("name", HOSTILE_TARS)
def test_a_tar_file_leads_nowhere_else(tmp_path, modest, name):
    with pytest.raises(DOCUMENTED, match="`data.unpack`: .*archive'"):
        unpacked(tmp_path, tar([("fine", b"1", {}), *HOSTILE_TARS[name]]), limit=1_000_000)
    assert os.listdir(tmp_path / "in/here") == []


def long_header(size):
    """A tar whose long name has `size` bytes."""
    info = tarfile.TarInfo("././@LongLink")
    info.type, info.size = tarfile.GNUTYPE_LONGNAME, size
    return info.tobuf(tarfile.GNU_FORMAT)


def test_archives_that_ask_for_memory_or_go_on_are_refused(tmp_path, modest):
    plain = tar([(name, content, {}) for name, content in FILES.items()], zipped=False)
    damaged = flipped(plain, 8 * 1024)  # in the second header: tarfile would stop without a word
    bomb = zlib.compressobj(9, wbits=31)
    zeros = b"".join(bomb.compress(bytes(2**20)) for _ in range(100)) + bomb.flush()
    huge_directory = bytearray(zip_bytes(FILES.items()))
    huge_directory[-10:-6] = struct.pack("<I", 2**31)
    for number, (content, message) in enumerate(
        [
            (gzip.compress(long_header(2**33)), "a header in .* has 8589934592 bytes"),
            (gzip.compress(damaged), "goes on after its last member"),
            (gzip.compress(plain) + gzip.compress(b"more"), "goes on after its last member"),
            (gzip.compress(plain) + zeros, "goes on after its last member"),
            (plain, "cannot be read"),
            (bytes(huge_directory), "the list of members of .* has 2147483648 bytes"),
            (b"", "cannot be read"),
            (zip_bytes([]), "there is nothing in"),
        ]
    ):
        (tmp_path / str(number)).mkdir()
        with pytest.raises(DOCUMENTED, match=message):
            unpacked(tmp_path / str(number), content)


def test_what_is_there_is_not_overwritten(tmp_path):
    assert unpacked(tmp_path, zip_bytes([("a", "1"), ("b/", ""), ("./c/d", "2")])) == {"a": b"1", "c/d": b"2"}
    (tmp_path / "archive").write_bytes(zip_bytes([("a", "2"), ("e", "3")]))
    with pytest.raises(FileExistsError, match="`data.unpack`: .'a'. would be overwritten in .*here'. Move that away"):
        data.unpack(tmp_path / "archive", tmp_path / "in/here")
    assert sorted(os.listdir(tmp_path / "in/here")) == ["a", "b", "c"] and (tmp_path / "in/here/a").read_text() == "1"
    (tmp_path / "archive").write_bytes(zip_bytes([("e", "3")]))
    assert data.unpack(tmp_path / "archive", tmp_path / "in/here") == [tmp_path / "in/here/e"]
    with pytest.raises(FileNotFoundError, match="`data.unpack`: there is no file"):
        data.unpack(tmp_path / "none", tmp_path)


@pytest.fixture
def soon(monkeypatch):
    monkeypatch.setattr(_hdf5, "PATIENCE", 4)


@pytest.fixture(scope="module")
def good_shd(tmp_path_factory):
    return (write_small_shd(tmp_path_factory.mktemp("shd"), recordings=4) / "SHD/shd_train.h5").read_bytes()


DAMAGE = random.Random(2)


@pytest.mark.parametrize("place", [*(DAMAGE.random() for _ in range(24)), 0.0, 0.002, 0.1])
def test_a_damaged_hdf5_file_is_an_error_or_a_recording(tmp_path, soon, good_shd, place):
    whole = place in (0.0, 0.1)
    content = good_shd[: int(place * len(good_shd))] if whole else flipped(good_shd, int(8 * place * len(good_shd)))
    try:
        assert could_be(shd, shd(tmp_path, content))
    except DOCUMENTED as error:
        assert "shd_train.h5" in str(error)


def hdf5(change):
    """A good file after a change."""

    def make(folder):
        path = (
            write_spikes(folder / "SHD/shd_train.h5", [[0.1], [0.2]], [[1], [2]], [0, 1], [0, 1]) / "SHD/shd_train.h5"
        )
        with h5py.File(path, "r+") as file:
            change(file, folder)

    return make


def replaced(name, **options):
    def change(file, folder):
        del file[name]
        file.create_dataset(name, **options)

    return hdf5(change)


def linked(link):
    def change(file, folder):
        with h5py.File(folder / "other.h5", "w") as other:
            other["labels"] = np.array([0, 1], np.uint16)
        (folder / "secret").write_bytes(bytes(8))
        del file["labels"]
        link(file, folder)

    return hdf5(change)


def virtual(file, folder):
    layout = h5py.VirtualLayout((2,), np.uint16)
    layout[:] = h5py.VirtualSource(str(folder / "other.h5"), "labels", (2,))
    file.create_virtual_dataset("labels", layout)


def external(file, folder):
    file.create_dataset("labels", (2,), np.uint16, external=[(str(folder / "secret"), 0, 4)])


def cycle(file, folder):
    file["extra/again"] = file["extra"]


def deep(file, folder):
    file.create_group("a/" * 40 + "b")


def user_type(file, folder):
    file["type"] = np.dtype("f4")


HOSTILE_HDF5 = {
    "external link": (linked(lambda f, d: f.__setitem__("labels", h5py.ExternalLink(d / "other.h5", "labels"))), True),
    "soft link": (linked(lambda f, d: f.__setitem__("labels", h5py.SoftLink("/extra/speaker"))), True),
    "link to itself": (linked(lambda f, d: f.__setitem__("labels", h5py.SoftLink("/labels"))), True),
    "external values": (linked(external), True),
    "virtual": (linked(virtual), True),
    "cycle": (hdf5(cycle), True),
    "deep": (hdf5(deep), True),
    "a type by name": (hdf5(user_type), True),
    "terabytes that are not there": (replaced("labels", shape=(2**40,), dtype="u2", chunks=(2**20,)), True),
    "zipped gigabyte": (
        replaced("labels", shape=(2**28,), dtype="u2", chunks=(2**20,), compression="gzip"),
        True,
    ),
    "a chunk of gigabytes": (
        replaced("labels", shape=(2,), dtype="u2", chunks=(2**30 + 1,), maxshape=(None,)),
        True,
    ),
    "references": (replaced("labels", shape=(2,), dtype=h5py.ref_dtype), True),
    "compound": (replaced("labels", shape=(2,), dtype=[("a", "i4")]), True),
    "lists of labels": (replaced("labels", shape=(2,), dtype=h5py.vlen_dtype(np.int32)), True),
    "lists of strings": (replaced("spikes/times", shape=(2,), dtype=h5py.string_dtype()), False),
    "no labels": (hdf5(lambda f, d: f.__delitem__("labels")), False),
    "labels in a group": (hdf5(lambda f, d: (f.__delitem__("labels"), f.create_group("labels"))), False),
    "labels of floats": (replaced("labels", data=np.zeros(2)), False),
    "labels of two axes": (replaced("labels", data=np.zeros((2, 1), int)), False),
    "no recordings but labels": (replaced("labels", data=np.zeros(0, int)), False),
    "one label": (replaced("labels", data=np.int32(0)), False),
    "label outside": (replaced("labels", data=np.array([0, len(KEYS)])), False),
    "label negative": (replaced("labels", data=np.array([0, -1])), False),
    "no shape": (replaced("labels", data=h5py.Empty("i4")), False),
    "times of whole numbers": (replaced("spikes/times", data=np.zeros(2, int)), False),
    "times not in lists": (replaced("spikes/times", data=np.zeros(2)), False),
    "no keys": (hdf5(lambda f, d: f.__delitem__("extra/keys")), False),
    "keys of no letters": (replaced("extra/keys", data=np.array([b"\xff", b"a"])), False),
}


@pytest.mark.parametrize("name", HOSTILE_HDF5)
def test_an_hdf5_file_that_does_harm_is_refused_by_name(tmp_path, soon, name):
    make, unsafe = HOSTILE_HDF5[name]
    make(tmp_path)
    with pytest.raises(data.UnsafeFileError if unsafe else data.MalformedFileError, match=".*shd_train.h5'") as caught:
        data.SHD(tmp_path)[0]
    assert str(caught.value).startswith("`data.SHD`: ")


def test_times_and_units_of_different_length_are_refused(tmp_path, soon):
    write_spikes(tmp_path / "SHD/shd_train.h5", [[0.1, 0.2]], [[1]], [0], [0])
    with pytest.raises(data.MalformedFileError, match="recording 0 has 2 times and 1 units"):
        data.SHD(tmp_path)[0]
    write_spikes(tmp_path / "SSC/ssc_train.h5", [[0.1]], [[-1]], [0], [0], time_dtype=np.float64, unit_dtype=np.int64)
    with pytest.raises(data.MalformedFileError, match="`data.SSC`: 1 of 1 events in .*ssc_train.h5' cannot be"):
        data.SSC(tmp_path)[0]


def test_a_crash_or_a_loop_of_hdf5s_library_is_an_error_here(tmp_path, monkeypatch):
    write_small_shd(tmp_path)
    for program, message in {
        "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)": r"crashed on it or took more than 1 s .* .signal 11",
        "import json, resource, sys; resource.setrlimit(resource.RLIMIT_CPU, (1, 2))\nwhile True: pass": "signal 24",
    }.items():
        (tmp_path / "walk.py").write_text(program)
        monkeypatch.setattr(_hdf5, "WALK", tmp_path / "walk.py")
        monkeypatch.setattr(_hdf5, "PATIENCE", 1)
        with pytest.raises(data.MalformedFileError, match=message):
            data.SHD(tmp_path)
    (tmp_path / "walk.py").write_text("import time; time.sleep(60)")
    monkeypatch.setattr(_hdf5, "PATIENCE", 0.05)
    with pytest.raises(data.MalformedFileError, match="was not read within 1.0 s"):
        data.SHD(tmp_path)
    (tmp_path / "walk.py").write_text("import nothing_of_that_name")
    monkeypatch.setattr(_hdf5, "PATIENCE", 5)
    with pytest.raises(RuntimeError, match="Python could not be started to check (?s:.*)No module named"):
        data.SHD(tmp_path)


def test_strings_of_any_length_may_be_class_names(tmp_path, soon):
    replaced("extra/keys", data=np.array(["eins", "zwei"], dtype=object), dtype=h5py.string_dtype())(tmp_path)
    assert data.SHD(tmp_path).classes == ("eins", "zwei")


def test_there_are_200_cases_and_more():
    tables = MALFORMED_NPY, UNSAFE_NPY, HOSTILE_NPZ, HOSTILE_ZIPS, HOSTILE_TARS, HOSTILE_HDF5
    assert len(list(damaged())) + sum(map(len, tables)) > 300
