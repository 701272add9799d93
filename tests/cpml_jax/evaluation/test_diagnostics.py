"""What evaluation.json says of what a model reads."""

import json

import numpy as np
import published
import pytest
from fake_evaluation import FakeScorer, evaluated
from stream_scorer import StreamRecords, StreamScorer

from cpml_jax.errors import UserError
from cpml_jax.evaluation import diagnostics, streams_read


def records():
    """Twenty pairs of people are tested of a, ten of b."""
    splits = {"train": range(0, 2), "val": range(2, 6), "test": range(6, 46)}
    return {
        "a": StreamRecords("a", ("raw", "c23", "c40"), windows=1, splits=splits),
        "b": StreamRecords("b", ("c23",), windows=1, splits={"test": range(20)}),
    }


def diagnosed(folder, scorer, record_sets=None, **changes):
    evaluation, sets = evaluated(folder, record_sets or records(), scorer, diagnostics=True, **changes)
    published.check("evaluation", json.loads((folder / "evaluation.json").read_text()))
    return evaluation["diagnostics"], sets


def test_a_model_that_reads_landmarks_alone_is_called_so(tmp_path):
    block, sets = diagnosed(tmp_path, StreamScorer(rppg=0.0, landmarks=5.0))
    assert block["streams"] == ["rppg", "landmarks"] and block["summary"]["streams_read"] == ["landmarks"]
    assert block["summary"]["sentences"][0].startswith("This model reads landmarks alone. AUC that fakes lose")
    assert "rppg less than 0.02; landmarks up to 0." in block["summary"]["sentences"][0] and "note" not in block
    tests = [(e["dataset"], e["compression"], len(e["methods"])) for e in block["stream_swap"]]
    at = [("a", "raw"), ("a", "c23"), ("a", "c40"), ("b", "c23")]
    assert sorted(tests) == sorted((*where, n) for where in at for n in (2, 1, 1))
    for entry in block["stream_swap"]:
        rppg, landmarks = entry["streams"]["rppg"], entry["streams"]["landmarks"]
        assert (
            entry["auc"] > 0.95
            and rppg["without"]["drop"] == 0
            and rppg["alone"]["auc"] == pytest.approx(0.5, abs=0.02)
        )
        assert landmarks["alone"]["auc"] == entry["auc"] and landmarks["without"]["drop"] > 0.45
        assert landmarks["without"]["drop_ci95"][0] > 0.2
    for each in sets.values():
        assert len(each.reads) == len(set(each.reads))  # still read once


def test_two_streams_that_each_tell_all_are_needed_by_neither(tmp_path):
    block, _ = diagnosed(tmp_path, StreamScorer(rppg=50.0, landmarks=50.0, visual=0.0))
    pooled = streams_read.pooled_entries(block["stream_swap"])
    assert all(entry["streams"]["rppg"]["alone"]["auc"] > 0.9 for entry in pooled)
    assert "visual" not in block["summary"]["streams_read"]


@pytest.mark.parametrize(
    ("weights", "words"),
    [
        ({"landmarks": 5.0}, "This model has one stream and reads it: landmarks."),
        ({"landmarks": 0.0}, "This model reads nothing: no AUC lies clearly above 0.5."),
    ],
)
def test_a_model_of_one_stream_has_trivial_rows(tmp_path, weights, words):
    block, _ = diagnosed(tmp_path, StreamScorer(**weights), protocols=("in_dataset",))
    assert block["summary"]["sentences"][0] == words
    for entry in block["stream_swap"]:
        of = entry["streams"]["landmarks"]
        assert of["alone"]["auc"] == entry["auc"] and of["without"]["auc"] == pytest.approx(0.5, abs=0.05)


def test_without_counterparts_the_block_says_why(tmp_path):
    sets = records()
    for each in sets.values():
        for row in each.rows:
            row["target_video"] = ""
    block, _ = diagnosed(tmp_path, StreamScorer(rppg=1.0, landmarks=5.0), sets)
    assert block["stream_swap"] == [] and "target_video" in block["note"]
    assert block["summary"]["streams_read"] is None
    assert (
        block["summary"]["sentences"][0] == "What this model reads is not known: no fake here has its real beside it."
    )
    assert block["baselines"]


def test_baselines_are_of_every_method_and_compression(tmp_path):
    block, _ = diagnosed(tmp_path, StreamScorer(rppg=1.0, landmarks=5.0), protocols=("in_dataset",))
    assert [e["methods"] for e in block["baselines"][:3]] == [["Deepfakes", "Face2Face"], ["Deepfakes"], ["Face2Face"]]
    for entry in block["baselines"]:
        assert set(entry["statistics"]) == set(diagnostics.STATISTICS) and entry["n_real"] == 40
        # Still landmarks and pictures without texture tell nothing; the grid cannot be fitted to anything either.
        assert entry["statistics"]["landmark_energy"]["auc"] == 0.5
        assert entry["model"]["auc"] > 0.9
    assert "The untrained" in block["summary"]["sentences"][1]


def test_earlier_tests_of_the_same_checkpoint_stay(tmp_path):
    scorer = StreamScorer(rppg=0.0, landmarks=5.0)
    diagnosed(tmp_path, scorer, protocols=("cross_dataset",))
    evaluated(tmp_path, records(), scorer, protocols=("in_dataset",), diagnostics=True)
    written = json.loads((tmp_path / "evaluation.json").read_text())
    published.check("evaluation", written)
    assert {e["dataset"] for e in written["diagnostics"]["stream_swap"]} == {"a", "b"}
    assert {e["dataset"] for e in written["diagnostics"]["baselines"]} == {"a", "b"}


def test_off_there_is_no_block(tmp_path):
    evaluation, _ = evaluated(tmp_path, scorer=FakeScorer())
    assert "diagnostics" not in evaluation


def test_ceilings_are_those_beside_the_records(tmp_path):
    sets = [StreamRecords(name) for name in "ab"]
    for each in sets:
        each.directory = tmp_path / each.name
        each.directory.mkdir()
    (tmp_path / "a" / diagnostics.CEILINGS).write_text("[]")
    assert diagnostics.ceilings(sets) == {"a": []}
    (tmp_path / "b" / diagnostics.CEILINGS).write_text("{")
    with pytest.raises(UserError, match="not readable as JSON"):
        diagnostics.ceilings(sets)


def test_a_clip_whose_statistic_is_unknown_is_left_out_of_it():
    lines = [
        dict(clip_id=str(i), video_key=str(i), identity=str(i // 2), source_identity="", label=i % 2, logit_margin=0.0)
        for i in range(8)
    ]
    values = {str(i): {name: np.array(float(i % 2)) for name in diagnostics.DIRECTIONS} for i in range(8)}
    for i in range(8):
        values[str(i)]["sharpness_grid"] = np.full(36, i % 2)
    values["0"]["landmark_energy"] = np.array(np.nan)
    kept, scores = diagnostics.statistic_scores("landmark_energy", lines, values)
    assert len(kept) == 7 and scores.tolist() == [i % 2 for i in range(1, 8)]
    entry = diagnostics.baseline_entry(lines, values)
    assert entry["statistics"]["landmark_energy"]["auc"] == 1 and entry["statistics"]["inner_rim_agreement"]["auc"] == 0
    assert entry["statistics"]["sharpness_grid"]["auc"] == 1 and entry["model"]["auc"] == 0.5
