"""Examples kept on disk, by what has made them."""

import os
import tempfile
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from .._files import MalformedFileError, UnsafeFileError
from ._fingerprint import fingerprint
from ._loader import Source
from ._npy import read_npz
from ._recordings import numbered

_MARK = "made by"


class Mapped:
    """The examples of a source after a function."""

    def __init__(self, source: Source, function: Callable[[Any], Mapping[str, Any]]):
        """**Arguments:** `source`; `function`: of an example, a mapping from names to arrays, to another."""
        self.source, self.function = source, function

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: int) -> Mapping[str, Any]:
        return self.function(self.source[index])


class Cached:
    """The examples of a source, each made once and then read from a folder.

        frames = data.Mapped(recordings, to_frames)
        cached = data.Cached(frames, "cache", version="10 ms")

    The folder has a folder for each `fingerprint`, which is that of the source, of its functions and of `version`:
    after a change the examples are made anew, and the old ones stay until they are deleted. An example is one npz file
    without pickles, which appears complete or not at all; one that is damaged is made again. Several processes may
    share a folder.

    Seen are the code of the functions, their closures, and the numbers and the functions of the same file that they
    name. What lies further away is not: change `version` when that changes.
    """

    def __init__(self, source: Source, folder, *, version: str):
        """**Arguments:** `source`: whose examples are arrays and numbers by name; `folder`: made if it is not there;
        `version`: says what the functions do, as far as their own code does not."""
        self.source = source
        self.fingerprint = fingerprint((source, version))
        self.folder = Path(folder).expanduser() / self.fingerprint[:16]
        self.folder.mkdir(parents=True, exist_ok=True)

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: int) -> dict[str, Any]:
        index = numbered("data.Cached", len(self), index)
        path, mark = self.folder / f"{index}.npz", f"{self.fingerprint} {index}"
        try:
            arrays = read_npz("data.Cached", path)
        except (FileNotFoundError, MalformedFileError, UnsafeFileError):
            arrays = {}
        if _MARK not in arrays or str(arrays.pop(_MARK)) != mark:
            arrays = {name: _plain(name, value) for name, value in self.source[index].items()}
            _write(path, {**arrays, _MARK: np.array(mark)})
        return {name: array[()] for name, array in arrays.items()}


def _plain(name: str, value: Any) -> np.ndarray:
    try:
        array = np.asarray(value)
    except ValueError:  # lists of different lengths
        array = np.asarray(None)
    unnamed = array.dtype.kind == "V" and array.dtype.names is None  # as bfloat16 is
    if not isinstance(name, str) or "/" in name or name == _MARK or array.dtype.hasobject or unnamed:
        raise ValueError(
            f"`data.Cached`: {name!r} is a {type(value).__name__} of dtype {array.dtype} and cannot be kept. Examples "
            "must be numbers, strings and arrays of NumPy's own dtypes, by names that have no slash and are not "
            f"{_MARK!r}."
        )
    return array


def _write(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """A temporary file beside its place, then renamed."""
    handle, temporary = tempfile.mkstemp(prefix=f".{path.stem}-", dir=path.parent)
    try:
        with (
            open(handle, "wb") as file,
            zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
        ):
            for name, array in arrays.items():
                with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                    np.lib.format.write_array(member, array, allow_pickle=False)
        os.chmod(temporary, 0o644)  # mkstemp's are private
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
