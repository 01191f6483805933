"""Batches depend on (seed, epoch, number) alone, hold every example once, and their thread ends."""

import gc
import pickle
import threading
import time

import hypothesis
import hypothesis.strategies as st
import jax
import numpy as np
import pytest

from snnax import data


def numbers(n):
    """Examples that say which they are."""
    return data.Arrays(
        x=np.arange(n, dtype=np.int32), y=np.arange(n, dtype=np.float32)[:, None] * np.ones((1, 2), np.float32)
    )


class Ragged:
    """Examples of several lengths: number `i` has `i % 4 + 1` steps, all of them `i + 1`."""

    def __init__(self, n, dtype=np.uint8):
        self.n, self.dtype = n, dtype

    def __len__(self):
        return self.n

    def __getitem__(self, i):
        return {"x": np.full((i % 4 + 1, 2), i + 1, self.dtype), "label": i}


def seen(loader, epoch, **kwargs):
    return [batch["x"].tolist() for batch in loader.epoch(epoch, **kwargs)]


SIZES = st.tuples(st.integers(1, 40), st.integers(1, 12))


@hypothesis.given(SIZES, st.integers(0, 2**40), st.integers(0, 2**20), st.booleans(), st.integers(0, 3))
def test_every_epoch_holds_every_example_at_most_once_and_goes_on_from_any_batch(sizes, seed, epoch, drop, prefetch):
    n, batch_size = sizes
    hypothesis.assume(not drop or n >= batch_size)
    loader = data.Loader(numbers(n), batch_size, seed=seed, drop_last=drop, prefetch=prefetch)
    batches = list(loader.epoch(epoch))
    assert len(batches) == len(loader) == (n // batch_size if drop else -(-n // batch_size))
    counted = [np.ones(batch_size, bool) if drop else batch["counted"] for batch in batches]
    taken = np.concatenate([batch["x"][which] for batch, which in zip(batches, counted, strict=True)])
    assert len(set(taken)) == len(taken) == n - loader.left_out
    assert all(np.array_equal(batch["y"][:, 0], batch["x"]) for batch in batches)
    start = epoch % (len(loader) + 1)
    again = data.Loader(numbers(n), batch_size, seed=seed, drop_last=drop, prefetch=1)
    assert seen(again, epoch, start=start) == [batch["x"].tolist() for batch in batches[start:]]


def test_the_order_is_that_of_seed_and_epoch_and_nothing_else():
    loader = data.Loader(numbers(64), 8, seed=5)
    first = [seen(loader, epoch) for epoch in (0, 1, 7)]
    assert first[0] != first[1] != first[2] and seen(loader, 7) == first[2] and seen(loader, 0) == first[0]
    assert seen(data.Loader(numbers(64), 8, seed=6), 0) != first[0]
    # As written, in any version: a run that is taken up years later goes on in its order.
    assert np.array_equal(loader.order(7), np.random.default_rng([5, 7]).permutation(64))
    np.random.seed(0)
    assert seen(loader, 1) == first[1]


def test_without_shuffling_the_order_is_that_of_the_source():
    loader = data.Loader(numbers(7), 3, shuffle=False, drop_last=False)
    assert seen(loader, 0) == seen(loader, 3) == [[0, 1, 2], [3, 4, 5], [6, 6, 6]]
    assert [batch["counted"].tolist() for batch in loader.epoch(0)] == [[True] * 3, [True] * 3, [True, False, False]]
    dropped = data.Loader(numbers(7), 3, shuffle=False)
    assert seen(dropped, 0) == [[0, 1, 2], [3, 4, 5]] and dropped.left_out == 1 and loader.left_out == 0
    assert "counted" not in next(dropped.epoch(0))


def test_dtypes_are_kept():
    batch = next(data.Loader(numbers(4), 2).epoch(0))
    assert {name: array.dtype for name, array in batch.items()} == {"x": np.int32, "y": np.float32}
    assert next(data.Loader(Ragged(4, bool), 2, pad=["x"]).epoch(0))["x"].dtype == bool


@hypothesis.given(st.integers(1, 20), st.integers(1, 6), st.sampled_from([None, 4, 9]))
def test_what_is_shorter_is_filled_with_zeros_and_its_length_is_told(n, batch_size, length):
    loader = data.Loader(Ragged(n), batch_size, pad=("x",), length=length, drop_last=False)
    for batch in loader.epoch(0):
        lengths = batch["label"] % 4 + 1
        assert batch["length"].tolist() == lengths.tolist() and batch["length"].dtype == np.int32
        assert batch["x"].shape == (batch_size, length or lengths.max(), 2) and batch["x"].dtype == np.uint8
        for row, label, steps in zip(batch["x"], batch["label"], lengths, strict=True):
            assert np.all(row[:steps] == label + 1) and not row[steps:].any()


@hypothesis.given(st.integers(1, 4), st.integers(1, 4), st.integers(0, 5), st.booleans())
def test_the_shares_of_the_processes_are_the_batch(processes, share, epoch, drop):
    n, batch_size = 29, processes * share
    whole = data.Loader(numbers(n), batch_size, drop_last=drop, process=(0, 1))
    parts = [data.Loader(numbers(n), batch_size, drop_last=drop, process=(i, processes)) for i in range(processes)]
    assert {len(part) for part in parts} == {len(whole)}
    for batch, *shares in zip(whole.epoch(epoch), *(part.epoch(epoch) for part in parts), strict=True):
        assert {len(one["x"]) for one in shares} == {share}
        for name, array in batch.items():
            assert np.array_equal(np.concatenate([one[name] for one in shares]), array)


def test_a_process_reads_its_share_and_no_more():
    class Counting(Ragged):
        def __getitem__(self, i):
            read.append(i)
            return {"x": np.array(i)}

    read = []
    loader = data.Loader(Counting(16), 8, shuffle=False, process=(1, 2), prefetch=0)
    assert seen(loader, 0) == [[4, 5, 6, 7], [12, 13, 14, 15]] and read == [4, 5, 6, 7, 12, 13, 14, 15]


# The thread.


def threads():
    return [thread for thread in threading.enumerate() if "snnax" in thread.name]


def test_batches_are_prepared_while_others_are_used_and_no_more_than_asked_for():
    made = []

    def items():
        for i in range(10):
            made.append((i, threading.current_thread().name))
            yield i

    coming = data.ahead(items(), 3)
    assert not made and not threads()  # nothing starts before somebody takes
    assert next(coming) == 0
    deadline = time.monotonic() + 10
    while len(made) < 4 and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.05)
    assert [i for i, _ in made] == [0, 1, 2, 3] and all("snnax" in name for _, name in made)
    assert list(coming) == list(range(1, 10)) and not threads()


