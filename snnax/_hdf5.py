"""HDF5 files of strangers, checked before they are opened here."""

import json
import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from ._files import LIMIT, MalformedFileError, UnsafeFileError, regular_file, shown

WALK = Path(__file__).with_name("_hdf5_walk.py")
PATIENCE = 20  # seconds of the processor, and as many more as the file has tens of megabytes
HEAP = 4 * 2**30  # bytes of addresses that Python and HDF5's library have for themselves


def check_hdf5(owner: str, path, *, vlen: Iterable[str] = (), limit: int = LIMIT, total: int | None = None) -> Path:
    """Refuses an HDF5 file that is damaged or not to be trusted; every value in it has been read once afterwards.

    That happens in another process, because HDF5's library crashes on some damaged files and loops on others. Refused
    are soft and external links, values in other files, virtual arrays, cycles of groups, depth, object types other than
    strings, arrays and texts of more bytes than `limit`, arrays of more than their stored bytes can make, more than
    `total` bytes in all, and filters from plug-ins.

    **Arguments:** `owner`: who asks, for messages; `path`; `vlen`: the paths of arrays of lists of numbers, such as
    `"/spikes/times"`, which are objects too; `limit`: the most bytes of one array; `total`: of all that the file
    gives, where what has two names counts twice. Default: any number.

    **Returns:** the path. **Raises:** `FileNotFoundError`, `UnsafeFileError`, `MalformedFileError`.
    """
    try:
        import h5py  # noqa: F401
    except ImportError as error:
        raise ImportError(f"`{owner}` reads HDF5 files and needs h5py: pip install h5py") from error
    path = regular_file(owner, path)
    seconds = PATIENCE + path.stat().st_size // 10_000_000
    limits = {"RLIMIT_CPU": seconds, "RLIMIT_AS": 2 * limit + HEAP, "RLIMIT_CORE": 0}
    options = {"limit": limit, "total": total, "vlen": list(vlen), "limits": limits}
    command = [sys.executable, "-P", str(WALK), str(path.absolute()), json.dumps(options)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "OPENBLAS_NUM_THREADS": "1"}
    try:
        done = subprocess.run(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=20 * seconds,
        )
    except subprocess.TimeoutExpired:
        raise MalformedFileError(f"`{owner}`: {shown(path)} was not read within {20 * seconds} s.") from None
    if done.returncode > 0:
        raise RuntimeError(f"`{owner}`: Python could not be started to check {shown(path)}: {done.stderr[-500:]}")
    if done.returncode < 0:
        raise MalformedFileError(
            f"`{owner}`: {shown(path)} is damaged: HDF5's library crashed on it or took more than {seconds} s of the "
            f"processor (signal {-done.returncode}). Fetch it again."
        )
    wrong = json.loads(done.stdout.splitlines()[-1])
    if wrong is not None:
        kind, reason = wrong
        error = UnsafeFileError if kind == "unsafe" else MalformedFileError
        raise error(f"`{owner}`: {shown(path)} is refused: {reason}.")
    return path
