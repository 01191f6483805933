"""A table of a network: what its layers hold, give and cost."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.random as jr
import numpy as np
from jaxtyping import Array, PyTree

from .._parameter import trainable
from ._batch_norm import AbstractBatchNorm
from ._container import Container
from ._layer import name_of
from ._node import Nest
from ._record import (
    AbstractObserver,
    Path,
    Record,
    Recorder,
    children_of,
    holds_layers,
    records_of,
    replaced,
    written,
)
from ._table import table
from ._weight_standardisation import WeightStandardised


class _State(AbstractObserver):
    """Notes the first state."""

    def init(self, layer: Any, state: PyTree, out_shape: tuple[int, ...]) -> PyTree:
        return state

    def update(self, values: PyTree, layer: Any, xs: Array, outs: Array, state: PyTree, keys: Array | None) -> PyTree:
        return values


@dataclasses.dataclass(frozen=True)
class LayerSummary:
    """A line of a `Summary`: a layer; or a container or a layer of layers, without what the layers in it have.

    `trained` is the number of its trained parameters, `fixed` that of others in arrays, `state` the number of values
    that one example carries from step to step. `out_shape` is the shape of the output at one step, `None` for the
    network itself. `operations` are the multiplications with additions of matrix
    products and convolutions in a step of one example, as if all inputs were spikes; `None` where that is not known.
    """

    name: str
    kind: str
    trained: int
    fixed: int
    state: int
    out_shape: tuple[int, ...] | None
    operations: int | None


@dataclasses.dataclass(frozen=True)
class Summary:
    """The `layers` of a network in the order of computation, each container before what it holds. Printing it shows a
    table.
    """

    layers: tuple[LayerSummary, ...]

    @property
    def trained(self) -> int:
        """The number of trained parameters."""
        return sum(layer.trained for layer in self.layers)

    @property
    def fixed(self) -> int:
        """The number of parameters in arrays that are not trained."""
        return sum(layer.fixed for layer in self.layers)

    @property
    def state(self) -> int:
        """The number of values that one example carries from step to step."""
        return sum(layer.state for layer in self.layers)

    @property
    def operations(self) -> int:
        """The multiplications with additions of a step of one example, of the layers of which they are known."""
        return sum(layer.operations or 0 for layer in self.layers)

    def __str__(self) -> str:
        header = ("layer", "kind", "trained", "fixed", "state", "output", "operations per step")
        rows = [
            (
                layer.name or "(network)",
                layer.kind,
                f"{layer.trained:,}",
                f"{layer.fixed:,}",
                f"{layer.state:,}",
                "" if layer.out_shape is None else str(layer.out_shape),
                "not known" if layer.operations is None else f"{layer.operations:,}",
            )
            for layer in self.layers
        ]
        totals = ("total", "", *(f"{n:,}" for n in (self.trained, self.fixed, self.state)), "", f"{self.operations:,}")
        return table(header, rows, totals, left=(0, 1, 5))


def summary(model: Container, in_shape: Sequence[int] | Mapping[str, Sequence[int]]) -> Summary:
    """What each layer of a network holds, gives and costs; `print` it.

        print(snn.summary(model, (2, 32, 32)))

    Names are those that `snn.calibrate` and all messages use: the indices and names on the way to a layer, such as
    `2.0.neuron`. Nothing is computed.

    **Arguments:** `model`: a container; `in_shape`: the shape of one input at one time step, as for `init_state`.

    **Returns:** a `Summary`: data, a line for each layer.
    """
    if not isinstance(model, Container):
        raise TypeError(f"`snn.summary`: the model must be a `snn.Sequential` or a `snn.Graph`, got {type(model)}.")
    # At first as it is: errors then name its own layers, and no recorders.
    jax.eval_shape(lambda key: model.init_state(in_shape, key), jr.key(0))
    recorded = _recorded(model, ())
    states = jax.eval_shape(lambda key: recorded.init_state(in_shape, key), jr.key(0))
    records = records_of(states)
    sizes = {path: _size(record.values) for path, record in records.items()} | {(): _size(states)}
    lines: list[LayerSummary] = []

    def add(path: Path, node: Any) -> int:
        """The lines of a node and of what it holds; gives the size of its state."""
        place = len(lines)
        inside = [(path + inner, child) for inner, child in _children(node)]
        of_children = sum(add(*one) for one in inside)
        state = sizes[path]
        counts = [_parameters(child) for _, child in inside]
        trained, fixed = (n - sum(each) for n, *each in zip(_parameters(node), *counts, strict=True))
        record = records.get(path)
        out_shape = None if record is None else record.out_shape
        operations = 0 if inside else _operations(node, record)
        line = LayerSummary(written(path), name_of(node), trained, fixed, state - of_children, out_shape, operations)
        lines.insert(place, line)
        return state

    add((), model)
    return Summary(tuple(lines))


def _children(node: Any) -> list[tuple[Path, Any]]:
    return children_of(node) if holds_layers(node) else []


def _recorded(node: Any, path: Path) -> Any:
    """`node` with recorders around it and all that it holds."""
    new = {inner: _recorded(child, path + inner) for inner, child in _children(node)}
    if new:
        node = replaced(node, new)
    return Recorder(node, path, _State()) if path else node


def _size(state: PyTree) -> int:
    leaves = jax.tree.leaves(state, is_leaf=lambda node: isinstance(node, Record))
    return sum(math.prod(leaf.shape) for leaf in leaves if not isinstance(leaf, Record))


def _parameters(node: Any) -> tuple[int, int]:
    """The numbers of trained parameters and of others in arrays."""
    marked = zip(jax.tree.leaves(node), jax.tree.leaves(trainable(node)), strict=True)
    sizes = [(is_trained, leaf.size) for leaf, is_trained in marked if isinstance(leaf, (np.ndarray, jax.Array))]
    return sum(n for is_trained, n in sizes if is_trained), sum(n for is_trained, n in sizes if not is_trained)


def _operations(layer: Any, record: Record | None) -> int | None:
    """The multiplications with additions of matrix products and convolutions in a step."""
    if isinstance(layer, (eqx.nn.WeightNorm, WeightStandardised)):
        return _operations(layer.layer, record)
    if isinstance(layer, eqx.nn.Linear):
        return layer.weight.size
    if isinstance(layer, eqx.nn.MLP):
        return sum(one.weight.size for one in layer.layers)
    if isinstance(layer, (eqx.nn.Embedding, AbstractBatchNorm)):
        return 0
    if record is None:
        return None
    if isinstance(layer, Nest):
        parts = [_operations(child, record) for child in layer.children]
        return None if None in parts else sum(n for n in parts if n is not None)
    if isinstance(layer, eqx.nn.Conv):
        return layer.weight.size * math.prod(record.out_shape[1:])
    if isinstance(layer, eqx.nn.ConvTranspose):
        return layer.weight.size * math.prod(record.in_shape[1:])
    shapes = [leaf.shape for leaf in jax.tree.leaves(layer) if eqx.is_array(leaf)]
    return 0 if all(_is_elementwise(shape, record.in_shape) for shape in shapes) else None


def _is_elementwise(shape: tuple[int, ...], in_shape: tuple[int, ...]) -> bool:
    """Whether an array of this shape may be one with a value for each input, or for each channel."""
    axes = zip(reversed(shape), reversed(in_shape), strict=False)
    return len(shape) < 2 or (len(shape) <= len(in_shape) and all(n in (1, m) for n, m in axes))
