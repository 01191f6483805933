"""What a surrogate is, and how neurons call it."""

import abc
from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Inexact, PRNGKeyArray

from ..._moving import moving


class AbstractSurrogate(eqx.Module):
    """What a surrogate is: `derivative` $h$ and `antiderivative` $H$, with $h = H'$."""

    @abc.abstractmethod
    def derivative(self, x: Array) -> Array:
        """The surrogate derivative $h(x)$, elementwise."""

    @abc.abstractmethod
    def antiderivative(self, x: Array) -> Array:
        """A function $H$ with $H' = h$, elementwise; where the parameters are trained, their gradient is its."""

    def value(self, x: Array) -> Array:
        """What a call returns: the step $[x \\ge 0]$."""
        return (x >= 0).astype(x.dtype)

    def fired(self, spike: Array, x: Array) -> Array:
        """1 for what fired, from what a call on `x` returned: the spike itself where that is 0 or 1."""
        del x
        return spike

    def check_neuron(self, owner: str, height: float | None, refractory: int) -> None:
        """Refuses a neuron in which this surrogate has no meaning.

        **Arguments:** `owner`: the neuron; `height`: how far its threshold lies above its rest, where that is a number;
        `refractory`: for how many steps it rests after a spike.
        """
        del owner, height, refractory

    def __call__(self, x: Inexact[Array, "..."] | float) -> Inexact[Array, "..."]:
        """**Arguments:** `x`: the potential minus the threshold, of any shape and floating dtype.

        **Returns:** the spikes, 1 where `x >= 0` and 0 elsewhere, in the shape and dtype of `x`.
        """
        x = jnp.asarray(x)
        return moving((self.value(x),), (self, x), _moved)[0]


def _moved(values, arguments, tangents):
    (value,), (surrogate, x), (surrogate_tangent, dx) = values, arguments, tangents
    moved = [] if dx is None else [surrogate.derivative(x) * dx]
    if jax.tree.leaves(surrogate_tangent):
        _, by_parameters = eqx.filter_jvp(lambda s: s.antiderivative(x), (surrogate,), (surrogate_tangent,))
        moved += [] if by_parameters is None else [by_parameters]  # `None` where all of them are `Fixed`
    return (sum(moved[1:], moved[0]).astype(value.dtype) if moved else None,)


class AbstractRandomSurrogate(AbstractSurrogate):
    """A surrogate that draws random numbers, and is called with a key: `draw` gives the surrogate of one call.

    Its `derivative` and `antiderivative` are the means over what is drawn.
    """

    @abc.abstractmethod
    def draw(self, x: Array, key: PRNGKeyArray) -> AbstractSurrogate:
        """The surrogate of one call on `x`, with its random numbers drawn."""

    def __call__(self, x: Inexact[Array, "..."] | float, *, key: PRNGKeyArray) -> Inexact[Array, "..."]:
        """**Arguments:** `x`: the potential minus the threshold, of any shape and floating dtype; `key`: of this call.

        **Returns:** what the drawn surrogate gives, in the shape and dtype of `x`.
        """
        x = jnp.asarray(x)
        return self.draw(x, key)(x)


def emit(spike_fn: Callable[..., Array], x: Array, key: PRNGKeyArray | None = None) -> tuple[Array, Array]:
    """What neurons give at the distance `x` from their threshold, and 1 for each that fired.

    **Arguments:** `spike_fn`: a surrogate or a function of one array; `key`: for an `AbstractRandomSurrogate`.
    """
    if isinstance(spike_fn, AbstractRandomSurrogate):
        if key is None:
            raise ValueError(
                f"`surrogate.{type(spike_fn).__name__}` draws random numbers and needs a key: `model(states, xs, key)`."
            )
        spike_fn = spike_fn.draw(x, key)
    spike = spike_fn(x)
    return spike, spike_fn.fired(spike, x) if isinstance(spike_fn, AbstractSurrogate) else spike


def has_several(surrogate: AbstractSurrogate) -> bool:
    """Whether a surrogate has several thresholds, and thereby spikes other than 0 and 1."""
    return type(surrogate).fired is not AbstractSurrogate.fired


def check_single(owner: str, surrogate: object) -> None:
    """Refuses what is not a surrogate of one threshold, with spikes of 0 and 1."""
    if not isinstance(surrogate, AbstractSurrogate):
        raise TypeError(
            f"`surrogate.{owner}`: `surrogate` must be a surrogate such as `surrogate.SuperSpike(10.0)`, got "
            f"{surrogate!r}. A derivative of one's own goes in as `surrogate.Custom(derivative)`."
        )
    if has_several(surrogate):
        raise ValueError(
            f"`surrogate.{owner}` takes the surrogate of one threshold, and `surrogate.{type(surrogate).__name__}` has "
            "several. Give it the one inside; `surrogate.Relaxed` goes inside too."
        )
