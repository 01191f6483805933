"""Which weights are in front of which neurons, in a network of any shape, and how they are scaled."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jax.tree_util import GetAttrKey
from jaxtyping import Array

from ._batch_norm import AbstractBatchNorm
from ._graph import Graph
from ._layer import StatefulLayer
from ._node import Composite
from ._parallel import Parallel, Residual
from ._record import Path, children_of, holds_layers
from ._recurrent import Recurrent
from ._sequential import Sequential
from ._spiking import SpikingLayer


@dataclasses.dataclass(frozen=True)
class Weights:
    """A layer whose output grows with its weights; and whether its own input has gone through neurons."""

    path: Path
    behind_neurons: bool


@dataclasses.dataclass(frozen=True)
class Feed:
    """A spiking layer, and the weights in front of it that are in front of no earlier one."""

    neurons: Path
    weights: tuple[Weights, ...]


@dataclasses.dataclass(frozen=True)
class _Signal:
    """What is known of a signal: the last weights on its way, after neurons; and whether it comes by feedback alone."""

    weights: tuple[Weights, ...] = ()
    behind_neurons: bool = False
    feedback: bool = False


def feeds_of(model: Any) -> list[Feed]:
    """The spiking layers of `model` in the order of computation, each with the weights in front of it.

    Between weights and neurons there may be layers without weights and filters. Of several weights one after the other
    those nearest to the neurons count, normalisations among them. Weights on the way of a feedback (a synapse of
    `snn.Recurrent`, an edge that closes a cycle of a `snn.Graph`) count for the neurons on that way, not for those
    where it comes back.
    """
    feeds: list[Feed] = []
    _visit(model, (), _Signal(), feeds)
    return feeds


def _visit(node: Any, path: Path, signal: _Signal, feeds: list[Feed]) -> _Signal:
    """The signal that `node` makes of `signal`. Its spiking layers are added to `feeds`."""
    if isinstance(node, Sequential):
        for inner, child in children_of(node):
            signal = _visit(child, path + inner, signal, feeds)
        return signal
    if isinstance(node, Graph):
        signals = dict.fromkeys(node.topology.inputs, signal)
        for inner, child in children_of(node):
            name = inner[-1].key
            into = [
                signals.get(edge.source, _Signal(behind_neurons=True, feedback=True))
                for edge in node.topology.into(name)
            ]
            signals[name] = _visit(child, path + inner, _merged(into), feeds)
        return _merged([signals[name] for name in node.topology.outputs])
    if isinstance(node, Recurrent):
        back = _Signal(behind_neurons=True, feedback=True)
        _visit(node.synapse, (*path, GetAttrKey("synapse")), back, feeds)
        return _visit(node.neuron, (*path, GetAttrKey("neuron")), signal, feeds)
    if isinstance(node, (Parallel, Residual)):
        return _merged([_visit(child, path + inner, signal, feeds) for inner, child in children_of(node)])
    if isinstance(node, SpikingLayer):
        taken = {one.path for feed in feeds for one in feed.weights}
        feeds.append(Feed(path, tuple(one for one in signal.weights if one.path not in taken)))
        return _Signal(behind_neurons=True)
    if holds_layers(node):
        for inner, child in children_of(node):
            _visit(child, path + inner, _Signal(behind_neurons=True), feeds)
        return _Signal(behind_neurons=True)
    if weight_of(node) is not None:
        return dataclasses.replace(signal, weights=(Weights(path, signal.behind_neurons),))
    return signal


def _merged(signals: Sequence[_Signal]) -> _Signal:
    forward = [signal for signal in signals if not signal.feedback] or list(signals)
    weights = tuple(dict.fromkeys(one for signal in forward for one in signal.weights))
    return _Signal(weights, any(s.behind_neurons for s in forward), all(s.feedback for s in forward))


def weight_of(layer: Any) -> Callable[[Any], Array] | None:
    """Where `layer` has the array that its output, but for a bias, is proportional to; `None` where there is none."""
    if isinstance(layer, eqx.nn.WeightNorm):
        return lambda layer: layer.g
    inner = _last_inside(layer)
    if inner is not None:
        return _through(inner, weight_of(inner(layer)))
    return (lambda layer: layer.weight) if _has_array(layer, "weight") else None


def bias_of(layer: Any) -> Callable[[Any], Array] | None:
    """Where `layer` has its bias; `None` where there is none."""
    if isinstance(layer, eqx.nn.WeightNorm):
        return _through(lambda layer: layer.layer, bias_of(layer.layer))
    inner = _last_inside(layer)
    if inner is not None:
        return _through(inner, bias_of(inner(layer)))
    return (lambda layer: layer.bias) if _has_array(layer, "bias") else None


def _has_array(layer: Any, name: str) -> bool:
    """Whether a layer without state, or a normalisation, has an array of that name as a field."""
    known = isinstance(layer, AbstractBatchNorm) or not isinstance(layer, (Composite, StatefulLayer))
    return known and eqx.is_inexact_array(vars(layer).get(name))


def _last_inside(layer: Any) -> Callable[[Any], Any] | None:
    """Where a chain of Equinox layers has its last one with weights."""
    if isinstance(layer, (eqx.nn.MLP, eqx.nn.Sequential)):
        for i in reversed(range(len(layer.layers))):
            if weight_of(layer.layers[i]) is not None:
                return lambda layer: layer.layers[i]
    return None


def _through(outer: Callable, inner: Callable | None) -> Callable | None:
    return None if inner is None else lambda layer: inner(outer(layer))


def scaled(layer: Any, factor: float) -> Any:
    """`layer` with its weight and its bias times a factor."""
    for where in (weight_of(layer), bias_of(layer)):
        if where is not None:
            layer = eqx.tree_at(where, layer, replace_fn=lambda a: a * jnp.asarray(factor, a.dtype))
    return layer


def shifted(layer: Any, summand: float) -> Any:
    """`layer` with a summand at each entry of its bias, where it has one."""
    bias = bias_of(layer)
    return layer if bias is None else eqx.tree_at(bias, layer, replace_fn=lambda a: a + jnp.asarray(summand, a.dtype))
