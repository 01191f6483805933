"""Weights scaled by what a batch of data makes of them: to a rate, or to the moments of the membrane."""

import math
from collections.abc import Callable, Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PRNGKeyArray, PyTree

from ._feeds import Feed, bias_of, feeds_of, scaled, shifted
from ._membrane import FreeMembrane
from ._record import AbstractObserver, Path, as_batch, find, is_silent, observe, replaced, written

_ROUNDS = 8
"""How often the layers of a network are gone through; more than once is needed where later ones feed back."""


class _Rate(AbstractObserver):
    """The sum over time of the share of neurons that fire, and the number of steps."""

    def init(self, layer: Any, state: PyTree, out_shape: tuple[int, ...]) -> PyTree:
        return jnp.zeros(()), jnp.zeros(())

    def update(self, values: PyTree, layer: Any, xs: Array, outs: Array, state: PyTree, keys: Array | None) -> PyTree:
        total, steps = values
        return total + jnp.sum(outs != 0) / outs[0].size, steps + outs.shape[0]


def calibrate(
    model: Any,
    batch: PyTree,
    rate: float | Mapping[str | int, float],
    key: PRNGKeyArray | None = None,
    *,
    tolerance: float = 0.05,
) -> Any:
    """Scales the weights in front of each spiking layer until it fires at a chosen rate.

        model = snn.calibrate(model, spikes, 0.1)               # every layer fires in 10 % of the steps

    Layer by layer, in the order of computation: the weights and biases in front of its neurons (of the last layer with
    weights before them, which may be a normalisation) are multiplied by one factor, found by bisection on real runs of
    the whole network. The synapse of a `snn.Recurrent` and other ways back are not scaled.

    **Arguments:**

    - `model`: a network of any shape. Neurons without weights of their own in front stay as they are.
    - `batch`: inputs of shape `(batch, time, *in_shape)`, or a mapping of them for a graph of several inputs.
    - `rate`: the share of neurons and steps with a spike, in (0, 1): one for all layers, or a mapping from the layers'
        names, as `snn.summary` writes them, to rates; layers that are not in it stay as they are.
    - `key`: where layers draw random numbers.
    - `tolerance`: by how much a rate may differ, as a share of it. Default 0.05.

    **Returns:** the model with scaled weights. Not to be called inside `jit`.

    **Raises:** `ValueError`, by name, for layers that cannot be made to fire at their rate by any factor.
    """
    owner = "snn.calibrate"
    batch = _as_driving(owner, model, batch)
    feeds = _fed(owner, model)
    targets = _targets(owner, feeds, rate)
    observers = {feed.neurons: _Rate() for feed, _ in targets}

    def rates(model):
        records = observe(model, observers, batch, key)
        return {path: float(jnp.sum(r.values[0]) / jnp.sum(r.values[1])) for path, r in records.items()}

    def fits(feed, target, found):
        return abs(found[feed.neurons] - target) <= tolerance * target

    found = rates(model)
    for _ in range(_ROUNDS):
        for feed, target in targets:
            if not fits(feed, target, found):
                model, found = _search(owner, model, feed, target, tolerance, rates, found)
        if all(fits(feed, target, found) for feed, target in targets):
            return model
    missed = ", ".join(
        f"'{written(feed.neurons)}' at {found[feed.neurons]:.3g} in place of {target:g}"
        for feed, target in targets
        if not fits(feed, target, found)
    )
    raise ValueError(f"`{owner}`: the layers feed back to each other and do not settle: {missed}.")


def _search(
    owner: str, model: Any, feed: Feed, target: float, tolerance: float, rates: Callable, found: dict[Path, float]
) -> tuple[Any, dict[Path, float]]:
    """The model in which one layer fires at its rate, and the rates of all its layers."""
    seen = {1.0: found[feed.neurons]}
    low, high, factor = 0.0, math.inf, 1.0
    while 2.0**-30 < factor < 2.0**30 and (high == math.inf or high - low > 1e-6 * high):
        if seen[factor] < target:
            low = factor
        else:
            high = factor
        factor = 2 * low if high == math.inf else high / 2 if low == 0.0 else math.sqrt(low * high)
        trial = _scaled_by(model, feed, factor)
        found = rates(trial)
        seen[factor] = found[feed.neurons]
        if abs(seen[factor] - target) <= tolerance * target:
            return trial, found
    nearest = min(seen.values(), key=lambda one: abs(one - target))
    raise ValueError(
        f"`{owner}`: the neurons '{written(feed.neurons)}' cannot be made to fire at {target:g} by scaling "
        f"{_names(feed)}: the nearest that was reached is {nearest:.3g}, of rates from {min(seen.values()):.3g} to "
        f"{max(seen.values()):.3g}. Are they driven at all (`snn.diagnose`), and are there enough steps and examples "
        "for such a rate?"
    )


