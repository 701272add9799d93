import grain
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cpml_jax.errors import UserError
from cpml_jax.training import checkpoint, run_files
from cpml_jax.training.state import TrainState


def iterator():
    options = grain.ReadOptions(num_threads=2, prefetch_buffer_size=4)
    return iter(grain.MapDataset.range(50).map(int).to_iter_dataset(options))


def state(step: int) -> TrainState:
    return TrainState(jnp.int32(step), {"w": jnp.full(3, float(step))}, {"mean": jnp.zeros(2)}, (jnp.ones(3) * step,))


def abstract(tree):
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding), tree)


def save_run(workdir, aucs):
    checkpoints, data = checkpoint.Checkpoints(workdir, writing=True), iterator()
    for step, auc in enumerate(aucs, 1):
        next(data)
        checkpoints.save(state(step), data, None if auc is None else {"auc": auc, "cross_entropy": 1.0 / step})
    checkpoints.wait()
    checkpoints.close()


def test_latest_and_best_are_kept_and_come_back_with_the_data_position(tmp_path):
    save_run(tmp_path, [0.5, 0.9, None, 0.8, None])
    checkpoints, data = checkpoint.Checkpoints(tmp_path), iterator()
    assert (checkpoints.latest_step(), checkpoints.best_step()) == (5, 2)
    restored = checkpoints.restore(5, abstract(state(0)), data)
    jax.tree.map(np.testing.assert_array_equal, restored, state(5))
    assert next(data) == 5
    variables = checkpoints.restore_variables(2, abstract(state(0).variables))
    np.testing.assert_array_equal(variables["params"]["w"], np.full(3, 2.0))
    assert sorted(p.name for p in checkpoints.directory.iterdir() if p.name.isdigit()) == ["2", "5"]


def test_between_equal_aucs_the_lower_cross_entropy_is_best(tmp_path):
    save_run(tmp_path, [1.0, 1.0, 0.7])
    assert checkpoint.Checkpoints(tmp_path).best_step() == 2


def test_a_step_that_validation_did_not_choose_is_an_oracles(tmp_path):
    save_run(tmp_path, [0.5, 0.9, 0.8])
    checkpoints = checkpoint.Checkpoints(tmp_path)
    assert checkpoints.choose("best") == (2, "validation") and checkpoints.choose("2") == (2, "validation")
    assert checkpoints.choose("latest") == (3, "latest")
    assert checkpoints.choose("3") == (3, "oracle: step 3 was named by hand")
    with pytest.raises(UserError, match="no checkpoint of step 1 is kept, only of: 2, 3"):
        checkpoints.choose("1")


def test_a_reader_leaves_a_save_alone_that_may_be_under_way_and_the_next_training_removes_it(tmp_path):
    save_run(tmp_path, [0.5])
    half = tmp_path / run_files.FOLDER / "2.orbax-checkpoint-tmp" / "variables.orbax-checkpoint-tmp"
    half.mkdir(parents=True)
    (half / "array").write_bytes(b"half of it")
    for _ in range(2):
        reader = checkpoint.Checkpoints(tmp_path)
        assert reader.latest_step() == 1
        reader.restore_variables(1, abstract(state(0).variables))
        reader.close()
    assert (half / "array").is_file()
    training = checkpoint.Checkpoints(tmp_path, writing=True)
    training.save(state(2), iterator(), None)
    training.wait()
    training.close()
    assert not half.exists() and checkpoint.Checkpoints(tmp_path).latest_step() == 2


def test_a_damaged_checkpoint_is_one_line(tmp_path):
    save_run(tmp_path, [0.5])
    for file in (tmp_path / run_files.FOLDER / "1" / "variables").rglob("*"):
        if file.is_file():
            file.write_bytes(b"")
    with pytest.raises(UserError, match="not readable") as error:
        checkpoint.Checkpoints(tmp_path).restore_variables(1, abstract(state(0).variables))
    assert "\n" not in str(error.value)
