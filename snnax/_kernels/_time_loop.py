"""The loop over time of any layer whose step treats every neuron alone, as one kernel for GPUs.

The kernel is made from the step itself: `step_of_one` gives it as a program on the numbers of one neuron, and Pallas
compiles, by Mosaic GPU, a loop over all steps around it. A block of neurons keeps its states in registers; of every
step the input is read, and the output written.

The loop is a primitive, of which every derivative is a loop again, with another program: what moves with the outputs is
a loop that is linear in what moves, and its transpose is the same backwards. All orders and mixtures of derivatives
follow, and what a surrogate says of itself (`snnax._moving`) is asked where the program is differentiated, not in the
kernel. For a derivative the loop also writes, for every step, those states before it that the derivative needs. To
compute them anew instead would take the loop forward once more; `snn.Chunked` bounds the memory of both.
"""

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.core import ShapedArray
from jax.extend.core import ClosedJaxpr, JaxprEqn, Primitive
from jax.interpreters import ad, batching, mlir
from jaxtyping import Array, PyTree

from ._elementwise import ELEMENTWISE, as_it_is, needed, step_of_one, walk
from ._library import eagerly, generated_wanted

WIDTH = 128
"""The neurons of one block: one for each thread of a warpgroup."""

AHEAD = 8
"""The steps whose inputs are read together, so that a block does not wait for the memory at each of them."""

_TYPES = {"float32", "bfloat16", "float16", "int32"}
"""What Mosaic GPU reads and writes here."""


def time_loop(step: Callable, state: PyTree, xs: Array, keys: Array | None) -> tuple[PyTree, Array] | None:
    """A scan of `step(state, x, key) -> (state, out)` as one kernel; `None` where it is not wanted or cannot be."""
    if not generated_wanted() or xs.size == 0:
        return None
    x, key = jax.eval_shape(lambda xs, keys: jax.tree.map(lambda a: a[0], (xs, keys)), xs, keys)
    found = step_of_one(step, state, x, key)
    if found is None:
        return None
    program, parameters, structure = found
    leaves = jax.tree.leaves(state)
    args = [value.reshape(1, x.size) for value in (*parameters, *leaves)]
    counts = {"parameters": len(parameters), "states": len(leaves), "steps": len(xs)}
    outs = _loop.bind(*args, xs.reshape(1, len(xs), x.size), program=program, backwards=False, **counts)
    ends = [out.reshape(x.shape) for out in outs[: len(leaves)]]
    return jax.tree.unflatten(structure, [*ends, *(out.reshape(xs.shape) for out in outs[len(leaves) :])])


# A loop takes parameters and states, (examples, neurons), and inputs, (examples, time, neurons); what all examples
# share has one row. It gives the last states, and the outputs. A program takes and gives the same of one neuron at one
# step.

_loop = Primitive("snnax_time_loop")
_loop.multiple_results = True


def _extent(args: Sequence[Any]) -> tuple[int, int]:
    """The numbers of examples and neurons."""
    return max(arg.shape[0] for arg in args), args[0].shape[-1]


def _abstract(*args, program: ClosedJaxpr, parameters: int, states: int, steps: int, backwards: bool):
    examples, neurons = _extent(args)
    return [
        ShapedArray((examples, neurons) if i < states else (examples, steps, neurons), out.dtype)
        for i, out in enumerate(program.out_avals)
    ]


def _scan(*args, program: ClosedJaxpr, parameters: int, states: int, steps: int, backwards: bool) -> list[Array]:
    """The twin in plain JAX."""
    shape = _extent(args)
    known, state = ([jnp.broadcast_to(arg, shape) for arg in part] for part in _split(args, parameters, states)[:2])
    xs = [jnp.broadcast_to(jnp.moveaxis(arg, 1, 0), (steps, *shape)) for arg in args[parameters + states :]]

    def step(state, xs):
        outs = _evaluate(program, [*known, *state, *xs])
        return outs[:states], outs[states:]

    state, outs = lax.scan(step, state, xs, length=steps, reverse=backwards)
    return [*state, *(jnp.moveaxis(out, 0, 1) for out in outs)]


def _split(args: Sequence[Any], parameters: int, states: int) -> tuple[list, list, list]:
    return list(args[:parameters]), list(args[parameters : parameters + states]), list(args[parameters + states :])


