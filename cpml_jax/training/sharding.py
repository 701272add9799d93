"""Where arrays live: one mesh with one axis, `data`; batches split over it, parameters replicated or split."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from cpml_jax.errors import UserError

DATA_AXIS = "data"
# Below this, splitting an array saves no memory worth its gather (64 Ki floats are 256 KiB).
MIN_SPLIT_ELEMENTS = 65_536


def make_mesh(devices: int = 0) -> Mesh:
    """A mesh over the first `devices` devices of all hosts (0: all).

    Auto axes: since JAX 0.9 the default is explicit, which a linen Conv + BatchNorm step does not survive.

    Raises:
      UserError: more devices than are available; or, on several hosts, fewer: some process would have none.
    """
    available = jax.devices()
    if devices > len(available):
        where = "this machine has" if jax.process_count() == 1 else f"the {jax.process_count()} processes have"
        raise UserError(f"train.devices={devices}, but {where} {len(available)} devices; lower it or use 0 for all")
    if 0 < devices < len(available) and jax.process_count() > 1:
        raise UserError(
            f"train.devices={devices}, but a run of {jax.process_count()} processes takes all of their "
            f"{len(available)} devices: use 0, or start it on fewer hosts"
        )
    chosen = available[: devices or len(available)]
    return mesh_of(chosen)


def mesh_of(devices: Sequence[jax.Device]) -> Mesh:
    """A mesh over these devices, which need not be here (jax.experimental.topologies)."""
    return jax.make_mesh((len(devices),), (DATA_AXIS,), axis_types=(AxisType.Auto,), devices=devices)


def replicated(mesh: Mesh) -> NamedSharding:
    """The whole array on every device."""
    return NamedSharding(mesh, PartitionSpec())


def batch_sharding(mesh: Mesh) -> NamedSharding:
    """Split along the first axis."""
    return NamedSharding(mesh, PartitionSpec(DATA_AXIS))


def state_shardings(abstract_state: Any, mesh: Mesh, shard_params: bool) -> Any:
    """A NamedSharding for every array of an abstract state (from jax.eval_shape).

    Args:
      abstract_state: a tree of jax.ShapeDtypeStruct.
      mesh: of make_mesh.
      shard_params: False: all replicated. True: arrays of at least MIN_SPLIT_ELEMENTS are split over the data
        axis along their longest axis that it divides; the optimizer's moments follow their parameters.

    Returns:
      A tree of the same structure.
    """
    size = mesh.shape[DATA_AXIS]

    def spec(leaf: jax.ShapeDtypeStruct) -> NamedSharding:
        divisible = [axis for axis in range(leaf.ndim) if leaf.shape[axis] % size == 0]
        if not shard_params or np.prod(leaf.shape) < MIN_SPLIT_ELEMENTS or not divisible:
            return replicated(mesh)
        longest = max(divisible, key=lambda axis: leaf.shape[axis])
        return NamedSharding(mesh, PartitionSpec(*(DATA_AXIS if a == longest else None for a in range(leaf.ndim))))

    return jax.tree.map(spec, abstract_state)


def put_local_batch(batch: Mapping[str, np.ndarray], mesh: Mesh) -> dict[str, jax.Array]:
    """This process's rows of a global batch -> global arrays split over the data axis: an explicit copy."""
    sharding = batch_sharding(mesh)
    with jax.transfer_guard_host_to_device("allow"):  # with several processes, JAX takes this copy for a hidden one
        return {name: jax.make_array_from_process_local_data(sharding, value) for name, value in batch.items()}


def put_global_batch(batch: Mapping[str, np.ndarray], mesh: Mesh) -> dict[str, jax.Array]:
    """A whole batch that every process holds -> global arrays split over the data axis.

    The first axis must be a multiple of the mesh's size.
    """
    sharding = batch_sharding(mesh)
    return {n: jax.make_array_from_callback(v.shape, sharding, lambda index, v=v: v[index]) for n, v in batch.items()}
