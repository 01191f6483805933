"""NumPy's npy and npz files of strangers: no pickles, and the header is checked before anything is allocated."""

import io
import math
import os
import sys
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np

from .._files import LIMIT, MalformedFileError, UnsafeFileError, reading, regular_file, shown

PLAIN = "biufcSU"  # kinds of dtypes: numbers and strings
_HEADER = 2**16
_DIRECTORY = 2**20

Shape = tuple[int | None, ...]


def read_npy(owner: str, path, kinds: str, shape: Shape, limit: int = LIMIT) -> np.ndarray:
    """The array of an npy file.

    **Arguments:** `owner`: who asks, for messages; `path`; `kinds`: the kinds of dtypes that will do; `shape`, with
    `None` for any length; `limit`: the most bytes.
    """
    path = regular_file(owner, path)
    with reading(owner, path), path.open("rb") as file:
        return _array(owner, shown(path), file, os.fstat(file.fileno()).st_size, kinds, shape, limit)


def read_npz(
    owner: str, path, wanted: Mapping[str, tuple[str, Shape]] | None = None, limit: int = LIMIT
) -> dict[str, np.ndarray]:
    """Arrays of an npz file by name: those that are `wanted`, of such kinds and shapes, or all that hold no objects.

    Damage is seen, for the file has a checksum of each array. `limit` holds for all of them together.
    """
    path = regular_file(owner, path)
    with reading(owner, path), opened_zip(owner, path, _DIRECTORY) as archive:
        members = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
        missing = [name for name in wanted or () if name not in members]
        if missing or len(members) != len(archive.infolist()):
            problem = f"has no {missing}" if missing else "has two arrays of one name"
            raise MalformedFileError(f"`{owner}`: {shown(path)} {problem}; it has {sorted(members)[:20]}.")
        specified = {name: (PLAIN + "V", None) for name in members} if wanted is None else wanted
        arrays = {}
        for name, (kinds, shape) in specified.items():
            info = members[name]
            if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise UnsafeFileError(f"`{owner}`: {name!r} in {shown(path)} is neither stored nor deflated.")
            with archive.open(info) as member:
                where = f"{name!r} in {shown(path)}"
                arrays[name] = _array(owner, where, member, info.file_size, kinds, shape, limit)
                limit -= arrays[name].nbytes
                if member.read(1):  # the end of the member is also where its checksum is compared
                    raise MalformedFileError(f"`{owner}`: there are bytes after {where}.")
        return arrays


@contextmanager
def opened_zip(owner: str, path, directory: int) -> Iterator[zipfile.ZipFile]:
    """A zip file whose list of members, which is read into memory, is whole and has `directory` bytes at most."""
    with open(path, "rb") as file:
        file.seek(-min(file.seek(0, os.SEEK_END), 2**16 + 22), os.SEEK_END)
        tail = file.read()
        at = tail.rfind(b"PK\5\6")
        length = int.from_bytes(tail[at + 12 : at + 16], "little")
        if at >= 0 and length > directory:
            raise UnsafeFileError(
                f"`{owner}`: the list of members of {shown(path)} has {length} bytes, not {directory}."
            )
        with zipfile.ZipFile(file) as archive:
            count, found = int.from_bytes(tail[at + 10 : at + 12], "little"), len(archive.infolist())
            if count not in (found, 0xFFFF):  # which stands for more
                raise MalformedFileError(f"`{owner}`: {shown(path)} lists {found} of {count} members. Fetch it again.")
            yield archive


def _array(owner: str, where: str, stream: Any, size: int, kinds: str, shape: Shape | None, limit: int) -> np.ndarray:
    found, fortran, dtype, header = _header(owner, where, stream)
    if dtype.hasobject:
        raise UnsafeFileError(f"`{owner}`: {where} holds pickled Python objects, which could run any program.")
    fits = shape is None or (
        len(found) == len(shape) and all(want in (None, n) for n, want in zip(found, shape, strict=True))
    )
    if not fits or not _is_plain(dtype, kinds) or min(found, default=0) < 0:
        wanted = "any" if shape is None else str(tuple("any" if n is None else n for n in shape)).replace("'", "")
        raise MalformedFileError(
            f"`{owner}`: {where} has the shape {found} and the dtype {dtype}, expected the shape {wanted} and a dtype "
            f"of the kinds {kinds!r}."
        )
    nbytes = math.prod(found) * dtype.itemsize
    if nbytes > limit:
        raise UnsafeFileError(f"`{owner}`: {where} asks for {nbytes} bytes; the limit is {limit}.")
    if size - header != nbytes:
        raise MalformedFileError(
            f"`{owner}`: {where} has {size - header} bytes of values, and its header promises {nbytes}. Fetch it again."
        )
    raw, done = np.empty(nbytes, np.uint8), 0
    while done < nbytes:
        read = stream.readinto(raw.data[done:])
        if not read:
            raise MalformedFileError(f"`{owner}`: {where} ends after {done} of {nbytes} bytes of values.")
        done += read
    out = raw.view(dtype).astype(dtype.newbyteorder("="), copy=False)
    if dtype.kind == "U" and np.any(out.view(np.uint32) > sys.maxunicode):
        raise MalformedFileError(f"`{owner}`: {where} holds letters that are none. Fetch it again.")
    return out.reshape(found, order="F" if fortran else "C")


def _header(owner: str, where: str, stream) -> tuple[tuple[int, ...], bool, np.dtype, int]:
    start = stream.read(8)
    width = {b"\x93NUMPY\1\0": 2, b"\x93NUMPY\2\0": 4}.get(start)
    if width is None:
        raise MalformedFileError(f"`{owner}`: {where} is not an npy array: it begins with {start!r}.")
    length = stream.read(width)
    if int.from_bytes(length, "little") > _HEADER:
        raise UnsafeFileError(
            f"`{owner}`: the header of {where} has {int.from_bytes(length, 'little')} bytes, more than {_HEADER}."
        )
    header = stream.read(int.from_bytes(length, "little"))
    read = np.lib.format.read_array_header_1_0 if width == 2 else np.lib.format.read_array_header_2_0
    try:
        shape, fortran, dtype = read(io.BytesIO(length + header), max_header_size=_HEADER)
    except (MemoryError, RecursionError) as error:  # brackets in brackets in brackets
        raise MalformedFileError(f"`{owner}`: the header of {where} cannot be read.") from error
    return tuple(int(n) for n in shape), fortran, dtype, 8 + width + len(header)


def _is_plain(dtype: np.dtype, kinds: str) -> bool:
    if dtype.names is not None:
        return "V" in kinds and all(_is_plain(dtype[name], PLAIN) for name in dtype.names)
    return dtype.kind in kinds.replace("V", "") and dtype.itemsize > 0
