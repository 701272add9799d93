"""Do two runs differ? Paired tests on the very same videos."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy import stats

from cpml_jax.metrics import detection
from cpml_jax.metrics.detection import Labels, Scores
from cpml_jax.metrics.intervals import SeedScores, by_seed, influence, mean_auc, one_sided_bound, quantile, variance
from cpml_jax.metrics.people import People, units_of
from cpml_jax.schema import FAKE, REAL


def delong(labels: Labels, a: Scores, b: Scores) -> dict[str, Any]:
    """DeLong's test of two AUCs of the same clips, by midranks (Sun & Xu, IEEE Signal Processing Letters 21, 2014).

    It treats clips as independent, and is too confident where several show one person, as in every data set of pairs;
    `difference` is not. It is here because other publications give it.

    Args:
      labels: (N,).
      a, b: (N,) scores of two runs.

    Returns:
      {auc_a, auc_b, difference (b - a), se, z, p}, and note where z and p do not exist: less than two classes, less
      than two clips of a class, or a difference without variance (equal rankings: p is 1 then).
    """
    labels, a = detection.check_scores(labels, a)
    _, b = detection.check_scores(labels, b)
    empty = {"auc_a": detection.auc(labels, a), "auc_b": detection.auc(labels, b)}
    reason = detection.undefined_reason(labels)
    if reason:
        return empty | dict.fromkeys(("difference", "se", "z", "p")) | {"note": reason}
    fakes, reals = (np.stack([a, b])[:, labels == c] for c in (FAKE, REAL))
    m, n = fakes.shape[1], reals.shape[1]
    pooled = _midranks(np.concatenate([fakes, reals], axis=1))
    # Share of reals below each fake, and of fakes above each real: a tie counts half.
    of_fakes = (pooled[:, :m] - _midranks(fakes)) / n
    of_reals = 1.0 - (pooled[:, m:] - _midranks(reals)) / m
    difference = float(of_fakes[1].mean() - of_fakes[0].mean())
    figures = empty | {"difference": difference}
    if m < 2 or n < 2:
        return figures | dict.fromkeys(("se", "z", "p")) | {"note": "a class has a single clip"}
    contrast = np.array([-1.0, 1.0])
    variance = float(contrast @ (np.cov(of_fakes) / m + np.cov(of_reals) / n) @ contrast)
    if variance <= 1e-16:
        same = abs(difference) < 1e-12
        note = "equal rankings of reals against fakes" if same else "the difference has no variance"
        return figures | {"se": 0.0, "z": None, "p": 1.0 if same else None, "note": note}
    z = difference / np.sqrt(variance)
    return figures | {"se": float(np.sqrt(variance)), "z": float(z), "p": float(2 * stats.norm.sf(abs(z)))}


def _midranks(scores: np.ndarray) -> np.ndarray:
    return np.stack([stats.rankdata(row) for row in scores])


def difference(labels: Labels, a: SeedScores, b: SeedScores, people: People) -> dict[str, Any]:
    """The difference of two AUCs, b - a, on the same clips, over people and, of several seeds, over training runs.

    A t-test with the variance of intervals.variance: what it says holds for other people and, with several seeds, for
    other training runs of the two methods. Of one run each it is about these two runs alone.

    Args:
      labels: (N,).
      a, b: (N,) scores of two runs, or (N, S) of the seeds of two methods: the difference is that of the mean AUCs.
      people: (N,), see people.People.

    Returns:
      {difference, ci95, p}. Where one does not exist it is None, and note says why or how they are to be read.
    """
    checked, first = by_seed(labels, a)
    _, second = by_seed(labels, b)
    reason = detection.undefined_reason(checked)
    if reason:
        return {"difference": None, "ci95": None, "p": None, "note": reason}
    gap = mean_auc(checked, second) - mean_auc(checked, first)
    answer: dict[str, Any] = {"difference": gap, "ci95": None, "p": None}
    units, why_not = units_of(people)
    if units is None:
        return answer | {"note": why_not}
    runs = [[influence(checked, scores, units) for scores in seeds] for seeds in (first, second)]
    methods = [[one for one in seeds if one is not None] for seeds in runs]
    if not all(methods):
        return answer | {"note": "no interval: no two groups of identities compare a real with a fake"}
    note = {"note": units.note} if units.note else {}
    if {one.auc for seeds in methods for one in seeds} in ({0.0}, {1.0}):
        room = 1.0 - one_sided_bound(units.count)
        note = {"note": "both AUCs are at the end of the scale: they cannot be told apart by this test"}
        return answer | {"ci95": [-room, room], "p": 1.0} | note
    total, freedom = variance(methods, (-1.0, 1.0))
    if total <= 1e-16:
        same = abs(gap) < 1e-12
        return (
            answer
            | {"ci95": [0.0, 0.0] if same else None, "p": 1.0 if same else None}
            | (note if same else {"note": "the difference has no variance"})
        )
    error = float(np.sqrt(total))
    half = quantile(freedom) * error
    ends = [max(-1.0, gap - half), min(1.0, gap + half)]
    return answer | {"ci95": ends, "p": float(2 * stats.t.sf(abs(gap) / error, freedom))} | note


def holm(values: Sequence[float | None]) -> list[float | None]:
    """p values corrected for their number (Holm, 1979): the chance that any of them is wrongly below its bound.

    Args:
      values: p values; None where there is none, which counts as no test.

    Returns:
      The corrected ones in the same order, at most 1 and in the order of the uncorrected ones.
    """
    known = sorted((value, index) for index, value in enumerate(values) if value is not None)
    corrected: list[float | None] = [None] * len(values)
    largest = 0.0
    for rank, (value, index) in enumerate(known):
        largest = max(largest, min(1.0, (len(known) - rank) * value))
        corrected[index] = largest
    return corrected


def paired(labels: Labels, a: SeedScores, b: SeedScores, people: People) -> dict[str, dict[str, Any]]:
    """{delong, people} of two runs on the same clips or videos; of several seeds, (N, S), `difference` alone."""
    single = np.ndim(a) == 1 and np.ndim(b) == 1
    return {"delong": delong(labels, a, b) if single else {}, "people": difference(labels, a, b, people)}
