"""Layers that note what goes through them: for statistics, initialisation, summaries and diagnoses.

A layer deep inside of a network (in a branch, a recurrence, a cycle) is not seen in `outs`. A `Recorder` in its place
does what it does and notes what an observer wants to know, in its state, with memory that does not grow with time.
"""

import abc
from collections.abc import Iterator, Mapping
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jax.tree_util import DictKey, GetAttrKey, SequenceKey
from jaxtyping import Array, PRNGKeyArray, PyTree

from . import _node
from ._bytes import Bytes, numbers
from ._container import Container
from ._graph import Graph
from ._layer import name_of
from ._node import Composite, Nest, axis_names
from ._spiking import SpikingLayer

Path = tuple[Any, ...]
"""Where a layer is in a network, in the words of `jax.tree_util`."""

_SAID_BY_THE_PARENT = ("layers", "nodes", "branches", "parallel")


def children_of(parent: Composite | Nest) -> list[tuple[Path, Any]]:
    """The children of a container or of a layer of layers and where they are in it, in the order of computation."""
    if isinstance(parent, Graph):
        names = [name for component in parent.topology.components for name in component]
        return [((GetAttrKey("nodes"), DictKey(name)), parent.nodes[name]) for name in names]
    ids = {id(child) for child in parent.children}
    leaves, _ = jax.tree_util.tree_flatten_with_path(parent, is_leaf=lambda node: id(node) in ids)
    return [(path, node) for path, node in leaves if id(node) in ids]


def holds_layers(node: Any) -> bool:
    """Whether `node` is a container or a layer of layers; a neuron made of layers is one layer."""
    return isinstance(node, (Composite, Nest)) and not isinstance(node, SpikingLayer)


