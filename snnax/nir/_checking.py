"""The nodes and edges of a NIR graph, from a stranger. The package `nir` checks no value, and only some shapes."""

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from .._files import shown
from ._error import NIRImportError, import_nir
from ._fields import KINDS, Wrong, quoted, shown_value

if TYPE_CHECKING:
    from nir import NIRGraph

DEPTH = 16
UNUSED = ("input_type", "output_type")  # some versions of nir write them; the shapes here are computed


def check_nodes(graph: "NIRGraph", *, known: tuple[type, ...] = ()) -> "NIRGraph":
    """Checks every value of every node of a graph, at any depth.

    Numbers are finite, also in float32; time constants are positive, delays not negative, and no neuron is reset to
    above its threshold; the parameters of a neuron have one shape, where a number or an array without axes stands for
    all; weights have the rank and biases the shape that their node needs; strides, windows, dilations and groups are
    positive whole numbers. Edges join two nodes of their graph, once, none into an Input or out of an Output, of which
    each graph has one at least.

    **Arguments:** `graph`; `known`: types of nodes that are not NIR's, and pass unchecked.

    **Returns:** the graph anew, with the parameters of a neuron in arrays of one shape, whole numbers as Python's, and
    strides, windows, dilations and paddings of a 2-D node as pairs of them. **Raises:** `NIRImportError`.
    """
    return check_graph("nir.check_nodes", graph, known)


def check_graph(owner: str, graph, known: tuple[type, ...] = ()) -> "NIRGraph":
    nir = import_nir(owner)
    where = f"`{owner}`: "
    if not isinstance(graph, nir.NIRGraph):
        raise NIRImportError(f"{where}the graph must be a `nir.NIRGraph`, got {shown_value(graph)}.")
    return build(where, content(where, graph, known), known)


def content(where: str, node, known: tuple[type, ...], above: tuple = ()):
    """A node as the dictionary that it is in a file."""
    if isinstance(node, known):
        return node
    kind = type(node).__name__
    if not type(node).__module__.startswith("nir.") or not dataclasses.is_dataclass(node):
        return {"type": f"{type(node).__module__}.{kind}"}
    if len(above) > DEPTH or any(node is graph for graph in above):
        raise NIRImportError(f"{where}graphs are nested more than {DEPTH} deep, or one of them contains itself.")
    found = {field.name: getattr(node, field.name, None) for field in dataclasses.fields(node)}
    found = {name: value for name, value in found.items() if value is not None}
    if kind in ("Input", "Output"):
        found["shape"] = found.get(f"{kind.lower()}_type")
    if kind == "NIRGraph" and isinstance(found.get("nodes"), Mapping):
        found["nodes"] = {name: content(where, child, known, (*above, node)) for name, child in found["nodes"].items()}
    return {**found, "type": kind}


def build(where: str, fields: dict[str, Any], known: tuple[type, ...] = ()) -> "NIRGraph":
    """The graph that a dictionary describes. `where` begins each message."""
    kind = fields.get("type")
    if not isinstance(kind, str) or kind != "NIRGraph":
        raise NIRImportError(
            f"{where}the outermost node must be a graph, of the type 'NIRGraph', got {shown_value(kind)}. Put a single "
            "node into a graph, between an Input and an Output."
        )
    return checked(where, (), fields, known)


def checked(where: str, path: tuple[str, ...], fields, known: tuple[type, ...]):
    """One node, and those inside it."""
    import nir

    if isinstance(fields, known):
        return fields
    kind = None
    try:
        if not isinstance(fields, Mapping):
            raise Wrong(f"it must be a group with a `type`, got {shown_value(fields)}")
        kind, given, metadata = known_fields(fields)
        if kind == "NIRGraph":
            if len(path) > DEPTH:
                raise Wrong(f"graphs are nested more than {DEPTH} deep")
            nodes, edges = structure(given)
            nodes = {name: checked(where, (*path, name), node, known) for name, node in nodes.items()}
            return nir.NIRGraph(nodes=nodes, edges=edges, metadata=metadata, type_check=False)
        return getattr(nir, kind)(**KINDS[kind].clean(given), metadata=metadata)
    except NIRImportError:
        raise
    except Exception as error:  # of nir's constructors and NumPy too, where no check here came first
        name = f"node {shown('/'.join(path))[:200]}" if path else "the outermost graph"
        reason = str(error) if isinstance(error, Wrong) else f"{type(error).__name__}: {error}"[:300]
        raise NIRImportError(f"{where}{name}{f' ({kind})' if kind else ''}: {reason}.") from error


