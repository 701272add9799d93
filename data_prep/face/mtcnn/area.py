"""Means over rectangles, as torch's "area" interpolation has them: pixels that an edge cuts count whole.

They are differences of a frame's summed-area table (Crow 1984), which all scales and all crops of the frame share.
"""

from __future__ import annotations

import cv2
import numpy as np


def summed(frames: list[np.ndarray]) -> np.ndarray:
    """Sums of all pixels above and left of each corner between pixels.

    Args:
      frames: N of one size, (H, W, 3) uint8, of at most 2^23 pixels, so that no sum overflows.

    Returns:
      (N, H + 1, W + 1, 3) int32.
    """
    return np.stack([cv2.integral(frame, sdepth=cv2.CV_32S) for frame in frames])


def resized(sums: np.ndarray, height: int, width: int) -> np.ndarray:
    """Whole frames, resized.

    Args:
      sums: of `summed`.

    Returns:
      (N, 3, height, width) float32, mean grey levels.
    """
    top, bottom = _edges(np.array(sums.shape[1] - 1), height)
    left, right = _edges(np.array(sums.shape[2] - 1), width)
    rows = sums[:, bottom] - sums[:, top]
    cells = (np.take(rows, right, axis=2) - np.take(rows, left, axis=2)).transpose(0, 3, 1, 2)
    return cells.astype(np.float32, order="C") / _length(top, bottom)[:, None] / _length(left, right)


def crops(sums: np.ndarray, frame: np.ndarray, corners: np.ndarray, side: int) -> np.ndarray:
    """Rectangles of frames, each resized to a square.

    Args:
      sums: of `summed`.
      frame: (K,) which of the N frames. corners: (K, 4) int x0, y0, x1, y1 between pixels, within the frame.

    Returns:
      (K, 3, side, side) float32, mean grey levels.
    """
    (left, right), (top, bottom) = (
        [edge + corners[:, axis, None] for edge in _edges(corners[:, axis + 2] - corners[:, axis], side)]
        for axis in (0, 1)
    )
    table, (_, rows, columns, _) = sums.reshape(-1, 3), sums.shape

    def at(y: np.ndarray, x: np.ndarray) -> np.ndarray:
        row = frame[:, None] * rows + y
        return table.take((row * columns)[:, :, None] + x[:, None, :], axis=0)

    cells = at(bottom, right) - at(bottom, left) - at(top, right) + at(top, left)
    means = cells.astype(np.float32) / _length(top, bottom)[:, :, None, None] / _length(left, right)[:, None, :, None]
    return np.ascontiguousarray(means.transpose(0, 3, 1, 2))


def _edges(length: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Where each of `count` cells of an axis begins and ends, in whole pixels, (..., count) each; cells may overlap."""
    cell = np.arange(count)
    length = np.asarray(length)[..., None]
    return cell * length // count, -(-(cell + 1) * length // count)


def _length(start: np.ndarray, stop: np.ndarray) -> np.ndarray:
    return (stop - start).astype(np.float32)
