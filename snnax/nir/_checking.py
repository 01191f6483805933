"""What the nodes of a NIR graph may hold. The package `nir` checks no value, and shapes in part."""

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .._files import shown
from ._error import NIRImportError, import_nir

if TYPE_CHECKING:
    from nir import NIRGraph

DEPTH = 16
ELEMENTS = 2**28  # of a shape that is only named
LARGEST = 2**16  # stride, padding, dilation or window: none asks for more memory than a stranger may


class Wrong(Exception):
    """What is wrong with one node, whose name the caller adds."""


def check_nodes(graph: "NIRGraph", *, known: Sequence[type] = ()) -> "NIRGraph":
    """Checks every value of every node of a graph, at any depth.

    Numbers are finite, also in float32; time constants are positive, delays not negative, and no neuron is reset to
    above its threshold; the parameters of a neuron have one shape, where a number or an array without axes stands for
    all; weights have the rank and biases the shape that their node needs; strides, windows, dilations and groups are
    positive whole numbers. Edges join two nodes of their graph, once, none into an Input or out of an Output, of which
    each graph has one at least.

    **Arguments:** `graph`; `known`: types of nodes that are not NIR's, and pass unchecked.

    **Returns:** the graph anew, with parameters of one shape, single numbers as Python's, and pairs of them as tuples.
    **Raises:** `NIRImportError`, with the node's name.
    """
    return check_graph("nir.check_nodes", graph, known)


def check_graph(owner: str, graph, known: Sequence[type] = ()) -> "NIRGraph":
    nir = import_nir(owner)
    if not isinstance(graph, nir.NIRGraph):
        raise NIRImportError(f"`{owner}`: the graph must be a `nir.NIRGraph`, got {shown_value(graph)}.")
    return build(f"`{owner}`: ", content(graph, tuple(known)))


def content(node, known: tuple[type, ...], depth: int = 0):
    """A node as the dictionary that it is in a file."""
    if isinstance(node, known):
        return node
    if not dataclasses.is_dataclass(node):
        return {"type": type(node).__name__}
    found = {field.name: getattr(node, field.name, None) for field in dataclasses.fields(node)}
    found = {name: value for name, value in found.items() if value is not None}
    kind = type(node).__name__
    if kind in ("Input", "Output"):
        found["shape"] = found.get(f"{kind.lower()}_type")
    if kind == "NIRGraph" and depth <= DEPTH and isinstance(found.get("nodes"), Mapping):
        found["nodes"] = {name: content(child, known, depth + 1) for name, child in found["nodes"].items()}
    return {**found, "type": kind}


def build(where: str, fields: dict[str, Any]) -> "NIRGraph":
    """The graph of a dictionary. `where` begins each message."""
    kind = fields.get("type")
    if kind != "NIRGraph":
        raise NIRImportError(
            f"{where}the outermost node must be a graph, a NIRGraph, got {shown_value(kind)}. Put the node into a "
            "graph, between an Input and an Output."
        )
    return checked(where, (), fields)


def checked(where: str, path: tuple[str, ...], fields):
    """One node, and those inside it."""
    if not isinstance(fields, dict):
        return fields  # of a known type
    nir = import_nir("nir")
    kind = fields.get("type")
    try:
        if not isinstance(kind, str) or kind not in KINDS:
            raise Wrong(f"nodes of the type {shown_value(kind)} are unknown. Known are {', '.join(KINDS)}")
        given = {name: value for name, value in fields.items() if name not in ("type", *UNUSED)}
        if "metadata" in given and not isinstance(given["metadata"], dict):
            raise Wrong(f"`metadata` must be a dictionary, got {shown_value(given['metadata'])}")
        metadata = given.pop("metadata", {})
        required, optional, clean = KINDS[kind]
        if kind == "Flatten" and "input_type" in fields:
            given["input_type"] = fields["input_type"]
        if missing := [name for name in required if name not in given]:
            raise Wrong(f"it has no {quoted(missing)}, which it needs")
        if unknown := [name for name in given if name not in (*required, *optional)]:
            raise Wrong(f"it has {quoted(unknown)}, which is unknown. It takes {quoted([*required, *optional])}")
        if kind == "NIRGraph":
            if len(path) >= DEPTH:
                raise Wrong(f"graphs are nested more than {DEPTH} deep, or contain themselves")
            nodes, edges = graph(given)
            nodes = {name: checked(where, (*path, name), node) for name, node in nodes.items()}
            return nir.NIRGraph(nodes=nodes, edges=edges, metadata=metadata, type_check=False)
        return getattr(nir, kind)(**clean(given), metadata=metadata)
    except NIRImportError:
        raise
    except Exception as error:  # of nir's constructors too, which meet what no check here has met
        what = kind if isinstance(kind, str) and kind in KINDS else "node"
        name = f"node {shown('/'.join(path))[:200]} ({what})" if path else "the outermost graph"
        reason = str(error) if isinstance(error, Wrong) else f"{type(error).__name__}: {error}"[:300]
        raise NIRImportError(f"{where}{name}: {reason}.") from error


