"""The product of spikes and weights, which leaves out the multiplications by zero.

`spike_product(xs, w)` is `xs @ w`, and has its derivatives of any order. On a CPU, the entries of `xs` that are not
zero are counted when it runs; where they are few, only they are multiplied, forward and for the gradient of `w`. Sums
run in a fixed order, which is another one than that of the dense product: the results agree to rounding.

Of JAX it takes a primitive of its own, so that the gradient of weights that a batch shares is one product over all
examples: a `custom_vjp` under `vmap` would make one for each.
"""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax.interpreters import ad, batching
from jaxtyping import Array

from ._bilinear import bilinear
from ._library import wanted

FEW, FEW_FOR_WEIGHTS = 0.2, 0.1
"""The shares of entries that are not zero up to which they are multiplied one by one: forward, and for the gradient of
the weights. Measured by `examples/benchmarks/density.py`."""

SMALL = 2**22
"""The number of multiplications below which a product is not worth the counting."""

COLUMNS = 32
"""The number of columns of `w` below which it is not, either."""


def spike_product(xs: Array, w: Array) -> Array:
    """`xs @ w`. **Arguments:** `xs`: `(..., n)`, perhaps mostly zeros; `w`: `(n, m)`. **Returns:** `(..., m)`."""
    if not _pays(xs, w):
        return xs @ w
    rows = xs.reshape(math.prod(xs.shape[:-1]), xs.shape[-1])
    return _product.bind(rows, w).reshape(*xs.shape[:-1], w.shape[-1])


def _pays(xs: Array, w: Array) -> bool:
    """Whether the kernel may be used, by what is known before it runs. A batch makes it pay more."""
    return wanted() and xs.dtype == w.dtype == jnp.float32 and w.shape[-1] >= COLUMNS


def dense_product(x: Array, w: Array) -> Array:
    """The twin of the kernel in plain JAX: `(rows, n)` times `(n, m)`."""
    return x @ w


def dense_transposed_product(x: Array, g: Array) -> Array:
    """The twin of the kernel for the gradient of the weights: `(rows, n)`, transposed, times `(rows, m)`."""
    return x.T @ g


def _product_on_cpu(x: Array, w: Array) -> Array:
    return _choice("snnax_product", dense_product, FEW, x, w)


def _transposed_product_on_cpu(x: Array, g: Array) -> Array:
    return _choice("snnax_transposed_product", dense_transposed_product, FEW_FOR_WEIGHTS, x, g)


def _choice(name: str, dense: Callable, few: float, x: Array, other: Array) -> Array:
    if x.size * other.shape[1] < SMALL:
        return dense(x, other)
    share = jax.ffi.ffi_call("snnax_share", jax.ShapeDtypeStruct((), jnp.float32))(x)
    kernel = jax.ffi.ffi_call(name, jax.eval_shape(dense, x, other))
    return jax.lax.cond(share <= few, kernel, dense, x, other)


_product = bilinear("spike_product", dense_product, _product_on_cpu, dense_product)
_transposed = bilinear(
    "spike_transposed_product", dense_transposed_product, _transposed_product_on_cpu, dense_transposed_product
)


# Each is linear in its second argument, and the transpose of the other there.
ad.primitive_transposes[_product] = lambda error, x, w: (None, _transposed.bind(x, error))
ad.primitive_transposes[_transposed] = lambda error, x, g: (None, _product.bind(x, error))


# Batches. Rows of several examples with shared weights are rows of one product.


def _batched_product(args, axes):
    (x, w), (x_axis, w_axis) = args, axes
    if w_axis is not None:
        return _apart(dense_product, args, axes)
    x = jnp.moveaxis(x, x_axis, 0)
    out = _product.bind(x.reshape(math.prod(x.shape[:-1]), x.shape[-1]), w)
    return out.reshape(*x.shape[:-1], w.shape[-1]), 0


def _batched_transposed(args, axes):
    return _apart(dense_transposed_product, args, axes)


def _apart(dense: Callable, args, axes):
    """Dense products, one for each example."""
    return jax.vmap(dense, in_axes=axes)(*args), 0


batching.primitive_batchers[_product] = _batched_product
batching.primitive_batchers[_transposed] = _batched_transposed
