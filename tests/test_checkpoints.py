"""A checkpoint comes back as it was or is refused by name, and a run finds the newest that is whole."""

import enum
import hashlib
import json
import math
import os
import pathlib
import time
import warnings

import equinox as eqx
import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import optax
import pytest

import snnax.snn as snn
from snnax import train

LEAVES = {
    "float32": lambda: jnp.array([1.5, -0.0, jnp.nan, jnp.inf]),
    "bfloat16": lambda: jnp.array([[1.0, 2.5], [-3.0, 0.001]], jnp.bfloat16),
    "float16": lambda: jnp.array([6.1e-5], jnp.float16),
    "int8": lambda: jnp.array([-128, 127], jnp.int8),
    "int32, a scalar": lambda: jnp.array(-7, jnp.int32),
    "uint32": lambda: jnp.array([2**32 - 1], jnp.uint32),
    "bool": lambda: jnp.array([True, False]),
    "complex64": lambda: jnp.array([1 + 2j, complex(jnp.nan, -0.0)], jnp.complex64),
    "no elements": lambda: jnp.zeros((0, 3)),
    "key": lambda: jr.key(3),
    "keys": lambda: jr.split(jr.key(3), 4),
    "rbg key": lambda: jr.key(3, impl="rbg"),
    "unsafe_rbg key": lambda: jr.key(3, impl="unsafe_rbg"),
    "old key": lambda: jr.PRNGKey(3),
    "a float": lambda: 0.1 + 0.2,
    "nan": lambda: math.nan,
    "-inf": lambda: -math.inf,
    "a small number": lambda: 5e-324,
    "an int": lambda: 2**70,
    "a bool": lambda: True,
    "a complex": lambda: complex(1.0, -math.inf),
    "NumPy float64": lambda: np.array([0.1, 1e300]),
    "NumPy int64, not contiguous": lambda: np.arange(12).reshape(3, 4).T,
    "NumPy, the great end first": lambda: np.arange(5, dtype=">i4"),
    "NumPy scalar": lambda: np.float64(0.1),
    "NumPy bool": lambda: np.bool_(True),
    "None": lambda: None,
    "a function": lambda: jnp.tanh,
}


def same_leaf(a, b):
    if type(a) is not type(b):
        return False
    if isinstance(a, jax.Array) and jnp.issubdtype(a.dtype, jax.dtypes.prng_key):
        return jr.key_impl(a) == jr.key_impl(b) and np.array_equal(jr.key_data(a), jr.key_data(b))
    if isinstance(a, (jax.Array, np.ndarray, np.generic)):
        return a.dtype == b.dtype and a.shape == b.shape and np.asarray(a).tobytes() == np.asarray(b).tobytes()
    return a is b or repr(a) == repr(b)


def other_values(leaf):
    """A leaf of the same kind, with other values."""
    if type(leaf) in (bool, int, float, complex):
        return type(leaf)(0)
    if isinstance(leaf, jax.Array) and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        data = jr.key_data(leaf)
        return jr.wrap_key_data(jnp.zeros_like(data), impl=str(jr.key_impl(leaf)))
    if isinstance(leaf, (jax.Array, np.ndarray, np.generic)):
        zeros = np.zeros_like(leaf) if isinstance(leaf, (np.ndarray, np.generic)) else jnp.zeros_like(leaf)
        return zeros[()] if isinstance(leaf, np.generic) else zeros
    return leaf


@pytest.mark.parametrize("make", LEAVES.values(), ids=LEAVES)
def test_every_kind_of_leaf_comes_back_as_it_was(make, tmp_path):
    tree = {"leaf": make(), "nested": [make(), (jnp.array(1.0), make())]}
    train.save(tmp_path / "a", tree)
    like = jax.tree.map(other_values, tree)
    loaded = train.load(tmp_path / "a", like)
    assert jax.tree.structure(loaded) == jax.tree.structure(tree)
    assert all(map(same_leaf, jax.tree.leaves(loaded), jax.tree.leaves(tree)))


def test_float64_arrays_come_back_where_they_can_be(tmp_path):
    with jax.enable_x64(True):
        tree = {"w": jnp.array([0.1], jnp.float64)}
        train.save(tmp_path / "a", tree)
        assert same_leaf(train.load(tmp_path / "a", {"w": jnp.zeros(1, jnp.float64)})["w"], tree["w"])
    with pytest.raises(train.CheckpointError, match=r"the leaf \['w'\] is of dtype float64, which needs .*x64"):
        train.load(tmp_path / "a", tree)


