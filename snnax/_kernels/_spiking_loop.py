r"""The loop over time of leaky neurons that fire, with any reset, rest and adaptation.

$$v_t = v_0 + \alpha\,(p_{t-1} - v_0) + g\,x_t + d\,a_{t-1}, \qquad z_t = v_t - \kappa\,a_{t-1} - r_t\,(\theta +
\kappa\,a_{t-1})$$

$$s_t = [z_t \ge \theta], \qquad a_t = \rho\,a_{t-1} + c\,(v_t - v_0) + b\,s_t$$

`spiking_loop` gives $z_t$, what is compared with the threshold; $p_t$ is what the reset makes of $v_t$ and $s_t$. With
`Kind.DELAYED`, $r_t = [p_{t-1} \ge \theta + \kappa\,a_{t-1}]$, else 0. While a neuron rests, $v_t = p_{t-1}$ and
nothing fires. All else follows entry by entry. What decides (spikes, $r_t$, rest) is never told anew from rounded
values: it is $z_t \ge \theta$, or a mark.

What moves with $z_t$ and $a_{t-1}$ is a linear recurrence of two states: `coupled_loop`.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.interpreters import ad
from jaxtyping import Array

from ._firing_loop import Kind
from ._leaky_loop import factor_of, moved
from ._loop import carried, loop_primitive

RESTING, LOWERED = 1, 2
"""The bits of a mark."""


def spiking_loop(
    kind: Kind,
    refractory: int,
    xs: Array,
    states: tuple[Array, Array | None, Array | None],
    rows: tuple[Any, ...],
    adaptation: tuple[Any, ...] | None,
) -> tuple[Array, Array | None, Array | None, Array | None]:
    r"""The loop, without derivatives.

    **Arguments:** `xs`: `(time, *shape)`; `states`: the potential, the adaptation and the countdown of the rest after
    the step before, `(*shape,)`; `rows`: $\alpha$, $g$, $v_0$, $\theta$ and the value of the reset; `adaptation`:
    $\rho$, $\kappa$, $d$, $c$, $b$. All broadcast to `shape`.

    **Returns:** $z$ and the marks, `(time, *shape)`; the adaptation that acts in the last step; the countdown after it.
    There are marks with `Kind.DELAYED` or `refractory`, adaptation where it is given, countdown with `refractory`.
    """
    v, a, countdown = states
    row = lambda one, dtype: jnp.broadcast_to(one, v.shape).astype(dtype).reshape(1, v.size)  # noqa: E731
    flat = [
        row(v, xs.dtype),
        row(0 if a is None else a, xs.dtype),
        row(0 if countdown is None else countdown, np.int32),
    ]
    flat += [row(one, xs.dtype) for one in (*rows, *(adaptation or (0.0,) * 5))]
    options = {"reset": int(kind), "refractory": refractory, "adapts": adaptation is not None}
    z, marks, last, count = _spiking.bind(xs.reshape(1, xs.shape[0], v.size), *flat, **options)
    return (
        z.reshape(xs.shape),
        marks.reshape(xs.shape) if _marked(kind, refractory) else None,
        None if a is None else last.reshape(v.shape),
        None if countdown is None else count.reshape(v.shape),
    )


def coupled_loop(u: Array, first: Array, factors: tuple[Array, Array, Array, Array]) -> tuple[Array, Array]:
    r"""$z_t = u_t + F^{11}_{t-1} z_{t-1} + F^{12}_{t-1} a_{t-1}$, $a_t = F^{21}_{t-1} z_{t-1} + F^{22}_{t-1} a_{t-1}$.

    **Arguments:** `u`: `(time, *shape)`; `first`: $a_1$, `(*shape,)`; `factors`: $F^{11}$, $F^{12}$, $F^{21}$ and
    $F^{22}$, which broadcast to `shape` or are of the shape of `u`. **Returns:** $z$, and $a$ in the last step.
    """
    flat = [factor_of(u, one) for one in factors]
    z, last = _coupled.bind(u.reshape(1, len(u), first.size), first.reshape(1, first.size), *flat, backwards=False)
    return z.reshape(u.shape), last.reshape(first.shape)


# The twins in plain JAX. Examples come first, then time, then neurons.


def _marked(kind: int, refractory: int) -> bool:
    return kind == Kind.DELAYED or refractory > 0


def plain_spiking(
    x,
    v0,
    a0,
    countdown,
    alpha,
    gain,
    rest,
    theta,
    value,
    rho,
    raises,
    drives,
    follows,
    adds,
    *,
    reset,
    refractory,
    adapts,
) -> list[Array]:
    def step(state, x):
        p, a, countdown = state
        resting, raised = countdown > 0, raises * a
        v = jnp.where(resting, p, rest + alpha * (p - rest) + gain * x + drives * a)
        lowered = (p >= theta + raised) & (reset == Kind.DELAYED)
        z = v - raised - jnp.where(lowered, theta + raised, 0)
        fired = (z >= theta) & ~resting
        after = {Kind.NONE: v, Kind.TO_VALUE: value}.get(Kind(reset), v - (theta + raised))
        new = rho * a + follows * (v - rest) + jnp.where(fired, adds, 0) if adapts else a
        countdown = jnp.where(fired, refractory, jnp.maximum(countdown - 1, 0))
        marks = RESTING * resting.astype(jnp.uint8) + LOWERED * lowered.astype(jnp.uint8)
        return (jnp.where(fired, after, v), new, countdown), (z, marks, a)

    row = lambda one: jnp.broadcast_to(one, (x.shape[0], x.shape[2]))  # noqa: E731
    (_, _, countdown), (z, marks, a) = jax.lax.scan(step, (row(v0), row(a0), row(countdown)), jnp.moveaxis(x, 1, 0))
    marks = jnp.moveaxis(marks, 0, 1) if _marked(reset, refractory) else jnp.zeros((len(x), 0, x.shape[2]), jnp.uint8)
    return [jnp.moveaxis(z, 0, 1), marks, a[-1], countdown]


def _spiking_results(x, *_, reset: int, refractory: int, adapts: bool) -> list:
    examples, steps, n = x.shape
    marks = jax.ShapeDtypeStruct((examples, steps if _marked(reset, refractory) else 0, n), jnp.uint8)
    one = (examples, n)
    return [x, marks, jax.ShapeDtypeStruct(one, x.dtype), jax.ShapeDtypeStruct(one, jnp.int32)]


def plain_coupled(u, first, *factors, backwards: bool) -> list[Array]:
    factors = [jnp.broadcast_to(one, u.shape) for one in factors]
    if backwards:
        f11, f12, f21, f22 = (jnp.flip(jnp.roll(one, 1, axis=1), axis=1) for one in factors)
        z, last = plain_coupled(jnp.flip(u, axis=1), first, f11, f21, f12, f22, backwards=False)
        return [jnp.flip(z, axis=1), last]

    def step(state, given):
        u, f11, f12, f21, f22 = given
        z, a = u + state[0], state[1]
        return (f11 * z + f12 * a, f21 * z + f22 * a), (z, a)

    first = jnp.broadcast_to(first, u[:, 0].shape)
    _, (z, a) = jax.lax.scan(step, (jnp.zeros_like(first), first), [jnp.moveaxis(one, 1, 0) for one in (u, *factors)])
    return [jnp.moveaxis(z, 0, 1), a[-1]]


def _coupled_results(u, *_, backwards: bool) -> list:
    del backwards
    return [u, jax.ShapeDtypeStruct((u.shape[0], u.shape[2]), u.dtype)]


_spiking = loop_primitive("snnax_spiking_loop", plain_spiking, _spiking_results)
_coupled = loop_primitive("snnax_coupled_loop", plain_coupled, _coupled_results, whole=2)


def _coupled_jvp(primals, tangents, *, backwards: bool):
    """The factors act on every step of both states; what they add to $a$ is carried into $z$ from there."""
    u, first, *factors = primals
    z, last = out = _coupled.bind(*primals, backwards=backwards)
    du, d_first, *d_factors = tangents
    du = jnp.zeros_like(u) if type(du) is ad.Zero else du
    d_first = jnp.zeros_like(first) if type(d_first) is ad.Zero else d_first
    if all(type(one) is ad.Zero for one in d_factors):
        return out, _coupled.bind(du, d_first, *factors, backwards=backwards)
    to_z, from_a, to_a, _ = range(4)
    if backwards:
        from_a, to_a = to_a, from_a
    start, end = (-1, 0) if backwards else (0, -1)
    a = carried(factors[to_a], z, backwards=backwards).at[:, start].add(first)
    a = moved(a, factors[3], backwards=backwards)
    add = jnp.zeros_like(z)
    for place, values in ((to_z, z), (from_a, a)):
        if type(d_factors[place]) is not ad.Zero:
            du = du + carried(d_factors[place], values, backwards=backwards)
    for place, values in ((to_a, z), (3, a)):
        if type(d_factors[place]) is not ad.Zero:
            add = add + carried(d_factors[place], values, backwards=backwards)
    more = moved(add, factors[3], backwards=backwards)
    du = du + carried(factors[from_a], more, backwards=backwards)
    dz, d_last = _coupled.bind(du, d_first, *factors, backwards=backwards)
    return out, [dz, d_last + more[:, end]]


def _coupled_transpose(errors, u, first, *factors, backwards: bool):
    shapes = u.aval, jax.ShapeDtypeStruct((u.aval.shape[0], u.aval.shape[2]), u.aval.dtype)
    errors = [
        jnp.zeros(one.shape, one.dtype) if type(error) is ad.Zero else error
        for error, one in zip(errors, shapes, strict=True)
    ]
    du, d_first = _coupled.bind(*errors, *factors, backwards=not backwards)
    return (
        du if ad.is_undefined_primal(u) else None,
        d_first if ad.is_undefined_primal(first) else None,
        *(None for _ in factors),
    )


ad.primitive_jvps[_coupled] = _coupled_jvp
ad.primitive_transposes[_coupled] = _coupled_transpose
