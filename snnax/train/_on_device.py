"""Whole epochs inside one compiled function, and populations of runs side by side."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, PyTree

from ..functional._arguments import check_count
from ._sharding import examples_in
from ._step import Step, TrainState


def run_epochs(
    state: TrainState, step: Step, examples: PyTree, *, batch_size: int, epochs: int
) -> tuple[TrainState, dict[str, Array]]:
    """Trains for some epochs with all examples on the device: two nested loops and nothing on the host.

    It is plain JAX: compile it, or map it over a population, as in

        run = eqx.filter_jit(functools.partial(train.run_epochs, batch_size=32, epochs=10))
        state, metrics = run(state, step, examples)

        states = eqx.filter_vmap(lambda key: train.TrainState.start(make_model(key), optimiser, key))(keys)
        run_all = eqx.filter_jit(eqx.filter_vmap(run, in_axes=(eqx.if_array(0), None, None)))
        states, metrics = run_all(states, step, examples)
        print(train.spread(metrics["loss"][:, -1]))

    In epoch `e` the order of the examples is `jr.permutation(jr.fold_in(state.key, 2**32 - 1 - e), n)`, for `n`
    examples.

    **Arguments:**

    - `state`, `step`: as for `fit`.
    - `examples`: a pytree of arrays with the examples along axis 0; whole numbers may stay whole numbers.
    - `batch_size`: examples in a batch. Those that do not fill one are left out, in each epoch others.
    - `epochs`: how many more.

    **Returns:** the last state, and the mean of each metric over the steps of each epoch that were not skipped,
    `(epochs,)`. A step that is not finite raises an error at the end of its epoch, unless `step` skips it.
    """
    total = examples_in("snnax.train.run_epochs", examples)
    check_count("snnax.train.run_epochs", "epochs", epochs, 1)
    check_count("snnax.train.run_epochs", "batch_size", batch_size, 1)
    if batch_size > total:
        raise ValueError(f"`snnax.train.run_epochs`: {total} examples do not fill a batch of {batch_size}.")
    batches = total // batch_size
    examples = jax.tree.map(jnp.asarray, examples)
    carried, constant = eqx.partition(state, eqx.is_array)

    def one_batch(carried, indices):
        batch = jax.tree.map(lambda leaf: leaf[indices], examples)
        new, metrics = step.update(eqx.combine(carried, constant), batch)
        return eqx.filter(new, eqx.is_array), metrics

    def one_epoch(carried, _):
        # The keys of steps are folded from numbers that go up from 0, those of orders from numbers that go down.
        number = jnp.uint32(2**32 - 1) - carried.epoch.astype(jnp.uint32)
        order = jr.permutation(jr.fold_in(carried.key, number), total)
        order = order[: batches * batch_size].reshape(batches, batch_size)
        new, metrics = jax.lax.scan(one_batch, carried, order)
        taken = jnp.isfinite(metrics["loss"]) & jnp.isfinite(metrics["gradient_norm"])
        metrics = {name: jnp.mean(values, axis=0, where=taken) for name, values in metrics.items()}
        skipped = new.skipped
        if not step.skip_nonfinite:
            skipped, metrics = eqx.error_if(
                (skipped, metrics),
                ~jnp.all(taken),
                "`snnax.train.run_epochs`: the loss or its gradient is not finite. A smaller learning rate or "
                "`optax.clip_by_global_norm` in the optimiser may help, and `make_step(..., skip_nonfinite=True)` "
                "leaves such steps out and counts them.",
            )
        return eqx.tree_at(lambda state: (state.epoch, state.skipped), new, (carried.epoch + 1, skipped)), metrics

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
