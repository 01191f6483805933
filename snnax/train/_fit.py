"""The loop over epochs and batches: one that a user could have written, which a crash does not harm."""

import collections
import contextlib
import dataclasses
import functools
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh
from jaxtyping import PyTree

from ..functional._arguments import check_count
from ._checkpoints import AbstractCheckpoints
from ._sharding import examples_in, placed, replicated
from ._step import Running, Step, TrainState, is_finite, not_finite

Row = dict[str, float | int]
_TOGETHER = 4
"""Steps whose metrics are fetched together, while as many others are under way: the device has always something to do,
the host is woken once for them all, and no more than twice as many batches lie on the device."""


@runtime_checkable
class Batches(Protocol):
    """What `fit` takes batches from; `snnax.data.Loader` is one. `epoch` is a generator, which is closed in the end."""

    def __len__(self) -> int: ...

    def epoch(self, epoch: int, *, start: int = 0, place: Callable[[Any], Any] = ...) -> Generator[Any, None, None]: ...


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
        check_count("snnax.train.EarlyStopping", "patience", self.patience, 1)

    def ends(self, history: Sequence[Row]) -> bool:
        """Whether the run ends after the last row of `history`."""
        for row in history:
            if self.metric not in row:
                raise ValueError(
                    f"`snnax.train.EarlyStopping`: there is no metric {self.metric!r} in the history, which has "
                    f"{sorted(row)}."
                )
        values = np.array([row[self.metric] for row in history], float)
        values = np.where(np.isnan(values), -np.inf, -values if self.lower_is_better else values)
        return len(values) > 0 and len(values) - 1 - int(np.argmax(values)) >= self.patience


class _Means:
    """Sums of metrics over the steps of an epoch, added one by one, in order."""

    def __init__(self, sums: dict[str, float], counted: int):
        self.sums, self.counted = sums, counted

    def add(self, metrics: Mapping[str, Any]) -> None:
        self.counted += 1
        for name, value in metrics.items():
            self.sums[name] = self.sums.get(name, 0.0) + float(value)

    def __getitem__(self, name: str) -> float:
        return self.sums.get(name, 0.0) / self.counted if self.counted else float("nan")


