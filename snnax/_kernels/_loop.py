"""Loops over time as primitives: compiled on a CPU, plain JAX elsewhere, and batches of them one loop.

Their arrays are of examples, time and neurons, in this order; what neurons are like is of examples and neurons. What
all examples share may have one example, and what all steps share one step.
"""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import ShapedArray
from jax.extend.core import Primitive
from jax.interpreters import batching, mlir
from jaxtyping import Array

from ._library import eagerly

SMALL = 2**16
"""The number of steps of all neurons together below which the kernel is not worth its call."""


def loop_primitive(
    name: str,
    plain: Callable,
    results: Callable | None = None,
    whole: int = 1,
    weighted: bool = False,
    compiles: bool = True,
    read: Callable | None = None,
) -> Primitive:
    """A loop that is compiled on a CPU, and `plain` elsewhere.

    **Arguments:** `results`: a list of what it gives, as shapes and dtypes, from its arguments; by default one array
        like the first of them; `whole`: as for `batched`; `weighted`: whether weights that all examples share come
        last, which make the kernel worth its call on arrays of any size; `compiles`: whether there is a kernel; `read`:
        what the kernel takes, from the arguments; by default all as they are.
    """
    last = int(weighted)
    primitive = Primitive(name)
    several = primitive.multiple_results = results is not None
    given = results or (lambda first, *_, **__: first)

    def compiled(*args, **options):
        if args[0].size < SMALL and not weighted:
            return plain(*args, **options)
        shapes = jax.tree.map(lambda one: jax.ShapeDtypeStruct(one.shape, one.dtype), given(*args, **options))
        attributes = {key: value if isinstance(value, bool) else np.int64(value) for key, value in options.items()}
        taken = args if read is None else read(*args, **options)
        return jax.ffi.ffi_call(name, shapes)(*taken, **attributes)

    def abstract(*args, **options):
        return jax.tree.map(lambda one: ShapedArray(one.shape, one.dtype), given(*args, **options))

    def batch(args, axes, **options):
        loops, weights = len(args) - last, args[len(args) - last :]
        if any(axis is not None for axis in axes[loops:]):  # networks of their own
            out = jax.vmap(functools.partial(plain, **options), axes)(*args)
            return out, [0] * len(out) if several else 0
        return batched(lambda *args: primitive.bind(*args, *weights, **options), args[:loops], axes[:loops], whole)

    primitive.def_abstract_eval(abstract)
    primitive.def_impl(lambda *args, **options: eagerly(primitive, plain, args, options))
    mlir.register_lowering(primitive, mlir.lower_fun(plain, multiple_results=several))
    if compiles:
        mlir.register_lowering(primitive, mlir.lower_fun(compiled, multiple_results=several), platform="cpu")
    batching.primitive_batchers[primitive] = batch
    return primitive


def batched(bind: Callable, args, axes, whole: int = 1):
    """Examples of examples are examples. What all share stays one row, but for the `whole` first arguments."""
    size = next(arg.shape[axis] for arg, axis in zip(args, axes, strict=True) if axis is not None)
    examples = max(
        arg.shape[0 if axis is None else 1 if axis == 0 else 0] for arg, axis in zip(args, axes, strict=True)
    )

    def rows(arg, axis, must):
        if axis is None and arg.shape[0] == 1 and not must:
            return arg
        arg = jnp.broadcast_to(arg, (size, *arg.shape)) if axis is None else jnp.moveaxis(arg, axis, 0)
        arg = jnp.broadcast_to(arg, (size, examples, *arg.shape[2:]))
        return arg.reshape(-1, *arg.shape[2:])

    flat = [rows(arg, axis, i < whole) for i, (arg, axis) in enumerate(zip(args, axes, strict=True))]
    out = bind(*flat)
    out = jax.tree.map(lambda one: one.reshape(size, examples, *one.shape[1:]), out)
    return out, [0] * len(out) if isinstance(out, list) else 0


def shifted(values: Array, axis: int, *, backwards: bool) -> Array:
    """What the step before, or backwards the one after, has left, and 0 where there is none."""
    zero = jnp.zeros_like(jax.lax.slice_in_dim(values, 0, 1, axis=axis))
    kept = jax.lax.slice_in_dim(values, 1, None, axis=axis) if backwards else _all_but_last(values, axis)
    return jnp.concatenate([kept, zero] if backwards else [zero, kept], axis=axis)


def _all_but_last(values: Array, axis: int) -> Array:
    return jax.lax.slice_in_dim(values, 0, values.shape[axis] - 1, axis=axis)


def carried(factor: Array, values: Array, *, backwards: bool) -> Array:
    """What a linear recurrence carries into each step: by the factor of the step before, or backwards of this one."""
    if backwards:
        return factor * shifted(values, 1, backwards=True)
    return shifted(factor * values, 1, backwards=False)
