"""The collectors: what can be kept of a layer's outputs over time."""

from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, PyTree

from ..functional.surrogate import AbstractSurrogate
from ..functional.surrogate._surrogate import has_several
from ._collect import AbstractCollector, Emission, is_collector
from ._layer import name_of
from ._node import Composite


class Trains(AbstractCollector):
    """Every output: `(time, *out_shape)`. The default."""

    accumulates: ClassVar[bool] = False

    def init(self, out: jax.ShapeDtypeStruct) -> PyTree:
        return None

    def update(self, accumulator: PyTree, block: Emission) -> tuple[PyTree, PyTree]:
        return None, block.out

    def finish(self, accumulator: PyTree, kept: PyTree) -> PyTree:
        return kept


class Traces(AbstractCollector):
    """The state after every step: the layer's state with `(time, ...)` arrays; `None` for a layer without state."""

    wants_states: ClassVar[bool] = True
    accumulates: ClassVar[bool] = False

    def init(self, out: jax.ShapeDtypeStruct) -> PyTree:
        return None

    def update(self, accumulator: PyTree, block: Emission) -> tuple[PyTree, PyTree]:
        return None, block.state

    def finish(self, accumulator: PyTree, kept: PyTree) -> PyTree:
        return kept


class Sum(AbstractCollector):
    """The sum of the outputs over time: the spike count. Of shape `out_shape`, in float32 at least."""

    def init(self, out: jax.ShapeDtypeStruct) -> PyTree:
        return jnp.zeros(out.shape, float32_at_least(out.dtype))

    def update(self, accumulator: PyTree, block: Emission) -> tuple[PyTree, PyTree]:
        return accumulator + jnp.sum(block.outs(accumulator.dtype), axis=0), None

    def finish(self, accumulator: PyTree, kept: PyTree) -> PyTree:
        return accumulator


class Mean(AbstractCollector):
    """The mean of the outputs over time: the firing rate per step. Of shape `out_shape`, in float32 at least."""

    def init(self, out: jax.ShapeDtypeStruct) -> PyTree:
        return Sum().init(out), jnp.zeros((), jnp.int32)

    def update(self, accumulator: PyTree, block: Emission) -> tuple[PyTree, PyTree]:
        total, steps = accumulator
        return (Sum().update(total, block)[0], block.numbered(steps)[1]), None

    def finish(self, accumulator: PyTree, kept: PyTree) -> PyTree:
        total, steps = accumulator
        return total / steps.astype(total.dtype)


class Max(AbstractCollector):
    """The largest output over time, of shape `out_shape`."""

    def init(self, out: jax.ShapeDtypeStruct) -> PyTree:
        return jnp.full(out.shape, -jnp.inf, float32_at_least(out.dtype))

    def update(self, accumulator: PyTree, block: Emission) -> tuple[PyTree, PyTree]:
        return jnp.maximum(accumulator, jnp.max(block.outs(accumulator.dtype, -jnp.inf), axis=0)), None

    def finish(self, accumulator: PyTree, kept: PyTree) -> PyTree:
        return accumulator


class Last(AbstractCollector):
    """The output of the last step, of shape `out_shape`."""

    def init(self, out: jax.ShapeDtypeStruct) -> PyTree:
        return jnp.zeros(out.shape, out.dtype)

    def update(self, accumulator: PyTree, block: Emission) -> tuple[PyTree, PyTree]:
        if block.counted is None:
            return block.out[-1], None
        last = jnp.max(jnp.where(block.counted, jnp.arange(block.counted.size), -1))
        return jnp.where(last < 0, accumulator, block.out[last]), None

    def finish(self, accumulator: PyTree, kept: PyTree) -> PyTree:
        return accumulator


class At(AbstractCollector):
    """The outputs of some steps, for a read-out at several times: `(len(steps), *out_shape)`."""

    at: tuple[int, ...] = eqx.field(static=True)

    def __init__(self, steps: tuple[int, ...] | list[int]):
        """**Arguments:** `steps`: which, counted from 0, the first step of the call."""
        if (
            not isinstance(steps, (tuple, list))
            or not steps
            or not all(isinstance(step, int) and not isinstance(step, bool) and step >= 0 for step in steps)
        ):
            raise ValueError(
                f"`snn.At`: `steps` must be a tuple of steps such as (10, 20), each 0 or more, got {steps}."
            )
        self.at = tuple(steps)

    def check(self, steps: int) -> None:
        if max(self.at) >= steps:
            raise ValueError(f"`snn.At({self.at})`: the sequence has {steps} steps, of which the last is {steps - 1}.")

    def init(self, out: jax.ShapeDtypeStruct) -> PyTree:
        return jnp.zeros((len(self.at), *out.shape), out.dtype), jnp.zeros((), jnp.int32)

    def update(self, accumulator: PyTree, block: Emission) -> tuple[PyTree, PyTree]:
        found, seen = accumulator
        numbers, seen = block.numbered(seen)
        for i, step in enumerate(self.at):
            here = numbers == step
            found = found.at[i].set(jnp.where(jnp.any(here), block.out[jnp.argmax(here)], found[i]))
        return (found, seen), None

    def finish(self, accumulator: PyTree, kept: PyTree) -> PyTree:
        return accumulator[0]


