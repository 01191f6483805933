"""Quadratic integrate-and-fire neurons."""

from collections.abc import Callable, Sequence
from typing import Unpack

import jax
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray

from .._parameter import DECAY, POSITIVE, acting, as_parameter, parameter
from ._filter import Gain, Parameter, acting_gain, as_decays, as_gains, split
from ._lif import PotentialState
from ._spiking import Firing, SpikingLayer, in_activation_dtype, in_state_dtype, recomputed


class QIF(SpikingLayer):
    r"""Quadratic integrate-and-fire neurons: above a critical potential they rise by themselves until they fire.

    $$v_t = \bar v_{t-1} + (1 - \alpha)\,c\,(u - v_0)(u - v_c) + g\,x_t, \qquad s_t = [v_t \ge \theta]$$

    after which `reset` acts on $v_t$. This is an Euler step of $\tau\,\dot v = c\,(v - v_0)(v - v_c) + R I$ with
    $1 - \alpha$ in the place of $dt/\tau$, held where such a step makes no sense:

    - $\bar v = \min(v, \theta)$: the threshold is the cut-off of the spike. What a reset has left above it is of no
        account, so that the potential stays finite under every reset.
    - $u = \max(\bar v_{t-1}, \tfrac12 (v_0 + v_c) - \tfrac12 / ((1 - \alpha) c))$: below that point an Euler step would
        bring a lower potential out above a higher one, and strong inhibition would make spikes.

    With $g$ from `snn.UnityGain()`, a constant input makes the neuron fire if it is above $c\,(v_c - v_0)^2 / 4$. With
    $c\,(v_c - v_0) = 1$, as by default, the potential decays to the rest by $\alpha$ per step where it is near.

    Source: P. Latham et al. 2000, doi:10.1152/jn.2000.83.2.808; W. Gerstner et al., Neuronal Dynamics (2014), section
    5.3.
    """

    decay_constants: Parameter = parameter(DECAY)
    critical: Parameter = parameter()
    curvature: Parameter = parameter(POSITIVE)
    gain: Gain = parameter()
    rest: Parameter = parameter()

    def __init__(
        self,
        decay_constants: Parameter | Sequence[Parameter] | Callable,
        shape: Sequence[int] | None = None,
        *,
        critical: Parameter | Callable = 0.5,
        curvature: Parameter | Callable = 2.0,
        gain: Gain | Callable = 1.0,
        rest: Parameter | Callable = 0.0,
        key: PRNGKeyArray | None = None,
        **firing: Unpack[Firing],
    ):
        r"""**Arguments:**

        - `decay_constants`: $\alpha$, the decay of the potential per time step, in [0, 1]; from a time constant by
            `snn.decay(tau, dt)`. A number is a constant, an array is trained, an initialiser `(key, shape, dtype)`
            draws one for each neuron; so for all that follow.
        - `shape`, `key`: the shape of one example and a key, for arguments that are initialisers.
        - `critical`: $v_c$, the potential from which the neuron rises by itself, above `rest` and below `threshold`.
            Default 0.5.
        - `curvature`: $c > 0$, per unit of the potential. Default 2.
        - `gain`: $g$, the factor of the input, or `snn.UnityGain()` for $1 - \alpha$. Default 1.
        - `rest`: $v_0$, the potential to which the neuron decays. Default 0.
        - `threshold`: $\theta$, the cut-off of the spike. Default 1.
        - `reset`, `refractory`, `spike_fn`, `init_fn`: see `snn.SpikingLayer`.
        """
        keys = split(key, 6)
        (self.decay_constants,) = as_decays("snn.QIF", decay_constants, ["membrane"], shape=shape, key=keys[0])
        self.critical = as_parameter("snn.QIF", "critical", critical, shape=shape, key=keys[1])
        self.curvature = as_parameter("snn.QIF", "curvature", curvature, POSITIVE, shape=shape, key=keys[2])
        (self.gain,) = as_gains("snn.QIF", gain, ["membrane"], shape=shape, key=keys[3])
        self.rest = as_parameter("snn.QIF", "rest", rest, shape=shape, key=keys[4])
        super().__init__(shape=shape, key=keys[5], **firing)

    def init_state(self, in_shape: Sequence[int], key: PRNGKeyArray | None = None) -> PotentialState:
        """The state at rest, for inputs of any shape `in_shape`."""
        return PotentialState(self.init_potential(in_shape, key, self.rest), self.init_countdown(in_shape))

    def __call__(
        self, state: PotentialState, x: Array, *, key: PRNGKeyArray | None = None
    ) -> tuple[PotentialState, Array]:
        """**Arguments:** `x`: the input current, of the shape of the layer; `key`: for a `spike_fn` that draws.

        **Returns:** the new state, and the spikes, of the shape and dtype of `x`.
        """
        v = recomputed(type(self)._integrated)(self, state.v, in_state_dtype(x, state.v))
        spike, v, countdown = self.fire(v, state.v, state.countdown, key=key)
        return PotentialState(v, countdown), in_activation_dtype(spike, x)

    def _integrated(self, v: Array, x: Array) -> Array:
        alpha = acting(self.decay_constants, v.dtype, DECAY)
        rate = (1 - alpha) * acting(self.curvature, v.dtype, POSITIVE)
        rest, critical = acting(self.rest, v.dtype), acting(self.critical, v.dtype)
        held = jnp.minimum(v, acting(self.threshold, v.dtype, POSITIVE))
        # Without the gradient, which is infinite where nothing decays.
        lowest = jax.lax.stop_gradient((rest + critical) / 2 - 0.5 / jnp.maximum(rate, jnp.finfo(v.dtype).tiny))
        u = jnp.maximum(held, lowest)
        return held + rate * (u - rest) * (u - critical) + acting_gain(self.gain, alpha) * x
