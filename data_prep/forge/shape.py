"""The 68 points as a shape: without the head's motion, with a forehead, with a ring around the face that stays."""

from __future__ import annotations

import numpy as np

# Bridge and base of the nose, corners of the eyes: what an expression leaves in place.
RIGID = [27, 28, 29, 30, 31, 33, 35, 36, 39, 42, 45]
JAW, BROWS, NOSE, EYES, MOUTH = range(17), range(17, 27), range(27, 36), range(36, 48), range(48, 68)
# Points from which the forehead is raised, and how far, in heights of the face from the chin to the brows.
_FOREHEAD = {0: 0.12, 17: 0.17, 19: 0.21, 21: 0.23, 22: 0.23, 24: 0.21, 26: 0.17, 16: 0.12}


def face_size(landmarks: np.ndarray) -> float:
    """Pixels from the chin to the brows or from ear to ear, the longer, in the median frame of (T, 68, 2)."""
    return float(max(np.median(np.ptp(landmarks, axis=1).max(axis=1)), 1.0))


def _complex(points: np.ndarray) -> np.ndarray:
    return points[..., 0].astype(float) + 1j * points[..., 1]


def similarity(points: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Least-squares rotation, scale and shift of (..., N, 2) onto (..., N, 2) (Umeyama, PAMI 1991, in the plane).

    Returns:
      (..., 2, 3) float64; the identity's scale where the points are all one.
    """
    a, b = _complex(points), _complex(reference)
    a_mean, b_mean = a.mean(-1, keepdims=True), b.mean(-1, keepdims=True)
    spread = (np.abs(a - a_mean) ** 2).sum(-1)
    turn = ((a - a_mean).conj() * (b - b_mean)).sum(-1) / np.maximum(spread, 1e-9)
    turn = np.where(spread > 1e-9, turn, 1.0)
    shift = b_mean[..., 0] - turn * a_mean[..., 0]
    return _matrix(turn, shift)


def _matrix(turn: np.ndarray, shift: np.ndarray) -> np.ndarray:
    rows = [np.stack([turn.real, -turn.imag, shift.real], -1), np.stack([turn.imag, turn.real, shift.imag], -1)]
    return np.stack(rows, -2)


def inverse(matrices: np.ndarray) -> np.ndarray:
    """Of similarities (..., 2, 3)."""
    turn = matrices[..., 0, 0] + 1j * matrices[..., 1, 0]
    shift = matrices[..., 0, 2] + 1j * matrices[..., 1, 2]
    return _matrix(1 / turn, -shift / turn)


def moved(points: np.ndarray, matrices: np.ndarray) -> np.ndarray:
    """(..., N, 2) through (..., 2, 3)."""
    return points @ np.swapaxes(matrices[..., :2], -1, -2) + matrices[..., None, :, 2]


def steady(landmarks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The shapes without the head's motion.

    Args:
      landmarks: (T, 68, 2).

    Returns:
      (T, 68, 2) in the place of the clip's mean shape; (T, 2, 3), which takes them back to where they were.
    """
    reference = landmarks[len(landmarks) // 2].astype(float)
    for _ in range(2):
        to = similarity(landmarks[:, RIGID], reference[RIGID])
        shapes = moved(landmarks, to)
        reference = shapes.mean(axis=0)
    return shapes, inverse(to)


def with_forehead(landmarks: np.ndarray) -> np.ndarray:
    """(T, 68, 2) -> (T, 76, 2): eight points over the brows, which no landmark shows."""
    up = (landmarks[:, [19, 24]].mean(axis=1) - landmarks[:, 8])[:, None]
    heights = np.array(list(_FOREHEAD.values()))[None, :, None]
    return np.concatenate([landmarks, landmarks[:, list(_FOREHEAD)] + heights * up], axis=1)


def ring(landmarks: np.ndarray, margin: float) -> np.ndarray:
    """(T, 68, 2) -> (T, 24, 2): a closed curve around the face and its forehead, farther out by `margin` face sizes."""
    points = with_forehead(landmarks)
    outline = np.concatenate([points[:, :17], points[:, :67:-1]], axis=1)
    middle = outline.mean(axis=1, keepdims=True)
    away = outline - middle
    reach = np.linalg.norm(away, axis=-1, keepdims=True)
    far = middle + away * (1 + margin * face_size(landmarks) / np.maximum(reach, 1e-6))
    return far[:, np.r_[0:17, 17:24]]
