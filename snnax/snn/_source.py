"""Sources: layers whose spikes do not come from their input."""

from collections.abc import Callable, Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, PRNGKeyArray

from .._parameter import Fixed, Interval, acting, as_parameter, parameter
from ._filter import Parameter, is_shape
from ._layer import StatefulLayer

_PROBABILITY = Interval(0.0, 1.0, "From a rate in Hz: `rate * dt`.")


def _spikes_dtype(x: Array):
    dtype = jnp.asarray(x).dtype
    return dtype if jnp.issubdtype(dtype, jnp.inexact) else jnp.zeros(()).dtype


class PoissonSource(eqx.Module):
    r"""Fires at random, whatever its input: each neuron in each step with the probability $p$.

    Background activity for a network, as a node of a graph. Its input only tells the steps:

        net = snn.Graph(
            {
                "fc": eqx.nn.Linear(700, 128, key=k1),
                "noise": snn.PoissonSource(0.02, (128,)),
                "lif": snn.SimpleLIF(0.9),
            },
            [("input", "fc"), ("input", "noise"), ("fc", "lif"), ("noise", "lif")],
            outputs=("lif",),
        )
        states, outs = net(net.init_state((700,)), jnp.ones((10, 700)), k2)     # it draws from the key of the call

    For a short step this is a Poisson process. The gradient in a trained $p$ is that of the mean, $\partial s /
    \partial p = 1$.
    """

    shape: tuple[int, ...] = eqx.field(static=True)
    rate: Parameter = parameter(_PROBABILITY)

    def __init__(
        self,
        rate: Parameter | Callable,
        shape: Sequence[int] | None = None,
        *,
        key: PRNGKeyArray | None = None,
    ):
        """**Arguments:**

        - `rate`: $p$, the probability of a spike per time step, in [0, 1]; from a rate in Hz: `rate * dt`. A number is
            a constant, an array is trained, an initialiser `(key, shape, dtype)` draws one for each neuron.
        - `shape`: the shape of the output. Default: that of `rate`.
        - `key`: for a `rate` that is an initialiser.
        """
        owner = "snn.PoissonSource"
        if not is_shape(shape):
            raise ValueError(f"`{owner}`: `shape` must be a tuple of sizes such as (8, 8), got {shape}.")
        self.rate = as_parameter(owner, "rate", rate, _PROBABILITY, shape=shape, key=key)
        (own,) = {jnp.shape(leaf) for leaf in jax.tree.leaves(self.rate)}
        self.shape = own if shape is None else tuple(shape)
        pairs = zip(reversed(own), reversed(self.shape), strict=False)
        if len(own) > len(self.shape) or any(n not in (1, m) for n, m in pairs):
            raise ValueError(f"`{owner}`: a `rate` of shape {own} does not fit the `shape` {self.shape}.")

    def __call__(self, x: Array, *, key: PRNGKeyArray | None = None) -> Array:
        """**Arguments:** `x`: any input, of which only the dtype counts; `key`: draws the spikes.

        **Returns:** spikes, of the shape of the source, in the dtype of `x`.
        """
        if key is None:
            raise ValueError("`snn.PoissonSource` draws its spikes and needs a key: `model(states, xs, key)`.")
        rate = acting(self.rate, jnp.zeros(()).dtype, _PROBABILITY)
        spike = jr.bernoulli(key, jax.lax.stop_gradient(rate), self.shape).astype(rate.dtype)
        return (spike + (rate - jax.lax.stop_gradient(rate))).astype(_spikes_dtype(x))


class SourceState(eqx.Module):
    """The state of `SpikeSource`: the `step` that comes next."""

    step: Array


class SpikeSource(StatefulLayer):
    """Plays a train of spikes, step by step, whatever its input; then it is silent.

    A node of a graph that is not fed from outside; its input only tells the steps, as that of `snn.PoissonSource`.
    """

    train: Parameter = parameter()

    def __init__(self, train: np.ndarray | Array | Fixed):
        """**Arguments:** `train`: `(time, *shape)`. A floating array is trained (`snn.Fixed` of one is not); booleans
        and whole numbers are constants.
        """
        values = train.value if isinstance(train, Fixed) else train
        if not isinstance(values, (np.ndarray, jax.Array)) or values.ndim == 0 or len(values) == 0:
            raise TypeError(f"`snn.SpikeSource`: `train` must be an array of spikes, (time, *shape), got {train!r}.")
        floating = jnp.issubdtype(values.dtype, jnp.inexact)
        self.train = as_parameter("snn.SpikeSource", "train", train) if floating else jnp.asarray(train)

    def init_state(self, in_shape: Sequence[int], key: PRNGKeyArray | None = None) -> SourceState:
        """The beginning of the train, for inputs of any shape."""
        return SourceState(jnp.zeros((), jnp.int32))

    def __call__(self, state: SourceState, x: Array, *, key: PRNGKeyArray | None = None) -> tuple[SourceState, Array]:
        """**Arguments:** `x`: any input, of which only the dtype counts. `key` is ignored.

        **Returns:** the new state, and the spikes of this step, `shape`, in the dtype of `x`.
        """
        dtype = _spikes_dtype(x)
        train = acting(self.train, dtype)
        out = jax.lax.dynamic_index_in_dim(train, state.step, keepdims=False)
        return SourceState(state.step + 1), jnp.where(state.step < len(train), out, jnp.zeros((), dtype))
