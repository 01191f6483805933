r"""The loop over time of leaky neurons that fire, and may hear each other's spikes one step later.

$$c_t = \beta\,c_{t-1} + \gamma\,s_{t-1} W, \qquad v_t = v_0 + \alpha\,(p_{t-1} - v_0) + g\,(x_t + c_t), \qquad s_t =
[v_t \ge \theta]$$

$v_t$ are the potentials before the reset; $p_t$ is $v_t$ where $v_t < \theta$, and else what the reset makes of it: a
value, $v_t - \theta$, or $v_t$. The spike that resets passes no gradient. Neurons that do not hear each other have no
$c_t$. What `firing_loop` gives tells all else, entry by entry, and the backward pass keeps the potentials alone.

With the surrogate's derivative $h_t$ at $v_t$, $k_t = 0$ after a spike that resets to a value and 1 otherwise, and $H$
that makes $c_t$ of spikes (`heard`), spikes and potentials move by what drives the potentials at given spikes and a
given potential before, $u_t$:

$$\dot v_t = u_t + \alpha k_{t-1} \dot v_{t-1} + g\,H(\dot s)_t, \qquad \dot s_t = h_t \dot v_t$$

The transpose of this linear map is the backward pass, a loop that takes the errors $e^s_t$ of the spikes and $e^v_t$ of
the potentials to those of the drive:

$$e_t = e^v_t + h_t\,(e^s_t + H^\top(g e)_t) + \alpha k_t\,e_{t+1}$$

The compiled one finds $h_t$ itself, where a `Slope` says how. The gradient of $W$ is one product of spikes and errors,
after the loop.
"""

import enum
import functools
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.extend.core import Primitive
from jax.interpreters import ad
from jaxtyping import Array

from .._moving import moving
from ._leaky_loop import moved
from ._loop import carried, loop_primitive, shifted
from ._spike_product import spike_product


class Kind(enum.IntEnum):
    """What a spike does to the potential: nothing, a reset to a value, or a subtraction of the threshold, which may be
    delayed; `firing_loop` knows no delay.
    """

    NONE = 0
    TO_VALUE = 1
    SUBTRACT = 2
    DELAYED = 3


class Slope(enum.IntEnum):
    """The surrogates whose derivatives the compiled loops find themselves; of others, `GIVEN`, they take an array.

    The order is that of slopes.h. Each has one parameter, or none.
    """

    GIVEN = 0
    STRAIGHT_THROUGH = 1
    LEAKY_STEP = 2
    LOG_TAILED = 3
    TRIANGULAR = 4
    BOXCAR = 5
    SUPER_SPIKE = 6
    ARC_TAN = 7
    SIGMOID = 8
    EXPONENTIAL = 9
    GAUSSIAN = 10


class Spikes(NamedTuple):
    """How neurons fire: the surrogate, whose value is the step; its `slope`; and the parameter of that."""

    surrogate: Callable
    slope: Slope
    parameter: Any


class Returning(NamedTuple):
    """What neurons hear of each other: gamma and beta, which broadcast to `(neurons,)`, beta `None` for 0; and the
    weights, `(from, to)`.
    """

    gamma: Any
    beta: Any
    w: Array


def firing_loop(
    kind: Kind, fires: Spikes, xs: Array, v: Array, *neurons: Any, returning: Returning | None = None
) -> tuple[Array, Array]:
    """The spikes, and the potentials before the reset.

    **Arguments:** `xs`: `(time, *shape)`; `v`: the potential after the step before, `(*shape,)`; `neurons`: alpha,
    gain, rest, theta and the value after a reset, which broadcast to `shape`; `returning`: nothing is heard in the
    first step.

    **Returns:** the spikes, of the shape of `xs`, and the potentials as they are kept for the backward pass, `(1, time,
    neurons)`: reshape them where they are used.
    """
    n = math.prod(v.shape)

    def row(one):
        return jnp.broadcast_to(one, v.shape).astype(xs.dtype).reshape(1, n)

    back: tuple = ()
    if returning is not None:
        back = row(returning.gamma), row(0.0 if returning.beta is None else returning.beta), returning.w
    arguments = xs.reshape(1, len(xs), n), row(v), *map(row, neurons), *back
    out = (_recurrent if back else _firing).bind(*jax.lax.stop_gradient(arguments), reset=int(kind))
    surrogate, slope, parameter = fires
    filters = returning is not None and returning.beta is not None
    given = surrogate, v.shape, int(kind), int(slope), filters, jax.lax.stop_gradient(row(parameter)), arguments
    v, s = moving(tuple(out), given, _rule)
    return s.reshape(xs.shape), v


def heard(s: Array, gamma: Array, beta: Array | None, w: Array, product: Callable = spike_product) -> Array:
    """What comes back of the spikes `s` of all steps."""
    c = gamma[:, None] * product(shifted(s, 1, backwards=False), w)
    return c if beta is None else moved(c, beta[:, None], backwards=False)


