"""Which edges of a NIR graph, and of its counterpart here, carry the signal of the step before.

NIR has no delay but that of `Delay` nodes, and a cycle without one has no meaning until a simulator puts a step
somewhere. A `Delay` node of a step or more in a cycle gives one of its steps to the edges into it; every other cycle
waits for a step at the output of a neuron, see `delayed_edges`.
"""

from collections.abc import Collection, Mapping, Sequence, Set
from typing import Any

import jax

from .. import snn
from ._feedback import Edge, delayed_edges, reaches


def waiting_edges(
    inputs: Sequence[str],
    edges: Collection[Edge],
    neurons: Set[str],
    delays: Mapping[str, int],
    *,
    after_synapse: bool = False,
) -> tuple[set[Edge], set[str]]:
    """The edges that wait for one step, and the `Delay` nodes that last one step less for it.

    **Arguments:** `delays`: the shortest delay of each `Delay` node, in steps.
    """
    giving = {name for name, steps in delays.items() if steps >= 1 and reaches(edges, name, name)}
    given = {(a, b) for a, b in edges if b in giving}
    rest = [edge for edge in edges if edge not in given]
    return given | delayed_edges(inputs, rest, neurons, after_synapse=after_synapse), giving


def has_state(layer: Any) -> bool:
    """Whether a layer, or one in it, has a state: only such a one can wait."""
    return any(
        isinstance(node, snn.StatefulLayer)
        for node in jax.tree.leaves(layer, is_leaf=lambda node: isinstance(node, snn.StatefulLayer))
    )
