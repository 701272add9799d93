"""Differences between two columns of runs, on the very same videos, and tests of these differences.

The paired bootstrap over identities (for several seeds, of their mean) and DeLong's test of a pair of runs
(metrics/significance.py) measure how much the choice of people varies; a t-test over the seeds measures how much a
training run does.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any

import numpy as np
from scipy import stats

from cpml_jax.compare.runs import Column, Finished, Key
from cpml_jax.errors import UserError
from cpml_jax.evaluation import protocols, video_score
from cpml_jax.evaluation.protocols import Test, Training
from cpml_jax.metrics import detection
from cpml_jax.metrics.intervals import bootstrap_auc_ci95

PairedTest = Callable[..., dict[str, Any]]  # significance.paired, or a function like it
# What `differences` gives, but for the pairs; None where it does not exist.
FIGURES = (
    "difference", "difference_ci95", "difference_std", "difference_seeds", "p_bootstrap", "p_delong", "p_seeds",
)  # fmt: skip


def std(values: Sequence[float]) -> float | None:
    """Standard deviation of a sample; None for less than two values."""
    return float(np.std(values, ddof=1)) if len(values) > 1 else None


def differences(
    column: Column, first: Column, key: Key, paired: PairedTest, resamples: int
) -> tuple[dict[str, Any], str]:
    """The figures of `command.cell` about the difference to the first column, and why some are missing."""
    pairs, reasons = [], []
    for one, other in matched(column, first, key):
        figures, note = difference(one, other, key, paired, resamples)
        pairs += [figures] if figures else []
        reasons += [note] if note else []
    compared: dict[str, Any] = {"pairs": pairs}
    if pairs:
        deltas = [pair["difference"] for pair in pairs]
        compared |= {"difference": float(np.mean(deltas)), "difference_std": std(deltas)}
        seeds = sorted({pair["seeds"][0] for pair in pairs})
        # A mean difference that is not the difference of the means shown is marked with its seeds.
        partial = len(pairs) < max(len(column.runs), len(first.runs))
        compared["difference_seeds"] = seeds if partial else None
    if len(pairs) == 1:
        compared |= {name: pairs[0][name] for name in ("p_bootstrap", "p_delong")}
        compared["difference_ci95"] = pairs[0]["ci95"]
    elif pairs:
        compared |= pooled(matched(column, first, key), key, paired, resamples)
    compared["p_seeds"] = over_seeds(column, first, key)
    return compared, "; ".join(dict.fromkeys(reasons))


def matched(column: Column, first: Column, key: Key) -> list[tuple[Finished, Finished]]:
    """Pairs of runs to compare: those of the same seed or, if no two seeds are the same, each with each."""
    ours, theirs = ([one for one in c.runs if key in one.results] for c in (column, first))
    same = [(one, other) for one in ours for other in theirs if one.seed == other.seed]
    return same or [(one, other) for one in ours for other in theirs]


def over_seeds(column: Column, first: Column, key: Key) -> float | None:
    """p of a two-sided t-test over the seeds' AUC: paired by seed, or Welch's if no two seeds are the same."""
    ours, theirs = _auc_by_seed(column, key), _auc_by_seed(first, key)
    common = sorted(ours.keys() & theirs.keys())
    if len(common) > 1:
        a, b = (np.asarray([aucs[seed] for seed in common]) for aucs in (ours, theirs))
        spread = (a - b).std(ddof=1)
    elif not common and min(len(ours), len(theirs)) > 1:
        a, b = (np.asarray(list(aucs.values())) for aucs in (ours, theirs))
        spread = a.std(ddof=1) + b.std(ddof=1)
    else:
        return None
    if spread < 1e-12:  # no variation at all, as between two perfect columns: the statistic is not defined
        return None
    answer = stats.ttest_rel(a, b) if common else stats.ttest_ind(a, b, equal_var=False)
    return float(answer.pvalue)


def _auc_by_seed(column: Column, key: Key) -> dict[int, float]:
    aucs = {one.seed: one.results[key]["video"]["auc"] for one in column.runs if key in one.results}
    return {seed: auc for seed, auc in aucs.items() if auc is not None}


def difference(
    one: Finished, other: Finished, key: Key, paired: PairedTest, resamples: int
) -> tuple[dict[str, Any] | None, str]:
    """Paired figures of two runs on the videos that both scored, and a remark if those are not all.

    Raises:
      UserError: the runs hold a video under different labels.
    """
    ours, theirs = video_scores(one, key), video_scores(other, key)
    common = [video for video in ours if video in theirs]
    if not common:
        return None, "no paired test: " + (
            "the runs share no video" if ours and theirs else "scores.jsonl lacks this test's clips"
        )
    differing = [video for video in common if ours[video]["label"] != theirs[video]["label"]]
    if differing:
        raise UserError(
            f"{one.folder} and {other.folder} give video {differing[0]!r} different labels ({len(differing)} such "
            "videos): they were not tested on the same data, and cannot be compared"
        )
    labels, groups, (a, b) = aligned([ours, theirs])
    auc, other_auc = detection.auc(labels, a), detection.auc(labels, b)
    if auc is None or other_auc is None:
        return None, f"no paired test: {detection.undefined_reason(labels)} that both runs scored"
    answer = paired(labels, b, a, groups, resamples=resamples, seed=0)
    note = ""
    if len(common) < max(len(ours), len(theirs)):
        note = (
            f"difference on the {len(common)} common videos of {len(ours)} here and {len(theirs)} in the first column"
        )
    return {
        "seeds": [one.seed, other.seed],
        "videos": len(common),
        "difference": auc - other_auc,
        "ci95": answer["bootstrap"].get("ci95"),
        "p_bootstrap": answer["bootstrap"].get("p"),
        "p_delong": answer["delong"].get("p"),
    }, note


def pooled(pairs: list[tuple[Finished, Finished]], key: Key, paired: PairedTest, resamples: int) -> dict[str, Any]:
    """{difference_ci95, p_bootstrap} of the mean difference of several pairs, on the videos that all runs scored."""
    ours, theirs = ([video_scores(run, key) for run in side] for side in zip(*pairs, strict=True))
    labels, groups, scores = aligned([*ours, *theirs])
    if detection.undefined_reason(labels):
        return {}
    a, b = np.stack(scores[: len(pairs)], axis=1), np.stack(scores[len(pairs) :], axis=1)
    answer = paired(labels, b, a, groups, resamples=resamples, seed=0)["bootstrap"]
    return {"difference_ci95": answer.get("ci95"), "p_bootstrap": answer.get("p")}


def mean_ci95(column: Column, key: Key, resamples: int) -> list[float] | None:
    """95 % interval of the mean AUC over a column's seeds, by the bootstrap over identities."""
    scores = [video_scores(run, key) for run in column.runs if key in run.results]
    if not scores:
        return None
    labels, groups, by_run = aligned(scores)
    if detection.undefined_reason(labels):
        return None
    return bootstrap_auc_ci95(labels, np.stack(by_run, axis=1), groups, resamples=resamples)[0]