def _evaluate(program: ClosedJaxpr, args: Sequence[Array]) -> list[Array]:
    """The program on all numbers of arrays that are alike in shape, by operations that Mosaic GPU compiles."""
    shape = args[0].shape

    def full(value):
        return value if jnp.shape(value) else jnp.full(shape, value.item(), value.dtype)

    def rule(equation: JaxprEqn, values: Sequence[Any]) -> Sequence[Any]:
        name, params = equation.primitive.name, equation.params
        values = [full(value) for value in values]
        if name == "custom_jvp_call":
            function = params["call_jaxpr"]
            return walk(function.jaxpr, [*function.consts, *values], rule)
        if name == "moving":
            return values[: params["count"]]
        if name in ("stop_gradient", "copy", "copy_p"):
            return values
        if name == "add_any":
            return [lax.add(*values)]
        if name == "one_minus_square":  # of the derivative of `tanh`, in jax 0.11
            return [lax.sub(jnp.ones_like(values[0]), lax.square(values[0]))]
        if name == "not" and values[0].dtype == jnp.bool_:
            return [lax.bitwise_xor(values[0], jnp.full(shape, True))]
        if name == "convert_element_type" and params["new_dtype"] == jnp.bool_:
            return [lax.ne(values[0], jnp.zeros_like(values[0]))]
        if name == "integer_pow" and params["y"] < 0:
            return [lax.div(jnp.ones_like(values[0]), lax.integer_pow(values[0], -params["y"]))]
        return as_it_is(equation, values)

    return [full(out) for out in walk(program.jaxpr, [*program.consts, *args], rule)]


def _kernel(place, *refs, program: ClosedJaxpr, parameters: int, states: int, steps: int, backwards: bool) -> None:
    """One block of neurons of one example, by the numbers in `place`."""
    from jax.experimental import pallas as pl

    example, number = place
    inputs, outputs = refs[: len(program.in_avals)], refs[len(program.in_avals) :]
    known, start, xs = _split(inputs, parameters, states)
    neurons = inputs[0].shape[-1]
    # The last block may overlap with the one before, which writes the same.
    block = pl.ds(jnp.minimum(number * WIDTH, neurons - WIDTH), WIDTH)

    def at(ref, *time):
        return (0 if ref.shape[0] == 1 else example, *time, block)

    known = [ref[at(ref)] for ref in known]

    def some(first, count, state):
        times = [steps - 1 - (first + i) if backwards else first + i for i in range(count)]
        given = [[ref[at(ref, time)] for ref in xs] for time in times]
        for time, values in zip(times, given, strict=True):
            outs = _evaluate(program, [*known, *state, *values])
            state = outs[:states]
            for ref, out in zip(outputs[states:], outs[states:], strict=True):
                ref[at(ref, time)] = out
        return state

    state = [ref[at(ref)] for ref in start]
    whole = steps // AHEAD
    state = lax.fori_loop(0, whole, lambda turn, state: some(turn * AHEAD, AHEAD, state), state)
    state = some(whole * AHEAD, steps - whole * AHEAD, state)
    for ref, value in zip(outputs[:states], state, strict=True):
        ref[at(ref)] = value


def _fused(compiler: Callable, *args, **options) -> Sequence[Array]:
    """The loop by a kernel. Where neurons are few, a block takes those of several examples."""
    examples, neurons = _extent(args)
    if neurons >= WIDTH:
        return compiler(functools.partial(_kernel, **options), _abstract(*args, **options), args)
    total = examples * neurons

    def fold(arg):
        folded = jnp.moveaxis(jnp.broadcast_to(arg, (examples, *arg.shape[1:])), 0, -2).reshape(
            1, *arg.shape[1:-1], total
        )
        return jnp.pad(folded, [(0, 0)] * (arg.ndim - 1) + [(0, max(WIDTH - total, 0))])

    folded = [fold(arg) for arg in args]
    outs = compiler(functools.partial(_kernel, **options), _abstract(*folded, **options), folded)
    return [jnp.moveaxis(out[0, ..., :total].reshape(*out.shape[1:-1], examples, neurons), -2, 0) for out in outs]


def _grid(outs: Sequence[ShapedArray]) -> tuple[int, int]:
    return outs[0].shape[0], math.ceil(outs[0].shape[-1] / WIDTH)


def _interpreted(kernel: Callable, outs: Sequence[ShapedArray], args: Sequence[Array]) -> Sequence[Array]:
    from jax.experimental import pallas as pl

    shapes = [jax.ShapeDtypeStruct(out.shape, out.dtype) for out in outs]

    def block(*refs):
        kernel((pl.program_id(0), pl.program_id(1)), *refs)

    return pl.pallas_call(block, out_shape=shapes, grid=_grid(outs), interpret=True)(*args)


