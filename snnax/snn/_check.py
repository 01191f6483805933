"""A check of the contract that every layer keeps, for layers that users write."""

import io
from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import PRNGKeyArray, PyTree

from .._parameter import trainable
from ._layer import StatefulLayer, name_of
from ._plan import AbstractPlan, LayerByLayer, StepByStep
from ._sequential import Sequential


def check_layer(
    layer: Any,
    in_shape: Sequence[int],
    *,
    steps: int = 8,
    key: PRNGKeyArray | None = None,
    plans: Sequence[AbstractPlan] = (StepByStep(), LayerByLayer()),
) -> None:
    """Checks that a layer keeps the contract of `snn.StatefulLayer`, on random input.

    1. A step keeps the structure, shapes and dtypes of the state.
    2. The output has the dtype of the input, in float32 and bfloat16 (the state keeps its own).
    3. The state matters: the same input twice in a row does not give the same output twice.
    4. Every plan gives the same outputs, states and gradients, with and without a batch.
    5. A stream cut in pieces gives what the whole gives, and so does one step at a time outside `jit`.
    6. What is saved and loaded again acts the same.

    **Arguments:**

    - `layer`: a `snn.StatefulLayer`, a container or an Equinox module without state.
    - `in_shape`: the shape of one input at one time step.
    - `steps`: the length of the sequences, 3 or more. Default 8.
    - `key`: draws the input. Default `jr.key(0)`.
    - `plans`: the plans to compare; the first is the reference.

    **Raises:** `ValueError`, naming the property that does not hold and where it was seen. Returns nothing.
    """
    if steps < 3:
        raise ValueError(f"`snn.check_layer`: `steps` must be 3 or more, got {steps}.")
    owner = f"`snn.check_layer`: {name_of(layer)}"
    key = jr.key(0) if key is None else key
    model = Sequential(layer)
    states = model.init_state(in_shape, key)
    xs = 0.5 + jr.normal(key, (2, steps, *in_shape))
    _check_dtypes(owner, layer, in_shape, key)
    results = [eqx.filter_jit(_everything)(model, states, xs, key, plan) for plan in plans]
    reference = results[0]
    for plan, result in zip(plans[1:], results[1:], strict=True):
        _same(owner, f"under {type(plan).__name__} and under {type(plans[0]).__name__}", result, reference)
    _same(owner, "of a stream in pieces and of the whole", reference["pieces"], reference["first"])
    _same(owner, "of a batch and of one example", jax.tree.map(lambda a: a[0], reference["first"]), reference["alone"])
    if jax.tree.leaves(states.layers) and _equal(reference["first"][1], reference["again"]):
        raise ValueError(f"{owner}: the state does not matter: the same input twice in a row gave the same output twice.")
    state, outs = states, []
    for x in xs[0, :3]:
        state, out = model.step(state, x, key)
        outs.append(out)
    stepped = jax.tree.map(lambda *leaves: jnp.stack(leaves), *outs)
    whole = jax.tree.map(lambda leaf: leaf[:3], reference["alone"][1])
    _same(owner, "of single steps outside `jit` and of the whole inside", stepped, whole)
    file = io.BytesIO()
    eqx.tree_serialise_leaves(file, model)
    file.seek(0)
    loaded = eqx.tree_deserialise_leaves(file, model)
    _same(owner, "of a network that was saved and loaded", loaded.step(states, xs[0, 0], key), model.step(states, xs[0, 0], key))


def _everything(model: Sequential, states: PyTree, xs: PyTree, key: PRNGKeyArray, plan: AbstractPlan) -> dict[str, PyTree]:
    """All that the properties compare, in one compiled function."""
    keys = jr.split(key, xs.shape[0])

    def run(model, states, xs, key):
        return model(states, xs, key, plan=plan)

    first = jax.vmap(run, in_axes=(None, None, 0, 0))(model, states, xs, keys)
    again = jax.vmap(run, in_axes=(None, 0, 0, 0))(model, first[0], xs, keys)
    cut = xs.shape[1] // 3
    middle, head = jax.vmap(run, in_axes=(None, None, 0, 0))(model, states, xs[:, :cut], keys)
    last, tail = jax.vmap(run, in_axes=(None, 0, 0, 0))(model, middle, xs[:, cut:], keys)
    pieces = last, jax.tree.map(lambda a, b: jnp.concatenate([a, b], axis=1), head, tail)
    trained, constant = eqx.partition(model, trainable(model))

    def loss(trained_and_xs):
        trained, xs = trained_and_xs
        _, outs = jax.vmap(run, in_axes=(None, None, 0, 0))(eqx.combine(trained, constant), states, xs, keys)
        leaves = jax.tree.leaves(outs)
        return sum(jnp.sum(jnp.abs(leaf) * _weights(leaf)) for leaf in leaves)

    gradients = jax.grad(loss)((trained, xs))
    alone = run(model, states, xs[0], keys[0])
    return {"first": first, "again": again[1], "pieces": pieces, "gradients": gradients, "alone": alone}


def _weights(leaf):
    """Fixed weights, all different, so that no two gradients can be exchanged unnoticed."""
    return jnp.reshape(jnp.cos(jnp.arange(leaf.size, dtype=leaf.real.dtype)), leaf.shape)


def _check_dtypes(owner: str, layer: Any, in_shape: Sequence[int], key: PRNGKeyArray) -> None:
    if not isinstance(layer, StatefulLayer):
        return
    state = layer.init_state(tuple(in_shape), key)
    for dtype in (jnp.float32, jnp.bfloat16):
        x = jax.ShapeDtypeStruct(tuple(in_shape), dtype)
        _, out = jax.eval_shape(lambda state, x, key: layer(state, x, key=key), state, x, key)
        if out.dtype != dtype:
            raise ValueError(
                f"{owner}: the output must have the dtype of the input, `out.astype(x.dtype)`; for {jnp.dtype(dtype)} it is "
                f"{out.dtype}."
            )


def _equal(a: PyTree, b: PyTree) -> bool:
    return _difference(a, b) is None


def _difference(a: PyTree, b: PyTree) -> str | None:
    leaves_a, _ = jax.tree_util.tree_flatten_with_path(a)
    for (path, x), y in zip(leaves_a, jax.tree.leaves(b), strict=True):
        x, y = np.asarray(x, dtype=complex), np.asarray(y, dtype=complex)
        scale = np.max(np.abs(y), initial=1.0)
        if x.shape != y.shape or not np.allclose(x, y, rtol=1e-4, atol=1e-5 * scale):
            return jax.tree_util.keystr(path)
    return None


def _same(owner: str, what: str, a: PyTree, b: PyTree) -> None:
    where = _difference(a, b)
    if where is not None:
        raise ValueError(f"{owner}: the results {what} differ, at `{where}`.")
