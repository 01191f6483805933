"""Why a network does not learn: silent and saturated neurons, gradients that vanish, and the first value that is no
number.
"""

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PRNGKeyArray, PyTree

from .._parameter import trainable
from ._container import Container
from ._layer import name_of
from ._record import AbstractObserver, Path, Record, as_batch, find, is_silent, layers_of, observe, run_batch, written
from ._spiking import SpikingLayer
from ._table import table

_MANY = 0.5
_SATURATED = 0.95
_FAIR = (0.05, 0.15)
"""Rates of a layer for which no other scale of its weights would be better."""
_VANISHING = 1e-6
_EXPLODING = 1e3


class _Activity(AbstractObserver):
    """How often each neuron fires; the steps seen; the first with an output that is not finite, or -1; and whether the
    state is finite.
    """

    def init(self, layer: Any, state: PyTree, out_shape: tuple[int, ...]) -> PyTree:
        fired = jnp.zeros(out_shape) if isinstance(layer, SpikingLayer) else None
        return fired, jnp.zeros((), jnp.int32), jnp.full((), -1, jnp.int32), jnp.array(True)

    def update(self, values: PyTree, layer: Any, xs: Array, outs: Array, state: PyTree, keys: Array | None) -> PyTree:
        fired, steps, first, finite = values
        if fired is not None:
            fired = fired + jnp.sum(outs != 0, axis=0, dtype=fired.dtype)
        wrong = ~jnp.all(jnp.isfinite(outs), axis=tuple(range(1, outs.ndim)))
        here = jnp.where(jnp.any(wrong), steps + jnp.argmax(wrong), -1).astype(first.dtype)
        for leaf in filter(eqx.is_inexact_array, jax.tree.leaves(state)):
            finite = finite & jnp.all(jnp.isfinite(leaf))
        return fired, steps + outs.shape[0], jnp.where(first < 0, here, first), finite


@dataclasses.dataclass(frozen=True)
class LayerDiagnosis:
    """A line of a `Diagnosis`.

    For neurons that spike: `rate`, the share of neurons and steps with a spike; `dead`, the share of neurons that never
    fire; `saturated`, of those that fire in at least 95 % of the steps in which they can. For layers with trained
    parameters, where a loss was given: `gradient`, the norm of their gradient. Each is `None` elsewhere.
    """

    name: str
    kind: str
    rate: float | None
    dead: float | None
    saturated: float | None
    gradient: float | None


@dataclasses.dataclass(frozen=True)
class Finding:
    """Something that is wrong: the `layer` by name (`""` for the network), the `problem` in a word or two, and in the
    `message` what was seen and what to do about it.
    """

    layer: str
    problem: str
    message: str


@dataclasses.dataclass(frozen=True)
class Diagnosis:
    """What `snn.diagnose` saw: a line for each of the `layers` in the order of computation, the `findings`, and the
    `loss`, where one was given. Printing it shows all.
    """

    layers: tuple[LayerDiagnosis, ...]
    findings: tuple[Finding, ...]
    loss: float | None

    @property
    def first_not_finite(self) -> str | None:
        """The name of the first layer in which something is not finite; for gradients alone, the one nearest to the
        loss.
        """
        return next((finding.layer for finding in self.findings if finding.problem == "not finite"), None)

    def __str__(self) -> str:
        header = ("layer", "kind", "rate", "dead", "saturated", "gradient")
        rows = [
            (
                layer.name,
                layer.kind,
                "" if layer.rate is None else f"{layer.rate:.3g}",
                "" if layer.dead is None else f"{layer.dead:.0%}",
                "" if layer.saturated is None else f"{layer.saturated:.0%}",
                "" if layer.gradient is None else f"{layer.gradient:.3g}",
            )
            for layer in self.layers
        ]
        lines = [table(header, rows, left=(0, 1))]
        if self.loss is not None:
            lines.append(f"loss: {self.loss:.6g}")
        lines += [f"{i}. {finding.message}" for i, finding in enumerate(self.findings, 1)]
        return "\n".join(lines if self.findings else [*lines, "Nothing is wrong that can be seen here."])


