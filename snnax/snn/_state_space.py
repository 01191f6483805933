"""Linear state-space layers: diagonal recurrences of complex states between two matrices."""

import abc
import math
from collections.abc import Callable, Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, PRNGKeyArray

from ._layer import StatefulLayer, name_of
from ._linear_scan import associative, constant, sequential
from ._spiking import in_activation_dtype, in_state_dtype


class DiagonalState(eqx.Module):
    """The state of a diagonal recurrence: the complex `h`."""

    h: Array


class DiagonalRecurrence(StatefulLayer):
    r"""What `LRU` and `S5` share: from features to as many features, through a diagonal recurrence of complex states.

    $$h_t = \lambda \odot h_{t-1} + \gamma \odot B x_t, \qquad y_t = \mathrm{Re}(C h_t) + D \odot x_t$$

    They differ in what $\lambda$ and $\gamma$ are made of, and in how all is initialised. Complex weights are stored as
    real and imaginary parts, so that every optimiser takes them for what they are.
    """

    in_weight: eqx.AbstractVar[Array]
    out_weight: eqx.AbstractVar[Array]
    skip: eqx.AbstractVar[Array]

    @abc.abstractmethod
    def factors(self) -> tuple[Array, Array]:
        r"""$\lambda$ and $\gamma$, complex, one of each for every state."""

    def init_state(self, in_shape: Sequence[int], key: PRNGKeyArray | None = None) -> DiagonalState:
        """A state of zeros, for inputs of shape `(features,)`."""
        features = self.skip.size
        if tuple(in_shape) != (features,):
            raise ValueError(
                f"`{name_of(self)}` was made for {features} features and takes inputs of shape ({features},), got "
                f"{tuple(in_shape)}."
            )
        return DiagonalState(jnp.zeros(self.in_weight.shape[1], self.factors()[0].dtype))

    def __call__(
        self, state: DiagonalState, x: Array, *, key: PRNGKeyArray | None = None
    ) -> tuple[DiagonalState, Array]:
        """**Arguments:** `x`: `(features,)`. `key` is ignored.

        **Returns:** the new state, and the output, of the shape and dtype of `x`.
        """
        decay, drive = self._terms(state, x)
        h = decay * state.h + drive
        return DiagonalState(h), self._out(h, x)

    def over_time(self, state: DiagonalState, xs: Array, *, keys: Array | None = None) -> tuple[DiagonalState, Array]:
        """All steps: both matrices once, and the recurrence as a loop. As for every layer."""
        return self._over_time(state, xs, sequential)

    def in_parallel(self, state: DiagonalState, xs: Array, *, keys: Array | None = None) -> tuple[DiagonalState, Array]:
        """All steps at once, as `over_time`; see `snn.Associative`."""
        return self._over_time(state, xs, associative)

    def _over_time(self, state: DiagonalState, xs: Array, recurrence: Callable) -> tuple[DiagonalState, Array]:
        decay, drive = self._terms(state, xs)
        h = recurrence(constant(decay, drive), drive, state.h)
        return DiagonalState(h[-1]), self._out(h, xs)

    def _terms(self, state: DiagonalState, x: Array) -> tuple[Array, Array]:
        decay, gain = self.factors()
        x = in_state_dtype(x, state.h.real)
        return decay, gain * jax.lax.complex(*(x @ part.T for part in self.in_weight))

    def _out(self, h: Array, x: Array) -> Array:
        real, imaginary = self.out_weight
        out = h.real @ real.T - h.imag @ imaginary.T + self.skip * in_state_dtype(x, h.real)
        return in_activation_dtype(out, x)


