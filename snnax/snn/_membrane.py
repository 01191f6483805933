"""The membrane of spiking neurons as it would be if they never fired."""

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, PyTree

from ._node import Nest
from ._record import AbstractObserver, pooled
from ._spiking import SpikingLayer


def silenced(layer: SpikingLayer) -> SpikingLayer:
    """`layer` with a threshold that no potential reaches: nothing is reset, nothing rests."""
    return eqx.tree_at(lambda neurons: neurons.threshold, layer, 1e30)


def potential_of(layer: SpikingLayer, state: PyTree) -> Array:
    """The potential in a state of `layer`, its `v`."""
    v = state.get("v") if isinstance(state, dict) else getattr(state, "v", None)
    if not eqx.is_inexact_array(v) or jnp.iscomplexobj(v):
        raise ValueError(
            f"`{type(layer).__name__}` has no real potential `v` in its state, by which its weights could be set. "
            "`snn.calibrate` sets them by its rate."
        )
    return jnp.asarray(v)


class FreeMembrane(AbstractObserver):
    """The number, mean and sum of squares of the potentials of neurons that never fire, given what the layer is given.

    The layer itself goes on as it is.
    """

    def init(self, layer: SpikingLayer, state: PyTree, out_shape: tuple[int, ...]) -> PyTree:
        potential_of(layer, state)
        return state, (jnp.zeros(()), jnp.zeros(()), jnp.zeros(()))

    def update(
        self, values: PyTree, layer: SpikingLayer, xs: Array, outs: Array, state: PyTree, keys: Array | None
    ) -> PyTree:
        twin = silenced(layer)

        def step(values, x_and_key):
            state, moments = values
            x, key = x_and_key
            state, _ = twin(state, x, key=key)
            v = potential_of(twin, state).astype(moments[1].dtype)
            mean = jnp.mean(v)
            block = jnp.full_like(mean, v.size), mean, jnp.sum(jnp.square(v - mean))
            return (state, pooled(moments, block)), None

        return jax.lax.scan(step, values, (xs, keys))[0]


def kernel_of(name: str, layer: SpikingLayer) -> tuple[float, float, float]:
    r"""The potential without input, and the sums over time of the response to an input of 1 in one step, $\sum_t
    \epsilon_t$ and $\sum_t \epsilon_t^2$; means over neurons that differ.
    """
    if isinstance(layer, Nest):
        raise ValueError(f"the neurons '{name}' have weights of their own. `snn.initialise` draws them by a rule.")
    twin = silenced(layer)
    in_shape = np.broadcast_shapes(*(leaf.shape for leaf in jax.tree.leaves(twin) if eqx.is_array(leaf)))
    start = twin.init_state(in_shape, jr.key(0))
    potential_of(twin, start)
    impulses = jnp.array([1.0, 0.5, 0.0]).reshape(3, *(1,) * len(in_shape)) * jnp.ones(in_shape)
    nothing = jnp.zeros(in_shape)
    response = _Response(nothing, nothing, nothing, nothing, nothing, jnp.array(True))
    carry = jax.tree.map(lambda a: jnp.stack([a] * 3), start), response
    for first in (True, *[False] * 19):
        carry = _go_on(twin, carry, impulses if first else 0 * impulses)
        response = carry[1]
        if not bool(response.linear & jnp.all(response.largest < 1e15)):
            break
        if bool(jnp.all(jnp.abs(response.last) <= 1e-6 * response.largest)):
            return float(jnp.mean(response.rest)), float(jnp.mean(response.total)), float(jnp.mean(response.square))
    raise ValueError(
        f"the response of the neurons '{name}' to an impulse does not fade, or is not proportional to it, so their "
        "fluctuations cannot be told. `snn.calibrate` sets their weights by their rate."
    )


class _Response(eqx.Module):
    """The sums over time of a response and of its square, its largest and its last value, the potential without an
    impulse, and whether the response to one of half the size has been half as large.
    """

    total: Array
    square: Array
    largest: Array
    last: Array
    rest: Array
    linear: Array


@eqx.filter_jit
def _go_on(twin: SpikingLayer, carry: tuple[PyTree, _Response], impulses: Array) -> tuple[PyTree, _Response]:
    """Some more steps of three copies of the neurons, with the impulses in the first of them."""

    def step(carry, x):
        states, before = carry
        states, _ = jax.vmap(lambda state, x: twin(state, x))(states, x)
        v = jax.vmap(lambda state: potential_of(twin, state))(states).astype(before.total.dtype)
        whole, half = v[0] - v[2], v[1] - v[2]
        largest = jnp.maximum(before.largest, jnp.abs(whole))
        linear = before.linear & jnp.all(jnp.abs(whole - 2 * half) <= 1e-3 * largest)
        total, square = before.total + whole, before.square + jnp.square(whole)
        return (states, _Response(total, square, largest, whole, v[2], linear)), None

    return jax.lax.scan(step, carry, jnp.zeros((1000, *impulses.shape)).at[0].set(impulses))[0]
