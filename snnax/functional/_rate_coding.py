"""Codes in which a value is the rate of spikes, or the input itself."""

import jax.numpy as jnp
import jax.random as jr
from jax.typing import ArrayLike
from jaxtyping import Array, Float, PRNGKeyArray, Shaped

from .._parameter import Interval
from ._arguments import check_key
from ._encoding import INTENSITY, as_count, as_signal, encoder, widened

_RATE = Interval(0.0, remedy="A rate is an expected number of spikes per step.")


def _check_key(name: str, key: PRNGKeyArray) -> None:
    check_key(
        f"functional.{name}",
        key,
        f"It comes first: `{name}(key, x, steps)`.",
        f"jax.vmap(functional.{name}, in_axes=(0, 0, None))(keys, xs, steps)",
    )


def _shape(owner: str, x: Array, steps: int | None) -> tuple[int, ...]:
    return x.shape if steps is None else (as_count(owner, "steps", steps), *x.shape)


@encoder
def rate_code(key: PRNGKeyArray, x: Shaped[ArrayLike, "..."], steps: int | None = None) -> Float[Array, "time ..."]:
    r"""Bernoulli spikes, drawn anew in every step.

    $$P(s_t = 1) = x \qquad\text{or, without `steps`,}\qquad P(s_t = 1) = x_t$$

    Gain and offset are composed: `rate_code(key, jnp.clip(gain * x + offset, 0, 1), steps)`.

    **Arguments:**

    - `key`: one for each example.
    - `x`: probabilities in [0, 1], of any shape. Other values are refused; where they are traced and cannot be seen,
        those above 1 always fire, those below 0 (and NaN) never.
    - `steps`: the number of time steps. `None` (default): `x` is a sequence, `(time, ...)`, with a probability of its
        own for each step.

    **Returns:** spikes of 0 and 1 in the dtype of `x`, `(steps, *x.shape)`, or of the shape of `x` without `steps`.
    """
    _check_key("rate_code", key)
    x = as_signal("functional.rate_code", x, INTENSITY, time=steps is None)
    return jr.bernoulli(key, widened(x), _shape("functional.rate_code", x, steps)).astype(x.dtype)


@encoder
def poisson_code(key: PRNGKeyArray, x: Shaped[ArrayLike, "..."], steps: int | None = None) -> Float[Array, "time ..."]:
    r"""Poisson counts: how many spikes fall into each step, $P(s_t = n) = x^n e^{-x} / n!$.

    **Arguments:**

    - `key`: one for each example, of the default kind (`threefry2x32`), as `jax.random.poisson` demands.
    - `x`: the expected number of spikes per step, 0 or more; from a frequency in Hz, `frequency * dt`. Other values
        are refused; where they are traced and cannot be seen, those below 0 (and NaN) give no spikes.
    - `steps`: the number of time steps. `None` (default): `x` is a sequence, `(time, ...)`, of rates.

    **Returns:** counts in the dtype of `x`, `(steps, *x.shape)`, or of the shape of `x` without `steps`.
    """
    _check_key("poisson_code", key)
    x = as_signal("functional.poisson_code", x, _RATE, time=steps is None)
    rate = widened(x)
    rate = jnp.where(rate > 0, rate, jnp.zeros_like(rate))
    return jr.poisson(key, rate, _shape("functional.poisson_code", x, steps)).astype(x.dtype)


@encoder
def direct_code(x: Shaped[ArrayLike, "..."], steps: int) -> Float[Array, "time ..."]:
    """A constant current: `x` itself in every step. The first layer of the network turns it into spikes.

    **Arguments:** `x`: floating, of any shape and range; `steps`: the number of time steps.

    **Returns:** `(steps, *x.shape)`, in the dtype of `x`.
    """
    x = as_signal("functional.direct_code", x)
    return jnp.broadcast_to(x, (as_count("functional.direct_code", "steps", steps), *x.shape))