def test_what_is_loaded_may_be_given_away(tmp_path):
    train.save(tmp_path / "a", {"w": jnp.arange(1000.0)})
    loaded = train.load(tmp_path / "a", {"w": jnp.zeros(1000)})
    doubled = jax.jit(lambda tree: {"w": 2 * tree["w"]}, donate_argnums=0)(loaded)
    assert np.array_equal(doubled["w"], 2 * np.arange(1000.0)) and loaded["w"].is_deleted()


def test_functions_and_names_come_from_like(tmp_path):
    class Colour(enum.IntEnum):
        RED = 1

    train.save(tmp_path / "a", [jnp.ones(2), jnp.tanh, "name", Colour.RED])
    loaded = train.load(tmp_path / "a", [jnp.zeros(2), jnp.sin, "other", Colour.RED])
    assert np.array_equal(loaded[0], [1, 1]) and loaded[1:] == [jnp.sin, "other", Colour.RED]


def network(hidden=6, key=0):
    k1, k2 = jr.split(jr.key(key))
    return snn.Sequential(
        eqx.nn.Linear(4, hidden, key=k1),
        snn.LIF([jnp.array(0.95), 0.9]),
        eqx.nn.Linear(hidden, 3, key=k2),
        snn.SimpleLI(0.9),
    )


OPTIMISER = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(1e-3))


def run_state(key=0):
    return train.TrainState.start(network(key=key), OPTIMISER, jr.key(key))


def test_the_state_of_a_run_comes_back(tmp_path):
    state = run_state(1)
    train.save(tmp_path / "a", state, config={"learning_rate": 1e-3, "layers": [6, 3]})
    loaded = train.load(tmp_path / "a", run_state(2))
    assert eqx.tree_equal(loaded, state) and not eqx.tree_equal(loaded, run_state(2))
    assert train.read_config(tmp_path / "a") == {"learning_rate": 1e-3, "layers": [6, 3]}


# What is wrong with a file.


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A folder, a checkpoint in it as bytes, and what to load it into."""
    folder = tmp_path_factory.mktemp("whole")
    tree = {"w": jnp.arange(5.0), "key": jr.key(1), "rate": 0.5, "flag": True}
    train.save(folder / "whole", tree, config={"seed": 3})
    return folder, (folder / "whole").read_bytes(), tree


def refused(folder, content, like, match=None):
    path = folder / "damaged"
    path.write_bytes(content)
    with pytest.raises(train.CheckpointError, match=match) as error:
        train.load(path, like)
    assert str(path) in str(error.value)
    with pytest.raises(train.CheckpointError):
        train.read_config(path)


def flipped(content, position, bit):
    return content[:position] + bytes([content[position] ^ (1 << bit)]) + content[position + 1 :]


@hypothesis.given(position=st.integers(min_value=0), bit=st.integers(0, 7))
@hypothesis.settings(max_examples=500)
def test_a_flipped_bit_anywhere_is_detected(whole, position, bit):
    folder, content, like = whole
    refused(folder, flipped(content, position % len(content), bit), like)


def test_a_flipped_bit_in_the_first_line_is_detected_everywhere(whole):
    folder, content, like = whole
    for position in range(content.index(b"\n") + 1):
        for bit in range(8):
            refused(folder, flipped(content, position, bit), like)


@hypothesis.given(st.integers(min_value=0))
def test_a_truncated_file_is_detected(whole, length):
    folder, content, like = whole
    refused(folder, content[: length % len(content)], like)


def test_a_longer_file_is_detected(whole):
    folder, content, like = whole
    refused(folder, content + b"\0", like, "does not have|do not have the hash")


@hypothesis.given(st.binary(max_size=300))
def test_a_foreign_file_is_refused(whole, content):
    folder, _, like = whole
    refused(folder, content, like, "no checkpoint of snnax: its first line is")


@pytest.mark.parametrize("content", [b"", b"PK\3\4" + bytes(1000), b"\x93NUMPY\1\0" + bytes(1000)])
def test_empty_files_and_other_formats_are_refused(whole, content):
    folder, _, like = whole
    refused(folder, content, like, "no checkpoint of snnax")


def forged(header, data=b"", *, version=1, length=None):
    """A file with the right hash, whatever is in it."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    opening = f"snnax-checkpoint {version} {len(text) if length is None else length} ".encode()
    return opening + hashlib.sha256(opening + text + data).hexdigest().encode() + b"\n" + text + data


