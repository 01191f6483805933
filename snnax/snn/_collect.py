"""What a container keeps of each layer: whole trains, or what is accumulated of them inside the time loop.

A collector sees the outputs of a layer in blocks of consecutive steps: of one step under `StepByStep`, of all under
`LayerByLayer`. What it accumulates is carried from block to block; what it emits is put end to end.
"""

import abc
from collections.abc import Callable
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, PyTree


class Emission(eqx.Module):
    """What a layer gave in a block of steps: `out`, and `state` where somebody asked for it; time is axis 0.

    `counted` tells for each step whether it counts, `None` that all do.
    """

    out: Array
    state: PyTree
    counted: Array | None = None

    def outs(self, dtype: Any, other: float = 0.0) -> Array:
        """The outputs in `dtype`, with `other` in the steps that do not count."""
        out = self.out.astype(dtype)
        if self.counted is None:
            return out
        return jnp.where(self.counted.reshape(-1, *(1,) * (out.ndim - 1)), out, jnp.asarray(other, dtype))

    def numbered(self, seen: Array) -> tuple[Array, Array]:
        """For every step of the block its number among those that count, -1 where it does not; and how many there are
        now, after `seen` before the block.
        """
        counted = jnp.ones(self.out.shape[0], bool) if self.counted is None else self.counted
        numbers = jnp.where(counted, seen + jnp.cumsum(counted, dtype=jnp.int32) - 1, -1)
        return numbers, seen + jnp.sum(counted, dtype=jnp.int32)


class AbstractCollector(eqx.Module):
    """What a collector is. `init` starts the accumulator, `update` takes in a block, `finish` gives the result.

    `wants_states` says whether it needs the states of its layer, `accumulates` whether it carries something from block
    to block.
    """

    wants_states: ClassVar[bool] = False
    accumulates: ClassVar[bool] = True

    def check(self, steps: int) -> None:
        """Refuses a sequence of `steps` steps that this collector cannot collect from."""
        del steps

    def check_layer(self, owner: str, name: Any, layer: Any) -> None:
        """Refuses a layer, `name` of the container `owner`, from whose outputs this collector makes no sense."""
        del owner, name, layer

    @abc.abstractmethod
    def init(self, out: jax.ShapeDtypeStruct) -> PyTree:
        """The accumulator before the first step, for a layer whose output at one step is like `out`."""

    @abc.abstractmethod
    def update(self, accumulator: PyTree, block: Emission) -> tuple[PyTree, PyTree]:
        """The accumulator after a block of steps, and what to keep of every step (or `None`)."""

    @abc.abstractmethod
    def finish(self, accumulator: PyTree, kept: PyTree) -> PyTree:
        """The result, from the last accumulator and all that was kept, `(time, ...)`."""


def is_collector(node: Any) -> bool:
    return isinstance(node, AbstractCollector)


def wants_states(request: PyTree) -> bool:
    """Whether somebody asks for the states of a layer."""
    return any(collector.wants_states for collector in jax.tree.leaves(request, is_leaf=is_collector))


def accumulates(request: PyTree) -> bool:
    """Whether something is carried from block to block."""
    return any(collector.accumulates for collector in jax.tree.leaves(request, is_leaf=is_collector))


def check(request: PyTree, steps: int) -> None:
    """Refuses a sequence of `steps` steps that some collector cannot collect from."""
    for collector in jax.tree.leaves(request, is_leaf=is_collector):
        collector.check(steps)


def start(request: PyTree, emissions: PyTree) -> PyTree:
    """The accumulators of all collectors; `emissions` has the shapes of one step."""
    return _for_each(lambda collector, emission: collector.init(emission.out), request, emissions)


def update(request: PyTree, accumulators: list, emissions: PyTree) -> tuple[list, list]:
    """Takes a block of steps into every collector: their new accumulators, and what each keeps of the steps."""
    todo = iter(accumulators)
    pairs = _for_each(lambda collector, emission: collector.update(next(todo), emission), request, emissions)
    return [accumulator for accumulator, _ in pairs], [kept for _, kept in pairs]


def finish(request: PyTree, accumulators: list, kept: list) -> PyTree:
    """The results, in the structure of the request."""
    collectors, treedef = jax.tree.flatten(request, is_leaf=is_collector)
    results = [c.finish(a, k) for c, a, k in zip(collectors, accumulators, kept, strict=True)]
    return jax.tree.unflatten(treedef, results)


def _for_each(function: Callable, request: PyTree, emissions: PyTree) -> list:
    """`function(collector, emission)` for every collector, in the order of the request's leaves."""
    results = []

    def visit(emission, wanted):
        results.extend(function(c, emission) for c in jax.tree.leaves(wanted, is_leaf=is_collector))

    jax.tree.map(visit, emissions, request, is_leaf=lambda node: isinstance(node, Emission))
    return results
