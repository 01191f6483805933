"""Max pooling of spikes over time: of each window, the neuron that has fired most passes."""

import itertools
from collections.abc import Callable, Sequence
from typing import ClassVar

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray

from .._parameter import DECAY, Fixed, as_parameter, check_shapes, parameter
from ._filter import Parameter, leaky
from ._layer import StatefulLayer, name_of
from ._spiking import in_activation_dtype, in_state_dtype


class TraceState(eqx.Module):
    """The state of a temporal max pooling: the `trace` of each input."""

    trace: Array


class _TraceMaxPool(StatefulLayer):
    """The input with the largest trace of each window; which one that is has no gradient."""

    max_pool: eqx.AbstractClassVar[Callable[..., eqx.nn.Pool]]

    pool: eqx.nn.Pool
    decay_constant: Parameter = parameter(DECAY)

    def __init__(
        self, kernel_size: int | Sequence[int], stride: int | Sequence[int] = 1, padding=0, *, decay_constant: Parameter
    ):
        r"""**Arguments:**

        - `kernel_size`, `stride`, `padding`: those of `eqx.nn.MaxPool1d` and `eqx.nn.MaxPool2d`. Padding never
            passes.
        - `decay_constant`: $\alpha$, the decay of the traces per time step, in [0, 1]; 1 counts all spikes since the
            first step. A number, or a `snn.Fixed` array: which input passes has no gradient, so it cannot be trained.
        """
        self.pool = type(self).max_pool(kernel_size, stride, padding)
        self.decay_constant = _as_constant(name_of(self), decay_constant)

    def init_state(self, in_shape: Sequence[int], key: PRNGKeyArray | None = None) -> TraceState:
        """Traces of zero."""
        check_shapes(name_of(self), self, tuple(in_shape))
        return TraceState(jnp.zeros(in_shape))

    def __call__(self, state: TraceState, x: Array, *, key: PRNGKeyArray | None = None) -> tuple[TraceState, Array]:
        """**Arguments:** `x`: spikes, `(channels, *space)`. `key` is ignored.

        **Returns:** the new state, and the inputs that pass, in the dtype of `x`.
        """
        signal = in_state_dtype(x, state.trace)
        trace = leaky(state.trace, signal, self.decay_constant, 1.0)
        strongest = jnp.argmax(self._windows(trace, -jnp.inf), axis=0, keepdims=True)
        out = jnp.take_along_axis(self._windows(signal, 0.0), strongest, axis=0)[0]
        return TraceState(trace), in_activation_dtype(out, x)

    def _windows(self, x: Array, padding: float) -> Array:
        """The places of each window as axis 0, in the order of memory."""
        if x.ndim != len(self.pool.kernel_size) + 1:
            raise ValueError(
                f"`{name_of(self)}` takes (channels, {', '.join(['size'] * len(self.pool.kernel_size))}), "
                f"got an input of shape {x.shape}."
            )
        x = jnp.pad(x, ((0, 0), *self.pool.padding), constant_values=padding)
        geometry = list(zip(x.shape[1:], self.pool.kernel_size, self.pool.stride, strict=True))
        reach = [(size - kernel) // stride * stride + 1 for size, kernel, stride in geometry]
        return jnp.stack(
            [
                x[(slice(None), *(slice(i, i + r, g[2]) for i, r, g in zip(place, reach, geometry, strict=True)))]
                for place in itertools.product(*(range(kernel) for kernel in self.pool.kernel_size))
            ]
        )


class TraceMaxPool1d(_TraceMaxPool):
    r"""Max pooling of spikes over one spatial axis, by the rates of the inputs and not by their spikes of one step.

    $$r_t = \alpha\,r_{t-1} + x_t, \qquad y_t = x_t[\arg\max_{\text{window}} r_t]$$

    so that each window passes the spikes of one input, the one that has fired most of late; the first of those that
    have fired equally. With a decay of 1/2 or less a spike now outweighs all before it, and any input's spike passes.
    Spikes carry gradients to the input that passes. For $[\max x \ge \theta]$ of a single step:
    `snn.SpikingMaxPool1d`.

    Source: B. Rueckauer et al. 2017, doi:10.3389/fnins.2017.00682.
    """

    max_pool: ClassVar[Callable[..., eqx.nn.Pool]] = eqx.nn.MaxPool1d


class TraceMaxPool2d(_TraceMaxPool):
    r"""Max pooling of spikes over two spatial axes, by the rates of the inputs and not by their spikes of one step.

    $$r_t = \alpha\,r_{t-1} + x_t, \qquad y_t = x_t[\arg\max_{\text{window}} r_t]$$

    so that each window passes the spikes of one input, the one that has fired most of late; the first of those that
    have fired equally. With a decay of 1/2 or less a spike now outweighs all before it, and any input's spike passes.
    Spikes carry gradients to the input that passes. For $[\max x \ge \theta]$ of a single step:
    `snn.SpikingMaxPool2d`.

    Source: B. Rueckauer et al. 2017, doi:10.3389/fnins.2017.00682.
    """

    max_pool: ClassVar[Callable[..., eqx.nn.Pool]] = eqx.nn.MaxPool2d


def _as_constant(owner: str, value: Parameter) -> Parameter:
    value = as_parameter(owner, "decay_constant", value, DECAY)
    if not isinstance(value, (float, Fixed)):
        raise TypeError(
            f"`{owner}`: `decay_constant` must be a number or a `snn.Fixed` array, got {value!r}, which would be "
            "trained. Which input passes has no gradient."
        )
    return value