def leaf(path="['w']", dtype="float32", shape=(5,), key=None, value=None):
    return {"path": path, "dtype": dtype, "shape": list(shape), "key": key, "value": value}


def header(*leaves):
    return {"versions": {}, "config": {}, "leaves": list(leaves)}


def test_what_the_forger_of_these_tests_makes_is_read(tmp_path):
    (tmp_path / "a").write_bytes(forged(header(leaf()), np.arange(5, dtype=np.float32).tobytes()))
    assert np.array_equal(train.load(tmp_path / "a", {"w": jnp.zeros(5)})["w"], np.arange(5))


def test_another_format_is_refused_by_its_number(tmp_path):
    (tmp_path / "a").write_bytes(forged(header(leaf()), bytes(20), version=7))
    with pytest.raises(train.CheckpointError, match="format of this checkpoint is 7, this version of snnax reads 1"):
        train.load(tmp_path / "a", {"w": jnp.zeros(5)})


DEEP = b'{"config": {}, "leaves": ' + b"[" * 200_000
HOSTILE = {
    "a header longer than the file": (forged(b"{}", length=999_999_999_999), "999999999999 bytes is longer"),
    "a header longer than the file, not too long": (forged(b"{}", length=1000), "cannot be read.*config"),
    "no JSON": (forged(b"\xff\xfe"), "header cannot be read"),
    "deep nesting": (forged(DEEP), "header cannot be read"),
    "a list": (forged(b"[]"), "header cannot be read"),
    "no leaves": (forged({"config": {}}), "header cannot be read.*leaves"),
    "leaves that are a number": (forged({"config": {}, "leaves": 3}), "does not describe leaves"),
    "leaves that are numbers": (forged({"config": {}, "leaves": [3]}), "header cannot be read"),
    "leaves that are texts": (forged({"config": {}, "leaves": ["a"]}), "does not describe leaves"),
    "a config that is a list": (forged({"config": [], "leaves": []}), "does not describe leaves"),
    "a huge shape": (forged(header(leaf(shape=(2**62, 2**62)))), "must have.*4611686018427387904"),
    "a negative shape": (
        forged(header(leaf(shape=(-5,))), bytes(20)),
        r"must have .*\[5\].*the checkpoint has .*\[-5\]",
    ),
    "a nested shape": (forged(header(leaf(shape=([5],))), bytes(20)), "must have"),
    "too few bytes": (forged(header(leaf()), bytes(19)), "its leaves take 19 bytes where 20 are due"),
    "too many bytes": (forged(header(leaf()), bytes(21)), "its leaves take 21 bytes where 20 are due"),
    "another leaf": (forged(header(leaf(), leaf("['v']")), bytes(40)), r"lacks nothing and has \[\"\['v'\]\"\]"),
    "the same leaf twice": (forged(header(leaf(), leaf()), bytes(40)), "in another order"),
}


@pytest.mark.parametrize("content, message", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_file_with_the_right_hash_is_refused_at_once(content, message, tmp_path):
    (tmp_path / "a").write_bytes(content)
    begun = time.monotonic()
    with pytest.raises(train.CheckpointError, match=message):
        train.load(tmp_path / "a", {"w": jnp.zeros(5)})
    assert time.monotonic() - begun < 5


@pytest.mark.parametrize(
    "like, value",
    [(0.5, "inf"), (0.5, 1), (0.5, None), (1, True), (1, 1.0), (True, 1), (1j, [1.0]), (1j, 1.0), (1j, [1, 2])],
)
def test_a_number_of_another_type_is_refused(like, value, tmp_path):
    described = leaf("['w']", type(like).__name__, (), value=value)
    (tmp_path / "a").write_bytes(forged(header(described)))
    with pytest.raises(train.CheckpointError, match=rf"leaf \['w'\] must be a {type(like).__name__}, the header has"):
        train.load(tmp_path / "a", {"w": like})


@hypothesis.given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=4)
            | st.dictionaries(
                st.sampled_from(["config", "leaves", "path", "dtype", "shape", "key", "value", "versions"]), inner
            )
        ),
        max_leaves=30,
    )
)
@hypothesis.example({"config": {}, "leaves": {}})
@hypothesis.settings(max_examples=200)
def test_any_json_as_header_is_refused(whole, content):
    path = whole[0] / "json"
    path.write_bytes(forged(content, bytes(20)))
    with pytest.raises(train.CheckpointError):
        train.load(path, {"w": jnp.zeros(5)})


