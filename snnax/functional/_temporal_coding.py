"""Codes in which a value is the time of one spike, or the pattern of a few: latency, phase, burst."""

import math

import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Shaped

from ._encoding import INTENSITY, as_count, as_signal, encoder, spike_at, widened


@encoder
def latency_code(x: Shaped[ArrayLike, "..."], steps: int, *, threshold: int | float = 0.01) -> Float[Array, "time ..."]:
    r"""One spike, the earlier the larger the value, linearly.

    $$t = \mathrm{round}\Big((T - 1)\,\frac{1 - x}{1 - \theta}\Big)$$

    The largest value, 1, fires in the first step and $\theta$ in the last; what is below $\theta$ is silent.

    **Arguments:**

    - `x`: in [0, 1], of any shape. Other values are refused; where they are traced and cannot be seen, those above 1
        fire in the first step, those below 0 (and NaN) never.
    - `steps`: $T$, the number of time steps.
    - `threshold`: $\theta$, a number in [0, 1). At 0 all values fire.

    **Returns:** spikes of 0 and 1 in the dtype of `x`, `(steps, *x.shape)`.
    """
    x = as_signal("functional.latency_code", x, INTENSITY)
    steps = as_count("functional.latency_code", "steps", steps)
    if not 0 <= threshold < 1:
        raise ValueError(f"`functional.latency_code`: `threshold` must be in [0, 1), got {threshold}.")
    wide = jnp.minimum(widened(x), 1)
    step = jnp.round((steps - 1) * (1 - wide) / (1 - threshold))
    return spike_at(jnp.where(wide >= threshold, step, -1), steps, x.dtype)


@encoder
def log_latency_code(
    x: Shaped[ArrayLike, "..."], steps: int, tau: int | float, *, threshold: int | float = 0.1
) -> Float[Array, "time ..."]:
    r"""One spike, when a leaky neuron that is charged by a constant current reaches its threshold.

    A membrane $v(t) = x\,(1 - e^{-t/\tau})$ reaches $\vartheta$ at $\tau \ln\frac{x}{x - \vartheta}$. With the
    $\vartheta$ that a current of $\theta$ reaches just in the last step, and time counted from the spike of $x = 1$,

    $$t = \mathrm{round}\Big(\tau \ln \frac{x\,(1 - \theta)}{x - \theta + e^{-(T - 1)/\tau}\,\theta\,(1 - x)}\Big)$$

    so that 1 fires in the first step and $\theta$ in the last; what is below $\theta$ would fire later, and is silent.
    The smaller $\tau$, the more values fire early.

    **Arguments:**

    - `x`: in [0, 1], of any shape. Other values are refused; where they are traced and cannot be seen, those above 1
        fire in the first step, those below 0 (and NaN) never.
    - `steps`: $T$, the number of time steps.
    - `tau`: $\tau$, the membrane time constant in time steps, a positive number.
    - `threshold`: $\theta$, a number in (0, 1).

    **Returns:** spikes of 0 and 1 in the dtype of `x`, `(steps, *x.shape)`.
    """
    x = as_signal("functional.log_latency_code", x, INTENSITY)
    steps = as_count("functional.log_latency_code", "steps", steps)
    if not 0 < threshold < 1:
        raise ValueError(f"`functional.log_latency_code`: `threshold` must be in (0, 1), got {threshold}.")
    if not tau > 0:
        raise ValueError(f"`functional.log_latency_code`: `tau` must be a positive number of time steps, got {tau}.")
    wide = jnp.minimum(widened(x), 1)
    fires = wide >= threshold
    safe = jnp.where(fires, wide, 1.0)
    left = math.exp(-(steps - 1) / tau)
    time = tau * jnp.log(safe * (1 - threshold) / (safe - threshold + left * threshold * (1 - safe)))
    # Near `threshold` rounding may put the time beyond the last step, where it never is.
    step = jnp.round(jnp.minimum(time, steps - 1))
    return spike_at(jnp.where(fires, step, -1), steps, x.dtype)


