"""Checkpoints: one file that is whole or refused, written so that a crash at any moment leaves the last one as it was.

A file is a line, a header and the bytes of all leaves, one after the other, little end first:

    snnax-checkpoint FORMAT LENGTH-OF-THE-HEADER SHA-256-OF-ALL-THE-REST
    {"versions": ..., "config": ..., "leaves": [{"path": ..., "dtype": ..., "shape": ..., ...}, ...]}
    ...

The hash finds damage. It is no signature: it does not tell who wrote the file. Nothing in a file is ever executed, and
no more memory is asked for than the file is long.
"""

import hashlib
import importlib.metadata
import json
import os
import pathlib
import re
from collections.abc import Mapping
from typing import Any, BinaryIO, TypeVar

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import PyTree

FORMAT = 1
_FIRST_LINE = re.compile(rb"snnax-checkpoint (\d{1,9}) (\d{1,12}) ([0-9a-f]{64})\n")
_FIRST_LINE_LENGTH, _HEADER_LENGTH, _BLOCK = 128, 64 * 2**20, 2**20

T = TypeVar("T")


class CheckpointError(ValueError):
    """A file that is no whole checkpoint of what was asked for. Its message names the file and what is wrong."""


def save(path: str | os.PathLike, tree: PyTree, *, config: Mapping[str, Any] | None = None) -> None:
    """Writes the leaves of `tree` to a file: arrays, typed keys and Python numbers, each under its path.

    The file is written beside its place, flushed to the disk and renamed, so that `path` holds the old checkpoint or
    the new one at every moment, whatever happens.

    **Arguments:**

    - `path`: the file. Its folder must exist.
    - `tree`: any pytree, such as a `TrainState`. What is neither an array nor a number (functions, names) is left out,
        and comes from `like` in `load`.
    - `config`: what JSON can hold, kept in the header: settings, metrics, the history of a run.

    **Raises:** `ValueError` for arrays of something other than numbers, for one that is cut over the devices of
    several processes, and for a `config` that JSON cannot hold.
    """
    path = pathlib.Path(path)
    leaves = storable(tree)
    header = {
        "versions": {name: importlib.metadata.version(name) for name in ("snnax", "jax", "equinox")},
        "config": dict(config or {}),
        "leaves": described(leaves),
    }
    content: list[Any] = [_bytes(name, leaf) for name, leaf in leaves if not is_number(leaf)]
    try:
        text = json.dumps(header).encode() + b"\n"
    except (TypeError, ValueError) as error:
        raise ValueError(f"`snnax.train.save`: `config` must be what JSON can hold: {error}.") from error
    if len(text) > _HEADER_LENGTH:
        raise ValueError(f"`snnax.train.save`: a header of {len(text)} bytes is too long. Keep less in `config`.")
    digest = hashlib.sha256(_opening(FORMAT, len(text)))
    for data in (text, *content):
        digest.update(data)
    first = _opening(FORMAT, len(text)) + digest.hexdigest().encode() + b"\n"
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "wb") as file:
            file.writelines([first, text, *content])
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    _flush_folder(path.parent)


def load(path: str | os.PathLike, like: T) -> T:
    """Reads what `save` has written, in the structure of `like`.

    **Arguments:** `path`: the file; `like`: a pytree of the same structure, shapes and dtypes; its values are not used.

    **Returns:** `like` with the leaves of the file, each of its own kind (NumPy arrays stay NumPy arrays), those of jax
    on the first device.

    **Raises:** `CheckpointError`, naming the file, where it is damaged, of another format, no checkpoint, or of another
    network: missing, needless and renamed leaves are named, and so are other shapes and dtypes.
    """
    return read(path, like)[0]


def read_config(path: str | os.PathLike) -> dict[str, Any]:
    """The `config` that the checkpoint at `path` was saved with. **Raises:** `CheckpointError`, as `load`."""
    with open(path, "rb") as file:
        return _read_header(path, file)["config"]


