"""Networks of any shape: named layers, joined by edges, with skips, several inputs and outputs, and feedback."""

import zlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray, PyTree

from . import _loop, _node
from ._bytes import Bytes, numbers
from ._container import Container, States, expand_children
from ._merge import AbstractMerge, Add
from ._node import check_child, fold, fold_each
from ._topology import Edge, Topology, analyse


class Graph(Container):
    """Named layers, joined by edges.

    Two layers of neurons, of which the second feeds back to the first:

        net = snn.Graph(
            {
                "fc1": eqx.nn.Linear(700, 128, key=k1),
                "lif1": snn.LIF([0.95, 0.9]),
                "fc2": eqx.nn.Linear(128, 64, key=k2),
                "lif2": snn.LIF([0.95, 0.9]),
                "back": eqx.nn.Linear(64, 128, key=k3),
                "out": snn.SimpleLI(0.95),
            },
            [
                *[("input", "fc1"), ("fc1", "lif1"), ("lif1", "fc2"), ("fc2", "lif2"), ("lif2", "out")],
                *[snn.Edge("lif2", "back", delay=1), ("back", "lif1")],
            ],
            outputs=("out",),
        )
        states = net.init_state((700,))
        states, outs = net(states, jnp.ones((10, 700)))        # outs["lif2"]: what node "lif2" gave, (time, 64)

    A U-shaped network, with a skip from the way down to the way up:

        net = snn.Graph(
            {
                "down": eqx.nn.Conv2d(2, 8, 3, stride=2, padding=1, key=k1),
                "lif1": snn.SimpleLIF(0.9),
                "deep": eqx.nn.Conv2d(8, 8, 3, padding=1, key=k2),
                "lif2": snn.SimpleLIF(0.9),
                "up": eqx.nn.ConvTranspose2d(16, 2, 2, stride=2, key=k3),
                "out": snn.SimpleLI(0.9),
            },
            [
                *[("input", "down"), ("down", "lif1"), ("lif1", "deep"), ("deep", "lif2")],
                *[("lif2", "up"), ("lif1", "up"), ("up", "out")],
            ],
            outputs=("out",),
            merge={"up": snn.Concatenate()},
        )
        states, outs = net(net.init_state((2, 16, 16)), jnp.ones((5, 2, 16, 16)))   # outs["out"]: (5, 2, 16, 16)

    All signals without delay pass within a time step, whatever the number of layers between. A node with several edges
    into it takes their sum, or what `merge` says. An edge that closes a cycle must have a delay of at least one step;
    its signal waits in the states, and is zero before the first step.

    `outs` is a mapping with an entry for every node. With several inputs, `init_state` and the call take mappings from
    input names to shapes and to sequences. Layer by layer, only the nodes of a cycle run step by step together.
    """

    nodes: dict[str, Any]
    merges: dict[str, AbstractMerge]
    topology: Topology = eqx.field(static=True)

    def __init__(
        self,
        nodes: Mapping[str, Any],
        edges: Sequence[Edge | tuple[str, str]],
        *,
        inputs: Sequence[str] = ("input",),
        outputs: Sequence[str],
        merge: AbstractMerge | Mapping[str, AbstractMerge] | None = None,
    ):
        """**Arguments:**

        - `nodes`: the layers by name: what `snn.Sequential` takes.
        - `edges`: pairs of names, `(source, target)`, or `snn.Edge(source, target, delay)`. An edge from an
            input starts at its name.
        - `inputs`: the names of the inputs. Default: one, `"input"`.
        - `outputs`: the nodes whose outputs count as the graph's inside of another container. `outs` holds all nodes
            in any case, by name.
        - `merge`: how nodes take several signals in: `snn.Add()` (default) or `snn.Concatenate(axis)` for all, or a
            mapping from node names. Where a cycle closes in a concatenation, the node must be a layer whose weights
            tell the size of its input: `eqx.nn.Linear` or `eqx.nn.Conv`.

        **Raises:** `ValueError`, by name, for unknown, doubled and unreachable nodes and for cycles without a delay;
        `TypeError` for what cannot be a layer.
        """
        for what, names in (("inputs", inputs), ("outputs", outputs)):
            if isinstance(names, str) or not names:
                raise TypeError(
                    f'`snn.Graph`: `{what}` must be a tuple of names such as ("{what[:-1]}",), got {names!r}.'
                )
        for name, child in nodes.items():
            check_child("snn.Graph", f"node {name!r}", child)
        if isinstance(merge, Mapping):
            unknown = [name for name in merge if name not in nodes]
            if unknown:
                raise ValueError(f"`snn.Graph`: `merge` names {unknown}, but the nodes are {list(nodes)}.")
        merges = merge if isinstance(merge, Mapping) else dict.fromkeys(nodes, merge)
        self.nodes = dict(nodes)
        self.merges = {name: merges.get(name) or Add() for name in nodes}
        for name, one in self.merges.items():
            if not isinstance(one, AbstractMerge):
                raise TypeError(
                    f"`snn.Graph`: `merge` of {name!r} must be `snn.Add()` or `snn.Concatenate(axis)`, got {one!r}."
                )
        for edge in edges:
            if not isinstance(edge, Edge) and not (isinstance(edge, (tuple, list)) and len(edge) == 2):
                raise TypeError(
                    "`snn.Graph`: an edge is a pair of names, `(source, target)`, or `snn.Edge(source, target, delay)`,"
                    f" got {edge!r}."
                )
        joined = [edge if isinstance(edge, Edge) else Edge(*edge) for edge in edges]
        self.topology = analyse(tuple(nodes), joined, tuple(inputs), tuple(outputs))

    @property
    def children(self) -> tuple[Any, ...]:
        return tuple(self.nodes[name] for name in self.topology.order)

    def consumers(self) -> dict[str, list[Any]]:
        """The nodes that each input goes to."""
        return {
            name: [self.nodes[edge.target] for edge in self.topology.edges if edge.source == name]
            for name in self.topology.inputs
        }

    def begin(self, x: PyTree, key: PRNGKeyArray | None) -> tuple[States, PyTree]:
        known = self._by_input(x)
        in_shape = _node.freeze(jax.tree.map(lambda struct: struct.shape, x, is_leaf=_node.is_struct))
        layers: dict[str, Any] = {}
        taken: dict[str, jax.ShapeDtypeStruct] = {}
        while len(layers) < len(self.nodes):
            before = len(layers)
            for name in self.topology.order:
                struct = None if name in layers else self._guess(name, known)
                if struct is not None:
                    taken[name] = struct
                    layers[name], known[name] = _node.begin(
                        "snn.Graph", f"node {name!r}", self.nodes[name], struct, fold(key, _number(name))
                    )
            if len(layers) == before:
                lost = [name for name in self.topology.order if name not in layers]
                raise ValueError(
                    f"`snn.Graph`: the shapes of the inputs of {lost} cannot be told: they depend on each other "
                    "through a cycle. Where the cycle closes, merge by `snn.Add()`, or into an `eqx.nn.Linear` or "
                    "`eqx.nn.Conv`."
                )
        for name in self.topology.order:
            self._check_shapes(name, known, taken[name].shape)
        delayed = {
            edge.label: jnp.zeros((edge.delay, *known[edge.source].shape), known[edge.source].dtype)
            for edge in self.topology.edges
            if edge.delay
        }
        return States(layers, jnp.zeros((), jnp.int32), in_shape, delayed), self._output(known)

    def advance(
        self, states: States, x: PyTree, key: PRNGKeyArray | None, request: PyTree
    ) -> tuple[States, Any, PyTree]:
        key = fold(key, states.step)
        keys = {name: fold(key, _number(name)) for name in self.nodes}
        signals = self._by_input(self.cast(x))
        lines = _in_activation_dtype(states.delayed, signals)
        layers, emissions = {}, {}
        for name in self.topology.order:
            arriving = [_arriving(edge, signals, lines) for edge in self.topology.into(name)]
            layers[name], signals[name], emissions[name] = _advance_node(
                name, self.nodes[name], self.merges[name], states.layers[name], arriving, keys[name], request[name]
            )
        delayed = {
            edge.label: _pushed(edge, lines[edge.label], signals[edge.source])
            for edge in self.topology.edges
            if edge.delay
        }
        delayed = jax.tree.map(lambda new, old: new.astype(old.dtype), delayed, states.delayed)
        return States(layers, states.step + 1, states.in_shape, delayed), self._output(signals), emissions

    def sweep(self, states: States, xs: PyTree, keys: Array | None, request: PyTree) -> tuple[States, Any, PyTree]:
        signals = self._by_input(self.receive(xs))
        held = _in_activation_dtype(states.delayed, signals)
        steps = next(iter(signals.values())).shape[0]
        keys = fold_each(keys, states.step + jnp.arange(steps, dtype=jnp.int32))
        node_keys = {name: fold_each(keys, _number(name)) for name in self.nodes}
        layers: dict[str, Any] = {}
        emissions: dict[str, Any] = {}
        delayed: dict[str, Array] = {}

        def arriving(edge: Edge) -> Array | Bytes:
            if not edge.delay:
                return signals[edge.source]
            line = jnp.concatenate([held[edge.label], _like(edge, held[edge.label], numbers(signals[edge.source]))])
            delayed[edge.label] = line[steps:]
            return line[:steps]

        for component, cyclic in zip(self.topology.components, self.topology.cyclic, strict=True):
            outside = {
                edge.label: arriving(edge)
                for name in component
                for edge in self.topology.into(name)
                if not (cyclic and edge.source in component)
            }
            if cyclic:
                outside = {label: numbers(signal) for label, signal in outside.items()}
                new, trains, emitted, inner = self._sweep_cycle(component, states, held, outside, node_keys, request)
                layers.update(new)
                signals.update(trains)
                emissions.update(emitted)
                delayed.update(inner)
            else:
                (name,) = component
                merged, *others = outside.values()
                if others:
                    merge = jax.vmap(lambda *signals, merge=self.merges[name]: merge(list(signals)))
                    merged = merge(*map(numbers, outside.values()))
                layers[name], signals[name], emissions[name] = _node.sweep(
                    "snn.Graph",
                    f"node {name!r}",
                    self.nodes[name],
                    states.layers[name],
                    merged,
                    node_keys[name],
                    request[name],
                )
        delayed = jax.tree.map(lambda new, old: new.astype(old.dtype), delayed, states.delayed)
        out = self._output({name: numbers(signals[name]) for name in self.topology.outputs})
        return States(layers, states.step + steps, states.in_shape, delayed), out, emissions

    def expand(self, collect: PyTree) -> dict[str, PyTree]:
        return expand_children("snn.Graph", collect, self.nodes)

    def _sweep_cycle(self, component, states: States, held, outside: dict[str, Array], keys, request):
        """The nodes of a cycle, step by step together; what comes from outside it is there for all steps."""
        inner = [e for name in component for e in self.topology.into(name) if e.label not in outside]

        def step(parts, carry, x):
            nodes, merges = parts
            layers, lines = carry
            arriving, node_keys = x
            signals, new, emissions = {}, {}, {}
            for name in component:
                into = [
                    arriving[edge.label] if edge.label in arriving else _arriving(edge, signals, lines)
                    for edge in self.topology.into(name)
                ]
                new[name], signals[name], emissions[name] = _advance_node(
                    name, nodes[name], merges.get(name), layers[name], into, node_keys[name], request[name]
                )
            lines = {e.label: _pushed(e, lines[e.label], signals[e.source]) for e in inner if e.delay}
            return (new, lines), (signals, emissions)

        layers = {name: states.layers[name] for name in component}
        lines = {edge.label: held[edge.label] for edge in inner if edge.delay}
        xs = outside, {name: keys[name] for name in component}
        nodes = {name: self.nodes[name] for name in component}
        _node.refuse_pieces("snn.Graph", f"the cycle of {', '.join(map(repr, component))}", nodes)
        merges = {name: self.merges[name] for name in component if len(self.topology.into(name)) > 1}
        (layers, lines), (signals, emissions) = _loop.scan(step, (nodes, merges), (layers, lines), xs)
        return layers, signals, emissions, lines

    def _guess(self, name: str, known: Mapping[str, jax.ShapeDtypeStruct]) -> jax.ShapeDtypeStruct | None:
        """What goes into a node, as far as it can be told from the sources whose outputs are known."""
        structs = [known.get(edge.source) for edge in self.topology.into(name)]
        found = [struct for struct in structs if struct is not None]
        if not found:
            return None
        shape = found[0].shape
        if len(structs) > 1:
            shape = self.merges[name].guess([None if struct is None else struct.shape for struct in structs])
            shape = _node.input_shape(self.nodes[name], found[0].shape) if shape is None else shape
        return None if shape is None else jax.ShapeDtypeStruct(shape, found[0].dtype)

    def _check_shapes(self, name: str, known: Mapping[str, jax.ShapeDtypeStruct], taken: tuple[int, ...]) -> None:
        """Whether the signals that are merged fit each other and, merged, are of the shape that the node was given."""
        edges = self.topology.into(name)
        shapes = {edge.label: known[edge.source].shape for edge in edges}
        if len(edges) == 1:
            return
        if not self.merges[name].fits(list(shapes.values())):
            raise ValueError(
                f"`snn.Graph`: node {name!r} merges signals by `{self.merges[name]}` that do not fit each other: "
                f"{shapes}. `snn.Add()` wants one shape, `snn.Concatenate(axis)` shapes that differ in that axis "
                "alone."
            )
        merged = self.merges[name].guess(list(shapes.values()))
        if merged != taken:
            raise ValueError(
                f"`snn.Graph`: node {name!r}, {_node.describe(self.nodes[name])}, takes an input of shape {taken}, but "
                f"`{self.merges[name]}` makes {merged} of {shapes}."
            )

    def _by_input(self, x: PyTree) -> dict[str, Any]:
        return dict(x) if isinstance(x, Mapping) else {self.topology.inputs[0]: x}

    def _output(self, signals: Mapping[str, Any]) -> Any:
        outputs = {name: signals[name] for name in self.topology.outputs}
        return outputs[self.topology.outputs[0]] if len(outputs) == 1 else outputs


