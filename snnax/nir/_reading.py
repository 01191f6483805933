"""NIR files of strangers."""

from typing import TYPE_CHECKING, Any

from .._files import LIMIT, MalformedFileError, UnsafeFileError, shown
from .._hdf5 import check_hdf5
from ._checking import build
from ._error import NIRImportError, import_nir

if TYPE_CHECKING:
    from nir import NIRGraph


def read(path, *, limit: int = LIMIT) -> "NIRGraph":
    """Reads a NIR file that need not be trusted.

    The file is checked in another process before it is opened here: links, values in other files, pointers, cycles and
    more than `limit` bytes are refused, and so is a file on which HDF5's library crashes or loops. Then every value of
    every node is checked, as `check_nodes` does. Shapes in the file are neither needed nor compared, so the graphs
    that `nir.read` refuses for their types, at any depth, can be read.

    **Arguments:** `path`; `limit`: the most bytes of all values together. Default 1 GiB.

    **Returns:** a `nir.NIRGraph`, equal to what `nir.read` gives for a file that it reads.
    **Raises:** `NIRImportError`; `FileNotFoundError`; `ImportError` without the package `nir`.
    """
    return read_graph("nir.read", path, limit)


def read_graph(owner: str, path, limit: int = LIMIT) -> "NIRGraph":
    import_nir(owner)
    import h5py

    try:
        path = check_hdf5(owner, path, limit=limit, total=limit)
    except (MalformedFileError, UnsafeFileError) as error:
        raise NIRImportError(str(error)) from error
    try:
        with h5py.File(path, "r") as file:
            if not isinstance(file.get("node"), h5py.Group):
                raise NIRImportError(
                    f"`{owner}`: {shown(path)} is an HDF5 file without the group 'node', in which NIR has its graph: "
                    "it is of another kind, or damaged."
                )
            content = fields(file["node"])
    except NIRImportError:
        raise
    except Exception as error:  # what damage makes h5py raise is not known beforehand
        reason = f"{type(error).__name__}: {error}"[:300]
        raise NIRImportError(f"`{owner}`: {shown(path)} cannot be read: it is damaged ({reason}).") from error
    return build(f"`{owner}`: {shown(path)}: ", content)


def fields(group) -> dict[str, Any]:
    """A group as a dictionary: groups are dictionaries, arrays are arrays, and single strings are strings."""
    found = {}
    for name, item in group.items():
        value = item[()] if hasattr(item, "shape") else fields(item)
        found[name] = value.decode() if isinstance(value, bytes) else value
    return found