def known_fields(fields: Mapping[str, Any]) -> tuple[str, dict[str, Any], dict[str, Any]]:
    """The type of a node, the fields that this type has, and the metadata."""
    kind = fields.get("type")
    if kind is None:
        raise Wrong("it has no `type`")
    if not isinstance(kind, str) or kind not in KINDS:
        raise Wrong(f"nodes of the type {shown_value(kind)} are unknown. Known are {', '.join(KINDS)}")
    required, optional = KINDS[kind].required, KINDS[kind].optional
    dropped = {"type", "metadata", *UNUSED} - {*optional}
    given = {name: value for name, value in fields.items() if name not in dropped}
    if missing := [name for name in required if name not in given]:
        raise Wrong(f"{kind} needs {quoted(missing)}, and there is no such field")
    if unknown := [name for name in given if name not in (*required, *optional)]:
        raise Wrong(f"{kind} has no field {quoted(unknown)}. It takes {quoted([*required, *optional])}")
    metadata = fields.get("metadata", {})
    if not isinstance(metadata, dict):
        raise Wrong(f"`metadata` must be a dictionary, got {shown_value(metadata)}")
    return kind, given, metadata


def structure(given: dict[str, Any]) -> tuple[Mapping[str, Any], list[tuple[str, str]]]:
    """The nodes of a graph, unchecked, and its edges."""
    nodes, edges = given["nodes"], given["edges"]
    if not isinstance(nodes, Mapping) or not nodes:
        raise Wrong(f"`nodes` must be a dictionary with one node or more, got {shown_value(nodes)}")
    if strange := [name for name in nodes if not isinstance(name, str) or not name or not name.isprintable()]:
        raise Wrong(f"the name of a node must be a string that can be printed, got {shown_value(strange[0])}")
    kinds = {name: str(node.get("type")) for name, node in nodes.items() if isinstance(node, Mapping)}
    if not isinstance(edges, (list, tuple, np.ndarray)) or (isinstance(edges, np.ndarray) and not edges.ndim):
        raise Wrong(f"`edges` must be a list of pairs of names, got {shown_value(edges)}")
    pairs: dict[tuple[str, str], None] = {}
    for one in edges:
        source, target = pair = ends(one)
        edge = f"the edge {shown(source)[:100]} -> {shown(target)[:100]}"
        for end in pair:
            if end not in nodes:
                names = ", ".join(map(shown, list(nodes)[:20])) + (", ..." if len(nodes) > 20 else "")
                raise Wrong(f"{edge} names {shown(end)[:100]}, which is no node. The nodes are {names}")
        if pair in pairs:
            raise Wrong(f"{edge} is there twice. To double a signal, double the weights after it")
        if kinds.get(source) == "Output" or kinds.get(target) == "Input":
            raise Wrong(f"{edge} leads out of an Output or into an Input. Join the nodes themselves")
        pairs[pair] = None
    for kind in ("Input", "Output"):
        if kind not in kinds.values():
            raise Wrong(f"it has no {kind} node. Add one, and the edge that joins it")
    return nodes, list(pairs)


def ends(edge) -> tuple[str, str]:
    pair = list(edge) if isinstance(edge, (tuple, list, np.ndarray)) and np.shape(edge) else []
    pair = [end.decode() if isinstance(end, bytes) else end for end in pair]
    if len(pair) != 2 or not all(isinstance(end, str) for end in pair):
        raise Wrong(f"an edge must be a pair of names, got {shown_value(edge)}")
    return str(pair[0]), str(pair[1])
