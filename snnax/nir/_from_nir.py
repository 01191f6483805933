"""From NIR: a graph of nodes becomes a `snn.Graph`."""

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np

from .. import snn
from ._checking import check_graph
from ._discretisation import AbstractDiscretisation
from ._error import NIRImportError, with_place
from ._feedback import NoNeuron
from ._pairs import LIMIT, PAIRS, nir
from ._reading import read_graph
from ._terms import NotExpressible, Pair, Terms, as_terms
from ._timing import has_state, waiting_edges

if TYPE_CHECKING:
    from nir import NIRGraph

_OWNER = "nir.from_nir"


def from_nir(
    graph: "NIRGraph | str | os.PathLike",
    *,
    dt: float,
    discretisation: AbstractDiscretisation | None = None,
    reset: snn.AbstractReset | None = None,
    if_dt: float | None = None,
    delay_after_synapse: bool = False,
    pairs: Sequence[Pair] = (),
) -> snn.Graph:
    r"""The network that a NIR graph describes.

        net = snnax.nir.from_nir("network.nir", dt=1e-3)
        states = net.init_state((12,))
        states, outs = net(states, xs)              # outs["lif1"]: what the node "lif1" gave, (time, ...)

    Nodes keep their names, an Input becomes an input of the graph, an Output a node that passes on what comes in, and a
    graph inside of the graph a `snn.Graph` inside of it. Numbers are taken in JAX's floating dtype (float32), weights
    as arrays, which are trained, and the parameters of neurons as constants (`snn.Fixed` where they differ).

    Neurons fire where the potential is above `v_threshold`, which here is: where it reaches the next floating number.
    The potential takes the synaptic current of the same step. A cycle without a `Delay` waits one step at the output of
    a neuron in it; so the bias of the synapse after it acts in the first step already.

    Source: J. Pedersen et al. 2024, doi:10.1038/s41467-024-52259-9.

    **Arguments:**

    - `graph`: a `nir.NIRGraph`, or the path of a file, which need not be trusted.
    - `dt`: the time step in seconds.
    - `discretisation`: how time constants become decays per step. Default `ForwardEuler()`.
    - `reset`: what neurons do at a spike, in place of NIR's reset to `v_reset`: such as `snn.SubtractReset()`, or
        `snn.DelayedSubtractReset()` for snnTorch's subtraction. Default: as in the file.
    - `if_dt`: the time step of `IF` and `I`, which have no time constant. `if_dt=1.0` gives $v \leftarrow v + r x$ in
        each step, which many published graphs mean. Default: `dt`.
    - `delay_after_synapse`: whether cycles wait on the edge that closes them, after the synapse, so that a bias of the
        synapse does not act in the first step: as in Norse, and in snnTorch when it reads NIR. Default: at the output
        of a neuron, as in snnTorch's own neurons and the traces that it published.
    - `pairs`: `Pair`s for nodes and layers of one's own, which come before the library's.

    **Raises:** `NIRImportError`, with the name of the node, for what is damaged or has no meaning here.
    """
    terms = as_terms(_OWNER, dt, if_dt, discretisation, reset)
    if isinstance(graph, (str, os.PathLike)):
        graph = read_graph(_OWNER, graph)
    else:
        graph = check_graph(_OWNER, graph, tuple(pair.node for pair in pairs))
    net = _graph(graph, terms, (*pairs, *PAIRS), delay_after_synapse, ())
    shapes = {name: _shape(node.input_type["input"]) for name, node in graph.nodes.items() if _is(node, nir.Input)}
    if None not in shapes.values():
        _check_shapes(net, graph, shapes)
    return net


def _is(node: Any, *kinds: type) -> bool:
    return isinstance(node, kinds)


def _shape(sizes: Any) -> tuple[int, ...] | None:
    return None if sizes is None else tuple(int(n) for n in np.ravel(sizes))


