"""Codes of what changes in a signal: +1 for up, -1 for down, and nothing while it stays."""

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Shaped

from ._encoding import as_signal, as_threshold, encoder, for_one_step, widened


@encoder
def delta_code(x: Shaped[ArrayLike, "time ..."], threshold=0.1) -> Float[Array, "time ..."]:
    r"""A spike where the signal has changed by the threshold since the step before.

    $$s_t = [x_t - x_{t-1} \ge \theta] - [x_{t-1} - x_t \ge \theta], \qquad s_0 = 0$$

    A change that is slower than $\theta$ per step is never seen; `send_on_delta` sees it. Up and down as two channels:
    `jnp.stack([jnp.maximum(s, 0), jnp.maximum(-s, 0)], axis=1)`.

    **Arguments:**

    - `x`: the signal, `(time, ...)`, floating, of any range.
    - `threshold`: $\theta$, positive, in the units of `x`: a number or an array that broadcasts to one time step.

    **Returns:** +1, 0 or -1 in the shape and dtype of `x`.
    """
    x = as_signal("functional.delta_code", x, time=True)
    wide = widened(x)
    threshold = as_threshold("functional.delta_code", threshold, wide)
    change = jnp.diff(wide, axis=0, prepend=wide[:1])
    return (change >= threshold).astype(x.dtype) - (change <= -threshold).astype(x.dtype)


@encoder
def send_on_delta(x: Shaped[ArrayLike, "time ..."], threshold=0.1) -> Float[Array, "time ..."]:
    r"""As many spikes as thresholds between the signal and a reference, which only spikes move.

    $$s_t = \mathrm{trunc}\Big(\frac{x_t - r_{t-1}}{\theta}\Big), \qquad r_t = r_{t-1} + \theta s_t,
      \qquad r_{-1} = x_0$$

    The reference, which `step_forward_decode` gives back, is never further than $\theta$ from the signal.

    Source: M. Miskowicz 2006, doi:10.3390/s6010049; here the reference moves by whole thresholds, so that the spikes
    are all that a receiver needs.

    **Arguments:**

    - `x`: the signal, `(time, ...)`, floating, of any range.
    - `threshold`: $\theta$, positive, in the units of `x`: a number or an array that broadcasts to one time step.

    **Returns:** signed whole numbers in the shape and dtype of `x`.
    """
    return _follow("functional.send_on_delta", x, threshold, most=jnp.inf)


@encoder
def step_forward(x: Shaped[ArrayLike, "time ..."], threshold=0.1) -> Float[Array, "time ..."]:
    r"""One spike towards the signal where it is a threshold or more from a reference, which only spikes move.

    $$s_t = [x_t - r_{t-1} \ge \theta] - [r_{t-1} - x_t \ge \theta], \qquad r_t = r_{t-1} + \theta s_t,
      \qquad r_{-1} = x_0$$

    The reference, which `step_forward_decode` gives back, stays within $\theta$ of a signal that changes by $\theta$
    per step at most, and lags behind a faster one.

    Source: B. Petro, N. Kasabov and R. Kiss 2020, doi:10.1109/TNNLS.2019.2906158.

    **Arguments:**

    - `x`: the signal, `(time, ...)`, floating, of any range.
    - `threshold`: $\theta$, positive, in the units of `x`: a number or an array that broadcasts to one time step.

    **Returns:** +1, 0 or -1 in the shape and dtype of `x`.
    """
    return _follow("functional.step_forward", x, threshold, most=1.0)


def _follow(owner: str, x: Shaped[ArrayLike, "..."], threshold, most: int | float) -> Array:
    x = as_signal(owner, x, time=True)
    wide = widened(x)
    # In thresholds above the first value, where the reference is a whole number and gathers no rounding errors.
    height = (wide - wide[:1]) / as_threshold(owner, threshold, wide)

    def step(reference, now):
        spikes = jnp.clip(jnp.trunc(now - reference), -most, most)
        return reference + spikes, spikes

    _, spikes = jax.lax.scan(step, jnp.zeros_like(height[0]), height)
    return jnp.where(spikes == 0, 0.0, spikes).astype(x.dtype)  # trunc gives -0 too


def step_forward_decode(
    spikes: Shaped[ArrayLike, "time ..."], threshold=0.1, start: Shaped[ArrayLike, "..."] = 0.0
) -> Float[Array, "time ..."]:
    r"""The signal from the spikes of `step_forward` or `send_on_delta`: $\hat x_t = x_0 + \theta \sum_{k \le t} s_k$.

    **Arguments:**

    - `spikes`: `(time, ...)`, floating.
    - `threshold`: $\theta$, as it was encoded with.
    - `start`: $x_0$, the first value of the signal: a number or an array that broadcasts to one time step.

    **Returns:** the reference in every step, in the shape and dtype of `spikes`.
    """
    spikes = as_signal("functional.step_forward_decode", spikes, time=True)
    wide = widened(spikes)
    threshold = as_threshold("functional.step_forward_decode", threshold, wide)
    first = for_one_step("functional.step_forward_decode", "start", start, wide)
    return (first + threshold * jnp.cumsum(wide, axis=0)).astype(spikes.dtype)
