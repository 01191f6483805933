"""Batches: shuffled by seed and epoch alone, padded where sequences differ in length, prepared ahead in a thread."""

import collections
import concurrent.futures
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence, Set
from typing import Any, Protocol, TypeVar, runtime_checkable

import jax
import numpy as np

from ..functional._arguments import check_count
from ._events import Events, stack_events

T = TypeVar("T")
Example = Mapping[str, Any]
Batch = dict[str, Any]


@runtime_checkable
class Source(Protocol):
    """Examples by number: a length, and for each number a mapping from names to arrays, numbers and `data.Events`."""

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


def split(
    source: Source, share: float, *, seed: int = 0, by: Sequence[Any] | np.ndarray | None = None
) -> tuple[Subset, Subset]:
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
        process: tuple[int, int] | None = None,
    ):
        """**Arguments:**

        - `source`: a `data.Source`.
        - `batch_size`: examples in a batch; over all processes, where there are several.
        - `seed`: of the order, 0 or more.
        - `shuffle`: whether the order is another one in each epoch. Default `True`.
        - `drop_last`: whether the examples that do not fill a batch are left out, in each epoch others. Where `False`,
            the last batch is filled up with copies of its first example, and `"counted"` says which examples count:
            `train.make_evaluation` leaves the others out, a loss must do so itself.
        - `pad`: names whose arrays differ in length along axis 0.
        - `length`: the length to fill up to, so that all batches have one shape. A longer example is refused.
        - `prefetch`: how many batches a thread prepares ahead; 0 for none. Default 2.
        - `process`: the number of this process, and how many there are; each takes its share of every batch. Default:
            those of jax, `(0, 1)` unless `jax.distributed` runs.
        """
        numbers = (("batch_size", batch_size, 1), ("prefetch", prefetch, 0), ("seed", seed, 0))
        for name, value, least in (*numbers, ("length", 1 if length is None else length, 1)):
            check_count("data.Loader", name, value, least)
        process = (jax.process_index(), jax.process_count()) if process is None else process
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
        if isinstance(pad, str):
            raise ValueError(f"`data.Loader`: `pad` must be a sequence of names, such as ({pad!r},), got {pad!r}.")
        self.source, self.batch_size, self.seed, self.shuffle = source, batch_size, seed, shuffle
        self.drop_last, self.pad, self.length = drop_last, tuple(pad), length
        self.prefetch, self.process = prefetch, process

    def __len__(self) -> int:
        """The number of batches in an epoch."""
        whole, left = divmod(len(self.source), self.batch_size)
        return whole if self.drop_last or not left else whole + 1

    @property
    def left_out(self) -> int:
        """How many examples an epoch leaves out."""
        return len(self.source) % self.batch_size if self.drop_last else 0

    def order(self, epoch: int) -> np.ndarray:
        """The numbers of the examples in the order of an epoch."""
        check_count("data.Loader", "epoch", epoch, 0)
        numbers = np.arange(len(self.source))
        return np.random.default_rng([self.seed, epoch]).permutation(numbers) if self.shuffle else numbers

    def epoch(
        self, epoch: int, *, start: int = 0, place: Callable[[Batch], Any] = lambda batch: batch
    ) -> Generator[Any, None, None]:
        """The batches of an epoch from number `start` on. Errors of the source are raised here, in their turn.

        **Arguments:** `epoch`: 0 or more; `start`: the number of the first batch; `place`: what the thread makes of a
        batch, such as `jax.device_put`.
        """
        order, numbers = self.order(epoch), self.numbers(start)
        batches = (place(self.batch(order, number)) for number in numbers)
        return ahead(batches, self.prefetch) if self.prefetch else batches

    def numbers(self, start: int) -> range:
        """The numbers of the batches of an epoch from `start` on."""
        check_count("data.Loader", "start", start, 0)
        if start > len(self):
            raise ValueError(f"`data.Loader`: `start` must be a batch of the {len(self)} in an epoch, got {start}.")
        return range(start, len(self))

    def batch(self, order: np.ndarray, number: int) -> Batch:
        """This process's share of one batch of an epoch in that order."""
        indices = order[number * self.batch_size : (number + 1) * self.batch_size]
        counted = np.arange(self.batch_size) < len(indices)
        indices = np.concatenate([indices, np.full(self.batch_size - len(indices), indices[0])])
        process, processes = self.process
        share = slice(process * self.batch_size // processes, (process + 1) * self.batch_size // processes)
        batch = None if self.pad else _from_arrays(self.source, indices[share])
        if batch is None:
            batch = self._from_examples([self.source[int(index)] for index in indices[share]])
        else:
            self._check_names(batch.keys(), batch.keys())
        if not self.drop_last:
            batch["counted"] = counted[share]
        return batch

    def _from_examples(self, examples: list[Example]) -> Batch:
        for example in examples:
            self._check_names(example.keys(), examples[0].keys())
        batch = {name: self._together(name, [one[name] for one in examples]) for name in examples[0]}
        if self.pad:
            batch["length"] = np.array([self._length(example) for example in examples], np.int32)
        return batch

    def _check_names(self, names: Set[str], of_first: Set[str]) -> None:
        made = {"length"} if self.pad else set()
        made |= set() if self.drop_last else {"counted"}
        if names != of_first or not names >= set(self.pad) or names & made:
            wanted = f", {sorted(self.pad)} of `pad` among them" if self.pad else ""
            without = f", none of them {sorted(made)}, which the loader gives" if made else ""
            raise ValueError(
                f"`data.Loader`: all examples of a source must have the same names{wanted}{without}; got "
                f"{sorted(names)} beside {sorted(of_first)}."
            )

    def _length(self, example: Example) -> int:
        lengths = {name: len(example[name]) for name in self.pad}
        if len(set(lengths.values())) > 1:
            raise ValueError(f"`data.Loader`: the arrays in `pad` must have one length in each example, got {lengths}.")
        return lengths[self.pad[0]]

    def _together(self, name: str, values: list[Any]) -> Any:
        if not isinstance(values[0], Events):
            return self._stacked(name, [np.asarray(value) for value in values])
        capacities = sorted({events.capacity for events in values})
        if len(capacities) > 1:
            raise ValueError(
                f"`data.Loader`: the recordings under {name!r} have the capacities {capacities}. Give all of them the "
                "same, so that what takes the batches is compiled once: `data.pad_events(events, capacity)`."
            )
        return stack_events(values)

    def _stacked(self, name: str, arrays: list[np.ndarray]) -> np.ndarray:
        padded = name in self.pad
        kinds = {(array.shape[padded:], array.dtype, array.ndim) for array in arrays}
        if len(kinds) > 1 or (padded and arrays[0].ndim == 0):
            found = sorted({f"{array.dtype}{list(array.shape)}" for array in arrays})
            raise ValueError(
                f"`data.Loader`: the examples differ in shape or dtype under {name!r}: they are {', '.join(found)}. "
                f"Where it is their length along axis 0, name it in `pad=({name!r},)`."
            )
        if not padded:
            return np.stack(arrays)
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


def _from_arrays(source: Any, indices: np.ndarray) -> Batch | None:
    """The same as one by one, at once, where the examples lie in arrays and nobody has changed how they are taken."""
    if type(source) is Subset:
        return _from_arrays(source.source, source.indices[indices])
    return {name: array[indices] for name, array in source.arrays.items()} if type(source) is Arrays else None


_END: Any = object()


def ahead(items: Iterator[T], depth: int) -> Generator[T, None, None]:
    """The same items, of which a thread takes `depth` ahead: they are made while the last ones are used.

    The thread ends with the items, with the first error, which is raised here in its turn, and when this is closed.

    **Arguments:** `items`: an iterator; `depth`: how many, 1 or more.
    """
    with concurrent.futures.ThreadPoolExecutor(1, "snnax.data.ahead") as thread:
        coming = collections.deque(thread.submit(next, items, _END) for _ in range(depth))
        try:
            while (item := coming.popleft().result()) is not _END:
                coming.append(thread.submit(next, items, _END))
                yield item
        finally:
            thread.shutdown(wait=False, cancel_futures=True)
