"""The example on spoken digits: what it shows to a network, what it tests on, and that it runs."""

import csv
import importlib.util
import json
import pathlib
import re

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

from snnax import data, functional

PATH = pathlib.Path(__file__).parent.parent / "examples" / "spoken_digits.py"
RATE = 8000


@pytest.fixture(scope="module")
def spoken():
    spec = importlib.util.spec_from_file_location("spoken_digits", PATH)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    """Two digits, low and high tones, said by three speakers in takes 0 to 7; one recording is long and one loud."""
    digit, speaker, take = (a.ravel() for a in np.meshgrid(range(2), range(3), range(8), indexing="ij"))
    length = 900 + 40 * take
    length[7] = 9000
    loud = np.where(take == 3, 30_000, 2000)
    sounds = [
        a * np.sin(np.arange(n) * (0.3 + 1.2 * d + 0.02 * s) + t)
        for a, n, d, s, t in zip(loud, length, digit, speaker, take, strict=True)
    ]
    path = tmp_path_factory.mktemp("spoken") / "fsdd.npz"
    np.savez_compressed(
        path,
        audio=np.concatenate(sounds).astype(np.int16),
        offset=np.concatenate([[0], np.cumsum(length)]),
        label=digit,
        speaker=speaker,
        take=take,
        speakers=np.array(["ann", "bob", "eve"]),
    )
    return path


@pytest.fixture(scope="module")
def recordings(file):
    return data.SpokenDigits(file)


@pytest.fixture(scope="module")
def sources(spoken, recordings):
    return spoken.encode(recordings)


