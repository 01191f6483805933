"""N-MNIST, as tonic keeps it on disk."""

import re
from pathlib import Path

import numpy as np

from .._files import MalformedFileError, UnsafeFileError, reading, regular_file, shown
from ._fingerprint import of_files
from ._recordings import as_events, numbered, part_of, recordings

_PARTS = {"train": "Train", "test": "Test"}
_LIMIT = 2**26
_OVERFLOW = 240  # a y outside the sensor: from here on, times have 2**13 more


class NMNIST:
    """MNIST's digits before an event camera that moves in three saccades: 10 classes, 60 000 and 10 000 recordings.

    Of each recording: `"events"`, a structured array with `x`, `y`, `t` in microseconds and `p`, 1 for ON; `"label"`.
    They are ordered by label and file.

    Read are the files of the original archives where tonic's class of this name unpacks them,
    `NMNIST/Train/0/00002.bin`. Needs no tonic.

    Source: G. Orchard, A. Jayawant, G. Cohen and N. Thakor 2015, doi:10.3389/fnins.2015.00437.
    """

    sensor_size = (34, 34, 2)

    def __init__(self, folder, part: str = "train", *, drop_invalid: bool = False):
        """**Arguments:**

        - `folder`: where `NMNIST` is, tonic's `save_to`.
        - `part`: `"train"` or `"test"`.
        - `drop_invalid`: whether events outside the sensor are left out. By default they are an error.

        **Raises:** `FileNotFoundError`, saying what to fetch, if there are no recordings. A recording itself is
        checked when it is read.
        """
        where = Path(folder).expanduser() / "NMNIST" / part_of("data.NMNIST", part, _PARTS)
        self.paths = recordings(
            "data.NMNIST",
            where,
            "*/*.bin",
            _what,
            f"Fetch {part}.zip from https://www.garrickorchard.com/datasets/n-mnist and unpack it: "
            f'`data.unpack("{part}.zip", {shown(where.parent)})`.',
        )
        self.labels = np.array([int(path.parent.name) for path in self.paths])
        self.drop_invalid = drop_invalid

    @property
    def fingerprint(self) -> str:
        return of_files(self, self.paths)

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> dict:
        index = numbered("data.NMNIST", len(self), index)
        events = _read(self.paths[index], self.sensor_size, self.drop_invalid)
        return {"events": events, "label": np.int32(self.labels[index])}


def _what(path: Path) -> tuple[int, str]:
    """Label and number, by the name of a file."""
    if not re.fullmatch("[0-9]", path.parent.name):
        raise MalformedFileError(f"`data.NMNIST`: {shown(path)} is not in a folder named by a digit.")
    return int(path.parent.name), path.name


def _read(path: Path, sensor_size: tuple[int, int, int], drop_invalid: bool) -> np.ndarray:
    """Five bytes for an event: x, y, the polarity and the upper 7 bits of the time, its middle and lower 8 bits."""
    regular_file("data.NMNIST", path)
    size = path.stat().st_size
    if size > _LIMIT:
        raise UnsafeFileError(f"`data.NMNIST`: {shown(path)} has {size} bytes; the limit is {_LIMIT}.")
    if size % 5:
        raise MalformedFileError(
            f"`data.NMNIST`: {shown(path)} has {size} bytes, not a multiple of 5: it is cut off. Fetch it again."
        )
    with reading("data.NMNIST", path):
        x, y, high, middle, low = np.fromfile(path, np.uint8).reshape(-1, 5).T.astype(np.int64)
    marker = y == _OVERFLOW
    time = ((high & 0x7F) << 16 | middle << 8 | low) + (np.cumsum(marker) << 13)
    columns = {"x": x, "y": y, "t": time, "p": high >> 7}
    columns = {name: column[~marker] for name, column in columns.items()}
    return as_events("data.NMNIST", path, columns, sensor_size, drop_invalid=drop_invalid)
