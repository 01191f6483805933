"""Products of two arrays as primitives of JAX, linear in each of the two. The first may be mostly zeros."""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax.core import ShapedArray
from jax.extend.core import Primitive
from jax.interpreters import ad, mlir

from ._library import eagerly


def bilinear(name: str, dense: Callable, on_cpu: Callable, moved: Callable | None = None) -> Primitive:
    """A primitive with the values, shapes and derivatives of `dense`, which on a CPU is `on_cpu`.

    Its transposes and batches are for the caller to say. What moves the first argument is as dense as any array,
    also where that is mostly zeros; where another function is better for that, it is `moved`.
    """
    primitive = Primitive(name)

    def shape(x, other, **options):
        args = (jax.ShapeDtypeStruct(one.shape, one.dtype) for one in (x, other))
        out = jax.eval_shape(functools.partial(dense, **options), *args)
        return ShapedArray(out.shape, out.dtype)

    def jvp(primals, tangents, **options):
        x, other = primals
        dx, d_other = tangents
        parts = [] if type(d_other) is ad.Zero else [primitive.bind(x, d_other, **options)]
        parts += [] if type(dx) is ad.Zero else [(moved or primitive.bind)(dx, other, **options)]
        out = primitive.bind(x, other, **options)
        return out, sum(parts[1:], parts[0]) if parts else jnp.zeros_like(out)

    primitive.def_abstract_eval(shape)
    primitive.def_impl(lambda *args, **options: eagerly(primitive, dense, args, options))
    mlir.register_lowering(primitive, mlir.lower_fun(dense, multiple_results=False))
    mlir.register_lowering(primitive, mlir.lower_fun(on_cpu, multiple_results=False), platform="cpu")
    ad.primitive_jvps[primitive] = jvp
    return primitive
