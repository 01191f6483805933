"""Batches over several devices and processes; the network is on all of them."""

import functools
from typing import Any, TypeVar

import equinox as eqx
import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import PyTree

T = TypeVar("T")


def devices_mesh() -> Mesh:
    """All devices of all processes along one axis, `"batch"`: the `mesh` for `snnax.train.fit`."""
    return jax.make_mesh((jax.device_count(),), ("batch",), axis_types=(jax.sharding.AxisType.Auto,))


def replicated(tree: T, mesh: Mesh) -> T:
    """The same values, those of `tree`, on every device of the `mesh`."""
    return eqx.filter_shard(tree, NamedSharding(mesh, PartitionSpec()))


def sharded(batch: PyTree, mesh: Mesh) -> PyTree:
    """A batch of which every device has an equal part, cut along axis 0; of several processes, each gives its share.

    **Arguments:** `batch`: a pytree of arrays with the examples along axis 0; `mesh`: such as that of `devices_mesh`.

    **Raises:** `ValueError` where the batch does not divide.
    """
    examples = examples_in("snnax.train.sharded", batch) * jax.process_count()
    if examples % mesh.size:
        fitting = mesh.size * max(1, examples // mesh.size)
        raise ValueError(
            f"`snnax.train.sharded`: a batch of {examples} examples does not divide among {mesh.size} devices. Choose "
            f"a batch size that is a multiple of {mesh.size}, such as {fitting}."
        )
    sharding = NamedSharding(mesh, PartitionSpec(mesh.axis_names))
    if jax.process_count() == 1:
        return jax.device_put(batch, sharding)
    return jax.tree.map(functools.partial(jax.make_array_from_process_local_data, sharding), batch)


def placed(batch: PyTree, mesh: Mesh | None) -> Any:
    """A batch on its devices: split over the mesh, or on the first device."""
    return jax.device_put(batch) if mesh is None else sharded(batch, mesh)


def examples_in(owner: str, batch: PyTree) -> int:
    """The length of all arrays along axis 0."""
    lengths = {np.shape(leaf)[:1] for leaf in jax.tree.leaves(batch)}
    if len(lengths) != 1 or () in lengths:
        raise ValueError(
            f"`{owner}`: all arrays of a batch must have its examples along axis 0, and so one length there; got the "
            f"shapes {[np.shape(leaf) for leaf in jax.tree.leaves(batch)]}."
        )
    return lengths.pop()[0]
