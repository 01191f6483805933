"""Classes that are frozen noise: one spike pattern for each, repeated inexactly."""

import jax
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, Float, Int, PRNGKeyArray

from .._parameter import Interval
from ..functional._encoding import UNIT, as_count, as_number

_JITTER = Interval(0.0, remedy="It is a standard deviation in time steps.")


def poisson_patterns(
    key: PRNGKeyArray,
    examples: int,
    *,
    classes: int = 10,
    units: int = 50,
    steps: int = 100,
    rate: int | float = 0.05,
    jitter: int | float = 2.0,
) -> tuple[Float[Array, "examples time units"], Int[Array, " examples"]]:
    r"""Frozen Poisson patterns: the template of a class, every spike of it moved in time at random.

    In a template each unit fires in each step with the probability `rate`. In an example each spike of the template is
    moved by $\mathrm{round}(\sigma \xi)$ steps, $\xi$ normally distributed; those that meet become one, and those that
    leave the sequence are lost.

    **Arguments:**

    - `key`: of the templates and the examples. Examples to train and to test on come from one call, and are slices of
        it.
    - `examples`: their number. Example $i$ is of class $i$ modulo `classes`, so that slices are balanced.
    - `classes`, `units`, `steps`: how many of each.
    - `rate`: of each unit in spikes per step, a number in [0, 1].
    - `jitter`: $\sigma$ in time steps, 0 or more.

    **Returns:** the spikes, `(examples, steps, units)`, of 0 and 1 in the default floating dtype, and the labels,
    `(examples,)`.
    """
    owner = "data.poisson_patterns"
    examples, classes = as_count(owner, "examples", examples), as_count(owner, "classes", classes)
    units, steps = as_count(owner, "units", units), as_count(owner, "steps", steps)
    rate = as_number(owner, "rate", rate, UNIT)
    jitter = as_number(owner, "jitter", jitter, _JITTER)
    key_template, key_jitter = jr.split(key)
    templates = jr.bernoulli(key_template, rate, (classes, steps, units)).astype(jnp.zeros(()).dtype)
    label = jnp.arange(examples, dtype=jnp.int32) % classes

    def example(key, template):
        moved = jnp.round(jitter * jr.normal(key, template.shape)).astype(jnp.int32) + jnp.arange(steps)[:, None]
        # Negative indices would count from the end.
        moved = jnp.where(moved < 0, steps, moved)
        return jnp.zeros_like(template).at[moved, jnp.arange(units)].max(template, mode="drop")

    return jax.vmap(example)(jr.split(key_jitter, examples), templates[label]), label