def _heard_backwards(error: Array, gamma: Array, beta: Array, w: Array) -> Array:
    """The transpose of `heard` in the spikes."""
    c = moved(error, beta[:, None], backwards=True)
    return shifted((gamma[:, None] * c) @ w.T, 1, backwards=True)


# The twins in plain JAX.


def plain_firing(x, v0, alpha, gain, rest, theta, value, *returning, reset: int) -> list[Array]:
    def step(carry, x):
        p, c, s = carry
        if returning:
            gamma, beta, w = returning
            c = beta * c + gamma * (s @ w)
        v = rest + alpha * (p - rest) + gain * (x + c)
        after = {Kind.NONE: v, Kind.TO_VALUE: value, Kind.SUBTRACT: v - theta}[Kind(reset)]
        s = (v >= theta).astype(v.dtype)
        return (jnp.where(v >= theta, after, v), c, s), (v, s)

    zeros = jnp.zeros_like(x[:, 0])
    start = jnp.broadcast_to(v0, zeros.shape), zeros, zeros
    return [jnp.moveaxis(one, 0, 1) for one in jax.lax.scan(step, start, jnp.moveaxis(x, 1, 0))[1]]


def plain_moving(u, h, v, theta, k, alpha, *returning, gated: bool, slope: int) -> list[Array]:
    """How potentials and spikes move."""
    del k, slope

    def step(carry, given):
        out, c, sent = carry
        u, h, keeps = given
        if returning:
            gain, gamma, beta, w = returning
            c = beta * c + gamma * (sent @ w)
            u = u + gain * c
        out = u + alpha * out
        return (keeps * out, c, h * out), (out, h * out)

    given = [jnp.moveaxis(a, 1, 0) for a in jnp.broadcast_arrays(u, h, _keeps(v, theta, gated))]
    zeros = (jnp.zeros_like(u[:, 0]),) * 3
    return [jnp.moveaxis(one, 0, 1) for one in jax.lax.scan(step, zeros, tuple(given))[1]]


def plain_errors(of_spikes, of_potentials, h, v, theta, k, alpha, *returning, gated: bool, slope: int) -> Array:
    """The errors of the drive."""
    del k, slope

    def step(carry, given):
        out, c, back = carry
        of_spikes, of_potentials, h, keeps = given
        out = of_potentials + h * (of_spikes + back) + alpha * keeps * out
        if returning:
            gain, gamma, beta, w = returning
            c = gain * out + beta * c
            back = (gamma * c) @ w.T
        return (out, c, back), out

    given = jnp.broadcast_arrays(of_spikes, of_potentials, h, _keeps(v, theta, gated))
    zeros = (jnp.zeros_like(of_spikes[:, 0]),) * 3
    steps = tuple(jnp.moveaxis(a, 1, 0) for a in given)
    return jnp.moveaxis(jax.lax.scan(step, zeros, steps, reverse=True)[1], 0, 1)


def _keeps(v: Array, theta: Array, gated: bool) -> Array:
    """0 after a spike that resets to a value, and 1 otherwise."""
    return (v < theta[:, None]).astype(v.dtype) if gated else jnp.ones((1, 1, 1), v.dtype)


def _twice(first, *_, **__):
    return [first, first]


_firing = loop_primitive("snnax_firing_loop", plain_firing, _twice)
_recurrent = loop_primitive("snnax_recurrent_loop", plain_firing, _twice, weighted=True)


def _read(of_spikes, of_potentials, h, *others, gated: bool, slope: int):
    """What the compiled loop takes: no derivatives where it finds them."""
    del gated
    return of_spikes, of_potentials, h if slope == Slope.GIVEN else jnp.zeros_like(h, shape=(1, 1, h.shape[2])), *others


_moving = loop_primitive("snnax_moving", plain_moving, _twice, compiles=False)
_returning_moving = loop_primitive("snnax_returning_moving", plain_moving, _twice, weighted=True, compiles=False)
_errors = loop_primitive("snnax_spike_errors", plain_errors, read=_read)
_returning_errors = loop_primitive("snnax_returning_errors", plain_errors, weighted=True, read=_read)


@functools.partial(eqx.filter_checkpoint, prevent_cse=False)
def _rule(values, arguments, tangents):
    """What moves potentials and spikes. Of the values, the potentials alone are kept for the backward pass."""
    v, _ = values
    surrogate, shape, kind, slope, filters, k, primals = arguments
    d_surrogate, *_, moved = tangents
    x, v0, alpha, gain, rest, theta, value, *returning = primals
    dx, dv0, d_alpha, d_gain, d_rest, d_theta, d_value, *d_returning = moved

    def fired(f, v, theta):
        above = v - theta[:, None]
        return f(above.reshape(above.shape[1], *shape)).reshape(above.shape)

    s, h = jax.jvp(lambda v: fired(surrogate, v, theta), (v,), (jnp.ones_like(v),))
    own = _tangent(lambda f, theta: fired(f, v, theta), (surrogate, theta), (d_surrogate, d_theta))
    ds = own[0] if own else None

    def driven(x, s, gain, *returning):
        if not returning:
            return gain[:, None] * x
        gamma, beta, w = returning
        return gain[:, None] * (x + heard(s, gamma, beta if filters else None, w))

    parts = _tangent(driven, (x, s, gain, *returning), (dx, ds, d_gain, *d_returning))
    parts += _pushed(kind, v, (v0, alpha, rest, theta, value), (dv0, d_alpha, d_rest, d_theta, d_value))
    if not parts:
        return (None, ds)
    back = (gain, *returning) if returning else ()
    options = {"gated": kind == Kind.TO_VALUE, "slope": slope}
    loop = _returning_moving if back else _moving
    dv, by_v = loop.bind(sum(parts[1:], parts[0]), h, v, theta, k, alpha, *back, **options)
    return dv, by_v if ds is None else by_v + ds