class LRU(DiagonalRecurrence):
    r"""The linear recurrent unit, whose states decay by moduli drawn from a ring.

    $$h_t = \lambda \odot h_{t-1} + \gamma \odot B x_t, \qquad y_t = \mathrm{Re}(C h_t) + D \odot x_t, \qquad \lambda =
    e^{-e^\nu + i e^\theta}$$

    $\nu$, $\theta$, $\log \gamma$, $B$, $C$ and $D$ are trained; $|\lambda| < 1$ whatever $\nu$ is. $\gamma$ starts at
    $\sqrt{1 - |\lambda|^2}$, by which states of all $\lambda$ are of one size for white input. Spikes come from neurons
    behind it, and `snn.Associative` computes all steps at once:

        snn.Sequential(snn.LRU(8, 16, key=key), snn.SimpleLIF(0.9))
        snn.Sequential(snn.Associative(snn.LRU(8, 16, key=key)), snn.SimpleLIF(0.9))

    Source: A. Orvieto et al. 2023, arXiv:2303.06349.
    """

    log_log_decay: Array
    log_phase: Array
    log_gain: Array
    in_weight: Array
    out_weight: Array
    skip: Array

    def __init__(
        self,
        features: int,
        state_size: int,
        *,
        r_min: float = 0.0,
        r_max: float = 1.0,
        max_phase: float = 2 * math.pi,
        key: PRNGKeyArray,
    ):
        r"""**Arguments:**

        - `features`: the size of input and output. `state_size`: the number of complex states.
        - `r_min`, `r_max`: the ring of $|\lambda|$ at first, $0 \le r_\min < r_\max \le 1$. Default: the whole disc.
        - `max_phase`: the largest phase of $\lambda$ at first, in (0, 2π]. Default 2π. Small ones for long sequences.
        - `key`: draws the weights.
        """
        _check_sizes("snn.LRU", features, state_size)
        if not 0 <= r_min < r_max <= 1:
            raise ValueError(f"`snn.LRU`: `r_min` and `r_max` must be 0 <= r_min < r_max <= 1, got {r_min}, {r_max}.")
        if not 0 < max_phase <= 2 * math.pi:
            raise ValueError(f"`snn.LRU`: `max_phase` must be in (0, 2π], got {max_phase}.")
        keys = jr.split(key, 5)
        modulus, phase = (jr.uniform(k, (state_size,), minval=np.finfo(np.float32).tiny) for k in keys[:2])
        log_decay = -0.5 * jnp.log(modulus * (r_max**2 - r_min**2) + r_min**2)
        self.log_log_decay = jnp.log(log_decay)
        self.log_phase = jnp.log(max_phase * phase)
        self.log_gain = 0.5 * jnp.log(-jnp.expm1(-2 * log_decay))
        self.in_weight = jr.normal(keys[2], (2, state_size, features)) / math.sqrt(2 * features)
        self.out_weight = jr.normal(keys[3], (2, features, state_size)) / math.sqrt(state_size)
        self.skip = jr.normal(keys[4], (features,))

    def factors(self) -> tuple[Array, Array]:
        decay = jnp.exp(jax.lax.complex(-jnp.exp(self.log_log_decay), jnp.exp(self.log_phase)))
        return decay, jnp.exp(self.log_gain).astype(decay.dtype)


