"""Checkpoints by orbax, to which every process writes its own part."""

import json
import pathlib
from typing import Any, TypeVar

from jaxtyping import PyTree

from ._checkpoint import CheckpointError, check_leaves, data_of, described, is_number, restored, storable
from ._checkpoints import AbstractCheckpoints

T = TypeVar("T")


class OrbaxCheckpoints(AbstractCheckpoints):
    """As `Checkpoints`, by orbax: a folder for each checkpoint, to which every host writes the parts that it has.

    For networks that do not fit on one host, or arrays that are cut over several. All processes call `save` and
    `restore` together, on one folder that all see. What is restored lies on the devices as that of `like`.

    Needs `pip install orbax-checkpoint`.
    """

    def __init__(self, *args, **kwargs):
        """**Arguments:** as for `Checkpoints`."""
        try:
            import orbax.checkpoint  # pyright: ignore[reportMissingImports]
        except ImportError as error:
            message = "`snnax.train.OrbaxCheckpoints` needs orbax: `pip install orbax-checkpoint`."
            raise ImportError(message) from error
        super().__init__(*args, **kwargs)
        self._items = orbax.checkpoint.args
        options = orbax.checkpoint.CheckpointManagerOptions(enable_async_checkpointing=False)
        self._manager = orbax.checkpoint.CheckpointManager(
            self.folder, item_names=("arrays", "header"), options=options
        )

    def steps(self) -> list[int]:
        return sorted(self._manager.all_steps())

    def path(self, step: int) -> pathlib.Path:
        return self.folder / str(step)

    def _write(self, step: int, tree: PyTree, kept: dict[str, Any]) -> None:
        if step in self.steps():
            self._manager.delete(step)
        header = {"kept": kept, "leaves": described(storable(tree))}
        items = self._items.Composite(
            arrays=self._items.StandardSave(_arrays(tree)), header=self._items.JsonSave(header)
        )
        self._manager.save(step, args=items)

    def _read(self, step: int, like: T) -> tuple[T, dict[str, Any]]:
        header = self._header(step)
        check_leaves(self.path(step), header["leaves"], storable(like))
        try:
            wanted = self._items.Composite(arrays=self._items.StandardRestore(_arrays(like)))
            arrays = self._manager.restore(step, args=wanted)["arrays"]
        except Exception as error:  # orbax has no class of its own for what is damaged
            raise CheckpointError(f"{self.path(step)}: orbax cannot read its arrays: {error}") from error
        in_order = [arrays.get(str(number), data_of(leaf)) for number, (_, leaf) in enumerate(storable(like))]
        return restored(self.path(step), like, header["leaves"], in_order), header["kept"]

    def _read_kept(self, step: int) -> dict[str, Any]:
        return self._header(step)["kept"]

    def _header(self, step: int) -> dict[str, Any]:
        try:
            return self._manager.restore(step, args=self._items.Composite(header=self._items.JsonRestore()))["header"]
        except (OSError, ValueError, KeyError, json.JSONDecodeError) as error:
            raise CheckpointError(f"{self.path(step)}: orbax cannot read its header: {error}") from error

    def _remove(self, step: int) -> None:
        self._manager.delete(step)


def _arrays(tree: PyTree) -> dict[str, Any]:
    """Arrays by the number of their leaf. Orbax takes none without elements."""
    leaves = enumerate(leaf for _, leaf in storable(tree))
    return {str(number): data_of(leaf) for number, leaf in leaves if not is_number(leaf) and leaf.size}
