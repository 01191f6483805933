"""Flattening and pooling of feature maps."""

from collections.abc import Callable, Sequence
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray

from .._parameter import POSITIVE, acting, as_parameter, parameter
from ..functional.surrogate import SuperSpike, emit
from ._filter import Parameter
from ._layer import name_of
from ._spiking import check_spike_fn


class Flatten(eqx.Module):
    """Several axes of one example in one; by default all: `(channels, height, width)` to `(channels*height*width,)`.

    `nir.Flatten`, whose axes count without time and batch, too.
    """

    start: int = eqx.field(static=True)
    end: int = eqx.field(static=True)

    def __init__(self, start: int = 0, end: int = -1):
        """**Arguments:** `start`, `end`: the first and the last axis that become one; negative ones count from the end.

        They count without time and batch. Default: all axes.
        """
        self.start, self.end = start, end

    def __call__(self, x: Array, *, key: PRNGKeyArray | None = None) -> Array:
        """**Arguments:** `x`: an array of any shape. `key` is ignored.

        **Returns:** its entries, with those axes in one.
        """
        start, end = (n + x.ndim if n < 0 else n for n in (self.start, self.end))
        if x.ndim == 0 and (self.start, self.end) == (0, -1):
            return jnp.ravel(x)
        if not 0 <= start <= end < x.ndim:
            raise ValueError(
                f"`snn.Flatten({self.start}, {self.end})` was given an input of shape {x.shape}, which has no such "
                "axes. They count without time and batch; `snn.Flatten()` takes all."
            )
        return jnp.reshape(x, (*x.shape[:start], -1, *x.shape[end + 1 :]))


def _sum_pool(dimensions: int, kernel_size, stride, padding, use_ceil: bool) -> eqx.nn.Pool:
    return eqx.nn.Pool(0.0, jax.lax.add, dimensions, kernel_size, stride, padding, use_ceil)


class SumPool1d(eqx.Module):
    """Sums over windows of one spatial axis: spike counts that stay spike counts. `(channels, length)` in and out."""

    pool: eqx.nn.Pool

    def __init__(
        self, kernel_size: int | Sequence[int], stride: int | Sequence[int] = 1, padding=0, use_ceil: bool = False
    ):
        """**Arguments:** `kernel_size`, `stride`, `padding`, `use_ceil`: those of `eqx.nn.AvgPool1d`."""
        self.pool = _sum_pool(1, kernel_size, stride, padding, use_ceil)

    def __call__(self, x: Array, *, key: PRNGKeyArray | None = None) -> Array:
        """**Arguments:** `x`: `(channels, length)`. `key` is ignored. **Returns:** the sums, in its dtype."""
        return self.pool(x)


class SumPool2d(eqx.Module):
    """Sums over windows of two spatial axes. `(channels, height, width)` in and out; `nir.SumPool2d`."""

    pool: eqx.nn.Pool

    def __init__(
        self, kernel_size: int | Sequence[int], stride: int | Sequence[int] = 1, padding=0, use_ceil: bool = False
    ):
        """**Arguments:** `kernel_size`, `stride`, `padding`, `use_ceil`: those of `eqx.nn.AvgPool2d`."""
        self.pool = _sum_pool(2, kernel_size, stride, padding, use_ceil)

    def __call__(self, x: Array, *, key: PRNGKeyArray | None = None) -> Array:
        """**Arguments:** `x`: `(channels, height, width)`. `key` is ignored. **Returns:** the sums, in its dtype."""
        return self.pool(x)


class _SpikingMaxPool(eqx.Module):
    """The largest input of each window, and a spike where it reaches the threshold."""

    max_pool: eqx.AbstractClassVar[Callable[..., eqx.nn.Pool]]

    pool: eqx.nn.Pool
    spike_fn: Callable[[Array], Array]
    threshold: Parameter = parameter(POSITIVE)

    def __init__(
        self,
        kernel_size: int | Sequence[int],
        stride: int | Sequence[int] = 1,
        padding=0,
        *,
        threshold: Parameter = 1.0,
        spike_fn: Callable[[Array], Array] | None = None,
    ):
        """**Arguments:** `kernel_size`, `stride`, `padding`: those of `eqx.nn.MaxPool1d` and `eqx.nn.MaxPool2d`;
        `threshold` and `spike_fn`: see `snn.SpikingLayer`.
        """
        self.pool = type(self).max_pool(kernel_size, stride, padding)
        self.threshold = as_parameter(name_of(self), "threshold", threshold, POSITIVE)
        self.spike_fn = SuperSpike() if spike_fn is None else spike_fn
        check_spike_fn(name_of(self), self.spike_fn, self.threshold)

    def __call__(self, x: Array, *, key: PRNGKeyArray | None = None) -> Array:
        """**Arguments:** `x`: `(channels, *space)`; `key`: for a `spike_fn` that draws. **Returns:** spikes, in its
        dtype.
        """
        spike, _ = emit(self.spike_fn, self.pool(x) - acting(self.threshold, x.dtype, POSITIVE), key)
        return spike


class SpikingMaxPool1d(_SpikingMaxPool):
    r"""Max pooling over one spatial axis, then a spike where it reaches the threshold: $[\max x \ge \theta]$.

    Source: the original SNNAX. It has no state; for spikes of 0 and 1 it is max pooling with a surrogate gradient.
    """

    max_pool: ClassVar[Callable[..., eqx.nn.Pool]] = eqx.nn.MaxPool1d


class SpikingMaxPool2d(_SpikingMaxPool):
    r"""Max pooling over two spatial axes, then a spike where it reaches the threshold: $[\max x \ge \theta]$.

    Source: the original SNNAX. It has no state; for spikes of 0 and 1 it is max pooling with a surrogate gradient.
    """

    max_pool: ClassVar[Callable[..., eqx.nn.Pool]] = eqx.nn.MaxPool2d
