"""Synapses that tire and warm up within a train of spikes."""

from collections.abc import Callable, Sequence

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray

from .._parameter import DECAY, Interval, acting, as_parameter, check_shapes, parameter
from ._filter import Parameter, as_decays, split
from ._layer import StatefulLayer
from ._spiking import in_activation_dtype, in_state_dtype

_SHARE = Interval(0.0, 1.0)


class ShortTermState(eqx.Module):
    """The state of `ShortTermPlasticity`: the resources `r` that are left, and the share `u` that a spike uses."""

    r: Array
    u: Array


class ShortTermPlasticity(StatefulLayer):
    r"""Synapses with short-term depression and facilitation: spikes in, spikes times their efficacy out.

    $$r^-_t = 1 - \delta\,(1 - r_{t-1}), \qquad u_t = \varphi\,u_{t-1} + U\,(1 - \varphi\,u_{t-1})\,x_t, \qquad y_t =
    g\,u_t\,r^-_t\,x_t, \qquad r_t = r^-_t - u_t\,r^-_t\,x_t$$

    for spikes $x$ of 0 and 1. A spike uses the share $u$ of the resources $r^-$ that have recovered, which are then
    missing (depression), after it has raised that share (facilitation). With $\varphi = 0$ each spike uses $U$. It
    stands before the weights, one synapse for each input: `snn.Sequential(snn.ShortTermPlasticity([0.99, 0.9]),
    eqx.nn.Linear(...), snn.LIF(...))`.

    Spikes in every $n$-th step settle at

    $$u = \frac{U}{1 - (1 - U)\,\varphi^n}, \qquad r^- = \frac{1 - \delta^n}{1 - \delta^n\,(1 - u)}.$$

    Source: M. Tsodyks, K. Pawelzik and H. Markram 1998, doi:10.1162/089976698300017502.
    """

    decay_constants: tuple[Parameter, ...] = parameter(DECAY)
    utilisation: Parameter = parameter(_SHARE)
    gain: Parameter = parameter()

    def __init__(
        self,
        decay_constants: Sequence[Parameter | Callable],
        shape: Sequence[int] | None = None,
        *,
        utilisation: Parameter | Callable = 0.5,
        gain: Parameter | Callable = 1.0,
        key: PRNGKeyArray | None = None,
    ):
        r"""**Arguments:**

        - `decay_constants`: $[\delta, \varphi]$, the decays per time step, in [0, 1], of the resources' lack
            (depression) and of the share in use (facilitation); from time constants by `snn.decay(tau, dt)`. Of each: a
            number is a constant, an array is trained, an initialiser `(key, shape, dtype)` draws one for each input; so
            for all that follow.
        - `shape`, `key`: the shape of one example and a key, for arguments that are initialisers.
        - `utilisation`: $U$, the share that the first spike uses, in [0, 1]. Default 0.5.
        - `gain`: $g$, the efficacy of all resources. Default 1.
        """
        owner = "snn.ShortTermPlasticity"
        keys = split(key, 3)
        names = ["depression", "facilitation"]
        self.decay_constants = as_decays(owner, decay_constants, names, shape=shape, key=keys[0])
        self.utilisation = as_parameter(owner, "utilisation", utilisation, _SHARE, shape=shape, key=keys[1])
        self.gain = as_parameter(owner, "gain", gain, shape=shape, key=keys[2])

    def init_state(self, in_shape: Sequence[int], key: PRNGKeyArray | None = None) -> ShortTermState:
        """All resources and no facilitation, for inputs of any shape `in_shape`."""
        check_shapes("snn.ShortTermPlasticity", self, tuple(in_shape))
        return ShortTermState(jnp.ones(in_shape), jnp.zeros(in_shape))

    def __call__(
        self, state: ShortTermState, x: Array, *, key: PRNGKeyArray | None = None
    ) -> tuple[ShortTermState, Array]:
        """**Arguments:** `x`: spikes of 0 and 1, of the shape of the layer. `key` is ignored.

        **Returns:** the new state, and the spikes times their efficacy, in the shape and dtype of `x`.
        """
        dtype = state.r.dtype
        spike = in_state_dtype(x, state.r)
        depression, facilitation = (acting(one, dtype, DECAY) for one in self.decay_constants)
        recovered = 1 - depression * (1 - state.r)
        u = facilitation * state.u
        u = u + acting(self.utilisation, dtype, _SHARE) * (1 - u) * spike
        used = u * recovered * spike
        return ShortTermState(recovered - used, u), in_activation_dtype(acting(self.gain, dtype) * used, x)
