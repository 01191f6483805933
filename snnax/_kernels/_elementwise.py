"""Whether one step of a layer treats every neuron alone, and what it does to one."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import ClosedJaxpr, JaxprEqn, Literal
from jaxtyping import Array, PyTree

ELEMENTWISE = frozenset(
    "abs add and clamp convert_element_type cos div eq exp exp2 ge gt integer_pow le log logistic lt max min mul ne "
    "neg not or round rsqrt select_n sign sin square sub tanh xor stop_gradient add_any copy copy_p "
    "one_minus_square".split()
)
"""The operations that a kernel knows: those that Mosaic GPU compiles. Their derivatives are made of them."""

_FUNCTIONS = {"jit": "jaxpr", "pjit": "jaxpr", "remat2": "jaxpr", "checkpoint": "jaxpr", "closed_call": "call_jaxpr"}
_PLACING = {"broadcast_in_dim", "reshape", "squeeze"}


class NotElementwise(Exception):
    """Raised inside of `step_of_one` by what is not done neuron by neuron."""


class Piece(NamedTuple):
    """A part of a program, which `walk` takes in its place."""

    invars: Sequence[Any]
    eqns: Sequence[JaxprEqn]
    outvars: Sequence[Any]


def walk(jaxpr: Any, args: Sequence[Any], rule: Callable[[JaxprEqn, list], Sequence[Any]]) -> list:
    """Evaluates a program: `rule(equation, values)` for every operation, also of the functions that it calls."""
    values = dict(zip([*getattr(jaxpr, "constvars", ()), *jaxpr.invars], args, strict=True))

    def read(atom: Any) -> Any:
        return np.asarray(atom.val, _avals([atom])[0].dtype) if isinstance(atom, Literal) else values[atom]

    for equation in jaxpr.eqns:
        given = [read(atom) for atom in equation.invars]
        name = _FUNCTIONS.get(equation.primitive.name)
        if name is None:
            outs = rule(equation, given)
        else:
            function = equation.params[name]
            inner, consts = getattr(function, "jaxpr", function), getattr(function, "consts", ())
            outs = walk(inner, [*consts, *given], rule)
        values.update(zip(equation.outvars, outs, strict=True))
    return [read(atom) for atom in jaxpr.outvars]


def as_it_is(equation: JaxprEqn, values: Sequence[Any]) -> Sequence[Any]:
    """The rule that changes nothing."""
    out = equation.primitive.bind(*values, **equation.primitive.get_bind_params(equation.params))
    return out if equation.primitive.multiple_results else [out]


def needed(jaxpr: Any) -> tuple[set, list]:
    """The variables that the outputs depend on, and the equations that make them."""
    wanted = {atom for atom in jaxpr.outvars if not isinstance(atom, Literal)}
    equations = []
    for equation in reversed(jaxpr.eqns):
        if any(variable in wanted for variable in equation.outvars):
            wanted.update(atom for atom in equation.invars if not isinstance(atom, Literal))
            equations.insert(0, equation)
    return wanted, equations


def step_of_one(step: Callable, state: PyTree, x: Any, key: Any) -> tuple[ClosedJaxpr, list[Array], Any] | None:
    """The step of one neuron, as a program on numbers; or `None` where neurons act on each other in it.

    **Arguments:** `step(state, x, key) -> (state, out)`, which may close over arrays of any shape; and what it is
    given, as arrays or as their shapes and dtypes.

    **Returns:** the program `(*parameters, *state, x) -> (*state, *out)`; the parameters, of the shape of `x`: all that
    `step` computes from arrays it closes over, computed once; and the structure of what it returns.
    """
    shape, leaves = x.shape, jax.tree.leaves(state)
    if any(leaf.shape != shape or not _is_number(leaf) for leaf in (*leaves, x)):
        return None
    closed, returned = jax.make_jaxpr(step, return_shape=True)(state, x, key)
    if not isinstance(returned, tuple) or jax.tree.structure(returned[:1]) != jax.tree.structure((state,)):
        return None
    outs = closed.out_avals
    if closed.effects or any(out.shape != shape or not _is_number(out) for out in outs):
        return None
    if [(out.shape, out.dtype) for out in outs[: len(leaves)]] != [(leaf.shape, leaf.dtype) for leaf in leaves]:
        return None

    # In one piece, so that what does not depend on the state and the input can be told apart and computed before.
    given = [*closed.consts, *jax.tree.leaves((state, x, key))]
    flat = jax.make_jaxpr(lambda *given: walk(closed.jaxpr, given, as_it_is))(*given)
    start = len(closed.consts)
    moving = flat.jaxpr.invars[start : start + len(leaves) + 1]
    varying, before, inside = set(flat.jaxpr.invars[start:]), [], []
    for equation in needed(flat.jaxpr)[1]:
        if any(atom in varying for atom in equation.invars if not isinstance(atom, Literal)):
            varying.update(equation.outvars)
            inside.append(equation)
        else:
            before.append(equation)
    used = [atom for equation in inside for atom in equation.invars] + flat.jaxpr.outvars
    used = list(dict.fromkeys(atom for atom in used if not isinstance(atom, Literal)))
    known = [atom for atom in used if atom not in varying]
    drawn = any(atom in flat.jaxpr.invars[start + len(moving) :] for atom in used)
    if drawn or not all(_fits(atom.aval, shape) for atom in known):
        return None
    then = Piece([*known, *moving], inside, flat.jaxpr.outvars)
    numbers = [
        jax.ShapeDtypeStruct((), jnp.int32 if atom.aval.dtype == bool else atom.aval.dtype) for atom in then.invars
    ]

    def of_one(*numbers):
        values = [n != 0 if atom.aval.dtype == bool else n for n, atom in zip(numbers, then.invars, strict=True)]
        return walk(then, values, _of_one(shape))

    try:
        program = jax.make_jaxpr(of_one)(*numbers)
    except NotElementwise:
        return None
    first = Piece([*flat.jaxpr.constvars, *flat.jaxpr.invars[:start]], before, known)
    values = walk(first, [*flat.consts, *closed.consts], as_it_is)
    values = [value.astype(number.dtype) for value, number in zip(values, numbers, strict=False)]
    return program, [jnp.broadcast_to(value, shape) for value in values], jax.tree.structure(returned)


def _is_number(array: Any) -> bool:
    return jnp.issubdtype(array.dtype, jnp.floating) or array.dtype == jnp.int32


def _fits(aval: Any, shape: tuple[int, ...]) -> bool:
    """Whether values have a place at each neuron by NumPy's broadcasting, from the right."""
    short = aval.shape
    sizes = zip(reversed(short), reversed(shape), strict=False)
    return (
        (_is_number(aval) or aval.dtype == jnp.bool_)
        and len(short) <= len(shape)
        and all(n in (1, m) for n, m in sizes)
    )


