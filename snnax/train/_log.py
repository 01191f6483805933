"""Where the metrics of a run go. A log is called with the whole history after each epoch, and writes all of it."""

import csv
import io
import json
import os
import pathlib
import time
from collections.abc import Mapping, Sequence
from typing import Any

History = Sequence[Mapping[str, float | int]]


def _replace(path: pathlib.Path, text: str) -> None:
    """Writes a file so that it is the old or the new one at every moment."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    temporary.write_text(text)
    os.replace(temporary, path)


class CSVLog:
    """A table with a row for each epoch. It is written anew each time, so a run that is resumed leaves no row twice."""

    def __init__(self, path: str | os.PathLike):
        """**Arguments:** `path`: the file, in a folder that exists."""
        self.path = pathlib.Path(path)

    def __call__(self, history: History) -> None:
        columns = list(dict.fromkeys(name for row in history for name in row))
        text = io.StringIO()
        table = csv.DictWriter(text, columns, lineterminator="\n")
        table.writeheader()
        table.writerows(history)
        _replace(self.path, text.getvalue())


class JSONLog:
    """A line of JSON for each epoch, written anew each time, as `CSVLog`. What is not finite is `NaN` or `Infinity`."""

    def __init__(self, path: str | os.PathLike):
        """**Arguments:** `path`: the file, in a folder that exists."""
        self.path = pathlib.Path(path)

    def __call__(self, history: History) -> None:
        _replace(self.path, "".join(json.dumps(row) + "\n" for row in history))


class TensorBoardLog:
    """Scalars for TensorBoard, by the number of the step. Needs `pip install tensorboardX`.

    A run that is resumed writes its whole history again and tells TensorBoard to forget what the folder had before.
    """

    def __init__(self, folder: str | os.PathLike):
        """**Arguments:** `folder`: where the event files go."""
        try:
            import tensorboardX  # pyright: ignore[reportMissingImports]
        except ImportError as error:
            raise ImportError("`snnax.train.TensorBoardLog` needs tensorboardX: `pip install tensorboardX`.") from error
        self._folder, self._writer_class = str(folder), tensorboardX.SummaryWriter
        self._writer: Any = None
        self._written = 0

    def __call__(self, history: History) -> None:
        if self._writer is None:
            suffix = f".{time.time_ns()}"  # tensorboardX tells files apart by the second
            self._writer = self._writer_class(self._folder, purge_step=0, flush_secs=5, filename_suffix=suffix)
        for row in history[self._written :]:
            for name, value in row.items():
                if name not in ("epoch", "step"):
                    self._writer.add_scalar(name, value, int(row["step"]))
        self._written = len(history)

    def close(self) -> None:
        """Writes what still waits, as happens when the program ends."""
        if self._writer is not None:
            self._writer.close()
        self._writer, self._written = None, 0
