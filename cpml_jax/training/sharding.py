"""Where arrays live: one mesh with one axis, `data`; batches split over it, parameters replicated or split."""

from __future__ import annotations

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
    """
    available = jax.devices()
    if devices > len(available):
        raise UserError(f"train.devices={devices}, but there are {len(available)} devices; lower it or use 0 for all")
    chosen = available[: devices or len(available)]
    return jax.make_mesh((len(chosen),), (DATA_AXIS,), axis_types=(AxisType.Auto,), devices=chosen)


def replicated(mesh: Mesh) -> NamedSharding:
    return NamedSharding(mesh, PartitionSpec())


def batch_sharding(mesh: Mesh) -> NamedSharding:
    """Split along the first axis."""
    return NamedSharding(mesh, PartitionSpec(DATA_AXIS))


def state_shardings(abstract_state, mesh: Mesh, shard_params: bool):
    """A NamedSharding for every array of an abstract state (from jax.eval_shape).

    Args:
      abstract_state: a tree of jax.ShapeDtypeStruct.
      shard_params: False: all replicated. True: arrays of at least MIN_SPLIT_ELEMENTS are split over the data
        axis along their longest axis that it divides; the optimizer's moments follow their parameters.

    Returns:
      A tree of the same structure.
    """
    size = mesh.shape[DATA_AXIS]

    def spec(leaf) -> NamedSharding:
        if shard_params and np.prod(leaf.shape) >= MIN_SPLIT_ELEMENTS:
            axes = sorted(
                (axis for axis in range(leaf.ndim) if leaf.shape[axis] % size == 0), key=lambda a: -leaf.shape[a]
            )
            if axes:
                return NamedSharding(
                    mesh, PartitionSpec(*(DATA_AXIS if a == axes[0] else None for a in range(leaf.ndim)))
                )
        return replicated(mesh)

    return jax.tree.map(spec, abstract_state)


def put_local_batch(batch: dict, mesh: Mesh) -> dict:
    """This process's rows of a global batch -> global arrays split over the data axis."""
    sharding = batch_sharding(mesh)
    return {name: jax.make_array_from_process_local_data(sharding, value) for name, value in batch.items()}


def put_global_batch(batch: dict, mesh: Mesh) -> dict:
    """A whole batch that every process holds -> global arrays split over the data axis.

    The first axis must be a multiple of the mesh's size.
    """
    sharding = batch_sharding(mesh)
    return {n: jax.make_array_from_callback(v.shape, sharding, lambda index, v=v: v[index]) for n, v in batch.items()}
