"""How a parent tells its children apart, and runs them: the one place where layers meet containers.

A child is a container, a `StatefulLayer`, or an Equinox module without state. Whatever it is, its parent can ask for
its first state, for one step, or for all steps of a sequence at once.
"""

import abc
import contextlib
import inspect
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, PRNGKeyArray, PyTree

from ._bytes import Bytes, numbers
from ._collect import Emission, wants_states
from ._layer import StatefulLayer, name_of, unroll
from ._product import convolve, convolve_all, is_convolution, is_matrix, multiply


class Composite(eqx.Module):
    """What a parent needs of a container among its children."""

    @property
    @abc.abstractmethod
    def children(self) -> tuple[Any, ...]:
        """The layers, each of which runs once in a step."""

    @abc.abstractmethod
    def begin(self, x: PyTree, key: PRNGKeyArray | None) -> tuple[PyTree, PyTree]:
        """The first states, and what the output of one step looks like, for inputs that look like `x`."""

    @abc.abstractmethod
    def advance(
        self, states: PyTree, x: PyTree, key: PRNGKeyArray | None, request: PyTree
    ) -> tuple[PyTree, Any, PyTree]:
        """One step: the new states, the output, and the `Emission` of every child."""

    @abc.abstractmethod
    def sweep(
        self, states: PyTree, xs: Array | Bytes, keys: Array | None, request: PyTree
    ) -> tuple[PyTree, Array, PyTree]:
        """All steps, layer by layer: the last states, the outputs, and the `Emission` of every child, `(time, ...)`."""

    @abc.abstractmethod
    def input_dtypes(self) -> dict[str, Any]:
        """For every input, the dtype in which whole numbers are computed."""

    @abc.abstractmethod
    def expand(self, collect: PyTree) -> PyTree:
        """What is asked for, spelled out for every child."""


class Nest(StatefulLayer):
    """A layer made of layers, each of which runs once in a step."""

    @property
    @abc.abstractmethod
    def children(self) -> tuple[Any, ...]:
        """The layers."""


def check_child(owner: str, where: str, child: Any) -> None:
    """Refuses what cannot be a child, saying what to put in its place."""
    if isinstance(child, type):
        raise TypeError(f"`{owner}`: {where} is the class `{child.__name__}`. Make one: `{child.__name__}(...)`.")
    if isinstance(child, eqx.nn.StatefulLayer) and child.is_stateful():
        raise TypeError(
            f"`{owner}`: {where}, `{type(child).__name__}`, keeps its state in an `eqx.nn.State`, which a time loop "
            "cannot thread. In the place of a batch normalisation use `snn.BatchNorm`, or `eqx.nn.LayerNorm` or "
            "`eqx.nn.GroupNorm`; in that of a spectral one `eqx.nn.WeightNorm`."
        )
    if isinstance(child, (Composite, StatefulLayer)):
        return
    if not isinstance(child, eqx.Module):
        hint = " Wrap the function: `eqx.nn.Lambda(function)`." if callable(child) else ""
        raise TypeError(
            f"`{owner}`: {where} must be a `snn.StatefulLayer`, a container or a callable `eqx.Module`, got "
            f"{child!r}.{hint}"
        )
    if not callable(child):
        raise TypeError(f"`{owner}`: {where}, `{type(child).__name__}`, has no `__call__`, so it cannot be a layer.")
    inside = jax.tree.leaves(child, is_leaf=lambda node: isinstance(node, (Composite, StatefulLayer)))
    hidden = [node for node in inside if isinstance(node, (Composite, StatefulLayer))]
    if hidden:
        raise TypeError(
            f"`{owner}`: {where}, `{type(child).__name__}`, holds `{type(hidden[0]).__name__}`, whose state it would "
            "lose. Use `snn.Sequential` in its place, or make it a `snn.StatefulLayer`."
        )


def describe(child: Any) -> str:
    return f"`{type(child).__name__}`"


def nothing(child: Any) -> PyTree:
    """The request for nothing of a child."""
    return child.expand(None) if isinstance(child, Composite) else None


