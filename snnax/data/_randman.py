"""Classes that differ in the times of spikes only, along smooth random manifolds."""

import math

import jax
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, Float, Int, PRNGKeyArray

from ..functional._encoding import as_count, spike_at

_HARMONICS = 100
_GRID = 10 * _HARMONICS


def randman(
    key: PRNGKeyArray,
    examples: int,
    *,
    classes: int = 10,
    units: int = 100,
    steps: int = 100,
    dim: int = 1,
    alpha: int | float = 2.0,
) -> tuple[Float[Array, "examples time units"], Int[Array, " examples"]]:
    r"""Smooth random manifolds: one for each class, on which each example is a random point.

    $$f_u(z) = \prod_{j=1}^{d} \sum_{k=1}^{K} \frac{A_{ujk}}{k^\alpha} \sin\big(2 \pi (B_{ujk}\,k z_j + C_{ujk})\big),
      \qquad t_u = \mathrm{round}\Big((T - 1)\,\frac{f_u(z) - \min f_u}{\max f_u - \min f_u}\Big)$$

    with $A$, $B$ and $C$ uniform in [0, 1] for each class and unit, $z$ uniform in $[0, 1]^d$ for each example, and
    $K = \min(\lceil 1000^{1/\alpha} \rceil, 100)$. Unit $u$ fires once, at $t_u$: counts tell nothing about the class.
    The smaller `alpha` and the larger `dim`, the harder.

    Source: F. Zenke and T. Vogels 2021, doi:10.1162/neco_a_01367.

    **Arguments:**

    - `key`: of the manifolds and the points. Examples to train and to test on come from one call, and are slices of it.
    - `examples`: their number. Example $i$ is of class $i$ modulo `classes`, so that slices are balanced.
    - `classes`, `units`, `steps`: how many of each; `steps` is $T$.
    - `dim`: $d$, the dimension of the manifolds.
    - `alpha`: $\alpha$, a positive number: how smooth they are.

    **Returns:** the spikes, `(examples, steps, units)`, of 0 and 1 in the default floating dtype, and the labels,
    `(examples,)`.
    """
    owner = "data.randman"
    examples, classes = as_count(owner, "examples", examples), as_count(owner, "classes", classes)
    units, steps = as_count(owner, "units", units), as_count(owner, "steps", steps)
    dim = as_count(owner, "dim", dim)
    if not alpha > 0:
        raise ValueError(f"`{owner}`: `alpha` must be a positive number, got {alpha}.")
    # In logarithms, as a small alpha overflows; less a trifle, so that alpha = 3 has 10 harmonics.
    harmonics = math.ceil(math.exp(min(math.log(1000) / alpha, math.log(_HARMONICS))) - 1e-9)
    key_manifold, key_point = jr.split(key)
    amplitude, frequency, phase = jr.uniform(key_manifold, (3, harmonics, classes, dim, units))
    k = jnp.arange(1, harmonics + 1, dtype=amplitude.dtype)
    amplitude = amplitude / k[:, None, None, None] ** alpha

    def factors(z, label):
        """The `dim` factors of f at the coordinates z, (..., dim), on the manifolds of the classes `label`, (...)."""

        def add(total, harmonic):
            k, amplitude, frequency, phase = harmonic
            angle = frequency[label] * (k * z[..., None]) + phase[label]
            return total + amplitude[label] * jnp.sin(2 * jnp.pi * angle), None

        start = jnp.zeros((*z.shape, units), z.dtype)
        return jax.lax.scan(add, start, (k, amplitude, frequency, phase))[0]

    # The coordinates are independent: the extremes of the product are products of extremes of the factors.
    line = jnp.linspace(0, 1, _GRID)
    every = factors(jnp.broadcast_to(line[:, None, None], (_GRID, classes, dim)), jnp.arange(classes))
    low, high = every.min(0), every.max(0)
    least, most = low[:, 0], high[:, 0]
    for j in range(1, dim):
        corners = jnp.stack([least * low[:, j], least * high[:, j], most * low[:, j], most * high[:, j]])
        least, most = corners.min(0), corners.max(0)

    label = jnp.arange(examples, dtype=jnp.int32) % classes
    height = factors(jr.uniform(key_point, (examples, dim)), label).prod(-2)
    # A point between two of the grid may be a trifle beyond the extremes.
    part = jnp.clip((height - least[label]) / (most - least)[label], 0, 1)
    return jnp.moveaxis(spike_at(jnp.round((steps - 1) * part), steps, height.dtype), 0, 1), label
