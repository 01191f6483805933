"""A cache gives what its source would give, knows what has made its entries, and survives damage."""

import functools
import os
import threading

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from snnax import data

SCALE = 2.0


class Counting:
    """A source that says how often it was asked."""

    fingerprint = "counting"

    def __init__(self, *examples):
        self.examples, self.asked = examples, []

    def __len__(self):
        return len(self.examples)

    def __getitem__(self, index):
        self.asked.append(index)
        return self.examples[index]


EVENTS = np.array([(1, 2.5, True)], [("x", "i2"), ("t", "f8"), ("p", "?")])
EXAMPLES = (
    {"frames": np.arange(6, dtype=np.uint8).reshape(2, 3), "label": np.int32(3), "name": "fünf"},
    {"frames": np.zeros((0, 3)), "label": 4, "name": "", "events": EVENTS, "z": np.asfortranarray(np.eye(3) * 1j)},
)


def same(one, other):
    assert list(one) == list(other)
    for name in one:
        np.testing.assert_array_equal(one[name], other[name])
        assert np.asarray(one[name]).dtype == np.asarray(other[name]).dtype


def test_examples_are_made_once_and_then_read_with_their_dtypes(tmp_path):
    source = Counting(*EXAMPLES)
    for _ in range(3):
        cached = data.Cached(source, tmp_path / "a/b", version="1")
        for index in (0, 1, -1):
            same(cached[index], EXAMPLES[index])
    assert source.asked == [0, 1] and len(cached) == 2
    assert isinstance(cached[0]["label"], np.int32)
    with pytest.raises(IndexError, match="`data.Cached`: there is no example 2; there are 2"):
        cached[2]


def test_jax_arrays_come_back_as_numpys(tmp_path):
    cached = data.Cached(Counting({"x": jnp.arange(3)}), tmp_path, version="")
    assert all(isinstance(cached[0]["x"], np.ndarray) for _ in range(2))


@pytest.mark.parametrize("value", [object(), [1, [2, 3]], {"a": 1}, None, np.array([None])])
def test_what_cannot_be_kept_is_named(tmp_path, value):
    value = jnp.zeros(2, jnp.bfloat16) if value is None else value
    with pytest.raises(ValueError, match="`data.Cached`: 'x' is a .* of dtype .* and cannot be kept. Examples must be"):
        data.Cached(Counting({"x": value}), tmp_path, version="")[0]
    for name in ("a/b", "made by"):
        with pytest.raises(ValueError, match=f"{name!r} is a int of dtype int64"):
            data.Cached(Counting({name: 1}), tmp_path, version="")[0]
    assert not list(tmp_path.rglob("*.npz")) + list(tmp_path.rglob(".*"))


def doubled(example):
    return {"x": example["x"] * SCALE + helper(1)}


def helper(x):
    return x


def made_by(function, folder, version="1"):
    return data.Cached(data.Mapped(Counting({"x": np.ones(2)}), function), folder, version=version).fingerprint


def test_a_changed_transform_makes_another_fingerprint(tmp_path, monkeypatch):
    def scaled(by, offset=0.0):
        return lambda example: {"x": by * example["x"] + offset}

    def folded(example, by):
        return {"x": example["x"] * by}

    class Scale:
        def __init__(self, by):
            self.by = by

        def __call__(self, example):
            return {"x": example["x"] * self.by}

        def method(self, example):
            return self(example)

    matrix = np.eye(2)
    kinds = {
        "code": [lambda e: {"x": e["x"] + 1}, lambda e: {"x": e["x"] - 1}],
        "constant": [lambda e: {"x": e["x"] + 1}, lambda e: {"x": e["x"] + 2}],
        "inside": [lambda e: {"x": (lambda: e["x"] + 3)()}, lambda e: {"x": (lambda: e["x"] + 4)()}],
        "name": [lambda e: {"x": np.sin(e["x"])}, lambda e: {"x": np.cos(e["x"])}],
        "closure": [scaled(1.0), scaled(2.0), scaled(1.0, 1.0)],
        "array": [scaled(matrix), scaled(2 * matrix), scaled(jnp.eye(2))],
        "default": [lambda e, by=1: {"x": e["x"] * by}, lambda e, by=2: {"x": e["x"] * by}],
        "partial": [functools.partial(folded, by=1), functools.partial(folded, by=2)],
        "object": [Scale(1), Scale(2)],
        "method": [Scale(1).method, Scale(2).method],
        "jit": [jax.jit(scaled(5.0)), jax.jit(scaled(6.0))],
        "dtype": [scaled(np.float32(7)), scaled(np.float64(7))],
        "set": [scaled({"a", "b"}), scaled({"a", "c"})],
    }
    found = {name: [made_by(function, tmp_path) for function in kind] for name, kind in kinds.items()}
    for name, prints in found.items():
        assert len(set(prints)) == len(prints), name
    assert found == {name: [made_by(function, tmp_path) for function in kind] for name, kind in kinds.items()}
    assert made_by(scaled(1.0), tmp_path) == made_by(scaled(1.0), tmp_path) != made_by(scaled(1.0), tmp_path, "2")
    before = made_by(doubled, tmp_path)
    monkeypatch.setitem(globals(), "SCALE", 3.0)
    after = made_by(doubled, tmp_path)
    monkeypatch.setattr(helper, "__code__", (lambda x: x + 1).__code__)
    assert len({before, after, made_by(doubled, tmp_path)}) == 3


