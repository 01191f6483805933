"""The Free Spoken Digit Dataset in one file."""

import numpy as np

from .._files import MalformedFileError, shown
from ._fingerprint import of_files
from ._npy import read_npz
from ._recordings import numbered, part_of

_WANTED = {
    "audio": ("i", (None,)),
    "offset": ("iu", (None,)),
    "label": ("iu", (None,)),
    "speaker": ("iu", (None,)),
    "take": ("iu", (None,)),
    "speakers": ("U", (None,)),
}
_TEST_TAKES = 5


class SpokenDigits:
    """Recordings of the digits 0–9 by several speakers, 8000 samples a second.

    Of each recording: `"audio"`, `(samples,)`, int16, of which `audio / 32768` is in [-1, 1); `"label"`; `"speaker"`,
    a number into `names`; `"take"`. In the order of the file.

    The data set's own test set are takes 0–4 of each speaker and digit. `data.leave_out` by `speakers` gives the harder
    one, speakers who were never heard.

    The file is an npz: `audio` (int16, all recordings end to end), `offset` (where each begins, and the end of the
    last), `label`, `speaker`, `take` (one for each recording), `speakers` (names).

    Source: Z. Jackson et al., Free Spoken Digit Dataset, github.com/Jakobovski/free-spoken-digit-dataset.
    """

    sample_rate = 8000

    def __init__(self, path, part: str = "all"):
        """**Arguments:** `path`: of the npz file; `part`: `"train"`, takes 5 and later, `"test"`, or `"all"`, the
        default.

        **Raises:** `FileNotFoundError`; `MalformedFileError` and `UnsafeFileError` for what is wrong with the file,
        of which everything is read here.
        """
        part_of("data.SpokenDigits", part, {"train": "", "test": "", "all": ""})
        arrays = read_npz("data.SpokenDigits", path, _WANTED)
        audio, offset = arrays["audio"], arrays["offset"].astype(np.int64)
        labels, speakers, takes = (arrays[name].astype(np.int64) for name in ("label", "speaker", "take"))
        one_each = len(labels) == len(speakers) == len(takes) == len(offset) - 1
        if (
            audio.dtype != np.int16
            or not one_each
            or offset[0] != 0
            or offset[-1] != len(audio)
            or np.any(offset[1:] <= offset[:-1])
        ):
            raise MalformedFileError(
                f"`data.SpokenDigits`: {shown(path)} must have int16 samples, and for each recording a label, a "
                f"speaker, a take and an offset that grows from 0 to their number, got {len(audio)} in {audio.dtype}, "
                f"{len(labels)} labels, {len(speakers)} speakers, {len(takes)} takes and {len(offset)} offsets."
            )
        for name, values, most in (("label", labels, 9), ("speaker", speakers, len(arrays["speakers"]) - 1)):
            if np.any((values < 0) | (values > most)):
                raise MalformedFileError(
                    f"`data.SpokenDigits`: in {shown(path)} each {name} must be from 0 to {most}, got "
                    f"{values.min()} to {values.max()}."
                )
        tested = takes < _TEST_TAKES
        chosen = np.flatnonzero({"all": np.ones_like(tested), "test": tested, "train": ~tested}[part])
        audio.setflags(write=False)
        self.path, self.names = path, tuple(map(str, arrays["speakers"]))
        self.labels, self.speakers, self.takes = labels[chosen], speakers[chosen], takes[chosen]
        self._audio, self._start, self._end = audio, offset[chosen], offset[chosen + 1]

    @property
    def fingerprint(self) -> str:
        return of_files(self, [self.path])

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> dict:
        index = numbered("data.SpokenDigits", len(self), index)
        return {
            "audio": self._audio[self._start[index] : self._end[index]],
            "label": np.int32(self.labels[index]),
            "speaker": np.int32(self.speakers[index]),
            "take": np.int32(self.takes[index]),
        }
