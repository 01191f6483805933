"""Parallel spiking neurons: potentials that are learned mixtures of the inputs of other steps."""

import math
from collections.abc import Callable, Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, PRNGKeyArray

from .._elsewhere import answering
from .._parameter import Fixed, Logistic, acting, as_parameter, parameter
from ..functional.surrogate import SuperSpike, emit
from ._filter import Parameter
from ._layer import StatefulLayer
from ._spiking import ELSEWHERE_FIRING, check_spike_fn, in_activation_dtype, in_state_dtype

_ELSEWHERE = ELSEWHERE_FIRING | {
    "T": "`steps`, of `snn.PSN`,",
    "num_steps": "`steps`, of `snn.PSN`,",
    "k": "`order`",
    "exp_init": "how `snn.SlidingPSN` always starts",
    "lambda_init": "not needed, as the mask of `order` is hard from the first step on,",
    "step_mode": "the plan of the call, `model(states, xs, plan=...)`,",
    "backend": "not needed",
    "decay_constants": "not needed, as the weights are learned,",
    "tau": "not needed, as the weights are learned,",
    "beta": "not needed, as the weights are learned,",
    "reset": "not needed, as nothing is reset,",
}
"""What SpikingJelly and others call the arguments, and what they are here."""


class PSN(StatefulLayer):
    r"""Parallel spiking neurons: the potential of each step is a learned mixture of the inputs of all steps.

    $$v_t = \sum_{t'} W_{t t'}\, x_{t'}, \qquad s_t = [v_t \ge \theta_t]$$

    without a reset. One product for a whole sequence, of `steps` steps exactly; the future acts on the past, so it is
    refused, by name, where steps come one at a time. With `order=k` it is the masked PSN: $W_{t t'} = 0$ unless
    $t - k < t' \le t$. For single steps and sequences of any length there is `snn.SlidingPSN`.

    Source: W. Fang et al. 2023, arXiv:2304.12760.
    """

    weight: Array
    spike_fn: Callable[[Array], Array]
    order: int | None = eqx.field(static=True)
    threshold: Parameter = parameter()

    @answering("snn.PSN", _ELSEWHERE)
    def __init__(
        self,
        steps: int,
        *,
        order: int | None = None,
        threshold: Parameter | None = None,
        spike_fn: Callable[[Array], Array] | None = None,
        key: PRNGKeyArray,
    ):
        r"""**Arguments:**

        - `steps`: the length of the sequences, 1 or more.
        - `order`: the number of inputs that act on a potential, the newest and those before it. Default: all, also
            those that come later.
        - `threshold`: $\theta$: an array with a value for each step or one for all (trained), or a number (a constant).
            Default: ones, trained.
        - `spike_fn`: the surrogate. Default `surrogate.SuperSpike()`.
        - `key`: draws $W$, uniformly from $\pm 1/\sqrt{\text{steps}}$.
        """
        _check_count("snn.PSN", "steps", steps)
        if order is not None:
            _check_count("snn.PSN", "order", order)
        self.weight = jr.uniform(key, (steps, steps), minval=-1.0, maxval=1.0) / math.sqrt(steps)
        self.order = order
        self.threshold = as_parameter("snn.PSN", "threshold", jnp.ones(steps) if threshold is None else threshold)
        shape = _shape_of(self.threshold)
        if shape not in ((), (steps,)):
            raise ValueError(
                f"`snn.PSN`: `threshold` must be one for all steps or have the shape ({steps},), got {shape}."
            )
        self.spike_fn = SuperSpike() if spike_fn is None else spike_fn
        check_spike_fn("snn.PSN", self.spike_fn, self.threshold)

    @property
    def whole_sequence(self) -> bool:
        """`True`: see `snn.StatefulLayer`."""
        return True

    @property
    def for_single_steps(self) -> str:
        return "For single steps and pieces there is `snn.SlidingPSN`, which mixes the last inputs alone."

    def init_state(self, in_shape: Sequence[int], key: PRNGKeyArray | None = None) -> None:
        """None: there is no state."""

    def __call__(self, state: None, x: Array, *, key: PRNGKeyArray | None = None) -> tuple[None, Array]:
        """The first step of a sequence that is silent after it; containers infer shapes by this, and call `over_time`.

        **Arguments:** `x`: an array of any shape. **Returns:** `None`, and the spikes, of the shape and dtype of `x`.
        """
        steps = len(self.weight)
        xs = jnp.zeros((steps, *jnp.shape(x)), jnp.result_type(x)).at[0].set(x)
        keys = None if key is None else jr.split(key, steps)
        return None, self.over_time(state, xs, keys=keys)[1][0]

    def over_time(self, state: None, xs: Array, *, keys: Array | None = None) -> tuple[None, Array]:
        """All steps, in one product. **Arguments** and **returns** as for every layer."""
        steps = len(self.weight)
        if xs.shape[0] != steps:
            raise ValueError(
                f"`snn.PSN`: it mixes the steps of sequences of {steps} (`steps={steps}`), got one of {xs.shape[0]}. "
                "Give sequences of that length, or take `snn.SlidingPSN`, which runs on any."
            )
        weight = self.weight
        if self.order is not None:
            weight = jnp.tril(jnp.triu(weight, 1 - self.order))
        v = jnp.tensordot(weight, in_state_dtype(xs, weight), 1)
        threshold = acting(self.threshold, v.dtype)
        return None, _spikes(self.spike_fn, v - threshold.reshape(-1, *(1,) * (v.ndim - 1)), keys, xs)