def _tangent(f: Callable, primals, tangents) -> list[Array]:
    """The tangent of `f`, or nothing where nothing moves."""
    return [] if not jax.tree.leaves(tangents) else [eqx.filter_jvp(f, primals, tangents)[1]]


def _pushed(reset: int, v: Array, neurons: Sequence[Array], tangents: Sequence[Array | None]) -> list[Array]:
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


def _pair(moving_loop: Primitive, errors_loop: Primitive) -> None:
    """Derivatives of a linear map of drives and of its transpose, of which `h` and all parameters act on every step."""

    def moving_jvp(primals, tangents, *, gated: bool, slope: int):
        u, h, v, theta, k, alpha, *returning = primals
        du, dh, _, _, _, d_alpha, *d_returning = _moved_only(tangents)
        dv, ds = moving_loop.bind(*primals, gated=gated, slope=slope)
        keeps = _keeps(v, theta, gated)

        def back(h, gain, gamma, beta, w):
            return gain[:, None] * heard(h * dv, gamma, beta, w, jnp.matmul)

        parts = [] if du is None else [du]
        parts += [] if d_alpha is None else [carried(keeps * d_alpha[:, None], dv, backwards=False)]
        parts += _tangent(back, (h, *returning), (dh, *d_returning)) if returning else []
        ddv, dds = jnp.zeros_like(dv), jnp.zeros_like(ds)
        if parts:
            ddv, dds = moving_loop.bind(
                sum(parts[1:], parts[0]), h, v, theta, k, alpha, *returning, gated=gated, slope=slope
            )
        return [dv, ds], [ddv, dds if dh is None else dds + dh * dv]

    def errors_jvp(primals, tangents, *, gated: bool, slope: int):
        of_spikes, _, h, v, theta, k, alpha, *returning = primals
        d_spikes, d_potentials, dh, _, _, _, d_alpha, *d_returning = _moved_only(tangents)
        out = errors_loop.bind(*primals, gated=gated, slope=slope)
        keeps = _keeps(v, theta, gated)

        def by_slope(h, *returning):
            if not returning:
                return h * of_spikes
            gain, gamma, beta, w = returning
            return h * (of_spikes + _heard_backwards(gain[:, None] * out, gamma, beta, w))

        parts = [] if d_potentials is None else [d_potentials]
        parts += [] if d_alpha is None else [carried(keeps * d_alpha[:, None], out, backwards=True)]
        parts += _tangent(by_slope, (h, *returning), (dh, *d_returning))
        if d_spikes is None and not parts:
            return out, jnp.zeros_like(out)
        d_spikes = jnp.zeros_like(out) if d_spikes is None else d_spikes
        moved = sum(parts[1:], parts[0]) if parts else _nothing(out)
        return out, errors_loop.bind(d_spikes, moved, h, v, theta, k, alpha, *returning, gated=gated, slope=slope)

    def moving_transpose(errors, u, *others, **options):
        of_potentials, of_spikes = errors
        like = next(error for error in errors if type(error) is not ad.Zero)
        of_spikes = jnp.zeros_like(like) if type(of_spikes) is ad.Zero else of_spikes
        of_potentials = _nothing(like) if type(of_potentials) is ad.Zero else of_potentials
        return errors_loop.bind(of_spikes, of_potentials, *others, **options), *(None for _ in others)

    def errors_transpose(moved, of_spikes, of_potentials, *others, **options):
        dv, ds = moving_loop.bind(moved, *others, **options)
        by_potentials = dv if ad.is_undefined_primal(of_potentials) else None
        return ds if ad.is_undefined_primal(of_spikes) else None, by_potentials, *(None for _ in others)

    ad.primitive_jvps[moving_loop] = moving_jvp
    ad.primitive_jvps[errors_loop] = errors_jvp
    ad.primitive_transposes[moving_loop] = moving_transpose
    ad.primitive_transposes[errors_loop] = errors_transpose


def _moved_only(tangents) -> list[Array | None]:
    return [None if type(tangent) is ad.Zero else tangent for tangent in tangents]


def _nothing(like: Array) -> Array:
    """An error that is 0 in all steps of all examples."""
    return jnp.zeros((1, 1, like.shape[2]), like.dtype)


_pair(_moving, _errors)
_pair(_returning_moving, _returning_errors)