def read(path: str | os.PathLike, like: T) -> tuple[T, dict[str, Any]]:
    """What `load` and `read_config` give, in one go."""
    wanted = storable(like)
    with open(path, "rb") as file:
        header = _read_header(path, file)
        check_leaves(path, header["leaves"], wanted)
        sizes = [_size(leaf) for _, leaf in wanted]
        left = os.fstat(file.fileno()).st_size - file.tell()
        if left != sum(sizes):
            raise CheckpointError(f"{path}: its leaves take {left} bytes where {sum(sizes)} are due.")
        arrays = [_array(leaf, file.read(size)) for (_, leaf), size in zip(wanted, sizes, strict=True)]
    return restored(path, like, header["leaves"], arrays), header["config"]


def _opening(version: int, length: int) -> bytes:
    """The first line up to the hash, which covers it."""
    return f"snnax-checkpoint {version} {length} ".encode()


def _read_header(path: str | os.PathLike, file: BinaryIO) -> dict[str, Any]:
    """The header, after the hash was found right."""
    first = file.readline(_FIRST_LINE_LENGTH)
    match = _FIRST_LINE.fullmatch(first)
    if match is None:
        raise CheckpointError(f"{path}: this is no checkpoint of snnax: its first line is {first[:40]!r}.")
    version, length, digest = int(match[1]), int(match[2]), match[3].decode()
    if version != FORMAT:
        raise CheckpointError(
            f"{path}: the format of this checkpoint is {version}, this version of snnax reads {FORMAT}. Read it with "
            "the version that wrote it."
        )
    found = hashlib.sha256(_opening(version, length))
    while block := file.read(_BLOCK):
        found.update(block)
    if found.hexdigest() != digest:
        raise CheckpointError(f"{path}: its bytes do not have the hash that its first line gives. It is damaged.")
    if length > _HEADER_LENGTH:
        raise CheckpointError(f"{path}: a header of {length} bytes is longer than any that snnax writes.")
    file.seek(len(first))
    try:
        header = json.loads(file.read(length))
        config, leaves = header["config"], header["leaves"]
        right = isinstance(config, dict) and isinstance(leaves, list) and all(map(_is_description, leaves))
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise CheckpointError(f"{path}: its header cannot be read ({type(error).__name__}: {error}).") from error
    if not right:
        raise CheckpointError(f"{path}: its header does not describe leaves.")
    return header


def _is_description(one: Any) -> bool:
    return (
        set(one) == {"path", "dtype", "shape", "key", "value"}
        and isinstance(one["path"], str)
        and isinstance(one["shape"], list)
    )


def is_number(leaf: Any) -> bool:
    """Whether a leaf is a Python number, which is kept in the header."""
    return type(leaf) in (bool, int, float, complex)


def is_key(leaf: Any) -> bool:
    return isinstance(leaf, jax.Array) and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _is_storable(leaf: Any) -> bool:
    return isinstance(leaf, (jax.Array, np.ndarray, np.generic)) or is_number(leaf)


def storable(tree: PyTree) -> list[tuple[str, Any]]:
    """The leaves that can be saved, and their paths."""
    leaves, _ = jax.tree_util.tree_flatten_with_path(tree)
    return [(jax.tree_util.keystr(path), leaf) for path, leaf in leaves if _is_storable(leaf)]


def described(leaves: list[tuple[str, Any]]) -> list[dict[str, Any]]:
    """What the header says of leaves."""
    numbers = [(leaf if is_number(leaf) else None) for _, leaf in leaves]
    values = [([number.real, number.imag] if isinstance(number, complex) else number) for number in numbers]
    return [{"path": path, **_looks(leaf), "value": value} for (path, leaf), value in zip(leaves, values, strict=True)]


def _looks(leaf: Any) -> dict[str, Any]:
    if is_number(leaf):
        return {"dtype": type(leaf).__name__, "shape": [], "key": None}
    data = data_of(leaf)
    return {
        "dtype": data.dtype.name,
        "shape": list(data.shape),
        "key": str(jr.key_impl(leaf)) if is_key(leaf) else None,
    }


