"""Do two runs differ? Paired tests on the very same videos."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import stats
from sklearn import metrics as sk

from cpml_jax.metrics import detection
from cpml_jax.metrics.detection import Labels, Scores
from cpml_jax.metrics.intervals import Groups, SeedScores, by_seed, resampled_aucs
from cpml_jax.schema import FAKE, REAL


def delong(labels: Labels, a: Scores, b: Scores) -> dict[str, Any]:
    """DeLong's test of two AUCs of the same clips, by midranks (Sun & Xu, IEEE Signal Processing Letters 21, 2014).

    It treats clips as independent: with several of one person it is too confident, which `bootstrap` is not.

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


def bootstrap(
    labels: Labels,
    a: SeedScores,
    b: SeedScores,
    groups: Groups,
    *,
    resamples: int = 1000,
    seed: int = 0,
) -> dict[str, Any]:
    """The difference of two AUCs, b - a, by the paired bootstrap over identities.

    Args:
      labels: (N,).
      a, b: (N,) scores of two runs, or (N, S) of S seeds of two methods: the difference is that of the mean AUCs.
      groups: (N,) hashable, the identity of every clip: drawn with all of its clips, the same for both runs.

    Returns:
      {difference, ci95, p}; p is twice the smaller share of resamples on a side of 0, those at 0 counted on both, with
      one added to each so that it is never 0. Where one does not exist it is None and note says why.
    """
    checked, first = by_seed(labels, a)
    _, second = by_seed(labels, b)
    reason = detection.undefined_reason(checked)
    if reason:
        return {"difference": None, "ci95": None, "p": None, "note": reason}
    means = [np.mean([sk.roc_auc_score(checked, scores) for scores in run]) for run in (first, second)]
    figures = {"difference": float(means[1] - means[0])}
    if len(set(groups)) < 2 or resamples <= 0:
        return figures | {"ci95": None, "p": None, "note": "no interval: a single identity, or no resamples"}
    drawn = resampled_aucs(checked, [*first, *second], groups, resamples=resamples, seed=seed)
    differences = drawn[len(first) :].mean(0) - drawn[: len(first)].mean(0)
    differences = differences[np.isfinite(differences)]
    if 2 * len(differences) < resamples:
        return figures | {"ci95": None, "p": None, "note": "no interval: most resamples lack a class"}
    tails = ((differences <= 0).sum() + 1, (differences >= 0).sum() + 1)
    low, high = np.percentile(differences, (2.5, 97.5))
    return figures | {"ci95": [float(low), float(high)], "p": float(min(1.0, 2 * min(tails) / (len(differences) + 1)))}


def paired(
    labels: Labels,
    a: SeedScores,
    b: SeedScores,
    groups: Groups,
    *,
    resamples: int = 1000,
    seed: int = 0,
) -> dict[str, dict[str, Any]]:
    """{delong, bootstrap} of two runs on the same clips or videos; of several seeds, (N, S), the bootstrap alone."""
    return {
        "delong": delong(labels, a, b) if np.ndim(a) == 1 else {},
        "bootstrap": bootstrap(labels, a, b, groups, resamples=resamples, seed=seed),
    }