def graph(given):
    """The nodes, unchecked, and the edges."""
    nodes, edges = given["nodes"], given["edges"]
    if not isinstance(nodes, Mapping) or not nodes:
        raise Wrong(f"`nodes` must be a dictionary with one node or more, got {shown_value(nodes)}")
    if strange := [name for name in nodes if not isinstance(name, str)]:
        raise Wrong(f"the names of nodes must be strings, got {shown_value(strange[0])}")
    for name, node in nodes.items():
        if isinstance(node, Mapping) and "type" not in node or not isinstance(node, object):
            raise Wrong(f"the node {shown(name)} has no `type`")
    kinds = {name: node.get("type") for name, node in nodes.items() if isinstance(node, dict)}
    pairs = []
    for edge in edges:
        ends = tuple(end.decode() if isinstance(end, bytes) else end for end in edge) if is_pair(edge) else ()
        if not ends or not all(isinstance(end, str) for end in ends):
            raise Wrong(f"an edge must be a pair of names, got {shown_value(edge)}")
        pairs.append((str(ends[0]), str(ends[1])))
    seen = set()
    for source, target in pairs:
        edge = f"the edge {shown(source)} -> {shown(target)}"
        for end in (source, target):
            if end not in nodes:
                raise Wrong(f"{edge} names {shown(end)}, which is no node. The nodes are {listed(nodes)}")
        if (source, target) in seen:
            raise Wrong(f"{edge} is there twice. To double a signal, double the weights")
        if kinds.get(source) == "Output" or kinds.get(target) == "Input":
            raise Wrong(f"{edge} leads out of an Output or into an Input. Join the nodes themselves")
        seen.add((source, target))
    for kind in ("Input", "Output"):
        if kind not in kinds.values():
            raise Wrong(f"it has no {kind} node. Add one, and the edge that joins it")
    return nodes, pairs


def is_pair(edge):
    return isinstance(edge, (tuple, list, np.ndarray)) and len(edge) == 2


# Values


def numbers(given, name):
    """An array of finite numbers."""
    value = given[name]
    if isinstance(value, (dict, str, bytes)) or value is None:
        raise Wrong(f"`{name}` must be an array of numbers, got {shown_value(value)}")
    array = np.asarray(value)
    if array.dtype.kind not in "iuf" or array.dtype.itemsize > 8:
        raise Wrong(f"`{name}` must be an array of numbers, got {array.dtype!r}")
    if array.size == 0:
        raise Wrong(f"`{name}` is empty: its shape is {array.shape}")
    array = array.astype(array.dtype.newbyteorder("="), copy=False)
    with np.errstate(over="ignore"):
        finite = np.isfinite(array.astype(np.float32))
    refuse(name, array, ~finite, "finite in float32")
    return array


def refuse(name, array, wrong, wanted):
    if wrong.any():
        at = np.unravel_index(int(np.argmax(wrong)), array.shape)
        place = f" at {[int(i) for i in at]}" if at else ""
        raise Wrong(f"`{name}` must be {wanted}, got {array[at]}{place} ({wrong.sum()} of {wrong.size} values)")


