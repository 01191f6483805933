"""A chain of layers."""

from collections.abc import Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray, PyTree

from . import _node
from ._bytes import Bytes, numbers
from ._container import Container, States, expand_children
from ._node import check_child, fold, fold_each


class Sequential(Container):
    """Layers one after the other, each taking what the one before gives, in the same time step.

        model = snn.Sequential(eqx.nn.Linear(700, 128, key=key), snn.LIF([0.95, 0.9]))
        states = model.init_state((700,))
        states, outs = model(states, spikes)       # spikes: (time, 700); outs[-1]: (time, 128)

    The layers are `snn.StatefulLayer`s, Equinox modules without state (a plain function goes in as `eqx.nn.Lambda`) and
    containers, in any order. `outs` is a tuple with an entry for each. A chain has `.layers`, a length, and can be
    indexed, sliced and iterated over.
    """

    layers: tuple[Any, ...]

    def __init__(self, *layers: Any):
        """**Arguments:** the layers, in order; at least one."""
        if not layers or isinstance(layers[0], (list, tuple)):
            raise TypeError(
                f"`snn.Sequential` takes its layers one by one, `snn.Sequential(first, second)`, got {layers}."
            )
        for i, layer in enumerate(layers):
            check_child("snn.Sequential", f"layer {i}", layer)
        self.layers = layers

    @property
    def children(self) -> tuple[Any, ...]:
        return self.layers

    def consumers(self) -> dict[str, list[Any]]:
        return {"input": [self.layers[0]]}

    def begin(self, x: jax.ShapeDtypeStruct, key: PRNGKeyArray | None) -> tuple[States, jax.ShapeDtypeStruct]:
        in_shape = x.shape
        states = []
        for i, layer in enumerate(self.layers):
            state, x = _node.begin("snn.Sequential", f"layer {i}", layer, x, fold(key, i))
            states.append(state)
        return States(tuple(states), jnp.zeros((), jnp.int32), in_shape), x

    def advance(
        self, states: States, x: Array, key: PRNGKeyArray | None, request: PyTree
    ) -> tuple[States, Array, PyTree]:
        self._check_count(states)
        x = self.cast(x)
        key = fold(key, states.step)
        new, emissions = [], []
        for i, layer in enumerate(self.layers):
            state, x, emission = _node.advance(
                "snn.Sequential", f"layer {i}", layer, states.layers[i], x, fold(key, i), request[i]
            )
            new.append(state)
            emissions.append(emission)
        return States(tuple(new), states.step + 1, states.in_shape), x, tuple(emissions)

    def sweep(
        self, states: States, xs: Array | Bytes, keys: Array | None, request: PyTree
    ) -> tuple[States, Array, PyTree]:
        steps = xs.shape[0]
        xs = self.receive(xs)
        keys = fold_each(keys, states.step + jnp.arange(steps, dtype=jnp.int32))
        new, emissions = [], []
        for i, layer in enumerate(self.layers):
            state, xs, emission = _node.sweep(
                "snn.Sequential", f"layer {i}", layer, states.layers[i], xs, fold_each(keys, i), request[i]
            )
            new.append(state)
            emissions.append(emission)
        return States(tuple(new), states.step + steps, states.in_shape), numbers(xs), tuple(emissions)

    def expand(self, collect: PyTree) -> tuple[PyTree, ...]:
        n = len(self.layers)
        if isinstance(collect, Mapping):
            collect = {i + n if isinstance(i, int) and -n <= i < 0 else i: entry for i, entry in collect.items()}
        return tuple(expand_children("snn.Sequential", collect, dict(enumerate(self.layers))).values())

    def _check_count(self, states: States) -> None:
        if len(states.layers) != len(self.layers):
            raise ValueError(
                f"`snn.Sequential` has {len(self.layers)} layers, but these states are of a network with "
                f"{len(states.layers)}. Make states with this network's own `init_state({states.in_shape})`."
            )

    def __getitem__(self, index: int | slice) -> Any:
        """The layer at `index`, or the chain of the layers in a slice."""
        return Sequential(*self.layers[index]) if isinstance(index, slice) else self.layers[index]

    def __len__(self) -> int:
        return len(self.layers)

    def __iter__(self) -> Iterator[Any]:
        return iter(self.layers)
