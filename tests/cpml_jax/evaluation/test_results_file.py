import json

import numpy as np
import old_versions
import pytest
from fake_evaluation import FRAMES, FakeScorer, evaluated, strict

from cpml_jax.errors import UserError
from cpml_jax.evaluation import results_file

CONFIG = {
    "seed": 0,
    "train": {"compressions": ["raw", "c23"]},
    "model": {"rppg": {"dim": 8}, "visual": {"width": 4}},
    "eval": {
        "compressions": ["raw"], "cross_compression": "c23", "conditions": [], "protocols": ["in_dataset"],
    },
}  # fmt: skip


def rewrite(folder, change):
    path = folder / "evaluation.json"
    path.write_text(json.dumps(change(json.loads(path.read_text()))))
    (folder / results_file.SUMS).unlink()  # of which earlier versions knew nothing


def test_protocols_evaluated_one_by_one_end_in_one_file(tmp_path):
    first, records = evaluated(tmp_path, protocols=("in_dataset",))
    both, _ = evaluated(tmp_path, records, protocols=("cross_dataset",))
    assert [r["protocol"] for r in both["results"]] == ["in_dataset"] * 6 + ["cross_dataset"]
    assert both["results"][:6] == first["results"] and set(both["provenance"]["records"]) == {"a", "b"}
    lines = strict(tmp_path / "scores.jsonl")
    assert {line["dataset"] for line in lines} == {"a", "b"} and len({line["clip_id"] for line in lines}) == len(lines)
    arrays = np.load(tmp_path / "features.npz")
    assert [line["clip_id"] for line in lines] == list(arrays["clip_id"])
    assert arrays["wave"].shape == (len(lines), FRAMES) and arrays["class_embeddings"].shape == (2, 4)
    # A second evaluation replaces the first one's, and another checkpoint's are not mixed in.
    again, _ = evaluated(tmp_path, protocols=("in_dataset",))
    assert [r["protocol"] for r in again["results"]] == ["cross_dataset"] + ["in_dataset"] * 6
    later = FakeScorer()
    later.step = 8
    alone, _ = evaluated(tmp_path, scorer=later, protocols=("cross_dataset",))
    assert [r["protocol"] for r in alone["results"]] == ["cross_dataset"]
    assert {line["split"] for line in strict(tmp_path / "scores.jsonl") if line["dataset"] == "a"} == {"val"}


@pytest.mark.parametrize(
    "make", [old_versions.evaluation_3_0, old_versions.evaluation_2_0, old_versions.evaluation_1_1]
)
def test_results_of_an_earlier_version_are_dropped_and_that_is_said(tmp_path, make, capsys):
    _, records = evaluated(tmp_path, protocols=("in_dataset",), config=CONFIG)
    rewrite(tmp_path, make)
    alone, _ = evaluated(tmp_path, records, protocols=("cross_dataset",), config=CONFIG)
    assert [r["protocol"] for r in alone["results"]] == ["cross_dataset"]
    assert "6 results of another training were dropped (version cpml-evaluation/" in capsys.readouterr().err


@pytest.mark.parametrize(
    "change",
    [
        lambda config: config | {"seed": 1},
        lambda config: config | {"model": {"rppg": {"dim": 9}, "visual": {"width": 4}}},
        lambda config: config | {"train": {"compressions": ["raw"]}},
        lambda config: config | {"optim": {"learning_rate": 2e-4}},
        lambda config: config | {"loss": {"push": 0.5}},
        lambda config: config | {"data": {"num_frames": 64}},
    ],
)
def test_results_of_another_training_run_are_not_kept(tmp_path, change, capsys):
    """Old code kept them beside another learning rate's and another loss's."""
    _, records = evaluated(tmp_path, protocols=("in_dataset",), config=CONFIG)
    alone, _ = evaluated(tmp_path, records, protocols=("cross_dataset",), config=change(CONFIG))
    assert [r["protocol"] for r in alone["results"]] == ["cross_dataset"]
    said = capsys.readouterr().err
    assert "6 results of another training were dropped (another configuration of training)" in said
    assert {line["dataset"] for line in strict(tmp_path / "scores.jsonl") if line["split"] == "test"} == {"b"}