def _avals(atoms: Sequence[Any]) -> list[Any]:
    return [atom.aval for atom in atoms]


def _keeps_places(equation: JaxprEqn) -> bool:
    """Whether the operation leaves values where NumPy's broadcasting would put them."""
    (old, *_), (new,) = ([aval.shape for aval in _avals(atoms)] for atoms in (equation.invars, equation.outvars))
    if equation.primitive.name == "broadcast_in_dim":
        return equation.params["broadcast_dimensions"] == tuple(range(len(new) - len(old), len(new)))
    strip = lambda shape: shape[next((i for i, n in enumerate(shape) if n != 1), len(shape)) :]  # noqa: E731
    return strip(old) == strip(new) and equation.params.get("dimensions") in (None, tuple(range(len(old) - len(new))))


def _of_one(shape: tuple[int, ...], order: int = 0) -> Callable:
    """The rule that gives an operation on arrays as that on the numbers of one neuron.

    **Arguments:** `order`: of the derivative that is being evaluated. Up to the second are looked at beforehand, and no
    more, for the derivative of a function may call that function.
    """

    def rule(equation: JaxprEqn, values: Sequence[Any]) -> Sequence[Any]:
        name = equation.primitive.name
        if not all(_fits(aval, shape) for aval in _avals([*equation.invars, *equation.outvars])):
            raise NotElementwise(name)
        if name in _PLACING and _keeps_places(equation):
            return values[:1]
        if name == "custom_jvp_call":
            return _custom(equation, shape, order)(*values)
        if name == "moving":
            return _moving(equation, values, shape)
        if name not in ELEMENTWISE:
            raise NotElementwise(name)
        return as_it_is(equation, values)

    return rule


