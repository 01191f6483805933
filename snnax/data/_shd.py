"""The Heidelberg spiking data sets of spoken words, in the HDF5 files of their authors."""

import os
from pathlib import Path
from typing import Any

import numpy as np

from .._files import MalformedFileError, reading, shown
from .._hdf5 import check_hdf5
from ._fingerprint import of_files
from ._recordings import as_events, numbered, part_of

_SENSOR = (700, 1, 1)


class SHD:
    """Spiking Heidelberg Digits: spoken digits in German and English through a model of the inner ear, 20 classes.

    Of each recording: `"events"`, a structured array with the channel `x`, 0–699, `y` = 0, `t` in microseconds and
    `p` = 0; `"label"`; `"speaker"`. In the order of the file.

    The authors divide them into training (8156) and testing (2264), where two of the twelve speakers are heard in the
    test only. For validation hold out speakers too, by `data.split` or `data.leave_out`.

    Read are `SHD/shd_train.h5` and `SHD/shd_test.h5`. Needs h5py, not tonic.

    Source: B. Cramer, Y. Stradmann, J. Schemmel and F. Zenke 2020, doi:10.1109/TNNLS.2020.3044364.
    """

    sensor_size = _SENSOR

    def __init__(self, folder, part: str = "train", *, drop_invalid: bool = False):
        """**Arguments:**

        - `folder`: where `SHD` is, tonic's `save_to`.
        - `part`: `"train"` or `"test"`.
        - `drop_invalid`: whether events that cannot be are left out: the real files have a few whose time is not
            finite. By default they are an error.

        **Raises:** `FileNotFoundError`, saying what to fetch; `MalformedFileError` and `UnsafeFileError` for what is
        wrong with the file, which is read once in another process first.
        """
        name = part_of("data.SHD", part, {"train": "shd_train.h5", "test": "shd_test.h5"})
        self._file = _SpikeFile("data.SHD", Path(folder).expanduser() / "SHD" / name, drop_invalid)
        self.labels, self.speakers, self.classes = self._file.labels, self._file.speakers, self._file.classes

    @property
    def fingerprint(self) -> str:
        return self._file.fingerprint

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> dict:
        return self._file[index]


class SSC:
    """Spiking Speech Commands: English words through a model of the inner ear, 35 classes.

    As `SHD`, in the authors' parts for training (75 466), validation (9981) and testing (20 382). Read are
    `SSC/ssc_train.h5`, `SSC/ssc_valid.h5` and `SSC/ssc_test.h5`.

    Source: B. Cramer, Y. Stradmann, J. Schemmel and F. Zenke 2020, doi:10.1109/TNNLS.2020.3044364, from the Speech
    Commands of P. Warden 2018, arXiv:1804.03209.
    """

    sensor_size = _SENSOR

    def __init__(self, folder, part: str = "train", *, drop_invalid: bool = False):
        """**Arguments:** `folder`, `drop_invalid`: as those of `SHD`; `part`: `"train"`, `"validation"` or `"test"`."""
        names = {"train": "ssc_train.h5", "validation": "ssc_valid.h5", "test": "ssc_test.h5"}
        name = part_of("data.SSC", part, names)
        self._file = _SpikeFile("data.SSC", Path(folder).expanduser() / "SSC" / name, drop_invalid)
        self.labels, self.speakers, self.classes = self._file.labels, self._file.speakers, self._file.classes

    @property
    def fingerprint(self) -> str:
        return self._file.fingerprint

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> dict:
        return self._file[index]


class _SpikeFile:
    """A checked file, opened anew in each process that reads it."""

    def __init__(self, owner: str, path: Path, drop_invalid: bool):
        if not path.exists():
            raise FileNotFoundError(
                f"`{owner}`: there is no {shown(path)}. Fetch https://zenkelab.org/datasets/{path.name}.zip and unpack "
                f'it: `data.unpack("{path.name}.zip", {shown(path.parent)})`.'
            )
        check_hdf5(owner, path, vlen=("/spikes/times", "/spikes/units"))
        self.owner, self.path, self.drop_invalid = owner, path, drop_invalid
        self._opened = None
        with reading(owner, path):
            self._check()

    @property
    def fingerprint(self) -> str:
        return of_files(self, [self.path])

    def _check(self) -> None:
        import h5py

        file = self._open()
        for name, kinds in {"labels": "iu", "extra/speaker": "iu", "spikes/times": "f", "spikes/units": "iu"}.items():
            array = file.get(name)
            dtype = getattr(array, "dtype", np.dtype("V"))
            base = h5py.check_vlen_dtype(dtype) or dtype if name.startswith("spikes") else dtype
            if not isinstance(array, h5py.Dataset) or base.kind not in kinds or array.shape != file["labels"].shape:
                raise MalformedFileError(
                    f"`{self.owner}`: {shown(self.path)} must have {name!r}, numbers of the kinds {kinds!r} for each "
                    f"recording, got {array}."
                )
        keys = np.ravel(file["extra/keys"][()])
        self.classes = tuple(key.decode() if isinstance(key, bytes) else str(key) for key in keys)
        self.labels = file["labels"][()].astype(np.int64)
        self.speakers = file["extra/speaker"][()].astype(np.int64)
        if self.labels.ndim != 1 or np.any((self.labels < 0) | (self.labels >= len(self.classes))):
            raise MalformedFileError(
                f"`{self.owner}`: {shown(self.path)} must have a label for each recording, from 0 to "
                f"{len(self.classes) - 1}, got {self.labels.min(initial=0)} to {self.labels.max(initial=0)}."
            )

    def __getitem__(self, index: int) -> dict:
        index = numbered(self.owner, len(self.labels), index)
        file = self._open()
        with reading(self.owner, self.path):
            times, units = file["spikes/times"][index], file["spikes/units"][index]
            if times.shape != units.shape:
                raise ValueError(f"recording {index} has {len(times)} times and {len(units)} units")
            events = as_events(
                self.owner,
                self.path,
                {"x": units, "y": 0, "t": times, "p": 0},
                _SENSOR,
                microseconds=1_000_000,
                drop_invalid=self.drop_invalid,
            )
        return {"events": events, "label": np.int32(self.labels[index]), "speaker": np.int32(self.speakers[index])}

    def _open(self) -> Any:
        import h5py

        if self._opened is None or self._opened[0] != os.getpid():
            self._opened = os.getpid(), h5py.File(self.path, "r")
        return self._opened[1]

    def __getstate__(self) -> dict:
        return {**vars(self), "_opened": None}
