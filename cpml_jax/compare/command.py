"""main.py compare RUN RUN ...: the same tests of several runs beside each other, with differences that are tested.

Runs whose configurations differ in the seed alone are one column. Differences are to the first column, on the very
same videos: the paired bootstrap by identity, of the seeds' mean where there are several, and DeLong's test of a pair
of runs (significance.py) know how much the choice of people varies; a t-test over the seeds knows how much a training
does.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from scipy import stats

from cpml_jax.compare import formats, runs
from cpml_jax.compare.runs import Column, Finished, Key
from cpml_jax.errors import UserError
from cpml_jax.evaluation import protocols
from cpml_jax.evaluation.protocols import Test, Training
from cpml_jax.files import write_whole
from cpml_jax.metrics import detection
from cpml_jax.metrics.intervals import bootstrap_auc_ci95

RESAMPLES = 1000


def run(arguments: list[str], out: str = "", *, paired: Callable | None = None, resamples: int = RESAMPLES) -> int:
    """Print the comparison; with `out`, write compare.md, compare.tex and compare.csv there too.

    Args:
      arguments: folders that hold an evaluation.json, or a sweep.json, which stands for its runs.
      paired: significance.paired, or a function like it.
      resamples: of the bootstrap.

    Raises:
      UserError: a folder holds no evaluation, or there are fewer than two runs.
    """
    found = [finished for folder in arguments for finished in runs.load(Path(folder))]
    if len(found) < 2:
        raise UserError("compare needs two runs or more: main.py compare RUN RUN ... [--out=FOLDER]")
    if paired is None:
        from cpml_jax.metrics.significance import paired
    table = compare(runs.columns(found), paired, resamples)
    print(formats.markdown(table), flush=True)
    if out:
        Path(out).mkdir(parents=True, exist_ok=True)
        for name, text in (
            ("compare.md", formats.markdown(table)),
            ("compare.tex", formats.latex(table)),
            ("compare.csv", formats.csv_lines(table)),
        ):
            write_whole(Path(out) / name, text)
    return 0


def compare(columns: list[Column], paired: Callable, resamples: int) -> dict:
    """{columns: names, rows: [{test: words, cells: [...]}], notes: [...]}; see `cell` for what a cell holds."""
    keys = list(dict.fromkeys(key for column in columns for one in column.runs for key in one.results))
    rows, said = [], {}
    for key in keys:
        cells = [cell(column, columns[0], key, paired, resamples) for column in columns]
        rows.append({"test": runs.words(key), "cells": cells})
        for column, found in zip(columns, cells, strict=True):
            if found["note"]:
                said.setdefault((column.name, found["note"]), []).append(runs.words(key))
    notes = [
        f"{name}, {tests[0] if len(tests) == 1 else f'{len(tests)} tests'}: {note}"
        for (name, note), tests in said.items()
    ]
    names = [column.name for column in columns]
    return {"columns": names, "rows": rows, "notes": [*notes, *runs.notes(columns)]}


def cell(column: Column, first: Column, key: Key, paired: Callable, resamples: int) -> dict:
    """One column's figures on one test, at video level; what does not exist is None.

    Returns:
      auc: the run's, or the mean over the seeds; clip_auc likewise. ci95: its [lo, hi]. std: over several seeds.
      seeds: their number. To the first column: difference, difference_ci95 and p_bootstrap; p_delong of a single pair
      of runs; difference_std of several pairs; difference_seeds, if not all of both columns;
      pairs: [{seeds, videos, difference, ci95, p_bootstrap, p_delong}]; p_seeds: t-test over the seeds, paired where
      both columns have them. note: why something is missing.
    """
    results = [one.results[key] for one in column.runs if key in one.results]
    videos = [r["video"] for r in results if r["video"]["auc"] is not None]
    aucs, clips = [v["auc"] for v in videos], [r["clip"]["auc"] for r in results if r["clip"]["auc"] is not None]
    reasons = [r["video"].get("note") for r in results if r["video"].get("note")]
    note = "" if videos else (reasons[0] if reasons else "not tested")
    if videos and len(videos) < len(column.runs):
        note = f"of {len(videos)} of {len(column.runs)} seeds"
    base = {
        "auc": float(np.mean(aucs)) if aucs else None,
        "ci95": videos[0].get("auc_ci95") if len(videos) == 1 else mean_ci95(column, key, resamples),
        "std": _std(aucs),
        "seeds": len(aucs),
        "clip_auc": float(np.mean(clips)) if clips else None,
    }
    nothing = dict.fromkeys(
        ("difference", "difference_ci95", "difference_std", "difference_seeds", "p_bootstrap", "p_delong", "p_seeds")
    ) | {"pairs": []}  # fmt: skip
    if column is first or not aucs:
        return base | nothing | {"note": note}
    compared, why_not = differences(column, first, key, paired, resamples)
    return base | nothing | compared | {"note": "; ".join(text for text in (note, why_not) if text)}


def _std(values: list[float]) -> float | None:
    return float(np.std(values, ddof=1)) if len(values) > 1 else None


def differences(column: Column, first: Column, key: Key, paired: Callable, resamples: int) -> tuple[dict, str]:
    """What `cell` says of the difference, and why something of it is missing."""
    pairs, reasons = [], []
    for one, other in matched(column, first, key):
        figures, note = difference(one, other, key, paired, resamples)
        pairs += [figures] if figures else []
        reasons += [note] if note else []
    found = {"pairs": pairs}
    if pairs:
        deltas = [pair["difference"] for pair in pairs]
        found |= {"difference": float(np.mean(deltas)), "difference_std": _std(deltas)}
        seeds = sorted({pair["seeds"][0] for pair in pairs})
        # A mean difference that is not the difference of the means shown must say so.
        partial = len(pairs) < max(len(column.runs), len(first.runs))
        found["difference_seeds"] = seeds if partial else None
    if len(pairs) == 1:
        found |= {name: pairs[0][name] for name in ("p_bootstrap", "p_delong")}
        found["difference_ci95"] = pairs[0]["ci95"]
    elif pairs:
        found |= pooled(matched(column, first, key), key, paired, resamples)
    found["p_seeds"] = over_seeds(column, first, key)
    return found, "; ".join(dict.fromkeys(reasons))


def matched(column: Column, first: Column, key: Key) -> list[tuple[Finished, Finished]]:
    """Pairs of runs to compare: of the same seed where there are any, or else each with each."""
    ours, theirs = ([one for one in c.runs if key in one.results] for c in (column, first))
    same = [(one, other) for one in ours for other in theirs if one.seed == other.seed]
    return same or [(one, other) for one in ours for other in theirs]


def over_seeds(column: Column, first: Column, key: Key) -> float | None:
    """p of a two-sided t-test over the seeds' AUC: paired by seed, or Welch's if no two seeds are the same."""
    ours, theirs = (
        {one.seed: one.results[key]["video"]["auc"] for one in c.runs if key in one.results} for c in (column, first)
    )
    ours, theirs = ({seed: auc for seed, auc in found.items() if auc is not None} for found in (ours, theirs))
    common = sorted(ours.keys() & theirs.keys())
    if len(common) > 1:
        a, b = (np.asarray([found[seed] for seed in common]) for found in (ours, theirs))
        spread = (a - b).std(ddof=1)
    elif not common and min(len(ours), len(theirs)) > 1:
        a, b = (np.asarray(list(found.values())) for found in (ours, theirs))
        spread = a.std(ddof=1) + b.std(ddof=1)
    else:
        return None
    if spread < 1e-12:  # no variation at all, as of columns that are both perfect: the statistic is not defined
        return None
    answer = stats.ttest_rel(a, b) if common else stats.ttest_ind(a, b, equal_var=False)
    return float(answer.pvalue)


def difference(one: Finished, other: Finished, key: Key, paired: Callable, resamples: int) -> tuple[dict | None, str]:
    """Paired figures of two runs on the videos that both scored, and a word if those are not all.

    Raises:
      UserError: the runs hold a video under different labels.
    """
    ours, theirs = video_scores(one, key), video_scores(other, key)
    common = [video for video in ours if video in theirs]
    if not common:
        return None, "no paired test: " + (
            "scores.jsonl lacks this test's clips" if not (ours and theirs) else "the runs share no video"
        )
    differing = [video for video in common if ours[video]["label"] != theirs[video]["label"]]
    if differing:
        raise UserError(
            f"{one.folder} and {other.folder} give video {differing[0]!r} different labels ({len(differing)} such "
            "videos): they were not tested on the same data, and cannot be compared"
        )
    labels, groups, (a, b) = aligned([ours, theirs])
    undefined = detection.undefined_reason(labels)
    if undefined:
        return None, f"no paired test: {undefined} that both runs scored"
    answer = paired(labels, b, a, groups, resamples=resamples, seed=0)
    note = ""
    if len(common) < max(len(ours), len(theirs)):
        note = (
            f"difference on the {len(common)} common videos of {len(ours)} here and {len(theirs)} in the first column"
        )
    return {
        "seeds": [one.seed, other.seed],
        "videos": len(common),
        "difference": detection.auc(labels, a) - detection.auc(labels, b),
        "ci95": answer["bootstrap"].get("ci95"),
        "p_bootstrap": answer["bootstrap"].get("p"),
        "p_delong": answer["delong"].get("p"),
    }, note


def pooled(pairs: list[tuple[Finished, Finished]], key: Key, paired: Callable, resamples: int) -> dict:
    """{difference_ci95, p_bootstrap} of the mean difference of several pairs, on the videos that all runs scored."""
    scores = [[video_scores(run, key) for run in side] for side in zip(*pairs, strict=True)]
    labels, groups, found = aligned([*scores[0], *scores[1]])
    if detection.undefined_reason(labels):
        return {}
    ours, theirs = np.stack(found[: len(pairs)], axis=1), np.stack(found[len(pairs) :], axis=1)
    answer = paired(labels, theirs, ours, groups, resamples=resamples, seed=0)["bootstrap"]
    return {"difference_ci95": answer.get("ci95"), "p_bootstrap": answer.get("p")}


def mean_ci95(column: Column, key: Key, resamples: int) -> list[float] | None:
    """95 % interval of the mean AUC over a column's seeds, by the bootstrap over identities."""
    scores = [video_scores(run, key) for run in column.runs if key in run.results]
    labels, groups, found = aligned(scores) if scores else (np.zeros(0, np.int64), [], [])
    if detection.undefined_reason(labels):
        return None
    return bootstrap_auc_ci95(labels, np.stack(found, axis=1), groups, resamples=resamples)[0]