def diagnose(
    model: Container,
    batch: PyTree,
    loss: Callable[[PyTree], Array] | None = None,
    key: PRNGKeyArray | None = None,
    *,
    collect: PyTree = None,
) -> Diagnosis:
    """Runs a network once and says what may keep it from learning; `print` it.

        print(snn.diagnose(model, spikes, lambda outs: cross_entropy(outs[-1], labels)))

    It looks for values that are not finite (of parameters, outputs, states and gradients, and the first layer that has
    them); for layers more than half of whose neurons never fire, or fire in at least 95 % of the steps in which they
    can; and for gradients that are less than a millionth of the largest, or a thousand times the parameters.

    **Arguments:**

    - `model`: a network of any shape, as it is trained.
    - `batch`: inputs of shape `(batch, time, *in_shape)`, or a mapping of them for a graph of several inputs.
    - `loss`: the loss of the batch, a number, from the network's `outs`, `(batch, ...)` each. Default: no gradients.
    - `key`: where layers draw random numbers.
    - `collect`: what `outs` holds, as for a call of the network. Default: whole trains.

    **Returns:** a `Diagnosis`: data, with a line for each layer and what was found. Not to be called inside `jit`.
    """
    batch = as_batch("snn.diagnose", model, batch)
    layers = dict(layers_of(model))
    records = observe(model, dict.fromkeys(layers, _Activity()), batch, key)
    value, gradients = None, None
    if loss is not None:
        value, gradients = _gradients(model, batch, key, loss, collect)
        value = float(value)
    lines = {path: _line(path, layer, records[path], gradients) for path, layer in layers.items()}
    findings = []
    if is_silent(batch):
        findings.append(Finding("", "silent input", "The batch is all zeros: no spike enters the network."))
    findings += _not_finite(layers, records, gradients)
    if not findings:
        # Of a silent or broken network, rates say nothing.
        for line in lines.values():
            findings += _firing(line)
    findings += _flowing(layers, lines)
    return Diagnosis(tuple(lines.values()), tuple(findings), value)


@eqx.filter_jit
def _gradients(model: Container, batch: PyTree, key: PRNGKeyArray | None, loss: Callable, collect: PyTree):
    trained, rest = eqx.partition(model, trainable(model))

    def of_batch(trained):
        value = loss(run_batch(eqx.combine(trained, rest), batch, key, collect)[1])
        if jnp.shape(value) != ():
            raise ValueError(f"`snn.diagnose`: `loss` must give a number for the batch, got shape {jnp.shape(value)}.")
        return value

    return jax.value_and_grad(of_batch)(trained)


def _line(path: Path, layer: Any, record: Record, gradients: PyTree) -> LayerDiagnosis:
    rate = dead = saturated = gradient = None
    if isinstance(layer, SpikingLayer):
        steps = int(record.values[1][0])
        fired = np.asarray(record.values[0], np.float64)
        most = math.ceil(steps / (1 + layer.refractory))
        total = fired.sum(axis=0)
        rate = float(fired.mean() / steps)
        dead = float(np.mean(total == 0))
        saturated = float(np.mean(total >= _SATURATED * most * fired.shape[0]))
    if gradients is not None and jax.tree.leaves(find(gradients, path)):
        gradient = _norm(find(gradients, path))
    return LayerDiagnosis(written(path), name_of(layer), rate, dead, saturated, gradient)


def _norm(tree: PyTree) -> float:
    leaves = [np.asarray(leaf, complex) for leaf in filter(eqx.is_inexact_array, jax.tree.leaves(tree))]
    return math.sqrt(sum(float(np.sum(np.abs(leaf) ** 2)) for leaf in leaves))


