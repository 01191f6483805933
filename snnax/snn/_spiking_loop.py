r"""Neurons over all time at once that rest, adapt, or have a reset which a loop of potentials alone does not tell.

A kernel gives what is compared with the threshold in every step, $z_t$, and marks. All else is plain JAX: `Neuron`
says what a step does, entry by entry, and its derivatives are the factors of the linear recurrence by which $z_t$ and
the adaptation $a_{t-1}$ move. So any surrogate will do, and the gradient flows wherever it does in a scan of the steps.
The backward pass keeps $z_t$ and the marks, and computes the factors anew.
"""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array

from .._kernels import LOWERED, RESTING, Kind, coupled_loop, moved_loop, spiking_loop
from .._moving import moving
from .._parameter import acting
from ..functional.surrogate import AbstractSurrogate, emit
from ._reset import AbstractReset, DelayedSubtractReset, NoReset, ResetToValue, SubtractReset
from ._spiking import recomputed

KINDS = {
    NoReset: Kind.NONE,
    ResetToValue: Kind.TO_VALUE,
    SubtractReset: Kind.SUBTRACT,
    DelayedSubtractReset: Kind.DELAYED,
}
"""The resets that the kernels know."""


class Adaptation(eqx.Module):
    r"""What an adaptation does: $a_t = \rho\,a_{t-1} + c\,(v_t - v_0) + b\,s_t$.

    $c$ is how it `follows` the potential, and $b$ what a spike `adds`. It `raises` the threshold by $\kappa\,a$, or
    `drives` the potential by $d\,a$.
    """

    rho: Array
    adds: Array
    raises: Array | None = None
    drives: Array | None = None
    follows: Array | None = None


class Marks(eqx.Module):
    """Which neurons rest, and 1 where the potential is lowered before it is compared; `None` where none ever are."""

    bits: Array | None
    rests: bool = eqx.field(static=True)
    delays: bool = eqx.field(static=True)

    @property
    def resting(self) -> Array | None:
        return (self.bits & RESTING) != 0 if self.bits is not None and self.rests else None

    @property
    def lowered(self) -> Array | None:
        return ((self.bits & LOWERED) != 0).astype(jnp.float32) if self.bits is not None and self.delays else None

    def last(self) -> "Marks":
        return jax.tree.map(lambda bits: bits[-1], self)

    def following(self) -> "Marks":
        """Those of the step after; of the last, any."""
        return jax.tree.map(lambda bits: jnp.concatenate([bits[1:], bits[-1:]]), self)


class Neuron(eqx.Module):
    """A step in two halves: what is compared with the threshold, `before`; and what the spike leaves, `after`.

    `a` is the adaptation of the step before; anything where there is none.
    """

    alpha: Array
    gain: Array
    rest: Array
    threshold: Array
    reset: AbstractReset
    spike_fn: AbstractSurrogate
    adaptation: Adaptation | None = None

    def before(self, p: Array, a: Any, x: Array, marks: Marks) -> Array:
        v = self.rest + self.alpha * (p - self.rest) + self.gain * x
        if self.adaptation is not None and self.adaptation.drives is not None:
            v = v + self.adaptation.drives * a
        if marks.resting is not None:
            v = jnp.where(marks.resting, p, v)
        return v - self._lift(a, marks)

    def after(self, z: Array, a: Any, spike: Array, marks: Marks) -> tuple[Array, Array | None]:
        v = z + self._lift(a, marks)
        p = self.reset.after(v, spike, self.threshold + self._raised(a), spike)
        if marks.resting is not None:
            p = jnp.where(marks.resting, v, p)
        return p, None if self.adaptation is None else self.adaptation.rho * a + self._added(spike, v)

    def spikes(self, z: Array, marks: Marks) -> Array:
        spike = emit(self.spike_fn, z - self.threshold)[0]
        return spike if marks.resting is None else jnp.where(marks.resting, jnp.zeros_like(spike), spike)

    def adaptations(self, z: Array, a: Array, spike: Array, marks: Marks) -> Array:
        """The adaptation that acts in each step, from that before the first, `a`."""
        assert self.adaptation is not None
        v = z if self.adaptation.follows is None else z + self._lift(None, marks)
        added = self._added(spike, v)
        return moved_loop(jnp.concatenate([a[None], added[:-1]]), self.adaptation.rho)

    def _raised(self, a: Any) -> Array | float:
        """By what the threshold is raised."""
        return 0.0 if self.adaptation is None or self.adaptation.raises is None else self.adaptation.raises * a

    def _lift(self, a: Any, marks: Marks) -> Array | float:
        """By what the potential is above what is compared with the threshold."""
        raised = self._raised(a)
        return raised if marks.lowered is None else raised + marks.lowered * (self.threshold + raised)

    def _added(self, spike: Array, v: Array) -> Array:
        assert self.adaptation is not None
        added = self.adaptation.adds * spike
        return added if self.adaptation.follows is None else added + self.adaptation.follows * (v - self.rest)

    def factors(
        self, z: Array, a: Any, spike: Array, slope: Array, marks: Marks
    ) -> tuple[tuple[Array, ...], Array, Array]:
        r"""How $z_{t+1}$ and $a_t$ depend on $z_t$ and $a_{t-1}$; how $z_t$ alone depends on $a_{t-1}$; and how
        $z_{t+1}$ does on $a_{t-1}$ by the potential that is left. What all steps share has no axis for time.

        **Arguments:** `slope`: how the spikes depend on $z_t$.
        """
        of = self.adaptation
        seen = self.reset.seen(spike)
        p_by_v = 1 - seen if isinstance(self.reset, ResetToValue) else jnp.ones((), z.dtype)
        p_by_z = p_by_v
        if not (self.reset.stop_gradient or isinstance(self.reset, NoReset)):
            jump = -(self.threshold + self._raised(a))
            if isinstance(self.reset, ResetToValue):
                jump = acting(self.reset.value, z.dtype) - (z + self._lift(a, marks))
            p_by_z = p_by_v + slope * jump
        after = marks.following()
        alpha = self.alpha if after.resting is None else jnp.where(after.resting, 1, self.alpha)
        nothing = jnp.zeros((), z.dtype)
        if of is None:
            return (alpha * p_by_z,), nothing, nothing
        a_by_z, p_by_a = of.adds * slope, nothing
        if of.follows is not None:
            a_by_z = a_by_z + of.follows
        if of.raises is not None:
            p_by_a = p_by_v * of.raises * (1 if marks.lowered is None else 1 + marks.lowered)
            if isinstance(self.reset, (SubtractReset, DelayedSubtractReset)):
                p_by_a = p_by_a - seen * of.raises
        now, then = self._by_adaptation(marks), self._by_adaptation(after)
        later = alpha * p_by_a
        return (alpha * p_by_z + then * a_by_z, later + then * of.rho, a_by_z, of.rho), now, later

    def _by_adaptation(self, marks: Marks) -> Array:
        """How what is compared with the threshold depends on the adaptation that acts."""
        of: Any = self.adaptation
        if of.raises is not None:
            return -of.raises * (1 if marks.lowered is None else 1 + marks.lowered)
        return of.drives if marks.resting is None else jnp.where(marks.resting, 0, of.drives)