def neurons(given):
    arrays = {name: numbers(given, name) for name in given}
    for name, array in arrays.items():
        if name.startswith("tau"):
            refuse(name, array, array <= 0, "a positive time constant, in seconds")
        if name == "delay":
            refuse(name, array, array < 0, "a delay of 0 or more, in seconds")
    shapes = {array.shape for array in arrays.values()} - {()}
    if len(shapes) > 1:
        of_each = ", ".join(f"{name} {array.shape}" for name, array in arrays.items())
        raise Wrong(f"its parameters must have one shape, or none where one number is for all, got {of_each}")
    shape = shapes.pop() if shapes else ()
    arrays = {name: np.array(np.broadcast_to(array, shape)) for name, array in arrays.items()}
    if "v_threshold" in arrays:
        threshold = arrays["v_threshold"]
        reset = arrays.get("v_reset", np.zeros_like(threshold))
        refuse("v_threshold", threshold, threshold < reset, "at or above `v_reset`, or every step is a spike")
    return arrays


def linear(given):
    weight = numbers(given, "weight")
    if weight.ndim < 2:
        raise Wrong(f"`weight` must have the axes (..., out, in), got the shape {weight.shape}")
    if "bias" not in given:
        return {"weight": weight}
    return {"weight": weight, "bias": bias(given, weight.shape[:-1])}


def bias(given, shape):
    array = numbers(given, "bias")
    if array.shape not in ((), shape[-1:], shape):
        raise Wrong(f"`bias` must have the shape {shape} to fit `weight`, got {array.shape}")
    return np.array(np.broadcast_to(array, shape))


def whole(given, name, axes, least):
    """As many whole numbers as there are axes; one stands for all."""
    array = np.asarray(given[name])
    if array.dtype.kind not in "iu" or array.shape not in ((), (axes,)):
        either = "a whole number" if axes == 1 else f"a whole number or {axes} of them"
        raise Wrong(f"`{name}` must be {either}, got {shown_value(given[name])}")
    refuse(name, array, (array < least) | (array > LARGEST), f"{least} or more, and {LARGEST} at most")
    pair = tuple(int(i) for i in np.broadcast_to(array, (axes,)))
    return pair if axes > 1 else pair[0]


def shape(name, value, most=ELEMENTS):
    """The extents of an array's axes."""
    array = np.asarray(value)
    if array.ndim != 1 or (array.size and array.dtype.kind not in "iu"):
        raise Wrong(f"`{name}` must be a shape, a list of whole numbers, got {shown_value(value)}")
    extents = [int(i) for i in array]
    if len(extents) > 32 or any(i < 1 for i in extents) or math.prod(extents) > most:
        raise Wrong(f"`{name}` must be a shape of positive numbers and {most} elements at most, got {extents[:32]}")
    return np.array(extents, np.int64)


def convolution(axes):
    def clean(given):
        weight = numbers(given, "weight")
        if weight.ndim != axes + 2:
            raise Wrong(f"`weight` must have {axes + 2} axes (out, in / groups, ...), got the shape {weight.shape}")
        steps = {name: whole(given, name, axes, 1) for name in ("stride", "dilation")}
        groups = whole(given, "groups", 1, 1)
        if len(weight) % groups:
            raise Wrong(f"`groups` must divide the {len(weight)} channels that come out, got {groups}")
        padding = given["padding"]
        if not isinstance(padding, str):
            padding = whole(given, "padding", axes, 0)
        elif padding not in ("same", "valid"):
            raise Wrong(f"`padding` must be 'same', 'valid' or whole numbers, got {shown_value(padding)}")
        elif padding == "same" and np.any(np.array(steps["stride"]) != 1):
            raise Wrong(
                f"`padding` 'same' has no agreed meaning with the stride {steps['stride']}: give it in numbers instead"
            )
        extents = given.get("input_shape")
        if extents is not None:
            extents = shape("input_shape", np.atleast_1d(np.asarray(extents)))
            if len(extents) != axes:
                raise Wrong(f"`input_shape` must have {axes} numbers, the spatial axes, got {list(map(int, extents))}")
            around = 0 if padding == "valid" else math.inf if padding == "same" else 2 * np.array(padding)
            covered = np.array(steps["dilation"]) * (np.array(weight.shape[2:]) - 1) + 1
            if np.any(extents + around < covered):
                raise Wrong(
                    f"`input_shape` {list(map(int, extents))} with `padding` {padding} is smaller than the kernel, "
                    f"which covers {list(map(int, covered))}"
                )
            extents = tuple(int(i) for i in extents) if axes > 1 else int(extents[0])
        given = {"input_shape": extents, "weight": weight, "padding": padding, "groups": groups, **steps, "bias": given}
        return {**given, "bias": bias(given["bias"], weight.shape[:1])}

    return clean


