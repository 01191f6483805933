r"""Linear recurrences over time, $v_t = a_t v_{t-1} + b_t$: one step after the other, or as an associative scan.

`decay` is $a$, `(time, *shape)`, or `(1, *shape)` where it is the same in every step; `drive` is $b$, `(time, *shape)`,
to whose steps the decay broadcasts; `first` is $v_{-1}$, of the shape of one step. All have one dtype, real or complex.
The result is $v$ after every step, `(time, *shape)`.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array

from ._layer import unroll


def constant(decay: Array, drive: Array) -> Array:
    """A decay that broadcasts to one step of `drive`, as that of every step: `(1, *shape)`."""
    return jnp.expand_dims(decay, tuple(range(drive.ndim - decay.ndim)))


def sequential(decay: Array, drive: Array, first: Array) -> Array:
    """The recurrence, one step after the other."""
    same = decay.shape[0] == 1

    def step(v, a_and_b):
        a, b = a_and_b
        v = (decay[0] if same else a) * v + b
        return v, v

    return jax.lax.scan(step, first, (None if same else decay, drive), unroll=unroll())[1]


@jax.custom_jvp
def associative(decay: Array, drive: Array, first: Array) -> Array:
    r"""The recurrence in $O(\log T)$ rounds: the steps $(a_1, b_1)$ and $(a_2, b_2)$ together are the step
    $(a_2 a_1, a_2 b_1 + b_2)$.

    Nothing is divided by a product of decays, so it holds for decays of 0, and for long sequences. The derivative is
    written as another such recurrence: that of the decay by itself would keep the products of every round.

    Source: G. Blelloch 1990, Prefix sums and their applications; E. Martin and C. Cundy 2018, arXiv:1709.04057.
    """
    decay = jnp.broadcast_to(decay, (drive.shape[0], *decay.shape[1:]))
    drive = drive.at[0].add(decay[0] * first)

    def after(earlier, later):
        (a, b), (c, d) = earlier, later
        return c * a, c * b + d

    return jax.lax.associative_scan(after, (decay, drive))[1]


@associative.defjvp
def _associative_jvp(primals, tangents):
    decay, _, first = primals
    decay_tangent, drive_tangent, first_tangent = tangents
    v = associative(*primals)
    previous = jnp.concatenate([first[None], v[:-1]])
    return v, associative(decay, decay_tangent * previous + drive_tangent, first_tangent)