def test_a_changed_source_makes_another_fingerprint(tmp_path):
    one, other = data.Arrays(x=np.arange(3.0)), data.Arrays(x=np.arange(1.0, 4.0))
    sources = [one, other, data.Subset(one, [1]), data.Subset(one, [2])]
    prints = [data.Cached(source, tmp_path, version="").fingerprint for source in sources]
    for seed in (None, 0, 1):
        source = data.SequentialMNIST(np.zeros((1, 4, 4), np.uint8), np.zeros(1, int), permuted_by=seed)
        prints.append(data.Cached(source, tmp_path, version="").fingerprint)
    folder = tmp_path / "NMNIST/Train/0"
    folder.mkdir(parents=True)
    for content, time, drop in ((b"", 1, False), (b"12345", 1, False), (b"12345", 2, False), (b"12345", 2, True)):
        (folder / "1.bin").write_bytes(content)
        os.utime(folder / "1.bin", (time, time))
        source = data.NMNIST(tmp_path, drop_invalid=drop)
        prints += [data.Cached(source, tmp_path, version="").fingerprint]
        assert data.Cached(source, tmp_path, version="").fingerprint == prints[-1]
    prints.append(
        data.Cached(data.Windows(data.NMNIST(tmp_path, drop_invalid=True), 5), tmp_path, version="").fingerprint
    )
    assert len(set(prints)) == len(prints) == 12


def test_what_cannot_be_seen_asks_for_a_fingerprint(tmp_path):
    generator = np.random.default_rng(0)
    key = jax.random.key(0)
    for hidden in (lambda e: generator, lambda e: key, lambda e, lock=threading.Lock(): lock):
        with pytest.raises(ValueError, match="`data.Cached`: what a .* holds cannot be seen. Give the source"):
            made_by(hidden, tmp_path)


def test_a_function_that_calls_itself_and_shared_ones_are_seen_once(tmp_path):
    def chain(depth):
        function = None
        for _ in range(depth):
            function = (lambda inner: lambda e: (inner, inner, inner))(function)
        return function

    def again(e):
        return again(e)

    assert made_by(chain(60), tmp_path) != made_by(chain(61), tmp_path)
    assert made_by(again, tmp_path) == made_by(again, tmp_path)


def test_an_entry_of_another_source_or_place_is_not_taken(tmp_path):
    source = Counting({"x": 0}, {"x": 1})
    cached = data.Cached(source, tmp_path, version="1")
    for index in (0, 1):
        cached[index]
    os.replace(cached.folder / "1.npz", cached.folder / "0.npz")
    assert cached[0]["x"] == 0 and source.asked == [0, 1, 0]
    other = data.Cached(source, tmp_path, version="2")
    os.replace(cached.folder / "0.npz", other.folder / "0.npz")
    assert other[0]["x"] == 0 and source.asked == [0, 1, 0, 0]


def test_a_flipped_bit_or_a_cut_anywhere_in_an_entry_changes_nothing(tmp_path):
    example = {"frames": np.random.default_rng(0).integers(0, 99, (3, 5)), "label": np.int32(3)}
    source = Counting(example)
    cached = data.Cached(source, tmp_path, version="1")
    cached[0]
    path = cached.folder / "0.npz"
    whole = path.read_bytes()
    made = 0
    for place in range(0, len(whole), 3):
        damaged = bytearray(whole)
        damaged[place] ^= 1 << place % 8
        for content in (damaged, whole[:place]):
            path.write_bytes(content)
            same(cached[0], example)
            made += 1
    assert made / 2 < len(source.asked) <= made + 1  # most damage is noticed


def test_an_entry_appears_whole_or_not_at_all(tmp_path, monkeypatch):
    cached = data.Cached(Counting({"x": 0}, {"x": np.arange(100)}), tmp_path, version="1")
    for broken in (KeyboardInterrupt, OSError("no space left on device")):
        with monkeypatch.context() as patch:
            patch.setattr(os, "replace", lambda *_, broken=broken: (_ for _ in ()).throw(broken))
            with pytest.raises((KeyboardInterrupt, OSError)):
                cached[1]
        assert list(cached.folder.iterdir()) == []
    threads = [threading.Thread(target=lambda: [cached[k % 2] for k in range(20)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(path.name for path in cached.folder.iterdir()) == ["0.npz", "1.npz"]


def test_a_mapped_source_is_the_function_of_each_example():
    mapped = data.Mapped(Counting({"x": 1}, {"x": 2}), lambda example: {"y": -example["x"]})
    assert len(mapped) == 2 and [mapped[k] for k in (0, 1)] == [{"y": -1}, {"y": -2}]
