"""Reads everything in an HDF5 file, in a process of its own: `python _hdf5_walk.py PATH OPTIONS`.

HDF5's library crashes on some damaged files and runs forever on others, so a file of a stranger is tried here first.
The last line of the output is what is wrong, as JSON: a kind and a reason, or null. See `_hdf5.py`.
"""

import json
import math
import sys

DEPTH = 16
OBJECTS = 100_000
FILTERS = {1, 2, 3, 4, 5, 6, 32000}  # deflate, shuffle, Fletcher's checksum, szip, n-bit, scale-offset and h5py's LZF
BLOCK = 256
POINTER = 64  # bytes that one string or list takes in Python, without what is in it


class Unsafe(Exception):
    pass


def walk(file, limit, total, vlen):
    """All of a file: groups and arrays by hard links, each group once, nothing outside the file, no pointers."""
    import h5py
    from h5py import h5o  # pyright: ignore[reportAttributeAccessIssue]

    groups, seen, objects, given = [("", file, 0)], set(), 0, 0
    while groups:
        at, group, depth = groups.pop()
        address = h5o.get_info(group.id).addr
        if address in seen or depth > DEPTH:
            raise Unsafe(f"its groups form a cycle, or lie more than {DEPTH} deep, at {at!r}")
        seen.add(address)
        for name in group:
            objects += 1
            here = f"{at}/{name}"
            if objects > OBJECTS:
                raise Unsafe(f"it has more than {OBJECTS} objects")
            link = group.get(name, getlink=True)
            if not isinstance(link, h5py.HardLink):
                raise Unsafe(f"{here!r} is a link to another place ({type(link).__name__})")
            found = group[name]
            if isinstance(found, h5py.Group):
                groups.append((here, found, depth + 1))
            elif isinstance(found, h5py.Dataset):
                check(here, found, limit, vlen)
                text = h5py.check_string_dtype(found.dtype) is not None
                most = min(limit if text else math.inf, math.inf if total is None else total - given)
                given += size(here, found, most)
            else:
                raise Unsafe(f"{here!r} is a {type(found).__name__}, neither a group nor an array")


def check(here, array, limit, vlen):
    import h5py

    if array.external or array.is_virtual:
        raise Unsafe(f"the values of {here!r} lie in other files")
    dtype = array.dtype
    base = h5py.check_vlen_dtype(dtype)
    pointers = h5py.check_string_dtype(dtype) is None and (base is None or here not in vlen or base.kind not in "iuf")
    if dtype.kind not in "biufSO" or (dtype.kind == "O" and pointers):
        raise Unsafe(f"{here!r} holds neither numbers nor strings, but {dtype!r}")
    if array.shape is None:
        raise ValueError(f"{here!r} has no shape")
    asked, stored = math.prod(array.shape) * dtype.itemsize, array.id.get_storage_size()
    chunk = math.prod(array.chunks or ()) * dtype.itemsize
    # Deflate, the densest of the filters, makes 1032 bytes of one at most.
    if max(asked, chunk) > limit or (asked > 2**20 and asked > 1100 * stored):
        raise Unsafe(f"{here!r} asks for {max(asked, chunk)} bytes, of which {stored} are there; the limit is {limit}")
    properties = array.id.get_create_plist()
    for number in range(properties.get_nfilters()):
        if properties.get_filter(number)[0] not in FILTERS:
            raise Unsafe(
                f"{here!r} needs the filter {properties.get_filter(number)[0]}, which is not one of HDF5's own"
            )


def size(here, array, most):
    """Reads an array, and gives its bytes. A string or a list may be stored once and pointed to often."""
    objects = array.dtype.kind == "O" and array.shape
    read = 0
    for start in range(0, len(array) if objects else 1, BLOCK):
        values = array[start : start + BLOCK].flat if objects else [array[()]]
        read += sum(POINTER + (len(value) if isinstance(value, bytes) else value.nbytes) for value in values)
        if read > most:
            raise Unsafe(f"{here!r} gives more than the {most} bytes that are left for it")
    return read


def main(path, options):
    try:
        import resource
    except ImportError:  # Windows has no such limits; there the parent's patience is the only one
        pass
    else:
        for kind, most in options["limits"].items():
            hard = resource.getrlimit(getattr(resource, kind))[1]
            most = most if hard == resource.RLIM_INFINITY else min(most, hard)
            resource.setrlimit(getattr(resource, kind), (most, hard))
    import h5py

    wrong = None
    try:
        with h5py.File(path, "r") as file:
            walk(file, options["limit"], options["total"], set(options["vlen"]))
    except Unsafe as error:
        wrong = "unsafe", str(error)
    except MemoryError:
        wrong = "unsafe", "it needs more memory than its limit"
    except Exception as error:
        wrong = "malformed", f"{type(error).__name__}: {error}"[:300]
    print("\n" + json.dumps(wrong))


if __name__ == "__main__":
    main(sys.argv[1], json.loads(sys.argv[2]))
