"""The compiled kernels: a library beside this file, which an installation without a compiler leaves out."""

import contextlib
import contextvars
import ctypes
import functools
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import jax
from jax.extend.core import Primitive

VARIABLE = "SNNAX_KERNELS"
PALLAS = "pallas"
TARGETS = (
    "snnax_share",
    "snnax_dense_product",
    "snnax_product",
    "snnax_transposed_product",
    "snnax_byte_share",
    "snnax_byte_product",
    "snnax_byte_transposed_product",
    "snnax_leaky_loop",
    "snnax_moved_loop",
    "snnax_firing_loop",
    "snnax_spike_errors",
    "snnax_recurrent_loop",
    "snnax_returning_errors",
    "snnax_spiking_loop",
    "snnax_coupled_loop",
    "snnax_convolution",
    "snnax_weight_gradient",
    "snnax_image_gradient",
)
_wanted = contextvars.ContextVar("snnax_kernels", default=True)


@contextlib.contextmanager
def using(kernels: bool) -> Iterator[None]:
    """Whether what is traced inside may use kernels."""
    token = _wanted.set(kernels)
    try:
        yield
    finally:
        _wanted.reset(token)


def wanted() -> bool:
    """Whether what is being traced may use kernels."""
    alone = not jax.sharding.get_abstract_mesh().manual_axes  # and not inside of `jax.shard_map`
    return _wanted.get() and alone and jax.default_backend() == "cpu" and missing() is None


def generated_wanted() -> bool:
    """Whether what is being traced may use kernels that Pallas makes, which is so where the environment says it."""
    return _wanted.get() and os.environ.get(VARIABLE) == PALLAS


def missing() -> str | None:
    """Why there are no compiled kernels, or `None` where there are."""
    if os.environ.get(VARIABLE) == PALLAS:
        return f"the environment says {VARIABLE}={PALLAS}"
    found = library()
    return found if isinstance(found, str) else None


@functools.cache
def library() -> ctypes.CDLL | str:
    """The kernels, known to JAX; or why there are none. Asked once: the answer holds for the process."""
    if os.environ.get(VARIABLE) == "0":
        return f"the environment says {VARIABLE}=0"
    path = Path(__file__).with_name("cpu.dso")
    if not path.exists():
        return (
            "they were not compiled when snnax was installed. With a C++ compiler (such as g++) at hand: "
            "pip install --force-reinstall --no-deps --no-binary snnax snnax"
        )
    try:
        found = ctypes.CDLL(str(path))
        for name in TARGETS:
            jax.ffi.register_ffi_target(name, jax.ffi.pycapsule(getattr(found, name)), platform="cpu")
    except (OSError, AttributeError, RuntimeError, ValueError) as error:
        return f"the library {path.name} cannot be loaded ({error}). Install snnax anew"
    return found


def eagerly(primitive: Primitive, plain: Callable, args: Sequence[Any], options: dict[str, Any]) -> Any:
    """A primitive outside of any transformation: compiled, or its twin where `jax.disable_jit` forbids that."""
    if jax.config.jax_disable_jit:  # pyright: ignore[reportAttributeAccessIssue]
        return plain(*args, **options)
    return jax.jit(functools.partial(primitive.bind, **options))(*args)
