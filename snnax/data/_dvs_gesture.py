"""DVS Gesture, as tonic keeps it on disk."""

import re
from pathlib import Path

import numpy as np

from .._files import MalformedFileError, shown
from ._fingerprint import of_files
from ._npy import read_npy
from ._recordings import as_events, numbered, part_of, recordings

_PARTS = {"train": "ibmGestureTrain", "test": "ibmGestureTest"}
_URLS = {"train": "38022171", "test": "38020584"}


class DVSGesture:
    """Gestures of people before an event camera: 11 classes, subjects 1–23 for training and 24–29 for testing.

    Of each recording: `"events"`, a structured array with `x`, `y`, `t` in microseconds and `p`, 1 for ON;
    `"label"`, as in `snnax.data.GESTURES`; `"user"`, the subject. They are ordered by subject, lighting and label.

    Read are the files that tonic's class of this name has fetched, `DVSGesture/ibmGestureTrain/user01_led/0.npy`, and
    those of `snnax.data.write_gestures`. Needs no tonic.

    Source: A. Amir et al. 2017, doi:10.1109/CVPR.2017.781.
    """

    sensor_size = (128, 128, 2)

    def __init__(self, folder, part: str = "train", *, drop_invalid: bool = False):
        """**Arguments:**

        - `folder`: where `DVSGesture` is, tonic's `save_to`.
        - `part`: `"train"` or `"test"`.
        - `drop_invalid`: whether events that cannot be (outside the sensor, with a negative or infinite time) are left
            out. By default they are an error.

        **Raises:** `FileNotFoundError`, saying what to fetch, if there are no recordings; `MalformedFileError` for a
        file with another name than those above. A recording itself is checked when it is read.
        """
        where = Path(folder).expanduser() / "DVSGesture" / part_of("data.DVSGesture", part, _PARTS)
        name = _PARTS[part] + ".tar.gz"
        self.paths = recordings(
            "data.DVSGesture",
            where,
            "*/*.npy",
            _who,
            f"Fetch https://figshare.com/ndownloader/files/{_URLS[part]} as {name} and unpack it: "
            f'`data.unpack("{name}", {shown(where.parent)})`.',
        )
        self.users, self.lightings, self.labels = (
            np.array(column) for column in zip(*map(_who, self.paths), strict=True)
        )
        self.drop_invalid = drop_invalid

    @property
    def fingerprint(self) -> str:
        return of_files(self, self.paths)

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> dict:
        index = numbered("data.DVSGesture", len(self), index)
        path = self.paths[index]
        x, y, p, t = read_npy("data.DVSGesture", path, "iuf", (None, 4)).T
        events = as_events(
            "data.DVSGesture",
            path,
            {"x": x, "y": y, "t": t, "p": p},
            self.sensor_size,
            microseconds=1000,
            drop_invalid=self.drop_invalid,
        )
        return {"events": events, "label": np.int32(self.labels[index]), "user": np.int32(self.users[index])}


def _who(path: Path) -> tuple[int, str, int]:
    """Subject, lighting and label, by the name of a file."""
    user = re.fullmatch(r"user([0-9]{1,4})_(\w+)", path.parent.name, re.ASCII)
    label = re.fullmatch(r"[0-9]|10", path.stem)
    if user is None or label is None:
        raise MalformedFileError(
            f"`data.DVSGesture`: {shown(path)} is not named like a recording, `user01_led/0.npy` with labels 0 to 10."
        )
    return int(user[1]), user[2], int(label[0])