def _graph(graph: Any, terms: Terms, pairs: Sequence[Pair], after_synapse: bool, path: tuple[str, ...]) -> snn.Graph:
    inputs, outputs = ([n for n, node in graph.nodes.items() if _is(node, kind)] for kind in (nir.Input, nir.Output))
    if path and (len(inputs), len(outputs)) != (1, 1):
        raise _refusal(path, f"a graph inside of a graph has one Input and one Output here, got {inputs} and {outputs}")
    layers: dict[str, Any] = {}
    for name, node in graph.nodes.items():
        if _is(node, nir.NIRGraph):
            layers[name] = _graph(node, terms, pairs, after_synapse, (*path, name))
        elif _is(node, nir.Output):
            layers[name] = eqx.nn.Identity()
        elif not _is(node, nir.Input):
            layers[name] = _layer(node, terms, pairs, (*path, name))
    delays = {name: int(np.min(np.asarray(layer.delay))) for name, layer in layers.items() if type(layer) is snn.Delay}
    neurons = {name for name, layer in layers.items() if name not in delays and has_state(layer)}
    try:
        waiting, giving = waiting_edges(inputs, graph.edges, neurons, delays, after_synapse=after_synapse)
    except NoNeuron as error:
        raise _refusal(
            path,
            f"the cycle {error} has neither a neuron nor a Delay of a step (`dt={terms.dt:g}`) or more, so its signal "
            "depends on itself. Put a Delay into it",
        ) from error
    for name in giving:
        layers[name] = snn.Delay(np.asarray(layers[name].delay - 1))
    edges = [snn.Edge(a, b, delay=1 if (a, b) in waiting else 0) for a, b in graph.edges]
    try:
        return snn.Graph(layers, edges, inputs=inputs, outputs=outputs)
    except ValueError as error:
        raise _refusal(path, str(error).rstrip(".")) from error


def _layer(node: Any, terms: Terms, pairs: Sequence[Pair], path: tuple[str, ...]) -> Any:
    reasons = []
    for pair in pairs:
        if isinstance(node, pair.node):
            try:
                return pair.to_layer(node, terms)
            except NotExpressible as error:
                reasons.append(str(error))
    reason = reasons[0] if reasons else "no pair has such a node. Give one: `pairs=[snnax.nir.Pair(...)]`"
    raise _refusal(path, reason, type(node).__name__)


def _refusal(path: tuple[str, ...], reason: str, kind: str = "") -> NIRImportError:
    name = f"node {'/'.join(path)!r}" if path else "the outermost graph"
    return NIRImportError(f"`{_OWNER}`: {name}{f' ({kind})' if kind else ''}: {reason}.")


def _check_shapes(net: snn.Graph, graph: Any, shapes: dict[str, Any]) -> None:
    """Refuses graphs whose nodes do not fit each other, by shapes that are computed here."""

    def outs():
        xs: Any = {name: jnp.zeros((1, *shape)) for name, shape in shapes.items()}
        several = len(shapes) > 1
        in_shape, xs = (shapes, xs) if several else (*shapes.values(), *xs.values())
        return net(net.init_state(in_shape, jr.key(0)), xs, jr.key(0))[1]

    try:
        found = jax.eval_shape(outs)
    except (TypeError, ValueError) as error:
        raise NIRImportError(
            f"`{_OWNER}`: the nodes do not fit each other, for inputs of the shapes {shapes}: {with_place(error)}"
        ) from error
    _check_nodes(graph, found, ())


def _check_nodes(graph: Any, outs: dict[str, Any], path: tuple[str, ...]) -> None:
    """Refuses outputs that would fill the memory, and parameters of another shape than that of their input."""
    for name, node in graph.nodes.items():
        if _is(node, nir.NIRGraph):
            _check_nodes(node, outs[name], (*path, name))
            continue
        if name in outs and not 0 < outs[name].size <= LIMIT:
            raise _refusal((*path, name), f"it gives an array of shape {outs[name].shape[1:]} in each step")
        if _is(node, nir.I, nir.IF, nir.LI, nir.LIF, nir.CubaLI, nir.CubaLIF, nir.Threshold, nir.Scale, nir.Delay):
            declared, shape = _shape(node.input_type["input"]), outs[name].shape[1:]
            if np.prod(declared or ()) != 1 and declared != shape:
                raise _refusal(
                    (*path, name), f"its values have the shape {declared}, but its input {shape}", type(node).__name__
                )
