"""Plans: the order in which the steps of a network are computed. It changes neither values nor gradients."""

import abc
import math
from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, PyTree

from .._kernels import using
from ._collect import update
from ._layer import name_of, unroll
from ._node import Composite, refuse_pieces


class AbstractPlan(eqx.Module):
    """What a plan is: a way to take a container over a sequence."""

    @abc.abstractmethod
    def run(
        self,
        container: Composite,
        states: PyTree,
        xs: PyTree,
        keys: Array | None,
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
    plain JAX: the plan for `jvp`, `jacfwd` and every mixture of derivatives.
    """

    def run(
        self,
        container: Composite,
        states: PyTree,
        xs: PyTree,
        keys: Array | None,
        request: PyTree,
        accumulators: list,
    ) -> tuple[PyTree, list, list]:
        refuse_pieces(name_of(container), "`snn.StepByStep`", container)

        def step(carry, x_and_key):
            states, accumulators = carry
            x, key = x_and_key
            states, _, emissions = container.advance(states, x, key, request)
            block = jax.tree.map(lambda leaf: leaf[None], emissions)
            accumulators, kept = update(request, accumulators, block)
            return (states, accumulators), jax.tree.map(lambda leaf: leaf[0], kept)

        (states, accumulators), kept = jax.lax.scan(step, (states, accumulators), (xs, keys), unroll=unroll())
        return states, accumulators, kept


class LayerByLayer(AbstractPlan):
    """Each layer over all time before the next: layers without state run once on all steps, neurons scan alone.

    A matrix product or a convolution over all steps at once is faster than one for each step, most of all on a GPU. On
    a CPU the kernels that `snnax.kernels()` lists take part; `snn.LayerByLayer(kernels=False)` leaves them out.
    """

    kernels: bool = eqx.field(static=True, default=True)

    def run(
        self,
        container: Composite,
        states: PyTree,
        xs: PyTree,
        keys: Array | None,
        request: PyTree,
        accumulators: list,
    ) -> tuple[PyTree, list, list]:
        with using(self.kernels):
            states, _, emissions = container.sweep(states, xs, keys, request)
        accumulators, kept = update(request, accumulators, emissions)
        return states, accumulators, kept


class Chunked(AbstractPlan):
    r"""Chunks of steps one after the other, layer by layer inside each; the backward pass computes each chunk again.

    Between chunks nothing is kept but the states, so a training step needs memory for $T/n$ states and one chunk in
    place of $T$ steps: $O(\sqrt T)$ for $n \approx \sqrt T$. Pair it with `collect=` so that no whole trains are kept
    either.

    `snn.Chunked()` takes chunks of about $\sqrt T$ steps: of the number within a factor of 2 of it that divides $T$ and
    is nearest, so that all chunks are alike and compiled once. `snn.Chunked(n)` takes `n` steps; the last chunk may be
    shorter. `kernels` is that of `snn.LayerByLayer`.

    Source: T. Chen et al. 2016, arXiv:1604.06174; A. Griewank and A. Walther 2000, doi:10.1145/347837.347846.
    """

    steps: int | None = eqx.field(static=True, default=None)
    kernels: bool = eqx.field(static=True, default=True, kw_only=True)

    def __check_init__(self):
        n = self.steps
        if n is not None and (not isinstance(n, int) or isinstance(n, bool) or n < 1):
            raise ValueError(f"`snn.Chunked`: the number of steps in a chunk must be 1 or more (None: √T), got {n!r}.")

    def run(
        self,
        container: Composite,
        states: PyTree,
        xs: PyTree,
        keys: Array | None,
        request: PyTree,
        accumulators: list,
    ) -> tuple[PyTree, list, list]:
        total = jax.tree.leaves(xs)[0].shape[0]
        n = self.steps or near_square_root(total)
        refuse_pieces(name_of(container), "`snn.Chunked`", container)
        dynamic, static = eqx.partition(container, eqx.is_array)

        @eqx.filter_checkpoint(prevent_cse=False)
        def chunk(dynamic, carry, get):
            xs, keys = get()
            states, accumulators, kept = LayerByLayer(self.kernels).run(
                eqx.combine(dynamic, static), carry[0], xs, keys, request, carry[1]
            )
            return (states, accumulators), kept

        (states, accumulators), kept = over_blocks(
            lambda carry, get: chunk(dynamic, carry, get), (states, accumulators), (xs, keys), n
        )
        return states, accumulators, kept


def near_square_root(total: int) -> int:
    """The divisor of `total` nearest to its square root, if one is within a factor of 2; else the root, rounded."""
    root = math.sqrt(total)
    divisors = [n for n in range(math.ceil(root / 2), math.floor(2 * root) + 1) if total % n == 0]
    return min(divisors, key=lambda n: abs(math.log(n / root)), default=round(root))


def over_blocks(body: Callable, carry: PyTree, xs: PyTree, n: int) -> tuple[PyTree, PyTree]:
    """A scan over blocks of `n` steps, the last of which may be shorter.

    **Arguments:** `body(carry, get) -> (carry, kept)`; `get()` is the block, and `kept` has its steps as axis 0.

    **Returns:** the last carry, and what was kept of all steps.
    """
    total = jax.tree.leaves(xs)[0].shape[0]
    whole = total // n
    pieces = []

    def block(start, steps):
        return jax.tree.map(lambda a: jax.lax.dynamic_slice_in_dim(a, start, steps), xs)

    if whole:
        # Blocks are sliced in the loop, for a scan over them would first bring the time of a batch to the front.
        carry, kept = jax.lax.scan(
            lambda carry, number: body(carry, lambda: block(number * n, n)), carry, jnp.arange(whole)
        )
        pieces.append(jax.tree.map(lambda a: a.reshape(whole * n, *a.shape[2:]), kept))
    if total > whole * n:
        carry, kept = body(carry, lambda: block(whole * n, total - whole * n))
        pieces.append(kept)
    return carry, pieces[0] if len(pieces) == 1 else jax.tree.map(lambda *leaves: jnp.concatenate(leaves), *pieces)


def truncated(
    plan: AbstractPlan,
    n: int,
    container: Composite,
    states: PyTree,
    xs: PyTree,
    keys: Array | None,
    request: PyTree,
    accumulators: list,
) -> tuple[PyTree, list, list]:
    """`plan.run` with gradients that stop at the states every `n` steps."""

    refuse_pieces(name_of(container), f"`truncate={n}`", container)

    def segment(carry, get):
        states, accumulators, first = carry
        xs, keys = get()
        states = jax.tree.map(lambda a: jnp.where(first, a, jax.lax.stop_gradient(a)), states)
        states, accumulators, kept = plan.run(container, states, xs, keys, request, accumulators)
        return (states, accumulators, jnp.array(False)), kept

    carry = states, accumulators, jnp.array(True)
    (states, accumulators, _), kept = over_blocks(segment, carry, (xs, keys), n)
    return states, accumulators, kept
