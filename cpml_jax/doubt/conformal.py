"""Conformal p-values: how often a clip like those of validation would be as far away as this one.

Vovk, Gammerman & Shafer, Algorithmic learning in a random world, 2005; split conformal as in Angelopoulos & Bates, A
gentle introduction to conformal prediction, 2021; over groups as in Dunn, Wasserman & Ramdas, Distribution-free
prediction sets for two-layer hierarchical models, JASA 2022. NumPy alone.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np
from jaxtyping import Float, Num


def p_values(
    scores: Num[np.ndarray, " M"] | Sequence[float],
    calibration: Num[np.ndarray, " N"] | Sequence[float],
    groups: Sequence[Hashable] | None = None,
) -> Float[np.ndarray, " M"]:
    """(1 + the number of calibration scores >= the score) / (N + 1).

    If the new score and the calibration's are exchangeable, P(p <= a) <= a for every a, whatever the score measures. A
    tie counts as at least as far: p is then larger, and the guarantee holds with any number of ties.

    Args:
      scores: how far the new ones are; NaN gives the smallest p-value: nothing is known of it.
      calibration: of held-out videos. None at all gives p = 1.
      groups: (N,) whom each calibration video shows. Then the count is over G groups, each giving the share of its
        videos that are as far: (1 + their sum) / (G + 1), valid for a video of a new group although the videos of one
        are alike. None: every video stands for itself.

    Returns:
      (M,) in (0, 1].
    """
    far, count = as_far(scores, calibration, groups)
    return (1.0 + far) / (count + 1.0)


def as_far(
    scores: Num[np.ndarray, " M"] | Sequence[float],
    calibration: Num[np.ndarray, " N"] | Sequence[float],
    groups: Sequence[Hashable] | None = None,
) -> tuple[Float[np.ndarray, " M"], int]:
    """(the number of calibration videos, or of groups, that are at least as far; how many there are). See p_values."""
    scores, calibration = np.asarray(scores, np.float64), np.asarray(calibration, np.float64)
    weights, count = group_weights(len(calibration), groups)
    order = np.argsort(calibration)
    # The weight of all from each place of the sorted scores on, and 0 beyond the last.
    remaining = np.append(np.cumsum(weights[order][::-1])[::-1], 0.0)
    far = remaining[np.searchsorted(calibration[order], scores, side="left")]
    return np.where(np.isnan(scores), 0.0, far), count


def group_weights(number: int, groups: Sequence[Hashable] | None) -> tuple[Float[np.ndarray, " N"], int]:
    """(what each of N videos counts, the sum of all): 1 each and N, or 1 a group, shared by its videos, and G."""
    if groups is None:
        return np.ones(number), number
    _, place, sizes = np.unique([str(group) for group in groups], return_inverse=True, return_counts=True)
    return 1.0 / sizes[place], len(sizes)


def smallest(count: int) -> float:
    """The smallest p-value that `count` videos, or groups of them, can give."""
    return 1.0 / (count + 1.0)


def fewest(level: float) -> int:
    """How many videos, or groups, there must be for a p-value at or below the level to be possible."""
    return max(int(np.ceil(1.0 / level - 1.0 - 1e-9)), 1)
