"""Phases as the times of spikes within a period."""

import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Int, Shaped

from ._arguments import as_array, as_trains, floating
from ._encoding import as_count, encoder, spike_at, widened


def nearest_step(phases: Float[Array, "..."], steps: int) -> Int[Array, "..."]:
    """The step of a period that is nearest to each phase, as a whole number from 0 to `steps` - 1."""
    return jnp.round(phases * (steps / (2 * np.pi))).astype(jnp.int32) % steps


@encoder
def phase_to_spikes(phases: Shaped[ArrayLike, "..."], steps: int) -> Float[Array, "time ..."]:
    r"""One spike in a period, at the step that is nearest to the phase.

    $$t = \mathrm{round}\Big(\frac{T \varphi}{2\pi}\Big) \bmod T$$

    Source: E. P. Frady and F. Sommer 2019, doi:10.1073/pnas.1902653116.

    **Arguments:**

    - `phases`: $\varphi$ in radians, any floating numbers, of any shape; those of complex numbers by `jnp.angle`. What
        is not finite makes no spike, as silence is NaN for `spikes_to_phase`.
    - `steps`: $T$, the number of time steps in a period, 2 or more.

    **Returns:** spikes of 0 and 1 in the dtype of `phases`, `(steps, *phases.shape)`.
    """
    array = as_array("functional.phase_to_spikes", "phases", phases)
    if not jnp.issubdtype(array.dtype, jnp.floating):
        raise TypeError(
            f"`functional.phase_to_spikes`: `phases` must be a floating array, of radians, got dtype {array.dtype}."
        )
    steps = as_count("functional.phase_to_spikes", "steps", steps, 2)
    finite = jnp.isfinite(array)
    step = nearest_step(widened(jnp.where(finite, array, 0)), steps)
    return spike_at(jnp.where(finite, step, -1), steps, array.dtype)


def spikes_to_phase(train: Shaped[ArrayLike, "time ..."]) -> Float[Array, "..."]:
    r"""The phase of the spikes of one period.

    $$\varphi = \arg \sum_t s_t\,e^{2\pi i\,t/T}$$

    The inverse of `phase_to_spikes` to half a step, $\pi/T$; for several spikes the mean on the circle. Of a longer
    train, whole periods of it: `jax.vmap(spikes_to_phase)(train.reshape(-1, period, *train.shape[1:]))`.

    Source: E. P. Frady and F. Sommer 2019, doi:10.1073/pnas.1902653116.

    **Arguments:** `train`: `(time, ...)`, the spikes of one period from its first step on.

    **Returns:** the phases in $[-\pi, \pi]$, of the shape of one step, in the dtype of `train` where that is a floating
        one; NaN where there was no spike, with a gradient of 0.
    """
    train = as_trains("functional.spikes_to_phase", "train", train)
    wide = widened(train.astype(floating(train)))
    angles = jnp.asarray(2 * np.pi * np.arange(len(train)) / len(train), wide.dtype)
    silent = jnp.all(wide == 0, axis=0)
    real = jnp.where(silent, 1, jnp.tensordot(jnp.cos(angles), wide, 1))
    imaginary = jnp.where(silent, 0, jnp.tensordot(jnp.sin(angles), wide, 1))
    return jnp.where(silent, jnp.nan, jnp.arctan2(imaginary, real)).astype(floating(train))
