"""Gated cells that spike: long short-term memory, its convolutional form, and gated recurrent units."""

import abc
from collections.abc import Sequence
from typing import Any, Unpack

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray

from .._parameter import Interval, as_parameter
from . import _loop, _node
from ._filter import split
from ._layer import name_of
from ._node import Nest
from ._reset import NoReset
from ._spiking import Firing, SpikingLayer, in_activation_dtype, in_state_dtype

REACHABLE = Interval(0.0, 0.99, "The hidden potential of a gated cell lies between -1 and 1, and never reaches 1.")


class LSTMState(eqx.Module):
    """The state of a spiking LSTM: the hidden potential `h`, the memory `c` and the `countdown`."""

    h: Array
    c: Array
    countdown: Array | None


class GRUState(eqx.Module):
    """The state of a spiking GRU: the hidden potential `h` and the `countdown`."""

    h: Array
    countdown: Array | None


class _Gated(SpikingLayer, Nest):
    """A cell whose gates hear the input through one layer and the hidden potential through another."""

    input: Any = eqx.field(kw_only=True)
    hidden: Any = eqx.field(kw_only=True)

    @property
    def children(self) -> tuple[Any, ...]:
        return self.input, self.hidden

    @abc.abstractmethod
    def advance(self, state: Any, driven: Array, key: PRNGKeyArray | None) -> tuple[Any, Array]:
        """One step, from the input's part of the gates."""

    def __call__(self, state: Any, x: Array, *, key: PRNGKeyArray | None = None) -> tuple[Any, Array]:
        """**Arguments:** `x`: the input, of the shape that the gates take; `key`: for a `spike_fn` that draws.

        **Returns:** the new state, and the spikes of the hidden potential, in the dtype of input and weights.
        """
        return self.advance(state, self.input(x), key)

    def over_time(self, state: Any, xs: Array, *, keys: Array | None = None) -> tuple[Any, Array]:
        """All steps: the input's part of the gates at once, and the gradients of the weights out of the loop."""

        def step(layer, state, driven_and_key):
            driven, key = driven_and_key
            return layer.advance(state, driven, key)

        in_loop = eqx.tree_at(lambda layer: layer.input, self, None)
        return _loop.scan(step, in_loop, state, (_node.over_steps(self.input, xs, None), keys))

    def _heard(self, h: Array, driven: Array) -> Array:
        """The hidden potential's part of the gates, in the dtype of the input's."""
        return self.hidden(h.astype(driven.dtype))

    def _rest(self, in_shape: Sequence[int], key: PRNGKeyArray | None, takes: tuple, parts: int) -> Array:
        """The first hidden potential, for inputs of a shape that is like `takes`; `parts` is the number of gates."""
        in_shape = tuple(in_shape)
        if len(in_shape) != len(takes) or in_shape[0] != takes[0]:
            raise ValueError(
                f"`{name_of(self)}`: it takes inputs of shape ({', '.join(map(str, takes))}{',' * (len(takes) == 1)}), "
                f"got {in_shape}."
            )
        gates = jax.eval_shape(self.input, jax.ShapeDtypeStruct(in_shape, self.input.weight.dtype))
        return self.init_potential((gates.shape[0] // parts, *gates.shape[1:]), key)

    def _set_firing(self, firing: Firing, shape: Sequence[int] | None, key: PRNGKeyArray):
        threshold = firing.get("threshold", 0.1)
        firing["threshold"] = as_parameter(name_of(self), "threshold", threshold, REACHABLE, shape=shape, key=key)
        firing.setdefault("reset", NoReset())
        super().__init__(**firing)


class _LSTM(_Gated):
    """What the vector and the map form of the LSTM share: all but their layers."""

    def advance(self, state: LSTMState, driven: Array, key: PRNGKeyArray | None) -> tuple[LSTMState, Array]:
        gates = in_state_dtype(driven + self._heard(state.h, driven), state.h)
        i, f, g, o = jnp.split(gates, 4)
        c = jax.nn.sigmoid(f) * state.c + jax.nn.sigmoid(i) * jnp.tanh(g)
        spike, h, countdown = self.fire(jax.nn.sigmoid(o) * jnp.tanh(c), state.h, state.countdown, key=key)
        return LSTMState(h, c, countdown), in_activation_dtype(spike, driven)


class SpikingLSTM(_LSTM):
    r"""Long short-term memory whose output is a spike of its hidden potential.

    $$(i, f, g, o) = W x_t + b + U h_{t-1}, \qquad c_t = \sigma(f)\,c_{t-1} + \sigma(i) \tanh(g)$$

    $$h_t = \sigma(o) \tanh(c_t), \qquad s_t = [h_t \ge \theta]$$

    after which `reset` acts on $h_t$; by default there is none. The gates hear the hidden potential, not the spike:
    `eqx.nn.LSTMCell` with a spike at its output, the form of snnTorch's `SLSTM`.

    Source: S. Hochreiter and J. Schmidhuber 1997, doi:10.1162/neco.1997.9.8.1735, with the forget gate of F. Gers et
    al. 2000, doi:10.1162/089976600300015015; J. Eshraghian et al. 2023, doi:10.1109/JPROC.2023.3308088.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        use_bias: bool = True,
        *,
        key: PRNGKeyArray,
        **firing: Unpack[Firing],
    ):
        r"""**Arguments:**

        - `input_size`, `hidden_size`: the sizes of the input and of the output, both vectors.
        - `use_bias`: whether the gates have a bias $b$. Default `True`.
        - `key`: draws the weights, those of two `eqx.nn.Linear`.
        - `threshold`: $\theta$ in (0, 0.99], for $h_t$ never reaches 1. Default 0.1.
        - `reset`, `refractory`, `spike_fn`, `init_fn` (of $h$): see `snn.SpikingLayer`; `reset` is `snn.NoReset()` by
            default.
        """
        keys = split(key, 3)
        self.input = eqx.nn.Linear(input_size, 4 * hidden_size, use_bias, key=keys[0])
        self.hidden = eqx.nn.Linear(hidden_size, 4 * hidden_size, False, key=keys[1])
        self._set_firing(firing, (hidden_size,), keys[2])

    def init_state(self, in_shape: Sequence[int], key: PRNGKeyArray | None = None) -> LSTMState:
        """The state without potential and memory, for inputs of shape `(input_size,)`."""
        h = self._rest(in_shape, key, (self.input.in_features,), 4)
        return LSTMState(h, jnp.zeros_like(h), self.init_countdown(h.shape))


class SpikingConvLSTM2d(_LSTM):
    r"""Convolutional long short-term memory whose output is a spike of its hidden potential.

    $$(i, f, g, o) = W * x_t + b + U * h_{t-1}, \qquad c_t = \sigma(f)\,c_{t-1} + \sigma(i) \tanh(g)$$

    $$h_t = \sigma(o) \tanh(c_t), \qquad s_t = [h_t \ge \theta]$$

    after which `reset` acts on $h_t$; by default there is none. The convolution $U$ keeps the size of the maps, $W$ may
    change it by its stride and padding. snnTorch's `SConv2dLSTM`, whose pooling is a layer of its own here.

    Source: X. Shi et al. 2015, arXiv:1506.04214, without the peepholes; J. Eshraghian et al. 2023,
    doi:10.1109/JPROC.2023.3308088.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | Sequence[int],
        stride: int | Sequence[int] = 1,
        padding: str | int | Sequence[int] | Sequence[tuple[int, int]] = "SAME",
        use_bias: bool = True,
        *,
        shape: Sequence[int] | None = None,
        key: PRNGKeyArray,
        **firing: Unpack[Firing],
    ):
        r"""**Arguments:**

        - `in_channels`, `out_channels`: the channels of the input and of the output.
        - `kernel_size`: the size of both kernels.
        - `stride`, `padding`: of $W$, as in `eqx.nn.Conv2d`. Default 1 and `"SAME"`, which keep the size of the maps.
        - `use_bias`: whether the gates have a bias $b$, one for each channel. Default `True`.
        - `shape`: the shape of the output, or `(out_channels, 1, 1)`, for arguments that are initialisers.
        - `key`: draws the weights, those of two `eqx.nn.Conv2d`.
        - `threshold`: $\theta$ in (0, 0.99], for $h_t$ never reaches 1. Default 0.1.
        - `reset`, `refractory`, `spike_fn`, `init_fn` (of $h$): see `snn.SpikingLayer`; `reset` is `snn.NoReset()` by
            default.
        """
        keys = split(key, 3)
        gates = 4 * out_channels
        self.input = eqx.nn.Conv2d(in_channels, gates, kernel_size, stride, padding, use_bias=use_bias, key=keys[0])
        same = [((n - 1) // 2, n // 2) for n in self.input.kernel_size]
        self.hidden = eqx.nn.Conv2d(out_channels, gates, kernel_size, padding=same, use_bias=False, key=keys[1])
        self._set_firing(firing, shape, keys[2])

    def init_state(self, in_shape: Sequence[int], key: PRNGKeyArray | None = None) -> LSTMState:
        """The state without potential and memory, for inputs of shape `(in_channels, height, width)`."""
        h = self._rest(in_shape, key, (self.input.in_channels, "height", "width"), 4)
        return LSTMState(h, jnp.zeros_like(h), self.init_countdown(h.shape))


class SpikingGRU(_Gated):
    r"""Gated recurrent units whose output is a spike of their hidden potential.

    $$r = \sigma(W_r x_t + b_r + U_r h_{t-1}), \qquad z = \sigma(W_z x_t + b_z + U_z h_{t-1})$$

    $$n = \tanh\big(W_n x_t + b_n + r\,(U_n h_{t-1} + d_n)\big), \qquad h_t = (1 - z)\,n + z\,h_{t-1}, \qquad
      s_t = [h_t \ge \theta]$$

    after which `reset` acts on $h_t$; by default there is none. The gates hear the hidden potential, not the spike:
    `eqx.nn.GRUCell` with a spike at its output, as `SpikingLSTM` is to `eqx.nn.LSTMCell`. $U$ has a bias for all three,
    as in PyTorch; those for $r$ and $z$ add to $b$.

    Source: K. Cho et al. 2014, arXiv:1406.1078, with the reset gate after the product.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        use_bias: bool = True,
        *,
        key: PRNGKeyArray,
        **firing: Unpack[Firing],
    ):
        r"""**Arguments:**

        - `input_size`, `hidden_size`: the sizes of the input and of the output, both vectors.
        - `use_bias`: whether the gates have the biases $b$ and $d$. Default `True`.
        - `key`: draws the weights, those of two `eqx.nn.Linear`.
        - `threshold`: $\theta$ in (0, 0.99], for $h_t$ never reaches 1. Default 0.1.
        - `reset`, `refractory`, `spike_fn`, `init_fn` (of $h$): see `snn.SpikingLayer`; `reset` is `snn.NoReset()` by
            default.
        """
        keys = split(key, 3)
        self.input = eqx.nn.Linear(input_size, 3 * hidden_size, use_bias, key=keys[0])
        self.hidden = eqx.nn.Linear(hidden_size, 3 * hidden_size, use_bias, key=keys[1])
        self._set_firing(firing, (hidden_size,), keys[2])

    def init_state(self, in_shape: Sequence[int], key: PRNGKeyArray | None = None) -> GRUState:
        """The state without potential, for inputs of shape `(input_size,)`."""
        h = self._rest(in_shape, key, (self.input.in_features,), 3)
        return GRUState(h, self.init_countdown(h.shape))

    def advance(self, state: GRUState, driven: Array, key: PRNGKeyArray | None) -> tuple[GRUState, Array]:
        heard = in_state_dtype(self._heard(state.h, driven), state.h)
        (r, z, n), (heard_r, heard_z, heard_n) = (
            jnp.split(gates, 3) for gates in (in_state_dtype(driven, state.h), heard)
        )
        new = jnp.tanh(n + jax.nn.sigmoid(r + heard_r) * heard_n)
        h = new + jax.nn.sigmoid(z + heard_z) * (state.h - new)
        spike, h, countdown = self.fire(h, state.h, state.countdown, key=key)
        return GRUState(h, countdown), in_activation_dtype(spike, driven)
