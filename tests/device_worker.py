"""What `test_devices.py` runs in processes of their own: several devices, or one of several processes.

    python device_worker.py devices FOLDER
    python device_worker.py process FOLDER PORT NUMBER PROCESSES

Prints one line of JSON.
"""

import json
import pathlib
import sys
import warnings

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import tiny_run
from jax.sharding import NamedSharding, PartitionSpec

from snnax import data, train

SETTINGS = {"n": 48, "batch_size": 16}


def run(mesh, loader=None, **settings):
    step = train.make_step(tiny_run.loss_fn, tiny_run.OPTIMISER)
    loader = tiny_run.loader(**SETTINGS) if loader is None else loader
    return train.fit(tiny_run.start(), step, loader, epochs=3, mesh=mesh, **settings)


def evaluation(mesh):
    loader = tiny_run.loader(20, 16, shuffle=False, drop_last=False)
    return train.make_evaluation(tiny_run.accuracies, loader, mesh=mesh)


def weights(state):
    leaves = jax.tree.leaves(eqx.filter((state.model, state.opt_state), eqx.is_inexact_array))
    return np.concatenate([np.ravel(leaf) for leaf in leaves])


def message(call):
    try:
        call()
    except Exception as error:  # told to the test, whatever it is
        return f"{type(error).__name__}: {error}"
    return None


def resumed(mesh, folder):
    """A run that was stopped in the middle of an epoch, and taken up."""
    settings = {"every": 2, "resume": True}
    try:
        loader = tiny_run.Interrupted(tiny_run.loader(**SETTINGS), 5)
        run(mesh, loader, checkpoints=train.Checkpoints(folder), **settings)
    except tiny_run.Interrupt:
        pass
    kept = train.Checkpoints(folder).steps()
    return kept, run(mesh, checkpoints=train.Checkpoints(folder), **settings)


def devices(folder):
    mesh = train.devices_mesh()
    single, rows = run(None, evaluate=evaluation(None))
    several, others = run(mesh, evaluate=evaluation(mesh))
    kept, (again, _) = resumed(mesh, folder)
    placed = train.sharded(next(tiny_run.loader(**SETTINGS).epoch(0)), mesh)
    in_parts = {}
    for name, each in (("single", None), ("several", mesh)):
        # Without dropout: the parts of a batch draw other numbers than the whole.
        step = train.make_step(without_noise, tiny_run.OPTIMISER, parts=2 if each is not None else 1)
        state, _ = train.fit(tiny_run.start(), step, tiny_run.loader(**SETTINGS), epochs=1, mesh=each)
        in_parts[name] = weights(state).tolist()
    return {
        "devices": jax.device_count(),
        "single": rows,
        "several": others,
        "weights": [weights(single).tolist(), weights(several).tolist()],
        "kept": kept,
        "resumed bit for bit": bool(np.array_equal(weights(again), weights(several))),
        "replicated": all(
            leaf.is_fully_replicated and len(leaf.sharding.device_set) == 8
            for leaf in jax.tree.leaves(eqx.filter(several, eqx.is_array))
        ),
        "shards": sorted(
            {shard.data.shape[0] for leaf in jax.tree.leaves(placed) for shard in leaf.addressable_shards}
        ),
        "parts": in_parts,
        "does not divide": message(
            lambda: train.fit(
                tiny_run.start(),
                train.make_step(tiny_run.loss_fn, tiny_run.OPTIMISER),
                tiny_run.loader(48, 12),
                epochs=1,
                mesh=mesh,
            )
        ),
    }


def without_noise(model, batch, key):
    return tiny_run.loss_fn(eqx.nn.inference_mode(model), batch, key)


def process(folder, port, number, processes):
    jax.distributed.initialize(f"127.0.0.1:{port}", processes, number)
    mesh = train.devices_mesh()
    kept, (state, rows) = resumed(mesh, folder / "run")
    own = folder / f"logs{number}"
    own.mkdir()
    _, whole = run(mesh, evaluate=evaluation(mesh), logs=[train.CSVLog(own / "log.csv")])
    found = {
        "processes": [jax.process_index(), jax.process_count(), jax.local_device_count()],
        "rows": rows,
        "whole": whole,
        "weights": weights(state).tolist(),
        "kept": kept,
        "share": [len(batch["label"]) for batch in tiny_run.loader(**SETTINGS).epoch(0)],
        "without a mesh": message(lambda: run(None)),
        "evaluated without a mesh": message(lambda: evaluation(None)(state.model)),
        "another folder": message(
            lambda: run(mesh, checkpoints=train.Checkpoints(folder / ("run" if number else "empty")), resume=True)
        ),
    }
    cut = jnp.arange(8.0)
    cut = jax.make_array_from_callback((8,), NamedSharding(mesh, PartitionSpec("batch")), lambda index: cut_of(index))
    found["cut over processes"] = message(lambda: train.save(folder / f"cut{number}", {"w": cut}))
    try:
        import orbax.checkpoint  # noqa: F401
    except ImportError:
        return found
    checkpoints = train.OrbaxCheckpoints(folder / "orbax")
    checkpoints.save(3, {"w": cut, "key": train.replicated(jr.key(1), mesh), "n": 2})
    like = {"w": jax.make_array_from_callback((8,), cut.sharding, lambda index: 0 * cut_of(index))}
    step, tree = checkpoints.restore({**like, "key": train.replicated(jr.key(0), mesh), "n": 0})
    parts = {shard.index[0].start: shard.data.tolist() for shard in tree["w"].addressable_shards}
    key = jr.key_data(tree["key"]).addressable_data(0)
    found["orbax"] = [step, tree["n"], parts, np.array_equal(key, jr.key_data(jr.key(1)))]
    return found


def cut_of(index):
    return np.arange(8.0, dtype=np.float32)[index]


if __name__ == "__main__":
    warnings.simplefilter("error")
    jax.config.update("jax_numpy_dtype_promotion", "strict")
    role, folder, *numbers = sys.argv[1:]
    assert data is not None
    made = {"devices": devices, "process": process}[role](pathlib.Path(folder), *map(int, numbers))
    print(json.dumps(made))
