"""Competition: the largest entries go through."""

import math
from collections.abc import Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray


class WinnerTakeAll(eqx.Module):
    r"""Keeps the $k$ largest entries along one or more axes, and puts 0 in the place of all others.

    $$y_j = x_j\,[\,x_j \text{ is among the } k \text{ largest}\,]$$

    It has no state. Among equal entries the first win, so that there are always $k$ winners. The gradient goes to the
    winners alone. Before a neuron it decides by currents, after it by spikes; to decide by potentials, so that only the
    neurons with the highest may fire (snnTorch's `inhibition=True`), it goes into the surrogate:

        spike, winner = surrogate.SuperSpike(), snn.WinnerTakeAll()
        snn.SimpleLIF(0.9, spike_fn=lambda x: winner.mask(x) * spike(x))

    Inhibition with a weight, one step later, is `snn.Recurrent`: each neuron hears $-w$ for the spike of any other by

        snn.Recurrent(neuron, eqx.nn.Lambda(lambda s: w * (s - jnp.sum(s))))

    Source: W. Maass 2000, doi:10.1162/089976600300014827; A. Makhzani and B. Frey 2013, arXiv:1312.5663.
    """

    k: int = eqx.field(static=True)
    axis: int | tuple[int, ...] | None = eqx.field(static=True)

    def __init__(self, k: int = 1, axis: int | Sequence[int] | None = 0):
        """**Arguments:**

        - `k`: the number of winners, 1 or more. Default 1.
        - `axis`: the axis or axes of one example along which its entries compete; `None` for all. Default 0: those of a
            vector, or the channels of feature maps at each place.
        """
        if not isinstance(k, int) or isinstance(k, bool) or k < 1:
            raise ValueError(f"`snn.WinnerTakeAll`: `k` must be a number of winners, 1 or more, got {k!r}.")
        self.k = k
        self.axis = axis if axis is None or isinstance(axis, int) else tuple(axis)

    def mask(self, x: Array) -> Array:
        """1 for the winners and 0 for the others, in the shape and dtype of `x`."""
        axes = tuple(range(x.ndim)) if self.axis is None else jax.tree.leaves(self.axis)
        if not all(-x.ndim <= axis < x.ndim for axis in axes):
            raise ValueError(
                f"`snn.WinnerTakeAll`: an input of shape {x.shape} has no axis {self.axis}. Give one from 0 to "
                f"{x.ndim - 1}, without the axes of time and batch."
            )
        first = tuple(range(len(axes)))
        moved = jnp.moveaxis(x, axes, first)
        competing = moved.reshape(math.prod(moved.shape[: len(axes)]), -1).T
        if self.k > competing.shape[1]:
            raise ValueError(
                f"`snn.WinnerTakeAll`: there cannot be {self.k} winners among {competing.shape[1]} entries, those of "
                f"an input of shape {x.shape} along axis {self.axis}."
            )
        # `top_k` puts 0 before -0.
        _, winners = jax.lax.top_k(jax.lax.stop_gradient(jnp.where(competing == 0, 0, competing)), self.k)
        mask = jnp.zeros(competing.shape, x.dtype).at[jnp.arange(len(competing))[:, None], winners].set(1)
        return jnp.moveaxis(mask.T.reshape(moved.shape), first, axes)

    def __call__(self, x: Array, *, key: PRNGKeyArray | None = None) -> Array:
        """**Arguments:** `x`: an array of real numbers, of any shape. `key` is ignored.

        **Returns:** the winners in their places and 0 elsewhere, in the shape and dtype of `x`.
        """
        x = jnp.asarray(x)
        if jnp.issubdtype(x.dtype, jnp.complexfloating):
            raise TypeError(
                f"`snn.WinnerTakeAll`: complex numbers have no largest, got {x.dtype}. Give their real part or their "
                "absolute value."
            )
        return x * self.mask(x)