OTHERS = {
    "a missing leaf": ({"a": 0}, {"a": 0, "b": 0}, r"It lacks \[\"\['b'\]\"\] and has nothing"),
    "a needless leaf": ({"a": 0, "b": 0}, {"a": 0}, r"It lacks nothing and has \[\"\['b'\]\"\]"),
    "a renamed leaf": ({"a": 0}, {"b": 0}, r"It lacks \[\"\['b'\]\"\] and has \[\"\['a'\]\"\]"),
    "another shape": ({"a": jnp.zeros(3)}, {"a": jnp.zeros(4)}, r"leaf \['a'\] must have .*\[4\].* has .*\[3\]"),
    "another dtype": ({"a": jnp.zeros(3)}, {"a": jnp.zeros(3, int)}, r"\['a'\] must have .*'int32'.* has .*'float32'"),
    "a number for an array": ({"a": 0.0}, {"a": jnp.zeros(())}, r"must have .*'float32'.* has .*'float'"),
    "an int for a float": ({"a": 1}, {"a": 1.0}, "must have .*'float'.* has .*'int'"),
    "another kind of key": ({"a": jr.key(0)}, {"a": jr.key(0, impl="rbg")}, "'rbg'.* has .*'threefry2x32'"),
    "an array for a key": ({"a": jr.key_data(jr.key(0))}, {"a": jr.key(0)}, "'threefry2x32'.* has .*None"),
}


@pytest.mark.parametrize("saved, wanted, message", OTHERS.values(), ids=OTHERS)
def test_the_checkpoint_of_another_network_is_refused_and_says_what_differs(saved, wanted, message, tmp_path):
    train.save(tmp_path / "a", saved)
    with pytest.raises(train.CheckpointError, match=message) as error:
        train.load(tmp_path / "a", wanted)
    assert str(tmp_path / "a") in str(error.value)


def test_another_size_of_a_layer_is_named(tmp_path):
    train.save(tmp_path / "a", network(6))
    with pytest.raises(train.CheckpointError, match=r"layers\[0\]\.weight must have .*\[7, 4\].* has .*\[6, 4\]"):
        train.load(tmp_path / "a", network(7))


def test_what_cannot_be_saved_is_refused_before_anything_is_written(tmp_path):
    for leaf, dtype in [
        (np.array(["a"]), "<U1"),
        (np.array([object()]), "object"),
        (np.datetime64("2020"), "datetime"),
    ]:
        with pytest.raises(ValueError, match=rf"the leaf \['w'\] is of dtype {dtype}.*only numbers"):
            train.save(tmp_path / "a", {"w": leaf})
    for config in ({"f": jnp.tanh}, {"x": np.float32(1)}):
        with pytest.raises(ValueError, match="`config` must be what JSON can hold: .*not JSON serializable"):
            train.save(tmp_path / "a", {"w": 1}, config=config)
    with pytest.raises(ValueError, match=r"header of \d+ bytes is too long. Keep less in `config`"):
        train.save(tmp_path / "a", {"w": 1}, config={"x": "a" * 2**26})
    assert list(tmp_path.iterdir()) == []