class FirstSpike(AbstractCollector):
    r"""The step of the first spike, counted from the first step of the call; the number of steps where none came.

    $$t = \sum_t \prod_{t' \le t} (1 - s_{t'})$$

    for outputs of 0 and 1. Written so, the surrogate gradient of the spikes flows: $\partial t / \partial s_k$ is minus
    the time between step $k$ and the next spike after it, for steps up to the first spike, and 0 for later ones.

    Of shape `out_shape`, in float32 at least. Layers whose spikes have another size or sign, by `surrogate.Ternary` or
    `surrogate.MultiLevel`, are refused.
    """

    def check_layer(self, owner: str, name: Any, layer: Any) -> None:
        def is_graded(node):
            return isinstance(node, Composite) or (isinstance(node, AbstractSurrogate) and has_several(node))

        for node in filter(is_graded, jax.tree.leaves(layer, is_leaf=is_graded)):
            if not isinstance(node, Composite):
                raise ValueError(
                    f"`{owner}`: `snn.FirstSpike` takes spikes of 0 and 1, and layer {name!r}, `{name_of(layer)}`, "
                    f"gives others by `surrogate.{type(node).__name__}`. Leave that layer out, "
                    "`collect={layer: snn.FirstSpike()}` for another; its own first spikes are `jnp.argmax(train != 0, "
                    "axis=0)` of `snn.Trains()`, without a gradient."
                )

    def init(self, out: jax.ShapeDtypeStruct) -> PyTree:
        dtype = float32_at_least(out.dtype)
        return jnp.ones(out.shape, dtype), jnp.zeros(out.shape, dtype)

    def update(self, accumulator: PyTree, block: Emission) -> tuple[PyTree, PyTree]:
        silent, time = accumulator
        silent = silent * jnp.cumprod(1 - block.outs(silent.dtype), axis=0)
        waited = Emission(silent, None, block.counted).outs(silent.dtype)
        return (silent[-1], time + jnp.sum(waited, axis=0)), None

    def finish(self, accumulator: PyTree, kept: PyTree) -> PyTree:
        return accumulator[1]


class Window(AbstractCollector):
    """What `collector` makes of the steps from `start` to before `stop`; steps count from the first of the window.

    A sequence that is padded to the length of others, and a read-out that leaves out the first steps:

        model(states, xs, collect={-1: snn.Window(snn.Mean(), stop=length)})
        model(states, xs, collect={-1: snn.Window(snn.Sum(), start=20)})

    The network runs through all steps of the sequence, and the states that come back are those after the last of them:
    after the padding, not at `stop`.
    """

    collector: AbstractCollector
    start: int | np.generic | np.ndarray | Array
    stop: int | np.generic | np.ndarray | Array | None

    def __init__(
        self,
        collector: AbstractCollector,
        *,
        start: int | np.generic | np.ndarray | Array = 0,
        stop: int | np.generic | np.ndarray | Array | None = None,
    ):
        """**Arguments:**

        - `collector`: one that accumulates, such as `snn.Sum()`.
        - `start`, `stop`: whole numbers, which may be traced (another length for each example). The window must hold at
            least one step and lie within the sequence; for traced numbers that is not checked. Default: the whole
            sequence.
        """
        if not is_collector(collector) or not collector.accumulates:
            raise TypeError(
                f"`snn.Window` takes a collector that accumulates, such as `snn.Sum()`, got {collector!r}. Whole "
                "trains are cut by slicing them."
            )
        for name, value in (("start", start), ("stop", stop)):
            if value is not None and not (jnp.ndim(value) == 0 and jnp.issubdtype(jnp.result_type(value), jnp.integer)):
                raise TypeError(f"`snn.Window`: `{name}` must be a whole number of steps, got {value!r}.")
        self.collector, self.start, self.stop = collector, start, stop

    def check(self, steps: int) -> None:
        stop = steps if self.stop is None else self.stop
        if isinstance(self.start, Tracer) or isinstance(stop, Tracer):
            return
        start, stop = int(self.start), int(stop)
        if not 0 <= start < stop <= steps:
            raise ValueError(
                f"`snn.Window`: the window from {start} to {stop} must hold a step and lie within the sequence of "
                f"{steps} steps."
            )
        self.collector.check(stop - start)

    def check_layer(self, owner: str, name: Any, layer: Any) -> None:
        self.collector.check_layer(owner, name, layer)

    def init(self, out: jax.ShapeDtypeStruct) -> PyTree:
        return self.collector.init(out), jnp.zeros((), jnp.int32)

    def update(self, accumulator: PyTree, block: Emission) -> tuple[PyTree, PyTree]:
        inner, seen = accumulator
        numbers, seen = block.numbered(seen)
        counted = (numbers >= jnp.asarray(self.start, jnp.int32)) & (numbers >= 0)
        if self.stop is not None:
            counted = counted & (numbers < jnp.asarray(self.stop, jnp.int32))
        inner, _ = self.collector.update(inner, Emission(block.out, block.state, counted))
        return (inner, seen), None

    def finish(self, accumulator: PyTree, kept: PyTree) -> PyTree:
        return self.collector.finish(accumulator[0], None)


def float32_at_least(dtype: Any) -> Any:
    """`dtype`, or float32 where that is narrower."""
    wide = jnp.issubdtype(dtype, jnp.inexact) and jnp.finfo(dtype).bits >= 32
    return dtype if wide else jnp.dtype(jnp.float32)
