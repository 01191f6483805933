r"""The loop over time of leaky neurons that hear each other's spikes one step later.

$$c_t = \beta\,c_{t-1} + \gamma\,s_{t-1} W, \qquad v_t = v_0 + \alpha\,(p_{t-1} - v_0) + g\,(x_t + c_t), \qquad s_t =
[v_t \ge \theta]$$

with $p_t$ as in `neuron_loop`. `recurrent_loop` gives the potentials $v_t$ before the reset, of which all else follows.

What moves with the potentials is again a linear recurrence. With the surrogate's derivative $h_t$ at $v_t$, and $H$
that makes $c_t$ of spikes (`heard`),

$$\dot v_t = u_t + \alpha k_{t-1} \dot v_{t-1} + g\,H(h \dot v)_t,$$

where $u_t$ is what moves a potential at given spikes and a given potential before. Its transpose is the same backwards.
Both need a dense product in every step. The gradient of $W$ is one product of spikes and errors, after the loop.
"""

import functools
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.extend.core import Primitive
from jax.interpreters import ad
from jaxtyping import Array

from .._moving import moving
from ._neuron_loop import Kind, carried, keeps_of, loop_primitive, moved, pushed, shifted
from ._spike_product import spike_product


def recurrent_loop(kind: Kind, spike_fn: Callable, xs: Array, w: Array, v: Array, *neurons: Any) -> Array:
    """The potentials before the reset.

    **Arguments:** `spike_fn`: the surrogate, whose value is the step; `xs`: `(time, neurons)`;
    `w`: `(neurons, neurons)`, from and to; `v`: the potential after the step before; `neurons`: alpha, gain, rest,
    theta, the value after a reset, gamma, and beta or `None` for 0, which broadcast to `(neurons,)`. Nothing is heard
    in the first step.

    **Returns:** `(1, time, neurons)`.
    """
    *others, beta = neurons
    rows = [
        jnp.broadcast_to(one, v.shape).astype(xs.dtype)[None] for one in (v, *others, 0.0 if beta is None else beta)
    ]
    arguments = w, xs[None], *rows
    out = _recurrent.bind(*jax.lax.stop_gradient(arguments), reset=int(kind))
    return moving((out,), (spike_fn, int(kind), beta is not None, arguments), _rule)[0]


def heard(s: Array, w: Array, gamma: Array, beta: Array | None, product: Callable = spike_product) -> Array:
    """What comes back of the spikes `s` of all steps."""
    c = gamma[:, None] * product(shifted(s, 1, backwards=False), w)
    return c if beta is None else moved(c, beta[:, None], backwards=False)


def _heard_backwards(error: Array, w: Array, gamma: Array, beta: Array | None) -> Array:
    """The transpose of `heard` in the spikes."""
    c = error if beta is None else moved(error, beta[:, None], backwards=True)
    return shifted((gamma[:, None] * c) @ w.T, 1, backwards=True)


# The twins in plain JAX. Examples come first, then time, then neurons.


def plain_recurrent(w, x, v0, alpha, gain, rest, theta, value, gamma, beta, *, reset: int) -> Array:
    def step(carry, x):
        p, c, s = carry
        c = beta * c + gamma * (s @ w)
        v = rest + alpha * (p - rest) + gain * (x + c)
        after = {Kind.NONE: v, Kind.TO_VALUE: value, Kind.SUBTRACT: v - theta}[Kind(reset)]
        return (jnp.where(v >= theta, after, v), c, (v >= theta).astype(v.dtype)), v

    zeros = jnp.zeros_like(x[:, 0])
    start = jnp.broadcast_to(v0, zeros.shape), zeros, zeros
    return jnp.moveaxis(jax.lax.scan(step, start, jnp.moveaxis(x, 1, 0))[1], 0, 1)


