"""A spiking associative memory."""

from collections.abc import Callable, Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, PRNGKeyArray

from .._parameter import acting, as_parameter, parameter
from ..functional.surrogate import SuperSpike, emit
from ._filter import Parameter
from ._layer import StatefulLayer
from ._linear_scan import associative, sequential
from ._node import over_steps
from ._spiking import check_spike_fn, in_activation_dtype, in_state_dtype


class MemoryState(eqx.Module):
    """The state of `AssociativeMemory`: the matrix `memory`, `(value_size, key_size)`."""

    memory: Array


class AssociativeMemory(StatefulLayer):
    r"""A matrix of neurons without reset, into which values are written under keys, and whose spikes queries read.

    $$M_t = M_{t-1}\,\mathrm{diag}(\alpha_t) + v_t k_t^\top, \qquad \alpha_t = \sigma(W_\alpha x_t + b_\alpha), \qquad
    y_t = [M_t \ge \theta]\, q_t$$

    with values $v_t$, keys $k_t$ and queries $q_t$ that are linear maps of the input with a bias. The decays come with
    the input, too, and the memory is linear in itself: `snn.Associative` computes all steps at once, with no division
    by the product of decays.

    Source: S. Yang et al. 2023, arXiv:2312.06635 (gated linear attention); the spikes are those of snnTorch's
    `AssociativeLeaky`, which loses the memory after some 20 steps to such a division.
    """

    to_value: eqx.nn.Linear
    to_key: eqx.nn.Linear
    to_decay: eqx.nn.Linear
    to_query: eqx.nn.Linear
    spike_fn: Callable[[Array], Array]
    threshold: Parameter = parameter()

    def __init__(
        self,
        in_features: int,
        value_size: int,
        key_size: int,
        *,
        threshold: Parameter = 1.0,
        spike_fn: Callable[[Array], Array] | None = None,
        key: PRNGKeyArray,
    ):
        r"""**Arguments:**

        - `in_features`: the size of the input. `value_size`: that of values and of the output. `key_size`: that of keys
            and queries.
        - `threshold`: $\theta$, a number (a constant) or an array that broadcasts to `(value_size, key_size)`
            (trained). Default 1.
        - `spike_fn`: the surrogate. Default `surrogate.SuperSpike()`.
        - `key`: draws the weights.
        """
        sizes = (value_size, key_size, key_size, key_size)
        self.to_value, self.to_key, self.to_decay, self.to_query = (
            eqx.nn.Linear(in_features, size, key=k) for size, k in zip(sizes, jr.split(key, 4), strict=True)
        )
        self.threshold = as_parameter("snn.AssociativeMemory", "threshold", threshold)
        self.spike_fn = SuperSpike() if spike_fn is None else spike_fn
        check_spike_fn("snn.AssociativeMemory", self.spike_fn, self.threshold)

    def init_state(self, in_shape: Sequence[int], key: PRNGKeyArray | None = None) -> MemoryState:
        """An empty memory, for inputs of shape `(in_features,)`."""
        return MemoryState(jnp.zeros((self.to_value.out_features, self.to_key.out_features)))

    def __call__(self, state: MemoryState, x: Array, *, key: PRNGKeyArray | None = None) -> tuple[MemoryState, Array]:
        """**Arguments:** `x`: `(in_features,)`; `key`: for a `spike_fn` that draws.

        **Returns:** the new state, and what the query reads, `(value_size,)`, in the dtype of `x`.
        """
        keys = None if key is None else key[None]
        state, outs = self.over_time(state, jnp.asarray(x)[None], keys=keys)
        return state, outs[0]

    def over_time(self, state: MemoryState, xs: Array, *, keys: Array | None = None) -> tuple[MemoryState, Array]:
        """All steps: the linear maps once, and the memory in a loop. As for every layer."""
        return self._over_time(state, xs, keys, sequential)

    def in_parallel(self, state: MemoryState, xs: Array, *, keys: Array | None = None) -> tuple[MemoryState, Array]:
        """All steps at once, as `over_time`; see `snn.Associative`."""
        return self._over_time(state, xs, keys, associative)

    def _over_time(
        self, state: MemoryState, xs: Array, keys: Array | None, recurrence: Callable
    ) -> tuple[MemoryState, Array]:
        maps = self.to_value, self.to_key, self.to_decay, self.to_query
        values, writes, decays, queries = (in_state_dtype(over_steps(each, xs, None), state.memory) for each in maps)
        decays = jax.nn.sigmoid(decays)
        memory = recurrence(decays[:, None, :], values[:, :, None] * writes[:, None, :], state.memory)
        above = memory - acting(self.threshold, memory.dtype)
        spikes = jax.vmap(lambda above, key: emit(self.spike_fn, above, key)[0])(above, keys)
        return MemoryState(memory[-1]), in_activation_dtype(jnp.einsum("tvk,tk->tv", spikes, queries), xs)