def _by_mosaic(kernel: Callable, outs: Sequence[ShapedArray], args: Sequence[Array]) -> Sequence[Array]:
    from jax.experimental import pallas as pl
    from jax.experimental.pallas import mosaic_gpu as plgpu

    shapes = [jax.ShapeDtypeStruct(out.shape, out.dtype) for out in outs]
    names = ("example", "block")

    def block(*refs):
        kernel([lax.axis_index(name) for name in names], *refs)

    mesh = plgpu.Mesh(grid=_grid(outs), grid_names=names)
    # The newer of the two ways in which Mosaic sees a program, which infers how values lie in registers.
    params = plgpu.CompilerParams(lowering_semantics=plgpu.LoweringSemantics.Warpgroup)
    fused: Any = pl.kernel(block, out_type=shapes, mesh=mesh, compiler_params=params)
    return fused(*args)


def _on_gpu(*args, program: ClosedJaxpr, **options) -> Sequence[Array]:
    numbers = [jax.ShapeDtypeStruct((WIDTH,), aval.dtype) for aval in program.in_avals]
    seen = jax.make_jaxpr(lambda *args: _evaluate(program, args))(*numbers)
    types = {aval.dtype.name for aval in (*seen.in_avals, *seen.out_avals)}
    names = {equation.primitive.name for equation in seen.jaxpr.eqns}
    # A derivative may have more in it than the step.
    if types <= _TYPES and names <= ELEMENTWISE | {"broadcast_in_dim"}:
        return _fused(_by_mosaic, *args, program=program, **options)
    return _scan(*args, program=program, **options)


def _batched(args, axes, **options):
    """Examples of examples are examples."""
    size = next(arg.shape[axis] for arg, axis in zip(args, axes, strict=True) if axis is not None)
    args = [arg if axis is None else jnp.moveaxis(arg, axis, 0) for arg, axis in zip(args, axes, strict=True)]
    examples = max(arg.shape[axis is not None] for arg, axis in zip(args, axes, strict=True))

    def rows(arg, shared):
        if shared and arg.shape[0] == 1:
            return arg
        arg = arg[None] if shared else arg
        return jnp.broadcast_to(arg, (size, examples, *arg.shape[2:])).reshape(size * examples, *arg.shape[2:])

    outs = _loop.bind(*(rows(arg, axis is None) for arg, axis in zip(args, axes, strict=True)), **options)
    return [out.reshape(size, examples, *out.shape[1:]) for out in outs], [0] * len(outs)


def _run(program: ClosedJaxpr, args: dict[int, Any]) -> dict[int, Any]:
    outs = walk(program.jaxpr, [*program.consts, *(args[i] for i in range(len(args)))], as_it_is)
    return dict(enumerate(outs))


def _number(array: Any) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct((), array.dtype)


def _is_float(aval: Any) -> bool:
    return jnp.issubdtype(aval.dtype, jnp.floating)


def _looped(step: Callable, parameters: PyTree, states: PyTree, inputs: PyTree, **options) -> list[Array]:
    """The loop of `step(parameters, states, inputs)` of numbers, for pytrees of arrays in their place."""
    groups = parameters, states, inputs
    counts = {"parameters": len(jax.tree.leaves(parameters)), "states": len(jax.tree.leaves(states))}
    program = jax.make_jaxpr(step)(*jax.tree.map(_number, groups))
    return _loop.bind(*jax.tree.leaves(groups), program=program, **counts, **options)


# In the derivatives, values are named by their numbers among the arguments of the program.


