"""Boxes, (N, 4) float32 x0, y0, x1, y1 in pixels: suppressed, moved, made square."""

from __future__ import annotations

import numpy as np

_CHUNK = 256  # boxes whose overlaps are computed at once: bounded memory, whatever the frame


def suppress(boxes: np.ndarray, scores: np.ndarray, group: np.ndarray, threshold: float) -> np.ndarray:
    """Greedy non-maximum suppression: the best box of a group stays, and none that overlaps one that stays.

    Args:
      boxes: (N, 4). scores: (N,). group: (N,) int; boxes of two groups do not suppress one another.
      threshold: intersection over union above which the worse box goes.

    Returns:
      Indices of the boxes that stay, the best score first.
    """
    order = np.argsort(-scores, kind="stable")
    kept = np.zeros(0, order.dtype)
    for first in range(0, len(order), _CHUNK):
        chunk = order[first : first + _CHUNK]
        if len(kept):
            chunk = chunk[~_overlapping(boxes, group, kept, chunk, threshold).any(axis=0)]
        covers, free = _overlapping(boxes, group, chunk, chunk, threshold), np.ones(len(chunk), bool)
        for place in range(len(chunk)):
            if free[place]:
                free[place + 1 :] &= ~covers[place, place + 1 :]
        kept = np.concatenate([kept, chunk[free]])
    return kept


def _overlapping(
    boxes: np.ndarray, group: np.ndarray, one: np.ndarray, other: np.ndarray, threshold: float
) -> np.ndarray:
    """(len(one), len(other)) bool."""
    low = np.maximum(boxes[one, None, :2], boxes[None, other, :2])
    high = np.minimum(boxes[one, None, 2:], boxes[None, other, 2:])
    shared = np.prod(np.maximum(high - low, 0), axis=2)
    area = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)
    union = area[one, None] + area[None, other] - shared
    share = np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)
    return (share > threshold) & (group[one, None] == group[None, other])


def suppress_inner(boxes: np.ndarray, scores: np.ndarray, group: np.ndarray, threshold: float) -> np.ndarray:
    """The same by intersection over the smaller box, whose pixels are counted: a box within a box goes.

    facenet-pytorch's last step, after which few boxes are left.
    """
    size = boxes[:, 2:] - boxes[:, :2] + 1
    area = np.prod(size, axis=1)
    rest, kept = np.argsort(scores)[::-1], []
    while len(rest):
        best, rest = rest[0], rest[1:]
        kept.append(best)
        low, high = np.maximum(boxes[best, :2], boxes[rest, :2]), np.minimum(boxes[best, 2:], boxes[rest, 2:])
        shared = np.prod(np.maximum(high - low + 1, 0), axis=1) / np.minimum(area[best], area[rest])
        rest = rest[(shared <= threshold) | (group[rest] != group[best])]
    return np.array(kept, int)


def moved(boxes: np.ndarray, shift: np.ndarray, extra: int) -> np.ndarray:
    """Corners shifted by (N, 4) shares of the box's width and height, each with `extra` pixels."""
    size = boxes[:, 2:] - boxes[:, :2] + np.float32(extra)
    return boxes + shift * np.tile(size, 2)


def squared(boxes: np.ndarray) -> np.ndarray:
    """The square around each box's middle with its longer side."""
    size = boxes[:, 2:] - boxes[:, :2]
    side = size.max(axis=1, keepdims=True)
    low = boxes[:, :2] + size * np.float32(0.5) - side * np.float32(0.5)
    return np.concatenate([low, low + side], axis=1)


def inside(boxes: np.ndarray, height: int, width: int) -> np.ndarray:
    """(N, 4) int corners between pixels: what of each box lies in the frame, counted from pixel 1 as MATLAB does."""
    corners = np.trunc(boxes).astype(int)
    low = np.maximum(corners[:, :2], 1) - 1
    return np.concatenate([low, np.minimum(corners[:, 2:], (width, height))], axis=1)
