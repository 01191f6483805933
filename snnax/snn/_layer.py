"""The contract that every layer with a state keeps."""

import abc
from collections.abc import Sequence

import equinox as eqx
import jax
from jaxtyping import Array, PRNGKeyArray, PyTree

from .._kernels import time_loop


class StatefulLayer(eqx.Module):
    """A layer that carries a state from one time step to the next. Subclass it to write your own.

    Two methods make a layer, and both see one example, without batch axis: `init_state` says what the state is before
    the first step, `__call__` takes one step. The state is any pytree of arrays whose shapes and dtypes a step keeps;
    an `eqx.Module` with named fields reads best. Check a new layer with `snn.check_layer`.
    """

    @abc.abstractmethod
    def init_state(self, in_shape: Sequence[int], key: PRNGKeyArray | None = None) -> PyTree:
        """The state of one example before its first step.

        **Arguments:**

        - `in_shape`: the shape of one input at one time step.
        - `key`: for random initial states. Layers without them ignore it.
        """

    @abc.abstractmethod
    def __call__(self, state: PyTree, x: Array, *, key: PRNGKeyArray | None = None) -> tuple[PyTree, Array]:
        """One time step.

        **Arguments:**

        - `state`: what `init_state` or the previous step gave.
        - `x`: the input of this step, of shape `in_shape`.
        - `key`: for layers that draw random numbers; another one in every step. Others ignore it.

        **Returns:** the new state, and the output of this step.
        """

    @property
    def whole_sequence(self) -> bool:
        """Whether the layer needs all steps of a sequence at once, by `over_time`; `False` unless it says so.

        Such a layer is refused, by name, where steps come one at a time or in pieces. Its `__call__` treats one step as
        a sequence of that length; shapes are inferred by it.
        """
        return False

    @property
    def for_single_steps(self) -> str:
        """A sentence on what to take where such a layer is refused, for the message; empty unless it says so."""
        return ""

    def over_time(self, state: PyTree, xs: Array, *, keys: Array | None = None) -> tuple[PyTree, Array]:
        """All steps of a sequence: a scan of the step.

        A layer that knows a better way to the same result (a convolution, an associative scan) says so here.

        **Arguments:** `xs` of shape `(time, *in_shape)`; `keys`: one for each step, or `None`.

        **Returns:** the state after the last step, and the outputs, `(time, *out_shape)`.
        """

        def step(state, x, key):
            return self(state, x, key=key)

        done = time_loop(step, state, xs, keys)
        if done is not None:
            return done
        return jax.lax.scan(lambda state, given: step(state, *given), state, (xs, keys), unroll=unroll())


def unroll() -> int:
    """How many steps of a loop over time are compiled as one.

    On a GPU each step costs the launch of its kernels: 8 steps at once took 0.44 of the time of single ones in the
    sweep that jaxpike published for a T4. On a CPU it gains nothing.
    """
    return 8 if jax.default_backend() == "gpu" else 1


def name_of(layer) -> str:
    """What messages call a layer: `snn.LIF` for ours, the class for a user's."""
    kind = type(layer)
    return f"snn.{kind.__name__}" if kind.__module__.startswith("snnax.snn.") else kind.__name__
