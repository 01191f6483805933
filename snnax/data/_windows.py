"""Long recordings in pieces of one duration."""

import numpy as np

from ..functional._arguments import check_count
from ._loader import Source
from ._recordings import numbered

_MOST = 1_000_000


class Windows:
    """The recordings of a source, cut into windows of one duration.

    Window $k$ of a recording has its events from $t_0 + k d$ up to, but not including, $t_0 + (k + 1) d$, where $t_0$
    is the time of its first event and $d$ the duration; times begin anew in each window. The last window is shorter. A
    recording without events gives one window without.

    Everything else of the recording is kept, with `"recording"`, its number in the source, and `"window"`, $k$. Each
    window reads its whole recording: put a `Cached` around, or within.
    """

    def __init__(self, source: Source, duration: int):
        """**Arguments:** `source`: of recordings with `"events"`, all of which are read once here; `duration`: in the
        unit of their times, microseconds, a whole number, 1 or more."""
        check_count("data.Windows", "duration", duration, 1)
        self.source, self.duration = source, duration
        counts = [1 + _length(source[number]["events"]) // duration for number in range(len(source))]
        for number, count in enumerate(counts):
            if count > _MOST:
                raise ValueError(
                    f"`data.Windows`: recording {number} would give {count} windows of {duration}, more than {_MOST}. "
                    "Give a longer `duration`, or leave the recording out."
                )
        self._ends = np.cumsum(counts, dtype=np.int64)

    def __len__(self) -> int:
        return int(self._ends[-1]) if len(self._ends) else 0

    @property
    def recordings(self) -> np.ndarray:
        """The number of its recording for each window: to split so that no recording is in both parts."""
        return np.repeat(np.arange(len(self._ends)), np.diff(self._ends, prepend=0))

    def __getitem__(self, index: int) -> dict:
        index = numbered("data.Windows", len(self), index)
        recording = int(np.searchsorted(self._ends, index, side="right"))
        window = index - int(self._ends[recording - 1] if recording else 0)
        example = dict(self.source[recording])
        events = example["events"]
        time = events["t"] - (events["t"].min() if len(events) else 0)
        inside = time // self.duration == window
        events = events[inside]
        events["t"] = time[inside] - window * self.duration
        return {**example, "events": events, "recording": np.int32(recording), "window": np.int32(window)}


def _length(events: np.ndarray) -> int:
    return int(events["t"].max()) - int(events["t"].min()) if len(events) else 0
