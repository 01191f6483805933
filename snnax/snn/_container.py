"""What all containers share: the call on a sequence, the step, and the checks of what they are given."""

import abc
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, PRNGKeyArray, PyTree

from ..functional._arguments import check_key
from ._bytes import Bytes, as_bytes
from ._collect import Emission, accumulates, check, finish, is_collector, start
from ._collectors import Trains
from ._layer import name_of
from ._node import Composite, input_dtype, refuse_pieces
from ._plan import AbstractPlan, LayerByLayer, truncated


class States(eqx.Module):
    """The states of all layers of a container, and the number of steps, `step`, that they have taken.

    Put them back in to continue a stream. `states.layers` holds the state of every layer, `None` where it has none;
    `states.delayed` the signals that wait on the delayed edges of a `Graph`, by edge, the oldest first. They are for
    inputs of the shape `in_shape`.
    """

    layers: PyTree
    step: Array
    in_shape: tuple = eqx.field(static=True)
    delayed: dict[str, Array] = eqx.field(default_factory=dict)


class Container(Composite):
    """A network of layers that is called on a whole sequence: `Sequential` and `Graph`.

    It is no layer of its own kind: `__call__` takes a sequence, `step` one time step. Inside another container it takes
    the place of a layer, and its entry in the `outs` of that is its own `outs`.
    """

    @abc.abstractmethod
    def consumers(self) -> dict[str, list[Any]]:
        """For every input by name, the children that it goes to."""

    def init_state(
        self, in_shape: Sequence[int] | Mapping[str, Sequence[int]], key: PRNGKeyArray | None = None
    ) -> States:
        """The states of one example before the first step; shapes are inferred through the network.

        **Arguments:**

        - `in_shape`: the shape of one input at one time step, without time and batch.
        - `key`: for layers with random initial states. Others need none.

        **Returns:** the states. Nothing is computed for them but themselves.
        """
        _check_key(name_of(self), key)
        names = list(self.consumers())
        several = len(names) > 1
        shapes: dict[str, Any] = {names[0]: in_shape}
        if several and isinstance(in_shape, Mapping):
            shapes = dict(in_shape)
        if sorted(shapes) != sorted(names) or not all(_is_shape(shape) for shape in shapes.values()):
            one = "(2, 32, 32)"
            wanted = "{" + ", ".join(f"{name!r}: {one}" for name in names) + "}" if several else one
            raise TypeError(
                f"`{name_of(self)}.init_state` takes the shape of one input at one time step, such as {wanted}, got "
                f"{in_shape!r}. A key comes second: `init_state(in_shape, key)`."
            )
        dtypes = self.input_dtypes()
        structs = {name: jax.ShapeDtypeStruct(tuple(map(int, shapes[name])), dtypes[name]) for name in names}
        return self.begin(structs if several else structs[names[0]], key)[0]

    def __call__(
        self,
        states: States,
        xs: PyTree,
        key: PRNGKeyArray | None = None,
        *,
        plan: AbstractPlan | None = None,
        burnin: int = 0,
        truncate: int | None = None,
        collect: PyTree = None,
    ) -> tuple[States, PyTree]:
        """Runs the network on a sequence.

        **Arguments:**

        - `states`: what `init_state` or an earlier call gave, for one example. For a batch use
            `jax.vmap(model, in_axes=(None, 0))`.
        - `xs`: the inputs of one example, `(time, *in_shape)`. Integers and booleans are computed in the dtype of the
            parameters.
        - `key`: one for each example, where a layer draws random numbers. Every layer gets another one in every step.
        - `plan`: the order of computation, `snn.LayerByLayer()` (default), `snn.Chunked(n)` or `snn.StepByStep()`. It
            changes neither values nor gradients.
        - `burnin`: the number of first steps that carry no gradient; their outputs are kept. Default 0.
        - `truncate`: gradients through the states stop every so many steps, counted from the end of the burn-in
            (truncated back-propagation through time). Default: never.
        - `collect`: what to keep of each layer: a collector for all (`snn.Trains()`, the default; `snn.Sum()`,
            `snn.Mean()`, `snn.Max()`, `snn.Last()`, `snn.At(steps)`, `snn.FirstSpike()`, `snn.Traces()`, each of the
            accumulating ones also in a `snn.Window`), or one entry for each layer, or a mapping from layers to
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
        _check_key(owner, key)
        xs = self._checked_input(xs, states.in_shape)
        steps = jax.tree.leaves(xs)[0].shape[0]
        if not isinstance(burnin, (int, np.integer)) or isinstance(burnin, bool) or not 0 <= burnin <= steps:
            raise ValueError(
                f"`{owner}`: `burnin` must be a number of steps from 0 to the length of the sequence, {steps}, got "
                f"{burnin!r}."
            )
        if truncate is not None and (
            not isinstance(truncate, (int, np.integer)) or isinstance(truncate, bool) or truncate < 1
        ):
            raise ValueError(f"`{owner}`: `truncate` must be a number of steps, 1 or more, or None, got {truncate!r}.")
        if burnin:
            refuse_pieces(owner, f"`burnin={burnin}`", self)
        request = self.expand(Trains() if collect is None else collect)
        check(request, steps)
        keys = None if key is None else jax.vmap(lambda _: key)(jnp.arange(steps))
        accumulators = self._accumulators(states, xs, key, request)
        pieces = []
        for first, last, detached in ((0, burnin, True), (burnin, steps, False)):
            if first == last:
                continue
            part, part_keys = jax.tree.map(lambda a, first=first, last=last: a[first:last], (xs, keys))
            if truncate is None or detached:
                piece = plan.run(self, states, part, part_keys, request, accumulators)
            else:
                piece = truncated(plan, int(truncate), self, states, part, part_keys, request, accumulators)
            states, accumulators, kept = jax.lax.stop_gradient(piece) if detached else piece
            pieces.append(kept)
        kept = pieces[0] if len(pieces) == 1 else jax.tree.map(lambda *leaves: jnp.concatenate(leaves), *pieces)
        return states, finish(request, accumulators, kept)

    def step(self, states: States, x: PyTree, key: PRNGKeyArray | None = None) -> tuple[States, PyTree]:
        """One time step: the same as a call on a sequence of length one, without its time axis.

        **Arguments:** `states` and `key` as for a call; the key is the same in every step of a stream. `x`: the input
        of this step, of shape `in_shape`.

        **Returns:** the new states, and the output of every layer at this step.
        """
        self._check_type(states)
        _check_key(name_of(self), key)
        refuse_pieces(name_of(self), "`step`", self)
        x = self._checked_input(x, states.in_shape, ())
        request = self.expand(Trains())
        try:
            new, _, emissions = self.advance(states, x, key, request)
        except (TypeError, ValueError):
            self._check_states(states)
            raise
        if any(a.shape != b.shape for a, b in zip(jax.tree.leaves(new), jax.tree.leaves(states), strict=True)):
            self._check_states(states)
        return new, finish(request, [None] * _count(request), _outs(emissions))

    def input_dtypes(self) -> dict[str, Any]:
        """For every input, the dtype in which whole numbers are computed: that of the parameters."""
        return {name: input_dtype(children, self.children) for name, children in self.consumers().items()}

    def cast(self, x: PyTree) -> PyTree:
        """Whole numbers in the dtype of the parameters, all else as it is."""
        return self._each_input(_cast, x)

    def receive(self, xs: PyTree) -> PyTree:
        """What `cast` gives for all steps, in bytes where it came in such and a kernel may want it so."""
        return self._each_input(_receive, xs)

    def _each_input(self, function: Callable, x: PyTree) -> PyTree:
        dtypes = self.input_dtypes()
        if isinstance(x, Mapping):
            return {name: function(one, dtypes[name]) for name, one in x.items()}
        return function(x, *dtypes.values())

    def _accumulators(self, states: States, xs: PyTree, key: PRNGKeyArray | None, request: PyTree) -> list:
        if not accumulates(request):
            return [None] * _count(request)
        x = jax.tree.map(lambda a: a[0], xs)
        one_step = jax.eval_shape(lambda states, x, key: self.advance(states, x, key, request)[2], states, x, key)
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
        in_shape = _thawed(states.in_shape)
        expected = jax.eval_shape(lambda key: self.init_state(in_shape, key), some_key)
        wanted, wanted_tree = jax.tree_util.tree_flatten_with_path(expected)
        given, given_tree = jax.tree_util.tree_flatten_with_path(states)
        remedy = f"Make states with this network's own `init_state({in_shape})`."
        if wanted_tree != given_tree:
            ours, theirs = ({jax.tree_util.keystr(path) for path, _ in leaves} for leaves in (wanted, given))
            lacking, needless = (
                [f"states{path}" for path in sorted(paths)][:5] for paths in (ours - theirs, theirs - ours)
            )
            raise ValueError(
                f"`{owner}`: these are the states of another network. They lack {lacking or 'nothing'} and have "
                f"{needless or 'nothing'} that this network does not know. {remedy}"
            )
        for (path, a), (_, b) in zip(wanted, given, strict=True):
            if a.shape != jnp.shape(b) or a.dtype != jnp.result_type(b):
                batched = jnp.shape(b)[1:] == a.shape and a.dtype == jnp.result_type(b)
                raise ValueError(
                    f"`{owner}`: the state at `states{jax.tree_util.keystr(path)}` must have the shape {a.shape} and "
                    f"the dtype {a.dtype}, got {jnp.shape(b)} and {jnp.result_type(b)}. "
                    + ("For a batch: `jax.vmap(model, in_axes=(0, 0))`." if batched else remedy)
                )

    def _checked_input(self, xs: Any, in_shape: tuple, time: tuple[str, ...] = ("time",)) -> PyTree:
        owner = name_of(self)
        shapes = _thawed(in_shape)
        if not isinstance(shapes, Mapping):
            return _checked_array(owner, "the input", xs, shapes, time)
        if not isinstance(xs, Mapping) or sorted(xs) != sorted(shapes):
            got = sorted(xs) if isinstance(xs, Mapping) else type(xs)
            raise TypeError(f"`{owner}` has several inputs: give a mapping with the names {sorted(shapes)}, got {got}.")
        checked = {
            name: _checked_array(owner, f"the input {name!r}", xs[name], shapes[name], time) for name in sorted(shapes)
        }
        lengths = {name: one.shape[0] for name, one in checked.items()} if time else {}
        if len(set(lengths.values())) > 1:
            raise ValueError(f"`{owner}`: all inputs must have the same number of time steps, got {lengths}.")
        return checked

    def __getattr__(self, name: str) -> Any:
        if name == "init_states":
            raise AttributeError(
                f"`{name_of(self)}` has no `init_states`; it is `init_state(in_shape, key)`, and infers all shapes "
                "from the shape of one input at one time step."
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
            f"`{owner}`: `collect` must be a collector such as `snn.Sum()`, a mapping from layers to collectors, or "
            f"one entry for each of the {len(children)} layers, got {collect!r}."
        )
    return {name: _expand_child(owner, name, children[name], entry) for name, entry in entries.items()}


def _expand_child(owner: str, name: Any, child: Any, entry: PyTree) -> PyTree:
    if isinstance(child, Container):
        return child.expand(entry)
    if not all(is_collector(leaf) for leaf in jax.tree.leaves(entry, is_leaf=is_collector)):
        raise TypeError(
            f"`{owner}`: `collect` for layer {name!r} must be made of collectors such as `snn.Sum()`, got {entry!r}."
        )
    for collector in jax.tree.leaves(entry, is_leaf=is_collector):
        collector.check_layer(owner, name, child)
    return entry


def _is_shape(shape: Any) -> bool:
    return isinstance(shape, (tuple, list)) and all(isinstance(n, (int, np.integer)) and n >= 0 for n in shape)


def _thawed(in_shape: tuple) -> Any:
    """The opposite of `freeze`: a shape, or a mapping from input names to shapes."""
    return dict(in_shape) if in_shape and isinstance(in_shape[0], tuple) else in_shape


def _cast(x: Array, dtype: Any) -> Array:
    return x if jnp.issubdtype(x.dtype, jnp.inexact) else x.astype(dtype)


def _receive(xs: Array | Bytes, dtype: Any) -> Array | Bytes:
    if isinstance(xs, Bytes):
        return xs
    kept = as_bytes(xs, dtype)
    return _cast(xs, dtype) if kept is None else kept


def _checked_array(owner: str, what: str, xs: Any, in_shape: tuple[int, ...], time: tuple[str, ...]) -> Array:
    """`xs`, if it is an array of numbers of shape `(*time, *in_shape)`."""
    wanted = f"({', '.join([*time, *map(str, in_shape)])}{',' if len(time) + len(in_shape) == 1 else ''})"
    dtype = getattr(xs, "dtype", None)
    if dtype is None or not (jnp.issubdtype(dtype, jnp.number) or jnp.issubdtype(dtype, jnp.bool_)):
        raise TypeError(
            f"`{owner}`: {what} must be an array of numbers of shape {wanted}, got "
            f"{type(xs) if dtype is None else f'an array of dtype {dtype}'}."
        )
    shape = tuple(xs.shape)
    if shape[len(time) :] != in_shape or len(shape) < len(time):
        hint = ""
        if time and shape == in_shape:
            hint = " The time axis is missing: for one step there is `model.step(states, x)`."
        elif not time and shape[1:] == in_shape:
            hint = " For a sequence: `model(states, xs)`."
        elif shape[len(time) + 1 :] == in_shape:
            hint = " For a batch: `jax.vmap(model, in_axes=(None, 0))`."
        raise ValueError(
            f"`{owner}`: the states were made for inputs of shape {in_shape} at one time step, so {what} must have the "
            f"shape {wanted}, got {shape}.{hint}"
        )
    if time and shape[0] == 0:
        raise ValueError(f"`{owner}`: the sequence is empty: {what} must have the shape {wanted}, got {shape}.")
    return jnp.asarray(xs)


def _check_key(owner: str, key: Any) -> None:
    if key is not None:
        check_key(owner, key, "", "jax.vmap(model, in_axes=(None, 0, 0))")


def _count(request: PyTree) -> int:
    return len(jax.tree.leaves(request, is_leaf=is_collector))


def _outs(emissions: PyTree) -> list:
    return [emission.out for emission in jax.tree.leaves(emissions, is_leaf=lambda node: isinstance(node, Emission))]
