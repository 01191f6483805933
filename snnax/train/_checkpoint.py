"""Checkpoints: one file that is whole or refused, written so that a crash at any moment leaves the last one as it was.

A file is a line, a header and the bytes of all leaves, one after the other:

    snnax-checkpoint 1 SHA-256-of-all-that-follows LENGTH-OF-THE-HEADER
    {"versions": ..., "config": ..., "leaves": [{"path": ..., "dtype": ..., "shape": ..., ...}, ...]}
    ...

The hash finds damage. It is no signature: it does not tell who wrote the file. Nothing in a file is ever executed.
"""

import hashlib
import importlib.metadata
import json
import math
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

MAGIC, FORMAT = "snnax-checkpoint", 1
_FIRST_LINE = re.compile(rb"snnax-checkpoint (\d{1,9}) ([0-9a-f]{64}) (\d{1,12})\n")
_FIRST_LINE_LENGTH, _HEADER_LENGTH = 128, 64 * 2**20
_BLOCK = 2**20

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

    **Raises:** `ValueError` for an array that lies on the devices of several processes.
    """
    path = pathlib.Path(path)
    leaves = [_described(name, leaf) for name, leaf in _storable(tree)]
    header = {
        "versions": {name: importlib.metadata.version(name) for name in ("snnax", "jax", "equinox")},
        "config": dict(config or {}),
        "leaves": [description for description, _ in leaves],
    }
    text = json.dumps(header).encode() + b"\n"
    digest = hashlib.sha256(text)
    for _, data in leaves:
        digest.update(data)
    first = f"{MAGIC} {FORMAT} {digest.hexdigest()} {len(text)}\n".encode()
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "wb") as file:
            file.writelines([first, text, *(data for _, data in leaves)])
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    _flush_folder(path.parent)


def load(path: str | os.PathLike, like: T) -> T:
    """Reads what `save` has written, in the structure of `like`.

    **Arguments:** `path`: the file; `like`: a pytree of the same structure, shapes and dtypes; its values are not used.

    **Returns:** `like` with the leaves of the file.

    **Raises:** `CheckpointError`, naming the file, where it is damaged, of another format, no checkpoint, or of another
    network: missing, needless and renamed leaves are named, and so are other shapes and dtypes.
    """
    wanted = list(_storable(like))
    with open(path, "rb") as file:
        header = _read_header(path, file)
        _check_leaves(path, header["leaves"], wanted)
        sizes = [_size(description) for description in header["leaves"]]
        left = os.fstat(file.fileno()).st_size - file.tell()
        if left != sum(sizes):
            raise CheckpointError(f"{path}: its leaves take {left} bytes where {sum(sizes)} are due. It is damaged.")
        found = [file.read(size) for size in sizes]
    try:
        new = iter([_restored(one, data) for one, data in zip(header["leaves"], found, strict=True)])
    except (TypeError, ValueError) as error:
        raise CheckpointError(f"{path}: a leaf cannot be made from what the file says ({error}).") from error
    return jax.tree.map(lambda leaf: next(new) if _is_storable(leaf) else leaf, like)


def read_config(path: str | os.PathLike) -> dict[str, Any]:
    """The `config` that a checkpoint was saved with. **Raises:** `CheckpointError`, as `load`."""
    with open(path, "rb") as file:
        return _read_header(path, file)["config"]


def _read_header(path: str | os.PathLike, file: BinaryIO) -> dict[str, Any]:
    """The header, after the hash of all that follows the first line was found right."""
    first = file.readline(_FIRST_LINE_LENGTH)
    match = _FIRST_LINE.fullmatch(first)
    if match is None:
        raise CheckpointError(f"{path}: this is no checkpoint of snnax: its first line is {first[:40]!r}.")
    version, digest, length = int(match[1]), match[2].decode(), int(match[3])
    if version != FORMAT:
        raise CheckpointError(
            f"{path}: the format of this checkpoint is {version}, this version of snnax reads {FORMAT}. Read it with "
            "the version that wrote it."
        )
    found = hashlib.sha256()
    start = file.tell()
    while block := file.read(_BLOCK):
        found.update(block)
    if found.hexdigest() != digest:
        raise CheckpointError(f"{path}: its bytes do not have the hash that its first line gives. It is damaged.")
    if length > _HEADER_LENGTH:
        raise CheckpointError(f"{path}: a header of {length} bytes is longer than any that snnax writes.")
    file.seek(start)
    try:
        header = json.loads(file.read(length))
        right = isinstance(header["config"], dict) and all(map(_is_description, header["leaves"]))
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise CheckpointError(f"{path}: its header cannot be read ({error}).") from error
    if not right:
        raise CheckpointError(f"{path}: its header does not describe leaves.")
    return header


def _is_description(one: Any) -> bool:
    shape = one["shape"]
    return (
        isinstance(one["path"], str)
        and isinstance(shape, list)
        and all(type(n) is int and n >= 0 for n in shape)
        and (one["key"] is None or isinstance(one["key"], str))
        and isinstance(one["dtype"], str)
        and "value" in one
    )


def _is_storable(leaf: Any) -> bool:
    return isinstance(leaf, (jax.Array, np.ndarray, np.generic, bool, int, float, complex))


def _storable(tree: PyTree) -> list[tuple[str, Any]]:
    leaves, _ = jax.tree_util.tree_flatten_with_path(tree)
    return [(jax.tree_util.keystr(path), leaf) for path, leaf in leaves if _is_storable(leaf)]


def _is_key(leaf: Any) -> bool:
    return isinstance(leaf, jax.Array) and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _described(path: str, leaf: Any) -> tuple[dict[str, Any], bytes]:
    """What the header says of a leaf, and its bytes. A Python number is kept in the header."""
    if isinstance(leaf, (bool, int, float, complex)) and not isinstance(leaf, np.generic):
        value = [leaf.real, leaf.imag] if isinstance(leaf, complex) else leaf
        return {"path": path, "dtype": type(leaf).__name__, "shape": [], "key": None, "value": value}, b""
    if isinstance(leaf, jax.Array) and not (leaf.is_fully_addressable or leaf.is_fully_replicated):
        raise ValueError(
            f"`snnax.train.save`: the leaf {path} lies on the devices of several processes. Gather it first, for "
            "example with `jax.experimental.multihost_utils.process_allgather`."
        )
    kind = str(jr.key_impl(leaf)) if _is_key(leaf) else None
    array = np.asarray(jr.key_data(leaf) if kind else leaf)
    description = {"path": path, "dtype": array.dtype.name, "shape": list(array.shape), "key": kind, "value": None}
    return description, np.ascontiguousarray(array).tobytes()


def _size(description: Mapping[str, Any]) -> int:
    if description["value"] is not None:
        return 0
    return math.prod(description["shape"]) * jnp.dtype(description["dtype"]).itemsize


def _check_leaves(path: Any, found: list[dict[str, Any]], wanted: list[tuple[str, Any]]) -> None:
    """Refuses leaves that are not, one by one, those of `wanted`."""
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
        given = (one["dtype"], tuple(one["shape"]), one["key"])
        if due != given:
            raise CheckpointError(
                f"{path}: the leaf {name} must be of dtype, shape and kind of key {due}, the checkpoint has {given}."
            )


def _looks(leaf: Any) -> tuple[str, tuple[int, ...], str | None]:
    """The dtype, shape and kind of key that the header has for such a leaf."""
    if _is_key(leaf):
        data = jax.eval_shape(jr.key_data, leaf)
        return data.dtype.name, data.shape, str(jr.key_impl(leaf))
    if isinstance(leaf, (jax.Array, np.ndarray, np.generic)):
        return jnp.dtype(leaf.dtype).name, tuple(leaf.shape), None
    return type(leaf).__name__, (), None


def _restored(one: Mapping[str, Any], data: bytes) -> Any:
    """A leaf from its description and its bytes."""
    if one["value"] is not None:
        kinds = {"bool": bool, "int": int, "float": float, "complex": lambda pair: complex(*pair)}
        return kinds[one["dtype"]](one["value"])
    array = jnp.asarray(np.frombuffer(data, jnp.dtype(one["dtype"])).reshape(one["shape"]))
    return jr.wrap_key_data(array, impl=one["key"]) if one["key"] else array


def _flush_folder(folder: pathlib.Path) -> None:
    """Makes a rename last on systems where a folder can be opened."""
    if os.name == "posix":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
