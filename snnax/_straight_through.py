"""Values with derivatives that are not theirs.

A `jax.custom_jvp` would do for first derivatives. Inside of `lax.scan`, JAX drops its rule from what a backward pass
keeps, so that the gradient of a gradient is that of the value itself, silently. A primitive keeps its rule.
"""

import jax.numpy as jnp
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir
from jaxtyping import Array


def straight_through(value: Array, *moves: Array) -> Array:
    r"""`value`, which moves by $\sum_i h_i \dot x_i$ at any order; `moves`: $h_1, x_1, h_2, x_2, \dots$

    All are of one shape and dtype.
    """
    return _straight_through.bind(value, *moves)


def _jvp(primals, tangents):
    out = _straight_through.bind(*primals)
    pairs = zip(primals[1::2], tangents[2::2], strict=True)
    moved = [derivative * dx for derivative, dx in pairs if type(dx) is not ad.Zero]
    return out, sum(moved[1:], moved[0]) if moved else jnp.zeros_like(out)


def _batched(args, axes):
    size = next(arg.shape[axis] for arg, axis in zip(args, axes, strict=True) if axis is not None)
    each = (batching.bdim_at_front(arg, axis, size) for arg, axis in zip(args, axes, strict=True))
    return _straight_through.bind(*each), 0


_straight_through = Primitive("straight_through")
_straight_through.def_impl(lambda value, *moves: value)
_straight_through.def_abstract_eval(lambda value, *moves: value)
mlir.register_lowering(_straight_through, lambda ctx, value, *moves: [value])
ad.primitive_jvps[_straight_through] = _jvp
batching.primitive_batchers[_straight_through] = _batched
