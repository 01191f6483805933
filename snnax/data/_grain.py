"""Batches that grain makes in several processes."""

import functools
from collections.abc import Callable, Generator
from typing import Any

import numpy as np

from ..functional._arguments import check_count
from ._loader import Batch, Loader

_MANY = 2**31


class GrainLoader:
    """The batches of a loader in the same order, made by grain in processes of their own: for examples that take long
    to decode, where the thread of `data.Loader` does not keep up.

        loader = data.GrainLoader(data.Loader(recordings, 64), workers=8)
        train.fit(state, step, loader, epochs=20)

    The processes start with the first batch, which takes seconds, stay from epoch to epoch, and end with `close`. They
    import the main module, so a script must do its work under `if __name__ == "__main__":`, and its source must be one
    that can be pickled. The other way round, a `grain.MapDataset` of mappings is a source for `data.Loader`.

    Needs `pip install grain`.
    """

    def __init__(self, loader: Loader, *, workers: int, ahead: int = 2):
        """**Arguments:** `loader`: says which batches; `workers`: the number of processes, 1 or more; `ahead`: how many
        batches each of them prepares ahead. Default 2.
        """
        check_count("data.GrainLoader", "workers", workers, 1)
        check_count("data.GrainLoader", "ahead", ahead, 1)
        try:
            import grain  # pyright: ignore[reportMissingImports]
            from absl import flags  # pyright: ignore[reportMissingImports]
        except ImportError as error:
            raise ImportError("`data.GrainLoader` needs grain: `pip install grain`.") from error
        if not flags.FLAGS.is_parsed():
            flags.FLAGS.mark_as_parsed()  # grain reads flags, which only programs of absl parse
        self.loader = loader
        reading = grain.ReadOptions(num_threads=0, prefetch_buffer_size=0)
        processes = grain.MultiprocessingOptions(num_workers=workers, per_worker_buffer_size=ahead)

        def batches_from(first: int) -> Any:
            numbers = grain.MapDataset.range(first, first + _MANY)
            batches = numbers.map(functools.partial(_batch, loader)).to_iter_dataset(reading)
            return iter(batches.mp_prefetch(processes))

        self._batches_from = batches_from
        self._batches: Any = None
        self._next = -1

    def __len__(self) -> int:
        """The number of batches in an epoch."""
        return len(self.loader)

    @property
    def left_out(self) -> int:
        """How many examples an epoch leaves out."""
        return self.loader.left_out

    def epoch(
        self, epoch: int, *, start: int = 0, place: Callable[[Batch], Any] = lambda batch: batch
    ) -> Generator[Any, None, None]:
        """The batches of an epoch from number `start` on, as `data.Loader` gives them."""
        for number in self.loader.numbers(start):
            counted = epoch * len(self) + number
            if self._next != counted:
                self.close()
                self._batches = self._batches_from(counted)
            batch = next(self._batches)
            self._next = counted + 1
            yield place(batch)

    def close(self) -> None:
        """Ends the processes."""
        if self._batches is not None:
            self._batches.close()
        self._batches, self._next = None, -1


@functools.lru_cache(maxsize=1)
def _order(loader: Loader, epoch: int) -> np.ndarray:
    return loader.order(epoch)


def _batch(loader: Loader, counted: int) -> Batch:
    epoch, number = divmod(counted, len(loader))
    return loader.batch(_order(loader, epoch), number)
