import dataclasses
import json

import jsonschema
import numpy as np
import pytest
from sklearn import metrics as sk

from cpml_jax import json_schema
from cpml_jax.evaluation import schemas
from cpml_jax.evaluation.table import table
from cpml_jax.metrics import summary
from cpml_jax.report import headline
from cpml_jax.report.run_files import RunFiles


def validate(figures):
    schema = json_schema.document("figures", summary.definition(), json_schema.BASIC)
    jsonschema.Draft202012Validator(schema).validate(figures)


@pytest.mark.parametrize(
    "labels, scores",
    [
        ([], []),
        ([0], [0.5]),
        ([1], [1.0]),
        ([0, 1], [0.5, 0.5]),
        ([0, 0, 1, 1], [0.0, 0.0, 1.0, 1.0]),
        ([1] * 5, [0.3] * 5),
    ],
)
def test_every_figure_exists_or_says_why(labels, scores):
    figures = summary.figures(labels, scores, [f"p{i}" for i in range(len(labels))], threshold=0.5)
    assert (figures["n_real"], figures["n_fake"]) == (labels.count(0), labels.count(1))
    flat = {**figures, **figures["tpr_at_fpr"], "tdr": figures["tdr"]["value"]}
    figures_of = [flat[k] for k in ("auc", "ap", "eer", "acc", "tpr", "fpr", "0.01", "0.001", "tdr", "ece", "brier")]
    assert all(value is None or 0.0 <= value <= 1.0 for value in figures_of)
    if None in figures_of:
        assert figures["note"]
    two = len(set(labels)) == 2
    assert (figures["auc"] is not None) == two and (figures["eer"] is not None) == two
    if two and len(set(scores)) == 1:
        assert figures["auc"] == 0.5 == figures["eer"] and figures["tpr_at_fpr"]["0.01"] == 0.0  # ties: a coin, truly


def test_calibrated_probabilities_move_calibration_alone():
    rng = np.random.default_rng(0)
    labels, scores = rng.integers(0, 2, 50), rng.random(50)
    plain = summary.figures(labels, scores, range(50), threshold=0.5)
    other = summary.figures(labels, scores, range(50), threshold=0.5, probabilities=scores**2)
    changed = {key for key in plain if plain[key] != other[key]}
    assert changed == {"ece", "brier"}


@pytest.mark.parametrize(("labels", "reason"), [([], "no clips"), ([0, 0], "no fake clips"), ([1], "no real clips")])
def test_without_two_classes_the_note_has_one_reason(labels, reason):
    scores = np.linspace(0.2, 0.8, len(labels))
    figures = summary.figures(labels, scores, ["a"] * len(labels), threshold=0.5)
    assert figures["auc"] is None and figures["auc_ci95"] is None and figures["note"] == reason
    assert (figures["acc"] is None) == (len(labels) == 0)
    validate(figures)


def test_figures_are_finite_json_of_the_ranges_that_the_schema_gives():
    rng = np.random.default_rng(0)
    labels = np.arange(40) % 2
    figures = summary.figures(labels, rng.random(40), list(range(40)), threshold=0.5)
    validate(figures)
    for wrong in ({"auc": 1.5}, {"auc_ci95": [0.5]}, {"n_real": -1}, {"tdr": {"fdr": 0.002}}, {"recall": 0.5}):
        with pytest.raises(jsonschema.ValidationError):
            validate(figures | wrong)


def test_a_score_that_is_no_number_has_no_text():
    for value in (None, float("nan"), float("inf"), "0.5", True, [0.1]):
        assert summary.decimals(value) is None
    for value in (None, [0.1], [0.1, None], "ab", 0.5):
        assert summary.interval(value) is None
    assert (summary.decimals(0.12345), summary.interval([0.5, 1])) == ("0.123", "0.50-1.00")


# --- one entry is all there is to a metric ---------------------------------------------------------------------

MCC = summary.Metric(
    "mcc",
    lambda s: float(sk.matthews_corrcoef(s.labels, s.scores >= s.threshold)),
    {"type": "number", "minimum": -1, "maximum": 1},
    "Matthews correlation of decisions and labels.",
    "higher",
    (summary.Column("MCC", summary.decimals, plain_title="MCC"),),
)


def report_of(figures):
    return {
        "checkpoint": {"step": 1, "selection": "validation"}, "excluded": [],
        "results": [{
            "protocol": "in_dataset", "condition": None, "clip": figures, "video": figures, "sampler": {},
            "train": {"dataset": "a", "compressions": ["raw"], "methods": ["m"]},
            "test": {"dataset": "a", "compression": "raw", "methods": ["m"]},
            "threshold": {"clip": 0.5, "video": 0.5, "rule": "best"},
        }],
    }  # fmt: skip


def test_a_new_metric_appears_in_the_figures_the_schemas_the_tables_and_the_docs(monkeypatch):
    labels, scores = np.array([0, 0, 1, 1]), np.array([0.7, 0.9, 0.1, 0.2])
    before = summary.figures(labels, scores, [1, 2, 3, 4], threshold=0.5)
    monkeypatch.setattr(summary, "METRICS", (*summary.METRICS, MCC))

    figures = summary.figures(labels, scores, [1, 2, 3, 4], threshold=0.5)
    assert figures == before | {"mcc": -1.0}
    for name in ("evaluation", "sweep"):
        entry = json.loads(schemas.texts()[f"{name}.schema.json"])["$defs"]["figures"]["properties"]["mcc"]
        assert entry == MCC.schema | {"description": "Matthews correlation of decisions and labels. Higher is better."}
    validate(figures)
    with pytest.raises(jsonschema.ValidationError):
        validate(figures | {"mcc": 2.0})
    validate(before)  # results that an earlier release wrote

    head, _, line, *_ = table(report_of(figures)).splitlines()
    assert head.split()[-1] == "MCC" and line.split()[-1] == "-1.000"
    assert table(report_of(before)).splitlines()[2].split()[-1] == "-"
    html = headline.results(RunFiles(report_of(figures), [], {}, {}, [], {}))
    assert ">MCC</th>" in html and "\N{MINUS SIGN}1.000" in html and MCC.sentence in html
    assert "| `mcc` | Matthews correlation of decisions and labels. | higher |" in schemas.metrics_table()


def test_every_metric_says_what_it_is_in_a_sentence():
    names = [metric.name for metric in summary.METRICS]
    assert len(set(names)) == len(names)
    assert all(metric.explanation.endswith(".") for metric in summary.METRICS)
    assert all(dataclasses.is_dataclass(column) for _, column in summary.columns())
    assert [column.of for _, column in summary.columns()][:3] == ["clip", "clip", "video"]
