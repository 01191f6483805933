"""Convolutions of images that may be mostly zeros.

`spike_convolution(xs, w, stride, padding)` takes images `(..., channels, height, width)` and weights `(out, channels,
height, width)`, and has its derivatives of any order. On a CPU, entries that are not zero are counted when it runs;
where they are few, they are visited one by one, forward and for the gradient of the weights. All else is dense.
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

FEW, VISIT = 0.2, 14.0
"""The share of entries that are not zero up to which they are visited one by one, where each has much to multiply; and
the number of vectors of 16 that are added in the time in which one is found. By both the share is less where each has
little. Measured by `examples/benchmarks/density.py`, and for a dozen other shapes."""

Pair = tuple[int, ...]
TOGETHER = 16
"""The number of images that are convolved together in plain JAX."""

Padding = Any  # a pair of zeros before and after, for each axis of space


def spike_convolution(xs: Array, w: Array, stride: Pair, padding: Padding) -> Array:
    """The convolution of images. **Arguments** as above; `padding`: zeros before and after each axis of space.

    **Returns:** `(..., out, height, width)`.
    """
    images = xs.reshape(math.prod(xs.shape[:-3]), *xs.shape[-3:])
    if wanted() and xs.dtype == w.dtype == jnp.float32:
        out = _convolution.bind(images, w, stride=tuple(stride), padding=tuple(map(tuple, padding)))
    else:
        out = plain_convolution(images, w, stride=stride, padding=padding)
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


# The twins in plain JAX: the convolution, and what is linear in its outputs and in one of its arguments. Those that are
# called with the sizes of the images or of the kernels, `(height, width)`, give what the others do not determine.


def plain_convolution(x: Array, w: Array, *, stride: Pair, padding: Padding) -> Array:
    """So many images at a time as stay in the cache."""

    def one(x):
        return convolve(x, w, stride, padding)

    return jax.vmap(one)(x) if len(x) <= TOGETHER else jax.lax.map(one, x, batch_size=TOGETHER)


def plain_weight_gradient(x: Array, g: Array, *, stride: Pair, padding: Padding, kernel: Pair) -> Array:
    """What moves the weights, by images and by what moves their outputs."""
    w = jax.ShapeDtypeStruct((g.shape[1], x.shape[1], *kernel), x.dtype)
    transpose = jax.linear_transpose(lambda w: plain_convolution(x, w, stride=stride, padding=padding), w)
    return transpose(g)[0]


def plain_image_gradient(g: Array, w: Array, *, stride: Pair, padding: Padding, image: Pair) -> Array:
    """What moves the images, by what moves their outputs and by the weights."""
    x = jax.ShapeDtypeStruct((g.shape[0], w.shape[1], *image), w.dtype)
    transpose = jax.linear_transpose(lambda x: plain_convolution(x, w, stride=stride, padding=padding), x)
    return transpose(g)[0]


# The kernels in their place.


def _convolution_on_cpu(x: Array, w: Array, **options) -> Array:
    out = jax.eval_shape(functools.partial(plain_convolution, **options), x, w)
    return _call("snnax_convolution", out, options, few=_few(x, w, out))(x, w)


def _weight_gradient_on_cpu(x: Array, g: Array, **options) -> Array:
    w = jax.eval_shape(functools.partial(plain_weight_gradient, **options), x, g)
    return _call("snnax_weight_gradient", w, options, few=_few(x, w, g))(x, g)


def _image_gradient_on_cpu(g: Array, w: Array, **options) -> Array:
    x = jax.eval_shape(functools.partial(plain_image_gradient, **options), g, w)
    return _call("snnax_image_gradient", x, options)(g, w)


def _call(name: str, result: Any, options: dict[str, Any], **attributes) -> Callable:
    (down, right), ((top, _), (left, _)) = options["stride"], options["padding"]
    integers = {"down": down, "right": right, "top": top, "left": left}
    attributes |= {key: np.int64(value) for key, value in integers.items()}
    return functools.partial(jax.ffi.ffi_call(name, result), **attributes)


def _few(x: Any, w: Any, out: Any) -> np.float32:
    windows = math.prod(out.shape[2:]) * math.prod(w.shape[2:]) / max(math.prod(x.shape[2:]), 1)  # of an entry
    vectors = windows * w.shape[0] / 16
    return np.float32(FEW * vectors / (vectors + VISIT))


_convolution = bilinear("spike_convolution", plain_convolution, _convolution_on_cpu)
_weight_gradient = bilinear("spike_weight_gradient", plain_weight_gradient, _weight_gradient_on_cpu)
_image_gradient = bilinear("image_gradient", plain_image_gradient, _image_gradient_on_cpu)


# Each is linear in both arguments, and the transpose in each is another of the three.


def _transposed_convolution(error, x, w, **options):
    if ad.is_undefined_primal(x):
        return _image_gradient.bind(error, w, **options, image=x.aval.shape[2:]), None
    return None, _weight_gradient.bind(x, error, **options, kernel=w.aval.shape[2:])


def _transposed_weight_gradient(error, x, g, *, kernel, **options):
    if ad.is_undefined_primal(x):
        return _image_gradient.bind(g, error, **options, image=x.aval.shape[2:]), None
    return None, _convolution.bind(x, error, **options)


def _transposed_image_gradient(error, g, w, *, image, **options):
    if ad.is_undefined_primal(g):
        return _convolution.bind(error, w, **options), None
    return None, _weight_gradient.bind(error, g, **options, kernel=w.aval.shape[2:])


ad.primitive_transposes[_convolution] = _transposed_convolution
ad.primitive_transposes[_weight_gradient] = _transposed_weight_gradient
ad.primitive_transposes[_image_gradient] = _transposed_image_gradient


# Batches. Images of several examples with shared weights are images of one convolution.


def _batched(primitive: Primitive, args, axes, **options):
    (x, w), (x_axis, w_axis) = args, axes
    if w_axis is not None:
        return _apart(primitive, args, axes, **options)
    x = jnp.moveaxis(x, x_axis, 0)
    out = primitive.bind(x.reshape(x.shape[0] * x.shape[1], *x.shape[2:]), w, **options)
    return out.reshape(*x.shape[:2], *out.shape[1:]), 0


def _apart(primitive: Primitive, args, axes, **options):
    """One example after the other."""
    moved = [arg if axis is None else jnp.moveaxis(arg, axis, 0) for arg, axis in zip(args, axes, strict=True)]

    def one(i):
        return primitive.bind(
            *(arg if axis is None else arg[i] for arg, axis in zip(moved, axes, strict=True)), **options
        )

    size = next(arg.shape[0] for arg, axis in zip(moved, axes, strict=True) if axis is not None)
    return jax.lax.map(one, jnp.arange(size)), 0


batching.primitive_batchers[_convolution] = functools.partial(_batched, _convolution)
batching.primitive_batchers[_image_gradient] = functools.partial(_batched, _image_gradient)
batching.primitive_batchers[_weight_gradient] = functools.partial(_apart, _weight_gradient)
