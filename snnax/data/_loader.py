"""Batches: shuffled by seed and epoch alone, padded where sequences differ in length, prepared ahead in a thread."""

import queue
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol

import numpy as np

Example = Mapping[str, Any]
Batch = dict[str, np.ndarray]


class Source(Protocol):
    """Examples by number: a length, and for each number a mapping from names to arrays and numbers."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Example: ...


class Subset:
    """Some of the examples of a source, by number and in that order."""

    def __init__(self, source: Source, indices: Sequence[int] | np.ndarray):
        """**Arguments:** `source`; `indices`: numbers of its examples, 0 or more."""
        numbers = np.asarray(indices)
        if numbers.ndim != 1 or numbers.dtype.kind not in "iu" or np.any((numbers < 0) | (numbers >= len(source))):
            raise ValueError(
                f"`data.Subset`: `indices` must be whole numbers from 0 to {len(source) - 1}, got {indices!r}."
            )
        self.source, self.indices = source, numbers

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int) -> Example:
        return self.source[int(self.indices[index])]


class Arrays:
    """Examples that lie in arrays, one for each name, along axis 0: `data.Arrays(spikes=spikes, label=labels)`."""

    def __init__(self, **arrays: Any):
        """**Arguments:** arrays by name, all of one length."""
        self.arrays = {name: np.asarray(array) for name, array in arrays.items()}
        lengths = {name: array.shape[:1] for name, array in self.arrays.items()}
        if not arrays or len(set(lengths.values())) != 1 or () in lengths.values():
            raise ValueError(f"`data.Arrays`: all arrays must have one length along axis 0, got {lengths}.")

    def __len__(self) -> int:
        return len(next(iter(self.arrays.values())))

    def __getitem__(self, index: int) -> Example:
        return {name: array[index] for name, array in self.arrays.items()}


def split(source: Source, share: float, *, seed: int = 0, by: Sequence[Any] | None = None) -> tuple[Subset, Subset]:
    """Two parts of a source, drawn by a seed: for training and for validation.

    **Arguments:**

    - `source`: the examples.
    - `share`: how much goes into the second part, in (0, 1).
    - `seed`: the same seed gives the same parts.
    - `by`: a group for each example, such as its speaker. Groups are never torn apart, so that nobody is in both parts.

    **Returns:** the first and the second part, each in the order of the source and neither empty.
    """
    if not 0 < share < 1:
        raise ValueError(f"`data.split`: `share` must be between 0 and 1, both excluded, got {share}.")
    groups = np.arange(len(source)) if by is None else np.asarray(by)
    if groups.shape != (len(source),):
        raise ValueError(
            f"`data.split`: `by` must name a group for each of {len(source)} examples, got {groups.shape}."
        )
    names = np.unique(groups)
    held_out = round(share * len(names))
    if not 0 < held_out < len(names):
        raise ValueError(f"`data.split`: a share of {share} of {len(names)} examples or groups leaves one part empty.")
    chosen = np.random.default_rng(seed).permutation(names)[:held_out]
    second = np.isin(groups, chosen)
    return Subset(source, np.flatnonzero(~second)), Subset(source, np.flatnonzero(second))


class Loader:
    """Batches of a source, in an order that depends on the seed and the number of the epoch alone.

        loader = data.Loader(data.Arrays(spikes=spikes, label=labels), batch_size=32, seed=0)
        for batch in loader.epoch(3):                   # mappings from names to arrays
            ...
        for batch in loader.epoch(3, start=17):         # goes on within the epoch: two integers say where
            ...

    Examples may differ in length along axis 0 under the names in `pad`; they are filled up with zeros to the longest
    of their batch, or to `length`, and the batch has their lengths under `"length"`.
    """

    def __init__(
        self,
        source: Source,
        batch_size: int,
        *,
        seed: int = 0,
        shuffle: bool = True,
        drop_last: bool = True,
        pad: Sequence[str] = (),
        length: int | None = None,
        prefetch: int = 2,
        process: tuple[int, int] = (0, 1),
    ):
        """**Arguments:**

        - `source`: a `data.Source`.
        - `batch_size`: examples in a batch; over all processes, where there are several.
        - `seed`: of the order.
        - `shuffle`: whether the order is another one in each epoch. Default `True`.
        - `drop_last`: whether the examples that do not fill a batch are left out, in each epoch others. Where `False`,
            the last batch is filled up with copies of its first example, and `"counted"` says which examples count.
        - `pad`: names whose arrays differ in length along axis 0.
        - `length`: the length to fill up to, so that all batches have one shape. A longer example is refused.
        - `prefetch`: how many batches a thread prepares ahead; 0 for none. Default 2.
        - `process`: the number of this process, and how many there are; each takes its share of every batch.
        """
        for name, value, least in (("batch_size", batch_size, 1), ("prefetch", prefetch, 0)):
            if not isinstance(value, int) or isinstance(value, bool) or value < least:
                raise ValueError(f"`data.Loader`: `{name}` must be a whole number, {least} or more, got {value!r}.")
        number, processes = process
        if not 0 <= number < processes or batch_size % processes:
            raise ValueError(
                f"`data.Loader`: a batch of {batch_size} cannot be shared by {processes} processes of which this is "
                f"number {number}. Choose a `batch_size` that they divide."
            )
        if len(source) == 0 or (drop_last and len(source) < batch_size):
            raise ValueError(
                f"`data.Loader`: {len(source)} examples do not fill a batch of {batch_size}. Choose a smaller "
                "`batch_size`, or `drop_last=False`."
            )
        self.source, self.batch_size, self.seed, self.shuffle = source, batch_size, seed, shuffle
        self.drop_last, self.pad, self.length = drop_last, tuple(pad), length
        self.prefetch, self.process = prefetch, process

    def __len__(self) -> int:
        """The number of batches in an epoch."""
        whole, left = divmod(len(self.source), self.batch_size)
        return whole if self.drop_last or not left else whole + 1

    def order(self, epoch: int) -> np.ndarray:
        """The numbers of the examples in the order of an epoch."""
        numbers = np.arange(len(self.source))
        return np.random.default_rng([self.seed, epoch]).permutation(numbers) if self.shuffle else numbers

    def epoch(
        self, epoch: int, *, start: int = 0, place: Callable[[Batch], Any] = lambda batch: batch
    ) -> Iterator[Any]:
        """The batches of an epoch from number `start` on. Errors of the source are raised here, in their turn.

        **Arguments:** `epoch`: 0 or more; `start`: the number of the first batch; `place`: what the thread makes of a
        batch, such as `jax.device_put`.
        """
        order = self.order(epoch)
        batches = (self._batch(order, number) for number in range(start, len(self)))
        return ahead(batches, self.prefetch, place) if self.prefetch else map(place, batches)

    def _batch(self, order: np.ndarray, number: int) -> Batch:
        indices = order[number * self.batch_size : (number + 1) * self.batch_size]
        counted = np.arange(self.batch_size) < len(indices)
        indices = np.concatenate([indices, np.full(self.batch_size - len(indices), indices[0])])
        process, processes = self.process
        share = slice(process * self.batch_size // processes, (process + 1) * self.batch_size // processes)
        examples = [self.source[int(index)] for index in indices[share]]
        batch = {name: self._stacked(name, [example[name] for example in examples]) for name in examples[0]}
        if self.pad:
            batch["length"] = np.array([len(example[self.pad[0]]) for example in examples], np.int32)
        if not self.drop_last:
            batch["counted"] = counted[share]
        return batch

    def _stacked(self, name: str, values: list[Any]) -> np.ndarray:
        arrays = [np.asarray(value) for value in values]
        if name in self.pad:
            longest = max(len(array) for array in arrays)
            length = longest if self.length is None else self.length
            if longest > length:
                raise ValueError(
                    f"`data.Loader`: an example is {longest} long under {name!r}, more than `length={length}`. Cut it, "
                    "or give a greater `length`."
                )
            out = np.zeros((len(arrays), length, *arrays[0].shape[1:]), arrays[0].dtype)
            for row, array in zip(out, arrays, strict=True):
                row[: len(array)] = array
            return out
        shapes = {array.shape for array in arrays}
        if len(shapes) > 1:
            raise ValueError(
                f"`data.Loader`: the examples differ in shape under {name!r}: {sorted(shapes)}. Where it is their "
                f"length along axis 0, name it in `pad=({name!r},)`."
            )
        return np.stack(arrays)


class _End:
    def __init__(self, error: BaseException | None):
        self.error = error


def ahead(items: Iterator[Any], depth: int, prepare: Callable[[Any], Any] = lambda item: item) -> Iterator[Any]:
    """The same items, of which a thread prepares `depth` ahead by `prepare`, such as a copy to the device.

    The thread ends with the items, with the first error, which is raised here, and when nobody goes on to take them.
    """
    ready: queue.Queue = queue.Queue(maxsize=depth)
    left = threading.Event()

    def put(item: Any) -> bool:
        while not left.is_set():
            try:
                ready.put(item, timeout=0.1)
                return True
            except queue.Full:
                continue
        return False

    def work() -> None:
        error = None
        try:
            for item in items:
                if not put(prepare(item)):
                    return
        except BaseException as caught:  # raised again where the items are taken
            error = caught
        put(_End(error))

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        while not isinstance(item := ready.get(), _End):
            yield item
        if item.error is not None:
            raise item.error
    finally:
        left.set()
        thread.join()