def _custom(equation: JaxprEqn, shape: tuple[int, ...], order: int) -> Callable:
    """A function with a derivative of its own keeps it, as a rule on numbers."""
    avals = [jax.ShapeDtypeStruct(aval.shape, aval.dtype) for aval in _avals(equation.invars)]
    moving = [i for i, aval in enumerate(avals) if jnp.issubdtype(aval.dtype, jnp.floating)]
    if not all(jnp.issubdtype(aval.dtype, jnp.floating) for aval in _avals(equation.outvars)):
        raise NotElementwise("custom_jvp_call")

    def moved(args, tangents):
        def of(*values):
            return as_it_is(equation, list((dict(enumerate(args)) | dict(zip(moving, values, strict=True))).values()))

        return jax.jvp(of, [args[i] for i in moving], tangents)

    @jax.custom_jvp
    def function(*args):
        return _with_numbers(equation.params["call_jaxpr"], args, _of_one(shape, order))

    @function.defjvp
    def derivative(primals, tangents):
        program = jax.make_jaxpr(moved)(avals, [avals[i] for i in moving])
        args = [*primals, *(tangents[i] for i in moving)]
        outs = _with_numbers(program, args, _of_one(shape, order + 1))
        return outs[: len(outs) // 2], outs[len(outs) // 2 :]

    if order < 2:
        numbers = [jax.ShapeDtypeStruct((), aval.dtype) for aval in avals]
        jax.eval_shape(derivative, numbers, numbers)
    return function


def _moving(equation: JaxprEqn, values: Sequence[Any], shape: tuple[int, ...]) -> list:
    """Values that move by a rule of their own (`snnax._moving`) keep it, as a rule on numbers."""
    count, rule = equation.params["count"], equation.params["rule"]
    avals = [jax.ShapeDtypeStruct(aval.shape, aval.dtype) for aval in _avals(equation.invars)]
    shapes, numbers = (
        (each[:count], each[count:]) for each in (avals, [jax.ShapeDtypeStruct((), aval.dtype) for aval in avals])
    )

    def of_one(values, arrays, tangents):
        moving, stands = [i for i, tangent in enumerate(tangents) if tangent is not None], []

        def whole(values, arrays, tangents):
            every = dict.fromkeys(range(len(arrays))) | dict(zip(moving, tangents, strict=True))
            outs = rule(values, arrays, list(every.values()))
            stands.extend(out is None for out in outs)
            return [out for out in outs if out is not None]

        program = jax.make_jaxpr(whole)(*shapes, [shapes[1][i] for i in moving])
        moved = iter(_with_numbers(program, [*values, *arrays, *(tangents[i] for i in moving)], _of_one(shape)))
        return tuple(None if still else next(moved) for still in stands)

    jax.eval_shape(of_one, *numbers, [one if jnp.issubdtype(one.dtype, jnp.floating) else None for one in numbers[1]])
    return list(equation.primitive.bind(*values, count=count, rule=of_one))


def _with_numbers(program: ClosedJaxpr, args: Sequence[Any], rule: Callable) -> list:
    if any(np.shape(const) for const in program.consts):
        raise NotElementwise("an array inside of a function with a derivative of its own")
    return walk(program.jaxpr, [*program.consts, *args], rule)
