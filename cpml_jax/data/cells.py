"""A picture's cells: a square grid, whose number of cells need not divide the picture's side."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float


def cell_weights(side: int, grid: int) -> Float[np.ndarray, "{grid} {side}"]:
    """(grid, side) float32, rows of sum 1: how much of each pixel lies in each cell."""
    edges = np.linspace(0, side, grid + 1)
    pixel = np.arange(side)
    overlap = np.minimum(edges[1:, None], pixel + 1) - np.maximum(edges[:-1, None], pixel)
    return (np.clip(overlap, 0, None) * grid / side).astype(np.float32)