class S5(DiagonalRecurrence):
    r"""A diagonal state-space model in continuous time, discretised with trained time steps: S5, with one block.

    $$h_t = \lambda \odot h_{t-1} + \gamma \odot B x_t, \qquad y_t = \mathrm{Re}(C h_t) + D \odot x_t$$

    $$\lambda = e^{\Delta a}, \qquad \gamma = \frac{e^{\Delta a} - 1}{a}, \qquad a = -e^\rho + i \omega$$

    which holds the input for the whole step (zero-order hold). $\rho$, $\omega$, $\log \Delta$, $B$, $C$ and $D$ are
    trained; $|\lambda| < 1$ whatever they are. $a$ starts at the eigenvalues of the normal part of HiPPO-LegS with
    positive $\omega$; those with negative $\omega$ are their conjugates, for which $C$ starts at twice its size.

    Spikes come from neurons behind it, and `snn.Associative` computes all steps at once:

        snn.Sequential(snn.S5(8, 16, key=key), snn.SimpleLIF(0.9))
        snn.Sequential(snn.Associative(snn.S5(8, 16, key=key)), snn.SimpleLIF(0.9))

    Source: J. Smith et al. 2023, arXiv:2208.04933; for $-e^\rho$ A. Gu et al. 2022, arXiv:2206.11893.
    """

    log_decay: Array
    frequency: Array
    log_step: Array
    in_weight: Array
    out_weight: Array
    skip: Array

    def __init__(
        self,
        features: int,
        state_size: int,
        *,
        min_step: float = 1e-3,
        max_step: float = 0.1,
        key: PRNGKeyArray,
    ):
        r"""**Arguments:**

        - `features`: the size of input and output. `state_size`: the number of complex states, half the size of the
            HiPPO matrix.
        - `min_step`, `max_step`: the range from which $\Delta$ is drawn, uniformly in its logarithm; greater than 0.
            A sequence of $T$ steps is remembered as a whole by those of about $1/T$. Default 0.001 and 0.1.
        - `key`: draws the weights.
        """
        _check_sizes("snn.S5", features, state_size)
        if not 0 < min_step <= max_step:
            raise ValueError(
                f"`snn.S5`: `min_step` and `max_step` must be 0 < min_step <= max_step, got {min_step}, {max_step}."
            )
        keys = jr.split(key, 4)
        poles, modes = _hippo(state_size)
        self.log_decay = jnp.log(jnp.asarray(-np.real(poles), float))
        self.frequency = jnp.asarray(np.imag(poles), float)
        self.log_step = jr.uniform(keys[0], (state_size,), minval=math.log(min_step), maxval=math.log(max_step))
        real, imaginary = (jnp.asarray(part, float) for part in (np.real(modes), np.imag(modes)))
        into = jr.normal(keys[1], (2 * state_size, features)) / math.sqrt(features)
        out_of = 2 * jr.normal(keys[2], (features, 2 * state_size)) / math.sqrt(2 * state_size)
        self.in_weight = jnp.stack([real.T @ into, -imaginary.T @ into])
        self.out_weight = jnp.stack([out_of @ real, out_of @ imaginary])
        self.skip = jr.normal(keys[3], (features,))

    def factors(self) -> tuple[Array, Array]:
        step = jnp.exp(self.log_step)
        z = jax.lax.complex(-step * jnp.exp(self.log_decay), step * self.frequency)
        return jnp.exp(z), step.astype(z.dtype) * _expm1_over(z)


def _expm1_over(z: Array) -> Array:
    """(e^z - 1) / z, by its series near 0, where both it and its derivative are 0 / 0."""
    near = jnp.abs(z) < 0.01
    small, away = jnp.where(near, z, 0), jnp.where(near, 1, z)
    series = jnp.ones_like(z)
    for n in range(7, 1, -1):
        series = 1 + small / n * series
    return jnp.where(near, series, jnp.expm1(away) / away)


def _hippo(state_size: int) -> tuple[np.ndarray, np.ndarray]:
    """The eigenvalues of the normal part of HiPPO-LegS with positive imaginary part, and their vectors as columns.

    It is -1/2 on the diagonal, and antisymmetric but for that: -√(n + 1/2) √(k + 1/2) below.
    """
    root = np.sqrt(np.arange(2 * state_size) + 0.5)
    lower = np.tril(-np.outer(root, root), -1)
    frequency, modes = np.linalg.eigh(-1j * (lower - lower.T))
    return -0.5 + 1j * frequency[state_size:], modes[:, state_size:]


def _check_sizes(owner: str, features: int, state_size: int) -> None:
    for name, size in (("features", features), ("state_size", state_size)):
        if not isinstance(size, int) or isinstance(size, bool) or size < 1:
            raise ValueError(f"`{owner}`: `{name}` must be a whole number, 1 or more, got {size!r}.")
