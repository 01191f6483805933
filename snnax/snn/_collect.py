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
    """What a layer gave in a block of steps: `out`, and `state` where somebody asked for it; time is axis 0."""

    out: Array
    state: PyTree


class AbstractCollector(eqx.Module):
    """What a collector is. `init` starts the accumulator, `update` takes in a block, `finish` gives the result."""

    wants_states: ClassVar[bool] = False

    @abc.abstractmethod
    def init(self, out: jax.ShapeDtypeStruct) -> PyTree:
        """The accumulator before the first step, for a layer whose output at one step is like `out`."""

    @abc.abstractmethod
    def update(self, accumulator: PyTree, block: Emission) -> tuple[PyTree, PyTree]:
        """The accumulator after a block of steps, and what to keep of every step (or `None`)."""

    @abc.abstractmethod
    def finish(self, accumulator: PyTree, kept: PyTree) -> PyTree:
        """The result, from the last accumulator and all that was kept, `(time, ...)`."""


class Trains(AbstractCollector):
    """Every output: `(time, *out_shape)`. The default."""

    def init(self, out: jax.ShapeDtypeStruct) -> PyTree:
        return None

    def update(self, accumulator: PyTree, block: Emission) -> tuple[PyTree, PyTree]:
        return None, block.out

    def finish(self, accumulator: PyTree, kept: PyTree) -> PyTree:
        return kept


class Sum(AbstractCollector):
    """The sum of the outputs over time: the spike count. Of shape `out_shape`, in float32 at least."""

    def init(self, out: jax.ShapeDtypeStruct) -> PyTree:
        return jnp.zeros(out.shape, _float32_at_least(out.dtype))

    def update(self, accumulator: PyTree, block: Emission) -> tuple[PyTree, PyTree]:
        return accumulator + jnp.sum(block.out.astype(accumulator.dtype), axis=0), None

    def finish(self, accumulator: PyTree, kept: PyTree) -> PyTree:
        return accumulator


class Max(AbstractCollector):
    """The largest output over time, of shape `out_shape`."""

    def init(self, out: jax.ShapeDtypeStruct) -> PyTree:
        return jnp.full(out.shape, -jnp.inf, _float32_at_least(out.dtype))

    def update(self, accumulator: PyTree, block: Emission) -> tuple[PyTree, PyTree]:
        return jnp.maximum(accumulator, jnp.max(block.out.astype(accumulator.dtype), axis=0)), None

    def finish(self, accumulator: PyTree, kept: PyTree) -> PyTree:
        return accumulator


class FirstSpike(AbstractCollector):
    r"""The step of the first spike, counted from the first step of the call; the number of steps where none came.

    $$t = \sum_t \prod_{t' \le t} (1 - s_{t'})$$

    for outputs of 0 and 1. Written so, the surrogate gradient of the spikes flows: $\partial t / \partial s_k$ is minus
    the time between step $k$ and the next spike after it, for steps up to the first spike, and 0 for later ones.

    Of shape `out_shape`, in float32 at least.
    """

    def init(self, out: jax.ShapeDtypeStruct) -> PyTree:
        dtype = _float32_at_least(out.dtype)
        return jnp.ones(out.shape, dtype), jnp.zeros(out.shape, dtype)

    def update(self, accumulator: PyTree, block: Emission) -> tuple[PyTree, PyTree]:
        silent, time = accumulator
        silent = silent * jnp.cumprod(1 - block.out.astype(silent.dtype), axis=0)
        return (silent[-1], time + jnp.sum(silent, axis=0)), None

    def finish(self, accumulator: PyTree, kept: PyTree) -> PyTree:
        return accumulator[1]


class Traces(AbstractCollector):
    """The state after every step: the layer's state with `(time, ...)` arrays; `None` for a layer without state."""

    wants_states: ClassVar[bool] = True

    def init(self, out: jax.ShapeDtypeStruct) -> PyTree:
        return None

    def update(self, accumulator: PyTree, block: Emission) -> tuple[PyTree, PyTree]:
        return None, block.state

    def finish(self, accumulator: PyTree, kept: PyTree) -> PyTree:
        return kept


def _float32_at_least(dtype: Any) -> Any:
    wide = jnp.issubdtype(dtype, jnp.inexact) and jnp.finfo(dtype).bits >= 32
    return dtype if wide else jnp.dtype(jnp.float32)


def is_collector(node: Any) -> bool:
    return isinstance(node, AbstractCollector)


def wants_states(request: PyTree) -> bool:
    """Whether somebody asks for the states of a layer."""
    return any(collector.wants_states for collector in jax.tree.leaves(request, is_leaf=is_collector))


def accumulates(request: PyTree) -> bool:
    """Whether something is carried from block to block."""
    return any(
        not isinstance(collector, (Trains, Traces)) for collector in jax.tree.leaves(request, is_leaf=is_collector)
    )


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
