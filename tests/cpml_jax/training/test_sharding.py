import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec

from cpml_jax.errors import UserError
from cpml_jax.training import sharding


@pytest.fixture(scope="module")
def mesh():
    return sharding.make_mesh(8)


def test_a_mesh_has_the_devices_asked_for(mesh):
    assert mesh.shape == {"data": 8} and sharding.make_mesh(2).shape == {"data": 2}
    assert sharding.make_mesh().size == len(jax.devices())
    with pytest.raises(UserError, match="train.devices=9, but this machine has 8"):
        sharding.make_mesh(9)


def test_large_arrays_are_split_along_their_longest_divisible_axis(mesh):
    shapes = {"long": (64, 2048), "odd": (2047, 64), "none": (1021, 71), "small": (8, 8), "scalar": ()}
    state = {name: jax.ShapeDtypeStruct(shape, jnp.float32) for name, shape in shapes.items()}
    specs = {name: leaf.spec for name, leaf in sharding.state_shardings(state, mesh, True).items()}
    whole = PartitionSpec()
    assert specs == {
        "long": PartitionSpec(None, "data"), "odd": PartitionSpec(None, "data"),
        "none": whole, "small": whole, "scalar": whole,
    }  # fmt: skip
    assert all(leaf.spec == whole for leaf in sharding.state_shardings(state, mesh, False).values())


@pytest.mark.parametrize("put", [sharding.put_local_batch, sharding.put_global_batch])
def test_a_batch_is_split_over_the_devices_in_order(mesh, put):
    batch = {"frames": np.arange(32, dtype=np.uint8).reshape(16, 2), "label": np.arange(16, dtype=np.int32)}
    placed = put(batch, mesh)
    for name, value in batch.items():
        np.testing.assert_array_equal(placed[name], value)
        assert placed[name].sharding == sharding.batch_sharding(mesh) and placed[name].dtype == value.dtype
        first = min(placed[name].addressable_shards, key=lambda shard: shard.index[0].start or 0)
        np.testing.assert_array_equal(first.data, value[:2])
