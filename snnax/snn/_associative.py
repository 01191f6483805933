"""Layers whose state is linear, over all time at once."""

from collections.abc import Sequence
from typing import Any

import jax
from jaxtyping import Array, PRNGKeyArray, PyTree

from . import _node
from ._layer import StatefulLayer, name_of
from ._node import Composite, Nest
from ._spiking import SpikingLayer


class Associative(Nest):
    r"""A layer that computes all steps of a sequence together, by an associative scan, in place of one after the other.

        snn.Sequential(eqx.nn.Linear(8, 4, key=key), snn.Associative(snn.SimpleLIF(0.9, reset=snn.NoReset())))

    Values, states and gradients are those of the layer, but for rounding; a single step is the layer's own. The state
    must be linear in itself: integrators, neurons without reset and refractory period, linear state-space layers.

    It takes $O(\log T)$ rounds in place of $T$ steps, and more arithmetic and memory: for machines on which a step
    costs more than its arithmetic. On a CPU it mostly took 1.0 to 2 times as long as the loop, see docs/benchmarks.rst.

    A layer of one's own takes part by a method `in_parallel(state, xs, *, keys=None)` with the arguments and returns of
    `over_time`.

    Source: W. Fang et al. 2023, arXiv:2304.12760, for neurons without reset; E. Martin and C. Cundy 2018,
    arXiv:1709.04057, for the scan.
    """

    layer: Any

    def __init__(self, layer: StatefulLayer):
        """**Arguments:** `layer`: one that has such a form: `SimpleLI`, `LI`, `LRU`, `S5`, `AssociativeMemory`, and
        `SimpleLIF`, `LIF`, `DoubleExpLIF`, `SimpleIAF`, `IAF`, `ResonateAndFire` with `reset=snn.NoReset()` and without
        refractory period.
        """
        if not isinstance(layer, StatefulLayer) or not hasattr(layer, "in_parallel"):
            raise TypeError(
                f"`snn.Associative`: `{name_of(layer)}` does not say how to compute all its steps at once. Leave it as "
                "it is (every plan runs it), or give it a method `in_parallel(state, xs, *, keys=None)` if its state "
                "is linear. Layers without state, `snn.Delay` and containers need none; put it around single layers."
            )
        if isinstance(layer, SpikingLayer):
            layer.check_linear()
        self.layer = layer

    @property
    def children(self) -> tuple[Any, ...]:
        return (self.layer,)

    def init_state(self, in_shape: Sequence[int], key: PRNGKeyArray | None = None) -> PyTree:
        """The state of the layer."""
        x = jax.ShapeDtypeStruct(tuple(in_shape), _node.input_dtype(self.children, self.children))
        return _node.begin("snn.Associative", "the layer", self.layer, x, key)[0]

    def __call__(self, state: PyTree, x: Array, *, key: PRNGKeyArray | None = None) -> tuple[PyTree, Array]:
        """A step of the layer. **Arguments** and **returns** are the layer's, as is the shape of `x`."""
        state, out, _ = _node.advance(
            "snn.Associative", "the layer", self.layer, state, x, key, _node.nothing(self.layer)
        )
        return state, out

    def over_time(self, state: PyTree, xs: Array, *, keys: Array | None = None) -> tuple[PyTree, Array]:
        """All steps at once. **Arguments** and **returns** as for every layer."""
        if isinstance(self.layer, Composite):  # a recorder in the layer's place, which watches its steps
            state, outs, _ = _node.sweep(
                "snn.Associative", "the layer", self.layer, state, xs, keys, _node.nothing(self.layer)
            )
            return state, outs
        return self.layer.in_parallel(state, xs, keys=keys)
