"""What all containers share: the call on a sequence, the step, and the checks of what they are given."""

import abc
from collections.abc import Mapping, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, PRNGKeyArray, PyTree

from ._collect import Emission, Trains, accumulates, finish, is_collector, start
from ._layer import name_of
from ._node import Composite, parameter_dtype
from ._plan import AbstractPlan, LayerByLayer


class States(eqx.Module):
    """The states of all layers of a container, and the number of steps that they have taken.

    Put them back in to continue a stream. `states.layers` holds the state of every layer, `None` where it has none.
    """

    layers: PyTree
    step: Array
    in_shape: tuple[int, ...] = eqx.field(static=True)


class Container(Composite):
    """A network of layers that is called on a whole sequence: `Sequential` and `Graph`.

    It is no layer of its own kind: `__call__` takes a sequence, `step` one time step. Inside another container it takes
    the place of a layer, and its entry in the `outs` of that is its own `outs`.
    """

    @property
    @abc.abstractmethod
    def children(self) -> tuple[Any, ...]:
        """The layers, in the order of their numbers."""

    def init_state(self, in_shape: Sequence[int], key: PRNGKeyArray | None = None) -> States:
        """The states of one example before the first step; shapes are inferred through the network.

        **Arguments:**

        - `in_shape`: the shape of one input at one time step, without time and batch.
        - `key`: for layers with random initial states. Others need none.

        **Returns:** the states. Nothing is computed for them but themselves.
        """
        if not isinstance(in_shape, (tuple, list)) or not all(isinstance(n, (int, np.integer)) for n in in_shape):
            raise TypeError(
                f"`{name_of(self)}.init_state` takes the shape of one input at one time step, such as (2, 32, 32), got "
                f"{in_shape!r}. A key comes second: `init_state(in_shape, key)`."
            )
        in_shape = tuple(int(n) for n in in_shape)
        return self.begin(jax.ShapeDtypeStruct(in_shape, self.input_dtype), key)[0]

    def __call__(
        self,
        states: States,
        xs: Array,
        key: PRNGKeyArray | None = None,
        *,
        plan: AbstractPlan | None = None,
        burnin: int = 0,
        collect: PyTree = None,
    ) -> tuple[States, PyTree]:
        """Runs the network on a sequence.

        **Arguments:**

        - `states`: what `init_state` or an earlier call gave, for one example. For a batch use
            `jax.vmap(model, in_axes=(None, 0))`.
        - `xs`: the inputs of one example, `(time, *in_shape)`. Integers and booleans are computed in the dtype of the
            parameters.
        - `key`: one for each example, where a layer draws random numbers. Every layer gets another one in every step.
        - `plan`: the order of computation, `snn.LayerByLayer()` (default) or `snn.StepByStep()`. It changes neither
            values nor gradients.
        - `burnin`: the number of first steps that carry no gradient; their outputs are kept. Default 0.
        - `collect`: what to keep of each layer: a collector for all (`snn.Trains()`, the default; `snn.Sum()`,
            `snn.Max()`, `snn.FirstSpike()`, `snn.Traces()`), or one entry for each layer, or a mapping from layers to
            entries, in which the others are left out. An entry is a collector, a pytree of collectors, or `None`; for a
            nested container it is what that container's `collect` could be.

        **Returns:** the states after the last step, and `outs`: for every layer what was collected, by default its
        outputs, `(time, ...)`.
        """
        owner = name_of(self)
        plan = LayerByLayer() if plan is None else plan
        if not isinstance(plan, AbstractPlan):
            raise TypeError(
                f"`{owner}`: `plan` must be a plan such as `snn.LayerByLayer()` or `snn.StepByStep()`, got {plan!r}."
            )
        self._check_states(states)
        xs = self._checked_input(xs, states.in_shape)
        steps = xs.shape[0]
        if not isinstance(burnin, (int, np.integer)) or isinstance(burnin, bool) or not 0 <= burnin <= steps:
            raise ValueError(
                f"`{owner}`: `burnin` must be a number of steps from 0 to the length of the sequence, {steps}, got {burnin!r}."
            )
        request = self.expand(Trains() if collect is None else collect)
        keys = None if key is None else jax.vmap(lambda _: key)(jnp.arange(steps))
        accumulators = self._accumulators(states, xs, key, request)
        pieces = []
        for first, last, detached in ((0, burnin, True), (burnin, steps, False)):
            if first == last:
                continue
            piece = plan.run(self, states, xs[first:last], _slice(keys, first, last), request, accumulators)
            states, accumulators, kept = jax.lax.stop_gradient(piece) if detached else piece
            pieces.append(kept)
        kept = pieces[0] if len(pieces) == 1 else jax.tree.map(lambda *leaves: jnp.concatenate(leaves), *pieces)
        return states, finish(request, accumulators, kept)

    def step(self, states: States, x: Array, key: PRNGKeyArray | None = None) -> tuple[States, PyTree]:
        """One time step: the same as a call on a sequence of length one, without its time axis.

        **Arguments:** `states` and `key` as for a call; the key is the same in every step of a stream. `x`: the input of
        this step, of shape `in_shape`.

        **Returns:** the new states, and the output of every layer at this step.
        """
        self._check_type(states)
        x = self._checked_input(jnp.asarray(x)[None], states.in_shape)[0]
        request = self.expand(Trains())
        states, _, emissions = self.advance(states, x, key, request)
        return states, finish(request, [None] * _count(request), _outs(emissions))

    @property
    def input_dtype(self) -> Any:
        """The dtype in which inputs that come as whole numbers are computed: that of the parameters."""
        first = self.children[0]
        if isinstance(first, eqx.nn.Embedding):
            return jnp.zeros((), int).dtype
        return first.input_dtype if isinstance(first, Container) else parameter_dtype(self.children)

    def cast(self, x: Array) -> Array:
        """Whole numbers in the dtype of the parameters, all else as it is."""
        return x if jnp.issubdtype(x.dtype, jnp.inexact) else x.astype(self.input_dtype)

    def _accumulators(self, states: States, xs: Array, key: PRNGKeyArray | None, request: PyTree) -> list:
        if not accumulates(request):
            return [None] * _count(request)
        one_step = jax.eval_shape(lambda states, x, key: self.advance(states, x, key, request)[2], states, xs[0], key)
        return start(request, one_step)

    def _check_type(self, states: Any) -> None:
        if not isinstance(states, States):
            raise TypeError(
                f"`{name_of(self)}`: `states` must be what `model.init_state(in_shape, key)` gives, got {type(states)}."
            )

    def _check_states(self, states: Any) -> None:
        self._check_type(states)
        owner = name_of(self)
        some_key = jax.eval_shape(lambda: jr.key(0))
        expected = jax.eval_shape(lambda key: self.init_state(states.in_shape, key), some_key)
        wanted, wanted_tree = jax.tree_util.tree_flatten_with_path(expected)
        given, given_tree = jax.tree_util.tree_flatten_with_path(states)
        remedy = f"Make states with this network's own `init_state({states.in_shape})`."
        if wanted_tree != given_tree:
            raise ValueError(f"`{owner}`: these are the states of another network: {given_tree} for {wanted_tree}. {remedy}")
        for (path, a), (_, b) in zip(wanted, given, strict=True):
            if a.shape != jnp.shape(b) or a.dtype != jnp.result_type(b):
                batched = jnp.shape(b)[1:] == a.shape and a.dtype == jnp.result_type(b)
                raise ValueError(
                    f"`{owner}`: the state at `states{jax.tree_util.keystr(path)}` must have the shape {a.shape} and the "
                    f"dtype {a.dtype}, got {jnp.shape(b)} and {jnp.result_type(b)}. "
                    + ("For a batch: `jax.vmap(model, in_axes=(0, 0))`." if batched else remedy)
                )

    def _checked_input(self, xs: Any, in_shape: tuple[int, ...]) -> Array:
        owner = name_of(self)
        wanted = "(" + ", ".join(["time", *map(str, in_shape)]) + ")"
        dtype = getattr(xs, "dtype", None)
        if dtype is None or not (jnp.issubdtype(dtype, jnp.number) or dtype == bool):
            raise TypeError(
                f"`{owner}`: the inputs must be an array of numbers of shape {wanted}, got "
                f"{type(xs) if dtype is None else f'an array of dtype {dtype}'}."
            )
        shape = tuple(xs.shape)
        if shape[1:] != in_shape or not shape:
            hint = ""
            if shape == in_shape:
                hint = " The time axis is missing: for one step there is `model.step(states, x)`."
            elif shape[2:] == in_shape:
                hint = " For a batch: `jax.vmap(model, in_axes=(None, 0))`."
            raise ValueError(
                f"`{owner}`: the states were made for inputs of shape {in_shape} at one time step, so the sequence must be "
                f"{wanted}, got {shape}.{hint}"
            )
        if shape[0] == 0:
            raise ValueError(f"`{owner}`: the sequence is empty: {wanted} with no time step, got {shape}.")
        return jnp.asarray(xs)

    def __getattr__(self, name: str) -> Any:
        if name == "init_states":
            raise AttributeError(
                f"`{name_of(self)}` has no `init_states`; it is `init_state(in_shape, key)`, and infers all shapes from the "
                "shape of one input at one time step."
            )
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")


