"""The sweep with stand-ins for training and evaluation: records, order, refusals."""

import json

import pytest
import tiny
from tiny_sweep import Killed, Workshop, go, written

from cpml_jax import sweep
from cpml_jax.configs import base
from cpml_jax.errors import UserError
from cpml_jax.files import write_json
from cpml_jax.sweep.ablation import Ablation
from cpml_jax.training import run_files


def test_all_runs_read_the_records_of_the_workdir(tiny_records, tmp_path):
    config = tiny.training_config(tiny_records)
    config.data.records = "{workdir}/records"
    (tmp_path / "records").symlink_to(tiny_records)
    go(None, tmp_path, ("in_dataset",), Workshop(), config=config)
    report = json.loads((tmp_path / "sweep/train_raw/evaluation.json").read_text())
    assert report["config"]["data"]["records"] == str(tmp_path / "records")


def test_an_evaluation_without_the_asked_test_is_a_failure(tiny_records, tmp_path):
    workshop = Workshop()

    def forgetful(config, folder):
        workshop.evaluate(config, folder)
        report = json.loads((folder / "evaluation.json").read_text())
        write_json(folder / "evaluation.json", report | {"results": report["results"][1:]})

    config = tiny.training_config(tiny_records)
    assert sweep.run(config, tmp_path, ("cross_compression",), train=workshop.train, evaluate=forgetful) == 1


def test_figures_of_other_records_are_refused(tiny_records, tmp_path):
    go(tiny_records, tmp_path, ("in_dataset",), Workshop())
    run_files.write_training_data(
        tmp_path / "sweep/train_raw", "faces", {"a"}, {"sha256": "f" * 64, "schema_version": None, "clips": 9}
    )
    later = Workshop()
    with pytest.raises(UserError, match=r"train_raw: trained on other records .sha256 ffffffffffff, 9 clips"):
        go(tiny_records, tmp_path, ("in_dataset", "cross_compression"), later)
    assert not later.trained


def test_a_missing_compression_is_refused_before_any_training(tiny_records, tmp_path):
    everything = {"data.sources.faces.compressions": (), "data.sources.faces.methods": ()}
    config = tiny.training_config(tiny_records, **everything, **{"eval.compressions": ("raw", "c23", "c40")})
    workshop = Workshop()
    with pytest.raises(UserError, match="at c40 in the test split of 'faces'.*at c23, raw.*configs/protocols") as error:
        go(tiny_records, tmp_path, ("cross_compression",), workshop, config=config)
    assert "\n" not in str(error.value) and not workshop.trained
    with pytest.raises(UserError, match="no test clips of NeuralTextures"):
        changes = everything | {"train.methods": (*tiny.METHODS, "NeuralTextures")}
        changed = tiny.training_config(tiny_records, **changes)
        go(tiny_records, tmp_path, ("cross_manipulation",), workshop, config=changed)


def test_missing_records_are_prepared_once_and_no_others(tmp_path, tiny_records):
    config = tiny.training_config(tmp_path / "records")
    config.data.sources.elsewhere = base.source("dfdc", "")
    asked = []

    def prepare(config, workdir):
        asked.append(list(config.data.sources))
        (tmp_path / "records").symlink_to(tiny_records)

    assert go(None, tmp_path, ("in_dataset",), Workshop(), config=config, prepare=prepare) == 0
    assert asked == [["faces"]]


def test_the_listing_comes_before_the_first_training_run(tiny_records, tmp_path, capsys):
    with pytest.raises(Killed):
        go(tiny_records, tmp_path, ("cross_compression",), Workshop(kill=0))
    out = capsys.readouterr().out
    assert "3 runs fill 6 cells; 3 are to be trained" in out and "train_raw+c23" in out and "unknown" in out
    with pytest.raises(Killed):
        go(tiny_records, tmp_path, ("cross_compression",), Workshop(kill=0))
    assert "begun, to be resumed" in capsys.readouterr().out


def test_a_real_training_run_fills_its_cells(tiny_records, tmp_path):
    """Landmarks, a linear head and one step: the other streams and the prompts would take longer to compile."""
    changes = {"model.modalities": ("landmarks",), "train.steps": 1}
    changes |= {"model.head": "linear", "loss.cqsl": 0.0, "loss.cmcl": 0.0, "loss.teacher": 0.0}
    config, table = tiny.training_config(tiny_records, **changes), Ablation({"full": {}})
    workdir = tmp_path / "new"
    assert sweep.run(config, workdir, ("ablation",), ablation=table) == 0
    assert [(c["run"], c["column"]) for c in written(workdir)["cells"]] == [
        ("train_raw+c23", "raw"), ("train_raw+c23", "c23")
    ]  # fmt: skip
    assert all(0 <= c["video"]["auc"] <= 1 for c in written(workdir)["cells"])
    again = Workshop()
    assert go(tiny_records, workdir, ("ablation",), again, config, ablation=table) == 0
    assert not again.trained and not again.evaluated
