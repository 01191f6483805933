"""Branches side by side, and the shortcut around a layer."""

from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax
from jaxtyping import Array, PRNGKeyArray, PyTree

from . import _node
from ._merge import AbstractMerge, Add
from ._node import Nest, check_child, fold, fold_each


class Parallel(Nest):
    """Branches that all take the same input; their outputs are merged.

        snn.Parallel(eqx.nn.Linear(8, 4, key=k1), snn.Sequential(snn.SimpleLIF(0.9), eqx.nn.Linear(8, 4, key=k2)))

    The branches are what `snn.Sequential` takes: layers, containers and Equinox modules without state. To see what is
    inside of a branch in `outs`, build the same as a `snn.Graph`.
    """

    branches: tuple[Any, ...]
    merge: AbstractMerge

    def __init__(self, *branches: Any, merge: AbstractMerge | None = None):
        """**Arguments:** the branches, at least one; `merge`: `snn.Add()` (default) or `snn.Concatenate(axis)`."""
        if not branches:
            raise TypeError("`snn.Parallel` takes its branches one by one, `snn.Parallel(first, second)`, got none.")
        for i, branch in enumerate(branches):
            check_child("snn.Parallel", f"branch {i}", branch)
        self.branches = branches
        self.merge = Add() if merge is None else merge
        if not isinstance(self.merge, AbstractMerge):
            raise TypeError(f"`snn.Parallel`: `merge` must be `snn.Add()` or `snn.Concatenate(axis)`, got {merge!r}.")

    @property
    def children(self) -> tuple[Any, ...]:
        return self.branches

    def init_state(self, in_shape: Sequence[int], key: PRNGKeyArray | None = None) -> tuple[PyTree, ...]:
        """The states of the branches, in order."""
        x = jax.ShapeDtypeStruct(tuple(in_shape), _node.input_dtype(self.branches, self.branches))
        begun = [
            _node.begin("snn.Parallel", f"branch {i}", branch, x, fold(key, i))
            for i, branch in enumerate(self.branches)
        ]
        shapes = [out.shape for _, out in begun]
        if not self.merge.fits(shapes):
            raise ValueError(
                f"`snn.Parallel`: the outputs of the branches have the shapes {shapes}, which `{self.merge}` cannot "
                "merge. `snn.Add()` wants one shape, `snn.Concatenate(axis)` shapes that differ in that axis alone."
            )
        return tuple(state for state, _ in begun)

    def __call__(self, state: PyTree, x: Array, *, key: PRNGKeyArray | None = None) -> tuple[PyTree, Array]:
        """**Arguments:** `x`: the input of every branch, of a shape that all take.

        **Returns:** the new states, and the merged outputs.
        """
        done = [
            _node.advance("snn.Parallel", f"branch {i}", branch, state[i], x, fold(key, i), _node.nothing(branch))
            for i, branch in enumerate(self.branches)
        ]
        return tuple(state for state, _, _ in done), self.merge([out for _, out, _ in done])

    def over_time(self, state: PyTree, xs: Array, *, keys: Array | None = None) -> tuple[PyTree, Array]:
        """Each branch over all time. **Arguments** and **returns** as for every layer."""
        done = [
            _node.sweep("snn.Parallel", f"branch {i}", branch, state[i], xs, fold_each(keys, i), _node.nothing(branch))
            for i, branch in enumerate(self.branches)
        ]
        return tuple(state for state, _, _ in done), jax.vmap(lambda *outs: self.merge(outs))(
            *(outs for _, outs, _ in done)
        )


class Residual(Nest):
    r"""A layer with a shortcut around it: $y_t = f(x)_t + S(x_t)$.

        snn.Residual(snn.Sequential(eqx.nn.Conv2d(8, 8, 3, padding=1, key=key), snn.LIF([0.9, 0.8])))

    The sum of spikes and spikes may be 2 ("ADD" of W. Fang et al. 2021, arXiv:2102.04159).
    """

    parallel: Parallel

    def __init__(self, layer: Any, shortcut: Any | None = None):
        """**Arguments:**

        - `layer`: $f$: a layer, a container or an Equinox module without state.
        - `shortcut`: $S$, likewise, where $f$ changes the shape. Default: the identity.
        """
        self.parallel = Parallel(layer, eqx.nn.Identity() if shortcut is None else shortcut)

    @property
    def children(self) -> tuple[Any, ...]:
        return self.parallel.branches

    def init_state(self, in_shape: Sequence[int], key: PRNGKeyArray | None = None) -> PyTree:
        """The states of the layer and of the shortcut."""
        return self.parallel.init_state(in_shape, key)

    def __call__(self, state: PyTree, x: Array, *, key: PRNGKeyArray | None = None) -> tuple[PyTree, Array]:
        """**Arguments:** `x`: the input, of the layer's shape. **Returns:** the new states, and the sum of layer and
        shortcut, of one shape.
        """
        return self.parallel(state, x, key=key)

    def over_time(self, state: PyTree, xs: Array, *, keys: Array | None = None) -> tuple[PyTree, Array]:
        """Layer and shortcut, each over all time. **Arguments** and **returns** as for every layer."""
        return self.parallel.over_time(state, xs, keys=keys)