def lsuv(
    model: Any,
    batch: PyTree,
    key: PRNGKeyArray | None = None,
    *,
    mean: float | None = 0.0,
    variance: float = 1.0,
    tolerance: float = 0.05,
) -> Any:
    r"""Layer-sequential unit variance, of the membrane: scales weights and shifts biases until the potentials of each
    spiking layer have the mean and the variance that are wanted.

        model = snn.initialise(model, jax.nn.initializers.orthogonal(), k1, bias=jax.nn.initializers.zeros)
        model = snn.lsuv(model, spikes, k2)

    The potentials are those that the neurons would have on this input if they never fired; those in front of them fire
    as they do. Then weights act on them linearly, and $\xi = (\theta - \mu)/\sigma$ is how far the threshold is from
    them. Layer by layer, in the order of computation, weights and biases are multiplied by
    $\sqrt{\text{variance}/\sigma^2}$ and biases shifted against $\mu$, all by as much, again until both fit. Orthogonal
    weights and no biases at first are a part of the method.

    Source: D. Mishkin and J. Matas 2016, arXiv:1511.06422; on membranes, the original SNNAX.

    **Arguments:**

    - `model`: a network of any shape. Neurons without weights of their own in front stay as they are.
    - `batch`: inputs of shape `(batch, time, *in_shape)`, or a mapping of them for a graph of several inputs.
    - `key`: where layers draw random numbers.
    - `mean`: $\mu$, over neurons, steps and examples; `None`: any, for layers without bias. Default 0.
    - `variance`: $\sigma^2 > 0$, likewise. Default 1.
    - `tolerance`: by how much $\sigma^2$ may differ, as a share of the wanted one, and $\mu$, as a share of the wanted
        standard deviation. Default 0.05.

    **Returns:** the model with other weights and biases. Not to be called inside `jit`.

    **Raises:** `ValueError`, by name, for layers that do not get there.
    """
    owner = "snn.lsuv"
    if not variance > 0:
        raise ValueError(f"`{owner}`: `variance` must be above 0, got {variance}.")
    batch = _as_driving(owner, model, batch)
    feeds = _fed(owner, model)
    observers = {feed.neurons: FreeMembrane() for feed in feeds}

    def moments(model):
        records = observe(model, observers, batch, key)
        return {path: _mean_and_variance(record.values[1]) for path, record in records.items()}

    found = moments(model)
    for _ in range(_ROUNDS):
        for feed in feeds:
            model, found = _fit(owner, model, feed, mean, variance, tolerance, moments, found)
        if all(_fitting(found[feed.neurons], mean, variance, tolerance) for feed in feeds):
            return model
    raise ValueError(f"`{owner}`: the layers feed back to each other and do not settle.")


def _fit(owner, model, feed, mean, variance, tolerance, moments, found):
    """The model in which the potentials of one layer have the wanted moments, and the moments of all its layers."""
    biased = [one for one in feed.weights if bias_of(find(model, one.path)) is not None]
    response = 1.0
    for _ in range(40):
        now = found[feed.neurons]
        if not all(map(math.isfinite, now)) or now[1] == 0.0:
            break
        if _fitting(now, mean, variance, tolerance):
            return model, found
        model = _scaled_by(model, feed, math.sqrt(variance / now[1]))
        found = moments(model)
        if mean is None or not biased:
            continue
        before = found[feed.neurons][0]
        shift = (mean - before) / response
        path = biased[0].path
        model = replaced(model, {path: shifted(find(model, path), shift)})
        found = moments(model)
        # How much the mean follows the bias: the sum of the neurons' response to an impulse, over the sequence.
        if shift != 0 and (found[feed.neurons][0] - before) / shift > 0:
            response = (found[feed.neurons][0] - before) / shift
    reached = f"a mean of {found[feed.neurons][0]:.3g} and a variance of {found[feed.neurons][1]:.3g}"
    wanted = f"{'any mean' if mean is None else f'a mean of {mean:g}'} and a variance of {variance:g}"
    hint = " There is no bias in front of them to set the mean by: give `mean=None`." if not biased else ""
    raise ValueError(
        f"`{owner}`: the potentials of '{written(feed.neurons)}' have {reached}, and {_names(feed)} could not be set "
        f"to {wanted}. Are the neurons driven at all (`snn.diagnose`)?{hint}"
    )


def _fitting(found: tuple[float, float], mean: float | None, variance: float, tolerance: float) -> bool:
    near = mean is None or abs(found[0] - mean) <= tolerance * math.sqrt(variance)
    return near and abs(found[1] - variance) <= tolerance * variance


def _mean_and_variance(moments: tuple) -> tuple[float, float]:
    """Of all examples, from those of each."""
    counts, means, squares = (np.asarray(a, np.float64) for a in moments)
    mean = np.average(means, weights=counts)
    return float(mean), float((squares + counts * (means - mean) ** 2).sum() / counts.sum())


def _scaled_by(model: Any, feed: Feed, factor: float) -> Any:
    paths = [one.path for one in feed.weights]
    return replaced(model, {path: scaled(find(model, path), factor) for path in paths})


def _names(feed: Feed) -> str:
    return "the weights of " + " and ".join(f"'{written(one.path)}'" for one in feed.weights)


def _fed(owner: str, model: Any) -> list[Feed]:
    feeds = [feed for feed in feeds_of(model) if feed.weights]
    if not feeds:
        raise ValueError(f"`{owner}`: this network has no spiking layer with weights in front of it.")
    return feeds


def _as_driving(owner: str, model: Any, batch: PyTree) -> PyTree:
    """`batch`, if it is one of examples for `model` that are not all silent."""
    batch = as_batch(owner, model, batch)
    if is_silent(batch):
        raise ValueError(f"`{owner}`: the batch is all zeros, which no weights can amplify. Give one of real inputs.")
    return batch


def _targets(owner: str, feeds: list[Feed], rate: float | Mapping[str | int, float]) -> list[tuple[Feed, float]]:
    """The layers to calibrate, each with its rate."""
    names = {written(feed.neurons): feed for feed in feeds}
    rates = {str(name): one for name, one in rate.items()} if isinstance(rate, Mapping) else dict.fromkeys(names, rate)
    unknown = [name for name in rates if name not in names]
    if unknown:
        raise ValueError(
            f"`{owner}`: `rate` names {unknown}, but the spiking layers with weights of their own in front are "
            f"{list(names)}."
        )
    for one in rates.values():
        if not isinstance(one, (int, float)) or not 0 < one < 1:
            raise ValueError(f"`{owner}`: `rate` must be a share of neurons and steps in (0, 1), got {one!r}.")
    return [(feed, rates[name]) for name, feed in names.items() if name in rates]