def data_of(leaf: Any) -> Any:
    """An array, or the numbers that a typed key consists of."""
    return jr.key_data(leaf) if is_key(leaf) else leaf


def _size(leaf: Any) -> int:
    return 0 if is_number(leaf) else data_of(leaf).nbytes


def _bytes(path: str, leaf: Any) -> np.ndarray:
    """The bytes of an array, little end first, as numbers."""
    if not (is_key(leaf) or jnp.issubdtype(leaf.dtype, jnp.number) or jnp.issubdtype(leaf.dtype, jnp.bool_)):
        raise ValueError(f"`snnax.train.save`: the leaf {path} is of dtype {leaf.dtype}; only numbers can be saved.")
    if isinstance(leaf, jax.Array) and not leaf.is_fully_addressable:
        if not leaf.is_fully_replicated:
            raise ValueError(
                f"`snnax.train.save`: the leaf {path} is cut over the devices of several processes. Gather it first, "
                "for example with `jax.experimental.multihost_utils.process_allgather`, or use `OrbaxCheckpoints`."
            )
        leaf = leaf.addressable_data(0)
    array = np.asarray(data_of(leaf))
    array = array.astype(array.dtype.newbyteorder("<"), copy=False)
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8)


def _array(like: Any, data: bytes) -> np.ndarray | None:
    """What `_bytes` was made from, in the byte order of this machine."""
    if is_number(like):
        return None
    dtype = np.dtype(data_of(like).dtype)
    return np.frombuffer(data, dtype.newbyteorder("<")).reshape(data_of(like).shape).astype(dtype)


def check_leaves(path: Any, found: list[dict[str, Any]], wanted: list[tuple[str, Any]]) -> None:
    """Refuses descriptions of leaves that are not, one by one, those of `wanted`."""
    ours, theirs = [name for name, _ in wanted], [one["path"] for one in found]
    if ours != theirs:
        lacking, needless = sorted(set(ours) - set(theirs))[:5], sorted(set(theirs) - set(ours))[:5]
        raise CheckpointError(
            f"{path}: this checkpoint is of another network. It lacks {lacking or 'nothing'} and has "
            f"{needless or 'nothing'} that this one does not know"
            + ("." if lacking or needless else ", and its leaves are in another order.")
        )
    for (name, leaf), one in zip(wanted, found, strict=True):
        due = _looks(leaf)
        given = {entry: one[entry] for entry in due}
        if due != given:
            raise CheckpointError(f"{path}: the leaf {name} must have {due}, the checkpoint has {given}.")


def restored(path: Any, like: T, found: list[dict[str, Any]], arrays: list[Any]) -> T:
    """`like` with the numbers of the descriptions `found`, and with `arrays` in the place of its other leaves."""
    wanted = storable(like)
    new = iter([_restored(path, *of_one) for of_one in zip(wanted, found, arrays, strict=True)])
    return jax.tree.map(lambda leaf: next(new) if _is_storable(leaf) else leaf, like)


def _restored(path: Any, named: tuple[str, Any], found: dict[str, Any], array: Any) -> Any:
    name, like = named
    if is_number(like):
        value = found["value"]
        if isinstance(like, complex) and type(value) is list and [type(part) for part in value] == [float, float]:
            return complex(*value)
        if type(value) is not type(like):
            raise CheckpointError(f"{path}: the leaf {name} must be a {type(like).__name__}, the header has {value!r}.")
        return value
    if isinstance(like, np.generic):
        return np.asarray(array)[()]
    if isinstance(like, np.ndarray):
        return np.asarray(array, like.dtype)
    own = array if isinstance(array, jax.Array) else jnp.array(array)  # a copy: a step gives its buffers away
    if own.dtype != array.dtype:
        raise CheckpointError(f"{path}: the leaf {name} is of dtype {array.dtype}, which needs `jax_enable_x64`.")
    return jr.wrap_key_data(own, impl=found["key"]) if is_key(like) else own


def _flush_folder(folder: pathlib.Path) -> None:
    """Makes a rename last on systems where a folder can be opened."""
    if os.name == "posix":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
