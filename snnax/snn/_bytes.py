"""Inputs in bytes, which become floats no sooner than a layer needs them so."""

import math
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array

from .. import _kernels as kernels
from ._pooling import Flatten
from ._unpack import Unpack


class Bytes(eqx.Module):
    """All steps of a signal, `shape`, as the bytes that stand for it.

    As floats counts take four times and bits 32 times the memory, and the kernel for products reads bytes as they are.
    What only arranges a signal, between the input and the product, leaves the bytes alone.
    """

    bytes: Array
    size: int = eqx.field(static=True)
    shape: tuple[int, ...] = eqx.field(static=True)
    dtype: Any = eqx.field(static=True)

    def numbers(self) -> Array:
        """The signal as an array."""
        return kernels.unpacked(self.bytes, self.size, self.dtype).reshape(self.shape)

    def rows(self) -> Array:
        """The bytes of each step."""
        return self.bytes.reshape(self.shape[0], math.prod(self.bytes.shape[1:]))

    def through(self, layer: Any) -> "Bytes | None":
        """What a layer without state makes of it, where that is bytes too; else `None`."""
        if type(layer) is Unpack and self.size == 0:
            size, unarranged = layer.size, self.bytes.reshape(self.shape)
        elif type(layer) is Flatten:
            size, unarranged = self.size, self.bytes
        else:
            return None
        out = jax.eval_shape(jax.vmap(layer), jax.ShapeDtypeStruct(self.shape, self.dtype))
        return Bytes(unarranged, size, out.shape, self.dtype)


def as_bytes(x: Array, dtype: Any) -> Bytes | None:
    """Whole numbers that are computed in `dtype`, if a kernel reads them as they are; else `None`."""
    if x.dtype not in (jnp.uint8, jnp.bool_) or dtype != jnp.float32 or not kernels.wanted():
        return None
    return Bytes(x.astype(jnp.uint8), 0, x.shape, dtype)


def numbers(xs: Array | Bytes) -> Array:
    """A signal as an array."""
    return xs.numbers() if isinstance(xs, Bytes) else xs