class SlidingPSN(StatefulLayer):
    r"""Parallel spiking neurons with a window: the potential is a learned mixture of the last inputs.

    $$v_t = \sum_{i=0}^{k-1} w_i\, x_{t-i}, \qquad s_t = [v_t \ge \theta], \qquad x_{t<0} = 0$$

    without a reset. The weights are the same in every step and for all neurons, and start at $w_i = 2^{-i}$.

    Source: W. Fang et al. 2023, arXiv:2304.12760.
    """

    weight: Array
    spike_fn: Callable[[Array], Array]
    threshold: Parameter = parameter()

    @answering("snn.SlidingPSN", _ELSEWHERE)
    def __init__(
        self,
        order: int,
        *,
        threshold: Parameter | None = None,
        spike_fn: Callable[[Array], Array] | None = None,
    ):
        r"""**Arguments:**

        - `order`: $k$, the number of inputs that act on a potential, 1 or more.
        - `threshold`: $\theta$: a scalar array (trained) or a number (a constant). Default: one, trained.
        - `spike_fn`: the surrogate. Default `surrogate.SuperSpike()`.
        """
        _check_count("snn.SlidingPSN", "order", order)
        self.weight = 0.5 ** jnp.arange(order, dtype=float)
        self.threshold = as_parameter("snn.SlidingPSN", "threshold", jnp.ones(()) if threshold is None else threshold)
        if _shape_of(self.threshold) != ():
            raise ValueError(
                f"`snn.SlidingPSN`: `threshold` must be one for all, got an array of shape {_shape_of(self.threshold)}."
            )
        self.spike_fn = SuperSpike() if spike_fn is None else spike_fn
        check_spike_fn("snn.SlidingPSN", self.spike_fn, self.threshold)

    def init_state(self, in_shape: Sequence[int], key: PRNGKeyArray | None = None) -> Array:
        """The last `order - 1` inputs, the oldest first: zeros."""
        return jnp.zeros((len(self.weight) - 1, *in_shape))

    def __call__(self, state: Array, x: Array, *, key: PRNGKeyArray | None = None) -> tuple[Array, Array]:
        """**Arguments:** `x`: an array of any shape; `key`: for a `spike_fn` that draws.

        **Returns:** the new state, and the spikes, of the shape and dtype of `x`.
        """
        state, outs = self.over_time(state, jnp.asarray(x)[None], keys=None if key is None else key[None])
        return state, outs[0]

    def over_time(self, state: Array, xs: Array, *, keys: Array | None = None) -> tuple[Array, Array]:
        """All steps at once. **Arguments** and **returns** as for every layer."""
        line = jnp.concatenate([state, in_state_dtype(xs, state)])
        weight, steps, order = self.weight.astype(state.dtype), xs.shape[0], len(self.weight)
        v = sum(weight[i] * line[order - 1 - i : order - 1 - i + steps] for i in range(order))
        return line[steps:], _spikes(self.spike_fn, v - acting(self.threshold, state.dtype), keys, xs)


def _spikes(spike_fn: Callable, above: Array, keys: Array | None, xs: Array) -> Array:
    spikes = jax.vmap(lambda above, key: emit(spike_fn, above, key)[0])(above, keys)
    return in_activation_dtype(spikes, xs)


def _shape_of(threshold: float | Array | Fixed | Logistic) -> tuple[int, ...]:
    (leaf,) = jax.tree.leaves(threshold)
    return jnp.shape(leaf)


def _check_count(owner: str, name: str, value: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ValueError(f"`{owner}`: `{name}` must be a number of steps, 1 or more, got {value!r}.")
