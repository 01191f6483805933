"""To NIR: a network becomes a graph of nodes."""

import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import equinox as eqx
import jax
import jax.random as jr
import numpy as np
from jax.core import Tracer

from .. import snn
from .._files import shown
from ..snn import _node
from ._checking import check_graph
from ._discretisation import AbstractDiscretisation
from ._error import NIRExportError, NIRImportError, with_place
from ._feedback import NoNeuron
from ._pairs import PAIRS, nir
from ._rewriting import rewritten
from ._terms import NotExpressible, Pair, Terms, as_terms
from ._timing import has_state, waiting_edges

if TYPE_CHECKING:
    from nir import NIRGraph

_OWNER = "nir.to_nir"


def to_nir(
    model: Any,
    in_shape: Sequence[int] | Mapping[str, Sequence[int]],
    *,
    dt: float,
    discretisation: AbstractDiscretisation | None = None,
    reset: snn.AbstractReset | None = None,
    if_dt: float | None = None,
    pairs: Sequence[Pair] = (),
) -> "NIRGraph":
    r"""A network as a NIR graph, whose constants satisfy NIR's equations for the time step `dt`.

        graph = snnax.nir.to_nir(model, (700,), dt=1e-3)

    `from_nir` with the same terms gives a network that computes the same: the same decays, gains and weights, and the
    same spikes. The nodes of a `snn.Graph` keep their names; those of a `snn.Sequential` are called by class and number
    (`linear_0`, `lif_1`). A container or `snn.Recurrent` inside of another one becomes a graph inside of the graph. A
    delay that `from_nir` would not put there by itself becomes a `Delay` node. Thresholds are written as the next
    floating number below, for NIR's neurons fire above theirs. What comes out is the node `output`, with several
    outputs `output_` and the name of the node; a `_` is added to such a name where the network has it already.

    **Arguments:**

    - `model`: a container or a layer.
    - `in_shape`: the shape of one input in one time step, or a mapping from the names of the inputs to theirs.
    - `dt`: the time step in seconds that the network was trained for.
    - `discretisation`, `reset`, `if_dt`, `pairs`: as for `from_nir`. `reset`: neurons that reset by it are written with
        `v_reset = 0`, and whoever reads the file must be told.

    **Raises:** `NIRExportError`, with the name of the node, for what NIR cannot express and what to do about it;
    `ValueError` for an `in_shape` that the network does not take.
    """
    terms = as_terms(_OWNER, dt, if_dt, discretisation, reset)
    model = rewritten(model)
    if not isinstance(model, snn.Graph):
        model = rewritten(snn.Sequential(model))
    if any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves(model)):
        raise TypeError(
            f"`{_OWNER}` writes values, and those of this network are traced. Call it outside of `jax.jit`."
        )
    shapes = _in_shapes(model, in_shape)
    graph = _graph(model, shapes, terms, (*pairs, *PAIRS), ())
    try:
        check_graph(_OWNER, graph, tuple(pair.node for pair in pairs))
    except NIRImportError as error:  # of values that no reader takes
        raise NIRExportError(str(error)) from error
    return graph


def write(path: str | os.PathLike, model: Any, in_shape: Any, **terms: Any) -> None:
    """Writes a network to a NIR file, whole or not at all.

        snnax.nir.write("network.nir", model, (700,), dt=1e-3)

    **Arguments:** `path`: of the file; `model`, `in_shape` and all others: those of `to_nir`.
    """
    path = Path(path).expanduser()
    folder, name = os.path.split(os.path.abspath(path))
    if not os.path.isdir(folder):
        raise FileNotFoundError(f"`nir.write`: there is no folder {shown(folder)} for {shown(path)}. Make it first.")
    if os.path.isdir(path):
        raise IsADirectoryError(f"`nir.write`: {shown(path)} is a folder. Give the path of a file in it.")
    graph = to_nir(model, in_shape, **terms)
    with tempfile.TemporaryDirectory(prefix=f".{name}.", dir=folder) as scratch:
        nir.write(os.path.join(scratch, name), graph)
        os.replace(os.path.join(scratch, name), path)


def _in_shapes(model: snn.Graph, in_shape: Any) -> dict[str, tuple[int, ...]]:
    """The shape of each input, which the network takes."""
    names = model.topology.inputs
    shapes = in_shape if isinstance(in_shape, Mapping) else {names[0]: in_shape}
    if set(shapes) != set(names):
        raise ValueError(f"`{_OWNER}`: `in_shape` must have a shape for each of the inputs {names}, got {in_shape}.")
    for shape in shapes.values():
        sizes = shape if isinstance(shape, (Sequence, np.ndarray)) else (None,)
        if not all(isinstance(n, (int, np.integer)) and not isinstance(n, bool) and n > 0 for n in sizes):
            raise ValueError(
                f"`{_OWNER}`: `in_shape` must be whole numbers above 0, such as (2, 32, 32), got {in_shape!r}."
            )
    shapes = {name: tuple(int(n) for n in shapes[name]) for name in names}
    try:
        model.init_state(shapes if len(shapes) > 1 else shapes[names[0]], jr.key(0))
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"`{_OWNER}`: the network does not take inputs of the shape {in_shape}: {with_place(error)}"
        ) from error
    return shapes


