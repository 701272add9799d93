"""Which moment of a clip shows what is wanted now: near enough, and without jumping about."""

from __future__ import annotations

import numpy as np


def follow(wanted: np.ndarray, have: np.ndarray, stiffness: float, longest: int = 8) -> np.ndarray:
    """The sequence of moments that is nearest to the wanted one, a jump costing something (Viterbi).

    Args:
      wanted: (T, ...), have: (N, ...): descriptions of each moment.
      stiffness: cost of a moment that is not the next one, per frame of the jump, up to `longest`; in units of the
        median distance between what is wanted and what there is.

    Returns:
      (T,) int.
    """
    wanted, have = wanted.reshape(len(wanted), -1), have.reshape(len(have), -1)
    cost = ((wanted[:, None] - have[None]) ** 2).sum(-1)
    cost = cost / max(float(np.median(cost)), 1e-9)
    moments = np.arange(len(have))
    jump = stiffness * np.minimum(np.abs(moments[None] - moments[:, None] - 1), longest)  # [from, to]
    total, origin = cost[0], np.zeros(cost.shape, int)
    for time in range(1, len(cost)):
        through = total[:, None] + jump
        origin[time] = through.argmin(axis=0)
        total = through.min(axis=0) + cost[time]
    path = np.empty(len(cost), int)
    path[-1] = int(total.argmin())
    for time in range(len(cost) - 1, 0, -1):
        path[time - 1] = origin[time, path[time]]
    return path
