r"""Penalties on how often neurons fire, to be added to a loss.

All take a pytree of arrays, one for each layer, of any shape: rates or counts, as collectors give them, of the spiking
layers alone. But for `sparsity_penalty`, all are the mean over the neurons of a layer, summed over the layers,

$$R = \sum_l \frac{1}{N_l} \sum_{i \in l} r(n_i)$$

so that their strength does not depend on the width of a layer. The limits are in the unit of what is given. But for
`silence_penalty`, all are of one example; a batch is `jax.vmap`.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax
from jax.typing import ArrayLike
from jaxtyping import Array, PyTree

from .._parameter import Interval, acting, as_parameter
from ._arguments import as_array, floating, wide


def l1_rate(rates: PyTree) -> Array:
    r"""The mean size of the rates of each layer, summed over the layers: $r(n) = |n|$.

    **Arguments:** `rates`: a pytree of rates or counts, one array for each layer.

    **Returns:** a number, in the dtype of the arrays.
    """
    return _over_layers("functional.l1_rate", rates, lambda n: jnp.abs(n).mean())


def l2_rate(rates: PyTree) -> Array:
    r"""The mean square of the rates of each layer, summed over the layers: $r(n) = n^2$.

    **Arguments:** `rates`: a pytree of rates or counts, one array for each layer.

    **Returns:** a number, in the dtype of the arrays.
    """
    return _over_layers("functional.l2_rate", rates, lambda n: (n**2).mean())


def upper_rate(rates: PyTree, limit: ArrayLike) -> Array:
    r"""What neurons fire above a limit: $r(n) = \max(0, n - \theta)^2$.

    **Arguments:** `rates`: a pytree of rates or counts, one array for each layer. `limit`: $\theta$, in the same unit,
    0 or more.

    **Returns:** a number, in the dtype of the arrays. 0 where no neuron is above the limit.
    """
    return _over_layers(
        "functional.upper_rate", rates, lambda n, limit: (jnp.maximum(0, n - limit) ** 2).mean(), limit=limit
    )


def lower_rate(rates: PyTree, limit: ArrayLike) -> Array:
    r"""What neurons lack to a limit: $r(n) = \max(0, \theta - n)^2$.

    Source: F. Zenke and T. P. Vogels 2021, doi:10.1162/neco_a_01367.

    **Arguments:** `rates`: a pytree of rates or counts, one array for each layer. `limit`: $\theta$, in the same unit,
    0 or more.

    **Returns:** a number, in the dtype of the arrays. 0 where no neuron is below the limit.
    """
    return _over_layers(
        "functional.lower_rate", rates, lambda n, limit: (jnp.maximum(0, limit - n) ** 2).mean(), limit=limit
    )


def sparsity_penalty(rates: PyTree, limit: ArrayLike, *, norm: Callable[[Array], Array] = optax.huber_loss) -> Array:
    r"""What whole layers fire above a limit: $R = \sum_l h\left(\max(0, \bar n_l - \theta)\right)$.

    $\bar n_l$ is the mean over the neurons of a layer, some of which may fire much as long as others fire little.

    Source: F. Zenke and T. P. Vogels 2021, doi:10.1162/neco_a_01367, with powers for $h$; Spyx's `sparsity_reg`, which
    sums the examples of a batch.

    **Arguments:** `rates`: a pytree of rates or counts, one array for each layer. `limit`: $\theta$, in the same unit,
    0 or more. `norm`: $h$, a function of one array (default: `optax.huber_loss`, $x^2 / 2$ up to 1 and linear above).

    **Returns:** a number, in the dtype of the arrays. 0 where the mean of no layer is above the limit.
    """
    return _over_layers(
        "functional.sparsity_penalty", rates, lambda n, limit: norm(jnp.maximum(0, n.mean() - limit)), limit=limit
    )


def silence_penalty(rates: PyTree, limit: ArrayLike) -> Array:
    r"""What neurons lack to a limit on average over a batch: $r(n) = \max(0, \theta - \bar n)^2$.

    The only one that takes a batch: $\bar n$ is the mean over its examples, so that a neuron may be silent for some of
    them as long as it fires for others. Spyx's `silence_reg`, which sums over the neurons in place of their mean.

    **Arguments:** `rates`: a pytree of rates or counts, one array for each layer, `(batch, ...)`. `limit`: $\theta$, in
    the same unit, 0 or more.

    **Returns:** a number, in the dtype of the arrays. 0 where no neuron is below the limit on average.
    """
    owner = "functional.silence_penalty"

    def layer(n, limit):
        if n.ndim == 0:
            raise ValueError(f"`{owner}`: `rates` must have the shape (batch, ...) in every layer, got {n.shape}.")
        return (jnp.maximum(0, limit - n.mean(0)) ** 2).mean()

    return _over_layers(owner, rates, layer, limit=limit)


def _over_layers(owner: str, rates: PyTree, of_layer: Callable[..., Array], **limits: ArrayLike) -> Array:
    layers = [as_array(owner, "rates", leaf) for leaf in jax.tree.leaves(rates)]
    if not layers or any(layer.size == 0 for layer in layers):
        raise ValueError(
            f"`{owner}`: `rates` must hold one array at least and none that is empty, got the shapes "
            f"{[layer.shape for layer in layers]}."
        )
    computed = wide(*layers)
    acted = [
        acting(as_parameter(owner, name, value, Interval(0.0)), computed[0].dtype) for name, value in limits.items()
    ]
    total = jnp.stack([of_layer(layer, *acted) for layer in computed]).sum()
    return total.astype(floating(*layers))