def _number(name: str) -> int:
    """The number of a node for its keys: of its name alone, so that other nodes do not change its random numbers."""
    return zlib.crc32(name.encode())


def _advance_node(name: str, node: Any, merge: Callable | None, state: PyTree, arriving: list[Array], key, request):
    return _node.advance("snn.Graph", f"node {name!r}", node, state, _merged(merge, arriving), key, request)


def _merged(merge: Callable | None, arriving: list[Array]) -> Array:
    return merge(arriving) if merge is not None and len(arriving) > 1 else arriving[0]


def _arriving(edge: Edge, signals: Mapping[str, Array], delayed: Mapping[str, Array]) -> Array:
    return delayed[edge.label][0] if edge.delay else signals[edge.source]


def _in_activation_dtype(delayed: dict[str, Array], inputs: Mapping[str, Array | Bytes]) -> dict[str, Array]:
    """What waits on the edges, in the dtype of the inputs if that is narrower than the one that it is kept in."""
    dtypes = [x.dtype for x in inputs.values() if jnp.issubdtype(x.dtype, jnp.inexact)]
    if not dtypes:
        return delayed
    narrow = jnp.finfo(dtypes[0]).bits
    return {n: a.astype(dtypes[0]) if jnp.finfo(a.dtype).bits > narrow else a for n, a in delayed.items()}


def _like(edge: Edge, line: Array, signal: Array) -> Array:
    if signal.dtype != line.dtype:
        raise TypeError(
            f"`snn.Graph`: the delayed edge {edge.label!r} holds {line.dtype} but was given {signal.dtype}. Give the "
            "network inputs of the dtype of its parameters."
        )
    return signal


def _pushed(edge: Edge, line: Array, signal: Array) -> Array:
    return jnp.concatenate([line[1:], _like(edge, line, signal)[None]])
