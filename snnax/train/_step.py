"""What a training run carries, and one step of it."""

import functools
import math
from collections.abc import Callable, Mapping
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import optax
from jax.sharding import Mesh
from jaxtyping import Array, PRNGKeyArray, PyTree

from .._parameter import project, trainable
from ..functional._arguments import check_count
from ..snn import in_precision
from ._sharding import examples_in, replicated

Metrics = dict[str, Array]


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
        """The state before the first step, with arrays of its own: those of `model` stay the caller's.

        **Arguments:** `model`: the network; `optimiser`: from optax, the one that `make_step` gets; `key`: of the run.
        """
        opt_state = optimiser.init(eqx.filter(model, trainable(model)))
        # A step gives its buffers away, so none may be the caller's, or stand for two leaves.
        return cls(*jax.tree.map(_own, (model, opt_state, key)), *(jnp.zeros((), jnp.int32) for _ in range(4)))


class Step(eqx.Module):
    """One step of training, `(state, batch) -> (state, metrics)`, made by `train.make_step`.

    It describes `loss_fn`, `optimiser`, `parts`, `dtype` and `skip_nonfinite`; `mesh` are the devices of `train.fit`.
    """

    loss_fn: Callable
    optimiser: optax.GradientTransformation
    parts: int
    dtype: Any
    skip_nonfinite: bool
    mesh: Mesh | None = None

    def __call__(self, state: TrainState, batch: PyTree) -> tuple[TrainState, Metrics]:
        """The compiled step. The buffers of `state` are given away: use the state that comes back.

        **Arguments:** `state`; `batch`: a pytree of arrays with the examples along axis 0.

        **Returns:** the next state, and the metrics: `"loss"`, `"gradient_norm"`, and what `loss_fn` gave beside.

        **Raises:** `FloatingPointError` where loss or gradient are not finite, unless such steps are to be skipped.
        """
        running = Running(self, state)
        metrics = running.take(batch)
        if not self.skip_nonfinite and not is_finite(metrics):
            raise not_finite("snnax.train.Step", metrics)
        return running.state, metrics

    def update(self, state: TrainState, batch: PyTree) -> tuple[TrainState, Metrics]:
        """The same without compiling and without raising: for `jax.vmap`, and inside of larger compiled functions.

        A step whose loss or gradient is not finite changes nothing but the counts `step` and `skipped`.
        """
        key = jr.fold_in(state.key, state.step)
        trained, constant = eqx.partition(state.model, trainable(state.model))

        def loss(trained, batch, key):
            model = eqx.combine(trained, constant)
            out = self.loss_fn(model if self.dtype is None else in_precision(model, self.dtype), batch, key)
            return _checked_loss(*(out if isinstance(out, tuple) and len(out) == 2 else (out, {})))

        gradient_fn = jax.value_and_grad(loss, has_aux=True)
        if self.parts == 1:
            (value, metrics), gradient = gradient_fn(trained, batch, key)
        else:
            (value, metrics), gradient = _in_parts(gradient_fn, trained, batch, key, self.parts)
        # For complex parameters jax gives the conjugate of the direction of ascent.
        gradient = jax.tree.map(jnp.conj, gradient)
        norm = optax.tree.norm(gradient)
        with jax.numpy_dtype_promotion("standard"):  # optax relies on it
            optimiser = optax.with_extra_args_support(self.optimiser)
            updates, opt_state = optimiser.update(gradient, state.opt_state, trained, value=value)
        model = project(eqx.apply_updates(state.model, updates))
        finite = jnp.isfinite(value) & jnp.isfinite(norm)
        new, rest = eqx.partition((model, opt_state), eqx.is_array)
        old = eqx.filter((state.model, state.opt_state), eqx.is_array)
        model, opt_state = eqx.combine(jax.tree.map(functools.partial(jnp.where, finite), new, old), rest)
        skipped = state.skipped + (~finite).astype(jnp.int32)
        new_state = TrainState(model, opt_state, state.key, state.step + 1, skipped, state.epoch, state.batch)
        metrics = {"loss": value, "gradient_norm": norm, **metrics}
        return (new_state, metrics) if self.mesh is None else replicated((new_state, metrics), self.mesh)


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
            keys = jr.split(key, len(batch["label"]))
            _, outs = jax.vmap(model, in_axes=(None, 0, 0))(states, batch["spikes"], keys)
            return jax.vmap(functional.cross_entropy)(outs[-1].mean(1), batch["label"]).mean()

        optimiser = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(1e-3))
        step = train.make_step(loss_fn, optimiser)
        state = train.TrainState.start(model, optimiser, key)
        state, metrics = step(state, batch)

    Clipping, schedules, weight decay and averaging over several calls (`optax.MultiSteps`) are parts of the optimiser.

    **Arguments:**

    - `loss_fn`: `(model, batch, key) -> loss`, or `(loss, metrics)` with a dict from names to numbers. The loss is a
        mean over the batch.
    - `optimiser`: from optax. It sees the leaves that `snn.trainable` marks, and the loss as `value`.
    - `parts`: takes the batch in so many equal parts, one after the other, and averages their gradients: the same step
        in less memory, random numbers aside, for a loss that is a mean over examples. Default 1.
    - `dtype`: computes the layers without state in this dtype, such as `jnp.bfloat16` (see `snn.in_precision`); the
        parameters that are trained and the neurons stay float32. Give it inputs of that dtype, or whole numbers, and
        take the loss of scores in float32. Default: as the model is.
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
    check_count("snnax.train.make_step", "parts", parts, 1)
    if dtype is not None and not jnp.issubdtype(dtype, jnp.floating):
        raise TypeError(
            f"`snnax.train.make_step`: `dtype` must be a floating dtype, such as `jnp.bfloat16`, got {dtype!r}."
        )
    return Step(loss_fn, optimiser, parts, None if dtype is None else jnp.dtype(dtype), skip_nonfinite)


