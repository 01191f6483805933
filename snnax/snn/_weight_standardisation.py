"""Weights that are standardised whenever they are used."""

from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray


class WeightStandardised(eqx.Module):
    r"""A linear layer or convolution whose weights have mean 0 and variance 1 over the inputs of each output.

    $$\hat W_i = \frac{W_i - \mu_i}{\sqrt{\sigma_i^2 + \epsilon}}$$

    with $\mu_i, \sigma_i^2$ over all axes of $W_i$, those of output $i$ (axis 0). $W$ is trained. The outputs are about
    $\sqrt n$ times as large as inputs of which $n$ come together, so a normalisation belongs behind it, as in the
    source. For weights of a trained length there is `eqx.nn.WeightNorm`.

    Source: S. Qiao et al. 2019, arXiv:1903.10520.
    """

    layer: Any
    eps: float = eqx.field(static=True)

    def __init__(self, layer: Any, *, eps: float = 1e-5):
        r"""**Arguments:** `layer`: an `eqx.nn.Linear`, `eqx.nn.Conv` or `eqx.nn.ConvTranspose` of any kind; `eps`:
        $\epsilon > 0$, default 1e-5.
        """
        if not isinstance(layer, (eqx.nn.Linear, eqx.nn.Conv, eqx.nn.ConvTranspose)):
            raise TypeError(
                "`snn.WeightStandardised` takes an `eqx.nn.Linear`, `eqx.nn.Conv` or `eqx.nn.ConvTranspose`, got "
                f"`{type(layer).__name__}`."
            )
        if not isinstance(eps, (int, float)) or not 0 < eps < float("inf"):
            raise ValueError(f"`snn.WeightStandardised`: `eps` must be a number in (0, inf), got {eps!r}.")
        self.layer = layer
        self.eps = float(eps)

    @property
    def weight(self) -> Array:
        """The weights that act."""
        weight = self.layer.weight
        axes = tuple(range(1, weight.ndim))
        centred = weight - jnp.mean(weight, axes, keepdims=True)
        return centred / jnp.sqrt(jnp.mean(jnp.square(centred), axes, keepdims=True) + self.eps)

    def __call__(self, x: Array, *, key: PRNGKeyArray | None = None) -> Array:
        """**Arguments:** `x`: what the layer takes. `key` is ignored. **Returns:** what it gives."""
        return eqx.tree_at(lambda layer: layer.weight, self.layer, self.weight)(x)
