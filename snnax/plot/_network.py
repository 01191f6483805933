"""The graph of a network as boxes and arrows."""

from typing import TYPE_CHECKING, Any

from ..snn import Container, Graph, Recurrent, Sequential, SpikingLayer
from ..snn._layer import StatefulLayer, name_of
from ..snn._merge import Concatenate
from ..snn._record import layers_of
from ..snn._topology import Edge, Topology, analyse
from ._layout import HEIGHT, Layout, Point, layout
from ._panel import VERMILION, panel

if TYPE_CHECKING:
    import matplotlib.axes

_WIDTH = 0.86
# What is inside a box, how it is filled and how wide its line is: fills are told apart in grey too.
_STYLES = {
    "neurons that spike": ("#8FC7EC", 1.8),
    "state, no spikes": ("#D6F0E6", 1.0),
    "no state": ("white", 0.7),
}
_SCANNED = "#FBF4C0"


def network(model: Container, *, ax: "matplotlib.axes.Axes | None" = None) -> "matplotlib.axes.Axes":
    """The layers of a network as boxes, from the input at the top to the output below, and its edges as arrows.

    Edges with a delay are dashed and say how many steps. What is scanned step by step, because it is a cycle, lies on a
    yellow ground; a `snn.Recurrent` is a cycle of its own. A container inside of the network is one box: draw it for
    itself.

    **Arguments:**

    - `model`: a `snn.Graph` or a `snn.Sequential`.
    - `ax`: where to draw. Default: a new figure, as large as the network needs.
    """
    if isinstance(model, Graph):
        nodes, edges, inputs, outputs = model.nodes, model.topology.edges, model.topology.inputs, model.topology.outputs
        joined = {name for name, merge in model.merges.items() if isinstance(merge, Concatenate)}
    elif isinstance(model, Sequential):
        nodes = {str(i): layer for i, layer in enumerate(model)}
        names = ["input", *nodes]
        edges = [Edge(*pair) for pair in zip(names, names[1:], strict=False)]
        inputs, outputs, joined = ("input",), (names[-1],), set()
    else:
        raise TypeError(f"`plot.network`: `model` must be a `snn.Graph` or a `snn.Sequential`, got {type(model)}.")
    own = [Edge(name, name, 1) for name, layer in nodes.items() if isinstance(layer, Recurrent)]
    edges = [*edges, *(edge for edge in own if edge not in edges)]
    topology = analyse(tuple(nodes), edges, inputs, outputs)
    plan = layout(topology)
    xs, ys = zip(*plan.places.values(), *(point for route in plan.routes.values() for point in route), strict=True)
    left, right, low, high = min(xs) - 0.55, max(xs) + 0.6, min(ys) - 0.4, 0.4
    ax = panel("network", ax, (1.75 * (right - left) + 0.3, 0.66 * (high - low) + 0.5))
    for component, cyclic in zip(topology.components, topology.cyclic, strict=True):
        if cyclic:
            _add_ground(ax, component, plan)
    for edge in topology.edges:
        _add_edge(ax, edge, plan, topology)
    for name, (x, y) in plan.places.items():
        if isinstance(name, tuple):
            _add_arrow(ax, [plan.places[name[0]], (x, y + 0.1)], f"output of {name[0]}")
            ax.text(x, y, "output", ha="center", va="center", fontsize=8, style="italic")
        elif name in inputs:
            ax.text(x, y, name, ha="center", va="center", fontsize=8, style="italic", gid=f"input {name}")
        else:
            several = name in joined and len(topology.into(name)) > 1
            _add_box(ax, name, nodes[name], x, y, "\nconcatenated" if several else "")
    _add_legend(ax, [_kind(layer) for layer in nodes.values()], topology)
    ax.set(xlim=(left, right), ylim=(low, high))
    ax.set_axis_off()
    return ax


def _kind(layer: Any) -> str:
    inside = [one for _, one in layers_of(layer)]
    if any(isinstance(one, SpikingLayer) for one in inside):
        return "neurons that spike"
    return "state, no spikes" if any(isinstance(one, StatefulLayer) for one in inside) else "no state"


def _add_box(ax: Any, name: str, layer: Any, x: float, y: float, note: str) -> None:
    from matplotlib.patches import FancyBboxPatch

    fill, width = _STYLES[_kind(layer)]
    shape = "round,pad=0,rounding_size=0.08"
    corner = (x - _WIDTH / 2, y - HEIGHT / 2)
    box = FancyBboxPatch(corner, _WIDTH, HEIGHT, shape, facecolor=fill, edgecolor="black", linewidth=width, zorder=3)
    box.set_gid(f"node {name}")
    ax.add_patch(box)
    kind = name_of(layer).removeprefix("snn.")
    kind += f" of {len(layer.children)}" if isinstance(layer, Container) else ""
    ax.text(x, y, f"{name}\n{kind}{note}", ha="center", va="center", fontsize=8, zorder=4, linespacing=1.15)


