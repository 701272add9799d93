"""Confidence intervals by the bootstrap over identities: clips of one person are alike, so persons are drawn."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np
from jaxtyping import Float, Integer, Num, Shaped

from cpml_jax.metrics.detection import Labels, Scores, check_scores, undefined_reason
from cpml_jax.schema import FAKE, REAL

Groups = Shaped[np.ndarray, " N"] | Sequence[Hashable]  # the identity of every clip
SeedScores = Scores | Num[np.ndarray, "N S"]  # of one run, or of S seeds

_CHUNK = 1 << 21  # elements of a bootstrap array that are held at once: 16 MB as float64


def bootstrap_auc_ci95(
    labels: Labels, scores: SeedScores, groups: Groups, *, resamples: int = 1000, seed: int = 0
) -> tuple[list[float] | None, str | None]:
    """95 % percentile interval of the AUC by the bootstrap over identities (cluster bootstrap).

    Clips of one identity are alike, so identities are drawn with replacement, each with all of its clips; drawing
    clips would give intervals that are too narrow.

    Args:
      labels: (N,).
      scores: (N,), or (N, S) of S seeds: the interval is that of the mean of their AUCs.
      groups: (N,) hashable, the identity of every clip.
      resamples: how many; 0 switches the interval off.
      seed: of NumPy's generator; the same arguments give the same interval.

    Returns:
      ([low, high], None), or (None, reason) where there is no interval. Resamples in which a class is missing
      have no AUC and are left out; if those are more than half, there is no interval.
    """
    labels, seeds = by_seed(labels, scores)
    reason = undefined_reason(labels)
    if reason or resamples <= 0:
        return None, reason or "no interval asked for"
    if len(set(groups)) < 2:
        return None, "no interval: a single identity"
    values = resampled_aucs(labels, seeds, groups, resamples=resamples, seed=seed).mean(0)
    values = values[np.isfinite(values)]
    if 2 * len(values) < resamples:
        return None, "no interval: most resamples of the identities lack a class"
    low, high = np.percentile(values, (2.5, 97.5))
    return [float(low), float(high)], None


def by_seed(labels: Labels, scores: SeedScores) -> tuple[Integer[np.ndarray, " N"], list[Float[np.ndarray, " N"]]]:
    """Labels (N,), and scores (N,) or (N, S) as a list of S arrays (N,); checked as detection.check_scores does."""
    columns = np.asarray(scores)
    checked = [check_scores(labels, column) for column in (columns.T if columns.ndim == 2 else [columns])]
    return checked[0][0], [column for _, column in checked]


def _weighted_auc(labels: np.ndarray, weights: np.ndarray, first: np.ndarray, last: np.ndarray) -> np.ndarray:
    """AUC of R weightings (R, N) of clips sorted by score; first and last bound each clip's run of equal scores."""
    real, fake = weights * (labels == REAL), weights * (labels == FAKE)
    below = np.concatenate([np.zeros((len(weights), 1)), np.cumsum(real, axis=1)], axis=1)
    won = (fake * 0.5 * (below[:, first] + below[:, last])).sum(1)
    pairs = real.sum(1) * fake.sum(1)
    return np.divide(won, pairs, out=np.full(len(pairs), np.nan), where=pairs > 0)


def resampled_aucs(
    labels: Labels, scores: Sequence[Num[np.ndarray, " N"]], groups: Groups, *, resamples: int, seed: int
) -> Float[np.ndarray, "S resamples"]:
    """AUCs of several scores of the same clips, on the same resamples of the identities.

    Args:
      labels: (N,).
      scores: S arrays (N,).
      groups: (N,) hashable, the identity of every clip.

    Returns:
      (S, resamples) float64; NaN where a resample lacks a class.
    """
    names = {name: index for index, name in enumerate(dict.fromkeys(groups))}
    member = np.asarray([names[g] for g in groups])
    prepared = []
    for each in scores:
        order = np.argsort(each, kind="stable")
        ranked = np.asarray(each)[order]
        first, last = np.searchsorted(ranked, ranked, "left"), np.searchsorted(ranked, ranked, "right")
        prepared.append((np.asarray(labels)[order], member[order], first, last))
    rng = np.random.default_rng(seed)
    values = np.empty((len(scores), resamples))
    step = max(1, _CHUNK // max(len(member), len(names)))
    for start in range(0, resamples, step):
        count = min(step, resamples - start)
        times = rng.multinomial(len(names), np.full(len(names), 1.0 / len(names)), size=count)
        for row, (ranked_labels, who, first, last) in zip(values, prepared, strict=True):
            row[start : start + count] = _weighted_auc(ranked_labels, times[:, who].astype(np.float64), first, last)
    return values
