"""The loop over epochs and batches: one that a user could have written, which a crash does not harm."""

import dataclasses
import functools
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import PyTree

from ._checkpoints import Checkpoints
from ._sharding import placed, replicated
from ._step import Step, TrainState

Row = dict[str, float | int]
_FETCH_EVERY = 50
"""Steps after which metrics are fetched from the device, so that the loop runs ahead of it and never waits for one."""


class Batches(Protocol):
    """What `fit` takes batches from; `snnax.data.Loader` is one."""

    def __len__(self) -> int: ...

    def epoch(self, epoch: int, *, start: int = 0, place: Callable[[Any], Any] = ...) -> Iterator[PyTree]: ...


@dataclasses.dataclass(frozen=True)
class EarlyStopping:
    """Ends a run when a metric has not become better for some epochs.

    **Arguments:** `metric`: its name in the history; `patience`: for how many epochs, 1 or more; `lower_is_better`:
    whether it is a loss. Default: the highest is the best.
    """

    metric: str
    patience: int
    lower_is_better: bool = False

    def __post_init__(self):
        if not isinstance(self.patience, int) or isinstance(self.patience, bool) or self.patience < 1:
            raise ValueError(f"`snnax.train.EarlyStopping`: `patience` must be 1 epoch or more, got {self.patience!r}.")

    def ends(self, history: Sequence[Mapping[str, float]]) -> bool:
        """Whether the run ends after the last row of `history`."""
        values = np.array([row[self.metric] for row in history], float)
        values = np.where(np.isnan(values), -np.inf, -values if self.lower_is_better else values)
        return len(values) > 0 and len(values) - 1 - int(np.argmax(values)) >= self.patience


def fit(
    state: TrainState,
    step: Step,
    loader: Batches,
    *,
    epochs: int,
    evaluate: Callable[[PyTree], Mapping[str, float]] | None = None,
    checkpoints: Checkpoints | None = None,
    every: int | None = None,
    resume: bool = False,
    logs: Sequence[Callable[[Sequence[Row]], None]] = (),
    stop: EarlyStopping | None = None,
    mesh: Mesh | None = None,
    progress: Callable[..., Any] | None = None,
) -> tuple[TrainState, list[Row]]:
    """Trains for some epochs.

        state, history = train.fit(
            state,
            step,
            loader,
            epochs=20,
            evaluate=lambda model: {"accuracy": accuracy(model)},
            checkpoints=train.Checkpoints("runs/first", metric="accuracy"),
            logs=[train.CSVLog("runs/first/metrics.csv")],
            progress=tqdm.tqdm,
        )

    **Arguments:**

    - `state`: of `TrainState.start`. Its buffers are given away.
    - `step`: of `make_step`.
    - `loader`: `snnax.data.Loader`, or what has its `epoch(number, start=..., place=...)` and length.
    - `epochs`: how many there are in all, those of a resumed run included.
    - `evaluate`: `model -> metrics`, after each epoch.
    - `checkpoints`: where the state goes after each epoch, and, with `every`, after so many steps.
    - `resume`: takes up the newest checkpoint; without one it starts. The result is that of a run without
        interruption, bit for bit on the same devices. Default `False`: a folder with checkpoints is refused.
    - `logs`: called with the history after each epoch: `CSVLog`, `JSONLog`, `TensorBoardLog`, or a function of yours.
    - `stop`: an `EarlyStopping`.
    - `mesh`: devices to split every batch over, such as `train.devices_mesh()`. Default: the first device.
    - `progress`: makes a bar for each epoch, such as `tqdm.tqdm`. Default: none.

    **Returns:** the last state, and the history: for each epoch a row with `"epoch"`, `"step"`, `"skipped"`,
    `"seconds"`, the mean of each metric over the epoch as `"train_..."`, and what `evaluate` gave.
    """
    if every is not None and (not isinstance(every, int) or isinstance(every, bool) or every < 1):
        raise ValueError(f"`snnax.train.fit`: `every` must be a number of steps, 1 or more, or None, got {every!r}.")
    history: list[Row] = []
    sums: dict[str, float] = {}
    if checkpoints is not None and checkpoints.steps():
        if not resume:
            raise ValueError(
                f"`snnax.train.fit`: {checkpoints.folder} holds checkpoints of another run. Go on with it by "
                "`resume=True`, or give this run a folder of its own."
            )
        found = checkpoints.restore(state)
        if found is not None:
            number, state = found
            config = checkpoints.config(number)
            history, sums = config["history"], config["sums"]
    epoch, position, taken = (int(n) for n in (state.epoch, state.batch, state.step))
    if mesh is not None:
        state = replicated(state, mesh)
    place = functools.partial(placed, mesh=mesh)

    def keep(metrics: Mapping[str, float]) -> None:
        if checkpoints is not None:
            at = _at(state, epoch, position)
            checkpoints.save(taken, at, metrics=metrics, config={"history": history, "sums": sums})

    while epoch < epochs and not (stop is not None and stop.ends(history)):
        begun, pending = time.monotonic(), []
        bar = None if progress is None else progress(total=len(loader), initial=position, desc=f"epoch {epoch + 1}")
        for batch in loader.epoch(epoch, start=position, place=place):
            state, metrics = step(state, batch)
            pending.append(metrics)
            position, taken = position + 1, taken + 1
            due = every is not None and taken % every == 0 and position < len(loader)
            if due or len(pending) == _FETCH_EVERY:
                _add(sums, pending)
                if bar is not None:
                    bar.set_postfix(loss=f"{sums['loss'] / position:.3f}")
            if bar is not None:
                bar.update(1)
            if due:
                keep({})
        _add(sums, pending)
        if bar is not None:
            bar.close()
        row: Row = {"epoch": epoch, "step": taken, "skipped": int(state.skipped)}
        row |= {f"train_{name}": value / len(loader) for name, value in sums.items()}
        if evaluate is not None:
            row |= {name: float(value) for name, value in evaluate(state.model).items()}
        row["seconds"] = time.monotonic() - begun
        history.append(row)
        sums, epoch, position = {}, epoch + 1, 0
        keep(row)
        if jax.process_index() == 0:
            for log in logs:
                log(history)
    return _at(state, epoch, position), history