def test_place_is_called_in_the_thread_on_every_batch():
    names = []

    def place(batch):
        names.append(threading.current_thread().name)
        return jax.device_put(batch)

    batches = list(data.Loader(numbers(6), 2).epoch(0, place=place))
    assert all(isinstance(batch["x"], jax.Array) for batch in batches)
    assert len(names) == 3 and all("snnax" in name for name in names)
    assert [batch * 2 for batch in data.Loader(numbers(6), 2, prefetch=0).epoch(0, place=len)] == [4, 4, 4]


@pytest.mark.parametrize("leave", ["close", "forget", "error"])
def test_the_thread_ends_with_an_early_exit(leave):
    batches = data.Loader(numbers(1000), 1).epoch(0)
    next(batches)
    assert len(threads()) == 1
    if leave == "close":
        batches.close()
    elif leave == "forget":
        del batches
        gc.collect()
    else:
        with pytest.raises(KeyboardInterrupt):
            batches.throw(KeyboardInterrupt())
    assert not threads()


def test_what_nobody_waits_for_is_not_made():
    made = []

    def items():
        for i in range(9):
            time.sleep(0.02)
            made.append(i)
            yield i

    coming = data.ahead(items(), 8)
    next(coming)
    coming.close()
    assert len(made) <= 3