def aligned(runs: list[dict[str, dict]]) -> tuple[np.ndarray, list[Hashable], list[np.ndarray]]:
    """Labels (N,), groups (N,) and every run's scores (N,) on the videos that all of them scored."""
    common = [video for video in runs[0] if all(video in run for run in runs)]
    labels = np.asarray([runs[0][video]["label"] for video in common], np.int64)
    groups = [runs[0][video]["group"] for video in common]
    return labels, groups, [np.asarray([run[video]["score"] for video in common]) for run in runs]


def video_scores(run: Finished, key: Key) -> dict[str, dict[str, Any]]:
    """video_key -> {label, group, score} of a test: score is the video's margin, as in the evaluation.

    The group of the bootstrap is the identity; a video of an unknown one is a group by itself.
    """
    names = {key.dataset} | ({protocols.condition_records(key.dataset, key.protocol)} if key.condition else set())
    lines = [line for line in run.lines if line["dataset"] in names]
    test = Test(key.protocol, Training(key.dataset, (), ()), key.dataset, key.compression, key.methods)
    chosen = protocols.select(lines, test)
    videos, margins = video_score.video_margins(chosen, [video_score.margin_of(line) for line in chosen])
    return {
        video["video_key"]: {
            "label": video["label"],
            "group": video["identity"] or video["video_key"],
            "score": float(score),
        }
        for video, score in zip(videos, margins, strict=True)
    }
