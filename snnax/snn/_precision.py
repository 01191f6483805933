"""Layers without state in another precision."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import PyTree

from .._parameter import Fixed, Logistic
from ..functional.surrogate import AbstractSurrogate
from ._layer import StatefulLayer
from ._reset import AbstractReset


def in_precision(model: PyTree, dtype: Any) -> PyTree:
    """The model with the weights of its layers without state in `dtype`, such as `jnp.bfloat16`.

    What belongs to neurons (decays, thresholds, surrogates) keeps its dtype, since bfloat16 rounds a decay of 0.999
    to 1. Inputs of that dtype, or whole numbers, are then computed in it. Gradients flow back through the cast, to
    parameters in their own dtype: cast inside of the loss to train in float32 what is computed in bfloat16.

    **Arguments:** `model`: any pytree with layers in it; `dtype`: a floating dtype.

    **Returns:** the same pytree. Complex weights keep their dtype.
    """

    def weight(leaf):
        return leaf.astype(dtype) if eqx.is_array(leaf) and jnp.issubdtype(leaf.dtype, jnp.floating) else leaf

    def layer(node):
        if not isinstance(node, eqx.Module) or isinstance(node, (Fixed, Logistic, AbstractSurrogate, AbstractReset)):
            return node
        own = (lambda leaf: leaf) if isinstance(node, StatefulLayer) else weight
        return jax.tree.map(
            lambda child: layer(child) if isinstance(child, eqx.Module) else own(child),
            node,
            is_leaf=lambda child: child is not node and isinstance(child, eqx.Module),
        )

    return jax.tree.map(layer, model, is_leaf=lambda node: isinstance(node, eqx.Module))