class Broken(Ragged):
    def __getitem__(self, i):
        if i == 5:
            raise OSError("recording 5 cannot be read")
        return {"x": np.array(i)}


@pytest.mark.parametrize("prefetch", [0, 1, 8])
def test_the_error_of_the_source_is_raised_in_its_turn(prefetch):
    taken = []
    with pytest.raises(OSError, match="recording 5 cannot be read"):
        for batch in data.Loader(Broken(12), 2, shuffle=False, prefetch=prefetch).epoch(0):
            taken.append(batch["x"].tolist())
    assert taken == [[0, 1], [2, 3]] and not threads()


# Sources.


def test_a_subset_has_the_examples_that_it_names_in_that_order():
    subset = data.Subset(numbers(10), [7, 2, 2])
    assert len(subset) == 3 and [int(subset[i]["x"]) for i in range(3)] == [7, 2, 2]
    nested = data.Subset(subset, np.array([2, 0]))
    assert [int(nested[i]["x"]) for i in range(2)] == [2, 7]


@hypothesis.given(st.integers(2, 60), st.floats(0.05, 0.95), st.integers(0, 1000))
def test_a_split_is_a_partition_of_the_source_by_its_seed(n, share, seed):
    hypothesis.assume(0 < round(share * n) < n)
    first, second = data.split(numbers(n), share, seed=seed)
    assert sorted([*first.indices, *second.indices]) == list(range(n)) and len(second) == round(share * n)
    assert np.all(np.diff(first.indices) > 0) and np.all(np.diff(second.indices) > 0)
    again, _ = data.split(numbers(n), share, seed=seed)
    assert np.array_equal(again.indices, first.indices)


def test_another_seed_splits_otherwise():
    parts = [data.split(numbers(100), 0.5, seed=seed)[1].indices for seed in (0, 1)]
    assert not np.array_equal(*parts)


def test_a_split_by_speakers_tears_none_apart():
    speakers = np.array(["ann", "bob", "cem", "dan", "eve"])[np.arange(50) * 7 % 5]
    first, second = data.split(numbers(50), 0.4, by=speakers)
    names = set(speakers[first.indices]), set(speakers[second.indices])
    assert len(names[0]) == 3 and len(names[1]) == 2 and not names[0] & names[1]


# Messages.


