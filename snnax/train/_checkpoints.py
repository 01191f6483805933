"""A folder of checkpoints: the last ones and the best one are kept, and the newest that is whole is taken up."""

import abc
import json
import math
import os
import pathlib
import re
import warnings
from collections.abc import Mapping
from typing import Any, TypeVar

import jax
from jaxtyping import PyTree

from ..functional._arguments import check_count
from ._checkpoint import CheckpointError, read, read_config, save

T = TypeVar("T")
_NAME = re.compile(r"step_(\d{9,18})\.ckpt")


class AbstractCheckpoints(abc.ABC):
    """Checkpoints of one run in one folder: `Checkpoints`, and `OrbaxCheckpoints` for several hosts.

    One run writes at a time; others may read.
    """

    def __init__(
        self,
        folder: str | os.PathLike,
        *,
        keep: int = 3,
        metric: str | None = None,
        lower_is_better: bool = False,
        config: Mapping[str, Any] | None = None,
    ):
        """**Arguments:**

        - `folder`: is made where it does not exist.
        - `keep`: how many of the last checkpoints stay, 1 or more. The best one stays beside them.
        - `metric`: the name of the metric that the best one is chosen by. Default: none, only the last ones stay.
        - `lower_is_better`: whether the best is the lowest (a loss). Default: the highest.
        - `config`: the settings of the run, what JSON can hold. They go into every checkpoint, and one with other
            settings is refused. Default: none, and any are accepted.
        """
        self._name = f"snnax.train.{type(self).__name__}"
        check_count(self._name, "keep", keep, 1)
        try:
            self._settings = json.loads(json.dumps(dict(config or {})))  # as they come back: tuples are lists there
        except (TypeError, ValueError) as error:
            raise ValueError(f"`{self._name}`: `config` must be what JSON can hold: {error}.") from error
        self.folder = pathlib.Path(folder).absolute()
        self.keep, self.metric, self.lower_is_better = keep, metric, lower_is_better
        self._metrics: dict[int, float | None] = {}
        if jax.process_index() == 0:
            self.folder.mkdir(parents=True, exist_ok=True)

    @abc.abstractmethod
    def steps(self) -> list[int]:
        """The steps of which there are checkpoints, in order."""

    @abc.abstractmethod
    def path(self, step: int) -> pathlib.Path:
        """Where the checkpoint of a step is."""

    @abc.abstractmethod
    def _write(self, step: int, tree: PyTree, kept: dict[str, Any]) -> None: ...

    @abc.abstractmethod
    def _read(self, step: int, like: T) -> tuple[T, dict[str, Any]]: ...

    @abc.abstractmethod
    def _read_kept(self, step: int) -> dict[str, Any]: ...

    @abc.abstractmethod
    def _remove(self, step: int) -> None: ...

    def save(
        self,
        step: int,
        tree: PyTree,
        *,
        metrics: Mapping[str, Any] | None = None,
        progress: Mapping[str, Any] | None = None,
    ) -> None:
        """Writes a checkpoint. Of those up to it, the last `keep` and the best stay, and the others are removed.

        **Arguments:** `step`: the number of the step, 0 or more; `tree`: what to keep; `metrics`: by name, or none
        where none are known; `progress`: what JSON can hold, for `progress`.
        """
        metric = None
        if self.metric is not None and metrics:
            if self.metric not in metrics:
                raise ValueError(
                    f"`{self._name}`: the best checkpoint is chosen by {self.metric!r}, which is not among the metrics "
                    f"{sorted(metrics)}."
                )
            metric = float(metrics[self.metric])
        kept = {"step": int(step), "metric": metric, "config": self._settings, "progress": dict(progress or {})}
        self._write(int(step), tree, kept)
        self._metrics[int(step)] = metric
        until_now = [other for other in self.steps() if other <= step]
        for old in set(until_now[: -self.keep]) - {self.best()}:
            self._remove(old)

    def best(self) -> int | None:
        """The step with the best metric, the latest of equals; `None` where no whole checkpoint has one."""
        return next(reversed(self._by_metric()), None)

    def config(self, step: int) -> dict[str, Any]:
        """The settings that a checkpoint was made with."""
        return self._checked(step, self._read_kept(step))["config"]

    def progress(self, step: int) -> dict[str, Any]:
        """The `progress` that a checkpoint was saved with."""
        return self._checked(step, self._read_kept(step))["progress"]

    def restore(self, like: T, *, best: bool = False) -> tuple[int, T] | None:
        """The newest checkpoint that is whole, or the best one.

        One that is damaged or of something else is passed over with a warning that names it.

        **Arguments:** `like`: a pytree like the one that was saved. `best`: whether to take the best. Default: the
        newest.

        **Returns:** its step and its tree; `None` where the folder has no checkpoint (with a metric, for `best=True`).

        **Raises:** `CheckpointError`, with what is wrong with each, where there are checkpoints and none can be used.
        """
        refused = []
        for step in reversed(self._by_metric(refused) if best else self.steps()):
            try:
                tree, kept = self._read(step, like)
                self._check_settings(step, self._checked(step, kept)["config"])
            except CheckpointError as error:
                refused.append(str(error))
                continue
            for message in refused:
                warnings.warn(f"A checkpoint was passed over: {message}", stacklevel=2)
            return step, tree
        if refused:
            raise CheckpointError(f"{self.folder}: no checkpoint can be used.\n" + "\n".join(refused))
        return None

    def _checked(self, step: int, kept: dict[str, Any]) -> dict[str, Any]:
        if set(kept) != {"step", "metric", "config", "progress"}:
            raise CheckpointError(f"{self.path(step)}: it was not written by `{self._name}`.")
        if kept["step"] != step:
            raise CheckpointError(f"{self.path(step)}: it was written at step {kept['step']}, and renamed since.")
        return kept

    def _check_settings(self, step: int, theirs: dict[str, Any]) -> None:
        ours = self._settings
        others = sorted(name for name in {*ours, *theirs} if theirs.get(name) != ours.get(name))
        if ours and others:
            told = ", ".join(f"{name}={theirs.get(name)!r} and not {ours.get(name)!r}" for name in others)
            raise CheckpointError(f"{self.path(step)}: it was made with other settings: {told}.")

    def _by_metric(self, refused: list[str] | None = None) -> list[int]:
        """The steps that have a metric, the best last. What is wrong with the others goes to `refused`."""
        rated = []
        for step in self.steps():
            try:
                if step not in self._metrics:
                    self._metrics[step] = self._checked(step, self._read_kept(step))["metric"]
            except FileNotFoundError:  # a run that goes on has removed it since
                continue
            except CheckpointError as error:
                if refused is not None:
                    refused.append(str(error))
                continue
            metric = self._metrics[step]
            if metric is not None and not math.isnan(metric):
                rated.append((-metric if self.lower_is_better else metric, step))
        return [step for _, step in sorted(rated)]


