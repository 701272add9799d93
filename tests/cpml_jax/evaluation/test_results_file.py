import json

import numpy as np
import old_versions
import pytest
from fake_evaluation import FRAMES, FakeScorer, evaluated, strict

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


def test_results_of_version_1_1_are_kept_under_todays_names(tmp_path):
    first, records = evaluated(tmp_path, protocols=("in_dataset",), config=CONFIG)
    rewrite(tmp_path, old_versions.evaluation_1_1)
    assert results_file.read(tmp_path) == first
    both, _ = evaluated(tmp_path, records, protocols=("cross_dataset",), config=CONFIG)
    assert both["results"][:6] == first["results"] and both["schema"] == "cpml-evaluation/2.0.0"


@pytest.mark.parametrize(
    "change",
    [
        lambda config: config | {"seed": 1},
        lambda config: config | {"model": {"rppg": {"dim": 9}, "visual": {"width": 4}}},
        lambda config: config | {"train": {"compressions": ["raw"]}},
    ],
)
def test_results_of_another_training_run_are_not_kept(tmp_path, change):
    _, records = evaluated(tmp_path, protocols=("in_dataset",), config=CONFIG)
    alone, _ = evaluated(tmp_path, records, protocols=("cross_dataset",), config=change(CONFIG))
    assert [r["protocol"] for r in alone["results"]] == ["cross_dataset"]


def test_results_of_other_records_are_not_kept(tmp_path):
    report, _ = evaluated(tmp_path, protocols=("in_dataset",))
    new = json.loads(json.dumps(report)) | {"results": []}
    assert len(results_file.earlier_results(report, new)) == 6
    new["provenance"]["records"]["a"]["sha256"] = "another"
    assert results_file.earlier_results(report, new) == []


def test_an_evaluation_is_current_for_its_checkpoint_and_its_tests_whatever_version_wrote_it(tmp_path):
    evaluated(tmp_path, protocols=("in_dataset",), config=CONFIG)
    for change in (lambda new: new, old_versions.evaluation_1_1):
        rewrite(tmp_path, change)
        assert results_file.is_current(tmp_path, CONFIG, 7)
        assert not results_file.is_current(tmp_path, CONFIG, 8)
        more = CONFIG | {"eval": CONFIG["eval"] | {"protocols": ["in_dataset", "cross_dataset"]}}
        assert not results_file.is_current(tmp_path, more, 7)


def test_version_1_0_is_read_and_never_current(tmp_path):
    report, _ = evaluated(tmp_path, protocols=("in_dataset",), config=CONFIG)
    rewrite(tmp_path, old_versions.evaluation_1_0)
    old = results_file.read(tmp_path)
    assert old["results"][0]["test"] == report["results"][0]["test"]
    assert not results_file.is_current(tmp_path, CONFIG, 7)
    assert results_file.earlier_results(old, report | {"results": []}) == []


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