def plain_returning(w, u, h, alpha, gain, gamma, beta, *gate, backwards: bool) -> Array:
    def step(carry, given):
        out, c, sent = carry
        u, h, keeps = given
        if backwards:
            out = u + alpha * keeps * out + h * (sent @ w.T)
            c = gain * out + beta * c
            return (out, c, gamma * c), out
        c = beta * c + gamma * (sent @ w)
        out = u + alpha * out + gain * c
        return (keeps * out, c, h * out), out

    given = [jnp.moveaxis(a, 1, 0) for a in (u, h, keeps_of(u, gate))]
    zeros = (jnp.zeros_like(u[:, 0]),) * 3
    return jnp.moveaxis(jax.lax.scan(step, zeros, tuple(given), reverse=backwards)[1], 0, 1)


_recurrent = loop_primitive("snnax_recurrent_loop", plain_recurrent, weighted=True)
_returning = loop_primitive("snnax_returning_loop", plain_returning, weighted=True)
_gated_returning = loop_primitive("snnax_gated_returning_loop", plain_returning, weighted=True)


@functools.partial(eqx.filter_checkpoint, prevent_cse=False)
def _rule(values, arguments, tangents):
    """What moves the potentials, which are all that is kept for the backward pass."""
    (v,), (f, kind, current, primals) = values, arguments
    df, _, _, moved = tangents
    w, x, v0, alpha, gain, rest, theta, value, gamma, beta = primals
    dw, dx, dv0, d_alpha, d_gain, d_rest, d_theta, d_value, d_gamma, d_beta = moved
    above = v - theta[:, None]
    s, h = jax.jvp(f, (above,), (jnp.ones_like(above),))
    (ds,) = _tangent(lambda f, theta: f(v - theta[:, None]), (f, theta), (df, d_theta)) or (None,)

    def driven(gain, x, s, w, gamma, beta):
        return gain[:, None] * (x + heard(s, w, gamma, beta if current else None))

    parts = [
        *pushed(kind, v, (v0, alpha, rest, theta, value), (dv0, d_alpha, d_rest, d_theta, d_value)),
        *_tangent(driven, (gain, x, s, w, gamma, beta), (d_gain, dx, ds, dw, d_gamma, d_beta)),
    ]
    u = sum(parts[1:], parts[0]) if parts else jnp.zeros_like(v)
    gated = kind == Kind.TO_VALUE
    primitive, gate = (_gated_returning, (v, theta)) if gated else (_returning, ())
    return (primitive.bind(w, u, h, alpha, gain, gamma, beta, *gate, backwards=False),)


def _tangent(f: Callable, primals, tangents) -> list[Array]:
    """The tangent of `f`, or nothing where nothing moves."""
    return [] if not jax.tree.leaves(tangents) else [eqx.filter_jvp(f, primals, tangents)[1]]


def _linear(primitive: Primitive) -> None:
    """Derivatives of `_returning` and `_gated_returning`, as those of `moved`."""

    def jvp(primals, tangents, *, backwards: bool):
        w, u, h, alpha, gain, gamma, beta, *gate = primals
        dw, du, *others = (None if type(tangent) is ad.Zero else tangent for tangent in tangents[:7])
        out = primitive.bind(*primals, backwards=backwards)
        keeps = keeps_of(u, gate)

        def added(w, h, alpha, gain, gamma, beta):
            if backwards:
                returned = h * _heard_backwards(gain[:, None] * out, w, gamma, beta)
            else:
                returned = gain[:, None] * heard(h * out, w, gamma, beta, jnp.matmul)
            return returned + carried(keeps * alpha[:, None], out, backwards=backwards)

        parts = [] if du is None else [du]
        parts += _tangent(added, (w, h, alpha, gain, gamma, beta), (dw, *others))
        if not parts:
            return out, jnp.zeros_like(out)
        return out, primitive.bind(w, sum(parts[1:], parts[0]), *primals[2:], backwards=backwards)

    def transpose(error, w, u, *others, backwards: bool):
        return None, primitive.bind(w, error, *others, backwards=not backwards), *(None for _ in others)

    ad.primitive_jvps[primitive] = jvp
    ad.primitive_transposes[primitive] = transpose


_linear(_returning)
_linear(_gated_returning)
