"""Archives of strangers."""

import gzip
import os
import re
import shutil
import stat
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .._files import MalformedFileError, UnsafeFileError, reading, regular_file, shown
from ._npy import opened_zip

_OWNER = "data.unpack"
_BLOCK = 2**20
_MEMBERS = 1_000_000
_DIRECTORY = 2**28


def unpack(archive, folder, *, limit: int = 2**36) -> list[Path]:
    """Unpacks a zip or tar.gz file into a folder, if all that is in it may go there.

    It is unpacked beside its place first, and its checksums are compared, so that either all of it is there afterwards
    or nothing. Refused are names that lead out of the folder, absolute ones, links, devices, encrypted members, two
    members of one name, what is there already, and more than `limit` bytes or a million members.

    **Arguments:** `archive`: a path; `folder`: made if it is not there; `limit`: the most bytes of all members
    together; 64 GiB by default.

    **Returns:** what is new in `folder`, its own entries only, sorted.
    """
    archive, folder = regular_file(_OWNER, archive), Path(folder).expanduser()
    folder.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=".unpack-", dir=folder))
    try:
        with reading(_OWNER, archive):
            members = _zip_members if zipfile.is_zipfile(archive) else _tar_members
            left, files = limit, set()
            for count, (name, is_folder, size, content) in enumerate(members(archive)):
                target = temporary.joinpath(*_safe(archive, name))
                left -= max(size, 0)
                if left < 0 or count >= _MEMBERS:
                    raise UnsafeFileError(
                        f"`{_OWNER}`: {shown(archive)} has more than {_MEMBERS} members, or more than {limit} bytes. "
                        "If those bytes are meant, give a greater `limit`."
                    )
                if not files.isdisjoint([target, *target.parents]) or (target.exists() and not is_folder):
                    raise UnsafeFileError(f"`{_OWNER}`: {shown(archive)} has two members in one place, {name!r}.")
                if is_folder:
                    target.mkdir(parents=True, exist_ok=True)
                    continue
                files.add(target)
                target.parent.mkdir(parents=True, exist_ok=True)
                _copy(archive, name, content, target, size)
        new = sorted(temporary.iterdir())
        if not new:
            raise MalformedFileError(f"`{_OWNER}`: there is nothing in {shown(archive)}. Fetch it again.")
        there = [path.name for path in new if (folder / path.name).exists()]
        if there:
            raise FileExistsError(f"`{_OWNER}`: {there} would be overwritten in {shown(folder)}. Move that away first.")
        return [path.rename(folder / path.name) for path in new]
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


Member = tuple[str, bool, int, Any]


def _zip_members(path: Path) -> Iterator[Member]:
    with opened_zip(_OWNER, path, _DIRECTORY) as archive:
        for info in archive.infolist():
            mode = info.external_attr >> 16
            if info.flag_bits & 1 or (stat.S_IFMT(mode) and not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))):
                raise UnsafeFileError(
                    f"`{_OWNER}`: {info.filename!r} in {shown(path)} is encrypted or a link or device."
                )
            if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise UnsafeFileError(f"`{_OWNER}`: {info.filename!r} in {shown(path)} is neither stored nor deflated.")
            with archive.open(info) as content:
                yield info.filename, info.is_dir(), info.file_size, content


def _tar_members(path: Path) -> Iterator[Member]:
    with gzip.open(path) as stream:
        careful: Any = _Careful(path, stream)
        with tarfile.open(fileobj=careful, mode="r:") as archive:
            while (info := archive.next()) is not None:
                if not (info.isreg() or info.isdir()) or info.issparse() or info.size < 0:
                    raise UnsafeFileError(f"`{_OWNER}`: {info.name!r} in {shown(path)} is a link or a device.")
                yield info.name, info.isdir(), info.size, archive.extractfile(info)
        # tarfile stops at a damaged header without a word, and gzip compares its checksum at the end only.
        for _ in range(64):
            rest = stream.read(_BLOCK)
            if rest.strip(b"\0"):
                break
            if not rest:
                return
        raise MalformedFileError(f"`{_OWNER}`: {shown(path)} goes on after its last member. Fetch it again.")


class _Careful:
    """A stream that refuses to be read in one piece, as a hostile tar header of gigabytes would make tarfile do."""

    def __init__(self, path: Path, stream: gzip.GzipFile):
        self.path, self.stream = path, stream
        self.seek, self.tell = stream.seek, stream.tell

    def read(self, size: int) -> bytes:
        if not 0 <= size <= _BLOCK:
            raise UnsafeFileError(f"`{_OWNER}`: a header in {shown(self.path)} has {size} bytes.")
        return self.stream.read(size)


def _safe(path: Path, name: str) -> list[str]:
    """The parts of a member's name, each of which is an ordinary name on every system."""
    parts = [part for part in name.rstrip("/").split("/") if part != "."]
    odd = any(
        part in ("", "..") or len(os.fsencode(part)) > 255 or re.search(r"[\\:\x00-\x1f]", part) for part in parts
    )
    if odd or not 0 < len(parts) <= 64:
        raise UnsafeFileError(f"`{_OWNER}`: {shown(path)} has a member named {name[:200]!r}, which leads elsewhere.")
    return parts


def _copy(path: Path, name: str, content: Any, target: Path, size: int) -> None:
    done = 0
    with target.open("xb") as out:
        while block := content.read(_BLOCK):
            done += len(block)
            if done > size:
                break
            out.write(block)
    if done != size:
        raise MalformedFileError(f"`{_OWNER}`: {name!r} in {shown(path)} has {done} bytes, not {size}. Fetch it again.")
    os.chmod(target, 0o644)
