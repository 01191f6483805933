"""Products and convolutions of all steps at once, in the form that the machine does fastest."""

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


def is_slow_convolution(layer: eqx.Module) -> bool:
    """Whether `convolve` is the faster way on this machine: a CPU, a convolution of 16 to 64 channels.

    Measured on 2 cores with batches of 16, forward and backward against XLA's own convolution: 0.38 of its time for
    7x7 kernels on 32 channels, 0.45 for 3x3 on 64; but 1.2 of it for 3x3 on 128 channels, 1.1 to 1.7 for fewer than 16.
    """
    return (
        type(layer) is eqx.nn.Conv2d
        and jax.default_backend() == "cpu"
        and 16 <= layer.in_channels <= 64
        and layer.groups == 1
        and layer.dilation == (1, 1)
        and layer.padding_mode == "ZEROS"
        and not isinstance(layer.padding, str)
    )


def convolve(layer: eqx.nn.Conv2d, xs: Array) -> Array:
    """A convolution of `xs` of shape `(time, channels, height, width)`, as one product for each row of the kernel.

    Step by step, so that what is multiplied stays in the cache; the backward pass gathers it again.
    """
    _, _, height, width = layer.weight.shape
    down, right = layer.stride

    @eqx.filter_checkpoint(prevent_cse=False)
    def one(layer, x):
        x = jnp.pad(jnp.moveaxis(x, 0, -1), (*layer.padding, (0, 0)))
        rows, columns = (x.shape[0] - height) // down + 1, (x.shape[1] - width) // right + 1
        shifted = [x[:, i : i + right * (columns - 1) + 1 : right] for i in range(width)]
        windows = jnp.concatenate(shifted, axis=-1)  # (height, columns, kernel columns x channels)
        kernels = layer.weight.transpose(2, 3, 1, 0).reshape(height, windows.shape[-1], -1)
        out = sum(windows[i : i + down * (rows - 1) + 1 : down] @ kernel for i, kernel in enumerate(kernels))
        out = jnp.moveaxis(out, -1, 0)
        return out if layer.bias is None else out + layer.bias

    return jax.lax.map(lambda x: one(layer, x), xs)
