r"""The loop over time of leaky neurons that fire.

$$v_t = v_0 + \alpha\,(p_{t-1} - v_0) + g\,x_t$$

`neuron_loop` gives the potentials $v_t$ before the reset; $p_t$ is $v_t$ where $v_t < \theta$, and else what the reset
makes of it: a value $c$, $v_t - \theta$, or $v_t$. The spike that resets passes no gradient. All else follows from
$v_t$ entry by entry, in plain JAX: spikes, the surrogate's gradient, the state after the last step.

What moves with the potentials is a linear recurrence, $\dot v_t = u_t + \alpha k_{t-1} \dot v_{t-1}$, with $k_t = 0$
after a spike that resets to a value and 1 otherwise; its transpose is the same one backwards. All loops are compiled.
The backward pass keeps $v$ where spikes gate what moves, and else nothing.
"""

import enum
import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import ShapedArray
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir
from jaxtyping import Array

from ._library import eagerly

SMALL = 2**16
"""The number of steps of all neurons together below which the kernel is not worth its call."""


class Kind(enum.IntEnum):
    """What a spike does to the potential: nothing, a reset to a value, or a subtraction of the threshold, which may be
    delayed; `neuron_loop` knows no delay.
    """

    NONE = 0
    TO_VALUE = 1
    SUBTRACT = 2
    DELAYED = 3


def neuron_loop(kind: Kind, xs: Array, v: Array, alpha: Any, gain: Any, rest: Any, theta: Any, value: Any) -> Array:
    """The potentials before the reset.

    **Arguments:** `xs`: `(time, *shape)`; `v`: the potential after the step before, `(*shape,)`; all others broadcast
    to `shape`. **Returns:** `(1, time, neurons)`, as it is kept for the backward pass: reshape it where it is used.
    """
    flat = [
        jnp.broadcast_to(one, v.shape).astype(xs.dtype).reshape(1, math.prod(v.shape))
        for one in (v, alpha, gain, rest, theta, value)
    ]
    return _potentials.bind(xs.reshape(1, xs.shape[0], math.prod(v.shape)), *flat, reset=int(kind))


def moved_loop(u: Array, factor: Array) -> Array:
    """$m_t = u_t + f_{t-1} m_{t-1}$. **Arguments:** `u`: `(time, *shape)`; `factor`: $f$, which broadcasts to `shape`,
    or is of the shape of `u`.
    """
    flat = u.reshape(1, len(u), math.prod(u.shape[1:]))
    return moved(flat, factor_of(u, factor), backwards=False).reshape(u.shape)


def factor_of(u: Array, factor: Array) -> Array:
    """A factor of `moved_loop` in the form of the loops, `(1, time or 1, neurons)`."""
    shape = u.shape if factor.ndim == u.ndim else (1, *u.shape[1:])
    return jnp.broadcast_to(factor, shape).reshape(1, shape[0], math.prod(u.shape[1:]))


# The twins in plain JAX. Examples come first, then time, then neurons.


def plain_potentials(x, v0, alpha, gain, rest, theta, value, *, reset: int) -> Array:
    def step(state, x):
        v = rest + alpha * (state - rest) + gain * x
        after = {Kind.NONE: v, Kind.TO_VALUE: value, Kind.SUBTRACT: v - theta}[Kind(reset)]
        return jnp.where(v >= theta, after, v), v

    state = jnp.broadcast_to(v0, (x.shape[0], x.shape[2]))
    return jnp.moveaxis(jax.lax.scan(step, state, jnp.moveaxis(x, 1, 0))[1], 0, 1)


def plain_moved(u, factor, *gate, backwards: bool) -> Array:
    def step(carried, given):
        u, factor = given
        if backwards:
            out = u + factor * carried
            return out, out
        return factor * (u + carried), u + carried

    given = jnp.moveaxis(u, 1, 0), jnp.moveaxis(keeps_of(u, gate) * factor, 1, 0)
    _, out = jax.lax.scan(step, jnp.zeros_like(u[:, 0]), given, reverse=backwards)
    return jnp.moveaxis(out, 0, 1)


def keeps_of(u: Array, gate: Sequence[Array]) -> Array:
    """0 after a spike that resets to a value, and 1 otherwise."""
    if not gate:
        return jnp.ones_like(u)
    v, theta = gate
    return (v < theta[:, None]).astype(u.dtype)


def loop_primitive(
    name: str, plain: Callable, results: Callable | None = None, whole: int = 1, weighted: bool = False
) -> Primitive:
    """A loop that is compiled on a CPU, and `plain` elsewhere.

    **Arguments:** `results`: a list of what it gives, as shapes and dtypes, from its arguments; by default one array
        like the first of them that has examples; `whole`: as for `batched`; `weighted`: whether weights that all
        examples share come first, which make the kernel worth its call on arrays of any size.
    """
    first = int(weighted)
    primitive = Primitive(name)
    several = primitive.multiple_results = results is not None
    given = results or (lambda *args, **_: args[first])

    def compiled(*args, **options):
        if args[0].size < SMALL and not weighted:
            return plain(*args, **options)
        shapes = jax.tree.map(lambda one: jax.ShapeDtypeStruct(one.shape, one.dtype), given(*args, **options))
        attributes = {key: value if isinstance(value, bool) else np.int64(value) for key, value in options.items()}
        return jax.ffi.ffi_call(name, shapes)(*args, **attributes)

    def abstract(*args, **options):
        return jax.tree.map(lambda one: ShapedArray(one.shape, one.dtype), given(*args, **options))

    def batch(args, axes, **options):
        if any(axis is not None for axis in axes[:first]):  # networks of their own
            return jax.vmap(functools.partial(plain, **options), axes)(*args), 0
        return batched(functools.partial(primitive.bind, *args[:first], **options), args[first:], axes[first:], whole)

    primitive.def_abstract_eval(abstract)
    primitive.def_impl(lambda *args, **options: eagerly(primitive, plain, args, options))
    mlir.register_lowering(primitive, mlir.lower_fun(plain, multiple_results=several))
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


