"""Products and convolutions in the form that the machine does fastest."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array


def is_matrix(layer: eqx.Module) -> bool:
    """Whether `layer` is a linear layer from vectors to vectors."""
    return type(layer) is eqx.nn.Linear and isinstance(layer.in_features, int) and isinstance(layer.out_features, int)


def multiply(layer: eqx.nn.Linear, xs: Array) -> Array:
    """A linear layer on `xs` of shape `(time, in_features)`, as `xs @ W.T`.

    Mapped over steps, the layer's own `W @ x` leaves a result that must be transposed, which takes XLA on a CPU as long
    as the product.
    """
    outs = xs @ layer.weight.T
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


@eqx.filter_checkpoint(prevent_cse=False)
def convolve(layer: eqx.nn.Conv2d, x: Array) -> Array:
    """A convolution of `x` of shape `(channels, height, width)`, as one product for each row of the kernel.

    The backward pass gathers again what is multiplied. For many steps one after the other, so that it stays in the
    cache.
    """
    _, _, height, width = layer.weight.shape
    down, right = layer.stride
    padding: Any = layer.padding
    x = jnp.pad(jnp.moveaxis(x, 0, -1), (*padding, (0, 0)))
    rows, columns = (x.shape[0] - height) // down + 1, (x.shape[1] - width) // right + 1
    shifted = [x[:, i : i + right * (columns - 1) + 1 : right] for i in range(width)]
    windows = jnp.concatenate(shifted, axis=-1)  # (height, columns, kernel columns x channels)
    kernels = layer.weight.transpose(2, 3, 1, 0).reshape(height, windows.shape[-1], -1)
    out = sum(windows[i : i + down * (rows - 1) + 1 : down] @ kernel for i, kernel in enumerate(kernels))
    out = jnp.moveaxis(out, -1, 0)
    return out if layer.bias is None else out + layer.bias
