"""The shape of a graph: in which order its nodes run, and which of them form cycles."""

import dataclasses
from collections.abc import Iterable, Sequence

import equinox as eqx


class Edge(eqx.Module):
    """A connection of a `snn.Graph`: `target` receives what `source` gave `delay` steps ago.

    A pair of names is an edge without delay. Before the first step a delayed edge holds zeros.
    """

    source: str = eqx.field(static=True)
    target: str = eqx.field(static=True)
    delay: int = eqx.field(static=True, default=0)

    def __check_init__(self):
        for name in (self.source, self.target):
            if not isinstance(name, str):
                raise TypeError(f"`snn.Edge` connects nodes by name, got {name!r}.")
        if not isinstance(self.delay, int) or isinstance(self.delay, bool) or self.delay < 0:
            raise ValueError(f"`snn.Edge`: `delay` must be a number of time steps, 0 or more, got {self.delay!r}.")

    @property
    def label(self) -> str:
        """The name of the edge in states and messages."""
        return f"{self.source} -> {self.target}" + (f" (delay {self.delay})" if self.delay else "")


@dataclasses.dataclass(frozen=True)
class Topology:
    """What is known of a graph from its names alone.

    `order` has every node after all that it receives from in the same step. `components` are the strongly connected
    components, each after those that it receives from, its nodes in order; `cyclic` says which of them form a cycle.
    """

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    edges: tuple[Edge, ...]
    order: tuple[str, ...]
    components: tuple[tuple[str, ...], ...]
    cyclic: tuple[bool, ...]

    def into(self, name: str) -> tuple[Edge, ...]:
        """The edges into a node, in the order in which they were given."""
        return tuple(edge for edge in self.edges if edge.target == name)


def analyse(names: Sequence[str], edges: Sequence[Edge], inputs: Sequence[str], outputs: Sequence[str]) -> Topology:
    """Checks a graph and orders its nodes.

    **Raises:** `ValueError`, by name, for unknown, doubled and unreachable nodes, doubled edges and cycles without
    delay.
    """
    owner = "`snn.Graph`"
    known = [*inputs, *names]
    for name in inputs:
        if name in names:
            raise ValueError(f"{owner}: {name!r} is an input and a node. Give one of them another name.")
    for edge in edges:
        for name in (edge.source, edge.target):
            if name not in known:
                raise ValueError(f"{owner}: the edge {edge.label!r} names {name!r}, but the nodes are {known}.")
        if edge.target in inputs:
            raise ValueError(f"{owner}: the edge {edge.label!r} ends at an input. Inputs only send.")
    labels = [edge.label for edge in edges]
    doubled = sorted({label for label in labels if labels.count(label) > 1})
    if doubled:
        raise ValueError(f"{owner}: these edges are given twice: {doubled}. A node takes a signal once from each edge.")
    for name in outputs:
        if name not in names:
            raise ValueError(f"{owner}: the output {name!r} is none of the nodes {list(names)}.")
    _refuse_unreachable(owner, names, edges, inputs)
    order = _topological_order(owner, names, [edge for edge in edges if edge.delay == 0])
    components = _strong_components(order, edges)
    loops = {edge.source for edge in edges if edge.source == edge.target}
    cyclic = tuple(len(component) > 1 or not loops.isdisjoint(component) for component in components)
    return Topology(tuple(inputs), tuple(outputs), tuple(edges), tuple(order), components, cyclic)


def _refuse_unreachable(owner: str, names: Sequence[str], edges: Sequence[Edge], inputs: Sequence[str]) -> None:
    reached, frontier = set(inputs), list(inputs)
    while frontier:
        source = frontier.pop()
        for edge in edges:
            if edge.source == source and edge.target not in reached:
                reached.add(edge.target)
                frontier.append(edge.target)
    lost = [name for name in names if name not in reached]
    if lost:
        raise ValueError(f"{owner}: no input reaches the nodes {lost}. Add edges to them, or leave them out.")
    silent = [name for name in inputs if not any(edge.source == name for edge in edges)]
    if silent:
        raise ValueError(
            f"{owner}: the inputs {silent} are connected to nothing. Add edges from them, or leave them out."
        )


def _topological_order(owner: str, names: Sequence[str], edges: Sequence[Edge]) -> list[str]:
    """The nodes so that each comes after its sources; among those that are free, in the order given."""
    order: list[str] = []
    while len(order) < len(names):
        free = (
            name
            for name in names
            if name not in order and all(e.source in order or e.source not in names for e in edges if e.target == name)
        )
        name = next(free, None)
        if name is None:
            cycle = " -> ".join(repr(name) for name in _some_cycle([n for n in names if n not in order], edges))
            raise ValueError(
                f"{owner}: the edges {cycle} form a cycle without a delay. Give one of them `delay=1` or more: "
                "`snn.Edge(source, target, delay=1)`."
            )
        order.append(name)
    return order


def _some_cycle(names: Sequence[str], edges: Sequence[Edge]) -> list[str]:
    """A cycle among nodes each of which has a source among them."""
    path = [names[0]]
    while path.count(path[-1]) == 1:
        path.append(next(edge.source for edge in edges if edge.target == path[-1] and edge.source in names))
    return path[path.index(path[-1]) :][::-1]


def _strong_components(order: Sequence[str], edges: Iterable[Edge]) -> tuple[tuple[str, ...], ...]:
    """The strongly connected components, delayed edges included, each after those that it receives from.

    Two nodes are in one component if each reaches the other. Graphs of layers are small: reachability is written out.
    """
    reaches = {name: {name} for name in order}
    direct = [(edge.source, edge.target) for edge in edges if edge.source in reaches]
    changed = True
    while changed:
        changed = False
        for source, target in direct:
            new = reaches[target] - reaches[source]
            if new:
                reaches[source] |= new
                changed = True
    components: list[tuple[str, ...]] = []
    left = list(order)
    while left:
        for name in left:
            component = tuple(other for other in order if other in reaches[name] and name in reaches[other])
            outside = {source for source, target in direct if target in component} - set(component)
            if not outside & set(left):
                components.append(component)
                left = [other for other in left if other not in component]
                break
    return tuple(components)
