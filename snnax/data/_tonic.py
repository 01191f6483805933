"""Recordings through tonic, which is imported only when it is used."""

import importlib
from pathlib import Path
from typing import Any

import numpy as np

from .._files import MalformedFileError, UnsafeFileError, reading, regular_file, shown
from ._fingerprint import fingerprint, of_files
from ._recordings import as_events, numbered, recordings

_LIMIT = 2**28


class FromTonic:
    """The recordings of a data set of tonic as a source: in a fixed order, and checked.

    Of each recording: `"events"`, a structured array with `x`, `y`, `t` and `p`; `"label"`. Ordered by file where
    tonic's object lists files in `data`; some of tonic's classes leave the order to the file system.

        source = data.FromTonic(tonic.datasets.NCALTECH101("datasets"))
    """

    def __init__(self, dataset: Any, *, sensor_size: tuple[int, int, int] | None = None, drop_invalid: bool = False):
        """**Arguments:**

        - `dataset`: an object of one of `tonic.datasets`, made without transforms.
        - `sensor_size`: width, height and polarities; by default what `dataset` says.
        - `drop_invalid`: whether events that cannot be are left out. By default they are an error.
        """
        self.name = f"data.FromTonic({type(dataset).__name__})"
        size = getattr(dataset, "sensor_size", None) if sensor_size is None else sensor_size
        if not isinstance(size, tuple) or len(size) != 3 or not all(isinstance(n, int) and n > 0 for n in size):
            raise ValueError(
                f"`{self.name}`: the sensor's size must be known, got {size!r}. Give `sensor_size=(width, height, "
                "polarities)`."
            )
        files = getattr(dataset, "data", None)
        listed = isinstance(files, list) and len(files) == len(dataset) and all(isinstance(file, str) for file in files)
        self.paths = [Path(file) for file in files] if listed else None  # pyright: ignore[reportOptionalIterable]
        order = range(len(dataset)) if self.paths is None else sorted(range(len(dataset)), key=self.paths.__getitem__)
        self.dataset, self.sensor_size, self.drop_invalid = dataset, size, drop_invalid
        self.order = np.array(order, np.int64)

    @property
    def fingerprint(self) -> str:
        """Of the files, or, where tonic's object lists none, of what it holds."""
        if self.paths is None:
            return fingerprint((self.name, self.drop_invalid, vars(self.dataset)))
        return of_files(self, [self.paths[number] for number in self.order])

    def __len__(self) -> int:
        return len(self.order)

    def __getitem__(self, index: int) -> dict:
        number = int(self.order[numbered(self.name, len(self), index)])
        path = Path(f"recording {number}") if self.paths is None else regular_file(self.name, self.paths[number])
        if self.paths is not None and path.stat().st_size > _LIMIT:
            raise UnsafeFileError(
                f"`{self.name}`: {shown(path)} has {path.stat().st_size} bytes; the limit is {_LIMIT}."
            )
        with reading(self.name, path):
            events, label = self._read(number)
            names = getattr(getattr(events, "dtype", None), "names", None) or ()
        if not {"x", "t", "p"} <= set(names):
            raise MalformedFileError(
                f"`{self.name}`: {shown(path)} gives {type(events).__name__} with the fields {names}, not events. Make "
                "the data set without transforms."
            )
        width, height, polarities = self.sensor_size
        columns = {
            "x": events["x"],
            "y": events["y"] if "y" in names else 0,
            "t": events["t"],
            "p": events["p"] if polarities > 1 else 0,
        }
        events = as_events(self.name, path, columns, (width, height, polarities), drop_invalid=self.drop_invalid)
        return {"events": events, "label": np.asarray(label)[()]}

    def _read(self, number: int) -> tuple[Any, Any]:
        try:
            return self.dataset[number]
        except BaseException as error:  # aedat's are no `Exception`
            if type(error).__name__ != "PanicException":
                raise
            raise ValueError(f"panic in Rust: {error}") from error


class CIFAR10DVS:
    """Images of CIFAR-10 moving before an event camera: 10 classes with 1000 recordings each.

    As of `FromTonic(tonic.datasets.CIFAR10DVS(folder))`, which reads `CIFAR10DVS/airplane/cifar10_airplane_0.aedat4`,
    without starting a download. There is no official split: draw one with a seed, and say so. aedat, which decodes
    these files, ends Python on some damaged ones; `data.unpack` compares their checksums.

    Source: H. Li, H. Liu, X. Ji, G. Li and L. Shi 2017, doi:10.3389/fnins.2017.00309.
    """

    sensor_size = (128, 128, 2)

    def __init__(self, folder, *, drop_invalid: bool = False):
        """**Arguments:** `folder`: where `CIFAR10DVS` is, tonic's `save_to`; `drop_invalid`: as in `FromTonic`.

        **Raises:** `ImportError` without tonic or aedat, which reads these files; `FileNotFoundError`.
        """
        try:
            importlib.import_module("aedat")
            import tonic
        except ImportError as error:
            raise ImportError(
                f"`data.CIFAR10DVS` needs tonic and aedat, and {error.name} is not here: pip install tonic aedat"
            ) from error
        where = Path(folder).expanduser() / "CIFAR10DVS"
        remedy = (
            "Fetch https://figshare.com/ndownloader/files/38023437 as CIFAR10DVS.zip, unpack it, and then each of the "
            f"ten archives in it, by `data.unpack` into {shown(where)}, which must hold CIFAR10DVS.zip too."
        )
        paths = recordings("data.CIFAR10DVS", where, "*/*.aedat4", str, remedy)
        if not (where / "CIFAR10DVS.zip").is_file() or len(paths) < 1000:  # tonic would start to download
            raise FileNotFoundError(
                f"`data.CIFAR10DVS`: {shown(where)} must have CIFAR10DVS.zip and 1000 recordings or more, got "
                f"{len(paths)}. {remedy}"
            )
        self._source = FromTonic(tonic.datasets.CIFAR10DVS(str(Path(folder).expanduser())), drop_invalid=drop_invalid)
        self.labels = np.array(self._source.dataset.targets)[self._source.order]

    @property
    def fingerprint(self) -> str:
        return self._source.fingerprint

    def __len__(self) -> int:
        return len(self._source)

    def __getitem__(self, index: int) -> dict:
        return self._source[index]
