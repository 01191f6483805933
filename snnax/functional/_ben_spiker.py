"""Ben's spiker algorithm: spikes of which a filter makes the signal again."""

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Shaped

from ._encoding import INTENSITY, UNIT, as_number, as_signal, encoder, widened


@encoder
def bsa(
    x: Shaped[ArrayLike, "time ..."], kernel: Shaped[ArrayLike, " width"], threshold: int | float = 0.9
) -> Float[Array, "time ..."]:
    r"""Ben's spiker algorithm: a spike wherever taking the filter away leaves less of the signal.

    In every step $t$, from the first to the last, with sums over the $k$ for which $t + k$ is a step of the signal,

    $$s_t = \Big[\sum_k |x_{t+k} - h_k| \le \sum_k |x_{t+k}| - \theta\Big], \qquad
      x_{t+k} \leftarrow x_{t+k} - h_k s_t$$

    `bsa_decode` gives back what the filter makes of the spikes, which is too little within a filter's width of either
    end. The spikes of a step depend on the signal up to a filter's width later.

    Source: B. Schrauwen and J. Van Campenhout 2003, doi:10.1109/IJCNN.2003.1224019.

    **Arguments:**

    - `x`: the signal, `(time, ...)`, in [0, 1]. Other values are refused; where they are traced and cannot be seen,
        they are encoded as far as the filter reaches.
    - `kernel`: $h$, the impulse response of a low-pass filter, `(width,)`, whose sum is 1, so that a spike in every
        step stands for a signal of 1. For example `jnp.hanning(22)[1:-1] / 10.5`.
    - `threshold`: $\theta$, a number in [0, 1]: how much less a spike must leave. At 1 only where the signal is nowhere
        below the filter; at 0 it fires far too often.

    **Returns:** spikes of 0 and 1 in the shape and dtype of `x`.
    """
    x = as_signal("functional.bsa", x, INTENSITY, time=True)
    wide = widened(x)
    kernel = _as_kernel("functional.bsa", kernel, wide)
    threshold = as_number("functional.bsa", "threshold", threshold, UNIT)
    steps, width = x.shape[0], kernel.shape[0]
    later = jnp.concatenate([wide, jnp.zeros((width, *x.shape[1:]), wide.dtype)])
    inside = jnp.arange(steps)[:, None] + jnp.arange(width) < steps

    def step(window, inputs):
        inside, incoming = inputs
        part = jnp.where(inside, kernel, 0.0).reshape(-1, *(1,) * (x.ndim - 1))
        left = window - part
        fires = jnp.sum(jnp.abs(left), axis=0) <= jnp.sum(jnp.abs(window), axis=0) - threshold
        window = jnp.where(fires, left, window)
        return jnp.concatenate([window[1:], incoming[None]]), fires

    _, spikes = jax.lax.scan(step, later[:width], (inside, later[width:]))
    return spikes.astype(x.dtype)


def bsa_decode(spikes: Shaped[ArrayLike, "time ..."], kernel: Shaped[ArrayLike, " width"]) -> Float[Array, "time ..."]:
    r"""The signal from the spikes of `bsa`: $\hat x_t = \sum_k h_k s_{t-k}$.

    **Arguments:** `spikes`: `(time, ...)`, floating; `kernel`: $h$, as it was encoded with.

    **Returns:** the filtered spikes, in the shape and dtype of `spikes`.
    """
    spikes = as_signal("functional.bsa_decode", spikes, time=True)
    wide = widened(spikes)
    kernel = _as_kernel("functional.bsa_decode", kernel, wide)

    def filtered(train):
        return jnp.convolve(train, kernel, precision=jax.lax.Precision.HIGHEST)[: train.shape[0]]

    return jnp.apply_along_axis(filtered, 0, wide).astype(spikes.dtype)


def _as_kernel(owner: str, kernel: Shaped[ArrayLike, "..."], x: Array) -> Array:
    taps = jnp.asarray(kernel)
    if taps.ndim != 1 or taps.size == 0 or not jnp.issubdtype(taps.dtype, jnp.floating):
        raise ValueError(
            f"`{owner}`: `kernel` must be a floating array of shape (width,), got dtype {taps.dtype} and shape "
            f"{taps.shape}."
        )
    if not isinstance(kernel, Tracer) and not abs((total := np.asarray(kernel, np.float64).sum()) - 1) < 0.01:
        raise ValueError(f"`{owner}`: `kernel` must sum to 1, got {total}. Give `kernel / kernel.sum()`.")
    return taps.astype(x.dtype)