def fit(
    state: TrainState,
    step: Step,
    loader: Batches,
    *,
    epochs: int,
    evaluate: Callable[[PyTree], Mapping[str, float]] | None = None,
    checkpoints: AbstractCheckpoints | None = None,
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
    - `loader`: `snnax.data.Loader`, or what has a length and a generator `epoch(number, start=..., place=...)`.
    - `epochs`: how many there are in all, those of a resumed run included.
    - `evaluate`: `model -> metrics`, after each epoch; see `make_evaluation`.
    - `checkpoints`: where the state goes after each epoch, and, with `every`, after so many steps.
    - `resume`: takes up the newest checkpoint; without one it starts. The result is that of a run without
        interruption, bit for bit on the same devices. Default `False`: a folder with checkpoints is refused.
    - `logs`: called with the history after each epoch: `CSVLog`, `JSONLog`, `TensorBoardLog`, or a function of yours.
    - `stop`: an `EarlyStopping`.
    - `mesh`: devices to split every batch over, such as `train.devices_mesh()`. Default: the first device.
    - `progress`: makes a bar for each epoch, such as `tqdm.tqdm`. Default: none.

    **Returns:** the last state, and the history: for each epoch a row with `"epoch"`, `"step"` (steps taken until
    then), `"skipped"` (how many of them), `"seconds"`, the mean of each metric over the steps of the epoch that were
    not skipped as `"train_..."`, and what `evaluate` gave.

    **Raises:** `FloatingPointError` where loss or gradient are not finite, unless `step` skips such steps: a few steps
    later, and before a checkpoint is written.
    """
    check_count("snnax.train.fit", "epochs", epochs, 1)
    check_count("snnax.train.fit", "every", 1 if every is None else every, 1)
    if mesh is None and jax.process_count() > 1:
        raise ValueError(
            f"`snnax.train.fit`: {jax.process_count()} processes run, and each would train a network of its own. Give "
            "`mesh=train.devices_mesh()`."
        )
    total = len(loader)
    if mesh is not None:
        state, step = replicated(state, mesh), dataclasses.replace(step, mesh=mesh)
    history: list[Row] = []
    means = _Means({}, 0)
    if checkpoints is not None:
        state, so_far = _taken_up(state, checkpoints, resume, total)
        history, means = so_far.get("history", history), _Means(so_far.get("sums", {}), so_far.get("counted", 0))
    epoch, position, taken = (int(n) for n in (state.epoch, state.batch, state.step))
    running = Running(step, state if mesh is None else replicated(state, mesh))
    first = jax.process_index() == 0

    def keep(metrics: Row) -> None:
        if checkpoints is not None:
            now = {"history": history, "sums": means.sums, "counted": means.counted, "batches": total}
            checkpoints.save(taken, _at(running.state, epoch, position, mesh), metrics=metrics, progress=now)

    while epoch < epochs and not (stop is not None and stop.ends(history)):
        begun, under_way = time.monotonic(), collections.deque()
        with contextlib.ExitStack() as stack:
            place = functools.partial(placed, mesh=mesh)
            batches = stack.enter_context(contextlib.closing(loader.epoch(epoch, start=position, place=place)))
            bar = None
            if progress is not None and first:
                bar = progress(total=total, initial=position, desc=f"epoch {epoch + 1}")
                stack.enter_context(contextlib.closing(bar))
            for batch in batches:
                under_way.append((position, running.take(batch)))
                position, taken = position + 1, taken + 1
                due = every is not None and taken % every == 0 and position < total
                if due or position == total or len(under_way) == 2 * _TOGETHER:
                    many = len(under_way) if due or position == total else _TOGETHER
                    _fetch(under_way, many, means, step, epoch)
                    if bar is not None:
                        bar.set_postfix(loss=f"{means['loss']:.3f}", refresh=False)
                        bar.update(many)
                if due:
                    keep({})
        if position != total:
            raise ValueError(f"`snnax.train.fit`: the loader ends at batch {position} of {total} that it promises.")
        row: Row = {"epoch": epoch, "step": taken, "skipped": int(running.state.skipped)}
        row |= {f"train_{name}": means[name] for name in means.sums or ("loss", "gradient_norm")}
        if evaluate is not None:
            evaluated = {name: float(value) for name, value in evaluate(running.state.model).items()}
            if twice := sorted({*row, "seconds"} & set(evaluated)):
                raise ValueError(f"`snnax.train.fit`: `evaluate` gives {twice}, names that the history has already.")
            row |= evaluated
        row["seconds"] = time.monotonic() - begun
        history.append(row)
        means, epoch, position = _Means({}, 0), epoch + 1, 0
        if first:
            for log in logs:
                log(history)
        keep(row)  # after the logs, so that a killed run never misses a row
    return _at(running.state, epoch, position, mesh), history


def _taken_up(
    state: TrainState, checkpoints: AbstractCheckpoints, resume: bool, batches: int
) -> tuple[TrainState, dict[str, Any]]:
    """The state of the newest checkpoint and how far its run had come, where there is one."""
    if jax.process_count() > 1:
        multihost_utils.sync_global_devices("snnax.train.fit")  # the first process may still be writing
    if checkpoints.steps() and not resume:
        raise ValueError(
            f"`snnax.train.fit`: {checkpoints.folder} holds checkpoints of another run. Go on with it by "
            "`resume=True`, or give this run a folder of its own."
        )
    found = checkpoints.restore(state)
    number = -1 if found is None else found[0]
    if jax.process_count() > 1 and len(set(multihost_utils.process_allgather(np.array(number)).tolist())) > 1:
        raise ValueError(
            f"`snnax.train.fit`: the processes find different checkpoints in {checkpoints.folder}. It must be a folder "
            "that all of them see."
        )
    if found is None:
        return state, {}
    state, so_far = found[1], checkpoints.progress(number)
    if int(state.batch) > 0 and so_far.get("batches") != batches:
        raise ValueError(
            f"`snnax.train.fit`: {checkpoints.path(number)} is at batch {int(state.batch)} of an epoch of "
            f"{so_far.get('batches')}, but the loader has epochs of {batches}. Go on with the same examples and "
            "`batch_size`."
        )
    return state, so_far


def _fetch(under_way: collections.deque, many: int, means: _Means, step: Step, epoch: int) -> None:
    """Waits for the first steps that are under way, and adds the metrics of those that were not skipped."""
    for position, metrics in jax.device_get([under_way.popleft() for _ in range(many)]):
        if is_finite(metrics):
            means.add(metrics)
        elif not step.skip_nonfinite:
            raise not_finite("snnax.train.fit", metrics, f" in batch {position} of epoch {epoch}")


def _at(state: TrainState, epoch: int, position: int, mesh: Mesh | None) -> TrainState:
    now = tuple(jnp.asarray(n, jnp.int32) for n in (epoch, position))
    now = now if mesh is None else replicated(now, mesh)
    return dataclasses.replace(state, epoch=now[0], batch=now[1])


def make_evaluation(
    metric_fn: Callable[[PyTree, PyTree], Mapping[str, Any]], loader: Batches, *, mesh: Mesh | None = None
) -> Callable[[PyTree], dict[str, float]]:
    """Makes a function `model -> metrics`: means over all examples of a loader, for `fit`.

        def metric_fn(model, batch):
            ...
            return {"accuracy": jax.vmap(functional.accuracy)(scores, batch["label"])}

        evaluate = train.make_evaluation(metric_fn, data.Loader(test, 64, shuffle=False, drop_last=False))

    **Arguments:**

    - `metric_fn`: `(model, batch) -> metrics`, a mapping from names to one value for each example. It is compiled, and
        sees the model in inference mode.
    - `loader`: its first epoch is used. Copies that fill up the last batch are not counted.
    - `mesh`: devices to split every batch over, as for `fit`. Default: those of the model compute all of it.
    """
    if left_out := getattr(loader, "left_out", 0):
        raise ValueError(
            f"`snnax.train.make_evaluation`: the loader leaves {left_out} examples out. Give it `drop_last=False`."
        )

    @eqx.filter_jit
    def sums(model, batch):
        examples = examples_in("snnax.train.make_evaluation", batch)
        marked = isinstance(batch, dict) and "counted" in batch
        counted = batch["counted"] if marked else jnp.ones(examples, bool)
        found = {}
        for name, values in metric_fn(eqx.nn.inference_mode(model), batch).items():
            if jnp.shape(values) != (examples,):
                raise ValueError(
                    f"`snnax.train.make_evaluation`: `metric_fn` must give one value for each of {examples} examples; "
                    f"{name!r} has the shape {jnp.shape(values)}."
                )
            found[name] = jnp.sum(jnp.where(counted, values.astype(jnp.float32), 0))
        return found, jnp.sum(counted)

    def evaluate(model: PyTree) -> dict[str, float]:
        if mesh is None and jax.process_count() > 1:
            raise ValueError(
                f"`snnax.train.make_evaluation`: {jax.process_count()} processes run, each with a share of the "
                "batches. Give `mesh=train.devices_mesh()`."
            )
        totals: dict[str, float] = {}
        examples = 0
        with contextlib.closing(loader.epoch(0, place=functools.partial(placed, mesh=mesh))) as batches:
            for batch in batches:
                found, counted = jax.device_get(sums(model, batch))
                examples += int(counted)
                for name, value in found.items():
                    totals[name] = totals.get(name, 0.0) + float(value)
        return {name: total / examples for name, total in totals.items()}

    return evaluate
