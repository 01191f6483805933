"""The product of spikes and weights, which leaves out the multiplications by zero.

`spike_product(xs, w)` is `xs @ w`, and has its derivatives of any order. On a CPU, the entries of `xs` that are not
zero are counted when it runs; where they are few, only they are multiplied, forward and for the gradient of `w`. Sums
run in a fixed order, which is another one than that of the dense product: the results agree to rounding.

Spikes may also come in bytes, as counts or as bits. The kernels read those as they are, and the dense way makes floats
of a few rows at a time.

Of JAX it takes a primitive of its own, so that the gradient of weights that a batch shares is one product over all
examples: a `custom_vjp` under `vmap` would make one for each.
"""

import functools
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import Primitive
from jax.interpreters import ad, batching
from jaxtyping import Array

from ._bilinear import bilinear
from ._library import wanted

FEW = 0.2
"""The share of entries that are not zero up to which they are multiplied one by one. Measured by
`examples/benchmarks/density.py`."""

SMALL = 2**22
"""The number of multiplications below which a product is not worth the counting."""

COLUMNS = 32
"""The number of columns of `w` below which it is not, either."""

ROWS = 64
"""The number of rows below which the weights are not put in the order in which the dense kernel reads them."""

TOGETHER = 2**22
"""The number of entries that are floats at a time on the dense way from bytes."""


def spike_product(xs: Array, w: Array, size: int = 0) -> Array:
    """`xs @ w`, or `unpacked(xs, size, w.dtype) @ w` for `xs` in uint8.

    **Arguments:** `xs`: `(..., n)`, perhaps mostly zeros; `w`: `(n, m)`; `size`: that of `unpacked`.

    **Returns:** `(..., m)`.
    """
    if not _pays(xs, w):
        return _as_floats(xs, size, w.dtype) @ w
    rows = xs.reshape(math.prod(xs.shape[:-1]), xs.shape[-1])
    return _product.bind(rows, w, size=size).reshape(*xs.shape[:-1], w.shape[-1])


def _pays(xs: Array, w: Array) -> bool:
    """Whether the kernel may be used, by what is known before it runs. A batch makes it pay more."""
    return wanted() and xs.dtype in (jnp.float32, jnp.uint8) and w.dtype == jnp.float32 and w.shape[-1] >= COLUMNS


