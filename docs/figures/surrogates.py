"""Draws what a call of every surrogate returns, its antiderivative and its derivative: docs/images/surrogates.png.

python docs/figures/surrogates.py
"""

import pathlib

import jax.numpy as jnp
import jax.random as jr
import matplotlib
import numpy as np

from snnax.functional import surrogate

matplotlib.use("agg")
import matplotlib.pyplot as plt  # noqa: E402

ROWS = [
    [surrogate.SuperSpike(10.0), surrogate.Sigmoid(4.0), surrogate.Tanh(2.0), surrogate.ArcTan(2.0)],
    [surrogate.Exponential(2.0), surrogate.Gaussian(2.0), surrogate.MultiGaussian(2.0), surrogate.Triangular(1.0)],
    [
        surrogate.Boxcar(1.0),
        surrogate.SparseFastSigmoid(10.0, window=0.5),
        surrogate.StraightThrough(),
        surrogate.LogTailed(2.0),
    ],
    [surrogate.LeakyStep(0.1), surrogate.LeakyStep(0.0), surrogate.StochasticSpike(), surrogate.EscapeNoise(4.0)],
    [
        surrogate.Ternary(surrogate.Sigmoid(4.0)),
        surrogate.MultiLevel(3, surrogate.Sigmoid(4.0)),
        surrogate.Relaxed(surrogate.Sigmoid(4.0)),
        surrogate.Custom(lambda x: jnp.exp(-jnp.sqrt(jnp.abs(x)))),
    ],
]
TITLES = {
    surrogate.Ternary: "Ternary(Sigmoid(4.0), gap=2.0)",
    surrogate.MultiLevel: "MultiLevel(3, Sigmoid(4.0))",
    surrogate.Relaxed: "Relaxed(Sigmoid(4.0))",
    surrogate.Custom: "Custom(exp(-sqrt(abs(x))))",
    surrogate.StochasticSpike: "StochasticSpike(0.0, 0.0033)",
    surrogate.StraightThrough: "StraightThrough()",
    surrogate.SparseFastSigmoid: "SparseFastSigmoid(10.0, window=0.5)",
}
# Okabe and Ito's colours, which differ for every kind of colour blindness; and each line has a dash of its own.
SPIKE, RELAXED, DERIVATIVE = "0.65", "#0072B2", "#D55E00"


def title_of(spike):
    kind = type(spike)
    return TITLES.get(kind) or f"{kind.__name__}({spike.leak if kind is surrogate.LeakyStep else spike.slope})"


def draw(panel, spike):
    low, high = {surrogate.Ternary: (-4, 2), surrogate.MultiLevel: (-2, 4)}.get(type(spike), (-2, 2))
    x = jnp.linspace(low, high, 601)
    of_call = spike.draw(x, jr.key(0)) if isinstance(spike, surrogate.AbstractRandomSurrogate) else spike
    panel.axvline(0, color="0.9", linewidth=0.8, zorder=0)
    panel.axhline(0, color="0.9", linewidth=0.8, zorder=0)
    if isinstance(spike, surrogate.EscapeNoise):
        fired = np.asarray(of_call(x))
        panel.plot(x[::6], fired[::6], "|", color=SPIKE, markersize=5)
    else:
        panel.plot(x, of_call(x), color=SPIKE, linewidth=3)
    if not isinstance(spike, surrogate.Custom):
        panel.plot(x, spike.antiderivative(x), "--", color=RELAXED, linewidth=1.4)
    panel.plot(x, of_call.derivative(x), color=DERIVATIVE, linewidth=1.4)
    top = (
        3.3 if isinstance(spike, surrogate.MultiLevel) else 2.2 if isinstance(spike, surrogate.StraightThrough) else 1.3
    )
    bottom = -1.3 if isinstance(spike, surrogate.Ternary) else -0.3
    panel.set(xlim=(low, high), ylim=(bottom, top), xticks=range(low, high + 1))
    panel.set_yticks(range(int(np.ceil(bottom)), int(top) + 1))
    panel.tick_params(labelsize=8)
    panel.set_title(title_of(spike), fontsize=9)
    panel.spines[["top", "right"]].set_visible(False)


def main():
    figure, axes = plt.subplots(len(ROWS), len(ROWS[0]), figsize=(11, 2.05 * len(ROWS) + 0.6), layout="constrained")
    for panels, spikes in zip(axes, ROWS, strict=True):
        for panel, spike in zip(panels, spikes, strict=True):
            draw(panel, spike)
    for panel in axes[-1]:
        panel.set_xlabel("potential minus threshold, $x$", fontsize=8)
    lines = [
        plt.Line2D([], [], color=SPIKE, linewidth=3, label="what a call returns"),
        plt.Line2D([], [], color=RELAXED, linestyle="--", label="antiderivative $H(x)$"),
        plt.Line2D([], [], color=DERIVATIVE, label="derivative $h(x)$"),
    ]
    figure.legend(handles=lines, loc="outside upper center", ncols=3, frameon=False, fontsize=10)
    out = pathlib.Path(__file__).parents[1] / "images" / "surrogates.png"
    figure.savefig(out, dpi=110)
    print(out)


if __name__ == "__main__":
    main()