def _add_ground(ax: Any, component: tuple[str, ...], plan: Layout) -> None:
    """One ground for a component, or, where other nodes lie between its own, one for each of its nodes."""
    from matplotlib.patches import Rectangle

    inside = [plan.places[name] for name in component]
    groups = [inside]
    (left, low), (right, high) = (tuple(pick(axis) for axis in zip(*inside, strict=True)) for pick in (min, max))
    others = [place for name, place in plan.places.items() if name not in component]
    if any(left - _WIDTH < x < right + _WIDTH and low <= y <= high for x, y in others):
        groups = [[place] for place in inside]
    for group in groups:
        (left, low), (right, high) = (tuple(pick(axis) for axis in zip(*group, strict=True)) for pick in (min, max))
        side, above = _WIDTH / 2 + 0.06, HEIGHT / 2 + 0.07
        size = (right - left + 2 * side, high - low + 2 * above)
        ground = Rectangle((left - side, low - above), *size, facecolor=_SCANNED, edgecolor="#C9B400", linewidth=0.8)
        ground.set(zorder=0, linestyle=":")
        ground.set_gid(f"scanned {' '.join(component)}")
        ax.add_patch(ground)


def _add_edge(ax: Any, edge: Edge, plan: Layout, topology: Topology) -> None:
    route = list(plan.routes[edge.label])
    if edge.label not in plan.lanes:
        # Arrows into a node are put side by side, in the order in which they come.
        into = [e.label for e in topology.into(edge.target) if e.label not in plan.lanes]
        into.sort(key=lambda label: plan.routes[label][-2])
        x, y = route[0]
        route[0] = (x, y + 0.15) if edge.source in topology.inputs else (x, y)
        x, y = route[-1]
        route[-1] = (x + 0.16 * (into.index(edge.label) - (len(into) - 1) / 2), y + HEIGHT / 2)
    _add_arrow(ax, route, f"edge {edge.label}", lane=edge.label in plan.lanes, delayed=edge.delay > 0)
    if edge.delay:
        if edge.label in plan.lanes:
            x, y = plan.lanes[edge.label], (route[2][1] + route[3][1]) / 2
        else:
            (x0, y0), (x1, y1) = route[-2:]
            x, y = (x0 + x1) / 2, (y0 - HEIGHT / 2 + y1) / 2 if len(route) == 2 else (y0 + y1) / 2
        label = f"{edge.delay} step" + "s" * (edge.delay > 1)
        frame = {"facecolor": "white", "edgecolor": "none", "pad": 0.8}
        ax.text(x, y, label, fontsize=7, ha="center", va="center", color=VERMILION, zorder=5, bbox=frame)


def _add_arrow(ax: Any, route: list[Point], gid: str, *, lane: bool = False, delayed: bool = False) -> None:
    from matplotlib.patches import FancyArrowPatch
    from matplotlib.path import Path

    points = route if lane else []
    codes = [Path.LINETO] * len(points)
    if not lane:
        for (x0, y0), (x1, y1) in zip(route, route[1:], strict=False):
            start, end = y0 - HEIGHT / 2, y1 if (x1, y1) == route[-1] else y1 + HEIGHT / 2
            middle = (start + end) / 2
            points = [*points, (x0, start), (x0, middle), (x1, middle), (x1, end)]
            codes += [Path.LINETO, *[Path.CURVE4] * 3]
    codes[0] = Path.MOVETO
    colour = VERMILION if delayed else "0.25"
    style = {"linestyle": (0, (4, 2)) if delayed else "-", "linewidth": 1.1, "color": colour}
    path = Path(points, codes)
    arrow = FancyArrowPatch(path=path, arrowstyle="-|>", mutation_scale=9, joinstyle="round", zorder=2, **style)
    arrow.set_gid(gid)
    ax.add_patch(arrow)


def _add_legend(ax: Any, kinds: list[str], topology: Topology) -> None:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    handles: list[Any] = [
        Patch(facecolor=fill, edgecolor="black", linewidth=width, label=kind)
        for kind, (fill, width) in _STYLES.items()
        if kind in kinds
    ]
    if any(topology.cyclic):
        handles.append(Patch(facecolor=_SCANNED, edgecolor="#C9B400", linestyle=":", label="a cycle, scanned"))
    if any(edge.delay for edge in topology.edges):
        handles.append(Line2D([], [], color=VERMILION, linewidth=1.1, linestyle=(0, (4, 2)), label="delayed"))
    ax.legend(handles=handles, loc="upper center", bbox_to_anchor=(0.5, 0.0), ncols=2, fontsize=7.5, frameon=False)