def _graph(graph: snn.Graph, shapes: dict[str, Any], terms: Terms, pairs: Sequence[Pair], path) -> "NIRGraph":
    for name in (*shapes, *graph.nodes):
        if "/" in name or name in ("", "."):
            raise _refusal((*path, name), "a name in a NIR file has no `/`, and is not empty or `.`. Rename it")
    taken, given = _shapes(graph, shapes, path)
    delays = {edge: edge.delay for edge in graph.topology.edges}
    nodes: dict[str, Any] = {
        name: _of_shape(nir.Input(np.array(shape)), shape, shape) for name, shape in shapes.items()
    }
    shortest: dict[str, int] = {}
    for name, layer in graph.nodes.items():
        if type(layer) is snn.Delay:
            layer, delays = _with_steps_of_edges(name, layer, delays)
        is_end = isinstance(layer, eqx.nn.Identity) and not any(e.source == name for e in delays)
        if is_end and name in graph.topology.outputs:
            node: Any = nir.Output(np.array(taken[name]))
        else:
            node = _converted(layer, taken[name], terms, pairs, (*path, name))
            if not isinstance(node, nir.NIRGraph):
                _of_shape(node, taken[name], given[name])
        nodes[name] = node
        if isinstance(node, nir.Delay):
            shortest[name] = int(np.round(np.min(node.delay) / terms.dt))
    ends = [name for name in graph.topology.outputs if not isinstance(nodes[name], nir.Output)]
    for name in ends:
        end = _unused("output" if len(graph.topology.outputs) == 1 else f"output_{name}", nodes)
        nodes[end] = nir.Output(np.array(given[name]))
        delays[snn.Edge(name, end)] = 0
    edges = {(edge.source, edge.target): delay for edge, delay in delays.items()}
    if len(edges) < len(delays):
        raise _refusal(path, "two edges join the same nodes with different delays. Put a `snn.Delay` into one of them")
    neurons = {name for name, layer in graph.nodes.items() if name not in shortest and has_state(layer)}
    once = [edge for edge, delay in edges.items() if delay == 1]
    plain = {edge: 0 if edge in once else delay for edge, delay in edges.items()}
    if _understood(list(shapes), plain, neurons, shortest) == set(once):
        edges = plain
    joined = []
    for (source, target), delay in edges.items():
        if not delay:
            joined.append((source, target))
            continue
        between = _unused(f"{source}_to_{target}", nodes)
        nodes[between] = nir.Delay(delay=np.full(given[source], delay * terms.dt))
        joined += [(source, between), (between, target)]
    return nir.NIRGraph(nodes=nodes, edges=joined, type_check=False)


def _understood(inputs, edges: dict[tuple[str, str], int], neurons: set[str], shortest: dict[str, int]):
    """The edges without a delay on which `from_nir` would put one, or nothing where it understands no such graph."""
    try:
        waiting, giving = waiting_edges(inputs, [edge for edge, delay in edges.items() if not delay], neurons, shortest)
    except NoNeuron:
        return None
    return {(a, b) for a, b in waiting if b not in giving}


def _shapes(graph: snn.Graph, shapes: dict[str, Any], path) -> tuple[dict[str, Any], dict[str, Any]]:
    """What each node is given and what it gives, in one time step."""
    for name, merge in graph.merges.items():
        if len(graph.topology.into(name)) > 1 and not isinstance(merge, snn.Add):
            raise _refusal((*path, name), f"NIR adds the signals into a node, and it has `merge={merge}`")
    dtypes = graph.input_dtypes()
    known = {name: jax.ShapeDtypeStruct(shape, dtypes[name]) for name, shape in shapes.items()}
    taken: dict[str, Any] = {}
    while len(taken) < len(graph.nodes):
        for name in graph.topology.order:
            sources = [known[edge.source] for edge in graph.topology.into(name) if edge.source in known]
            if name not in taken and sources:
                taken[name] = sources[0].shape
                _, known[name] = _node.begin(_OWNER, f"node {name!r}", graph.nodes[name], sources[0], jr.key(0))
    return taken, {name: struct.shape for name, struct in known.items()}


def _with_steps_of_edges(name: str, layer: snn.Delay, delays: dict[snn.Edge, int]):
    """A `snn.Delay` that waits for the steps, too, for which all edges into it wait."""
    into = [edge for edge in delays if edge.target == name]
    common = min(delays[edge] for edge in into)
    if not common or not isinstance(layer.delay, np.ndarray):
        return layer, delays
    return snn.Delay(np.asarray(layer.delay + common)), {
        edge: delay - common if edge.target == name else delay for edge, delay in delays.items()
    }


def _converted(layer: Any, shape: tuple[int, ...], terms: Terms, pairs: Sequence[Pair], path: tuple[str, ...]) -> Any:
    reasons = []
    for pair in pairs:
        if type(layer) is pair.layer:
            try:
                return pair.to_node(layer, shape, terms)
            except NotExpressible as error:
                reasons.append(str(error))
    new = rewritten(layer)
    if isinstance(new, snn.Graph):
        if len(new.topology.outputs) > 1:
            raise _refusal(path, f"inside of another graph, NIR's graphs have one output, got {new.topology.outputs}")
        return _graph(new, {new.topology.inputs[0]: shape}, terms, pairs, path)
    known = ", ".join(sorted({pair.layer.__name__ for pair in pairs}))
    unknown = f"NIR has no node for it; it has for {known}. For a layer of your own give `pairs=[snnax.nir.Pair(...)]`"
    raise _refusal(path, reasons[0] if reasons else unknown, type(layer).__name__)


def _of_shape(node: Any, taken: tuple[int, ...], given: tuple[int, ...]) -> Any:
    """The node with the shapes that it has: nir computes some of them wrong."""
    node.input_type, node.output_type = {"input": np.array(taken)}, {"output": np.array(given)}
    return node


def _unused(name: str, names: Any) -> str:
    return name if name not in names else _unused(f"{name}_", names)


def _refusal(path: tuple[str, ...], reason: str, kind: str = "") -> NIRExportError:
    name = f"node {'/'.join(path)!r}" if path else "the network"
    return NIRExportError(f"`{_OWNER}`: {name}{f', a `{kind}`' if kind else ''}: {reason}.")