REFUSED = {
    "no batch size": (lambda: data.Loader(numbers(4), 0), "`batch_size` must be a whole number, 1 or more, got 0"),
    "half a batch": (lambda: data.Loader(numbers(4), 1.5), "`batch_size` must be a whole number, 1 or more, got 1.5"),
    "a bool": (lambda: data.Loader(numbers(4), True), "`batch_size` must be a whole number, 1 or more, got True"),
    "prefetch": (lambda: data.Loader(numbers(4), 2, prefetch=-1), "`prefetch` must be a whole number, 0 or more"),
    "seed": (lambda: data.Loader(numbers(4), 2, seed=-1), "`seed` must be a whole number, 0 or more, got -1"),
    "length": (lambda: data.Loader(numbers(4), 2, length=0), "`length` must be a whole number, 1 or more, got 0"),
    "too few": (lambda: data.Loader(numbers(4), 5), "4 examples do not fill a batch of 5.*or `drop_last=False`"),
    "none": (lambda: data.Loader(data.Subset(numbers(4), np.zeros(0, int)), 1, drop_last=False), "0 examples do not"),
    "processes": (lambda: data.Loader(numbers(4), 3, process=(0, 2)), "batch of 3 cannot be shared by 2 processes"),
    "a process": (lambda: data.Loader(numbers(4), 4, process=(2, 2)), "2 processes of which this is number 2"),
    "a name": (lambda: data.Loader(Ragged(4), 2, pad="x"), r"`pad` must be a sequence of names, such as \('x',\)"),
    "an epoch": (lambda: data.Loader(numbers(4), 2).epoch(-1), "`epoch` must be a whole number, 0 or more, got -1"),
    "a start": (lambda: data.Loader(numbers(4), 2).epoch(0, start=-1), "`start` must be a whole number, 0 or more"),
    "a late start": (lambda: data.Loader(numbers(4), 2).epoch(0, start=3), "a batch of the 2 in an epoch, got 3"),
    "lengths": (lambda: data.Arrays(x=np.ones(3), y=np.ones(4)), r"one length along axis 0, got .*\(3,\).*\(4,\)"),
    "no axis": (lambda: data.Arrays(x=3.0), "one length along axis 0, got"),
    "no arrays": (lambda: data.Arrays(), "one length along axis 0, got {}"),
    "an index": (lambda: data.Subset(numbers(4), [4]), r"`indices` must be whole numbers from 0 to 3, got \[4\]"),
    "below zero": (lambda: data.Subset(numbers(4), [-1]), "from 0 to 3"),
    "a mask": (lambda: data.Subset(numbers(2), np.array([True, False])), "must be whole numbers from 0 to 1"),
    "a share": (lambda: data.split(numbers(4), 1.0), "`share` must be between 0 and 1, both excluded, got 1.0"),
    "nothing": (lambda: data.split(numbers(4), 0.01), "a share of 0.01 of 4 examples or groups leaves one part empty"),
    "groups": (lambda: data.split(numbers(4), 0.5, by=[1, 2]), r"a group for each of 4 examples, got \(2,\)"),
}


@pytest.mark.parametrize("call, message", REFUSED.values(), ids=REFUSED)
def test_what_makes_no_sense_is_refused(call, message, unchecked):
    with pytest.raises(ValueError, match=message):
        call()


class OneByOne:
    """A source that is not known to be arrays."""

    def __init__(self, source):
        self.source = source

    def __len__(self):
        return len(self.source)

    def __getitem__(self, i):
        return self.source[i]


@pytest.mark.parametrize("settings", [{}, {"drop_last": False}, {"process": (1, 2)}])
def test_arrays_are_taken_at_once_as_they_are_one_by_one(settings):
    source = data.Subset(data.Subset(numbers(30), np.arange(29, 4, -1)), [*range(3, 20), 3])
    loaders = [data.Loader(one, 4, **settings) for one in (source, OneByOne(source))]
    for batch, other in zip(*(loader.epoch(2) for loader in loaders), strict=True):
        assert batch.keys() == other.keys()
        for name in batch:
            assert np.array_equal(batch[name], other[name]) and batch[name].dtype == other[name].dtype


def test_a_batch_of_arrays_is_a_copy():
    source = numbers(8)
    next(data.Loader(source, 8, shuffle=False).epoch(0))["x"][:] = -1
    assert np.array_equal(source.arrays["x"], np.arange(8))


def test_a_name_that_the_loader_gives_is_refused_in_arrays_too():
    loader = data.Loader(data.Arrays(counted=np.ones(4)), 2, drop_last=False)
    with pytest.raises(ValueError, match=r"none of them \['counted'\], which the loader gives"):
        next(loader.epoch(0))


class Given(list):
    """A source of the examples in a list."""


