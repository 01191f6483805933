"""Values that move as a rule says, not as they were computed.

A `jax.custom_jvp` would do for first derivatives. Inside of `lax.scan`, JAX drops its rule from what a backward pass
keeps, so that the gradient of a gradient is that of the value as it was computed, silently. A primitive keeps its rule.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir
from jaxtyping import Array, PyTree


def moving(values: tuple[Array, ...], arguments: PyTree, rule: Callable) -> tuple[Array, ...]:
    """`values`, whose derivatives are those of `rule`, at any order, under every transformation.

    **Arguments:** `rule`: a function of a module, `rule(values, arguments, tangents)`, which gives a tuple of what
    moves each value, or `None`, linear in `tangents`: a pytree like `arguments`, with `None` for all that stands still.
    """
    leaves, tree = jax.tree.flatten(arguments)
    leaves = [jnp.asarray(leaf) if isinstance(leaf, np.ndarray) else leaf for leaf in leaves]
    arrays = [leaf for leaf in leaves if eqx.is_array(leaf)]
    rest = tuple(None if eqx.is_array(leaf) else leaf for leaf in leaves)
    values = jax.lax.stop_gradient(values)
    return tuple(_moving.bind(*values, *arrays, count=len(values), rule=_Rule(rule, tree, rest)))


@dataclasses.dataclass(frozen=True)
class _Rule:
    """A rule on the arrays of its arguments; `rest` are the others, with `None` in the places of arrays."""

    rule: Callable
    tree: Any
    rest: tuple

    def __call__(self, values: Sequence[Any], arrays: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, ...]:
        arguments: list[Any] = list(self.rest)
        moved: list[Any] = [None] * len(self.rest)
        places = [i for i, one in enumerate(self.rest) if one is None]
        for place, array, tangent in zip(places, arrays, tangents, strict=True):
            arguments[place], moved[place] = array, tangent
        unflatten = lambda leaves: jax.tree.unflatten(self.tree, leaves)  # noqa: E731
        return self.rule(tuple(values), unflatten(arguments), unflatten(moved))


@dataclasses.dataclass(frozen=True)
class _Mapped:
    """A rule for a batch: `axes` says which arrays have one."""

    rule: Callable
    axes: tuple[int | None, ...]

    def __call__(self, values, arrays, tangents):
        axes = list(self.axes)
        of_tangents = [None if tangent is None else axis for tangent, axis in zip(tangents, axes, strict=True)]
        return jax.vmap(self.rule, (0, axes, of_tangents))(list(values), list(arrays), list(tangents))


def _jvp(primals, tangents, *, count: int, rule: Callable):
    outs = _moving.bind(*primals, count=count, rule=rule)
    tangents = [None if type(tangent) is ad.Zero else tangent for tangent in tangents[count:]]
    moved = rule(outs, primals[count:], tangents)
    return outs, [jnp.zeros_like(out) if one is None else one for out, one in zip(outs, moved, strict=True)]


def _batched(args, axes, *, count: int, rule: Callable):
    size = next(arg.shape[axis] for arg, axis in zip(args, axes, strict=True) if axis is not None)
    values = [batching.bdim_at_front(arg, axis, size) for arg, axis in zip(args[:count], axes[:count], strict=True)]
    arrays = [
        arg if axis is None else jnp.moveaxis(arg, axis, 0)
        for arg, axis in zip(args[count:], axes[count:], strict=True)
    ]
    mapped = _Mapped(rule, tuple(None if axis is None else 0 for axis in axes[count:]))
    return _moving.bind(*values, *arrays, count=count, rule=mapped), [0] * count


_moving = Primitive("moving")
_moving.multiple_results = True
_moving.def_impl(lambda *args, count, rule: list(args[:count]))
_moving.def_abstract_eval(lambda *args, count, rule: list(args[:count]))
mlir.register_lowering(_moving, lambda ctx, *args, count, rule: list(args[:count]))
ad.primitive_jvps[_moving] = _jvp
batching.primitive_batchers[_moving] = _batched
