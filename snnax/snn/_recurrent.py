"""Neurons that hear themselves."""

from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray, PyTree

from .._parameter import Fixed, as_parameter, check_shapes
from . import _loop, _node
from ._node import Nest, check_child, fold
from ._recurrent_loop import returning_loop
from ._scale import Scale
from ._spiking import in_activation_dtype


class RecurrentState(eqx.Module):
    """The states of the `neuron` and of the `synapse` (`None` where it has none), and the last output `out`."""

    neuron: PyTree
    synapse: PyTree
    out: Array


class Recurrent(Nest):
    r"""Neurons whose output comes back to them through a synapse, one step later.

    $$y_t = \text{neuron}\big(x_t + \text{synapse}(y_{t-1})\big), \qquad y_{-1} = 0$$

    The delay lies before the synapse, so a bias of the synapse acts in the first step. Any neuron (or container) with
    any layer: all to all, on feature maps, one to one.

        snn.Recurrent(snn.LIF([0.95, 0.9]), eqx.nn.Linear(128, 128, key=key))
        snn.Recurrent(snn.LIF([0.95, 0.9]), eqx.nn.Conv2d(16, 16, 3, padding=1, key=key))
        snn.Recurrent(snn.SimpleLIF(0.9), jnp.full((128,), -0.5))

    Equinox draws the weights of a linear layer between $\pm 1/\sqrt n$, so with a share $r$ of $n$ neurons firing, what
    comes back to a neuron has, over the draw, mean 0 and standard deviation $\sqrt{(r + 1/n)/3}$ (the second part is
    that of the bias): recurrence acts from the first step of training on.
    """

    neuron: Any
    synapse: Any

    def __init__(self, neuron: Any, synapse: Any):
        """**Arguments:**

        - `neuron`: a layer or a container whose output has the shape that the synapse takes.
        - `synapse`: a layer, a container or an Equinox module without state that maps the output to the shape of the
            input; or a weight for each neuron: a number (a constant) or an array that broadcasts to the output
            (trained).
        """
        if isinstance(synapse, Fixed) or not callable(synapse):
            synapse = Scale(as_parameter("snn.Recurrent", "synapse", synapse))
        check_child("snn.Recurrent", "the neuron", neuron)
        check_child("snn.Recurrent", "the synapse", synapse)
        self.neuron = neuron
        self.synapse = synapse

    @property
    def children(self) -> tuple[Any, ...]:
        return self.neuron, self.synapse

    def init_state(self, in_shape: Sequence[int], key: PRNGKeyArray | None = None) -> RecurrentState:
        """The states of neuron and synapse, and an output of zeros."""
        in_shape = tuple(in_shape)
        children = (self.synapse, self.neuron)
        x = jax.ShapeDtypeStruct(in_shape, _node.input_dtype(children[1:], children))
        neuron, out = _node.begin("snn.Recurrent", "the neuron", self.neuron, x, fold(key, 0))
        if isinstance(self.synapse, Scale):
            check_shapes("snn.Recurrent", self.synapse, out.shape)
        synapse, feedback = _node.begin("snn.Recurrent", "the synapse", self.synapse, out, fold(key, 1))
        if feedback.shape != in_shape:
            raise ValueError(
                f"`snn.Recurrent`: the synapse must map the neurons' output of shape {out.shape} to the shape of the "
                f"input, {in_shape}, but gives {feedback.shape}."
            )
        return RecurrentState(neuron, synapse, jnp.zeros(out.shape, out.dtype))

    def __call__(
        self, state: RecurrentState, x: Array, *, key: PRNGKeyArray | None = None
    ) -> tuple[RecurrentState, Array]:
        """**Arguments:** `x`: the input, of the neurons' shape. **Returns:** the new state, and the neurons' output."""
        last = in_activation_dtype(state.out, x)
        synapse, feedback, _ = _node.advance(
            "snn.Recurrent", "the synapse", self.synapse, state.synapse, last, fold(key, 1), _node.nothing(self.synapse)
        )
        neuron, out, _ = _node.advance(
            "snn.Recurrent",
            "the neuron",
            self.neuron,
            state.neuron,
            x + feedback,
            fold(key, 0),
            _node.nothing(self.neuron),
        )
        return RecurrentState(neuron, synapse, out.astype(state.out.dtype)), out

    def over_time(self, state: RecurrentState, xs: Array, *, keys: Array | None = None) -> tuple[RecurrentState, Array]:
        """All steps, by a kernel where there is one, and with the gradients of the weights taken out of the loop.

        **Arguments** and **returns** as for every layer.
        """
        _node.refuse_pieces("snn.Recurrent", "the loop", self)
        done = returning_loop(self.neuron, self.synapse, state.neuron, state.out, xs)
        if done is not None:
            neuron, outs = done
            return RecurrentState(neuron, None, outs[-1]), outs

        def step(layer, state, x_and_key):
            x, key = x_and_key
            return layer(state, x, key=key)

        return _loop.scan(step, self, state, (xs, keys))