def _add(sums: dict[str, float], pending: list[dict[str, Any]]) -> None:
    """Adds the metrics of steps one by one, so that sums do not depend on when they were fetched."""
    for metrics in jax.device_get(pending):
        for name, value in metrics.items():
            sums[name] = sums.get(name, 0.0) + float(value)
    pending.clear()


def _at(state: TrainState, epoch: int, position: int) -> TrainState:
    now = tuple(jnp.asarray(n, jnp.int32) for n in (epoch, position))
    return eqx.tree_at(lambda state: (state.epoch, state.batch), state, now)


def make_evaluation(
    metric_fn: Callable[[PyTree, PyTree], Mapping[str, Any]], loader: Batches
) -> Callable[[PyTree], dict[str, float]]:
    """Makes a function `model -> metrics`: means over all examples of a loader, for `fit`.

        def metric_fn(model, batch):
            ...
            return {"accuracy": jax.vmap(functional.accuracy)(scores, batch["label"])}

        evaluate = train.make_evaluation(metric_fn, data.Loader(test, 64, shuffle=False, drop_last=False))

    **Arguments:** `metric_fn`: `(model, batch) -> metrics`, a mapping from names to one value for each example. It is
    compiled, and sees the model in inference mode. `loader`: its first epoch is used; copies that fill up the last
    batch are not counted.
    """

    @eqx.filter_jit
    def sums(model, batch):
        counted = batch.get("counted")
        found = metric_fn(eqx.nn.inference_mode(model), batch)
        weight = next(iter(found.values())) * 0 + 1 if counted is None else counted.astype(jnp.float32)
        return {name: jnp.sum(jnp.where(weight > 0, value, 0)) for name, value in found.items()}, jnp.sum(weight)

    def evaluate(model: PyTree) -> dict[str, float]:
        fetched = jax.device_get([sums(model, batch) for batch in loader.epoch(0)])
        total = sum(float(weight) for _, weight in fetched)
        return {name: sum(float(found[name]) for found, _ in fetched) / total for name in fetched[0][0]}

    return evaluate
