"""Phasors: complex numbers of magnitude 1 or 0, and their form in spikes, one in a period."""

import math
from collections.abc import Callable, Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, PRNGKeyArray

from .._parameter import POSITIVE, acting, as_parameter, check_shapes, parameter
from ..functional._phase import nearest_step
from ..functional.surrogate import SuperSpike, emit
from ._filter import Parameter
from ._layer import StatefulLayer
from ._spiking import check_spike_fn, in_activation_dtype


class PhasorState(eqx.Module):
    """The state of `SpikingPhasor`: the sum `gathered` of this period's input, the sum `answered` of the last one's,
    which the spikes of this period tell, and the `step` within the period.
    """

    gathered: Array
    answered: Array
    step: Array


def unit_phasor(
    x: Array, threshold: Parameter, spike_fn: Callable[[Array], Array], key: PRNGKeyArray | None
) -> tuple[Array, Array]:
    """The direction of each entry of `x`, and whether its magnitude reaches the threshold."""
    magnitude = jnp.abs(x)
    gate, _ = emit(spike_fn, magnitude - acting(threshold, magnitude.dtype, POSITIVE), key)
    # 0 has no direction; what is near to it is below any threshold, and its gradient must stay finite.
    return x / jnp.where(magnitude > 1e-12, magnitude, 1).astype(x.dtype), gate


class PhasorLinear(eqx.Module):
    r"""A linear layer with complex weights, from vectors to vectors: $y = W x$.

    It has no state and no bias: a turn of all phases of the input turns the output. The weights are kept as two real
    arrays, so that any optimiser trains them (the gradient that JAX gives for a complex array is the conjugate of the
    direction of ascent).

    Source: E. P. Frady and F. Sommer 2019, doi:10.1073/pnas.1902653116.
    """

    real: Array
    imaginary: Array
    in_features: int = eqx.field(static=True)
    out_features: int = eqx.field(static=True)

    def __init__(self, in_features: int, out_features: int, *, key: PRNGKeyArray):
        """**Arguments:**

        - `in_features`, `out_features`: the sizes of the input and of the output.
        - `key`: draws the weights: of normal distribution and any phase, so that random phasors give an output of mean
            square 1.
        """
        self.in_features, self.out_features = in_features, out_features
        self.real, self.imaginary = jr.normal(key, (2, out_features, in_features)) / math.sqrt(2 * in_features)

    @property
    def weight(self) -> Array:
        """The complex weights, `(out_features, in_features)`."""
        wide = np.promote_types(self.real.dtype, np.float32)
        return jax.lax.complex(self.real.astype(wide), self.imaginary.astype(wide))

    def __call__(self, x: Array, *, key: PRNGKeyArray | None = None) -> Array:
        """**Arguments:** `x`: `(in_features,)`, phasors or spikes. `key` is ignored.

        **Returns:** `(out_features,)`, complex.
        """
        x, weight = jnp.asarray(x), self.weight
        if x.shape != (self.in_features,):
            raise ValueError(f"`snn.PhasorLinear`: it takes inputs of shape ({self.in_features},), got {x.shape}.")
        return weight @ x.astype(weight.dtype)


class Phasor(eqx.Module):
    r"""Turns complex numbers into phasors: the direction of those whose magnitude reaches the threshold, 0 for others.

    $$y = \frac{x}{|x|}\,[\,|x| \ge \theta\,]$$

    It has no state. The phase has its own gradient, the step in the magnitude that of the surrogate.

    Source: E. P. Frady and F. Sommer 2019, doi:10.1073/pnas.1902653116.
    """

    spike_fn: Callable[[Array], Array]
    threshold: Parameter = parameter(POSITIVE)

    def __init__(
        self,
        threshold: Parameter | Callable = 1.0,
        shape: Sequence[int] | None = None,
        *,
        spike_fn: Callable[[Array], Array] | None = None,
        key: PRNGKeyArray | None = None,
    ):
        r"""**Arguments:**

        - `threshold`: $\theta > 0$. A number is a constant, an array is trained, an initialiser `(key, shape, dtype)`
            draws one for each entry. Default 1.
        - `shape`, `key`: the shape of one example and a key, for an initialiser.
        - `spike_fn`: the surrogate, called on the magnitude minus the threshold. Default `surrogate.SuperSpike()`.
        """
        self.threshold = as_parameter("snn.Phasor", "threshold", threshold, POSITIVE, shape=shape, key=key)
        self.spike_fn = SuperSpike() if spike_fn is None else spike_fn
        check_spike_fn("snn.Phasor", self.spike_fn, self.threshold)

    def __call__(self, x: Array, *, key: PRNGKeyArray | None = None) -> Array:
        """**Arguments:** `x`: complex, of any shape; `key`: for a `spike_fn` that draws.

        **Returns:** phasors, in the shape and dtype of `x`.
        """
        x = jnp.asarray(x)
        if not jnp.issubdtype(x.dtype, jnp.complexfloating):
            raise TypeError(
                f"`snn.Phasor`: it takes complex numbers, got {x.dtype}. Of phases in radians: `jnp.exp(1j * phases)`."
            )
        check_shapes("snn.Phasor", self, x.shape)
        direction, gate = unit_phasor(x, self.threshold, self.spike_fn, key)
        return direction * gate.astype(x.dtype)


