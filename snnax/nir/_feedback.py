"""Where the feedback of a graph without delays waits for the next time step."""

from collections.abc import Collection, Sequence, Set

Edge = tuple[str, str]


class NoNeuron(ValueError):
    """A cycle without a neuron: its signal depends on itself within a time step."""

    def __init__(self, cycle: Sequence[str]):
        self.cycle = tuple(cycle)
        super().__init__(" -> ".join(map(repr, cycle)))


def delayed_edges(
    inputs: Sequence[str], edges: Collection[Edge], neurons: Set[str], *, after_synapse: bool = False
) -> set[Edge]:
    """The edges that carry the signal of the step before, so that no cycle is left among the others.

    Walked from the inputs, depth first and along names in alphabetical order, an edge that leads back to where the walk
    is coming from closes a cycle. Its delay lies at the output of the neuron before it, on the way from which every
    signal goes back; with `after_synapse` on the edge itself.

    **Raises:** `NoNeuron`.
    """
    targets = {name: sorted(b for a, b in edges if a == name) for edge in edges for name in edge}
    starts = [*inputs, *sorted(name for name in targets if name not in inputs)]
    synapses = {name: [b for b in after if b not in neurons] for name, after in targets.items() if name not in neurons}
    for closing, path in _back_edges([name for name in starts if name not in neurons], synapses):
        raise NoNeuron([*path[path.index(closing[1]) :], closing[1]])
    delayed = {edge for edge, _ in _back_edges(starts, targets)}
    if after_synapse:
        return delayed
    while True:
        movable = (
            name
            for name in sorted(targets)
            if name not in neurons and targets[name] and all((name, b) in delayed for b in targets[name])
        )
        name = next(movable, None)
        if name is None:
            return delayed
        delayed -= {(name, b) for b in targets[name]}
        delayed |= {(a, b) for a, b in edges if b == name and reaches(edges, name, a)}


def _back_edges(starts: Sequence[str], targets: dict[str, list[str]]):
    """Each edge that leads back into the path on which it was found, with that path."""
    done: set[str] = set()
    for start in (name for name in starts if name not in done):
        path, ways = [start], [iter(targets.get(start, ()))]
        while path:
            after = next(ways[-1], None)
            if after is None:
                done.add(path.pop())
                ways.pop()
            elif after in path:
                yield (path[-1], after), tuple(path)
            elif after not in done:
                path.append(after)
                ways.append(iter(targets.get(after, ())))


def reaches(edges: Collection[Edge], source: str, name: str) -> bool:
    """Whether a walk of one edge or more leads from `source` to `name`."""
    reached: set[str] = set()
    frontier = [source]
    while frontier:
        at = frontier.pop()
        new = {b for a, b in edges if a == at} - reached
        reached |= new
        frontier += new
    return name in reached