# What a crash leaves.


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_failure_in_the_middle_of_a_save_leaves_the_old_file(call, tmp_path, monkeypatch):
    train.save(tmp_path / "a", {"w": 1})

    def fails(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, call, fails)
    with pytest.raises(OSError, match="No space"):
        train.save(tmp_path / "a", {"w": 2})
    monkeypatch.undo()
    assert train.load(tmp_path / "a", {"w": 0}) == {"w": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_the_new_file_is_on_the_disk_before_it_takes_the_place_of_the_old(tmp_path, monkeypatch):
    """What a loss of power needs: contents first, then the name, then the folder."""
    calls = []
    for name in ("fsync", "replace"):
        real = getattr(os, name)
        monkeypatch.setattr(os, name, lambda *args, name=name, real=real: (calls.append((name, *args)), real(*args))[1])
    train.save(tmp_path / "a", {"w": 1})
    assert [call[0] for call in calls] == ["fsync", "replace", "fsync"]
    source, target = map(pathlib.Path, calls[1][1:])
    assert source.parent == target.parent == tmp_path and source != target == tmp_path / "a"


def test_a_save_sweeps_what_a_killed_run_has_left_and_reading_does_not(tmp_path):
    stale = tmp_path / ".step_000000003.ckpt.4711.tmp"
    others = [tmp_path / ".step_notes.tmp", tmp_path / "notes.txt"]
    for path in (stale, *others):
        path.write_bytes(b"half")
    checkpoints = train.Checkpoints(tmp_path)
    assert checkpoints.steps() == [] and checkpoints.restore({"w": 1}) is None and stale.exists()
    checkpoints.save(5, {"w": 1})
    assert not stale.exists() and all(path.exists() for path in others)


# A folder of them.


def test_the_last_ones_and_the_best_stay(tmp_path):
    checkpoints = train.Checkpoints(tmp_path / "new" / "folder", keep=2, metric="accuracy")
    for step, accuracy in enumerate([0.1, 0.9, 0.3, math.nan, 0.9, 0.2, 0.3]):
        checkpoints.save(step, {"w": step}, metrics={"accuracy": accuracy, "loss": 0.0})
    assert checkpoints.steps() == [4, 5, 6] and checkpoints.best() == 4  # the later of equals
    again = train.Checkpoints(tmp_path / "new" / "folder", keep=2, metric="accuracy")
    assert again.best() == 4
    assert again.restore({"w": 0}) == (6, {"w": 6}) and again.restore({"w": 0}, best=True) == (4, {"w": 4})
    lowest = train.Checkpoints(tmp_path / "new" / "folder", keep=2, metric="accuracy", lower_is_better=True)
    assert lowest.best() == 5


def test_without_a_metric_only_the_last_ones_stay(tmp_path):
    checkpoints = train.Checkpoints(tmp_path, keep=1)
    for step in (1, 2, 3):
        checkpoints.save(step, {"w": step}, metrics={"accuracy": -step})
    assert checkpoints.steps() == [3] and checkpoints.best() is None
    assert checkpoints.restore({"w": 0}, best=True) is None


def test_checkpoints_without_the_metric_are_no_best(tmp_path):
    checkpoints = train.Checkpoints(tmp_path, keep=1, metric="accuracy")
    checkpoints.save(1, {"w": 1}, metrics={"accuracy": 0.5})
    checkpoints.save(2, {"w": 2})
    checkpoints.save(3, {"w": 3})
    assert checkpoints.steps() == [1, 3] and checkpoints.best() == 1


def test_steps_of_more_than_nine_digits_are_in_order(tmp_path):
    checkpoints = train.Checkpoints(tmp_path, keep=2)
    for step in (999_999_999, 1_000_000_000):
        checkpoints.save(step, {"w": step})
    assert checkpoints.restore({"w": 0}) == (1_000_000_000, {"w": 1_000_000_000})


def test_settings_and_progress_are_kept(tmp_path):
    checkpoints = train.Checkpoints(tmp_path, config={"seed": 1, "layers": (4, 5)})
    checkpoints.save(3, {"w": 1}, progress={"history": [{"loss": math.nan}]})
    assert checkpoints.config(3) == {"seed": 1, "layers": [4, 5]}
    assert math.isnan(checkpoints.progress(3)["history"][0]["loss"])


def test_other_settings_are_refused_and_named(tmp_path):
    train.Checkpoints(tmp_path, config={"seed": 1, "layers": (4, 5), "old": 0}).save(3, {"w": 1})
    other = train.Checkpoints(tmp_path, config={"seed": 2, "layers": (4, 5), "new": 7})
    told = r"other settings: new=None and not 7, old=0 and not None, seed=1 and not 2"
    with pytest.raises(train.CheckpointError, match=told):
        other.restore({"w": 0})
    same = train.Checkpoints(tmp_path, config={"seed": 1, "layers": [4, 5], "old": 0})
    assert same.restore({"w": 0}) == (3, {"w": 1}) == train.Checkpoints(tmp_path).restore({"w": 0})


def damage(path):
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def test_the_newest_that_is_whole_is_taken_and_the_damaged_one_is_named(tmp_path):
    checkpoints = train.Checkpoints(tmp_path, keep=4)
    for step in (1, 2, 3, 4):
        checkpoints.save(step, {"w": jnp.full(3, step)})
    damage(checkpoints.path(4))
    checkpoints.path(3).write_bytes(b"")
    with pytest.warns(UserWarning) as warned:
        step, tree = checkpoints.restore({"w": jnp.zeros(3, int)})
    assert step == 2 and np.array_equal(tree["w"], [2, 2, 2])
    told = [str(one.message) for one in warned]
    assert len(told) == 2 and str(checkpoints.path(4)) in told[0] and "damaged" in told[0]
    assert str(checkpoints.path(3)) in told[1] and "no checkpoint of snnax" in told[1]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert train.load(checkpoints.path(2), {"w": jnp.zeros(3, int)}) is not None


def test_a_damaged_one_is_not_the_best_and_is_named(tmp_path):
    checkpoints = train.Checkpoints(tmp_path, metric="accuracy")
    for step in (1, 2, 3):
        checkpoints.save(step, {"w": jnp.full(3, step)}, metrics={"accuracy": -abs(step - 2)})
    damage(checkpoints.path(2))
    for again in (checkpoints, train.Checkpoints(tmp_path, metric="accuracy")):
        with pytest.warns(UserWarning, match="passed over.*step_000000002.ckpt.*damaged"):
            assert again.restore({"w": jnp.zeros(3, int)}, best=True)[0] == 3


def test_a_renamed_file_is_passed_over_by_name(tmp_path):
    checkpoints = train.Checkpoints(tmp_path)
    checkpoints.save(1, {"w": 1})
    checkpoints.save(2, {"w": 2})
    checkpoints.path(1).rename(checkpoints.path(7))
    with pytest.warns(UserWarning, match="step_000000007.ckpt: it was written at step 1, and renamed since"):
        assert checkpoints.restore({"w": 0}) == (2, {"w": 2})
    for read in (checkpoints.config, checkpoints.progress):
        with pytest.raises(train.CheckpointError, match="renamed"):
            read(7)


def test_a_file_of_another_origin_is_passed_over_by_name(tmp_path):
    checkpoints = train.Checkpoints(tmp_path)
    train.save(checkpoints.path(4), {"w": 4}, config={"step": 4})
    with pytest.raises(train.CheckpointError, match="(?s)no checkpoint can be used.*was not written by .*Checkpoints`"):
        checkpoints.restore({"w": 0})


def test_where_none_can_be_used_each_is_named(tmp_path):
    checkpoints = train.Checkpoints(tmp_path)
    checkpoints.save(1, {"w": 1})
    checkpoints.save(2, {"v": 2})
    damage(checkpoints.path(1))
    with pytest.raises(train.CheckpointError, match="(?s)no checkpoint can be used.*another network.*damaged"):
        checkpoints.restore({"w": 0})


def test_a_run_that_fell_back_keeps_what_it_saves(tmp_path):
    """The damaged checkpoint of a later step does not count among the last ones."""
    checkpoints = train.Checkpoints(tmp_path, keep=1)
    checkpoints.save(9, {"w": 9})
    damage(checkpoints.path(9))
    checkpoints.save(4, {"w": 4})
    with pytest.warns(UserWarning, match="step_000000009"):
        assert checkpoints.restore({"w": 0}) == (4, {"w": 4})
    checkpoints.save(9, {"w": 10})
    assert checkpoints.steps() == [9] and checkpoints.restore({"w": 0}) == (9, {"w": 10})


def test_reading_beside_a_run_that_removes_files_does_not_fail(tmp_path, monkeypatch):
    checkpoints = train.Checkpoints(tmp_path, metric="accuracy")
    checkpoints.save(2, {"w": 2}, metrics={"accuracy": 1.0})
    monkeypatch.setattr(train.Checkpoints, "steps", lambda self: [1, 2])
    assert train.Checkpoints(tmp_path, metric="accuracy").best() == 2


@pytest.mark.parametrize("keep", [0, -1, 1.5, True, None])
def test_a_number_of_checkpoints_that_is_none_is_refused(keep, tmp_path, unchecked):
    with pytest.raises(ValueError, match=r"`snnax.train.Checkpoints`: `keep` must be a whole number, 1 or more, got"):
        train.Checkpoints(tmp_path, keep=keep)


def test_settings_that_json_cannot_hold_are_refused(tmp_path):
    with pytest.raises(ValueError, match="Checkpoints`: `config` must be what JSON can hold"):
        train.Checkpoints(tmp_path, config={"activation": jnp.tanh})


def test_a_metric_that_is_not_there_is_refused(tmp_path):
    checkpoints = train.Checkpoints(tmp_path, metric="acuracy")
    with pytest.raises(ValueError, match=r"chosen by 'acuracy', which is not among the metrics \['accuracy', 'loss'\]"):
        checkpoints.save(1, {"w": 1}, metrics={"accuracy": 1.0, "loss": 0.0})
    assert checkpoints.steps() == []