class Running:
    """A state and the compiled step on it, which gives its results before they are computed, as `jax.jit` does.

    `eqx.filter_jit` waits for them, so that a device would have nothing to do while Python prepares the next step. The
    state is taken apart once, and not at every step.
    """

    def __init__(self, step: Step, state: TrainState):
        self._step, self._state = _split(step), _split(state)

    @property
    def state(self) -> TrainState:
        return _joined(*self._state)

    def take(self, batch: PyTree) -> Metrics:
        """One step. The arrays of the state before it are given away."""
        (arrays, constants), (others, rest) = self._state, self._step
        (arrays, new), metrics = _train_step(arrays, others, batch, constants, rest)
        self._state = arrays, new.value
        return metrics


def is_finite(metrics: Mapping[str, Any]) -> bool:
    """Whether a step was taken, and not skipped."""
    return math.isfinite(metrics["loss"]) and math.isfinite(metrics["gradient_norm"])


def not_finite(owner: str, metrics: Mapping[str, Any], where: str = "") -> FloatingPointError:
    """The error for a step that was not finite."""
    return FloatingPointError(
        f"`{owner}`: the loss ({metrics['loss']}) or its gradient (of norm {metrics['gradient_norm']}) is not finite"
        f"{where}. `snn.diagnose(model, inputs)` names the first layer with such values; a smaller learning rate or "
        "`optax.clip_by_global_norm` in the optimiser may help; `make_step(..., skip_nonfinite=True)` leaves such "
        "steps out and counts them."
    )


class _Constants(eqx.Module):
    value: Any = eqx.field(static=True)


@functools.partial(jax.jit, donate_argnums=0, static_argnums=(3, 4))
def _train_step(arrays, others, batch, constants, rest):
    state, metrics = _joined(others, rest).update(_joined(arrays, constants), batch)
    arrays, constants = _split(state)
    return (arrays, _Constants(constants)), metrics


def _split(tree: PyTree) -> tuple[tuple, tuple]:
    """The arrays of a pytree, and the hashable rest."""
    leaves, structure = jax.tree.flatten(tree)
    traced = [isinstance(leaf, (jax.Array, np.ndarray, np.generic)) for leaf in leaves]
    arrays = tuple(leaf if array else None for leaf, array in zip(leaves, traced, strict=True))
    others = tuple(None if array else leaf for leaf, array in zip(leaves, traced, strict=True))
    return arrays, (others, structure)


def _joined(arrays: tuple, rest: tuple) -> PyTree:
    others, structure = rest
    leaves = [other if array is None else array for array, other in zip(arrays, others, strict=True)]
    return jax.tree.unflatten(structure, leaves)


def _own(leaf: Any) -> Any:
    """A copy of an array, strongly typed, since a weak type would be lost with the first update."""
    if not eqx.is_array(leaf):
        return leaf
    return jnp.copy(leaf) if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key) else jnp.array(leaf, leaf.dtype)


def _checked_loss(value: Any, metrics: Any) -> tuple[Array, Metrics]:
    """Loss and metrics as floating scalars, float32 at least."""
    if not isinstance(value, jax.Array) or value.shape != () or not jnp.issubdtype(value.dtype, jnp.floating):
        got = value if not isinstance(value, jax.Array) else f"an array of shape {value.shape} and dtype {value.dtype}"
        raise TypeError(
            "`snnax.train.make_step`: `loss_fn` must give one floating number, the mean over the batch, or such a "
            f"number and a dict of metrics; it gave {got}."
        )
    if not isinstance(metrics, dict) or {"loss", "gradient_norm"} & set(metrics):
        raise TypeError(
            "`snnax.train.make_step`: the metrics of `loss_fn` must be a dict of numbers under names other than "
            f"'loss' and 'gradient_norm', got {metrics}."
        )
    return _wide("loss", value), {name: _wide(name, metric) for name, metric in metrics.items()}


def _wide(name: str, value: Any) -> Array:
    array = jnp.asarray(value)
    if array.shape != () or jnp.issubdtype(array.dtype, jnp.complexfloating):
        raise TypeError(
            f"`snnax.train.make_step`: the metric {name!r} of `loss_fn` must be one real number, the mean over the "
            f"batch, got shape {array.shape} and dtype {array.dtype}."
        )
    wide = np.promote_types(array.dtype, np.float32) if jnp.issubdtype(array.dtype, jnp.floating) else np.float32
    return array.astype(wide)


def _in_parts(gradient_fn: Callable, trained: PyTree, batch: PyTree, key: PRNGKeyArray, parts: int) -> tuple:
    """The mean of value, metrics and gradient over equal parts of the batch."""
    examples = examples_in("snnax.train.make_step", batch)
    if examples % parts:
        raise ValueError(
            f"`snnax.train.make_step`: a batch of {examples} examples does not divide into parts={parts}. Choose a "
            "batch size that does."
        )
    # Every part takes examples from all over the batch, so that each device has its share of each part.
    split = jax.tree.map(lambda leaf: leaf.reshape(-1, parts, *leaf.shape[1:]).swapaxes(0, 1), batch)

    def one(total, numbered):
        number, part = numbered
        new = gradient_fn(trained, part, jr.fold_in(key, number))
        return jax.tree.map(jnp.add, total, new), None

    like = jax.eval_shape(lambda: gradient_fn(trained, jax.tree.map(lambda leaf: leaf[0], split), key))
    zeros = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), like)
    total, _ = jax.lax.scan(one, zeros, (jnp.arange(parts), split))
    return jax.tree.map(lambda leaf: leaf / parts, total)