def pooling(given):
    return {name: whole(given, name, 2, 0 if name == "padding" else 1) for name in given}


def flatten(given):
    extents = given.get("input_type")
    if isinstance(extents, Mapping):
        extents = extents.get("input")
    dims = {}
    for name, default in (("start_dim", 1), ("end_dim", -1)):
        value = np.asarray(given.get(name, default))
        if value.dtype.kind not in "iu" or value.shape not in ((), (1,)) or abs(int(value.item())) > 32:
            raise Wrong(f"`{name}` must be the number of an axis, got {shown_value(given[name])}")
        dims[name] = int(value.item())
    if extents is not None:
        extents = shape("input_type", extents)
        rank = len(extents)
        first, last = (i + rank if i < 0 else i for i in dims.values())
        if not 0 <= first <= last < rank:
            raise Wrong(f"the axes {dims['start_dim']} to {dims['end_dim']} are not in the {rank} of `input_type`")
    return {"input_type": {"input": extents}, **dims}


def end(kind):
    def clean(given):
        extents = given["shape"]
        if isinstance(extents, Mapping):
            extents = extents.get(kind)
        if extents is None and kind == "output":
            return {"output_type": None}
        return {f"{kind}_type": shape("shape", extents)}

    return clean


CONVOLUTION = ("weight", "stride", "padding", "dilation", "groups", "bias")
WINDOW = ("kernel_size", "stride", "padding")
# The fields that a node needs, those that it may have, and how they are checked.
KINDS: dict[str, tuple[tuple[str, ...], tuple[str, ...], Callable]] = {
    "Input": (("shape",), (), end("input")),
    "Output": (("shape",), (), end("output")),
    "Affine": (("weight", "bias"), (), linear),
    "Linear": (("weight",), (), linear),
    "Scale": (("scale",), (), neurons),
    "Conv1d": (CONVOLUTION, ("input_shape",), convolution(1)),
    "Conv2d": (CONVOLUTION, ("input_shape",), convolution(2)),
    "SumPool2d": (WINDOW, (), pooling),
    "AvgPool2d": (WINDOW, (), pooling),
    "Flatten": ((), ("input_type", "start_dim", "end_dim"), flatten),
    "Delay": (("delay",), (), neurons),
    "Threshold": (("threshold",), (), neurons),
    "I": (("r",), (), neurons),
    "IF": (("r", "v_threshold"), ("v_reset",), neurons),
    "LI": (("tau", "r", "v_leak"), (), neurons),
    "LIF": (("tau", "r", "v_leak", "v_threshold"), ("v_reset",), neurons),
    "CubaLI": (("tau_syn", "tau_mem", "r", "v_leak"), ("w_in",), neurons),
    "CubaLIF": (("tau_syn", "tau_mem", "r", "v_leak", "v_threshold"), ("v_reset", "w_in"), neurons),
    "NIRGraph": (("nodes", "edges"), (), dict),
}
UNUSED = ("input_type", "output_type")  # some versions of nir write them; the shapes here are computed


def quoted(names):
    return ", ".join(f"`{name}`" if len(name) < 50 else shown(name)[:50] for name in names)


def listed(names):
    names = list(names)
    return ", ".join(shown(name) for name in names[:20]) + (", ..." if len(names) > 20 else "")


def shown_value(value) -> str:
    """A value in a message: short, and without control characters."""
    if isinstance(value, dict):
        return f"a group of {listed(map(str, value))}"
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:80]}..."
