"""What a value depends on, in 64 letters: of files, of sources, and of the functions that change their examples."""

import builtins
import dis
import functools
import hashlib
import inspect
import os
import types
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np

_PLAIN = (type(None), bool, int, float, complex, str, bytes, type(...), np.dtype, np.generic)


def fingerprint(value: Any) -> str:
    """SHA-256 of all that can be seen of a value: of functions the code, defaults, closure, and the numbers, strings
    and functions of the same file that they name; of objects the methods and fields, or their own `fingerprint`; of
    arrays the bytes. A function of another file counts by its name."""
    total = hashlib.sha256()
    for part in _parts(value, {}):
        total.update(len(part).to_bytes(8, "little") + part)
    return total.hexdigest()


def of_files(source: Any, paths: Iterable[str | os.PathLike]) -> str:
    """The fingerprint of a source that reads files: its class, its options, and the files' names, sizes and times."""
    options = {name: value for name, value in vars(source).items() if isinstance(value, _PLAIN)}
    files = []
    for path in map(Path, paths):
        stat = path.stat()
        files.append((path.parent.name, path.name, stat.st_size, stat.st_mtime_ns))
    return fingerprint((type(source).__qualname__, options, files))


Seen = dict[int, tuple[int, Any]]


def _parts(value: Any, seen: Seen) -> Iterator[bytes]:
    """Each value once; where it comes again, the number of its first time. `seen` keeps them, so that no two have
    one `id`."""
    yield type(value).__qualname__.encode()
    if isinstance(value, _PLAIN):
        yield repr(value).encode()
        return
    if id(value) in seen:
        yield str(seen[id(value)][0]).encode()
        return
    seen[id(value)] = len(seen), value
    own = None if isinstance(value, type) else getattr(value, "fingerprint", None)
    if isinstance(own, str):
        yield own.encode()
    elif isinstance(value, (np.ndarray, jax.Array)):
        if not isinstance(value.dtype, np.dtype) or value.dtype.hasobject:
            raise _unseen(value)
        yield f"{value.dtype} {value.shape}".encode()
        yield np.asarray(value).tobytes()
    elif isinstance(value, os.PathLike):
        yield os.fsencode(value)
    elif isinstance(value, (set, frozenset)):
        yield from sorted(fingerprint(one).encode() for one in value)
    elif isinstance(value, (tuple, list)):
        for one in value:
            yield from _parts(one, seen)
    elif isinstance(value, dict):
        yield from _parts(list(value.items()), seen)
    elif isinstance(value, functools.partial):
        yield from _parts((value.func, value.args, value.keywords), seen)
    elif isinstance(value, types.MethodType):
        yield from _parts((value.__func__, value.__self__), seen)
    elif isinstance(value, types.FunctionType):
        yield from _function(inspect.unwrap(value), seen)
    elif isinstance(value, types.CodeType):
        yield value.co_code
        yield from _parts((value.co_names, value.co_varnames, value.co_consts), seen)
    elif isinstance(value, (type, types.ModuleType, types.BuiltinFunctionType, np.ufunc)):
        yield _name(value)
    elif hasattr(value, "__wrapped__"):  # jax.jit and its like
        yield from _parts(value.__wrapped__, seen)
    elif hasattr(value, "__dict__"):
        methods = [one for one in vars(type(value)).values() if isinstance(one, types.FunctionType)]
        yield from _parts((methods, vars(value)), seen)
    else:
        raise _unseen(value)


def _function(function: types.FunctionType, seen: Seen) -> Iterator[bytes]:
    cells = [cell.cell_contents for cell in function.__closure__ or ()]
    yield from _parts((function.__code__, function.__defaults__, function.__kwdefaults__, cells), seen)
    for name in sorted(_globals(function.__code__)):
        found = function.__globals__.get(name, getattr(builtins, name, None))
        same_file = isinstance(found, types.FunctionType) and found.__module__ == function.__module__
        if same_file or isinstance(found, (*_PLAIN, tuple, np.ndarray)):
            yield from _parts(found, seen)
        else:
            yield _name(found)


def _globals(code: types.CodeType) -> set[str]:
    """The global names that a function and those inside it use."""
    inner = [constant for constant in code.co_consts if isinstance(constant, types.CodeType)]
    names = {one.argval for one in dis.get_instructions(code) if one.opname == "LOAD_GLOBAL"}
    return names.union(*map(_globals, inner))


def _name(value: Any) -> bytes:
    return f"{getattr(value, '__module__', '')}.{getattr(value, '__qualname__', type(value))}".encode()


def _unseen(value: Any) -> ValueError:
    return ValueError(
        f"`data.Cached`: what a {type(value).__qualname__} holds cannot be seen. Give the source or the object that "
        "has it a string `fingerprint`, which says what it depends on."
    )