def whole_sequences(tree: PyTree) -> list[StatefulLayer]:
    """The layers in `tree` that need a whole sequence."""

    def is_whole(node):
        return isinstance(node, StatefulLayer) and node.whole_sequence

    return list(filter(is_whole, jax.tree.leaves(tree, is_leaf=is_whole)))


def refuse_pieces(owner: str, what: str, tree: PyTree) -> None:
    """Refuses layers in `tree` that need a whole sequence where `what` would give them a piece of it."""
    for node in whole_sequences(tree):
        raise ValueError(
            f"`{owner}`: `{name_of(node)}` needs all steps of a sequence at once, but {what} gives it one after the "
            "other or in pieces. Use `plan=snn.LayerByLayer()` without `burnin` and `truncate`, outside of cycles. "
            f"{node.for_single_steps}".rstrip()
        )


def axis_names(tree: PyTree) -> set[str]:
    """The names of the batch axes over which layers in `tree` average."""
    modules = jax.tree.leaves(tree, is_leaf=lambda node: isinstance(getattr(node, "axis_name", None), str))
    return {node.axis_name for node in modules if isinstance(getattr(node, "axis_name", None), str)}


def shape_of(child: Any, function: Any, *args: Any) -> PyTree:
    """`jax.eval_shape(function, *args)` where layers of `child` average over the batch by the name of its axis."""
    names = axis_names(child)
    for name in names:
        # Two examples, for a batch of one has no moments.
        function = jax.vmap(function, in_axes=None, axis_name=name, axis_size=2)
    shapes = jax.eval_shape(function, *args)
    return jax.tree.map(lambda one: jax.ShapeDtypeStruct(one.shape[len(names) :], one.dtype), shapes)


def is_struct(node: Any) -> bool:
    return isinstance(node, jax.ShapeDtypeStruct)


def freeze(in_shape: Any) -> tuple:
    """The shape of one input, or of several by name, as something hashable."""
    return tuple(sorted(in_shape.items())) if isinstance(in_shape, Mapping) else tuple(in_shape)


@contextlib.contextmanager
def inside(owner: str, where: str, child: Any) -> Iterator[None]:
    """Adds to any error the name of the container that it came from."""
    try:
        yield
    except Exception as error:
        error.add_note(f"That is inside {where}, {describe(child)}, of `{owner}`.")
        raise


@contextlib.contextmanager
def noted(owner: str, where: str, child: Any, x: Any, key: Any = None) -> Iterator[None]:
    """Adds to any error the name of the child that it came from, and what it was given."""
    try:
        yield
    except Exception as error:
        without = ", without a key (a call takes one: `model(states, xs, key)`)" if key is None else ""
        error.add_note(
            f"`{owner}`: in {where}, {describe(child)}, given an input of shape {jnp.shape(x)} and dtype {x.dtype} at "
            f"one time step{without}."
        )
        raise


def begin(
    owner: str, where: str, child: Any, x: jax.ShapeDtypeStruct, key: PRNGKeyArray | None
) -> tuple[PyTree, jax.ShapeDtypeStruct]:
    """The first state of a child (`None` where it has none), and what its output of one step looks like."""
    if isinstance(child, Composite):
        inputs = list(child.input_dtypes())
        if len(inputs) > 1:
            raise _several(owner, where, child, f"the inputs {inputs}")
        with inside(owner, where, child):
            state, out = child.begin(x, key)
        if not is_struct(out):
            raise _several(owner, where, child, f"the outputs {list(out)}")
        return state, out
    check_input(owner, where, child, x.shape)
    some_key = jax.eval_shape(lambda: jr.key(0))
    with noted(owner, where, child, x, some_key):
        if not isinstance(child, StatefulLayer):
            return None, _one_array(child, shape_of(child, lambda x, key: call(child, x, key), x, some_key))
        state = child.init_state(x.shape, key)
        new, out = shape_of(child, lambda state, x, key: child(state, x, key=key), state, x, some_key)
        before = jax.eval_shape(lambda: state)
        if jax.tree.structure(before) != jax.tree.structure(new) or not all(
            a.shape == b.shape and a.dtype == b.dtype
            for a, b in zip(jax.tree.leaves(before), jax.tree.leaves(new), strict=True)
        ):
            raise ValueError(
                f"A step of `{name_of(child)}` must give back a state like the one that it got, of the same structure, "
                f"shapes and dtypes; `init_state` gave {before}, and a step made {new} of it."
            )
        return state, _one_array(child, out)


