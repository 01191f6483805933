"""The convolution of spikes, which leaves out the multiplications by zero.

`spike_convolution(xs, w, stride, padding)` takes images `(..., channels, height, width)` and weights `(out, channels,
height, width)`, and has its derivatives of any order. As for `spike_product`, entries that are not zero are counted
when it runs on a CPU; where they are few, they are visited one by one, forward and for the gradient of the weights.
"""

import functools
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.interpreters import ad, batching
from jaxtyping import Array

from ._bilinear import bilinear
from ._library import wanted

FEW = 0.2
"""The share of entries that are not zero up to which they are visited one by one. Measured by
`examples/benchmarks/density.py`."""

SMALL = 2**22
"""The number of multiplications below which a convolution is not worth the counting."""

CHANNELS = 8
"""The number of output channels below which it is not, either."""

Pair = tuple[int, ...]
TOGETHER = 16
"""The number of images that are convolved together in plain JAX."""

Padding = Any  # a pair of zeros before and after, for each axis of space


def spike_convolution(xs: Array, w: Array, stride: Pair, padding: Padding) -> Array:
    """The convolution of images. **Arguments** as above; `padding`: zeros before and after each axis of space.

    **Returns:** `(..., out, height, width)`.
    """
    images = xs.reshape(math.prod(xs.shape[:-3]), *xs.shape[-3:])
    if wanted() and xs.dtype == w.dtype == jnp.float32 and w.shape[0] >= CHANNELS:
        out = _convolution.bind(images, w, stride=tuple(stride), padding=tuple(map(tuple, padding)))
    else:
        out = dense_convolution(images, w, stride=stride, padding=padding)
    return out.reshape(*xs.shape[:-3], *out.shape[1:])


@functools.partial(jax.checkpoint, static_argnums=(2, 3), prevent_cse=False)
def convolve(x: Array, w: Array, stride: Pair, padding: Padding) -> Array:
    """A convolution of one image in plain JAX, as one product for each row of the kernel.

    The backward pass gathers again what is multiplied. For many steps one after the other, so that it stays in the
    cache.
    """
    _, _, height, width = w.shape
    down, right = stride
    x = jnp.pad(jnp.moveaxis(x, 0, -1), (*padding, (0, 0)))
    if x.shape[0] < height or x.shape[1] < width:
        raise ValueError(
            f"A convolution with windows of {height} by {width} was given images of {x.shape[0]} by {x.shape[1]}, "
            "padding included, in which none fits. Give smaller windows, more padding, or less pooling before."
        )
    rows, columns = (x.shape[0] - height) // down + 1, (x.shape[1] - width) // right + 1
    shifted = [x[:, i : i + right * (columns - 1) + 1 : right] for i in range(width)]
    windows = jnp.concatenate(shifted, axis=-1)  # (height, columns, kernel columns x channels)
    kernels = w.transpose(2, 3, 1, 0).reshape(height, windows.shape[-1], -1)
    out = sum(windows[i : i + down * (rows - 1) + 1 : down] @ kernel for i, kernel in enumerate(kernels))
    return jnp.moveaxis(out, -1, 0)


def dense_convolution(x: Array, w: Array, *, stride: Pair, padding: Padding) -> Array:
    """The twin of the kernel in plain JAX: so many images at a time as stay in the cache."""

    def one(x):
        return convolve(x, w, stride, padding)

    return jax.vmap(one)(x) if len(x) <= TOGETHER else jax.lax.map(one, x, batch_size=TOGETHER)


def dense_weight_gradient(x: Array, g: Array, *, stride: Pair, padding: Padding, kernel: Any) -> Array:
    """The twin in plain JAX of the kernel for the gradient of the weights, which are of the shape `kernel`."""
    w = jax.ShapeDtypeStruct((g.shape[1], x.shape[1], *kernel), x.dtype)
    transpose = jax.linear_transpose(lambda w: dense_convolution(x, w, stride=stride, padding=padding), w)
    return transpose(g)[0]


def _convolution_on_cpu(x: Array, w: Array, *, stride, padding) -> Array:
    dense = functools.partial(dense_convolution, stride=stride, padding=padding)
    out = jax.eval_shape(dense, x, w)

    def kernel(x, w):
        shape = jax.ShapeDtypeStruct((out.shape[0], *out.shape[2:], out.shape[1]), out.dtype)
        call = jax.ffi.ffi_call("snnax_convolution", shape)
        return jnp.moveaxis(call(x, w.transpose(1, 2, 3, 0), **_attributes(stride, padding)), -1, 1)

    return _choice(kernel, dense, x, w, out.size * math.prod(w.shape[1:]))


def _weight_gradient_on_cpu(x: Array, g: Array, *, stride, padding, kernel) -> Array:
    dense = functools.partial(dense_weight_gradient, stride=stride, padding=padding, kernel=kernel)

    def compiled(x, g):
        shape = jax.ShapeDtypeStruct((x.shape[1], *kernel, g.shape[1]), x.dtype)
        call = jax.ffi.ffi_call("snnax_weight_gradient", shape)
        return call(x, jnp.moveaxis(g, 1, -1), **_attributes(stride, padding)).transpose(3, 0, 1, 2)

    return _choice(compiled, dense, x, g, g.size * x.shape[1] * math.prod(kernel))


def _choice(kernel: Callable, dense: Callable, x: Array, other: Array, multiplications: int) -> Array:
    if multiplications < SMALL:
        return dense(x, other)
    share = jax.ffi.ffi_call("snnax_share", jax.ShapeDtypeStruct((), jnp.float32))
    return jax.lax.cond(share(x.reshape(len(x), math.prod(x.shape[1:]))) <= FEW, kernel, dense, x, other)


def _attributes(stride, padding) -> dict[str, Any]:
    values = (*stride, padding[0][0], padding[1][0])
    return {name: np.int64(value) for name, value in zip(("down", "right", "top", "left"), values, strict=True)}


_convolution = bilinear("spike_convolution", dense_convolution, _convolution_on_cpu)
_weight_gradient = bilinear("spike_weight_gradient", dense_weight_gradient, _weight_gradient_on_cpu)


# Each is linear in its second argument, and the transpose of the other there.


def _transposed_convolution(error, x, w, **options):
    return None, _weight_gradient.bind(x, error, **options, kernel=w.aval.shape[2:])


def _transposed_weight_gradient(error, x, g, *, kernel, **options):
    return None, _convolution.bind(x, error, **options)


ad.primitive_transposes[_convolution] = _transposed_convolution
ad.primitive_transposes[_weight_gradient] = _transposed_weight_gradient


# Batches. Images of several examples with shared weights are images of one convolution.


def _batched_convolution(args, axes, **options):
    (x, w), (x_axis, w_axis) = args, axes
    if w_axis is not None:
        return jax.vmap(functools.partial(dense_convolution, **options), in_axes=axes)(x, w), 0
    x = jnp.moveaxis(x, x_axis, 0)
    out = _convolution.bind(x.reshape(x.shape[0] * x.shape[1], *x.shape[2:]), w, **options)
    return out.reshape(*x.shape[:2], *out.shape[1:]), 0


def _batched_weight_gradient(args, axes, **options):
    return jax.vmap(functools.partial(dense_weight_gradient, **options), in_axes=axes)(*args), 0


batching.primitive_batchers[_convolution] = _batched_convolution
batching.primitive_batchers[_weight_gradient] = _batched_weight_gradient