def expand_children(owner: str, collect: PyTree, children: Mapping[Any, Any]) -> dict[Any, PyTree]:
    """What to collect of every child, from one collector for all, one entry for each, or a mapping."""
    if collect is None or is_collector(collect):
        entries = dict.fromkeys(children, collect)
    elif isinstance(collect, Mapping):
        unknown = [name for name in collect if name not in children]
        if unknown:
            raise ValueError(f"`{owner}`: `collect` names {unknown}, but the layers are {list(children)}.")
        entries = {name: collect.get(name) for name in children}
    elif isinstance(collect, (tuple, list)) and len(collect) == len(children):
        entries = dict(zip(children, collect, strict=True))
    else:
        raise ValueError(
            f"`{owner}`: `collect` must be a collector such as `snn.Sum()`, a mapping from layers to collectors, or one "
            f"entry for each of the {len(children)} layers, got {collect!r}."
        )
    return {name: _expand_child(owner, name, children[name], entry) for name, entry in entries.items()}


def _expand_child(owner: str, name: Any, child: Any, entry: PyTree) -> PyTree:
    if isinstance(child, Container):
        return child.expand(entry)
    if not all(is_collector(leaf) for leaf in jax.tree.leaves(entry, is_leaf=is_collector)):
        raise TypeError(
            f"`{owner}`: `collect` for layer {name!r} must be made of collectors such as `snn.Sum()`, got {entry!r}."
        )
    return entry


def _slice(keys: PRNGKeyArray | None, first: int, last: int) -> PRNGKeyArray | None:
    return None if keys is None else keys[first:last]


def _count(request: PyTree) -> int:
    return len(jax.tree.leaves(request, is_leaf=is_collector))


def _outs(emissions: PyTree) -> list:
    return [emission.out for emission in jax.tree.leaves(emissions, is_leaf=lambda node: isinstance(node, Emission))]
