"""Where the metrics of a run go. A log is called with the whole history after each epoch."""

import csv
import io
import json
import os
import pathlib
from collections.abc import Mapping, Sequence

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
    """A line of JSON for each epoch. Written anew each time, as `CSVLog`."""

    def __init__(self, path: str | os.PathLike):
        """**Arguments:** `path`: the file, in a folder that exists."""
        self.path = pathlib.Path(path)

    def __call__(self, history: History) -> None:
        _replace(self.path, "".join(json.dumps(row) + "\n" for row in history))


class TensorBoardLog:
    """Scalars for TensorBoard, by the number of the step. Needs `pip install tensorboardX`."""

    def __init__(self, folder: str | os.PathLike):
        """**Arguments:** `folder`: where the event files go."""
        try:
            import tensorboardX
        except ImportError as error:
            raise ImportError("`snnax.train.TensorBoardLog` needs tensorboardX: `pip install tensorboardX`.") from error
        self.writer = tensorboardX.SummaryWriter(str(folder))

    def __call__(self, history: History) -> None:
        row = history[-1]
        for name, value in row.items():
            if name not in ("epoch", "step"):
                self.writer.add_scalar(name, value, int(row["step"]))
        self.writer.flush()
