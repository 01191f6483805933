"""Draws one input under every encoder: docs/images/encoders.png.

python docs/figures/encoders.py
"""

import pathlib

import jax.numpy as jnp
import jax.random as jr
import matplotlib
import numpy as np

import snnax.functional as functional

matplotlib.use("agg")
import matplotlib.pyplot as plt  # noqa: E402

STEPS = 32
VALUES = jnp.linspace(0, 1, 21)
# Okabe and Ito's colours, which differ for every kind of colour blindness.
UP, DOWN, DECODED, SIGNAL = "#0072B2", "#D55E00", "#009E73", "0.7"


def raster(panel, spikes, y):
    """A bar for every spike, as wide as there are spikes in the step."""
    height = 0.8 * abs(y[1] - y[0])
    for train, at in zip(np.asarray(spikes).T, y, strict=True):
        times = np.flatnonzero(train)
        panel.vlines(times, at - height / 2, at + height / 2, color=UP, linewidth=1.4 * train[times])
    panel.set_xlim(-1, len(spikes))
    panel.set_ylim(y[0] - height, y[-1] + height)


def of_values(panel, spikes):
    raster(panel, spikes, np.asarray(VALUES))
    panel.set_ylabel("value")


def signal(steps=120):
    time = np.arange(steps) / steps
    return (0.5 + 0.3 * np.sin(2 * np.pi * 2 * time) + 0.15 * np.sin(2 * np.pi * 5 * time + 1)).astype(np.float32)


def of_a_signal(panel, x, spikes, decoded=None):
    panel.plot(x, color=SIGNAL, linewidth=3, label="signal")
    if decoded is not None:
        panel.plot(decoded, color=DECODED, linewidth=1, drawstyle="steps-mid", label="decoded")
    spikes = np.asarray(spikes)
    for sign, colour, label in ((1, UP, "+1"), (-1, DOWN, "-1")):
        times = np.flatnonzero(np.sign(spikes) == sign)
        if times.size:
            length = 0.08 * np.abs(spikes[times])
            panel.vlines(times, -0.15 - length, -0.15, color=colour, linewidth=1, label=label)
    panel.set_xlim(0, len(x))
    panel.set_ylim(-0.42, 1.4)
    panel.set_ylabel("value")


def image(panel, x, y, values):
    panel.pcolormesh(x, y, values, cmap="Greys", shading="nearest", rasterized=True)


def main(out: pathlib.Path):
    figure, axes = plt.subplots(4, 4, figsize=(13, 11), layout="constrained")
    keys = jr.split(jr.key(0), 2)

    image(axes[0, 0], np.arange(STEPS), np.asarray(VALUES), functional.direct_code(VALUES, STEPS).T)
    axes[0, 0].set_ylabel("value")
    of_values(axes[0, 1], functional.rate_code(keys[0], VALUES, STEPS))
    of_values(axes[0, 2], functional.poisson_code(keys[1], VALUES, STEPS))
    raster(axes[0, 3], functional.rate_targets(2, 5, STEPS, correct_rate=0.5, incorrect_rate=0.1), np.arange(5))
    axes[0, 3].set_ylabel("class")
    for panel, title in zip(
        axes[0],
        (
            "direct_code(x, 32)",
            "rate_code(key, x, 32)",
            "poisson_code(key, x, 32)",
            "rate_targets(2, 5, 32, correct_rate=0.5,\nincorrect_rate=0.1)",
        ),
        strict=True,
    ):
        panel.set_title(title)

    times = {
        "latency_code(x, 32)": functional.latency_code(VALUES, STEPS),
        "log_latency_code(x, 32, tau=20)": functional.log_latency_code(VALUES, STEPS, 20),
        "phase_code(x, 32)": functional.phase_code(VALUES, STEPS),
        "burst_code(x, 32)": functional.burst_code(VALUES, STEPS),
    }
    for panel, (title, spikes) in zip(axes[1], times.items(), strict=True):
        of_values(panel, spikes)
        panel.set_title(title)

    x = signal()
    kernel = jnp.hanning(14)[1:-1] / jnp.hanning(14).sum()
    sent, followed, ben = functional.send_on_delta(x, 0.06), functional.step_forward(x, 0.06), functional.bsa(x, kernel)
    changes = {
        "delta_code(x, 0.03)": (functional.delta_code(x, 0.03), None),
        "send_on_delta(x, 0.06)": (sent, functional.step_forward_decode(sent, 0.06, x[0])),
        "step_forward(x, 0.06)": (followed, functional.step_forward_decode(followed, 0.06, x[0])),
        "bsa(x, kernel)": (ben, functional.bsa_decode(ben, kernel)),
    }
    for panel, (title, (spikes, decoded)) in zip(axes[2], changes.items(), strict=True):
        of_a_signal(panel, x, spikes, decoded)
        panel.set_title(title)
    handles, labels = axes[2, 1].get_legend_handles_labels()
    axes[2, 0].legend(handles, labels, loc="upper center", fontsize=8, ncols=2, frameon=False)

    fields, one, angles, sound = axes[3]
    drive = functional.gaussian_receptive_fields(jnp.linspace(0, 1, 201), 7)
    fields.plot(np.linspace(0, 1, 201), drive, color=UP, linewidth=1)
    fields.set(xlabel="value", ylabel="drive", xlim=(0, 1), title="gaussian_receptive_fields(x, 7)")
    raster(one, functional.latency_code(functional.gaussian_receptive_fields(0.44, 7), STEPS), np.arange(7))
    one.set(ylabel="neuron", title="latency_code(gaussian_receptive_fields(\n0.44, 7), 32)")
    image(angles, np.asarray(VALUES), np.arange(7), functional.angle_code(VALUES, 7, low=0, high=1).T)
    angles.set(xlabel="value", ylabel="neuron", title="angle_code(x, 7, low=0, high=1)")
    time = np.arange(4000) / 8000
    chirp = np.sin(2 * np.pi * (200 + 2500 * time) * time) * np.hanning(4000)
    bands = functional.mel_spectrogram(jnp.asarray(chirp), 8000, 20, floor=1e-4)
    image(sound, np.arange(len(bands)), np.arange(20), np.asarray(bands).T)
    spikes = np.asarray(functional.send_on_delta(bands, 2.0))
    for sign, colour in ((1, UP), (-1, DOWN)):
        sound.scatter(*np.nonzero(np.sign(spikes) == sign), s=9, color=colour, marker="|")
    sound.set(ylabel="mel band", title="send_on_delta(mel_spectrogram(\nchirp, 8000, 20), 2.0)")

    for panel in axes.flat:
        panel.title.set(fontsize=8.5, family="monospace")
        panel.spines[["top", "right"]].set_visible(False)
        if not panel.get_xlabel():
            panel.set_xlabel("time step")
    figure.savefig(out, dpi=100)
    plt.close(figure)


if __name__ == "__main__":
    main(pathlib.Path(__file__).parents[1] / "images" / "encoders.png")
