"""Several devices and several processes do what one does."""

import json
import os
import pathlib
import socket
import subprocess
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from snnax import train

WORKER = pathlib.Path(__file__).with_name("device_worker.py")
LIMIT = 60


def begin(devices, *arguments):
    flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count={devices}"
    return subprocess.Popen(
        [sys.executable, WORKER, *map(str, arguments)],
        env={**os.environ, "XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def results(workers):
    """What the workers print. None of them outlives this."""
    deadline = time.monotonic() + LIMIT
    found = []
    try:
        for worker in workers:
            out, err = worker.communicate(timeout=max(0.1, deadline - time.monotonic()))
            assert worker.returncode == 0, err[-5000:]
            found.append(json.loads(out.splitlines()[-1]))
    finally:
        for worker in workers:
            worker.kill()
            worker.communicate()
    return found


def losses(rows):
    return [row["train_loss"] for row in rows]


@pytest.fixture(scope="module")
def eight(tmp_path_factory):
    return results([begin(8, "devices", tmp_path_factory.mktemp("eight"))])[0]


def test_eight_devices_give_the_loss_of_one(eight):
    assert eight["devices"] == 8 and len(eight["single"]) == 3
    for row, other in zip(eight["single"], eight["several"], strict=True):
        assert row.keys() == other.keys()
        for name in row.keys() - {"seconds"}:
            assert abs(row[name] - other[name]) < 1e-6, name
    assert np.allclose(*eight["weights"], rtol=1e-5, atol=1e-6)
    assert losses(eight["single"])[-1] < losses(eight["single"])[0]


def test_every_device_has_its_share_of_the_batch_and_the_whole_state(eight):
    assert eight["shards"] == [2] and eight["replicated"]


def test_parts_of_a_batch_over_several_devices_make_the_step_of_the_whole(eight):
    assert np.allclose(eight["parts"]["single"], eight["parts"]["several"], rtol=1e-5, atol=1e-6)


def test_a_run_on_several_devices_is_resumed_bit_for_bit(eight):
    assert eight["kept"][-1] == 4 and eight["resumed bit for bit"]


def test_a_batch_that_does_not_divide_is_refused_with_the_remedy(eight):
    told = (
        "a batch of 12 examples does not divide among 8 devices. Choose a batch size that is a multiple of 8, such as 8"
    )
    assert eight["does not divide"].startswith("ValueError") and told in eight["does not divide"]


def test_two_processes_have_the_losses_of_one(tmp_path, eight):
    begun = time.monotonic()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    found = results([begin(2, "process", tmp_path, port, number, 2) for number in range(2)])
    assert time.monotonic() - begun < LIMIT
    first, second = found
    assert [one["processes"] for one in found] == [[0, 2, 2], [1, 2, 2]]
    # Each takes half of every batch, and both compute the same.
    assert first["share"] == second["share"] == [8, 8, 8]
    for name in ("rows", "whole"):
        assert [{**row, "seconds": 0} for row in first[name]] == [{**row, "seconds": 0} for row in second[name]]
    assert first["weights"] == second["weights"]
    for rows in (first["rows"], first["whole"]):
        assert np.allclose(losses(rows), losses(eight["single"]), rtol=0, atol=1e-6)
    assert [row["accuracy"] for row in first["whole"]] == [row["accuracy"] for row in eight["single"]]
    # Only the first writes, and both take the run up where it was.
    assert first["kept"][-1] == 4
    assert (tmp_path / "logs0" / "log.csv").exists() and not list((tmp_path / "logs1").iterdir())
    for one in found:
        assert "2 processes run, and each would train a network of its own. Give `mesh=" in one["without a mesh"]
        assert "each with a share of the batches. Give `mesh=" in one["evaluated without a mesh"]
        assert "the processes find different checkpoints in" in one["another folder"]
        assert "['w'] is cut over the devices of several processes" in one["cut over processes"]
    if "orbax" in first:
        assert [one["orbax"] for one in found] == [
            [3, 2, {str(start): [start, start + 1] for start in starts}, True] for starts in ((0, 2), (4, 6))
        ]


def test_arrays_without_examples_are_refused():
    with pytest.raises(ValueError, match=r"sharded`: all arrays of a batch must have .* shapes \[\(4,\), \(\)\]"):
        train.sharded({"a": jnp.zeros(4), "b": jnp.zeros(())}, train.devices_mesh())


def test_one_device_is_a_mesh_too():
    mesh = train.devices_mesh()
    assert mesh.axis_names == ("batch",) and mesh.size == jax.device_count()