def test_what_is_seen_of_a_recording_is_its_energy_and_the_spikes_that_follow_it(spoken, sources, recordings):
    spikes, energy = (sources[kind].arrays["x"] for kind in ("spiking", "GRU"))
    assert spikes.shape == (48, 81, 2, spoken.BANDS) and energy.shape == (48, 81, 1, spoken.BANDS)
    np.testing.assert_allclose(energy[:, 0], 0, atol=1e-6)
    assert 0.9 < energy.max() < 1.1 and energy.min() > -1e-6
    # Spikes tell the energy to less than the change that makes one.
    for up_and_down, level in zip(spikes[::5].astype(np.float32), energy[::5, :, 0], strict=True):
        changes = up_and_down[:, 0] - up_and_down[:, 1]
        assert np.abs(changes).max() > 1
        decoded = functional.step_forward_decode(changes, spoken.CHANGE)
        assert np.abs(decoded + np.log(spoken.FLOOR) * level).max() < spoken.CHANGE + 1e-4
    for source in sources.values():
        np.testing.assert_array_equal(source.arrays["label"], recordings.labels)
        lengths = [min(len(example["audio"]), round(spoken.LONGEST * RATE)) for example in recordings]
        np.testing.assert_array_equal(source.arrays["length"], 1 + np.array(lengths) // 80)
    # Loud or not, and silent after its end.
    peaks = energy.max(axis=(1, 2, 3))
    assert peaks[3] == pytest.approx(peaks[2], rel=0.05)
    np.testing.assert_allclose(energy[0, sources["GRU"].arrays["length"][0] + 3 :], 0, atol=1e-6)


def test_nobody_is_trained_on_who_is_tested(spoken, recordings):
    ((name, training, testing),) = spoken.parts(recordings, "take")
    assert name == "takes 0-4" and set(recordings.takes[testing]) == {0, 1, 2, 3, 4}
    assert set(recordings.takes[training]) == {5, 6, 7} and len(training) + len(testing) == 48
    by_speaker = spoken.parts(recordings, "speaker")
    assert [name for name, _, _ in by_speaker] == ["ann", "bob", "eve"]
    for number, (_, training, testing) in enumerate(by_speaker):
        assert set(recordings.speakers[testing]) == {number} and len(testing) == 16
        assert set(recordings.speakers[training]) == {0, 1, 2} - {number} and len(training) == 32


def test_a_voice_is_shifted_by_bands_and_not_in_time(spoken):
    x = jr.uniform(jr.key(0), (5, 2, spoken.BANDS))
    wide = np.pad(x, ((0, 0), (0, 0), (spoken.SHIFT, spoken.SHIFT)), mode="edge")
    found = set()
    for moved in jax.vmap(spoken.shifted, in_axes=(None, 0))(x, jr.split(jr.key(1), 60)):
        windows = [wide[..., i : i + spoken.BANDS] for i in range(2 * spoken.SHIFT + 1)]
        (number,) = (i for i, window in enumerate(windows) if np.array_equal(window, moved))
        found.add(number)
    assert found == set(range(2 * spoken.SHIFT + 1))


def test_steps_after_the_end_of_a_recording_do_not_count(spoken):
    x = jr.bernoulli(jr.key(0), 0.2, (1, 12, 2, spoken.BANDS)).astype(jnp.uint8)
    network = spoken.make_network("spiking", jr.key(1))
    longer = jnp.concatenate([x, 1 - x], axis=1)
    keys = jr.key(2)
    for kind in (network, spoken.make_network("GRU", jr.key(1))):
        x_of, longer_of = (a if kind is network else a[:, :, :1] for a in (x, longer))
        short = spoken.read(kind, x_of, jnp.array([12]), keys)
        np.testing.assert_allclose(short[0], spoken.read(kind, longer_of, jnp.array([12]), keys)[0], rtol=1e-4)
        assert short[0].shape == (1, spoken.CLASSES)


def test_spoken_digits_run_and_leave_results(spoken, file, monkeypatch, tmp_path, capsys):
    for name, value in {"BATCH": 8, "UNITS": 16, "GATED": 8}.items():
        monkeypatch.setattr(spoken, name, value)
    accuracies = spoken.main([str(file), "--seeds", "1", "--epochs", "1", "--out", str(tmp_path / "out")])
    found = json.loads((tmp_path / "out" / "take.json").read_text())
    assert found.pop("chance") == {"takes 0-4": 0.5} and found == accuracies
    for kind in ("spiking", "GRU"):
        (accuracy,) = accuracies[kind]["takes 0-4"]
        (row,) = csv.DictReader((tmp_path / "out" / f"takes_0-4_{kind}_0.csv").read_text().splitlines())
        assert float(row["accuracy"]) == accuracy
    out = capsys.readouterr().out
    assert out.startswith(
        "48 recordings, 1 of them cut to 0.8 s\ntakes 0-4: 18 recordings to train on, 30 to test on\n"
    )
    assert re.search(r"\ntakes 0-4 +\d+\.\d ± 0\.0 +\d+\.\d ± 0\.0 +50\.0\n$", out)


def test_the_table_has_means_and_deviations_over_the_seeds(spoken, capsys):
    accuracies = {"spiking": {"ann": [0.5, 0.7], "bob": [0.9, 0.9]}, "GRU": {"ann": [1.0, 1.0], "bob": [0.0, 0.0]}}
    spoken.report(accuracies, {"ann": 0.1, "bob": 0.2})
    rows = [re.split(r"\s{2,}", line.strip()) for line in capsys.readouterr().out.strip().splitlines()]
    assert rows == [
        ["test", "spiking", "GRU", "chance"],
        ["ann", "60.0 ± 14.1", "100.0 ± 0.0", "10.0"],
        ["bob", "90.0 ± 0.0", "0.0 ± 0.0", "20.0"],
        ["all", "75.0 ± 7.1", "50.0 ± 0.0", "15.0"],
    ]


@pytest.mark.parametrize("option", ["--seeds", "--epochs"])
def test_arguments_that_make_no_sense_are_refused(spoken, option, capsys):
    with pytest.raises(SystemExit):
        spoken.parse_arguments(["fsdd.npz", option, "0"])
    assert f"{option} must be 1 or more, got 0" in capsys.readouterr().err