def unpacked(x: Array, size: int, dtype: Any) -> Array:
    """The numbers that bytes stand for: each for itself, or, for a `size` above 0, so many for the bits of
    `ceil(size / 8)` bytes, as `jnp.packbits` makes them of one row.
    """
    if size:
        bits = x[..., None] >> jnp.arange(7, -1, -1, dtype=jnp.uint8) & 1
        groups = bits.reshape(*x.shape[:-1], _length(x, size) // size, -(-size // 8) * 8)[..., :size]
        x = groups.reshape(*x.shape[:-1], _length(x, size))
    return x.astype(dtype)


def _as_floats(x: Array, size: int, dtype: Any) -> Array:
    return unpacked(x, size, dtype) if x.dtype == jnp.uint8 else x


def _length(x: Array, size: int) -> int:
    """The number of entries in a row."""
    return x.shape[-1] // -(-size // 8) * size if size else x.shape[-1]


def plain_product(x: Array, w: Array, *, size: int = 0) -> Array:
    """The twin of the kernel in plain JAX: `(rows, n)` times `(n, m)`."""

    def one(x):
        return _as_floats(x, size, w.dtype) @ w

    few = _together(x, size)
    return one(x) if len(x) <= few else jax.lax.map(one, x, batch_size=few)


def plain_transposed_product(x: Array, g: Array, *, size: int = 0) -> Array:
    """The twin of the kernel for the gradient of the weights: `(rows, n)`, transposed, times `(rows, m)`."""
    few = _together(x, size)
    blocks, rest = divmod(len(x), few)

    def of(begin, rows):
        part, errors = (jax.lax.dynamic_slice_in_dim(a, begin, rows) for a in (x, g))
        return _as_floats(part, size, g.dtype).T @ errors

    sums = of(blocks * few, rest)
    return jax.lax.fori_loop(0, blocks, lambda i, sums: sums + of(i * few, few), sums) if blocks else sums


def _together(x: Array, size: int) -> int:
    """The number of rows that meet the other matrix at a time."""
    return max(TOGETHER // max(_length(x, size), 1), 1) if x.dtype == jnp.uint8 else max(len(x), 1)


def _product_on_cpu(x: Array, w: Array, *, size: int = 0) -> Array:
    dense = functools.partial(plain_product, size=size) if x.dtype == jnp.uint8 else _dense_on_cpu
    return _choice("product", dense, x, w, size)


def _dense_on_cpu(x: Array, w: Array) -> Array:
    if len(x) < ROWS or x.size * w.shape[1] < SMALL:
        return x @ w
    return jax.ffi.ffi_call("snnax_dense_product", jax.ShapeDtypeStruct((len(x), w.shape[1]), x.dtype))(x, w)


def _transposed_product_on_cpu(x: Array, g: Array, *, size: int = 0) -> Array:
    dense = functools.partial(plain_transposed_product, size=size)
    return _choice("transposed_product", dense, x, g, size)


def _choice(name: str, dense: Callable, x: Array, other: Array, size: int) -> Array:
    out = jax.eval_shape(dense, x, other)
    if len(x) * _length(x, size) * other.shape[1] < SMALL:
        return dense(x, other)
    prefix, options = ("snnax_byte_", {"size": np.int64(size)}) if x.dtype == jnp.uint8 else ("snnax_", {})
    share = jax.ffi.ffi_call(f"{prefix}share", jax.ShapeDtypeStruct((), jnp.float32))(x, **options)
    kernel = functools.partial(jax.ffi.ffi_call(prefix + name, out), **options)
    return jax.lax.cond(share <= FEW, kernel, dense, x, other)


_dense = bilinear("dense_product", jnp.matmul, _dense_on_cpu)
_product = bilinear("spike_product", plain_product, _product_on_cpu, lambda dx, w, **_: _dense.bind(dx, w))
_transposed = bilinear(
    "spike_transposed_product", plain_transposed_product, _transposed_product_on_cpu, plain_transposed_product
)


# Each is linear in its second argument, and the transpose of the other there.
ad.primitive_transposes[_product] = lambda error, x, w, **options: (None, _transposed.bind(x, error, **options))
ad.primitive_transposes[_transposed] = lambda error, x, g, **options: (None, _product.bind(x, error, **options))


def _transposed_dense(error, x, w):
    if ad.is_undefined_primal(x):
        return _dense.bind(error, w.T), None
    return None, x.T @ error


ad.primitive_transposes[_dense] = _transposed_dense


# Batches. Rows of several examples with shared weights are rows of one product.


def _batched_product(primitive: Primitive, args, axes, **options):
    (x, w), (x_axis, w_axis) = args, axes
    if w_axis is not None:
        return _apart(plain_product, args, axes, options)
    x = jnp.moveaxis(x, x_axis, 0)
    out = primitive.bind(x.reshape(math.prod(x.shape[:-1]), x.shape[-1]), w, **options)
    return out.reshape(*x.shape[:-1], w.shape[-1]), 0


def _batched_transposed(args, axes, **options):
    return _apart(plain_transposed_product, args, axes, options)


def _apart(dense: Callable, args, axes, options):
    """Dense products, one for each example."""
    return jax.vmap(functools.partial(dense, **options), in_axes=axes)(*args), 0


batching.primitive_batchers[_product] = functools.partial(_batched_product, _product)
batching.primitive_batchers[_dense] = functools.partial(_batched_product, _dense)
batching.primitive_batchers[_transposed] = _batched_transposed
