"""Sigma-delta neurons: they send what has changed."""

from collections.abc import Callable, Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray

from .._parameter import DECAY, POSITIVE, acting, as_parameter, check_shapes, parameter
from ._filter import Gain, Parameter, as_decays, as_gains, leaky, split
from ._layer import StatefulLayer
from ._spiking import in_activation_dtype, in_state_dtype


class SigmaDeltaState(eqx.Module):
    """The state of `SigmaDelta`: the filtered input `v`, and the sum `sent` of what has been sent."""

    v: Array
    sent: Array


class SigmaDelta(StatefulLayer):
    r"""Neurons that send the change of their filtered input in whole steps, and nothing where that is small.

    $$v_t = \alpha\,v_{t-1} + g\,x_t, \qquad y_t = \Delta\,\mathrm{round}\Big(\frac{v_t - r_{t-1}}{\Delta}\Big), \qquad
      r_t = r_{t-1} + y_t$$

    where $r_t$ is the sum of what has been sent, so that the error $|v_t - r_t| \le \Delta/2$ does not add up (half a
    step rounds to the even number). The outputs are graded: multiples of $\Delta$ of both signs. A receiver adds them
    up by `snn.SimpleLI(1.0)`, after any linear layer without a bias; a sigma-delta neuron does it by $\alpha = 1$. With
    $\alpha = 0$ the input itself is encoded. Where a non-linearity belongs between the sum and the change:

        snn.Sequential(snn.SimpleLI(1.0), eqx.nn.Lambda(jax.nn.relu), snn.SigmaDelta(0.0, step=0.1))

    The events are counted by `jnp.count_nonzero(outs)`. The rounding passes the gradient; that of a trained $\Delta$ is
    $\mathrm{round}(q) - q$ with $q = (v_t - r_{t-1})/\Delta$. snnTorch's `DeltaLeaky` compares with the last potential
    in place of what was sent, so that a slow change is lost.

    Source: P. O'Connor and M. Welling 2016, arXiv:1611.02024; the gradient of the step: S. Esser et al. 2019,
    arXiv:1902.08153.
    """

    decay_constants: Parameter = parameter(DECAY)
    step: Parameter = parameter(POSITIVE)
    gain: Gain = parameter()

    def __init__(
        self,
        decay_constants: Parameter | Sequence[Parameter] | Callable,
        shape: Sequence[int] | None = None,
        *,
        step: Parameter | Callable = 1.0,
        gain: Gain | Callable = 1.0,
        key: PRNGKeyArray | None = None,
    ):
        r"""**Arguments:**

        - `decay_constants`: $\alpha$, the decay of the filter per time step, in [0, 1]; 0 for no filter, 1 for the sum
            of all inputs. A number is a constant, an array is trained, an initialiser `(key, shape, dtype)` draws one
            for each neuron.
        - `shape`, `key`: the shape of one example and a key, for arguments that are initialisers.
        - `step`: $\Delta > 0$, the change that one event stands for. Default 1.
        - `gain`: $g$, the factor of the input, or `snn.UnityGain()` for $1 - \alpha$. Default 1.
        """
        owner = "snn.SigmaDelta"
        keys = split(key, 3)
        (self.decay_constants,) = as_decays(owner, decay_constants, ["filter"], shape=shape, key=keys[0])
        self.step = as_parameter(owner, "step", step, POSITIVE, shape=shape, key=keys[1])
        (self.gain,) = as_gains(owner, gain, ["filter"], shape=shape, key=keys[2])

    def init_state(self, in_shape: Sequence[int], key: PRNGKeyArray | None = None) -> SigmaDeltaState:
        """The state before anything was sent, for inputs of any shape `in_shape`."""
        check_shapes("snn.SigmaDelta", self, tuple(in_shape))
        return SigmaDeltaState(jnp.zeros(tuple(in_shape)), jnp.zeros(tuple(in_shape)))

    def __call__(
        self, state: SigmaDeltaState, x: Array, *, key: PRNGKeyArray | None = None
    ) -> tuple[SigmaDeltaState, Array]:
        """**Arguments:** `x`: the input, of the shape of the layer. `key` is ignored.

        **Returns:** the new state, and what is sent, in the shape and dtype of `x`.
        """
        v = leaky(state.v, in_state_dtype(x, state.v), self.decay_constants, self.gain)
        step = acting(self.step, v.dtype, POSITIVE)
        change = (v - state.sent) / step
        out = in_activation_dtype(step * (change + jax.lax.stop_gradient(jnp.round(change) - change)), x)
        # What the receiver gets is in the dtype of the activations, and may be rounded by it.
        return SigmaDeltaState(v, state.sent + out.astype(v.dtype)), out
