"""The metrics: what stands in evaluation.json under `clip` and `video`, each defined once.

An entry of METRICS is all there is to a metric. The figures of a result, the tables, the report's headline and its
explanations, the JSON Schemas and the table in docs/evaluation.md follow from it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from cpml_jax.json_schema import COUNT, INTERVAL, NUMBER, SHARE, STRING, Schema, closed
from cpml_jax.metrics import calibration, detection, method_auc
from cpml_jax.metrics.detection import Labels, Scores
from cpml_jax.metrics.figure_text import decimals, entry, interval
from cpml_jax.metrics.intervals import auc_ci95
from cpml_jax.metrics.people import People
from cpml_jax.schema import FAKE, REAL

FALSE_ALARMS = (0.01, 0.001)
# True detection rate at a false detection rate of 0.2 %, as in presentation attack detection (Deb & Jain, Look locally
# infer globally, IEEE T-IFS 16, 2021).
DETECTION_FDR = 0.002


@dataclasses.dataclass(frozen=True)
class Scored:
    """The clips, or the videos, of a test: what a metric is a function of.

    Attributes:
      labels: (N,) 0 real, 1 fake.
      scores: (N,) margins as the model gives them (or P(fake)): what ranks, and what the threshold is for.
      probabilities: (N,) calibrated P(fake).
      threshold: chosen on the validation split; None where it lacks a class.
      identities: (N,), whom each shows (people.People): the intervals are over these people.
      methods: (N,) the manipulation of each fake; the reals' entries are not read. None where it is not known.
      excluded: numbers of real and of fake videos that are listed for the test and could not be scored; None of clips,
        whose number nobody knows.
    """

    labels: Int[np.ndarray, " N"]
    scores: Float[np.ndarray, " N"]
    probabilities: Float[np.ndarray, " N"]
    threshold: float | None
    identities: People
    methods: Sequence[str] | None = None
    excluded: tuple[int, int] | None = None


class Noted(NamedTuple):
    """A metric's value with a remark: why it is None, or how it is to be read."""

    value: Any
    note: str | None


@dataclasses.dataclass(frozen=True)
class Column:
    """A column of the tables.

    Attributes:
      title: in the report, a few characters.
      text: the metric's value as text; None for what is missing or no value of this metric.
      of: whether it shows clips or videos.
      plain_title: in the plain table, which has 100 characters for all columns; empty: the report alone shows it.
    """

    title: str
    text: Callable[[Any], str | None]
    of: Literal["clip", "video"] = "video"
    plain_title: str = ""


@dataclasses.dataclass(frozen=True)
class Metric:
    """A figure of clips or videos.

    Attributes:
      name: key in evaluation.json.
      function: of Scored; its value, or Noted. A figure that does not exist is None, never 0.5.
      schema: JSON Schema of the value: type and range.
      explanation: what it is, in one sentence.
      better: which way is better, where there is one.
      columns: of the tables.
      always: every version of evaluation.json has it.
    """

    name: str
    function: Callable[[Scored], Any]
    schema: Schema
    explanation: str
    better: Literal["higher", "lower", ""] = ""
    columns: tuple[Column, ...] = ()
    always: bool = False

    @property
    def sentence(self) -> str:
        """The explanation, and which way is better."""
        return f"{self.explanation}{f' {self.better.capitalize()} is better.' if self.better else ''}"


def _accuracy(s: Scored) -> Noted:
    note = "no threshold: validation lacks a class" if s.threshold is None else None
    return Noted(detection.accuracy(s.labels, s.scores, s.threshold), note)


def _tpr_at_fpr(s: Scored) -> Noted:
    shares = {f"{fpr:g}": detection.tpr_at_fpr(s.labels, s.scores, fpr) for fpr in FALSE_ALARMS}
    note = next((note for _, note in shares.values() if note), None)
    return Noted({fpr: share for fpr, (share, _) in shares.items()}, note)


def _of_methods(function: Callable[[Labels, Scores, Sequence[str]], Any]) -> Callable[[Scored], Any]:
    return lambda s: None if s.methods is None else function(s.labels, s.scores, s.methods)


