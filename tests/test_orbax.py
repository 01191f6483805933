"""Checkpoints by orbax do what those in files of our own do."""

import math
import sys

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import optax
import pytest
import tiny_run

from snnax import train


@pytest.fixture
def orbax():
    return pytest.importorskip("orbax.checkpoint", reason="orbax is not installed")


def test_every_kind_of_leaf_comes_back(orbax, tmp_path):
    def tree(scale, key):
        return {
            "state": train.TrainState.start(tiny_run.network(key), tiny_run.OPTIMISER, key),
            "half": jnp.full((2, 2), scale, jnp.bfloat16),
            "complex": jnp.array([scale + 2j]),
            "none": jnp.zeros((0, 3)),
            "keys": jr.split(jr.fold_in(jr.key(3, impl="rbg"), scale), 4),
            "numbers": [scale * 0.1, math.inf * scale, scale > 1, 2**70 * scale, complex(scale, -1)],
            "NumPy": (np.array([scale, 1e300]), np.float64(scale)),
            "function": jnp.tanh,
        }

    saved, like = tree(3, jr.key(0)), tree(1, jr.key(1))
    train.OrbaxCheckpoints(tmp_path).save(7, saved)
    step, loaded = train.OrbaxCheckpoints(tmp_path).restore(like)
    assert step == 7 and eqx.tree_equal(loaded, saved, typematch=True) and not eqx.tree_equal(loaded, like)


def test_the_last_ones_and_the_best_stay(orbax, tmp_path):
    checkpoints = train.OrbaxCheckpoints(tmp_path, keep=2, metric="accuracy", config={"seed": (1, 2)})
    for step, accuracy in enumerate([0.1, 0.9, 0.3, math.nan, 0.9, 0.2, 0.3]):
        checkpoints.save(step, {"w": jnp.full(2, step)}, metrics={"accuracy": accuracy}, progress={"history": [step]})
    again = train.OrbaxCheckpoints(tmp_path, keep=2, metric="accuracy")
    for one in (checkpoints, again):
        assert one.steps() == [4, 5, 6] and one.best() == 4
        assert one.config(5) == {"seed": [1, 2]} and one.progress(6) == {"history": [6]}
        for best, step in ((False, 6), (True, 4)):
            found, tree = one.restore({"w": jnp.zeros(2, int)}, best=best)
            assert found == step and np.array_equal(tree["w"], [step, step])
    checkpoints.save(6, {"w": jnp.full(2, 60)})
    assert np.array_equal(again.restore({"w": jnp.zeros(2, int)})[1]["w"], [60, 60])
    other = train.OrbaxCheckpoints(tmp_path, config={"seed": 3})
    with pytest.raises(train.CheckpointError, match=r"other settings: seed=\[1, 2\] and not 3"):
        other.restore({"w": jnp.zeros(2, int)})


def test_what_is_damaged_or_of_another_network_is_passed_over_by_name(orbax, tmp_path):
    checkpoints = train.OrbaxCheckpoints(tmp_path)
    for step in (1, 2, 3):
        checkpoints.save(step, {"w": jnp.full(1000, step)})
    for path in checkpoints.path(3).rglob("*"):
        if path.is_file() and "header" not in path.parts:
            path.write_bytes(path.read_bytes()[:-10])
    for path in (checkpoints.path(2) / "header").rglob("*"):
        path.write_bytes(b"{")
    with pytest.warns(UserWarning) as warned:
        step, tree = train.OrbaxCheckpoints(tmp_path).restore({"w": jnp.zeros(1000, int)})
    told = [str(one.message) for one in warned]
    assert step == 1 and np.array_equal(tree["w"], np.ones(1000))
    assert f"{checkpoints.path(3)}: orbax cannot read its arrays" in told[0]
    assert f"{checkpoints.path(2)}: orbax cannot read its header" in told[1]
    with pytest.raises(train.CheckpointError, match=r"another network. It lacks \[\"\['v'\]\"\]"):
        train.OrbaxCheckpoints(tmp_path).restore({"v": jnp.zeros(3)})


def test_a_run_is_resumed_bit_for_bit(orbax, tmp_path):
    optimiser = optax.adam(1e-2)
    step = train.make_step(tiny_run.loss_fn, optimiser)
    wanted, rows = train.fit(tiny_run.start(optimiser), step, tiny_run.loader(), epochs=3)

    def stops(history):
        if len(history) == 2:
            raise KeyboardInterrupt

    settings = dict(epochs=3, every=4, resume=True)
    with pytest.raises(KeyboardInterrupt):
        checkpoints = train.OrbaxCheckpoints(tmp_path)
        train.fit(tiny_run.start(optimiser), step, tiny_run.loader(), checkpoints=checkpoints, logs=[stops], **settings)
    checkpoints = train.OrbaxCheckpoints(tmp_path)
    assert checkpoints.steps()[-1] == 8
    state, history = train.fit(
        tiny_run.start(optimiser, seed=5), step, tiny_run.loader(), checkpoints=checkpoints, **settings
    )
    assert eqx.tree_equal(state, wanted) and [row["train_loss"] for row in history] == [
        row["train_loss"] for row in rows
    ]


def test_it_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "orbax", None)
    monkeypatch.setitem(sys.modules, "orbax.checkpoint", None)
    with pytest.raises(ImportError, match="OrbaxCheckpoints` needs orbax: `pip install orbax-checkpoint`"):
        train.OrbaxCheckpoints(tmp_path)


def test_what_is_restored_lies_where_like_does(orbax, tmp_path):
    device = jax.devices()[0]
    checkpoints = train.OrbaxCheckpoints(tmp_path)
    checkpoints.save(1, {"w": jnp.arange(4.0)})
    like = {"w": jax.device_put(jnp.zeros(4), device)}
    assert checkpoints.restore(like)[1]["w"].sharding == like["w"].sharding
