"""The synthetic gestures on disk, in the layout of DVS Gesture."""

import json
import pathlib
import shutil
import tempfile
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from ._gestures import LIGHTINGS, TEST_USERS, TRAIN_USERS, VERSION, record
from ._motions import GESTURES

_FOLDER = "DVSGesture"
_MANIFEST = "snnax.json"
_SPLITS = (("ibmGestureTrain", TRAIN_USERS), ("ibmGestureTest", TEST_USERS))


def _manifest(seed: int) -> dict:
    return {"written by": "snnax.data.write_gestures", "version": VERSION, "seed": seed}


def _is_complete(folder: pathlib.Path, seed: int) -> bool:
    """Whether `folder` is the set of this version and `seed`; an error if it is anything else, False if not there."""
    if not folder.exists():
        return False
    remedy = "Give another `directory`, or delete this folder if nobody needs it."
    try:
        found = json.loads((folder / _MANIFEST).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise FileExistsError(
            f"`snnax.data.write_gestures`: {folder} exists and was not written by this function (it has no "
            f"{_MANIFEST}); perhaps it holds the real recordings. {remedy}"
        ) from None
    except (OSError, ValueError) as error:
        raise FileExistsError(
            f"`snnax.data.write_gestures`: cannot read {folder / _MANIFEST} ({error}). {remedy}"
        ) from error
    if found != _manifest(seed):
        raise FileExistsError(
            f"`snnax.data.write_gestures`: {folder} holds another set, {found}; asked for {_manifest(seed)}. {remedy}"
        )
    return True


def save_recording(path: pathlib.Path, events: np.ndarray) -> None:
    """Saves `events`, as `record` gives them, as tonic's DVS Gesture reads them: an int32 array of (events, 4), whose
    columns are x, y, polarity and time in whole milliseconds."""
    columns = np.stack([events["x"], events["y"], events["p"], np.floor(events["t"])], -1)
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, columns.astype(np.int32), allow_pickle=False)


def write_gestures(directory, *, seed=0, progress: Callable[[int, int], object] | None = None) -> pathlib.Path:
    """Writes the synthetic gestures below `directory`, where `tonic.datasets.DVSGesture(directory)` finds them.

    11 gestures (`snnax.data.GESTURES`) of 29 subjects under three lightings, 1.28 s each, by a camera of 128 by 128
    DVS pixels: 759 recordings of subjects 1 to 23 for training and 198 of subjects 24 to 29 for testing, about 230 MB.
    See `snnax.data.record` for what is in a recording.

    The set is written beside its place and then renamed, so that what is there is whole. A whole set of the same
    `seed`, written by the same version of this function, is kept as it is.

    **Arguments:**

    - `directory`: a path; made if it does not exist. The set goes into its folder `DVSGesture`.
    - `seed`: a non-negative integer. The same seed gives the same events on one machine; elsewhere some may move by
        a rounding error.
    - `progress`: called as `progress(done, total)` after each recording.

    **Returns:**

    The path of the folder `DVSGesture`.

    **Raises:**

    `FileExistsError` if that folder exists and is not a whole set of this seed and version; nothing is changed then.

    Source of the gestures, the number of subjects and the split: A. Amir et al. 2017, doi:10.1109/CVPR.2017.781.
    """
    if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
        raise ValueError(f"`snnax.data.write_gestures`: `seed` must be a non-negative integer, got {seed!r}.")
    directory = pathlib.Path(directory).expanduser()
    folder = directory / _FOLDER
    if _is_complete(folder, seed):
        return folder
    directory.mkdir(parents=True, exist_ok=True)
    temporary = pathlib.Path(tempfile.mkdtemp(prefix=f".{_FOLDER}-", dir=directory))
    try:
        jobs = [
            (temporary / split / f"user{user:02d}_{light.name}" / f"{gesture}.npy", user, lighting, gesture)
            for split, users in _SPLITS
            for user in users
            for lighting, light in enumerate(LIGHTINGS)
            for gesture in range(len(GESTURES))
        ]
        _record_all(seed, jobs, progress)
        for split, _ in _SPLITS:
            (temporary / f"{split}.tar.gz").touch()  # tonic asks only whether the archive is there
        (temporary / _MANIFEST).write_text(json.dumps(_manifest(seed)) + "\n", encoding="utf-8")
        temporary.chmod(0o755)  # mkdtemp's folders are private
        try:
            temporary.rename(folder)
        except OSError:
            if not _is_complete(folder, seed):  # else somebody else was faster, and made the same set
                raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return folder


def _record_all(seed: int, jobs: list, progress) -> None:
    """Two threads: one recording is pulled out of its film and saved by NumPy while another is filmed by XLA."""
    with ThreadPoolExecutor(2) as pool:
        pending = deque()
        try:
            for done, job in enumerate(jobs):
                pending.append((pool.submit(_record_one, seed, *job), done))
                if len(pending) == 4:
                    _finish(pending, jobs, progress)
            while pending:
                _finish(pending, jobs, progress)
        finally:
            for future, _ in pending:
                future.cancel()


def _record_one(seed: int, path: pathlib.Path, user: int, lighting: int, gesture: int) -> None:
    save_recording(path, record(seed, user, lighting, gesture))


def _finish(pending: deque, jobs: list, progress) -> None:
    future, done = pending.popleft()
    future.result()
    if progress is not None:
        progress(done + 1, len(jobs))
