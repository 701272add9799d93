"""`doubt` of a result: shares, false alarms, error against coverage."""

import io
import json

import numpy as np
import published
import pytest
from fake_evaluation import FakeRecords, evaluated, strict
from sklearn import metrics as sk

from cpml_jax.doubt import figures, knowledge

P = np.array([0.9, 0.01, 0.6, 0.05, 0.4, 0.3])
LABELS, MARGINS = np.array([0, 0, 0, 1, 1, 1]), np.array([-1.0, 2.0, 1.0, 3.0, -2.0, 2.0])


def test_shares_and_false_alarms_are_those_that_one_counts():
    made = figures.figures(LABELS, MARGINS, P, threshold=0.5, level=0.05)
    assert made["undetermined"] == pytest.approx(2 / 6)  # a p-value at the level is below it
    assert (made["undetermined_real"], made["undetermined_fake"]) == (pytest.approx(1 / 3), pytest.approx(1 / 3))
    kept = P > 0.05
    assert made["determined"] == {
        "n_real": 2, "n_fake": 2, "auc": sk.roc_auc_score(LABELS[kept], MARGINS[kept]), "acc": 0.5, "tpr": 0.5,
    }  # fmt: skip
    assert made["false_alarms"] == {
        "n_real": 3, "without_doubt": pytest.approx(2 / 3), "of_all": pytest.approx(1 / 3), "of_determined": 0.5,
    }  # fmt: skip


def test_error_against_coverage_ends_in_the_error_of_all_and_ties_are_called_together():
    curve = figures.risk_coverage(LABELS, MARGINS, P, 0.5)
    assert [point["coverage"] for point in curve] == pytest.approx(np.arange(1, 7) / 6)
    assert [point["error"] for point in curve] == pytest.approx([0, 1 / 2, 2 / 3, 2 / 4, 2 / 5, 3 / 6])
    (whole,) = figures.risk_coverage(LABELS, MARGINS, np.ones(6), 0.5)
    assert whole == {"p": 1.0, "coverage": 1.0, "error": 0.5}
    many = np.linspace(0, 1, 5000)
    curve = figures.risk_coverage(np.zeros(5000, int), many, many, 0.5)
    assert len(curve) == figures.POINTS and curve[-1]["coverage"] == 1.0


def test_nothing_is_invented_where_all_are_undetermined_or_no_threshold_is():
    made = figures.figures(LABELS, MARGINS, np.zeros(6), threshold=0.5, level=0.05)
    assert made["undetermined"] == 1.0 and made["determined"]["auc"] is None
    assert made["false_alarms"]["of_determined"] is None and made["false_alarms"]["of_all"] == 0.0
    made = figures.figures(LABELS, MARGINS, P, threshold=None, level=0.05)
    assert made["risk_coverage"] == [] and made["false_alarms"]["without_doubt"] is None
    made = figures.figures([], [], [], threshold=0.5, level=0.05)
    assert made["undetermined"] is None and made["risk_coverage"] == []


def test_an_evaluation_measures_doubt_and_keeps_what_predict_needs(tmp_path):
    splits = {"train": range(0, 8), "val": range(8, 14), "test": range(14, 18)}
    out = io.StringIO()
    report, records = evaluated(
        tmp_path, {"a": FakeRecords("a", splits=splits)}, protocols=("in_dataset",), doubt_level=0.2, out=out
    )
    published.check("evaluation", json.loads((tmp_path / "evaluation.json").read_text()))
    about = report["doubt"]
    assert (about["p_over"], about["count"], about["sources"]) == ("groups of people", 7, "training and validation")
    assert report["calibration"]["people"] == {"real": 6, "fake": 6}
    assert report["calibration"]["bounds"] == pytest.approx([1 / 8, 7 / 8])
    known = knowledge.read(tmp_path / "doubt.npz", "0" * 64, 0.2)
    assert known.describe() == {key: value for key, value in about.items()}
    lines = strict(tmp_path / "scores.jsonl")
    assert {line["split"] for line in lines} == {"val", "test"}  # training clips are measured, not scored
    assert len(records["a"].reads) == len(records["a"].rows)
    by_video = {}
    for line in lines:
        published.check("scores", line)
        by_video.setdefault(line["video_key"], set()).add(line["p_known"])
    assert all(len(values) == 1 and 1 / 8 <= min(values) <= 1 for values in by_video.values())
    for each in report["results"]:
        of_test = {v["video_key"]: v["p_known"] for v in lines if v["split"] == "test"
                   and v["compression"] == each["test"]["compression"]
                   and v["method"] in ("real", *each["test"]["methods"])}  # fmt: skip
        share = np.mean([p <= 0.2 for p in of_test.values()])
        assert each["doubt"]["undetermined"] == pytest.approx(share)
    assert "Undetermined at level 0.2: a raw" in out.getvalue() and "called fake, with doubt" in out.getvalue()
    # Without doubt, none of it, and nothing of the former evaluation's that predict would believe.
    report, _ = evaluated(tmp_path, protocols=("in_dataset",))
    assert "doubt" not in report and not (tmp_path / "doubt.npz").exists()
