"""Distances between spike trains, neuron by neuron."""

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.typing import ArrayLike
from jaxtyping import Array

from .._parameter import DECAY, Interval, acting, as_parameter
from ._arguments import as_trains, check_same_shape, floating, wide


def van_rossum(train_a: ArrayLike, train_b: ArrayLike, decay: ArrayLike) -> Array:
    r"""The van Rossum distance: that of the two trains after an exponential filter.

    $$f_t = \alpha f_{t-1} + a_t - b_t, \qquad
    D^2 = \frac{1 - \alpha^2}{2} \sum_{t=0}^{\infty} f_t^2 = \frac{1}{\tau} \int_0^\infty f(t)^2\, dt$$

    with $\alpha = e^{-dt/\tau}$: the integral over continuous time, after the last step too. So $D^2$ is 1/2 for one
    spike that the other train lacks, and $1 - \alpha^k$ for two spikes $k$ steps apart. With a decay of 0 it counts the
    steps in which the trains differ, with 1 it compares their numbers of spikes.

    As a loss take its square, which is smooth. The gradient of the distance counts as 0 where the trains are equal.

    Source: M. C. W. van Rossum 2001, doi:10.1162/089976601300014321.

    **Arguments:** `train_a`, `train_b`: `(time, ...)`, of the same shape. `decay`: $\alpha$ per step, in [0, 1]:
    `snn.decay(tau, dt)`.

    **Returns:** one distance for each neuron, `(...)`, in the dtype of the trains, computed in float32 at least.
    """
    owner = "functional.van_rossum"
    train_a, train_b = as_trains(owner, "train_a", train_a), as_trains(owner, "train_b", train_b)
    check_same_shape(owner, ("train_a", "train_b"), train_a, train_b)
    a, b = wide(train_a, train_b)
    alpha = acting(as_parameter(owner, "decay", decay, DECAY), a.dtype, DECAY)

    def step(carry, difference):
        f, total = carry
        f = alpha * f + difference
        return (f, total + f**2), None

    start = jnp.zeros_like(a[0])
    (last, total), _ = jax.lax.scan(step, (start, start), a - b)
    # What follows the last step: the sum of a geometric series, which is 1 / (1 - alpha^2) of its first term.
    square = ((1 - alpha**2) * total + (alpha * last) ** 2) / 2
    apart = square > 0
    distance = jnp.where(apart, jnp.sqrt(jnp.where(apart, square, 1)), 0)
    return distance.astype(floating(train_a, train_b))


def victor_purpura(train_a: ArrayLike, train_b: ArrayLike, cost: ArrayLike) -> Array:
    r"""The Victor–Purpura distance: the least cost of turning one train into the other.

    To remove or insert a spike costs 1, to move one by $k$ steps costs $q k$. Computed exactly, by

    $$G_{ij} = \min(G_{i-1,j} + a_i,\; G_{i,j-1} + b_j,\; G_{i-1,j-1} + q |i - j| \text{ if } a_i = b_j = 1)$$

    With a cost of 0 it is the difference of the numbers of spikes; from a cost of 2 on, spikes match only where they
    coincide. It has no gradient with respect to the trains: `functional.van_rossum` has one.

    Source: J. D. Victor and K. P. Purpura 1996, doi:10.1152/jn.1996.76.2.1310.

    **Arguments:** `train_a`, `train_b`: `(time, ...)`, of the same shape, 0 or 1 in every step. Under `jit` all that is
    not 0 is one spike. `cost`: $q$ per step, 0 or more; a cost per second times the time step in seconds.

    **Returns:** one distance for each neuron, `(...)`, in float32, in `time * time` operations each.
    """
    owner = "functional.victor_purpura"
    trains = []
    for name, train in (("train_a", train_a), ("train_b", train_b)):
        trains.append(as_trains(owner, name, train))
        known = np.zeros(1) if isinstance(train, Tracer) else np.asarray(train, np.float32)
        if not np.isin(known, (0, 1)).all():
            raise ValueError(
                f"`{owner}`: `{name}` must hold 0 or 1 in every step, got values from {known.min()} to {known.max()}. "
                "Take shorter steps, in which a neuron fires once at most."
            )
    check_same_shape(owner, ("train_a", "train_b"), *trains)
    q = acting(as_parameter(owner, "cost", cost, Interval(0.0)), jnp.float32)
    a, b = (train.reshape(train.shape[0], -1).astype(bool) for train in trains)
    distances = jax.vmap(_least_cost, in_axes=(1, 1, None))(a, b, q)
    return distances.reshape(trains[0].shape[1:])


def _least_cost(a: Array, b: Array, q: Array) -> Array:
    steps = jnp.arange(a.shape[0])
    inserted = jnp.pad(jnp.cumsum(b.astype(jnp.float32)), (1, 0))

    def row(costs, spike_and_step):
        spike, step = spike_and_step
        removed = costs + spike.astype(jnp.float32)
        lag = jnp.abs(steps - step)
        moved = costs[:-1] + jnp.where(lag == 0, 0, q * lag.astype(jnp.float32))
        removed = removed.at[1:].min(jnp.where(spike & b, moved, jnp.inf))
        # Insertions run along the row: the least of all entries to the left, each with the spikes in between.
        return inserted + jax.lax.cummin(removed - inserted), None

    costs, _ = jax.lax.scan(row, inserted, (a, steps))
    return costs[-1]