def nodes_of(model: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """`model` and all containers and layers in it, each parent before its children, in the order of computation."""
    yield path, model
    if holds_layers(model):
        for inner, child in children_of(model):
            yield from nodes_of(child, path + inner)


def layers_of(model: Any) -> list[tuple[Path, Any]]:
    """The layers of `model` that hold no other layers, in the order of computation."""
    return [(path, node) for path, node in nodes_of(model) if not holds_layers(node)]


def written(path: Path) -> str:
    """A path as messages write it, by indices and names: `2.neuron`."""
    parts = []
    for key in path:
        if not isinstance(key, GetAttrKey):
            parts.append(str(key.idx if isinstance(key, SequenceKey) else key.key))
        elif key.name not in _SAID_BY_THE_PARENT:
            parts.append(key.name)
    return ".".join(parts)


def find(model: Any, path: Path) -> Any:
    """What is at `path`."""
    for key in path:
        if isinstance(key, GetAttrKey):
            model = getattr(model, key.name)
        else:
            model = model[key.idx if isinstance(key, SequenceKey) else key.key]
    return model


def replaced(model: Any, new: Mapping[Path, Any]) -> Any:
    """`model` with other layers at some paths."""
    ids = {id(find(model, path)) for path in new}
    return jax.tree_util.tree_map_with_path(
        lambda path, node: new.get(path, node), model, is_leaf=lambda node: id(node) in ids
    )


class Record(eqx.Module):
    """What an observer has noted of the layer at `path`, whose inputs and outputs have these shapes in a step."""

    values: PyTree
    path: Path = eqx.field(static=True)
    in_shape: tuple[int, ...] = eqx.field(static=True)
    out_shape: tuple[int, ...] = eqx.field(static=True)


class AbstractObserver(eqx.Module):
    """What is noted of a layer: `init` before the first step, `update` after a block of steps."""

    @abc.abstractmethod
    def init(self, layer: Any, state: PyTree, out_shape: tuple[int, ...]) -> PyTree:
        """The values before the first step, of a layer in its first state."""

    @abc.abstractmethod
    def update(self, values: PyTree, layer: Any, xs: Array, outs: Array, state: PyTree, keys: Array | None) -> PyTree:
        """The values after a block of steps: inputs and outputs are `(time, ...)`, the state is that at its end."""


class Recorder(Composite):
    """Does what `layer` does, and keeps a `Record` of it in its state."""

    layer: Any
    path: Path = eqx.field(static=True)
    observer: AbstractObserver

    @property
    def children(self) -> tuple[Any, ...]:
        return (self.layer,)

    def begin(self, x: jax.ShapeDtypeStruct, key: PRNGKeyArray | None) -> tuple[PyTree, jax.ShapeDtypeStruct]:
        state, out = _node.begin("snn.Recorder", written(self.path), self.layer, x, key)
        values = self.observer.init(self.layer, state, out.shape)
        return (state, Record(values, self.path, x.shape, out.shape)), out

    def advance(
        self, states: PyTree, x: Array, key: PRNGKeyArray | None, request: PyTree
    ) -> tuple[PyTree, Array, PyTree]:
        inner, record = states
        inner, out, emission = _node.advance("snn.Recorder", written(self.path), self.layer, inner, x, key, request)
        keys = None if key is None else key[None]
        return (inner, self._noted(record, x[None], out[None], inner, keys)), out, emission

    def sweep(
        self, states: PyTree, xs: Array | Bytes, keys: Array | None, request: PyTree
    ) -> tuple[PyTree, Array, PyTree]:
        inner, record = states
        xs = numbers(xs)
        inner, outs, emission = _node.sweep("snn.Recorder", written(self.path), self.layer, inner, xs, keys, request)
        return (inner, self._noted(record, xs, outs, inner, keys)), outs, emission

    def input_dtypes(self) -> dict[str, Any]:
        return {"input": _node.input_dtype(self.children, self.children)}

    def expand(self, collect: PyTree) -> PyTree:
        return self.layer.expand(collect) if isinstance(self.layer, Composite) else collect

    def _noted(self, record: Record, xs: Array, outs: Array, state: PyTree, keys: Array | None) -> Record:
        values = self.observer.update(record.values, self.layer, xs, outs, state, keys)
        return Record(values, record.path, record.in_shape, record.out_shape)


def recording(model: Container, observers: Mapping[Path, AbstractObserver]) -> Container:
    """`model` with a `Recorder` in the place of the layer at each path."""
    return replaced(model, {path: Recorder(find(model, path), path, one) for path, one in observers.items()})


def records_of(states: PyTree) -> dict[Path, Record]:
    """The records in the states of a network, by the path of their layer."""

    def is_record(node):
        return isinstance(node, Record)

    return {node.path: node for node in filter(is_record, jax.tree.leaves(states, is_leaf=is_record))}


def observe(
    model: Container, observers: Mapping[Path, AbstractObserver], batch: PyTree, key: PRNGKeyArray | None
) -> dict[Path, Record]:
    """Runs the network on a batch, `(batch, time, ...)`; the values of the records have the batch as axis 0."""
    return records_of(_last_states(recording(model, observers), batch, key))


@eqx.filter_jit
def _last_states(model: Container, batch: PyTree, key: PRNGKeyArray | None) -> PyTree:
    return run_batch(model, batch, key, {})[0]


def run_batch(model: Container, batch: PyTree, key: PRNGKeyArray | None, collect: PyTree) -> tuple[PyTree, PyTree]:
    """The last states and the `outs` of a batch of examples, `(batch, ...)`, each with a key of its own."""
    examples = jax.tree.leaves(batch)[0].shape[0]
    start, keys = None, None
    if key is not None:
        start, others = jr.split(key)
        keys = jr.split(others, examples)
    states = model.init_state(jax.tree.map(lambda a: a.shape[2:], batch), start)

    def run(xs, key):
        return model(states, xs, key, collect=collect)

    return jax.vmap(run, in_axes=(0, None if keys is None else 0), axis_name=batch_axis(model))(batch, keys)


def pooled(a: tuple, b: tuple) -> tuple:
    """The number, the mean and the sum of squares around it of two sets of values together, from those of each.

    Source: T. Chan, G. Golub and R. LeVeque 1983, doi:10.1080/00031305.1983.10483115.
    """
    (n_a, mean_a, squares_a), (n_b, mean_b, squares_b) = a, b
    n, apart = n_a + n_b, mean_b - mean_a
    return n, mean_a + apart * n_b / n, squares_a + squares_b + apart**2 * n_a * n_b / n


def batch_axis(model: Container) -> str | None:
    """The name of the batch, where layers of `model` average over it."""
    names = sorted(axis_names(model))
    if len(names) > 1:
        raise ValueError(f"`{name_of(model)}`: its layers average over the axes {names}. A batch has one name.")
    return names[0] if names else None


def as_batch(owner: str, model: Any, batch: Any) -> PyTree:
    """`batch`, if it is one of examples for `model`, in the dtype in which the model computes."""
    if not isinstance(model, Container):
        raise TypeError(f"`{owner}`: the model must be a `snn.Sequential` or a `snn.Graph`, got {type(model)}.")
    arrays = list(batch.values()) if isinstance(batch, Mapping) else [batch]
    for one in arrays:
        if not (eqx.is_array_like(one) and jnp.ndim(one) >= 2 and jnp.size(one)):
            got = f"shape {jnp.shape(one)}" if eqx.is_array_like(one) else repr(type(one))
            raise ValueError(
                f"`{owner}`: a batch must be an array (a mapping of arrays for several inputs) of shape (batch, time, "
                f"*in_shape), got {got}."
            )
    batch = jax.tree.map(jnp.asarray, dict(batch) if isinstance(batch, Mapping) else batch)
    misfit = _misfit(model, batch, 2)
    if misfit is not None:
        if _misfit(model, batch, 1) is None:
            shapes = jax.tree.map(lambda a: a.shape, batch)
            raise ValueError(
                f"`{owner}`: the batch has no batch axis: of the shape {shapes} it is one example, (time, *in_shape). "
                "For a batch of one: `batch[None]`."
            ) from misfit
        raise misfit
    return model.cast(batch)


def is_silent(batch: PyTree) -> bool:
    """Whether all inputs are 0."""
    return not any(np.any(np.asarray(one)) for one in jax.tree.leaves(batch))


def _misfit(model: Container, batch: PyTree, leading: int) -> Exception | None:
    """The error of `model` for inputs of the shape of `batch` without its first axes; `None` where it takes them."""
    try:
        in_shape = jax.tree.map(lambda a: a.shape[leading:], batch)
        jax.eval_shape(lambda key: model.init_state(in_shape, key), jr.key(0))
    except (TypeError, ValueError) as error:
        return error
    return None
