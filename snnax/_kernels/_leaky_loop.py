r"""The loop over time of leaky neurons that do not fire, and linear recurrences.

$$v_t = v_0 + \alpha\,(v_{t-1} - v_0) + g\,x_t$$

What moves with it is a linear recurrence, $\dot v_t = u_t + \alpha \dot v_{t-1}$; its transpose is the same one
backwards. The backward pass keeps nothing.
"""

import math
from typing import Any

import jax
import jax.numpy as jnp
from jax.interpreters import ad
from jaxtyping import Array

from ._loop import carried, loop_primitive


def leaky_loop(xs: Array, v: Array, alpha: Any, gain: Any, rest: Any) -> Array:
    """The potentials, of the shape of `xs`.

    **Arguments:** `xs`: `(time, *shape)`; `v`: the potential after the step before, `(*shape,)`; all others broadcast
    to `shape`.
    """
    flat = [
        jnp.broadcast_to(one, v.shape).astype(xs.dtype).reshape(1, math.prod(v.shape)) for one in (v, alpha, gain, rest)
    ]
    return _leaky.bind(xs.reshape(1, xs.shape[0], math.prod(v.shape)), *flat).reshape(xs.shape)


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


def moved(u: Array, factor: Array, *, backwards: bool) -> Array:
    """The recurrence over examples, time and neurons; what `factor` shares may have one example or one step."""
    return _moved.bind(u, factor, backwards=backwards)


# The twins in plain JAX.


def plain_leaky(x, v0, alpha, gain, rest) -> Array:
    def step(v, x):
        v = rest + alpha * (v - rest) + gain * x
        return v, v

    start = jnp.broadcast_to(v0, (x.shape[0], x.shape[2]))
    return jnp.moveaxis(jax.lax.scan(step, start, jnp.moveaxis(x, 1, 0))[1], 0, 1)


def plain_moved(u, factor, *, backwards: bool) -> Array:
    def step(carried, given):
        u, factor = given
        if backwards:
            out = u + factor * carried
            return out, out
        return factor * (u + carried), u + carried

    given = jnp.moveaxis(u, 1, 0), jnp.moveaxis(jnp.broadcast_to(factor, u.shape), 1, 0)
    _, out = jax.lax.scan(step, jnp.zeros_like(u[:, 0]), given, reverse=backwards)
    return jnp.moveaxis(out, 0, 1)


_leaky = loop_primitive("snnax_leaky_loop", plain_leaky)
_moved = loop_primitive("snnax_moved_loop", plain_moved)


def _leaky_jvp(primals, tangents):
    x, v0, alpha, gain, rest = primals
    v = _leaky.bind(*primals)
    dx, dv0, d_alpha, d_gain, d_rest = (None if type(tangent) is ad.Zero else tangent for tangent in tangents)
    first = jnp.broadcast_to(v0[:, None], v[:, :1].shape)
    parts = [] if dx is None else [gain[:, None] * dx]
    if d_gain is not None:
        parts.append(d_gain[:, None] * x)
    if d_alpha is not None:
        parts.append(d_alpha[:, None] * (jnp.concatenate([first, v[:, :-1]], axis=1) - rest[:, None]))
    if d_rest is not None:
        parts.append(jnp.broadcast_to((d_rest * (1 - alpha))[:, None], v.shape))
    if dv0 is not None:
        parts.append(jnp.zeros_like(v).at[:, 0].set(jnp.broadcast_to(alpha * dv0, v[:, 0].shape)))
    return v, moved(sum(parts[1:], parts[0]), alpha[:, None], backwards=False) if parts else jnp.zeros_like(v)


def _moved_jvp(primals, tangents, *, backwards: bool):
    """What a recurrence is linear in moves it, and its factor acts on every step."""
    (u, factor), (du, d_factor) = primals, tangents
    out = moved(u, factor, backwards=backwards)
    parts = [] if type(du) is ad.Zero else [du]
    if type(d_factor) is not ad.Zero:
        parts.append(carried(d_factor, out, backwards=backwards))
    return out, moved(sum(parts[1:], parts[0]), factor, backwards=backwards) if parts else jnp.zeros_like(out)


ad.primitive_jvps[_leaky] = _leaky_jvp
ad.primitive_jvps[_moved] = _moved_jvp
ad.primitive_transposes[_moved] = lambda error, u, factor, *, backwards: (
    moved(error, factor, backwards=not backwards),
    None,
)
