"""A model out and in again: the same arrays, the same scores; and a run that goes on loads nothing a second time."""

import json
import shutil

import jax
import numpy as np
import pytest
import tiny
from command import run_main
from flax.traverse_util import flatten_dict

from cpml_jax import chain, train
from cpml_jax.errors import UserError
from cpml_jax.evaluation import scoring
from cpml_jax.pretrained import apply, export
from cpml_jax.training import sharding


def tree(**modules) -> dict:
    rng = np.random.default_rng(0)
    return {
        "params": {n: {"kernel": rng.normal(size=shape).astype(np.float32)} for n, shape in modules.items()},
        "batch_stats": {"rppg": {"mean": np.arange(3, dtype=np.float32)}},
    }


def test_a_folder_gives_back_what_was_written(tmp_path):
    variables = tree(rppg=(3, 2), fusion=(2, 2)) | {}
    variables["params"]["tau"] = np.float32(2.5)
    export.write(tmp_path / "a/b", variables, {"name": "x"}, 7)
    loaded = export.load(str(tmp_path / "a/b"), variables)
    back = {"params": loaded.params, "batch_stats": loaded.batch_stats}
    expected = flatten_dict(variables)
    for path, value in flatten_dict(back).items():
        np.testing.assert_array_equal(value, expected[path])
    assert len(loaded.loaded) == len(expected) and not loaded.fresh and not loaded.ignored
    assert json.loads((tmp_path / "a/b/config.json").read_text()) == {
        "schema": export.SCHEMA, "step": 7, "config": {"name": "x"},
    }  # fmt: skip


def test_other_modules_are_told_and_other_shapes_refused(tmp_path):
    export.write(tmp_path, tree(rppg=(3, 2), fusion=(2, 2)), {}, 0)
    loaded = export.load(str(tmp_path), tree(rppg=(3, 2), landmarks=(4,)))
    assert loaded.fresh == ["params/landmarks/kernel"] and loaded.ignored == ["params/fusion/kernel"]
    wanted = tree(rppg=(3, 5), fusion=(2, 1))
    wanted["params"]["fusion"]["bias"] = np.zeros(1)
    with pytest.raises(UserError, match=r"missing \['params/fusion/bias'\].*fusion/kernel.*rppg/kernel \(3, 2\)"):
        export.load(str(tmp_path), wanted)


def test_folders_that_are_none_are_one_line(tmp_path):
    with pytest.raises(UserError, match="no config.json of `main.py export`"):
        export.load(str(tmp_path), tree())
    (tmp_path / "config.json").write_text('{"model_type": "clip"}')
    with pytest.raises(UserError, match="its schema is None"):
        export.load(str(tmp_path), tree())
    export.write(tmp_path, tree(rppg=(3, 2)), {}, 0)
    (tmp_path / export.ARRAYS).write_bytes((tmp_path / export.ARRAYS).read_bytes()[:-1])
    with pytest.raises(UserError, match="model.safetensors: damaged since it was exported"):
        export.load(str(tmp_path), tree())
    (tmp_path / export.SUMS).unlink()  # earlier versions wrote none
    with pytest.raises(UserError, match="no whole safetensors file"):
        export.load(str(tmp_path), tree())
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be written"):
        export.write(tmp_path / "file/folder", tree(), {}, 0)


def first_state(config, workdir):
    """What training starts from, and a scorer of it."""
    mesh = sharding.make_mesh(config.train.devices)
    model, tokens = scoring.build_model(config)
    transformation, _, abstract, create = train.prepare_state(config, model, tokens, mesh)
    state = train.with_weights(create(), config.to_dict(), workdir, transformation, abstract)
    return state, scoring.Scorer(model, mesh, tokens, variables=state.variables)


def save_and_stop(config, state, data, mesh, step_fn, schedule, checkpoints, journal, validate, watch):
    """In place of the trainer's loop: a checkpoint of what training starts from."""
    checkpoints.save(state, data, {"auc": 0.5, "cross_entropy": 0.7})
    checkpoints.wait()
    return state


def test_export_and_init_from_give_the_same_scores(tiny_records, tmp_path, capsys, monkeypatch):
    start, run, out = tmp_path / "start", tmp_path / "run", tmp_path / "out"
    config = tiny.training_config(tiny_records)
    fresh, _ = first_state(config, tmp_path)
    assert not (tmp_path / train.WEIGHTS).exists()
    rng = np.random.default_rng(0)
    # Positive, as variances are.
    other = jax.tree.map(
        lambda a: (np.asarray(a) + rng.uniform(0, 0.1, a.shape)).astype(a.dtype), jax.device_get(fresh.variables)
    )
    export.write(start, other, config.to_dict(), 0)

    config = tiny.training_config(tiny_records, init_from=str(start))
    monkeypatch.setattr(train, "run_steps", save_and_stop)
    state = train.train(config, run)
    assert f"init_from={start}: " in capsys.readouterr().err
    jax.tree.map(np.testing.assert_array_equal, jax.device_get(state.variables), other)
    assert int(state.step) == 0 and not any(np.any(leaf) for leaf in jax.tree.leaves(state.opt_state))
    listed = json.loads((run / train.WEIGHTS).read_text())["sources"]
    assert [e["option"] for e in listed] == ["init_from"] and len(listed[0]["loaded"]) == len(flatten_dict(other))

    shutil.rmtree(start)
    monkeypatch.setattr(train, "run_steps", lambda config, state, *rest: state)
    state = train.train(config, run)  # goes on from its checkpoint: the folder is not missed
    assert "init_from" not in capsys.readouterr().err
    jax.tree.map(np.testing.assert_array_equal, jax.device_get(state.variables), other)

    chain.export(config, run, str(out))
    inputs = tiny.random_batch(rows=3, views=1)
    expected = scoring.restore_for_scoring(run, config).score(inputs)
    _, scorer = first_state(tiny.training_config(tiny_records, init_from=str(out)), tmp_path)
    scores = scorer.score(inputs)
    assert scores.keys() == expected.keys() and np.ptp(expected["logits"]) > 0
    for name, value in scores.items():
        np.testing.assert_array_equal(value, expected[name])


def test_the_command_wants_a_folder(capsys):
    config = "--config=configs/synthetic.py"
    assert run_main("export", config) == 2 and "--out=FOLDER" in capsys.readouterr().err
    assert run_main("train", config, "--out=x") == 2 and "--out goes with export" in capsys.readouterr().err
    assert run_main("export", config, "--out=x", "--workdir=/nowhere/x") == 2
    assert "error: " in capsys.readouterr().err


def test_init_from_is_a_loader_s_folder(tmp_path):
    kinds = [k.function for k in apply.LOADERS if k.option == "init_from" and k.takes(str(tmp_path))]
    assert kinds[0] == "export:load"
