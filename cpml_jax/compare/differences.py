"""Differences between two columns of runs, on the very same videos, and tests of these differences.

The test (metrics/significance.py) is over people and, where a column has several seeds, over training runs together.
DeLong's test of a pair of runs stands beside it for comparison with other publications.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any

import numpy as np

from cpml_jax.compare.runs import Column, Finished, Key
from cpml_jax.errors import UserError
from cpml_jax.evaluation import protocols, video_score
from cpml_jax.evaluation.protocols import Test, Training
from cpml_jax.metrics import detection
from cpml_jax.metrics.intervals import auc_ci95
from cpml_jax.metrics.people import people_of

PairedTest = Callable[..., dict[str, Any]]  # significance.paired, or a function like it
# What `differences` gives, but for the pairs; None where it does not exist. p_holm is filled in over a whole table.
FIGURES = ("difference", "difference_ci95", "difference_std", "p", "p_holm", "p_delong")


def std(values: Sequence[float]) -> float | None:
    """Standard deviation of a sample; None for less than two values."""
    return float(np.std(values, ddof=1)) if len(values) > 1 else None


def differences(column: Column, first: Column, key: Key, paired: PairedTest) -> tuple[dict[str, Any], str]:
    """The figures of `command.cell` about the difference to the first column, and why some are missing.

    The difference is that of the mean AUCs of all runs of both columns, on the videos that all of them scored.

    Raises:
      UserError: the runs hold a video under different labels.
    """
    ours, theirs = ([run for run in c.runs if key in run.results] for c in (column, first))
    scores = [video_scores(run, key) for run in (*ours, *theirs)]
    labels, people, by_run = aligned(scores)
    if not len(labels):
        return {}, "no paired test: " + (
            "the runs share no video" if all(scores) else "scores.jsonl lacks this test's clips"
        )
    _check_labels([*ours, *theirs], scores)
    reason = detection.undefined_reason(labels)
    if reason:
        return {}, f"no paired test: {reason} that all runs scored"
    new, old = by_run[: len(ours)], by_run[len(ours) :]
    answer = paired(labels, _columns(old), _columns(new), people)
    compared = {
        "difference": float(np.mean([_auc(labels, s) for s in new]) - np.mean([_auc(labels, s) for s in old])),
        "difference_ci95": answer["people"].get("ci95"),
        "p": answer["people"].get("p"),
        "p_delong": answer["delong"].get("p"),
        "pairs": [
            {"seeds": [one.seed, other.seed], "difference": _auc(labels, a) - _auc(labels, b)}
            for one, a in zip(ours, new, strict=True)
            for other, b in zip(theirs, old, strict=True)
            if one.seed == other.seed
        ],
    }
    compared["difference_std"] = std([pair["difference"] for pair in compared["pairs"]])
    notes = [answer["people"].get("note") or ""]
    here, before = (max(len(s) for s in side) for side in (scores[: len(ours)], scores[len(ours) :]))
    if len(labels) < max(here, before):
        notes.append(f"difference on the {len(labels)} common videos of {here} here and {before} in the first column")
    return compared, "; ".join(note for note in notes if note)


def _columns(runs: list[np.ndarray]) -> np.ndarray:
    """(N,) of one run, (N, S) of several."""
    return runs[0] if len(runs) == 1 else np.stack(runs, axis=1)


def _auc(labels: np.ndarray, scores: np.ndarray) -> float:
    value = detection.auc(labels, scores)
    assert value is not None, "both classes have been checked"
    return value


def _check_labels(runs: list[Finished], scores: list[dict[str, dict]]) -> None:
    for run, videos in zip(runs[1:], scores[1:], strict=True):
        differing = [v for v in videos if v in scores[0] and videos[v]["label"] != scores[0][v]["label"]]
        if differing:
            raise UserError(
                f"{runs[0].folder} and {run.folder} give video {differing[0]!r} different labels ({len(differing)} "
                "such videos): they were not tested on the same data, and cannot be compared"
            )


def mean_ci95(column: Column, key: Key) -> list[float] | None:
    """95 % interval of the mean AUC over a column's runs, over people and, of several, over seeds together."""
    scores = [video_scores(run, key) for run in column.runs if key in run.results]
    if not scores:
        return None
    labels, people, by_run = aligned(scores)
    if detection.undefined_reason(labels):
        return None
    return auc_ci95(labels, _columns(by_run), people)[0]


def aligned(runs: list[dict[str, dict]]) -> tuple[np.ndarray, list[Hashable], list[np.ndarray]]:
    """Labels (N,), whom each shows (N,) and every run's scores (N,) on the videos that all of them scored."""
    common = [video for video in runs[0] if all(video in run for run in runs)]
    labels = np.asarray([runs[0][video]["label"] for video in common], np.int64)
    groups = [runs[0][video]["group"] for video in common]
    return labels, groups, [np.asarray([run[video]["score"] for video in common]) for run in runs]


def video_scores(run: Finished, key: Key) -> dict[str, dict[str, Any]]:
    """video_key -> {label, group, score} of a test: score is the video's margin, as in the evaluation.

    The group is whom the video shows (metrics/people.py); one of unknown identity stands for itself.
    """
    names = {key.dataset} | ({protocols.condition_records(key.dataset, key.protocol)} if key.condition else set())
    lines = [line for line in run.lines if line["dataset"] in names]
    test = Test(key.protocol, Training(key.dataset, (), ()), key.dataset, key.compression, key.methods)
    chosen = protocols.select(lines, test)
    videos, margins = video_score.video_margins(chosen, [video_score.margin_of(line) for line in chosen])
    return {
        video["video_key"]: {
            "label": video["label"],
            "group": people_of(video),
            "score": float(score),
        }
        for video, score in zip(videos, margins, strict=True)
    }
