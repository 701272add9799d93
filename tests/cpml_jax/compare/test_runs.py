"""Runs as they are read and grouped into columns, and the notes on what else differs."""

import json
from pathlib import Path

import old_versions
import pytest
from tiny_compare import ALIKE, lines, made, write

from cpml_jax.compare import runs
from cpml_jax.errors import UserError


def test_a_second_run_of_one_seed_is_another_column(tmp_path):
    table = made(write(tmp_path / "a", lines(1)), write(tmp_path / "b", lines(2)))
    assert table["columns"] == ["a", "b"] and table["rows"][0]["cells"][1]["difference"] is not None


def test_other_data_and_oracles_are_noted(tmp_path):
    a = write(tmp_path / "a", lines(1))
    oracle = {"checkpoint": {"step": 2, "selection": "oracle: step 2 was named by hand"}}
    b = write(tmp_path / "b", lines(2), sha="2", **oracle)
    notes = " ".join(made(a, b)["notes"])
    assert "NOT THE SAME DATA: the records 'faces' of a and of b differ" in notes and "chosen by oracle" in notes


def test_how_long_runs_were_trained_is_stated_and_a_difference_is_a_warning(tmp_path):
    a, b = (write(tmp_path / n, lines(i), changes={"loss.ce": 1.0 + i}) for i, n in enumerate("ab"))
    assert made(a, b)["notes"][0] == ALIKE
    longer = write(tmp_path / "c", lines(3), changes={"train.steps": 2000})
    bigger = write(tmp_path / "d", lines(4), changes={"train.batch_size": 16})
    latest = write(tmp_path / "e", lines(5), checkpoint={"step": 1000, "selection": "latest"})
    for other, shown in ((longer, "2000 steps"), (bigger, "of 16 clips"), (latest, "chosen by latest")):
        warning = made(a, other)["notes"][0]
        assert warning.startswith("NOT TRAINED ALIKE: a: 1000 steps of 8 clips") and shown in warning


def test_a_sweep_stands_for_its_runs(tmp_path):
    write(tmp_path / "w/sweep/train_raw", lines(1), changes={"train.compressions": ("raw",)})
    write(tmp_path / "w/sweep/train_c23", lines(2), changes={"train.compressions": ("c23",)})
    (tmp_path / "w/sweep/train_c40").mkdir()
    (tmp_path / "w/sweep.json").write_text("{}")
    assert made(tmp_path / "w")["columns"] == ["train_c23", "train_raw"]


@pytest.mark.parametrize(
    "broken", ["{", "[]", '{"schema": "other/1"}', '{"schema": "cpml-evaluation/3.0.0", "results": []}']
)
def test_what_is_no_evaluation_is_refused(tmp_path, broken):
    (tmp_path / "evaluation.json").write_text(broken)
    with pytest.raises(UserError, match="not an evaluation"):
        runs.load(tmp_path)


@pytest.mark.parametrize("schema", ["cpml-evaluation/1.0.0", "cpml-evaluation/1.1.0"])
def test_evaluations_of_earlier_versions_are_compared_with_todays(tmp_path, schema):
    a, b = (write(tmp_path / n, lines(i), changes={"loss.ce": 1.0 + i}) for i, n in enumerate("ab"))
    path = Path(a) / "evaluation.json"
    old = old_versions.evaluation_1_1(json.loads(path.read_text())) | {"schema": schema}
    if schema.endswith("1.0.0"):
        old = {key: value for key, value in old.items() if key != "provenance"} | {"checkpoint": {"step": 1}}
        old["results"] = [{k: v for k, v in result.items() if k != "condition"} for result in old["results"]]
    assert old["results"][0]["test"]["quality"] == "c23"
    path.write_text(json.dumps(old))
    table = made(a, b)
    assert len(table["rows"]) == 1 and table["rows"][0]["cells"][1]["difference"] is not None
    assert "loss.ce: 1.0 | 2.0" in table["notes"]
    assert any(note.startswith("NOT THE SAME RULE: a hold") for note in table["notes"])
