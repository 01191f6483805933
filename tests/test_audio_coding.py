"""Sound into mel bands and spikes, and back."""

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from helpers import allclose

import snnax.functional as functional

RATE = 8000


def chirp(seconds=0.4, low=200.0, high=3000.0, amplitude=0.8):
    """A sine whose frequency rises linearly."""
    time = np.arange(int(seconds * RATE)) / RATE
    return (amplitude * np.sin(2 * np.pi * (low + (high - low) * time / (2 * seconds)) * time)).astype(np.float32)


# Mel bands.


@pytest.mark.parametrize(
    "bands, frame, rate, low, high",
    [(40, 400, 16_000, 0.0, 8000.0), (5, 33, 8000, 100.0, 3000.0), (1, 64, 44_100, 20.0, 20_000.0)],
)
def test_filters_equal_a_loop_over_bands_and_frequencies(bands, frame, rate, low, high):
    def mel(hertz):
        return 2595 * np.log10(1 + hertz / 700)

    def hertz(mel):
        return 700 * (10 ** (mel / 2595) - 1)

    expected = np.zeros((bands, frame // 2 + 1))
    spacing = (mel(high) - mel(low)) / (bands + 1)
    for band in range(bands):
        left, centre, right = (hertz(mel(low) + (band + i) * spacing) for i in range(3))
        for j in range(frame // 2 + 1):
            f = j * rate / frame
            if left < f <= centre:
                expected[band, j] = (f - left) / (centre - left)
            elif centre < f < right:
                expected[band, j] = (right - f) / (right - centre)
    np.testing.assert_allclose(
        functional.mel_filterbank(bands, frame, rate, low=low, high=high), expected, rtol=1e-5, atol=1e-6
    )


def test_filters_share_out_all_energy_between_the_first_and_the_last_centre():
    filters = np.asarray(functional.mel_filterbank(20, 512, RATE))
    inside = slice(filters[0].argmax() + 1, filters[-1].argmax())
    np.testing.assert_allclose(filters.sum(0)[inside], 1, rtol=1e-5)


def test_filterbanks_that_make_no_sense_are_refused(unchecked):
    with pytest.raises(ValueError, match=r"of 40 bands are narrower than the 125 Hz .* Give fewer bands or a longer"):
        functional.mel_filterbank(40, 64, RATE)
    for low, high in ((-1.0, 100.0), (200.0, 100.0), (0.0, 5000.0)):
        with pytest.raises(ValueError, match=rf"<= 4000.0 Hz, half the sample rate, got {low} and {high}"):
            functional.mel_filterbank(4, 64, RATE, low=low, high=high)
    with pytest.raises(ValueError, match="`sample_rate` must be a positive number of Hz, got 0"):
        functional.mel_filterbank(4, 64, 0)
    with pytest.raises(ValueError, match="`bands` must be a whole number of 1 or more, got 0"):
        functional.mel_filterbank(0, 64, RATE)


@pytest.mark.parametrize("window, hop", [(0.025, 0.01), (0.02125, 0.03)])
def test_the_spectrogram_equals_a_transform_by_hand(window, hop):
    x = chirp(0.1).astype(np.float64) + 0.1
    n, step = round(window * RATE), round(hop * RATE)
    hann = np.sin(np.pi * np.arange(n) / n) ** 2
    wave = np.exp(-2j * np.pi * np.outer(np.arange(n // 2 + 1), np.arange(n)) / n)
    filters = np.asarray(functional.mel_filterbank(12, n, RATE), np.float64)
    expected = []
    for start in range(0, len(x) - n + 1, step):
        power = np.abs(wave @ (hann * x[start : start + n]) * 2 / hann.sum()) ** 2
        expected.append(np.log(1e-4 + filters @ power))
    out = functional.mel_spectrogram(x.astype(np.float32), RATE, 12, window=window, hop=hop, floor=1e-4)
    np.testing.assert_allclose(out, np.stack(expected), rtol=1e-4, atol=1e-3)


def test_a_sine_is_in_its_band_and_silence_is_the_floor():
    time = np.arange(RATE // 2) / RATE
    filters = np.asarray(functional.mel_filterbank(40, 200, RATE))
    for frequency in (400.0, 1000.0, 3000.0):
        sine = np.sin(2 * np.pi * frequency * time).astype(np.float32)
        loud = functional.mel_spectrogram(sine, RATE)
        assert loud.shape == (1 + (len(sine) - 200) // 80, 40)
        assert (loud.argmax(1) == filters[:, round(frequency / 40)].argmax()).all()
        # Hann's window spreads an energy of 1 to a quarter on either side.
        assert 0 <= jnp.log(jnp.exp(loud).sum(1)).max() <= np.log(1.5) + 1e-3
        softer = functional.mel_spectrogram(sine / 10, RATE, floor=1e-12)
        allclose(
            functional.mel_spectrogram(sine, RATE, floor=1e-12).max(1) - softer.max(1), jnp.full(48, np.log(100)), 1e-3
        )
    assert functional.mel_spectrogram(jnp.zeros(200), RATE).shape == (1, 40)
    assert functional.mel_spectrogram(jnp.zeros(280), RATE).shape == (2, 40)
    silence = functional.mel_spectrogram(jnp.zeros(800), RATE)
    allclose(silence, jnp.full((8, 40), np.log(1e-6)))


def test_spectrograms_under_jit_and_vmap_and_in_half_precision(getkey):
    xs = 0.1 * jr.normal(getkey(), (2, 1000))

    def bands(x):
        return functional.mel_spectrogram(x, RATE, 10)

    expected = jnp.stack([bands(x) for x in xs])
    allclose(jax.jit(jax.vmap(bands))(xs), expected, rtol=1e-4, atol=1e-4)
    half = bands(xs[0].astype(jnp.bfloat16))
    assert half.dtype == jnp.bfloat16
    allclose(half, expected[0], rtol=0.02, atol=0.05)


def test_sounds_that_make_no_sense_are_refused(unchecked):
    with pytest.raises(TypeError, match="`functional.mel_spectrogram`: `x` must be a floating array, got dtype int16"):
        functional.mel_spectrogram(np.zeros(800, np.int16), RATE)
    with pytest.raises(ValueError, match=r"\(samples,\) with 200 samples, one frame, or more, got \(199,\)"):
        functional.mel_spectrogram(jnp.zeros(199), RATE)
    with pytest.raises(ValueError, match=r"got \(2, 800\). More than one sound goes in by `jax.vmap`"):
        functional.mel_spectrogram(jnp.zeros((2, 800)), RATE)
    with pytest.raises(ValueError, match="`floor` must be positive, got 0"):
        functional.mel_spectrogram(jnp.zeros(800), RATE, floor=0)
    with pytest.raises(ValueError, match=r"`hop \* sample_rate` must be a whole number of 1 or more, got 0"):
        functional.mel_spectrogram(jnp.zeros(800), RATE, hop=1e-5)


@pytest.mark.parametrize("encode", [functional.send_on_delta, functional.step_forward])
def test_a_sound_is_followed_by_its_spikes(encode):
    bands = functional.mel_spectrogram(chirp(), RATE, 20, hop=0.005)
    threshold = 1.0 if encode is functional.send_on_delta else 3.0
    spikes = encode(bands, threshold)
    decoded = functional.step_forward_decode(spikes, threshold, bands[0])
    error = jnp.abs(decoded - bands)
    if encode is functional.send_on_delta:
        assert error.max() <= threshold * (1 + 1e-4)
    assert jnp.median(error) < threshold
    # The chirp passes one band after the other: the first spikes are in this order.
    loudest = bands.argmax(0)
    assert (jnp.diff(loudest[3:]) >= 0).all()
    assert 0.01 < (spikes != 0).mean() < 0.5


# Ben's spiker algorithm.


def window(width):
    kernel = np.hanning(width + 2)[1:-1]
    return (kernel / kernel.sum()).astype(np.float32)


def bsa_by_hand(x, kernel, threshold):
    x, spikes = np.array(x, np.float64), np.zeros(len(x))
    for t in range(len(x)):
        k = np.arange(min(len(kernel), len(x) - t))
        with_spike, without = np.abs(x[t + k] - kernel[k]).sum(), np.abs(x[t + k]).sum()
        if with_spike <= without - threshold:
            spikes[t] = 1
            x[t + k] -= kernel[k]
    return spikes


@pytest.mark.parametrize("threshold", [0.1, 0.9, 0.96])
def test_ben_spiker_equals_a_loop(threshold, getkey):
    kernel = np.array([0.1, 0.25, 0.3, 0.2, 0.15], np.float32)
    x = np.asarray(jr.uniform(getkey(), (40, 2)))
    expected = np.stack([bsa_by_hand(x[:, i], kernel.astype(np.float64), threshold) for i in range(2)], axis=1)
    assert np.array_equal(functional.bsa(x, kernel, threshold), expected)
    assert 0 < expected.mean() < 1


@pytest.mark.parametrize("period", [50, 125, 250])
def test_a_filtered_sine_is_reconstructed(period):
    kernel = window(20)
    steps = np.arange(500)
    sine = np.convolve(0.5 + 0.45 * np.sin(2 * np.pi * steps / period), kernel, mode="same").clip(0, 1)
    spikes = functional.bsa(sine.astype(np.float32), kernel)
    error = (np.asarray(functional.bsa_decode(spikes, kernel)) - sine)[40:-40]
    assert np.sqrt(np.mean(error**2)) < 0.03 and np.abs(error).max() < 0.12
    # One spike stands for the sum of the filter, 1.
    assert abs(spikes.sum() - sine.sum()) < 0.05 * sine.sum()


def test_decoding_is_a_causal_filter():
    spikes = np.zeros((30, 2), np.float32)
    spikes[[3, 5, 28], [0, 1, 1]] = 1
    kernel = window(6)
    expected = np.stack([np.convolve(train, kernel)[:30] for train in spikes.T], axis=1)
    allclose(functional.bsa_decode(spikes, kernel), jnp.asarray(expected))
    assert functional.bsa_decode(spikes.astype(jnp.bfloat16), kernel).dtype == jnp.bfloat16


def test_a_filter_longer_than_the_signal_and_silence():
    assert not functional.bsa(jnp.zeros((10, 2)), window(20)).any()
    assert functional.bsa(jnp.full((3,), 0.5), window(20)).shape == (3,)
    assert functional.bsa_decode(jnp.ones((3,)), window(20)).shape == (3,)


def test_filters_and_thresholds_of_ben_spiker_are_checked(unchecked):
    x = jnp.zeros(30)
    with pytest.raises(ValueError, match=r"`functional.bsa`: `kernel` must sum to 1, got 2.0. Give `kernel / kernel"):
        functional.bsa(x, jnp.ones(2))
    for kernel in (jnp.ones((2, 2)), jnp.ones((1,), int), jnp.zeros((0,))):
        with pytest.raises(ValueError, match=r"`functional.bsa_decode`: `kernel` must be a floating array of shape"):
            functional.bsa_decode(x, kernel)
    with pytest.raises(ValueError, match=r"`functional.bsa`: `threshold` must be a number in \[0, 1\], got 1.5"):
        functional.bsa(x, window(3), 1.5)