METRICS: tuple[Metric, ...] = (
    Metric(
        "n_real", lambda s: int((s.labels == REAL).sum()), COUNT, "Number of real clips or videos.", always=True,
    ),
    Metric(
        "n_fake", lambda s: int((s.labels == FAKE).sum()), COUNT, "Number of fake clips or videos.", always=True,
    ),
    Metric(
        "auc",
        lambda s: detection.auc(s.labels, s.scores),
        SHARE,
        "Area under the ROC curve: how often a fake scores higher than a real, a tie counting half.",
        "higher",
        (
            Column("clip AUC", decimals, "clip", plain_title="clip"),
            Column("video AUC", decimals, plain_title="video"),
        ),
        always=True,
    ),
    Metric(
        "auc_ci95",
        lambda s: Noted(*auc_ci95(s.labels, s.scores, s.identities)),
        INTERVAL,
        "95 % interval of the AUC over people: connected groups of identities vary, not clips. Of an AUC of 1 it is "
        "one-sided.",
        columns=(Column("95 %", interval, "clip"), Column("95 %", interval, plain_title="95 % CI")),
        always=True,
    ),
    Metric(
        "auc_method_mean",
        _of_methods(method_auc.method_mean),
        SHARE,
        "Mean over the manipulations of the AUC of each, against all reals: what publications average.",
        "higher",
        (Column("mean of methods", decimals, plain_title="mean"),),
    ),
    Metric(
        "auc_by_method",
        _of_methods(method_auc.by_method),
        {"type": ["object", "null"], "additionalProperties": SHARE},
        "AUC of each manipulation, against all reals.",
    ),
    Metric(
        "auc_excluded_as_chance",
        lambda s: s.excluded and method_auc.excluded_as_chance(s.labels, s.scores, s.excluded),
        SHARE,
        "AUC with every listed video that could not be scored (no face, too short, damaged) counted as a tie with all "
        "others; of videos alone.",
        "higher",
    ),
    Metric(
        "ap",
        lambda s: detection.average_precision(s.labels, s.scores),
        SHARE,
        "Average precision, fakes positive: mean precision over the steps of recall.",
        "higher",
        (Column("AP", decimals),),
        always=True,
    ),
    Metric(
        "eer",
        lambda s: detection.eer(s.labels, s.scores)[0],
        SHARE,
        "Equal error rate: where as many reals are called fake as fakes are called real, on straight lines between "
        "the points of the ROC curve.",
        "lower",
        (Column("EER", decimals, plain_title="EER"),),
        always=True,
    ),
    Metric(
        "acc",
        _accuracy,
        SHARE,
        "Accuracy: share of right decisions at the validation split's threshold.",
        "higher",
        (Column("acc", decimals, plain_title="acc"),),
        always=True,
    ),
    Metric(
        "tpr",
        lambda s: detection.rates(s.labels, s.scores, s.threshold)[0],
        SHARE,
        "Share of fakes called fake at the validation split's threshold.",
        "higher",
    ),
    Metric(
        "fpr",
        lambda s: detection.rates(s.labels, s.scores, s.threshold)[1],
        SHARE,
        "Share of reals called fake at the validation split's threshold.",
        "lower",
    ),
    Metric(
        "tpr_at_fpr",
        _tpr_at_fpr,
        {"type": "object", "propertyNames": {"pattern": r"^0?\.\d+$"}, "additionalProperties": SHARE},
        "Share of fakes detected while at most 1 % or 0.1 % of the test's reals are called fake; with few reals that "
        "is none of them, and `note` says so.",
        "higher",
        (Column("TPR at FPR 1 %", entry("0.01")), Column("0.1 %", entry("0.001"))),
    ),
    Metric(
        "tdr",
        lambda s: {"fdr": DETECTION_FDR, "value": detection.tpr_at_fpr(s.labels, s.scores, DETECTION_FDR)[0]},
        closed({"fdr": NUMBER, "value": SHARE}),
        "True detection rate: the same at a false detection rate of 0.2 %, the usual figure of presentation attack "
        "detection (Deb & Jain, 2021).",
        "higher",
    ),
    Metric(
        "ece",
        lambda s: calibration.ece(s.labels, s.probabilities),
        SHARE,
        "Expected calibration error (Guo et al., 2017) of P(fake) after one temperature, fitted on validation.",
        "lower",
        (Column("ECE", decimals),),
    ),
    Metric(
        "brier",
        lambda s: calibration.brier(s.labels, s.probabilities),
        SHARE,
        "Brier score (Brier, 1950): mean squared distance of that P(fake) from the label.",
        "lower",
    ),
)  # fmt: skip


def figures(
    labels: Labels,
    scores: Scores,
    identities: People,
    *,
    threshold: float | None,
    probabilities: Scores | None = None,
    methods: Sequence[str] | None = None,
    excluded: tuple[int, int] | None = None,
) -> dict[str, Any]:
    """Every metric of a test's clips, or of its videos.

    Args:
      labels, scores, identities, threshold, methods, excluded: see Scored.
      probabilities: (N,) calibrated P(fake); None: the scores are P(fake) themselves.

    Returns:
      {name of a metric: its value}; a figure that does not exist is None and `note` says why.

    Raises:
      UserError: a score is not finite.
    """
    labels, scores = detection.check_scores(labels, scores)
    probabilities = scores if probabilities is None else detection.check_scores(labels, probabilities)[1]
    scored = Scored(labels, scores, probabilities, threshold, identities, methods, excluded)
    values, notes = {}, []
    for metric in METRICS:
        answer = metric.function(scored)
        values[metric.name], note = answer if isinstance(answer, Noted) else (answer, None)
        notes.append(note)
    said = list(dict.fromkeys(note for note in (detection.undefined_reason(labels), *notes) if note))
    return values | ({"note": "; ".join(said)} if said else {})


def columns() -> list[tuple[Metric, Column]]:
    """The columns of the tables: those of clips, then those of videos, in the order of METRICS."""
    return sorted(((m, column) for m in METRICS for column in m.columns), key=lambda pair: pair[1].of)


def definition() -> Schema:
    """JSON Schema of what `figures` returns."""
    properties = {metric.name: metric.schema | {"description": metric.sentence} for metric in METRICS}
    note = STRING | {"description": "why a figure is null, or how it is to be read"}
    return closed(properties | {"note": note}, ["note", *(metric.name for metric in METRICS if not metric.always)])
