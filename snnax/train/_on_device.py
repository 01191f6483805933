"""Whole epochs in one compiled function, with the data on the device; and populations of runs side by side."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, PyTree

from ._step import Step, TrainState


def run_epochs(
    state: TrainState, step: Step, examples: PyTree, *, batch_size: int, epochs: int
) -> tuple[TrainState, dict[str, Array]]:
    """Trains for some epochs with all examples on the device: two nested loops and nothing on the host.

    It is plain JAX: compile it, or map it over a population, as in

        run = eqx.filter_jit(lambda state: train.run_epochs(state, step, examples, batch_size=32, epochs=10))
        state, metrics = run(state)
        states = eqx.filter_vmap(lambda key: train.TrainState.start(make_model(key), optimiser, key))(keys)
        states, metrics = eqx.filter_jit(eqx.filter_vmap(run))(states)      # all keys at once
        print(train.spread(metrics["loss"][:, -1]))

    **Arguments:**

    - `state`, `step`: as for `fit`. The order of an epoch is drawn from the state's key and the number of the epoch.
    - `examples`: a pytree of arrays with the examples along axis 0; whole numbers may stay whole numbers.
    - `batch_size`: examples in a batch. Those that do not fill one are left out, in each epoch others.
    - `epochs`: how many more.

    **Returns:** the last state, and the mean of each metric over each epoch, `(epochs,)`.
    """
    sizes = {leaf.shape[0] for leaf in jax.tree.leaves(examples)}
    if len(sizes) != 1 or not 0 < batch_size <= max(sizes):
        raise ValueError(
            f"`snnax.train.run_epochs`: all arrays must have one length along axis 0, which holds a batch of "
            f"{batch_size}; got the lengths {sorted(sizes)}."
        )
    total = sizes.pop()
    batches = total // batch_size
    carried, constant = eqx.partition(state, eqx.is_array)

    def one_batch(carried, indices):
        batch = jax.tree.map(lambda leaf: leaf[indices], examples)
        new, metrics = step.update(eqx.combine(carried, constant), batch)
        return eqx.filter(new, eqx.is_array), metrics

    def one_epoch(carried, _):
        # The keys of steps are folded from their numbers, those of orders from numbers below zero.
        key = jr.fold_in(carried.key, -1 - carried.epoch)
        order = jr.permutation(key, total)[: batches * batch_size].reshape(batches, batch_size)
        carried, metrics = jax.lax.scan(one_batch, carried, order)
        carried = eqx.tree_at(lambda state: state.epoch, carried, carried.epoch + 1)
        return carried, jax.tree.map(lambda values: jnp.mean(values, axis=0), metrics)

    carried, metrics = jax.lax.scan(one_epoch, carried, None, length=epochs)
    return eqx.combine(carried, constant), metrics


def spread(values: Array) -> dict[str, Any]:
    """The mean, the standard deviation (of a sample, for more than one), the least and the greatest along axis 0.

    **Arguments:** `values`: results of the members of a population, `(members, ...)`.
    """
    return {
        "mean": jnp.mean(values, axis=0),
        "std": jnp.std(values, axis=0, ddof=1 if values.shape[0] > 1 else 0),
        "min": jnp.min(values, axis=0),
        "max": jnp.max(values, axis=0),
    }
