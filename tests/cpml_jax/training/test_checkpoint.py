import errno
import hashlib
import os
import shutil

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
    assert sorted(p.name for p in checkpoints.directory.iterdir() if p.name.isdigit()) == ["2", "4", "5"]


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


def restored(workdir, step=None):
    checkpoints, data = checkpoint.Checkpoints(workdir), iterator()
    step = checkpoints.latest_step() if step is None else step
    return checkpoints.restore(step, abstract(state(0)), data), next(data)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """Steps 2 (the best), 4 and 5."""
    workdir = tmp_path_factory.mktemp("saved")
    save_run(workdir, [0.5, 0.1, None, 0.2, None])
    return workdir


def damaged(saved, workdir, step, pattern, how):
    """A copy of the run in which a file of a step is damaged, and its path."""
    if saved != workdir:
        shutil.copytree(saved, workdir, dirs_exist_ok=True)
    files = [path for path in (workdir / run_files.FOLDER / str(step)).rglob(pattern) if path.is_file()]
    file = max(files, key=lambda path: path.stat().st_size)
    if how == "missing":
        file.unlink()
    else:
        content = bytearray(file.read_bytes())
        content[len(content) // 2] ^= 1
        file.write_bytes(b"" if how == "empty" else content)
    return file


def refused(action) -> str:
    with pytest.raises(UserError) as error:
        action()
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("how", ["empty", "missing", "damaged"])
@pytest.mark.parametrize("pattern", ["*", "*METADATA*", "*.json"])
def test_what_was_not_saved_so_is_named_and_the_older_one_offered(saved, tmp_path, pattern, how):
    file = damaged(saved, tmp_path, 5, pattern, how)
    said = refused(lambda: restored(tmp_path))
    assert said.startswith(f"{file}: {how} since it was saved; step 4 is whole") and "--resume=previous" in said


@pytest.mark.parametrize("how", ["empty", "missing", "damaged"])
def test_the_step_before_is_taken_where_that_is_asked_for(saved, tmp_path, how):
    file = damaged(saved, tmp_path, 5, "*", how)
    (line,) = checkpoint.set_aside(tmp_path)
    assert line.startswith(f"{file}: {how}") and (tmp_path / checkpoint.ASIDE / "5").is_dir()
    state_of_4, position = restored(tmp_path)
    jax.tree.map(np.testing.assert_array_equal, state_of_4, state(4))
    assert position == 4 and checkpoint.set_aside(tmp_path) == []


def test_of_a_damaged_best_no_other_is_taken_for_it(saved, tmp_path):
    file = damaged(saved, tmp_path, 2, "*METADATA*", "damaged")
    assert refused(lambda: checkpoint.Checkpoints(tmp_path).choose("best")).startswith(f"{file}: damaged")
    assert checkpoint.Checkpoints(tmp_path).choose("latest") == (5, "latest")


def test_where_none_is_whole_nothing_is_moved(saved, tmp_path):
    shutil.copytree(saved, tmp_path, dirs_exist_ok=True)
    for step in (2, 4, 5):
        damaged(tmp_path, tmp_path, step, "*", "damaged")
    assert "no other checkpoint is whole: train again" in refused(lambda: checkpoint.set_aside(tmp_path))
    assert len(checkpoint.steps_in(tmp_path / run_files.FOLDER)) == 3


def test_checksums_are_those_of_sha256sum_and_go_with_their_checkpoints(saved):
    folder = saved / run_files.FOLDER
    assert sorted(path.name for path in folder.glob("*.sha256")) == ["2.sha256", "4.sha256", "5.sha256"]
    for line in (folder / "5.sha256").read_text().splitlines():
        digest, name = line.split("  ", 1)
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest
    listed = {line.split("  ", 1)[1] for line in (folder / "5.sha256").read_text().splitlines()}
    assert listed == {str(path.relative_to(folder)) for path in (folder / "5").rglob("*") if path.is_file()}


@pytest.mark.parametrize("text", ["", "x", "0" * 64 + "  ../../secret\n", "0" * 64 + "  /etc/passwd\n"])
def test_checksums_that_are_none_are_named_and_lead_nowhere(saved, tmp_path, text):
    shutil.copytree(saved, tmp_path, dirs_exist_ok=True)
    (tmp_path / run_files.FOLDER / "5.sha256").write_text(text)
    said = refused(lambda: restored(tmp_path))
    assert said.startswith(str(tmp_path / run_files.FOLDER / "5.sha256")) and "passwd" not in said


def test_a_checkpoint_without_checksums_is_used_and_a_line_says_so(saved, tmp_path, capsys):
    """Of an earlier version, or of a run that was killed just then."""
    shutil.copytree(saved, tmp_path, dirs_exist_ok=True)
    (tmp_path / run_files.FOLDER / "5.sha256").unlink()
    jax.tree.map(np.testing.assert_array_equal, restored(tmp_path)[0], state(5))
    assert "/5: a checkpoint without checksums: not compared" in capsys.readouterr().err
    for file in (tmp_path / run_files.FOLDER / "5" / "variables").rglob("*"):
        if file.is_file():
            file.write_bytes(b"")
    assert "not readable" in refused(lambda: restored(tmp_path))


def test_a_disk_that_fills_up_is_one_line_and_the_checkpoints_before_stay(saved, tmp_path, monkeypatch):
    shutil.copytree(saved, tmp_path, dirs_exist_ok=True)

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(checkpoint.checksums, "write", full)
    checkpoints = checkpoint.Checkpoints(tmp_path, writing=True)
    checkpoints.save(state(6), iterator(), None)
    said = refused(checkpoints.wait)
    assert "No space left on device" in said and "last whole checkpoint" in said
    checkpoints.close()
    assert restored(tmp_path, 5)[1] == 5
