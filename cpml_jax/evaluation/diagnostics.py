"""The diagnostics of evaluation.json: untrained baselines, stream swap, and which streams the model reads by them.

All figures are of clips, of the test split as it is recorded (no re-encodings and corruptions), by compression.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cpml_jax.data.records import RecordSet
from cpml_jax.errors import UserError
from cpml_jax.evaluation import baselines
from cpml_jax.evaluation.stream_swap import Given, StreamScorer, StreamSwap
from cpml_jax.evaluation.streams_read import summary
from cpml_jax.files import parse_json
from cpml_jax.json_schema import (
    COUNT,
    INTERVAL,
    NAMES,
    NUMBER,
    OBJECT,
    OPTIONAL_NUMBER,
    SHARE,
    STRING,
    Schema,
    array,
    closed,
    mapping,
)
from cpml_jax.metrics import detection
from cpml_jax.metrics.intervals import auc_ci95
from cpml_jax.metrics.people import people_of
from cpml_jax.metrics.significance import difference
from cpml_jax.schema import REAL, REAL_METHOD

Line = dict[str, Any]  # of scores.jsonl
Entry = dict[str, Any]  # of the two lists
CEILINGS = "ceilings.json"  # beside the records of a drawn data set (data_prep/synthetic/ceilings.py)

# Statistic -> the sign that makes it larger for fakes; the grid has no direction, and is cross-validated.
DIRECTIONS = {"landmark_energy": 1.0, "inner_rim_agreement": -1.0}
GRID = "sharpness_grid"
STATISTICS = (*DIRECTIONS, GRID)


class Diagnosis:
    """What the diagnostics need of a data set's clips, gathered while they are scored.

    Attributes:
      statistics: clip_id -> baselines.measure of the clip.
      swap: stream_swap.StreamSwap.
      streams: names of the model's.
    """

    def __init__(self, scorer: StreamScorer, rows: Iterable[Mapping[str, Any]]):
        """rows: those that will be scored, reals before fakes."""
        self._scorer = scorer
        self.streams = scorer.streams
        self.statistics: dict[str, dict[str, np.ndarray]] = {}
        self.swap = StreamSwap(scorer, rows)

    def score(self, rows: Sequence[Mapping[str, Any]], batch: dict[str, np.ndarray]) -> Mapping[str, Any]:
        """The scores of a batch that holds STATISTICS."""
        scores = self._scorer.score_streams(batch)
        for i, row in enumerate(rows):
            self.statistics[row["clip_id"]] = {name: batch[name][i] for name in STATISTICS}
        self.swap.add(rows, scores)
        return scores


def diagnostics(
    lines: Sequence[Line],
    diagnoses: Sequence[Diagnosis],
    streams: Sequence[str],
    record_sets: Iterable[RecordSet],
) -> dict[str, Any]:
    """`diagnostics` of evaluation.json.

    Args:
      lines: of the test clips that were diagnosed.
      streams: names of the model's.
      record_sets: those of the lines.
    """
    statistics = {name: figures for each in diagnoses for name, figures in each.statistics.items()}
    margins = {name: figures for each in diagnoses for name, figures in each.swap.margins.items()}
    untrained, swapped = [], []
    for about, chosen in by_test(lines):
        untrained.append(about | baseline_entry(chosen, statistics))
        paired = [line for line in chosen if line["label"] == REAL or line["clip_id"] in margins]
        if any(line["label"] != REAL for line in paired):
            swapped.append(about | swap_entry(paired, margins, streams))
    block: dict[str, Any] = {"streams": list(streams), "baselines": untrained, "stream_swap": swapped}
    if not swapped:
        block["note"] = "no stream swap: no fake of these records has its real counterpart in them (target_video)"
    return block | {"summary": summary(swapped, untrained, streams), "ceilings": ceilings(record_sets)}


def by_test(lines: Sequence[Line]) -> Iterable[tuple[dict[str, Any], list[Line]]]:
    """({dataset, compression, methods}, their lines): all methods together first, then, of several, each alone."""
    for dataset, compression in dict.fromkeys((line["dataset"], line["compression"]) for line in lines):
        here = [line for line in lines if (line["dataset"], line["compression"]) == (dataset, compression)]
        methods = sorted({line["method"] for line in here} - {REAL_METHOD})
        for chosen in dict.fromkeys(((*methods,), *((method,) for method in methods))):
            about = {"dataset": dataset, "compression": compression, "methods": list(chosen)}
            yield about, [line for line in here if line["method"] in (REAL_METHOD, *chosen)]


def baseline_entry(lines: Sequence[Line], statistics: Mapping[str, Mapping[str, np.ndarray]]) -> Entry:
    """AUC of the model and of each untrained statistic on the same clips."""
    model = _area(lines, [line["logit_margin"] for line in lines])
    return _counts(lines) | {
        "model": model,
        "statistics": {name: _area(*statistic_scores(name, lines, statistics)) for name in STATISTICS},
    }


def statistic_scores(
    name: str, lines: Sequence[Line], statistics: Mapping[str, Mapping[str, np.ndarray]]
) -> tuple[list[Line], np.ndarray | None]:
    """The lines where a statistic is known, and what it says of them, larger for fakes; None if it cannot be fitted."""
    lines = [line for line in lines if np.isfinite(statistics[line["clip_id"]][name]).all()]
    values = np.array([statistics[line["clip_id"]][name] for line in lines])
    if name in DIRECTIONS:
        return lines, DIRECTIONS[name] * values
    labels = np.array([line["label"] for line in lines], np.int64)
    return lines, baselines.cross_validated(values, labels, baselines.identity_groups(lines)) if lines else None


def swap_entry(lines: Sequence[Line], margins: Mapping[str, Mapping[Given, float]], streams: Sequence[str]) -> Entry:
    """AUC of reals against fakes, and what becomes of it with each stream, and with all but it, taken from the real."""

    def scores(given: Iterable[str]) -> np.ndarray:
        key = frozenset(given)
        return np.array(
            [margins[line["clip_id"]][key] if line["label"] != REAL else line["logit_margin"] for line in lines]
        )

    own = scores(())
    figures = {}
    for name in streams:
        without = scores({name})
        figures[name] = {
            "without": _area(lines, without) | _drop(lines, own, without),
            "alone": _area(lines, scores(set(streams) - {name})),
        }
    return _counts(lines) | _area(lines, own) | {"streams": figures}


def _counts(lines: Sequence[Line]) -> dict[str, int]:
    fakes = sum(line["label"] != REAL for line in lines)
    return {"n_real": len(lines) - fakes, "n_fake": fakes}


def _area(lines: Sequence[Line], scores: Any) -> dict[str, Any]:
    """{auc, auc_ci95}; null where there is none."""
    if scores is None:
        return {"auc": None, "auc_ci95": None}
    labels = [line["label"] for line in lines]
    interval, _ = auc_ci95(labels, scores, [people_of(line) for line in lines])
    return {"auc": detection.auc(labels, scores), "auc_ci95": interval}


def _drop(lines: Sequence[Line], own: np.ndarray, without: np.ndarray) -> dict[str, Any]:
    """How much AUC is lost, and its 95 % interval over people."""
    labels, people = [line["label"] for line in lines], [people_of(line) for line in lines]
    lost = difference(labels, without, own, people)
    drop, interval = lost["difference"], lost["ci95"]
    before = detection.auc(labels, own)
    if drop and (interval is None or before in (0.0, 1.0)):
        interval = _of_separate(drop, _area(lines, own), _area(lines, without))
    return {"drop": drop, "drop_ci95": interval}


def _of_separate(drop: float, own: Mapping[str, Any], without: Mapping[str, Any]) -> list[float] | None:
    """Interval of the difference of two AUCs from the interval of each (MOVER; Zou & Donner, 2008).

    An AUC of 1, and that of fakes which score exactly as their reals, do not vary over these people: the paired test
    takes them as certain. Their own intervals do not. The correlation of the two is taken as 0.
    """
    if own["auc_ci95"] is None or without["auc_ci95"] is None:
        return None
    (own_low, own_high), (low, high) = own["auc_ci95"], without["auc_ci95"]
    down = np.hypot(own["auc"] - own_low, high - without["auc"])
    up = np.hypot(own_high - own["auc"], without["auc"] - low)
    return [float(max(-1.0, drop - down)), float(min(1.0, drop + up))]


def ceilings(record_sets: Iterable[RecordSet]) -> dict[str, Any]:
    """Data set -> what its ceilings file holds, of those that have one.

    Raises:
      UserError: a file that is not JSON.
    """
    known = {}
    for records in record_sets:
        path = Path(records.directory) / CEILINGS
        if not path.is_file():
            continue
        try:
            known[records.name] = parse_json(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise UserError(f"{path}: not readable as JSON ({error}); delete it or write it again") from None
    return known


def merged(earlier: Mapping[str, Any] | None, block: dict[str, Any]) -> dict[str, Any]:
    """The block with the tests of an earlier one, of the same checkpoint and records, that it does not repeat."""
    if not earlier:
        return block
    made = {(entry["dataset"], entry["compression"]) for entry in block["baselines"]}
    untrained, swapped = (
        [e for e in earlier[key] if (e["dataset"], e["compression"]) not in made] + block[key]
        for key in ("baselines", "stream_swap")
    )
    whole = {key: value for key, value in block.items() if key != "note" or not swapped}
    return whole | {
        "baselines": untrained,
        "stream_swap": swapped,
        "summary": summary(swapped, untrained, block["streams"]),
        "ceilings": earlier["ceilings"] | block["ceilings"],
    }


def definition() -> Schema:
    """`diagnostics` of evaluation.json."""
    area = {"auc": SHARE, "auc_ci95": INTERVAL}
    change = {"type": ["array", "null"], "items": NUMBER, "minItems": 2, "maxItems": 2}
    about = {"dataset": STRING, "compression": STRING, "methods": NAMES, "n_real": COUNT, "n_fake": COUNT}
    statistics = closed({name: closed(area) for name in STATISTICS})
    stream = closed({"without": closed(area | {"drop": OPTIONAL_NUMBER, "drop_ci95": change}), "alone": closed(area)})
    streams_read = {"oneOf": [{"type": "null"}, NAMES]}
    return closed(
        {
            "streams": NAMES,
            "baselines": array(closed(about | {"model": closed(area), "statistics": statistics}))
            | {"description": "untrained statistics of clips, and the model on the same clips"},
            "stream_swap": array(closed(about | area | {"streams": mapping(stream)}))
            | {"description": "fakes with their real's stream (without), or with all streams but that one (alone)"},
            "note": STRING,
            "summary": closed({"streams_read": streams_read, "sentences": array(STRING)}),
            "ceilings": mapping(array(OBJECT)) | {"description": "data set -> its ceilings.json, where it has one"},
        },
        optional=("note",),
    )
