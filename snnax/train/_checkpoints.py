"""A folder of checkpoints: the last ones and the best one are kept, and the newest that is whole is taken up."""

import math
import os
import pathlib
import re
import warnings
from collections.abc import Mapping
from typing import Any, TypeVar

import jax
from jaxtyping import PyTree

from ._checkpoint import CheckpointError, load, read_config, save

T = TypeVar("T")
_NAME = re.compile(r"step_(\d{9,})\.ckpt")


class Checkpoints:
    """Checkpoints of one run in one folder, each in a file of its own that `snnax.train.load` reads.

        checkpoints = train.Checkpoints("runs/first", keep=3, metric="accuracy")
        checkpoints.save(step, state, metrics={"accuracy": 0.9})
        step, state = checkpoints.restore(state)        # the newest that is whole
        step, state = checkpoints.restore(state, best=True)

    Of several processes only the first writes.
    """

    def __init__(
        self, folder: str | os.PathLike, *, keep: int = 3, metric: str | None = None, lower_is_better: bool = False
    ):
        """**Arguments:**

        - `folder`: is made where it does not exist. Files half written by a run that was killed are removed from it.
        - `keep`: how many of the last checkpoints stay, 1 or more. The best one stays beside them.
        - `metric`: the name of the metric that the best one is chosen by. Default: none, only the last ones stay.
        - `lower_is_better`: whether the best is the lowest (a loss). Default: the highest.
        """
        if not isinstance(keep, int) or isinstance(keep, bool) or keep < 1:
            raise ValueError(f"`snnax.train.Checkpoints`: `keep` must be a number of files, 1 or more, got {keep!r}.")
        self.folder = pathlib.Path(folder)
        self.keep = keep
        self.metric = metric
        self.lower_is_better = lower_is_better
        self._metrics: dict[int, float | None] = {}
        if jax.process_index() == 0:
            self.folder.mkdir(parents=True, exist_ok=True)
            for half in self.folder.glob(".step_*.ckpt.*.tmp"):
                half.unlink(missing_ok=True)

    def steps(self) -> list[int]:
        """The steps of which there are files, in order."""
        names = (_NAME.fullmatch(path.name) for path in self.folder.glob("step_*.ckpt"))
        return sorted(int(name[1]) for name in names if name)

    def path(self, step: int) -> pathlib.Path:
        """The file of a step."""
        return self.folder / f"step_{step:09d}.ckpt"

    def save(
        self,
        step: int,
        tree: PyTree,
        *,
        metrics: Mapping[str, float] | None = None,
        config: Mapping[str, Any] | None = None,
    ) -> None:
        """Writes a checkpoint and removes those that are neither among the last `keep` nor the best.

        **Arguments:** `step`: the number of the step; `tree`: what to keep; `metrics`: by name;
        `config`: what JSON can hold.
        """
        if jax.process_index() != 0:
            return
        metric = None if self.metric is None else (metrics or {}).get(self.metric)
        kept = {"step": int(step), "metric": None if metric is None else float(metric), "config": dict(config or {})}
        save(self.path(step), tree, config=kept)
        self._metrics[int(step)] = kept["metric"]
        stay = {*self.steps()[-self.keep :], self.best()}
        for old in self.steps():
            if old not in stay:
                self.path(old).unlink(missing_ok=True)

    def best(self) -> int | None:
        """The step with the best metric, the latest of equals; `None` where no whole checkpoint has one."""
        found = {step: self._metric(step) for step in self.steps()}
        rated = {step: metric for step, metric in found.items() if metric is not None and not math.isnan(metric)}
        sign = -1 if self.lower_is_better else 1
        return max(rated, key=lambda step: (sign * rated[step], step), default=None)

    def config(self, step: int) -> dict[str, Any]:
        """The `config` of a checkpoint."""
        return self._read(step)["config"]

    def restore(self, like: T, *, best: bool = False) -> tuple[int, T] | None:
        """The newest checkpoint that is whole, or the best one.

        A newer one that is damaged or of something else is passed over with a warning that names it.

        **Arguments:** `like`: a pytree like the one that was saved.

        **Returns:** its step and its tree; `None` where the folder has no checkpoint.

        **Raises:** `CheckpointError`, with what is wrong with each, where there are checkpoints and none can be used.
        """
        steps = self.steps()
        if best:
            chosen = self.best()
            steps = [] if chosen is None else [chosen]
        refused = []
        for step in reversed(steps):
            try:
                self._read(step)
                tree = load(self.path(step), like)
            except CheckpointError as error:
                refused.append(str(error))
                continue
            for message in refused:
                warnings.warn(f"A checkpoint was passed over: {message}", stacklevel=2)
            return step, tree
        if refused:
            raise CheckpointError(f"{self.folder}: no checkpoint can be used.\n" + "\n".join(refused))
        return None

    def _read(self, step: int) -> dict[str, Any]:
        kept = read_config(self.path(step))
        if kept.get("step") != step:
            raise CheckpointError(f"{self.path(step)}: it was written at step {kept.get('step')}, and renamed since.")
        return kept

    def _metric(self, step: int) -> float | None:
        """The metric of a checkpoint, read once; `None` where it has none or is damaged."""
        if step not in self._metrics:
            try:
                self._metrics[step] = self._read(step)["metric"]
            except CheckpointError:
                self._metrics[step] = None
        return self._metrics[step]