class SpikingPhasor(StatefulLayer):
    r"""Phasors in spikes: one in a period, at the step nearest to the phase of the last period's input.

    With $P$ steps in a period and $\omega = 2\pi/P$, a spike at step $t$ of its period stands for the phasor
    $e^{i\omega t}$:

    $$z = \sum_{t=0}^{P-1} x_t\,e^{i\omega t}, \qquad s_t = \Big[\,t = \mathrm{round}\Big(\frac{\arg z'}{\omega}\Big)
      \bmod P\,\Big]\,\big[\,|z'| \ge \theta\,\big]$$

    where $z$ gathers the input of this period and $z'$ is that of the last, 0 in the first. In a frame that turns with
    the period this is a resonate-and-fire neuron without damping, $\dot z = -i\omega z + x$, that fires when it passes
    the positive real axis. Each layer takes one period more; after `snn.PhasorLinear` it gives the phases of
    `snn.Phasor`, to half a step:

        snn.Sequential(snn.PhasorLinear(16, 8, key=key), snn.SpikingPhasor(32))

    All layers of a network have one period, which starts with the stream. The gradient is that of the first harmonic of
    the train, $\frac{2}{P} \mathrm{Re}(e^{-i\omega t} y)$ with the phasor $y$ that `snn.Phasor` makes of $z'$, so that
    a network of spikes has the gradient of the complex one. There is no potential to reset.

    Source: E. P. Frady and F. Sommer 2019, doi:10.1073/pnas.1902653116.
    """

    period: int = eqx.field(static=True)
    spike_fn: Callable[[Array], Array]
    threshold: Parameter = parameter(POSITIVE)

    def __init__(
        self,
        period: int,
        shape: Sequence[int] | None = None,
        *,
        threshold: Parameter | Callable = 1.0,
        spike_fn: Callable[[Array], Array] | None = None,
        key: PRNGKeyArray | None = None,
    ):
        r"""**Arguments:**

        - `period`: $P$, the number of time steps in a period, 3 or more.
        - `shape`, `key`: the shape of one example and a key, for an initialiser.
        - `threshold`: $\theta > 0$, the magnitude at which a neuron fires. A number is a constant, an array is trained,
            an initialiser `(key, shape, dtype)` draws one for each neuron. Default 1.
        - `spike_fn`: the surrogate, called on the magnitude minus the threshold. Default `surrogate.SuperSpike()`.
        """
        if not isinstance(period, int) or isinstance(period, bool) or period < 3:
            raise ValueError(
                f"`snn.SpikingPhasor`: `period` must be a number of time steps, 3 or more, got {period!r}. Fewer tell "
                "no phases apart."
            )
        self.period = period
        self.threshold = as_parameter("snn.SpikingPhasor", "threshold", threshold, POSITIVE, shape=shape, key=key)
        self.spike_fn = SuperSpike() if spike_fn is None else spike_fn
        check_spike_fn("snn.SpikingPhasor", self.spike_fn, self.threshold)

    def init_state(self, in_shape: Sequence[int], key: PRNGKeyArray | None = None) -> PhasorState:
        """The state at the start of a period, before any input, for inputs of any shape `in_shape`."""
        check_shapes("snn.SpikingPhasor", self, tuple(in_shape))
        nothing = jnp.zeros(tuple(in_shape), complex)
        return PhasorState(nothing, nothing, jnp.zeros((), jnp.int32))

    def __call__(self, state: PhasorState, x: Array, *, key: PRNGKeyArray | None = None) -> tuple[PhasorState, Array]:
        """**Arguments:** `x`: the input, complex or real, of the shape of the layer; `key`: for a `spike_fn` that
        draws.

        **Returns:** the new state, and the spikes, in the shape of `x`; in its dtype, or of its parts if it is complex.
        """
        x = jnp.asarray(x)
        complex_dtype = state.gathered.dtype
        real_dtype = state.gathered.real.dtype
        angle = state.step.astype(real_dtype) * jnp.asarray(2 * np.pi / self.period, real_dtype)
        turn = jax.lax.complex(jnp.cos(angle), jnp.sin(angle))
        gathered = state.gathered + x.astype(complex_dtype) * turn

        direction, gate = unit_phasor(state.answered, self.threshold, self.spike_fn, key)
        harmonic = (2 / self.period) * jnp.real(jnp.conj(turn) * direction) * gate
        due = nearest_step(jnp.angle(jax.lax.stop_gradient(direction)), self.period) == state.step
        spike = jax.lax.stop_gradient(jnp.where(due, gate, 0)) + (harmonic - jax.lax.stop_gradient(harmonic))

        ends = state.step == self.period - 1
        answered = jnp.where(ends, gathered, state.answered)
        gathered = jnp.where(ends, 0, gathered)
        out = in_activation_dtype(spike, jnp.real(x))
        return PhasorState(gathered, answered, (state.step + 1) % self.period), out