UNEQUAL = {
    "shapes": ([{"x": np.ones(2)}, {"x": np.ones(3)}], {}, r"'x'.*float64\[2\], float64\[3\].*`pad=\('x',\)`"),
    "dtypes": ([{"x": np.ones(2)}, {"x": np.ones(2, int)}], {}, r"differ in shape or dtype.*float64\[2\], int64\[2\]"),
    "dtypes of padded": ([{"x": np.ones(2)}, {"x": np.ones(3, int)}], {"pad": ["x"]}, "differ in shape or dtype"),
    "other axes": (
        [{"x": np.ones((2, 3))}, {"x": np.ones((2, 1))}],
        {"pad": ["x"]},
        r"float64\[2, 1\], float64\[2, 3\]",
    ),
    "no axis to pad": ([{"x": 1.0}, {"x": 2.0}], {"pad": ["x"]}, "has no length|differ in shape"),
    "too long": ([{"x": np.ones(3)}], {"pad": ["x"], "length": 2}, "3 long under 'x', more than `length=2`"),
    "a name too many": ([{"x": 1}, {"x": 1, "y": 2}], {}, r"same names; got \['x', 'y'\] beside \['x'\]"),
    "a name too few": ([{"x": 1, "y": 2}, {"x": 1}], {}, r"same names; got \['x'\] beside \['x', 'y'\]"),
    "no such name": ([{"x": np.ones(2)}], {"pad": ["z"]}, r"\['z'\] of `pad` among them"),
    "a name that is taken": (
        [{"x": np.ones(2), "length": 2}],
        {"pad": ["x"]},
        r"none of them \['length'\], which the loader gives",
    ),
    "another that is taken": ([{"x": 1, "counted": 2}], {"drop_last": False}, r"none of them \['counted'\]"),
    "two lengths": ([{"x": np.ones(2), "y": np.ones(3)}], {"pad": ["x", "y"]}, "must have one length in each example"),
}


@pytest.mark.parametrize("examples, settings, message", UNEQUAL.values(), ids=UNEQUAL)
def test_examples_that_do_not_fit_together_are_refused(examples, settings, message):
    loader = data.Loader(Given(examples), len(examples), **settings)
    with pytest.raises(ValueError, match=message):
        next(loader.epoch(0))


# Grain.


@pytest.fixture
def grain():
    return pytest.importorskip("grain", reason="grain is not installed")


def test_batches_made_by_grain_are_those_of_the_loader(grain):
    loader = data.Loader(numbers(11), 2, seed=3)
    others = data.GrainLoader(loader, workers=2)
    assert len(others) == len(loader) == 5 and others.left_out == 1
    try:
        for epoch, start in ((0, 3), (1, 0)):
            for batch, other in zip(loader.epoch(epoch, start=start), others.epoch(epoch, start=start), strict=True):
                assert all(np.array_equal(batch[name], other[name]) for name in {*batch, *other})
        assert list(others.epoch(4, start=2, place=lambda batch: batch["x"].tolist())) == seen(loader, 4, start=2)
    finally:
        others.close()


def test_a_data_set_of_grain_is_a_source(grain):
    dataset = grain.MapDataset.range(10).map(lambda i: {"x": np.full(3, i), "label": i})
    loader = data.Loader(dataset, 4, seed=1)
    assert [batch["label"].tolist() for batch in loader.epoch(0)] == loader.order(0)[:8].reshape(2, 4).tolist()


def test_a_loader_can_be_sent_to_another_process():
    loader = pickle.loads(pickle.dumps(data.Loader(numbers(9), 2, seed=4)))
    assert seen(loader, 2) == seen(data.Loader(numbers(9), 2, seed=4), 2)


def test_grain_says_what_it_cannot_do(monkeypatch, unchecked):
    loader = data.Loader(numbers(4), 2)
    with pytest.raises(ValueError, match="`data.GrainLoader`: `workers` must be a whole number, 1 or more, got 0"):
        data.GrainLoader(loader, workers=0)
    with pytest.raises(ValueError, match="`ahead` must be a whole number, 1 or more, got True"):
        data.GrainLoader(loader, workers=1, ahead=True)
    monkeypatch.setitem(__import__("sys").modules, "grain", None)
    with pytest.raises(ImportError, match="needs grain: `pip install grain`"):
        data.GrainLoader(loader, workers=1)