def over_time(
    neuron: Neuron, refractory: int, v: Array, a: Array | None, countdown: Array | None, xs: Array
) -> tuple[Array, Array, Array | None, Array | None]:
    """**Arguments:** the states, `(*shape,)`, and the inputs, `(time, *shape)`.

    **Returns:** the spikes of all steps; the potential, the adaptation and the countdown after the last.
    """
    kind, of = KINDS[type(neuron.reset)], neuron.adaptation
    value: Any = acting(neuron.reset.value, v.dtype) if isinstance(neuron.reset, ResetToValue) else 0.0
    rows = neuron.alpha, neuron.gain, neuron.rest, neuron.threshold, value
    parts = None if of is None else [of.rho, of.raises, of.drives, of.follows, of.adds]
    adaptation = None if parts is None else tuple(jnp.zeros((), v.dtype) if one is None else one for one in parts)
    stopped = jax.lax.stop_gradient((xs, (v, a, countdown), rows, adaptation))
    z, bits, last, countdown = spiking_loop(kind, refractory, *stopped)
    marks = Marks(bits, refractory > 0, kind == Kind.DELAYED)
    values = (z,) if last is None else (z, last)
    z, *others = moving(values, (neuron, xs, v, a, marks), _rule)
    last = others[0] if others else None
    spikes = recomputed(Neuron.spikes)(neuron, z, marks)
    v, a = neuron.after(z[-1], last, neuron.spikes(z[-1], marks.last()), marks.last())
    return spikes, v, a, countdown


@recomputed
def _rule(values, arguments, tangents):
    """How `z` and the adaptation in the last step move."""
    z, *_ = values
    *primals, marks = arguments
    *tangents, _ = tangents
    neuron, *_, a = primals
    spike, slope = jax.jvp(lambda z: neuron.spikes(z, marks), (z,), (jnp.ones_like(z),))
    _, d_spike = eqx.filter_jvp(lambda neuron: neuron.spikes(z, marks), primals[:1], tangents[:1])
    adaptations: Any = None if a is None else neuron.adaptations(z, a, spike, marks)

    def step(neuron, xs, v, a, spike):
        p = jnp.concatenate([v[None], neuron.after(z, adaptations, spike, marks)[0][:-1]])
        acting = None if a is None else jnp.concatenate([a[None], adaptations[1:]])
        return neuron.before(p, acting, xs, marks)

    def add(neuron, spike):
        return neuron.after(z, adaptations, spike, marks)[1]

    _, du = eqx.filter_jvp(step, (*primals, spike), (*tangents, d_spike))
    _, added = (None, None) if a is None else eqx.filter_jvp(add, (neuron, spike), (tangents[0], d_spike))
    if du is None and added is None:
        return (None,) * len(values)
    du = jnp.zeros_like(z) if du is None else du
    factors, now, later = neuron.factors(z, adaptations, spike, slope, marks)
    if a is None:
        return (moved_loop(du, *factors),)
    first = jnp.zeros_like(a) if tangents[3] is None else tangents[3]
    if added is None:
        return coupled_loop(du, first, factors)
    zero = jnp.zeros_like(a)[None]
    more = moved_loop(jnp.concatenate([zero, added[:-1]]), factors[3])
    du = du + now * more + jnp.concatenate([zero, (later * more)[:-1]])
    dz, d_last = coupled_loop(du, first, factors)
    return dz, d_last + more[-1]
