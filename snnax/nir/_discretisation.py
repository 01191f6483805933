"""From time constants to decays per time step, and back."""

import abc

import equinox as eqx
import numpy as np

_Values = float | np.ndarray


class AbstractDiscretisation(eqx.Module):
    r"""How a step of length $dt$ stands for NIR's $\tau \dot v = -v + u$: $v_t = \alpha\,v_{t-1} + \kappa\,u_t$.

    $\alpha$ is the `decay` and $\kappa$ the `gain`. Neurons take $g = r\,\kappa(\tau_\text{mem})$ and, for their
    synaptic current, $w_\text{in}\,\kappa(\tau_\text{syn})$.
    """

    @abc.abstractmethod
    def decay(self, tau: _Values, dt: float) -> _Values:
        r"""$\alpha$, from a time constant and the time step, both in seconds."""

    @abc.abstractmethod
    def gain(self, tau: _Values, dt: float) -> _Values:
        r"""$\kappa$, likewise."""

    @abc.abstractmethod
    def tau(self, decay: _Values, dt: float) -> _Values:
        r"""The time constant whose decay is $\alpha$."""


class ForwardEuler(AbstractDiscretisation):
    r"""$\alpha = 1 - dt/\tau$, $\kappa = dt/\tau$: what most simulators do with NIR, snnTorch, Norse, Spyx and
    SpiNNaker2 among them. Needs $dt \le \tau$.
    """

    def decay(self, tau: _Values, dt: float) -> _Values:
        return 1 - dt / tau

    def gain(self, tau: _Values, dt: float) -> _Values:
        return dt / tau

    def tau(self, decay: _Values, dt: float) -> _Values:
        return dt / (1 - decay)


class _Exponential(AbstractDiscretisation):
    r"""A decay of $e^{-dt/\tau}$."""

    def decay(self, tau: _Values, dt: float) -> _Values:
        return np.exp(-dt / tau)

    def tau(self, decay: _Values, dt: float) -> _Values:
        return -dt / np.log(decay)


class ExponentialEuler(_Exponential):
    r"""$\alpha = e^{-dt/\tau}$, $\kappa = 1 - e^{-dt/\tau}$: exact for an input that is constant within a step."""

    def gain(self, tau: _Values, dt: float) -> _Values:
        return -np.expm1(-dt / tau)


class ImpulseInvariant(_Exponential):
    r"""$\alpha = e^{-dt/\tau}$, $\kappa = dt/\tau$: exact for impulses, each of which carries what its step carries.

    What Rockpool does with NIR, and Sinabs where its input is scaled by $dt/\tau$.
    """

    def gain(self, tau: _Values, dt: float) -> _Values:
        return dt / tau
