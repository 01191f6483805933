"""Files of strangers: what is wrong with one has one of two names, and each message gives the file's."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

LIMIT = 2**30  # bytes that a single file may ask for


class MalformedFileError(ValueError):
    """A file that is damaged, or that holds something else than it should. The message names the file."""


class UnsafeFileError(ValueError):
    """A file that asks for what none may: other files, places outside its folder, pickled objects, links, or more
    memory than its limit. The message names the file."""


def shown(path) -> str:
    """A path in a message. What a stranger has named may hold control characters, which are escaped."""
    return repr(os.fspath(path))


def regular_file(owner: str, path) -> Path:
    """The path of a file that ends: no folder, device or pipe."""
    path = Path(path).expanduser()
    if path.is_file():
        return path
    if path.exists():
        raise UnsafeFileError(f"`{owner}`: {shown(path)} is not a file, but a folder, a device or a pipe.")
    raise FileNotFoundError(f"`{owner}`: there is no file {shown(path)}.")


@contextmanager
def reading(owner: str, path) -> Iterator[None]:
    """What goes wrong inside is the file's fault, and is raised as a `MalformedFileError` with its cause."""
    try:
        yield
    except (MalformedFileError, UnsafeFileError, MemoryError):
        raise
    except Exception as error:  # what a damaged file makes a parser raise is not known beforehand
        if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):
            raise  # of the operating system: no such file, no permission, no space; a bad offset is the file's
        reason = f"{type(error).__name__}: {error}"[:300]
        raise MalformedFileError(
            f"`{owner}`: {shown(path)} cannot be read: it is damaged or of another format ({reason}). Fetch it again."
        ) from error