def taken(child: Any) -> tuple[int | str, ...] | None:
    """The shape that a layer of Equinox takes, by name where a size may be any; `None` where that is not known."""
    if isinstance(child, (eqx.nn.Linear, eqx.nn.MLP)):
        size = child.in_features if isinstance(child, eqx.nn.Linear) else child.in_size
        return (size,) if isinstance(size, int) else ()
    if isinstance(child, (eqx.nn.LayerNorm, eqx.nn.RMSNorm)):
        return tuple(child.shape)
    if isinstance(child, (eqx.nn.Conv, eqx.nn.ConvTranspose)):
        return (child.in_channels, *("height", "width", "depth")[: child.num_spatial_dims])
    return None


def check_input(owner: str, where: str, child: Any, shape: tuple[int, ...]) -> None:
    """Refuses inputs of another shape than a child takes, with what to do about it."""
    wanted = taken(child)
    if wanted is None or _fits(shape, wanted):
        return
    if _fits(shape[1:], wanted):
        remedy = (
            f"For each of {shape[0]} tokens or the like, with the same weights: "
            f"`snn.Each(eqx.nn.{type(child).__name__}(...))`."
        )
    elif wanted == (math.prod(shape),):
        remedy = "Put `snn.Flatten()` in front of it."
    else:
        remedy = "Make it for what it is given, or change what comes before it."
    raise ValueError(
        f"`{owner}`: in {where}, {describe(child)}, given an input of shape {shape} at one time step; it takes "
        f"{_shown(wanted)}. {remedy}"
    )


def _fits(shape: tuple[int, ...], wanted: tuple[int | str, ...]) -> bool:
    return len(shape) == len(wanted) and all(isinstance(b, str) or a == b for a, b in zip(shape, wanted, strict=True))


def _shown(sizes: tuple[int | str, ...]) -> str:
    return f"({', '.join(map(str, sizes))}{',' if len(sizes) == 1 else ''})"


def input_shape(child: Any, like: tuple[int, ...]) -> tuple[int, ...] | None:
    """The shape that a child takes, told by its weights alone, or `None`; `like` has its rank and its size in space."""
    wanted = taken(child)
    if wanted is None:
        return None
    sizes = tuple(size for size in wanted if isinstance(size, int))
    return sizes if len(sizes) == len(wanted) else (*sizes, *like[1:])


def advance(
    owner: str, where: str, child: Any, state: PyTree, x: Array, key: PRNGKeyArray | None, request: PyTree
) -> tuple[PyTree, Array, PyTree]:
    """One step of a child: its new state, its output and its `Emission`."""
    if isinstance(child, Composite):
        with inside(owner, where, child):
            return child.advance(state, x, key, request)
    with noted(owner, where, child, x, key):
        if isinstance(child, StatefulLayer):
            state, out = child(state, x, key=key)
        else:
            out = one_step(child, x, key)
        return state, out, Emission(out, state if wants_states(request) else None)


