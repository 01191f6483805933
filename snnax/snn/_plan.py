"""Plans: the order in which the steps of a network are computed. It changes neither values nor gradients."""

import abc

import equinox as eqx
import jax
from jaxtyping import Array, PRNGKeyArray, PyTree

from ._collect import update
from ._node import Composite


class AbstractPlan(eqx.Module):
    """What a plan is: a way to take a container over a sequence."""

    @abc.abstractmethod
    def run(
        self,
        container: Composite,
        states: PyTree,
        xs: Array,
        keys: PRNGKeyArray | None,
        request: PyTree,
        accumulators: list,
    ) -> tuple[PyTree, list, list]:
        """**Arguments:**

        - `container`, `states`: the network and its states before the first step.
        - `xs`: the inputs, `(time, ...)`.
        - `keys`: one for each step, or `None`.
        - `request`, `accumulators`: what to collect, and what the collectors have accumulated so far.

        **Returns:** the last states, the new accumulators, and what the collectors keep of every step.
        """


class StepByStep(AbstractPlan):
    """One `lax.scan` over the whole network: every layer takes a step before any takes the next.

    Nothing but the states is kept from step to step, so inference with `collect=snn.Sum()` needs constant memory. It is
    plain JAX with `custom_jvp` only: the plan for `jvp`, `jacfwd` and every mixture of derivatives.
    """

    def run(
        self,
        container: Composite,
        states: PyTree,
        xs: Array,
        keys: PRNGKeyArray | None,
        request: PyTree,
        accumulators: list,
    ) -> tuple[PyTree, list, list]:
        def step(carry, x_and_key):
            states, accumulators = carry
            x, key = x_and_key
            states, _, emissions = container.advance(states, x, key, request)
            block = jax.tree.map(lambda leaf: leaf[None], emissions)
            accumulators, kept = update(request, accumulators, block)
            return (states, accumulators), jax.tree.map(lambda leaf: leaf[0], kept)

        (states, accumulators), kept = jax.lax.scan(step, (states, accumulators), (xs, keys))
        return states, accumulators, kept


class LayerByLayer(AbstractPlan):
    """Each layer over all time before the next: layers without state run once on all steps, neurons scan alone.

    A matrix product or a convolution over all steps at once is faster than one for each step, most of all on a GPU.
    """

    def run(
        self,
        container: Composite,
        states: PyTree,
        xs: Array,
        keys: PRNGKeyArray | None,
        request: PyTree,
        accumulators: list,
    ) -> tuple[PyTree, list, list]:
        states, _, emissions = container.sweep(states, xs, keys, request)
        accumulators, kept = update(request, accumulators, emissions)
        return states, accumulators, kept
