"""A check of the contract that every layer keeps, for layers that users write."""

import functools
import io
from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, PRNGKeyArray, PyTree

from .._parameter import trainable
from ._container import States
from ._layer import StatefulLayer, name_of
from ._node import whole_sequences
from ._plan import AbstractPlan, Chunked, LayerByLayer, StepByStep
from ._precision import in_precision
from ._sequential import Sequential


def check_layer(
    layer: Any,
    in_shape: Sequence[int],
    *,
    steps: int = 8,
    key: PRNGKeyArray | None = None,
    plans: Sequence[AbstractPlan] = (StepByStep(), LayerByLayer(), Chunked(3)),
) -> None:
    """Checks that a layer keeps the contract of `snn.StatefulLayer`, on random input.

    1. A step keeps the structure, shapes and dtypes of the state.
    2. The output has the dtype of input and weights, in float32 and bfloat16 (the state keeps its own).
    3. The state matters: the same input with the same key gives another output after the sequence than before it.
    4. Every plan gives the same outputs, states and gradients, with and without a batch.
    5. A stream cut in pieces gives what the whole gives, and so does one step at a time outside `jit`.
    6. What is saved and loaded again acts the same.

    A layer that needs a whole sequence is run by `snn.LayerByLayer()` alone, and not in pieces; `steps` must be a
    length that it takes.

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
    keys = jr.split(key, 2)
    in_pieces = not whole_sequences(layer)
    plans, cuts = (plans, (steps // 2,)) if in_pieces else ([LayerByLayer()], ())
    everything = eqx.filter_jit(_everything)
    results = [everything(model, states, xs, keys, plan, cuts) for plan in plans]
    reference = results[0]
    for plan, result in zip(plans[1:], results[1:], strict=True):
        _same(owner, f"under {type(plan).__name__} and under {type(plans[0]).__name__}", result, reference)
    first = jax.tree.map(lambda a: a[0], reference["pieces"])
    _same(owner, "of a batch of streams in pieces and of one whole", first, reference["whole"])
    if _own(states) and not any(np.any(np.asarray(g)) for g in jax.tree.leaves(reference["gradients"][2])):
        before, after = (model(start, xs[0], keys[1], plan=plans[0])[1] for start in (states, reference["whole"][0]))
        if _difference(before, after) is None:
            raise ValueError(
                f"{owner}: the state does not matter: the same input with the same key gave the same output after the "
                "sequence as before it."
            )
    if in_pieces:
        state, outs = states, []
        for x in xs[0, :3]:
            state, out = model.step(state, x, keys[0])
            outs.append(out)
        stepped = jax.tree.map(lambda *leaves: jnp.stack(leaves), *outs)
        whole = jax.tree.map(lambda leaf: leaf[:3], reference["whole"][1])
        _same(owner, "of single steps outside `jit` and of the whole inside", stepped, whole)
    file = io.BytesIO()
    eqx.tree_serialise_leaves(file, model)
    file.seek(0)
    loaded = eqx.tree_deserialise_leaves(file, model)

    def run(model):
        return model.step(states, xs[0, 0], keys[0]) if in_pieces else model(states, xs[0], keys[0])

    _same(owner, "of a network that was saved and loaded", run(loaded), run(model))


def _everything(
    model: Sequential, states: PyTree, xs: PyTree, keys: Array, plan: AbstractPlan, cuts: tuple[int, ...]
) -> dict[str, PyTree]:
    """All that the properties compare, in one compiled function."""

    def run(model, states, xs, key):
        return model(states, xs, key, plan=plan)

    # Under `jit`, so that pieces of one length are traced once.
    over_batch = eqx.filter_jit(jax.vmap(run, in_axes=(None, 0, 0, 0)))
    batch = jax.tree.map(lambda leaf: jnp.stack([leaf] * xs.shape[0]), states)
    parts = []
    for part in jnp.split(xs, cuts, axis=1):
        batch, outs = over_batch(model, batch, part, keys)
        parts.append(outs)
    pieces = batch, jax.tree.map(lambda *leaves: jnp.concatenate(leaves, axis=1), *parts)
    trained, constant = eqx.partition(model, trainable(model))
    differentiable, rest = eqx.partition(states, eqx.is_inexact_array)

    def loss(trained, xs, differentiable):
        final, outs = run(eqx.combine(trained, constant), eqx.combine(differentiable, rest), xs, keys[0])
        return sum(jnp.sum(jnp.real(leaf) * _weights(leaf)) for leaf in jax.tree.leaves(outs)), (final, outs)

    gradients, whole = jax.grad(loss, argnums=(0, 1, 2), has_aux=True)(trained, xs[0], differentiable)
    return {"whole": whole, "pieces": pieces, "gradients": gradients}


def _own(states: PyTree) -> list:
    """The arrays that layers keep, without the counters of containers."""
    leaves = jax.tree.leaves(states, is_leaf=lambda node: isinstance(node, States))
    return [a for leaf in leaves for a in (_own((leaf.layers, leaf.delayed)) if isinstance(leaf, States) else [leaf])]


def _weights(leaf):
    """Fixed weights, all different, so that no two gradients can be exchanged unnoticed."""
    return jnp.reshape(jnp.cos(jnp.arange(leaf.size, dtype=leaf.real.dtype)), leaf.shape)


def _check_dtypes(owner: str, layer: Any, in_shape: Sequence[int], key: PRNGKeyArray) -> None:
    if not isinstance(layer, StatefulLayer):
        return
    for dtype in (jnp.float32, jnp.bfloat16):
        cast = in_precision(layer, dtype)
        state = cast.init_state(tuple(in_shape), key)
        x = jax.ShapeDtypeStruct(tuple(in_shape), dtype)
        _, out = jax.eval_shape(functools.partial(_step_of, cast), state, x, key)
        if out.dtype != dtype:
            raise ValueError(
                f"{owner}: the output must have the dtype of the input, `out.astype(x.dtype)`; for {jnp.dtype(dtype)} "
                f"it is {out.dtype}."
            )


def _step_of(layer: StatefulLayer, state: PyTree, x: Array, key: PRNGKeyArray) -> tuple[PyTree, Array]:
    return layer(state, x, key=key)


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
