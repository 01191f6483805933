"""Products and convolutions in the form that the machine does fastest."""

from typing import Any

import equinox as eqx
import jax
from jaxtyping import Array

from .. import _kernels as kernels
from ._bytes import Bytes, numbers


def is_matrix(layer: eqx.Module) -> bool:
    """Whether `layer` is a linear layer from vectors to vectors."""
    return type(layer) is eqx.nn.Linear and isinstance(layer.in_features, int) and isinstance(layer.out_features, int)


def multiply(layer: eqx.nn.Linear, xs: Array | Bytes) -> Array:
    """A linear layer on `xs` of shape `(time, in_features)`, as `xs @ W.T`, which a kernel may do.

    Mapped over steps, the layer's own `W @ x` leaves a result that must be transposed, which takes XLA on a CPU as long
    as the product.
    """
    w = layer.weight.T
    if isinstance(xs, Bytes) and len(xs.shape) == 2 and w.dtype == xs.dtype:
        outs = kernels.spike_product(xs.rows(), w, xs.size)
    else:
        outs = kernels.spike_product(numbers(xs), w)
    return outs if layer.bias is None else outs + layer.bias


def is_convolution(layer: Any) -> bool:
    """Whether `convolve` is the way to do a convolution on this machine: on a CPU, for images.

    Inside of loops XLA's own convolutions are slow there. Measured on 2 cores in batches of 16, forward and backward,
    2 to 256 channels: in a loop over steps 0.03 to 0.6 of their time, in one over chunks of five steps 0.01 to 0.2;
    outside of loops 0.6 to 1.5 of it, the more the more channels.
    """
    return (
        type(layer) is eqx.nn.Conv2d
        and jax.default_backend() == "cpu"
        and layer.groups == 1
        and layer.dilation == (1, 1)
        and layer.padding_mode == "ZEROS"
        and not isinstance(layer.padding, str)
    )


def convolve(layer: eqx.nn.Conv2d, x: Array) -> Array:
    """A convolution of one image, `(channels, height, width)`."""
    return _with_bias(layer, kernels.convolve(x, layer.weight, layer.stride, layer.padding))


def convolve_all(layer: eqx.nn.Conv2d, xs: Array) -> Array:
    """A convolution of the images of all steps, `(time, channels, height, width)`, which a kernel may do."""
    return _with_bias(layer, kernels.spike_convolution(xs, layer.weight, layer.stride, layer.padding))


def _with_bias(layer: eqx.nn.Conv2d, out: Array) -> Array:
    return out if layer.bias is None else out + layer.bias