_potentials = loop_primitive("snnax_neuron_loop", plain_potentials)
_moved = loop_primitive("snnax_moved_loop", plain_moved)
_gated = loop_primitive("snnax_gated_loop", plain_moved)


def moved(u: Array, factor: Array, *, backwards: bool) -> Array:
    """The recurrence over examples, time and neurons; what `factor` shares may have one example or one step."""
    return _moved.bind(u, factor, backwards=backwards)


def _potentials_jvp(primals, tangents, *, reset: int):
    x, v0, alpha, gain, rest, theta, value = primals
    v = _potentials.bind(*primals, reset=reset)
    dx, dv0, d_alpha, d_gain, d_rest, d_theta, d_value = (
        None if type(tangent) is ad.Zero else tangent for tangent in tangents
    )
    parts = [] if dx is None else [gain[:, None] * dx]
    parts += [] if d_gain is None else [d_gain[:, None] * x]
    parts += pushed(reset, v, (v0, alpha, rest, theta, value), (dv0, d_alpha, d_rest, d_theta, d_value))
    if not parts:
        return v, jnp.zeros_like(v)
    u = sum(parts[1:], parts[0])
    if reset == Kind.TO_VALUE:
        return v, _gated.bind(u, alpha[:, None], v, theta, backwards=False)
    return v, moved(u, alpha[:, None], backwards=False)


def pushed(reset: int, v: Array, neurons: Sequence[Array], tangents: Sequence[Array | None]) -> list[Array]:
    """What moves the potentials `v` by the state before the first step and by all parameters but the gain."""
    v0, alpha, rest, theta, value = neurons
    dv0, d_alpha, d_rest, d_theta, d_value = tangents
    row = lambda values: values[:, None]  # noqa: E731
    spikes = v >= row(theta)
    after = {Kind.NONE: v, Kind.TO_VALUE: row(value), Kind.SUBTRACT: v - row(theta)}[Kind(reset)]
    first = jnp.broadcast_to(row(v0), v[:, :1].shape)
    before = jnp.concatenate([first, jnp.where(spikes, after, v)[:, :-1]], axis=1)
    d_after = {Kind.NONE: None, Kind.TO_VALUE: d_value, Kind.SUBTRACT: None if d_theta is None else -d_theta}[
        Kind(reset)
    ]
    parts = []
    if d_alpha is not None:
        parts.append(row(d_alpha) * (before - row(rest)))
    if d_rest is not None:
        parts.append(jnp.broadcast_to(row(d_rest * (1 - alpha)), v.shape))
    if d_after is not None:
        fired = jnp.concatenate([jnp.zeros_like(v[:, :1]), spikes[:, :-1].astype(v.dtype)], axis=1)
        parts.append(fired * row(alpha * d_after))
    if dv0 is not None:
        parts.append(jnp.zeros_like(v).at[:, 0].set(jnp.broadcast_to(alpha * dv0, v[:, 0].shape)))
    return parts


def shifted(values: Array, axis: int, *, backwards: bool) -> Array:
    """What the step before, or backwards the one after, has left, and 0 where there is none."""
    zero = jnp.zeros_like(jax.lax.slice_in_dim(values, 0, 1, axis=axis))
    kept = jax.lax.slice_in_dim(values, 1, None, axis=axis) if backwards else _all_but_last(values, axis)
    return jnp.concatenate([kept, zero] if backwards else [zero, kept], axis=axis)


def _all_but_last(values: Array, axis: int) -> Array:
    return jax.lax.slice_in_dim(values, 0, values.shape[axis] - 1, axis=axis)


def carried(factor: Array, values: Array, *, backwards: bool) -> Array:
    """What a linear recurrence carries into each step: by the factor of the step before, or backwards of this one.

    Examples come first, then time.
    """
    if backwards:
        return factor * shifted(values, 1, backwards=True)
    return shifted(factor * values, 1, backwards=False)


def _linear(primitive: Primitive) -> None:
    """Derivatives of `_moved` and `_gated`: what they are linear in moves them; the factors act on every step; and
    where spikes gate, the potentials tell only where they were.
    """

    def jvp(primals, tangents, *, backwards: bool):
        u, factor, *gate = primals
        du, d_factor, *_ = tangents
        out = primitive.bind(*primals, backwards=backwards)
        parts = [] if type(du) is ad.Zero else [du]
        if type(d_factor) is not ad.Zero:
            parts.append(carried(keeps_of(u, gate) * d_factor, out, backwards=backwards))
        if not parts:
            return out, jnp.zeros_like(out)
        return out, primitive.bind(sum(parts[1:], parts[0]), factor, *gate, backwards=backwards)

    def transpose(error, u, factor, *gate, backwards: bool):
        return primitive.bind(error, factor, *gate, backwards=not backwards), None, *(None for _ in gate)

    ad.primitive_jvps[primitive] = jvp
    ad.primitive_transposes[primitive] = transpose


ad.primitive_jvps[_potentials] = _potentials_jvp
_linear(_moved)
_linear(_gated)
