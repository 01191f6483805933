"""Sound as the energy in bands of frequency, from which `send_on_delta`, `step_forward` or `bsa` make spikes."""

import math

import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Shaped

from ._encoding import as_count, as_signal, widened


def mel_filterbank(
    bands: int, frame: int, sample_rate: int | float, *, low: int | float = 0.0, high: int | float | None = None
) -> Float[Array, "bands frequencies"]:
    r"""Triangular filters, evenly spaced on the mel scale, for the Fourier transform of one frame.

    $$m(f) = 2595 \log_{10}(1 + f / 700)$$

    With $f_0, \ldots, f_{n+1}$ evenly spaced in $m$ from `low` to `high`, filter $i = 1, \ldots, n$ rises linearly in
    $f$ from 0 at $f_{i-1}$ to 1 at $f_i$ and falls to 0 at $f_{i+1}$ (HTK's scale, peaks of 1).

    Source: S. Davis and P. Mermelstein 1980, doi:10.1109/TASSP.1980.1163420.

    **Arguments:**

    - `bands`: $n$, the number of filters.
    - `frame`: the length of a frame in samples; its transform has `frame // 2 + 1` frequencies.
    - `sample_rate`: in Hz.
    - `low`, `high`: the range in Hz, from 0 to half the sample rate (`None`, the default).

    **Returns:** `(bands, frame // 2 + 1)`; `filters @ power` is the energy in each band.
    """
    owner = "functional.mel_filterbank"
    bands = as_count(owner, "bands", bands)
    frame = as_count(owner, "frame", frame, 2)
    if not 0 < sample_rate < math.inf:
        raise ValueError(f"`{owner}`: `sample_rate` must be a positive number of Hz, got {sample_rate}.")
    high = sample_rate / 2 if high is None else high
    if not 0 <= low < high <= sample_rate / 2:
        raise ValueError(
            f"`{owner}`: the range must be 0 <= `low` < `high` <= {sample_rate / 2} Hz, half the sample rate, got "
            f"{low} and {high}."
        )
    mels = np.linspace(2595 * math.log10(1 + low / 700), 2595 * math.log10(1 + high / 700), bands + 2)
    edges = 700 * (10 ** (mels / 2595) - 1)[:, None]
    left, centre, right = edges[:-2], edges[1:-1], edges[2:]
    frequencies = np.arange(frame // 2 + 1) * (sample_rate / frame)
    rising, falling = (frequencies - left) / (centre - left), (right - frequencies) / (right - centre)
    filters = np.maximum(0, np.minimum(rising, falling))
    if not filters.any(axis=1).all():
        raise ValueError(
            f"`{owner}`: {np.count_nonzero(~filters.any(axis=1))} of {bands} bands are narrower than the "
            f"{sample_rate / frame:g} Hz between two frequencies, and stay empty. Give fewer bands or a longer frame."
        )
    return jnp.asarray(filters, jnp.zeros(()).dtype)


def mel_spectrogram(
    x: Shaped[ArrayLike, " samples"],
    sample_rate: int | float,
    bands: int = 40,
    *,
    window: int | float = 0.025,
    hop: int | float = 0.01,
    low: int | float = 0.0,
    high: int | float | None = None,
    floor: int | float = 1e-6,
) -> Float[Array, "time bands"]:
    r"""The logarithm of the energy of a sound in mel bands.

    $$p_{tf} = \Big|\frac{2}{\sum_n w_n} \sum_n w_n\, x_{n + tH}\, e^{-2 \pi i f n / N}\Big|^2, \qquad
      y_{tb} = \ln\Big(\epsilon + \sum_f M_{bf}\, p_{tf}\Big)$$

    with Hann's window $w_n = \sin^2(\pi n / N)$ and the filters $M$ of `mel_filterbank`. A sine of amplitude 1 has
    $p = 1$ at its frequency, and silence gives $\ln \epsilon$. `y / -jnp.log(floor) + 1` is thus 0 for silence and
    about 1 for the loudest.

    **Arguments:**

    - `x`: the sound, `(samples,)`, floating, usually in [-1, 1]; of 16-bit integers `x / 32768`.
    - `sample_rate`: in Hz.
    - `bands`: the number of bands.
    - `window`, `hop`: the length of a frame, $N$, and the distance of two, $H$, in seconds, rounded to samples. Samples
        at the end that do not fill a frame take no part.
    - `low`, `high`: the range in Hz, as in `mel_filterbank`.
    - `floor`: $\epsilon$, a positive energy.

    **Returns:** `(time, bands)` in the dtype of `x`, with `1 + (samples - N) // H` steps.
    """
    owner = "functional.mel_spectrogram"
    x = as_signal(owner, x)
    if not floor > 0:
        raise ValueError(f"`{owner}`: `floor` must be positive, got {floor}.")
    length = as_count(owner, "window * sample_rate", round(window * sample_rate), 2)
    step = as_count(owner, "hop * sample_rate", round(hop * sample_rate))
    filters = mel_filterbank(bands, length, sample_rate, low=low, high=high)
    if x.ndim != 1 or x.size < length:
        raise ValueError(
            f"`{owner}`: `x` must have the shape (samples,) with {length} samples, one frame, or more, got {x.shape}. "
            "More than one sound goes in by `jax.vmap`."
        )
    wide = widened(x)
    starts = np.arange(0, x.size - length + 1, step)
    hann = jnp.asarray(np.sin(np.pi * np.arange(length) / length) ** 2, wide.dtype)
    spectrum = jnp.fft.rfft(wide[starts[:, None] + np.arange(length)] * (hann * (2 / hann.sum())))
    power = jnp.square(spectrum.real) + jnp.square(spectrum.imag)
    energy = jnp.matmul(power, filters.astype(wide.dtype).T, precision="highest")
    return jnp.log(floor + energy).astype(x.dtype)