def test_results_of_other_parameters_of_the_same_step_are_not_kept(tmp_path, capsys):
    evaluated(tmp_path, protocols=("in_dataset",), config=CONFIG)
    capsys.readouterr()
    same, _ = evaluated(tmp_path, protocols=("cross_dataset",), config=CONFIG)
    assert len(same["results"]) == 7 and "dropped" not in capsys.readouterr().err
    retrained = FakeScorer()
    retrained.parameters_sha256 = "1" * 64
    alone, _ = evaluated(tmp_path, scorer=retrained, protocols=("cross_dataset",), config=CONFIG)
    assert len(alone["results"]) == 1
    assert "6 results of another training were dropped (another set of parameters)" in capsys.readouterr().err


@pytest.mark.parametrize(
    "change", [{"data": {"workers": 8}}, {"name": "x"}, {"eval": CONFIG["eval"] | {"batch_size": 9}}]
)
def test_results_stay_where_only_what_shapes_no_training_changed(tmp_path, change):
    _, records = evaluated(tmp_path, protocols=("in_dataset",), config=CONFIG)
    both, _ = evaluated(tmp_path, records, protocols=("cross_dataset",), config=CONFIG | change)
    assert len(both["results"]) == 7


def test_results_of_other_records_are_not_kept(tmp_path):
    report, _ = evaluated(tmp_path, protocols=("in_dataset",))
    new = json.loads(json.dumps(report)) | {"results": []}
    kept, difference = results_file.earlier_results(report, new)
    assert len(kept) == 6 and difference == ""
    new["provenance"]["records"]["a"]["sha256"] = "another"
    assert results_file.earlier_results(report, new)[1] == "other records of 'a'"


def test_an_evaluation_is_current_for_its_checkpoint_its_training_and_its_tests(tmp_path):
    evaluated(tmp_path, protocols=("in_dataset",), config=CONFIG)
    assert results_file.is_current(tmp_path, CONFIG, 7)
    assert not results_file.is_current(tmp_path, CONFIG, 8)
    assert not results_file.is_current(tmp_path, CONFIG | {"optim": {"learning_rate": 1.0}}, 7)
    more = CONFIG | {"eval": CONFIG["eval"] | {"protocols": ["in_dataset", "cross_dataset"]}}
    assert not results_file.is_current(tmp_path, more, 7)


@pytest.mark.parametrize(
    "make",
    [
        old_versions.evaluation_3_0,
        old_versions.evaluation_2_0,
        old_versions.evaluation_1_1,
        old_versions.evaluation_1_0,
    ],
)
def test_earlier_versions_are_read_and_never_current(tmp_path, make):
    report, _ = evaluated(tmp_path, protocols=("in_dataset",), config=CONFIG)
    rewrite(tmp_path, make)
    old = results_file.read(tmp_path)
    assert old["results"][0]["test"] == report["results"][0]["test"]
    assert not results_file.is_current(tmp_path, CONFIG, 7)
    assert results_file.earlier_results(old, report | {"results": []})[1].startswith("version")


@pytest.mark.parametrize("text", ["", "{", "[]", "7", '{"schema": "x"}', '{"results": 3}', '{"results": [3]}'])
def test_what_is_no_evaluation_is_none(tmp_path, text):
    assert results_file.read(tmp_path) is None
    (tmp_path / "evaluation.json").write_text(text)
    assert results_file.read(tmp_path) is None


def test_scores_and_arrays_that_cannot_be_read_are_empty(tmp_path):
    assert results_file.read_scores(tmp_path) == [] and results_file.read_arrays(tmp_path) == {}
    (tmp_path / "scores.jsonl").write_text("{")
    (tmp_path / "features.npz").write_bytes(b"PK")
    assert results_file.read_scores(tmp_path) == [] and results_file.read_arrays(tmp_path) == {}


@pytest.mark.parametrize("name", ["evaluation.json", "scores.jsonl", "features.npz"])
def test_another_digit_in_a_file_of_an_evaluation_is_named(tmp_path, name, capsys):
    """A figure, a score: nothing about it would look wrong."""
    evaluated(tmp_path, protocols=("in_dataset",), config=CONFIG)
    assert results_file.damage(tmp_path) is None and results_file.is_current(tmp_path, CONFIG, 7)
    path = tmp_path / name
    data = bytearray(path.read_bytes())
    data[data.index(b"0.") + 2 if b"0." in data else len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(UserError, match=f"{name}: damaged since it was written; run `main.py evaluate`"):
        results_file.check_whole(tmp_path)
    assert results_file.read(tmp_path) is None and not results_file.is_current(tmp_path, CONFIG, 7)
    assert f"{name}: damaged since it was written: this evaluation is not used" in capsys.readouterr().err
    evaluated(tmp_path, protocols=("in_dataset",), config=CONFIG)
    results_file.check_whole(tmp_path)
