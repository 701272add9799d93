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


def save_run(workdir, losses):
    """A step for each pair loss, with an AUC that cannot tell them apart; None: it was not validated."""
    save_validated(workdir, [None if loss is None else {"pair_loss": loss, "auc": 1.0} for loss in losses])


def save_validated(workdir, validations):
    checkpoints, data = checkpoint.Checkpoints(workdir, writing=True), iterator()
    for step, figures in enumerate(validations, 1):
        next(data)
        checkpoints.save(state(step), data, figures)
    checkpoints.wait()
    checkpoints.close()


def test_latest_and_best_are_kept_and_come_back_with_the_data_position(tmp_path):
    save_run(tmp_path, [0.5, 0.1, None, 0.2, None])
    checkpoints, data = checkpoint.Checkpoints(tmp_path), iterator()
    assert (checkpoints.latest_step(), checkpoints.best_step()) == (5, 2)
    restored = checkpoints.restore(5, abstract(state(0)), data)
    jax.tree.map(np.testing.assert_array_equal, restored, state(5))
    assert next(data) == 5
    variables = checkpoints.restore_variables(2, abstract(state(0).variables))
    np.testing.assert_array_equal(variables["params"]["w"], np.full(3, 2.0))
    assert sorted(p.name for p in checkpoints.directory.iterdir() if p.name.isdigit()) == ["2", "5"]


def test_the_lowest_pair_loss_is_best_however_close(tmp_path):
    """As in a run that reached an AUC of 1: the old tie-break, a cross-entropy of 1e-11 times 1e-6, rounds away."""
    save_run(tmp_path, [0.0790, 0.0789 + 1e-9, 0.0789, 0.0789 + 2e-9, 0.0791])
    assert checkpoint.Checkpoints(tmp_path).best_step() == 3


def test_a_run_of_before_pair_losses_keeps_the_step_that_it_had_chosen(tmp_path):
    old = [{"auc": a, "cross_entropy": c} for a, c in ((0.9, 0.5), (1.0, 0.2), (1.0, 0.4))]
    save_validated(tmp_path, old)
    checkpoints = checkpoint.Checkpoints(tmp_path)
    assert (checkpoints.best_step(), checkpoints.choose("best")) == (2, (2, "validation"))
    variables = checkpoints.restore_variables(2, abstract(state(0).variables))
    np.testing.assert_array_equal(variables["params"]["w"], np.full(3, 2.0))


def test_where_such_a_run_goes_on_the_new_measure_chooses_among_the_new_steps(tmp_path):
    save_validated(tmp_path, [{"auc": 1.0, "cross_entropy": 0.0}, {"auc": 0.6, "pair_loss": 9.0}, {"auc": 0.5}])
    assert checkpoint.Checkpoints(tmp_path).best_step() == 2


def test_a_step_that_validation_did_not_choose_is_an_oracles(tmp_path):
    save_run(tmp_path, [0.5, 0.1, 0.2])
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
