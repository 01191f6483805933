"""Dropout with one mask for a whole sequence."""

from collections.abc import Sequence

import equinox as eqx
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, PRNGKeyArray

from ._layer import StatefulLayer


class MaskState(eqx.Module):
    """The state of `SequenceDropout`: which inputs are kept, and whether that has been drawn yet."""

    mask: Array
    drawn: Array


class SequenceDropout(StatefulLayer):
    r"""Dropout with the same mask in every step of a sequence: $y_t = m\,x_t / (1 - p)$, each $m$ 1 with probability
    $1 - p$.

    The mask is drawn with the key of the first step after `init_state` and kept in the state, so a stream goes on with
    it, and every plan draws the same. With a key for each example of a batch each has a mask of its own. For another
    mask in every step: `eqx.nn.Dropout`.

    Source: Y. Gal and Z. Ghahramani 2016, arXiv:1512.05287.
    """

    p: float = eqx.field(static=True)
    inference: bool

    def __init__(self, p: float = 0.5, inference: bool = False):
        """**Arguments:**

        - `p`: the share of the inputs that are set to zero, in [0, 1). Default 0.5.
        - `inference`: whether the input passes as it is. `eqx.nn.inference_mode(model)` sets it. Default `False`.
        """
        if not isinstance(p, (int, float)) or isinstance(p, bool) or not 0 <= p < 1:
            raise ValueError(
                f"`snn.SequenceDropout`: `p`, the share that is set to zero, must be in [0, 1), got {p!r}."
            )
        self.p = float(p)
        self.inference = inference

    def init_state(self, in_shape: Sequence[int], key: PRNGKeyArray | None = None) -> MaskState:
        """The state before the mask is drawn."""
        return MaskState(jnp.ones(in_shape, bool), jnp.array(False))

    def __call__(self, state: MaskState, x: Array, *, key: PRNGKeyArray | None = None) -> tuple[MaskState, Array]:
        """**Arguments:** `x`: the input, of any shape; `key`: of this step.

        **Returns:** the new state, and the masked input, of the shape of `x`.
        """
        state = self._drawn(state, key)
        return state, self._masked(state, jnp.asarray(x))

    def over_time(self, state: MaskState, xs: Array, *, keys: Array | None = None) -> tuple[MaskState, Array]:
        """All steps at once. **Arguments** and **returns** as for every layer."""
        state = self._drawn(state, None if keys is None else keys[0])
        return state, self._masked(state, xs)

    def _drawn(self, state: MaskState, key: PRNGKeyArray | None) -> MaskState:
        if self.inference:
            return state
        if key is None:
            raise ValueError(
                "`snn.SequenceDropout` draws its mask and needs a key: `model(states, xs, key)`. For inference: "
                "`eqx.nn.inference_mode(model)`."
            )
        mask = jr.bernoulli(key, 1 - self.p, state.mask.shape)
        return MaskState(jnp.where(state.drawn, state.mask, mask), jnp.array(True))

    def _masked(self, state: MaskState, x: Array) -> Array:
        return x if self.inference else jnp.where(state.mask, x / (1 - self.p), jnp.zeros_like(x))
