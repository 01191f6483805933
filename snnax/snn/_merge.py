"""How a node of a graph takes several signals in."""

import abc
from collections.abc import Sequence

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array


class AbstractMerge(eqx.Module):
    """What a merge is: one array from the signals of one time step, in the order of the edges."""

    @abc.abstractmethod
    def __call__(self, signals: Sequence[Array]) -> Array:
        """**Arguments:** `signals`: at least one array. **Returns:** one array."""

    @abc.abstractmethod
    def guess(self, shapes: Sequence[tuple[int, ...] | None]) -> tuple[int, ...] | None:
        """The shape of the result where some shapes are not known yet (`None`), or `None` if it cannot be told."""

    @abc.abstractmethod
    def fits(self, shapes: Sequence[tuple[int, ...]]) -> bool:
        """Whether signals of these shapes can be merged."""


class Add(AbstractMerge):
    """The sum of the signals, which all have one shape. The default."""

    def __call__(self, signals: Sequence[Array]) -> Array:
        total = signals[0]
        for signal in signals[1:]:
            total = total + signal
        return total

    def guess(self, shapes: Sequence[tuple[int, ...] | None]) -> tuple[int, ...] | None:
        return next((shape for shape in shapes if shape is not None), None)

    def fits(self, shapes: Sequence[tuple[int, ...]]) -> bool:
        return len(set(shapes)) == 1


class Concatenate(AbstractMerge):
    """The signals end to end along `axis`, which counts without time and batch: 0, the default, is the channels'."""

    axis: int = eqx.field(static=True, default=0)

    def __call__(self, signals: Sequence[Array]) -> Array:
        return jnp.concatenate(signals, axis=self.axis)

    def guess(self, shapes: Sequence[tuple[int, ...] | None]) -> tuple[int, ...] | None:
        known = [shape for shape in shapes if shape is not None]
        if len(known) < len(shapes):
            return None
        if not self.fits(known):
            return known[0]
        axis = self.axis % len(known[0])
        return *known[0][:axis], sum(shape[axis] for shape in known), *known[0][axis + 1 :]

    def fits(self, shapes: Sequence[tuple[int, ...]]) -> bool:
        rank = len(shapes[0])
        if any(len(shape) != rank for shape in shapes) or not -rank <= self.axis < rank:
            return False
        axis = self.axis % rank
        return len({(*shape[:axis], *shape[axis + 1 :]) for shape in shapes}) == 1
