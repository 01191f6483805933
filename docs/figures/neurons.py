"""Draws what every kind of neuron makes of one input: docs/images/neurons/*.png.

python docs/figures/neurons.py
"""

import pathlib

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import matplotlib
import numpy as np

import snnax.snn as snn
from snnax import plot
from snnax.functional import surrogate

matplotlib.use("agg")
import matplotlib.pyplot as plt  # noqa: E402

IMAGES = pathlib.Path(__file__).parent.parent / "images" / "neurons"
STEPS = 200
MOST = 4
"""Parts of a state that are drawn."""
KEY = jr.key(0)


def spikes_then_current(spike, current):
    """Single spikes, silence, a constant current, silence, and the other sign of it."""
    x = np.zeros(STEPS, np.float32)
    x[[5, 12, 15, 18, 20, 22]] = spike
    x[60:130] = current
    x[160:180] = -current
    return x


def spikes_alone(size, every):
    x = np.zeros(STEPS, np.float32)
    x[10:80:every] = size
    x[110:180:every] = size
    return x


def sine(size):
    return (size * np.sin(2 * np.pi * np.arange(STEPS) / 60)).astype(np.float32)


def chirp(size):
    time = np.arange(STEPS) / STEPS
    return (size * np.sin(2 * np.pi * (2 * time + 18 * time**2))).astype(np.float32)


LIF = spikes_then_current(0.4, 0.12)
# Name of the picture: the layer, its input, and what of its state is drawn (all arrays, unless it says so).
NEURONS = {
    "SimpleLI": (snn.SimpleLI(0.9), LIF),
    "LI": (snn.LI([0.9, 0.8]), spikes_then_current(0.2, 0.03)),
    "SimpleLIF": (snn.SimpleLIF(0.9), LIF),
    "LIF": (snn.LIF([0.9, 0.8]), spikes_then_current(0.2, 0.03)),
    "DoubleExpLIF": (snn.DoubleExpLIF([0.9, 0.8, 0.5]), spikes_then_current(0.2, 0.03)),
    "SimpleIAF": (snn.SimpleIAF(), spikes_then_current(0.15, 0.06)),
    "IAF": (snn.IAF(0.8), spikes_then_current(0.05, 0.01)),
    "AdaptiveLIF": (
        snn.AdaptiveLIF(0.9, ada_step_val=0.1, ada_coupling_var=-0.05, ada_decay_constant=0.95),
        spikes_then_current(0.4, 0.25),
    ),
    "ALIF": (snn.ALIF(0.9), spikes_then_current(0.4, 0.25)),
    "QIF": (snn.QIF(0.9), spikes_then_current(0.3, 0.12)),
    "EIF": (snn.EIF(0.9), LIF),
    "AdEx": (snn.AdEx(0.9), spikes_then_current(0.4, 0.15)),
    "Izhikevich": (snn.Izhikevich.named("regular_spiking"), spikes_then_current(15.0, 10.0)),
    "SRM": (snn.SRM([0.9, 0.8, 0.8]), spikes_then_current(0.3, 0.06)),
    "TwoCompartment": (snn.TwoCompartment([0.9, 0.9]), spikes_then_current(1.0, 0.6)),
    "ResonateAndFire": (snn.ResonateAndFire(0.95, 0.25), chirp(0.2)),
    "BalancedResonateAndFire": (snn.BalancedResonateAndFire(0.05, 0.25), chirp(0.2)),
    "SigmaDelta": (snn.SigmaDelta(0.0, step=0.25), sine(1.0)),
    "ShortTermPlasticity": (snn.ShortTermPlasticity([0.95, 0.8]), spikes_alone(1.0, 5)),
    "SpikingLSTM": (snn.SpikingLSTM(1, 1, key=jr.key(3)), spikes_then_current(3.0, 1.5)),
    "SpikingGRU": (snn.SpikingGRU(1, 1, key=jr.key(3)), spikes_then_current(3.0, 1.5)),
    "SpikingPhasor": (snn.SpikingPhasor(20), spikes_alone(1.0, 20)),
    "LRU": (snn.LRU(1, 1, r_min=0.9, max_phase=0.5, key=KEY), spikes_alone(1.0, 25)),
    "SlidingPSN": (snn.SlidingPSN(8), spikes_then_current(2.5, 1.2)),
    "EscapeNoise": (snn.SimpleLIF(0.9, spike_fn=surrogate.EscapeNoise(10.0)), LIF),
    "Ternary": (snn.SimpleLIF(0.9, spike_fn=surrogate.Ternary(surrogate.Sigmoid(4.0))), LIF),
    "MultiLevel": (
        snn.SimpleLIF(0.9, spike_fn=surrogate.MultiLevel(3, surrogate.Sigmoid(4.0)), reset=snn.SubtractReset()),
        spikes_then_current(1.5, 0.4),
    ),
}


def traces_of(states) -> dict[str, np.ndarray]:
    """The parts of a state that vary, by name, each of the first neuron."""
    found = {}
    for path, leaf in jax.tree_util.tree_flatten_with_path(states)[0]:
        name = jax.tree_util.keystr(path, simple=True, separator=".") or "state"
        values = np.asarray(leaf).reshape(STEPS, -1)
        if np.iscomplexobj(values):
            found[f"Re {name}"], found[f"Im {name}"] = values[:, 0].real, values[:, 0].imag
        elif np.ptp(values[:, 0]) > 0:
            found[name] = values[:, 0]
    return dict(list(found.items())[:MOST])


def draw(name, layer, x):
    model = snn.Sequential(layer)
    request = (snn.Trains(), snn.Traces())
    states, outs = model(model.init_state((1,), KEY), jnp.asarray(x)[:, None], KEY, collect={0: request})
    out, traces = np.asarray(outs[0][0])[:, 0], traces_of(outs[0][1])
    figure, panels = plt.subplots(
        3, 1, figsize=(6.4, 3.4), sharex=True, height_ratios=[1, 2.4, 0.8], layout="constrained"
    )
    panels[0].plot(x, color="0.4", drawstyle="steps-mid", linewidth=1)
    panels[0].set_ylabel("input")
    threshold = layer.threshold if isinstance(layer, snn.SpikingLayer) else None
    threshold = threshold if isinstance(threshold, float) else None
    plot.traces(np.stack(list(traces.values()), axis=1), names=list(traces), threshold=threshold, ax=panels[1])
    panels[1].set(xlabel="", ylabel="state")
    if len(np.unique(out)) <= 5:
        panels[2].vlines(np.flatnonzero(out), 0, out[np.flatnonzero(out)], color="black", linewidth=1.2)
        panels[2].set_ylim(min(-0.1, out.min() * 1.1), max(1.1, out.max() * 1.1))
        panels[2].set_ylabel("spikes")
    else:
        panels[2].plot(out, color="black", linewidth=1.2)
        panels[2].set_ylabel("output")
    panels[2].set_xlabel("time step")
    for panel in panels:
        panel.spines[["top", "right"]].set_visible(False)
        panel.set_xlim(0, STEPS)
    figure.align_ylabels(panels)
    figure.savefig(IMAGES / f"{name}.png", dpi=100)
    plt.close(figure)


def main():
    IMAGES.mkdir(parents=True, exist_ok=True)
    for name, (layer, x) in NEURONS.items():
        draw(name, eqx.nn.inference_mode(layer), x)


if __name__ == "__main__":
    main()
