"""The allocator of the C library, told to keep what it has."""

import ctypes

from ._library import library


def keep_buffers() -> None:
    """Tells the allocator of the C library to keep large buffers, and not to give them back to the system.

    JAX on a CPU allocates the outputs and temporaries of every call anew, and Linux fills each page of a new buffer
    with zeros when it is touched for the first time. Called once, at the start of a program, this saves it after the
    first few calls; the process keeps the most memory that it ever needed. It holds for the whole process, and does
    what these settings of the environment do for programs without the kernels of snnax:

        MALLOC_MMAP_MAX_=0 MALLOC_TRIM_THRESHOLD_=2147483647 MALLOC_TOP_PAD_=268435456 MALLOC_ARENA_MAX=1

    **Raises:** `RuntimeError` where the C library is not glibc, or the kernels were not compiled.
    """
    compiled = library()
    if isinstance(compiled, str):
        raise RuntimeError(f"`snnax.keep_buffers` is compiled as the kernels are, and there are none: {compiled}.")
    keep = compiled.snnax_keep_buffers
    keep.restype = ctypes.c_int
    if not keep():
        raise RuntimeError(
            "`snnax.keep_buffers` speaks to glibc, and the C library of this system is another one. Leave it out."
        )