def sweep(
    owner: str, where: str, child: Any, state: PyTree, xs: Array | Bytes, keys: Array | None, request: PyTree
) -> tuple[PyTree, Any, PyTree]:
    """All steps of a child: its last state, its outputs, in `Bytes` at most of such, and its `Emission`."""
    if isinstance(child, Composite):
        with inside(owner, where, child):
            return child.sweep(state, xs, keys, request)
    with noted(owner, where, child, jax.ShapeDtypeStruct(xs.shape[1:], xs.dtype), keys):
        if not isinstance(child, StatefulLayer):
            outs = over_steps(child, xs, keys)
            return None, outs, Emission(numbers(outs), None)
        xs = numbers(xs)
        stateless = not jax.tree.leaves(state)
        if stateless or not wants_states(request):
            state, outs = child.over_time(state, xs, keys=keys)
            return state, outs, Emission(outs, state if stateless else None)
        refuse_pieces(owner, "a collector of states", child)

        def step(state, x_and_key):
            x, key = x_and_key
            state, out = child(state, x, key=key)
            return state, (out, state)

        state, (outs, states) = jax.lax.scan(step, state, (xs, keys), unroll=unroll())
        return state, outs, Emission(outs, states)


def call(child: Any, x: Any, key: PRNGKeyArray | None) -> Array:
    """What a layer without state gives for the input of one step."""
    parameters = inspect.signature(child.__call__).parameters
    takes_key = "key" in parameters or any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    return child(x, key=key) if takes_key else child(x)


def one_step(child: Any, x: Any, key: PRNGKeyArray | None) -> Array:
    """What a layer without state gives for the input of one step, inside of a loop."""
    return convolve(child, x) if is_convolution(child) else call(child, x, key)


def over_steps(child: Any, xs: Any, keys: Array | None) -> Any:
    """What a layer without state gives for the inputs of all steps."""
    if is_matrix(child):
        return multiply(child, xs)
    if isinstance(xs, Bytes):
        outs = xs.through(child)
        if outs is not None:
            return outs
        xs = xs.numbers()
    if is_convolution(child):
        return convolve_all(child, xs)
    return jax.vmap(lambda x, key: call(child, x, key))(xs, keys)


def fold(key: PRNGKeyArray | None, number: Any) -> PRNGKeyArray | None:
    """The key of a child or of a step, by its number."""
    return None if key is None else jr.fold_in(key, number)


def fold_each(keys: Array | None, numbers: Any) -> Array | None:
    """`fold` for every step: `keys` has one for each, `numbers` one number for each or one for all."""
    if keys is None:
        return None
    return jax.vmap(jr.fold_in, in_axes=(0, None if jnp.ndim(numbers) == 0 else 0))(keys, numbers)


def input_dtype(consumers: Sequence[Any], children: Sequence[Any]) -> Any:
    """The dtype in which inputs that come as whole numbers are computed: that of the first weights of a network.

    Weights are the floating arrays of layers without state; where there are none, those of neurons; then the default.
    What goes to an embedding alone stays a whole number.
    """
    if all(map(_takes_whole_numbers, consumers)):
        return jnp.zeros((), int).dtype
    if len(consumers) == 1 and isinstance(consumers[0], Composite):
        return next(iter(consumers[0].input_dtypes().values()))

    def is_neuron(node):
        return isinstance(node, StatefulLayer)

    weights = [leaf for leaf in jax.tree.leaves(children, is_leaf=is_neuron) if eqx.is_inexact_array(leaf)]
    arrays = weights or [leaf for leaf in jax.tree.leaves(children) if eqx.is_inexact_array(leaf)]
    return arrays[0].dtype if arrays else jnp.zeros(()).dtype


def _takes_whole_numbers(consumer: Any) -> bool:
    if isinstance(consumer, Composite):
        return all(jnp.issubdtype(dtype, jnp.integer) for dtype in consumer.input_dtypes().values())
    return isinstance(consumer, eqx.nn.Embedding)


def _several(owner: str, where: str, child: Any, what: str) -> TypeError:
    return TypeError(
        f"`{owner}`: {where}, {describe(child)}, has {what}. Inside of another container a graph has one input, "
        "and one of `outputs`; `outs` holds every node in any case."
    )


def _one_array(child: Any, out: PyTree) -> jax.ShapeDtypeStruct:
    if not isinstance(out, jax.ShapeDtypeStruct):
        raise TypeError(f"`{name_of(child)}` must give one array at each time step, got {out}.")
    return out