@encoder
def phase_code(x: Shaped[ArrayLike, "..."], steps: int, *, period: int = 8) -> Float[Array, "time ..."]:
    r"""The binary digits of the value, the most significant first, over and over.

    $$q = \mathrm{round}\big((2^K - 1)\,x\big), \qquad
      s_t = \Big\lfloor \frac{q}{2^{K - 1 - (t \bmod K)}} \Big\rfloor \bmod 2$$

    A spike counts for what its phase is worth: multiplied by `phase_weights`, the spikes of one period add up to
    $q / 2^K$. With $K = 8$ the digits of an image of bytes are exact.

    Source: J. Kim, H. Kim, S. Huh, J. Lee and K. Choi 2018, doi:10.1016/j.neucom.2018.05.087.

    **Arguments:**

    - `x`: in [0, 1], of any shape. Other values are refused; where they are traced and cannot be seen, the code has no
        meaning.
    - `steps`: the number of time steps. If it is no multiple of the period, the last period ends early.
    - `period`: $K$, the number of digits, 1 to 24 (what float32 tells apart).

    **Returns:** spikes of 0 and 1 in the dtype of `x`, `(steps, *x.shape)`.
    """
    x = as_signal("functional.phase_code", x, INTENSITY)
    steps = as_count("functional.phase_code", "steps", steps)
    period = _as_period("functional.phase_code", period)
    number = jnp.round(widened(x) * (2**period - 1)).astype(jnp.int32)
    place = (period - 1 - jnp.arange(steps, dtype=jnp.int32) % period).reshape(-1, *(1,) * x.ndim)
    return ((number >> place) & 1).astype(x.dtype)


def phase_weights(steps: int, *, period: int = 8) -> Float[Array, " time"]:
    r"""What a spike of `phase_code` is worth in each step: $2^{-(1 + t \bmod K)}$.

    **Arguments:** `steps`: the number of time steps; `period`: $K$, as in `phase_code`.

    **Returns:** `(steps,)`. To multiply spikes of shape (time, ...) by it, give it as many axes:
    `phase_weights(steps)[:, None]`.
    """
    steps = as_count("functional.phase_weights", "steps", steps)
    period = _as_period("functional.phase_weights", period)
    return jnp.asarray(0.5 ** (1 + np.arange(steps) % period), jnp.zeros(()).dtype)


def _as_period(owner: str, period: int) -> int:
    period = as_count(owner, "period", period)
    if period > 24:
        raise ValueError(f"`{owner}`: `period` must be 24 or less, the digits that float32 holds, got {period}.")
    return period


@encoder
def burst_code(
    x: Shaped[ArrayLike, "..."], steps: int, *, max_spikes: int = 5, min_interval: int = 2, max_interval: int = 8
) -> Float[Array, "time ..."]:
    r"""A burst from the first step on: the larger the value, the more spikes, and the closer together.

    $$n = \lceil N x \rceil, \qquad \Delta = \lceil \Delta_\max - (\Delta_\max - \Delta_\min)\,x \rceil, \qquad
      s_t = 1 \text{ at } t = 0, \Delta, 2\Delta, \ldots, (n - 1)\Delta$$

    Source: W. Guo, M. Fouda, A. Eltawil and K. Salama 2021, doi:10.3389/fnins.2021.638474; bursts as a code of deep
    networks: S. Park, S. Kim, H. Choe and S. Yoon 2019, arXiv:1809.03142.

    **Arguments:**

    - `x`: in [0, 1], of any shape; 0 is silent. Other values are refused; where they are traced and cannot be seen,
        the code has no meaning.
    - `steps`: the number of time steps. Too few for the longest burst are refused.
    - `max_spikes`: $N$, the number of spikes for 1.
    - `min_interval`, `max_interval`: $\Delta_\min \le \Delta_\max$, the time steps between two spikes for 1 and for the
        smallest values, 1 or more.

    **Returns:** spikes of 0 and 1 in the dtype of `x`, `(steps, *x.shape)`.
    """
    owner = "functional.burst_code"
    x = as_signal(owner, x, INTENSITY)
    steps = as_count(owner, "steps", steps)
    most = as_count(owner, "max_spikes", max_spikes)
    low = as_count(owner, "min_interval", min_interval)
    high = as_count(owner, "max_interval", max_interval, low)
    # A burst of n spikes is longest for the smallest value that has so many, just above (n - 1) / N.
    longest = 1 + max((n - 1) * (high - (high - low) * (n - 1) // most) for n in range(1, most + 1))
    if steps < longest:
        raise ValueError(
            f"`{owner}`: the longest burst takes {longest} steps, but `steps` is {steps}. "
            "Give more steps, fewer spikes or shorter intervals."
        )
    wide = widened(x)
    spikes = jnp.ceil(most * wide)
    interval = jnp.ceil(high - (high - low) * wide)
    time = jnp.arange(steps, dtype=wide.dtype).reshape(-1, *(1,) * x.ndim)
    return ((time % interval == 0) & (time < spikes * interval)).astype(x.dtype)
