"""Draws what a call of every surrogate returns, its antiderivative and its derivative: docs/images/surrogates.png.

python docs/figures/surrogates.py
"""

import pathlib

import jax.numpy as jnp
import jax.random as jr
import matplotlib
import numpy as np

from snnax import plot
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


def title_of(spike):
    kind = type(spike)
    return TITLES.get(kind) or f"{kind.__name__}({spike.leak if kind is surrogate.LeakyStep else spike.slope})"


def draw(panel, spike):
    low, high = {surrogate.Ternary: (-4, 2), surrogate.MultiLevel: (-2, 4)}.get(type(spike), (-2, 2))
    plot.surrogate(spike, low=low, high=high, key=jr.key(0), ax=panel)
    top = (
        3.3 if isinstance(spike, surrogate.MultiLevel) else 2.2 if isinstance(spike, surrogate.StraightThrough) else 1.3
    )
    bottom = -1.3 if isinstance(spike, surrogate.Ternary) else -0.3
    panel.set(xlim=(low, high), ylim=(bottom, top), xticks=range(low, high + 1))
    panel.set_yticks(range(int(np.ceil(bottom)), int(top) + 1))
    panel.tick_params(labelsize=8)
    panel.set_title(title_of(spike), fontsize=9)
    panel.set_xlabel("")


def main():
    figure, axes = plt.subplots(len(ROWS), len(ROWS[0]), figsize=(11, 2.05 * len(ROWS) + 0.6), layout="constrained")
    for panels, spikes in zip(axes, ROWS, strict=True):
        for panel, spike in zip(panels, spikes, strict=True):
            draw(panel, spike)
    for panel in axes[-1]:
        panel.set_xlabel("potential minus threshold, $x$", fontsize=8)
    lines = axes[0, 0].get_legend_handles_labels()
    figure.legend(*lines, loc="outside upper center", ncols=3, frameon=False, fontsize=10)
    out = pathlib.Path(__file__).parents[1] / "images" / "surrogates.png"
    figure.savefig(out, dpi=110)
    print(out)


if __name__ == "__main__":
    main()