def aligned(runs: list[dict[str, dict]]) -> tuple[np.ndarray, list, list[np.ndarray]]:
    """Labels (N,), groups (N,) and every run's scores (N,) on the videos that all of them scored."""
    common = [video for video in runs[0] if all(video in run for run in runs)]
    labels = np.asarray([runs[0][video]["label"] for video in common], np.int64)
    groups = [runs[0][video]["group"] for video in common]
    return labels, groups, [np.asarray([run[video]["score"] for video in common]) for run in runs]


def video_scores(run: Finished, key: Key) -> dict[str, dict]:
    """video_key -> {label, group, score} of a test: score is the mean P(fake) of its clips, as in the evaluation.

    The group of the bootstrap is the identity; a video of an unknown one stands for itself.
    """
    # Re-encoded and corrupted clips stand under their own name of records, <data set>.<protocol>.
    names = {key.dataset, f"{key.dataset}.{key.protocol}"} if key.condition else {key.dataset}
    lines = [line for line in run.lines() if line["dataset"] in names]
    test = Test(key.protocol, Training(key.dataset, (), ()), key.dataset, key.compression, key.methods)
    chosen = protocols.select(lines, test)
    videos, means = detection.video_level(chosen, [line["p_fake"] for line in chosen])
    return {
        video["video_key"]: {
            "label": video["label"],
            "group": video["identity"] or video["video_key"],
            "score": float(score),
        }
        for video, score in zip(videos, means, strict=True)
    }
