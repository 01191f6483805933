"""Where the boxes and lines of a graph go: levels from top to bottom, lanes at the side for what goes back up."""

import dataclasses
from collections.abc import Mapping, Sequence

from ..snn._topology import Edge, Topology

HEIGHT = 0.54
"""Of a box, where levels are 1 apart, as columns are."""
Point = tuple[float, float]


@dataclasses.dataclass(frozen=True)
class Layout:
    """`places` has the centre of each input, node and output (`(name,)` for the output of a node); `routes` the corners
    of each edge, from its source to its target, by its label; `lanes` the edges that go up, and where.
    """

    places: dict[str | tuple[str], Point]
    routes: dict[str, list[Point]]
    lanes: dict[str, float]


def layout(topology: Topology) -> Layout:
    """A layered layout (K. Sugiyama, S. Tagawa and M. Toda 1981, doi:10.1109/TSMC.1981.4308636).

    A node is one level below the lowest of those that it receives from; an edge over several levels has a place of its
    own in each between; places in a level are in the order of the mean place of their neighbours.
    """
    order = _order(topology)
    rank = {name: i for i, name in enumerate(order)}
    down = [edge for edge in topology.edges if rank[edge.source] < rank[edge.target]]
    up = [edge for edge in topology.edges if rank[edge.source] >= rank[edge.target]]
    level: dict = {}
    for name in order:
        level[name] = max((level[edge.source] + 1 for edge in down if edge.target == name), default=0)
    level |= {(name,): level[name] + 1 for name in topology.outputs}
    chains = {edge.label: _chain(edge.source, edge.target, edge.label, level) for edge in down}
    links = [pair for chain in chains.values() for pair in zip(chain, chain[1:], strict=False)]
    links += [(name, (name,)) for name in topology.outputs]
    rows: list[list] = [[] for _ in range(max(level.values()) + 1)]
    for one, row in level.items():
        rows[row].append(one)
    across = _across(rows, links)
    places = {one: (across[one], -float(row)) for one, row in level.items()}
    routes = {label: [places[one] for one in chain] for label, chain in chains.items()}
    lanes = _lanes(up, level, max(across.values()) + 0.62)
    for number, edge in enumerate(up):
        (x0, y0), (x1, y1), x = places[edge.source], places[edge.target], lanes[edge.label]
        gap = HEIGHT / 2 + 0.11 + 0.07 * (number % 3)
        routes[edge.label] = [
            (x0 + 0.3, y0 - HEIGHT / 2),
            (x0 + 0.3, y0 - gap),
            (x, y0 - gap),
            (x, y1 + gap),
            (x1 + 0.3, y1 + gap),
            (x1 + 0.3, y1 + HEIGHT / 2),
        ]
    real = {*order, *((name,) for name in topology.outputs)}
    return Layout({one: place for one, place in places.items() if one in real}, routes, lanes)


def _order(topology: Topology) -> list[str]:
    """Inputs and nodes, so that of a cycle only that edge goes back which closes it on the way from the inputs."""
    place = {name: i for i, name in enumerate(topology.order)}
    finished: list[str] = []
    seen: set[str] = set()

    def visit(name: str) -> None:
        seen.add(name)
        onward = [edge for edge in topology.edges if edge.source == name]
        for edge in sorted(onward, key=lambda edge: (edge.delay > 0, place[edge.target])):
            if edge.target not in seen:
                visit(edge.target)
        finished.append(name)

    for name in topology.inputs[::-1]:
        visit(name)
    return finished[::-1]


def _chain(source: str, target: str, label: str, level: dict) -> list:
    """The source, a place in each level between, and the target."""
    between = [(label, row) for row in range(level[source] + 1, level[target])]
    level.update({place: place[1] for place in between})
    return [source, *between, target]


def _across(rows: list[list], links: Sequence[tuple]) -> dict:
    """The column of each place: rows are put in order of the mean column of the neighbours, down and up in turns."""
    across = {}

    def place(row: list) -> None:
        across.update({one: i - (len(row) - 1) / 2 for i, one in enumerate(row)})

    for row in rows:
        place(row)
    for sweep in range(6):
        ends = (0, 1) if sweep % 2 else (1, 0)
        for row in rows if sweep % 2 == 0 else rows[::-1]:
            means = {}
            for one in row:
                near = [across[link[ends[1]]] for link in links if link[ends[0]] == one]
                means[one] = sum(near) / len(near) if near else across[one]
            row.sort(key=means.__getitem__)
            place(row)
    return across


def _lanes(up: Sequence[Edge], level: Mapping, first: float) -> dict[str, float]:
    """Columns at the right, in which no two edges overlap; short ones inside."""
    taken: list[list[tuple[int, int]]] = []
    lanes = {}
    for edge in sorted(up, key=lambda edge: level[edge.source] - level[edge.target]):
        low, high = level[edge.target], level[edge.source]
        free = (i for i, lane in enumerate(taken) if all(high < a or b < low for a, b in lane))
        i = next(free, len(taken))
        if i == len(taken):
            taken.append([])
        taken[i].append((low, high))
        lanes[edge.label] = first + 0.2 * i
    return lanes