def _jvp(primals, tangents, *, program: ClosedJaxpr, parameters: int, states: int, **options):
    first = parameters + states
    float_states = [i for i in range(parameters, first) if _is_float(program.in_avals[i])]
    moving = {i for i, tangent in enumerate(tangents) if type(tangent) is not ad.Zero} | set(float_states)
    floats = [i for i, out in enumerate(program.out_avals) if _is_float(out)]

    def moved(args: dict, tangents: dict) -> tuple[dict, Any]:
        """All outputs of the program, and what moves with those that are not whole numbers."""

        def of(values):
            outs = _run(program, args | values)
            return [outs[i] for i in floats], outs

        values, tangents, outs = jax.jvp(of, ({i: args[i] for i in moving},), (tangents,), has_aux=True)
        return outs | dict(zip(floats, values, strict=True)), tangents

    args = dict(enumerate(map(_number, program.in_avals)))
    whole = jax.make_jaxpr(lambda args, tangents: moved(args, tangents)[1])(args, {i: args[i] for i in moving})
    wanted = needed(whole.jaxpr)[0]
    used = [i for i, variable in zip(args, whole.jaxpr.invars, strict=False) if variable in wanted]
    before = [i for i in used if parameters <= i < first]

    # The values, too, are those that go with the derivative: of `jax.custom_jvp`, what its rule gives.
    def keeping(*args):
        args = dict(enumerate(args))
        outs = moved(args, {i: jnp.zeros_like(args[i]) for i in moving})[0]
        return [*outs.values(), *(args[i] for i in before)]

    kept = jax.make_jaxpr(keeping)(*args.values())
    outs = _loop.bind(*primals, program=kept, parameters=parameters, states=states, **options)
    outs, trains = outs[: len(program.out_avals)], outs[len(program.out_avals) :]

    def linear(parameters, states, inputs):
        known = {i: jnp.zeros((), aval.dtype) for i, aval in enumerate(program.in_avals)}
        return moved(known | parameters[0] | inputs[0] | inputs[1], parameters[1] | states | inputs[2])[1]

    found = _looped(
        linear,
        ({i: primals[i] for i in used if i < parameters}, {i: tangents[i] for i in moving if i < parameters}),
        {i: ad.instantiate_zeros(tangents[i]) for i in float_states},
        (
            dict(zip(before, trains, strict=True)),
            {i: primals[i] for i in used if i >= first},
            {i: tangents[i] for i in moving if i >= first},
        ),
        **options,
    )
    out_tangents = dict(zip(floats, found, strict=True))
    return outs, [out_tangents.get(i, ad.Zero(jax.typeof(out).to_tangent_aval())) for i, out in enumerate(outs)]


def _transpose(errors, *args, program: ClosedJaxpr, parameters: int, states: int, steps: int, backwards: bool):
    """Backwards, from the errors at the outputs to those at what the loop is linear in: some parameters and inputs, and
    all the states. Errors at parameters add up in states of their own.
    """
    first = parameters + states
    unknown = [i for i, arg in enumerate(args) if ad.is_undefined_primal(arg)]
    linear = {*unknown, *range(parameters, first)}
    known = {i: arg for i, arg in enumerate(args) if i not in linear}
    at_states = [ad.instantiate_zeros(error) for error in errors[:states]]
    at_outs = {i: errors[i] for i in range(states, len(errors)) if type(errors[i]) is not ad.Zero}
    extent = _extent([arg.aval if ad.is_undefined_primal(arg) else arg for arg in args])

    def back(parameters, states, inputs):
        (at_states, sums), (seen, at_outs) = states, inputs

        def of(values):
            outs = _run(program, parameters | seen | values)
            return [outs[i] for i in range(len(at_states))], {i: outs[i] for i in at_outs}

        numbers = {i: _number(program.in_avals[i]) for i in linear}
        (found,) = jax.linear_transpose(of, numbers)((at_states, at_outs))
        sums = {i: total + found[i] for i, total in sums.items()}
        return (
            [found[i] for i in range(first - len(at_states), first)],
            sums,
            {i: found[i] for i in unknown if i >= first},
        )

    sums = {i: jnp.zeros(extent, program.in_avals[i].dtype) for i in unknown if i < parameters}
    found = _looped(
        back,
        {i: arg for i, arg in known.items() if i < parameters},
        (at_states, sums),
        ({i: arg for i, arg in known.items() if i >= first}, at_outs),
        steps=steps,
        backwards=not backwards,
    )
    order = [*range(parameters, first), *sums, *(i for i in unknown if i >= first)]
    found = dict(zip(order, found, strict=True))
    return [
        None if i not in unknown else found[i].sum(0, keepdims=True) if arg.aval.shape[0] == 1 else found[i]
        for i, arg in enumerate(args)
    ]


_loop.def_abstract_eval(_abstract)
_loop.def_impl(lambda *args, **options: eagerly(_loop, _scan, args, options))
mlir.register_lowering(_loop, mlir.lower_fun(_scan, multiple_results=True))
mlir.register_lowering(
    _loop, mlir.lower_fun(functools.partial(_fused, _interpreted), multiple_results=True), platform="cpu"
)
mlir.register_lowering(_loop, mlir.lower_fun(_on_gpu, multiple_results=True), platform="cuda")
batching.primitive_batchers[_loop] = _batched
ad.primitive_jvps[_loop] = _jvp
ad.primitive_transposes[_loop] = _transpose
