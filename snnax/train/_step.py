"""What a training run carries, and one step of it."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import optax
from jaxtyping import Array, PRNGKeyArray, PyTree

from .._parameter import Fixed, map_modules, project, trainable
from ..snn import StatefulLayer


class TrainState(eqx.Module):
    """All that a training run carries; with the same data, what it does next depends on nothing else.

    - `model`, `opt_state`: the network, and the state of the optimiser.
    - `key`: of the whole run. Each step takes its own, folded from it and the number of the step.
    - `step`: how many steps have been taken; `skipped`: how many of them were left out since they were not finite.
    - `epoch`, `batch`: the position in the data: the next batch is number `batch` of epoch `epoch`.
    """

    model: PyTree
    opt_state: PyTree
    key: PRNGKeyArray
    step: Array
    skipped: Array
    epoch: Array
    batch: Array

    @classmethod
    def start(cls, model: PyTree, optimiser: optax.GradientTransformation, key: PRNGKeyArray) -> "TrainState":
        """The state before the first step.

        **Arguments:** `model`: the network; `optimiser`: from optax, the one that `make_step` gets; `key`: of the run.
        """
        # A step gives its buffers away, which must not be those of the caller.
        model, key = jax.tree.map(lambda leaf: jnp.copy(leaf) if eqx.is_array(leaf) else leaf, (model, key))
        opt_state = optimiser.init(eqx.filter(model, trainable(model)))
        return cls(model, opt_state, key, *(jnp.zeros((), jnp.int32) for _ in range(4)))


class Step(eqx.Module):
    """One step of training, `(state, batch) -> (state, metrics)`; see `make_step`."""

    loss_fn: Callable
    optimiser: optax.GradientTransformation
    parts: int
    dtype: Any
    skip_nonfinite: bool

    def __call__(self, state: TrainState, batch: PyTree) -> tuple[TrainState, dict[str, Array]]:
        """The compiled step. The buffers of `state` are given away: use the state that comes back.

        **Arguments:** `state`; `batch`: a pytree of arrays with the examples along axis 0.

        **Returns:** the next state, and the metrics: `"loss"`, `"gradient_norm"`, and what `loss_fn` gave beside.
        """
        return _compiled(state, batch, self)

    def update(self, state: TrainState, batch: PyTree) -> tuple[TrainState, dict[str, Array]]:
        """The same without compiling: for `jax.vmap`, and inside of larger compiled functions."""
        key = jr.fold_in(state.key, state.step)
        trained, constant = eqx.partition(state.model, trainable(state.model))

        def loss(trained, batch, key):
            model = eqx.combine(trained, constant)
            out = self.loss_fn(model if self.dtype is None else in_precision(model, self.dtype), batch, key)
            value, metrics = out if isinstance(out, tuple) else (out, {})
            _check_loss(value, metrics)
            return value.astype(jnp.float32), metrics

        gradient_fn = jax.value_and_grad(loss, has_aux=True)
        if self.parts == 1:
            (value, metrics), gradient = gradient_fn(trained, batch, key)
        else:
            (value, metrics), gradient = _in_parts(gradient_fn, trained, batch, key, self.parts)
        norm = optax.tree.norm(gradient)
        finite = jnp.isfinite(value) & jnp.isfinite(norm)
        if not self.skip_nonfinite:
            gradient = eqx.error_if(
                gradient,
                ~finite,
                "`snnax.train`: the loss or its gradient is not finite. `snn.diagnose(model, batch)` names the first "
                "layer with a NaN; a smaller learning rate or `optax.clip_by_global_norm` in the optimiser may help; "
                "`make_step(..., skip_nonfinite=True)` leaves such steps out and counts them.",
            )
        with jax.numpy_dtype_promotion("standard"):  # optax relies on it
            updates, opt_state = self.optimiser.update(gradient, state.opt_state, trained)
        new = project(eqx.apply_updates(state.model, updates)), opt_state
        if self.skip_nonfinite:
            arrays, rest = eqx.partition(new, eqx.is_array)
            old = eqx.filter((state.model, state.opt_state), eqx.is_array)
            new = eqx.combine(jax.tree.map(lambda a, b: jnp.where(finite, a, b), arrays, old), rest)
        skipped = state.skipped + (~finite).astype(jnp.int32)
        model, opt_state = new
        state = TrainState(model, opt_state, state.key, state.step + 1, skipped, state.epoch, state.batch)
        return state, {"loss": value, "gradient_norm": norm, **metrics}


@eqx.filter_jit(donate="all-except-first")
def _compiled_with(step_and_batch, state):
    step, batch = step_and_batch
    return step.update(state, batch)


def _compiled(state: TrainState, batch: PyTree, step: Step) -> tuple[TrainState, dict[str, Array]]:
    return _compiled_with((step, batch), state)


def make_step(
    loss_fn: Callable,
    optimiser: optax.GradientTransformation,
    *,
    parts: int = 1,
    dtype: Any = None,
    skip_nonfinite: bool = False,
) -> Step:
    """Makes one step of training: gradient, update by `optimiser`, parameters projected back into their ranges.

        def loss_fn(model, batch, key):
            states = model.init_state((700,))
            keys = jr.split(key, len(batch["labels"]))
            _, outs = jax.vmap(model, in_axes=(None, 0, 0))(states, batch["spikes"], keys)
            scores = outs[-1].mean(1)
            return optax.softmax_cross_entropy_with_integer_labels(scores, batch["labels"]).mean()

        step = train.make_step(loss_fn, optax.chain(optax.clip_by_global_norm(1.0), optax.adam(1e-3)))
        state = train.TrainState.start(model, optimiser, key)
        state, metrics = step(state, batch)

    Clipping, schedules, weight decay and averaging over several calls (`optax.MultiSteps`) are parts of the optimiser.

    **Arguments:**

    - `loss_fn`: `(model, batch, key) -> loss`, or `(loss, metrics)` with a mapping from names to scalars. The loss is a
        mean over the batch.
    - `optimiser`: from optax. It sees the leaves that `snn.trainable` marks.
    - `parts`: takes the batch in so many equal parts, one after the other, and averages their gradients: the same step
        in less memory, for a loss that is a mean over examples. Default 1.
    - `dtype`: computes the layers without state in this dtype, such as `jnp.bfloat16`; the parameters that are trained,
        the neurons and the loss stay float32. Give it inputs of that dtype, or whole numbers. Default: as the model is.
    - `skip_nonfinite`: leaves steps whose loss or gradient is not finite out, and counts them in the state. Default
        `False`: they are refused with an error.

    **Returns:** a `Step`.
    """
    if not callable(loss_fn):
        raise TypeError(f"`snnax.train.make_step`: `loss_fn` must be a function (model, batch, key), got {loss_fn!r}.")
    if not isinstance(optimiser, optax.GradientTransformation):
        raise TypeError(
            f"`snnax.train.make_step`: `optimiser` must be one of optax, such as `optax.adam(1e-3)`, got {optimiser!r}."
        )
    if not isinstance(parts, int) or isinstance(parts, bool) or parts < 1:
        raise ValueError(f"`snnax.train.make_step`: `parts` must be a whole number, 1 or more, got {parts!r}.")
    return Step(loss_fn, optimiser, parts, dtype, skip_nonfinite)


def in_precision(model: PyTree, dtype: Any) -> PyTree:
    """The model with the weights of its layers without state in `dtype`; neurons keep their float32.

    Gradients flow back through the cast, to parameters in their own dtype.
    """

    def cast(module):
        if isinstance(module, (StatefulLayer, Fixed)):
            return module
        own = lambda leaf: leaf.astype(dtype) if eqx.is_inexact_array(leaf) else leaf  # noqa: E731
        return jax.tree.map(own, module, is_leaf=lambda node: node is not module and isinstance(node, eqx.Module))

    return map_modules(cast, model)


def _check_loss(value: Any, metrics: Any) -> None:
    if jnp.shape(value) != () or not isinstance(value, jax.Array) or not jnp.issubdtype(value.dtype, jnp.floating):
        raise TypeError(
            "`snnax.train.make_step`: `loss_fn` must give one floating number, the mean over the batch, and may give "
            f"`(loss, metrics)`; it gave {jax.tree.map(jax.typeof, value)}."
        )
    if not isinstance(metrics, dict) or {"loss", "gradient_norm"} & set(metrics):
        raise TypeError(
            "`snnax.train.make_step`: the metrics of `loss_fn` must be a dict of scalars under names other than "
            f"'loss' and 'gradient_norm', got {metrics}."
        )


def _in_parts(gradient_fn: Callable, trained: PyTree, batch: PyTree, key: PRNGKeyArray, parts: int) -> tuple:
    """The mean of value, metrics and gradient over equal parts of the batch."""
    sizes = {leaf.shape[0] for leaf in jax.tree.leaves(batch)}
    if len(sizes) != 1 or next(iter(sizes)) % parts:
        raise ValueError(
            f"`snnax.train.make_step`: a batch of {sorted(sizes)} examples does not divide into parts={parts}. Choose "
            "a batch size that does."
        )
    split = jax.tree.map(lambda leaf: leaf.reshape(parts, -1, *leaf.shape[1:]), batch)

    def one(total, numbered):
        number, part = numbered
        new = gradient_fn(trained, part, jr.fold_in(key, number))
        return jax.tree.map(jnp.add, total, new), None

    like = jax.eval_shape(lambda: gradient_fn(trained, jax.tree.map(lambda leaf: leaf[0], split), key))
    zeros = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), like)
    total, _ = jax.lax.scan(one, zeros, (jnp.arange(parts), split))
    return jax.tree.map(lambda leaf: leaf / parts, total)