def _not_finite(layers: dict[Path, Any], records: dict[Path, Record], gradients: PyTree) -> list[Finding]:
    for path, layer in layers.items():
        name, kind = written(path), name_of(layer)
        if not math.isfinite(_norm(layer)):
            message = (
                f"'{name}' ({kind}) has parameters that are not finite. An update has made them so: load an earlier "
                "checkpoint, and train with a lower learning rate or with clipped gradients."
            )
            return [Finding(name, "not finite", message)]
        first, finite = map(np.asarray, records[path].values[2:])
        if np.any(first >= 0):
            example = int(np.argmax(first >= 0))
            message = (
                f"'{name}' ({kind}) gives values that are not finite, in example {example} first at step "
                f"{int(first[example])}; the layers before it do not. Are its inputs and those of the network finite, "
                "and how large are they?"
            )
            return [Finding(name, "not finite", message)]
        if not np.all(finite):
            message = (
                f"'{name}' ({kind}) has a state that is not finite, in example {int(np.argmin(finite))} first. Its "
                "potential grows without limit: are its decays below 1, its weights and inputs small?"
            )
            return [Finding(name, "not finite", message)]
    for path, layer in reversed(layers.items()):
        if gradients is not None and not math.isfinite(_norm(find(gradients, path))):
            message = (
                f"The gradient of '{written(path)}' ({name_of(layer)}) is not finite, though all values are; it is the "
                "layer nearest to the loss for which that is so. Does the loss divide by, or take the root or the "
                "logarithm of, what may be 0?"
            )
            return [Finding(written(path), "not finite", message)]
    return []


def _firing(line: LayerDiagnosis) -> list[Finding]:
    findings = []
    low, high = _FAIR
    if line.rate is not None and line.dead is not None and line.dead > _MANY:
        remedy = (
            "Scale the weights in front of them, `snn.calibrate(model, batch, 0.1)`, or lower their threshold; layers "
            "before it come first."
            if line.rate < low
            else f"The layer as a whole fires at a rate of {line.rate:.2g}, so it is uneven rather than weak: put a "
            "normalisation in front, such as `snn.BatchNorm`, or add a penalty on silent neurons to the loss, "
            "`functional.silence_penalty`."
        )
        message = (
            f"'{line.name}' ({line.kind}): {line.dead:.0%} of the neurons never fire. No gradient, or little, passes "
            f"them. {remedy}"
        )
        findings.append(Finding(line.name, "dead", message))
    if line.rate is not None and line.saturated is not None and line.saturated > _MANY:
        remedy = (
            "Scale the weights in front of them, `snn.calibrate(model, batch, 0.1)`, or raise their threshold; a "
            "penalty on rates keeps them low in training."
            if line.rate > high
            else f"By their `refractory` period that is a rate of {line.rate:.2g} and no more: make it shorter, or the "
            "weights in front of them smaller."
        )
        message = (
            f"'{line.name}' ({line.kind}): {line.saturated:.0%} of the neurons fire all the time, which says nothing "
            f"of their input. {remedy}"
        )
        findings.append(Finding(line.name, "saturated", message))
    return findings


def _flowing(layers: dict[Path, Any], lines: dict[Path, LayerDiagnosis]) -> list[Finding]:
    norms = {path: line.gradient for path, line in lines.items() if line.gradient is not None}
    largest = max((norm for norm in norms.values() if math.isfinite(norm)), default=0.0)
    findings = []
    for path, norm in norms.items():
        line = lines[path]
        if norm <= _VANISHING * largest:
            message = (
                f"'{line.name}' ({line.kind}) has a gradient of norm {norm:.3g}, the largest is {largest:.3g}: it does "
                "not learn. Are neurons behind it dead or saturated? Is the surrogate wide enough (a smaller `slope`)? "
                "Does the loss look at what it drives?"
            )
            findings.append(Finding(line.name, "vanishing gradient", message))
        of_parameters = _norm(eqx.filter(layers[path], trainable(layers[path])))
        if math.isfinite(norm) and norm > _EXPLODING * max(of_parameters, 1.0):
            message = (
                f"'{line.name}' ({line.kind}) has a gradient of norm {norm:.3g}, its parameters {of_parameters:.3g}. "
                "Clip gradients (`optax.clip_by_global_norm`), truncate them in time (`truncate=`), or take a "
                "surrogate with a larger `slope`."
            )
            findings.append(Finding(line.name, "exploding gradient", message))
    return findings
