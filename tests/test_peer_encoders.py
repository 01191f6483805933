"""What other libraries encode as we do."""

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

import snnax.functional as functional

pytestmark = [pytest.mark.peers, pytest.mark.filterwarnings("ignore")]
STEPS = 30


@pytest.fixture
def torch():
    return pytest.importorskip("torch")


@pytest.fixture
def spikegen(torch):
    return pytest.importorskip("snntorch.spikegen")


@pytest.fixture
def x(getkey):
    return np.asarray(jr.uniform(getkey(), (40,), minval=0.02, maxval=1.0))


def test_the_linear_latency_of_snntorch(spikegen, torch, x):
    theirs = spikegen.latency(torch.tensor(x), num_steps=STEPS, linear=True, normalize=True, threshold=1e-6)
    assert np.array_equal(functional.latency_code(x, STEPS, threshold=0.0), theirs)


def test_the_logarithmic_latency_of_snntorch(spikegen, torch, x):
    x, tau, level = 0.3 + 0.7 * x, 6.0, 0.2
    theirs = spikegen.latency(torch.tensor(x), num_steps=STEPS, tau=tau, threshold=level).numpy().argmax(0)
    # Their threshold is that of the neuron, ours the value that reaches it in the last step; theirs counts from the
    # start of the charge, ours from the spike of 1.
    threshold = level / (1 - np.exp(-(STEPS - 1) / tau) * (1 - level))
    ours = np.asarray(functional.log_latency_code(x, STEPS, tau, threshold=threshold).argmax(0))
    assert (np.abs(ours - tau * np.log(1 - level) - theirs) <= 1).all() and np.ptp(theirs) > 3


def test_the_latency_of_spyx(x):
    spyx = pytest.importorskip("spyx.data")
    with jax.numpy_dtype_promotion("standard"):
        theirs = spyx.latency_code(STEPS, threshold=0.0)(x)
    assert np.array_equal(functional.latency_code(x, STEPS, threshold=0.0), theirs)


def test_the_angles_of_spyx(x):
    spyx = pytest.importorskip("spyx.data")
    with jax.numpy_dtype_promotion("standard"):
        theirs = spyx.angle_code(8, 0.0, 1.0)(x)
    # By design: theirs has a neuron for the very end of the range, in ours it belongs to the last part.
    assert np.array_equal(functional.angle_code(x, 7, low=0.0, high=1.0), theirs[:, :7])
    assert not theirs[:, 7].any()


def test_the_changes_of_snntorch(spikegen, torch, getkey):
    x = np.asarray(jnp.cumsum(jr.normal(getkey(), (50, 3)), axis=0))
    theirs = spikegen.delta(torch.tensor(x), threshold=0.5, padding=True, off_spike=True)
    assert np.array_equal(functional.delta_code(x, 0.5), theirs)


@pytest.mark.parametrize("rate", [1.0, 0.5, 0.25, 0.1])
def test_the_rate_targets_of_snntorch(spikegen, rate):
    theirs, _ = spikegen.target_rate_code(num_steps=STEPS, rate=rate)
    assert np.array_equal(functional.rate_targets(0, 1, STEPS, correct_rate=rate)[:, 0], theirs)


@pytest.mark.parametrize("bands, frame, rate", [(40, 400, 16_000), (20, 256, 8000)])
def test_the_filters_of_librosa(bands, frame, rate):
    librosa = pytest.importorskip("librosa")
    theirs = librosa.filters.mel(sr=rate, n_fft=frame, n_mels=bands, htk=True, norm=None)
    np.testing.assert_allclose(functional.mel_filterbank(bands, frame, rate), theirs, rtol=1e-4, atol=1e-5)


def test_the_spectrogram_of_librosa(getkey):
    librosa = pytest.importorskip("librosa")
    x = np.asarray(0.1 * jr.normal(getkey(), (4000,)))
    power = librosa.feature.melspectrogram(
        y=x, sr=8000, n_fft=200, hop_length=80, n_mels=20, htk=True, norm=None, center=False
    )
    theirs = np.log(1e-6 + power.T * (2 / 100) ** 2)
    np.testing.assert_allclose(functional.mel_spectrogram(x, 8000, 20), theirs, rtol=1e-3, atol=1e-3)
