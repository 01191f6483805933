"""Batches over several devices and processes; the network is on all of them."""

import functools
from typing import Any, TypeVar

import equinox as eqx
import jax
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import PyTree

T = TypeVar("T")


def replicated(tree: T, mesh: Mesh) -> T:
    """The same values on every device of the mesh."""
    return eqx.filter_shard(tree, NamedSharding(mesh, PartitionSpec()))


def sharded(batch: PyTree, mesh: Mesh) -> PyTree:
    """A batch of which every device has an equal part, cut along axis 0; of several processes, each gives its share.

    **Raises:** `ValueError` where the batch does not divide.
    """
    axes = mesh.axis_names
    sharding = NamedSharding(mesh, PartitionSpec(axes))
    processes = jax.process_count()
    for leaf in jax.tree.leaves(batch):
        examples = leaf.shape[0] * processes
        if examples % mesh.size:
            fitting = mesh.size * max(1, examples // mesh.size)
            raise ValueError(
                f"`snnax.train`: a batch of {examples} examples does not divide among {mesh.size} devices. Choose a "
                f"batch size that is a multiple of {mesh.size}, such as {fitting}."
            )
    if processes == 1:
        return jax.device_put(batch, sharding)
    return jax.tree.map(functools.partial(jax.make_array_from_process_local_data, sharding), batch)


def devices_mesh() -> Mesh:
    """All devices of all processes along one axis, `"batch"`: the `mesh` for `snnax.train.fit`."""
    return jax.make_mesh((jax.device_count(),), ("batch",), axis_types=(jax.sharding.AxisType.Auto,))


def placed(batch: PyTree, mesh: Mesh | None) -> Any:
    """A batch on its devices: split over the mesh, or on the first device."""
    return jax.device_put(batch) if mesh is None else sharded(batch, mesh)