class Checkpoints(AbstractCheckpoints):
    """Checkpoints of one run in one folder, each in a file of its own that `snnax.train.load` reads.

        checkpoints = train.Checkpoints("runs/first", keep=3, metric="accuracy")
        checkpoints.save(step, state, metrics={"accuracy": 0.9})
        step, state = checkpoints.restore(state)        # the newest that is whole
        step, state = checkpoints.restore(state, best=True)

    Of several processes only the first writes. What a killed run has left half written is removed with the next save.
    """

    def steps(self) -> list[int]:
        names = (_NAME.fullmatch(path.name) for path in self.folder.glob("step_*.ckpt"))
        return sorted(int(name[1]) for name in names if name)

    def path(self, step: int) -> pathlib.Path:
        return self.folder / f"step_{step:09d}.ckpt"

    def _write(self, step: int, tree: PyTree, kept: dict[str, Any]) -> None:
        if jax.process_index() == 0:
            for half in self.folder.glob(".step_*.ckpt.*.tmp"):
                half.unlink(missing_ok=True)
            save(self.path(step), tree, config=kept)

    def _read(self, step: int, like: T) -> tuple[T, dict[str, Any]]:
        return read(self.path(step), like)

    def _read_kept(self, step: int) -> dict[str, Any]:
        return read_config(self.path(step))

    def _remove(self, step: int) -> None:
        if jax.process_index() == 0:
            self.path(step).unlink(missing_ok=True)
