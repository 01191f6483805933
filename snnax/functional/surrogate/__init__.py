r"""Surrogate gradients: the derivative that stands in for that of the spike.

A surrogate is called on $x = v - \theta$, the distance of the potential from the threshold. Its value is the step
$[x \ge 0]$, so a potential that *reaches* the threshold fires; its derivative is a function $h(x)$ given by the class.
Every $h$ is the derivative of a function $H$, the `antiderivative`: the relaxed spike whose exact gradient is the
surrogate gradient (E. Neftci, H. Mostafa and F. Zenke 2019, doi:10.1109/MSP.2019.2931595). $H$ is 0 far below the
threshold, wherever the integral from there is finite.

- With tails on both sides: `SuperSpike`, `Sigmoid`, `Tanh`, `ArcTan`, `Exponential`, `Gaussian`, `MultiGaussian`.
- Zero outside a window: `Triangular`, `Boxcar`, `SparseFastSigmoid`.
- Not fading above the threshold: `StraightThrough`, `LeakyStep`; slowly: `LogTailed`.
- With random numbers: `EscapeNoise`, `StochasticSpike`.
- Spikes other than 0 and 1: `Ternary`, `MultiLevel`.
- `Relaxed` replaces the step by $H$, `Custom` by anything; `with_slope` anneals the slopes of a network.
- Surrogates of one's own: `AbstractSurrogate`, `AbstractRandomSurrogate`; neurons of one's own call them by `emit`.

The value and the gradient keep the dtype of $x$. All surrogates share one rule, which holds under `jvp`,
`vjp`, `vmap`, `jit`, and when differentiated again, inside of loops too (a `jax.custom_jvp` would be dropped there).

A `slope` that is an array is trained: its gradient is that of the antiderivative, $\partial H / \partial k$.
"""

from ._bell import (
    ArcTan as ArcTan,
    Exponential as Exponential,
    Sigmoid as Sigmoid,
    SuperSpike as SuperSpike,
    Tanh as Tanh,
)
from ._custom import Custom as Custom, Relaxed as Relaxed
from ._gaussian import Gaussian as Gaussian, MultiGaussian as MultiGaussian
from ._graded import MultiLevel as MultiLevel, Ternary as Ternary
from ._one_sided import LeakyStep as LeakyStep, LogTailed as LogTailed, StraightThrough as StraightThrough
from ._random import EscapeNoise as EscapeNoise, StochasticSpike as StochasticSpike
from ._slope import with_slope as with_slope
from ._surrogate import (
    AbstractRandomSurrogate as AbstractRandomSurrogate,
    AbstractSurrogate as AbstractSurrogate,
    emit as emit,
)
from ._window import Boxcar as Boxcar, SparseFastSigmoid as SparseFastSigmoid, Triangular as Triangular
