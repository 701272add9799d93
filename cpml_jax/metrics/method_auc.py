"""The AUC as publications report it: of each manipulation, averaged over them, and with excluded videos as chance."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np

from cpml_jax.metrics.detection import Labels, Scores, auc, check_scores
from cpml_jax.schema import FAKE, REAL


def by_method(labels: Labels, scores: Scores, methods: Sequence[Hashable]) -> dict[Hashable, float | None]:
    """AUC of each method's fakes against all reals, in the order of their names; None where there are no reals.

    Args:
      labels, scores: (N,).
      methods: (N,) of the fakes; those of the reals are not read.
    """
    labels, scores = check_scores(labels, scores)
    names = np.asarray(list(methods), object)
    chosen = {name: (labels == REAL) | (names == name) for name in sorted(set(names[labels == FAKE].tolist()))}
    return {name: auc(labels[rows], scores[rows]) for name, rows in chosen.items()}


def method_mean(labels: Labels, scores: Scores, methods: Sequence[Hashable]) -> float | None:
    """Mean of `by_method`: every manipulation counts alike, however many videos it has. None where there is no AUC."""
    values = [value for value in by_method(labels, scores, methods).values() if value is not None]
    return float(np.mean(values)) if values else None


def excluded_as_chance(labels: Labels, scores: Scores, excluded: tuple[int, int]) -> float | None:
    """AUC with so many more reals and fakes, each a tie with every other video.

    Args:
      labels, scores: (N,) of the videos that have a score.
      excluded: numbers of reals and of fakes that have none.
    """
    labels, scores = check_scores(labels, scores)
    value = auc(labels, scores)
    if value is None:
        return None
    reals, fakes = int((labels == REAL).sum()), int((labels == FAKE).sum())
    pairs = (reals + excluded[REAL]) * (fakes + excluded[FAKE])
    return (value * reals * fakes + 0.5 * (pairs - reals * fakes)) / pairs
