"""Untrained statistics of a clip, one for each stream: what a model must beat to show that it learned anything.

Pure NumPy, no jax: data_prep measures the drawn benchmark's floors with them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import cv2
import numpy as np
from jaxtyping import Bool, Float, Int, Num, UInt8

from cpml_jax.metrics.people import connected_groups, people_of
from cpml_jax.schema import CROP_SIZE, FRAME_RATE

FOLDS = 6  # of the cross-validation, or as many as there are groups
GRID = 6  # cells on a side of the sharpness grid
_SKIN_SIZE = 64  # pixels: colours are averaged over hundreds of pixels anyway, and a half is OpenCV's fast path
# iBUG-68
_JAW, _BROWS, _INNER, _NOSE_BASE = [*range(17)], [*range(17, 27)], [*range(17, 68)], 33
_HOLES = ([*range(36, 42)], [*range(42, 48)], [*range(48, 60)])  # eyes and mouth move without a pulse
_FOREHEAD = 0.5  # height of the forehead's skin above the brows, in distances from the brows to the nose's base
_SEAM = 0.05  # of the face box: a forgery's soft edge lies there, and belongs to neither part


def measure(record: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Every statistic of a record (schema.RECORD): landmark_energy (), inner_rim_agreement (), sharpness_grid (36,)."""
    frames, landmarks = record["frames"], record["landmarks"]
    return {
        "landmark_energy": np.asarray(landmark_energy(landmarks, record.get("valid"))),
        "inner_rim_agreement": np.asarray(inner_rim_agreement(frames, landmarks)),
        "sharpness_grid": sharpness_grid(frames),
    }


def landmark_energy(landmarks: Float[np.ndarray, "T 68 2"], valid: Bool[np.ndarray, " T"] | None = None) -> float:
    """How restless the landmarks are: the mean squared second difference over time.

    Args:
      landmarks: in [-1, 1] of the crop.
      valid: frames that were measured; second differences that touch another frame do not count. None: all.

    Returns:
      Square pixels of the stored crop (x and y together); NaN where no three frames in a row are valid.
    """
    second = np.diff(np.asarray(landmarks, np.float64), n=2, axis=0) * (CROP_SIZE / 2)
    if valid is not None:
        valid = np.asarray(valid, bool)
        second = second[valid[:-2] & valid[1:-1] & valid[2:]]
    return float((second**2).sum(axis=-1).mean()) if len(second) else float("nan")


def sharpness_grid(frames: UInt8[np.ndarray, "T S S 3"]) -> Float[np.ndarray, " 36"]:
    """How sharp each part of one picture is: log variance of the Laplacian on a grid of 6 x 6, row by row.

    Args:
      frames: RGB; the middle one is read.

    Returns:
      Natural logarithm of grey levels squared, plus 1.
    """
    grey = cv2.cvtColor(frames[len(frames) // 2], cv2.COLOR_RGB2GRAY)
    laplacian = cv2.Laplacian(grey, cv2.CV_32F)
    edges = np.linspace(0, len(grey), GRID + 1).round().astype(int)
    spans = [slice(a, b) for a, b in zip(edges[:-1], edges[1:], strict=True)]
    return np.log1p([laplacian[rows, columns].var(dtype=np.float64) for rows in spans for columns in spans])


def inner_rim_agreement(frames: UInt8[np.ndarray, "T S S 3"], landmarks: Float[np.ndarray, "T 68 2"]) -> float:
    """How far the inner face pulses with the skin around it: a swap replaces the one and leaves the other.

    Args:
      frames: RGB. landmarks: in [-1, 1] of the crop.

    Returns:
      Pearson correlation of POS of the inner face (brows to lips, without eyes and mouth) with POS of the rim
      (forehead, outer cheeks, jaw), both between 0.6 and 4 Hz; 0 where either is flat or not in the picture.
    """
    from data_prep.face.rppg import pos  # SciPy's filters take a second to import; nothing beyond the lean core

    if frames.shape[1] > _SKIN_SIZE:
        size = (_SKIN_SIZE, _SKIN_SIZE)
        frames = np.stack([cv2.resize(frame, size, interpolation=cv2.INTER_AREA) for frame in frames])
    masks = inner_and_rim(landmarks.mean(axis=0), frames.shape[1])
    if not all(mask.any() for mask in masks):
        return 0.0
    inner, rim = pos(np.stack([_means(frames, mask) for mask in masks]), FRAME_RATE)
    return float(np.mean(inner * rim))


def inner_and_rim(landmarks: Float[np.ndarray, "68 2"], size: int) -> tuple[UInt8[np.ndarray, "S S"], ...]:
    """Masks of the inner face and of the skin around it, 1 inside.

    Args:
      landmarks: one frame's, or a clip's mean, in [-1, 1] of the crop.
      size: S, pixels.
    """
    points = np.asarray(landmarks, np.float64)
    up = np.array([0.0, points[_NOSE_BASE, 1] - points[_BROWS, 1].mean()])
    forehead = points[_BROWS] - _FOREHEAD * up
    face = _filled(np.concatenate([points[_JAW], forehead]), size)
    inner = _filled(points[_INNER], size)
    reach = 2 * round(_SEAM * size) + 1
    brush = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach, reach))
    rim = np.where(np.asarray(cv2.dilate(inner, brush)) > 0, np.uint8(0), face)
    for hole in _HOLES:
        inner[_filled(points[hole], size) > 0] = 0
    return inner, rim


def _filled(points: np.ndarray, size: int) -> np.ndarray:
    """The convex hull of points in [-1, 1] as a mask of (size, size) uint8, 1 inside."""
    pixels = np.round((points + 1) * (size / 2)).astype(np.int32)
    return np.asarray(cv2.fillConvexPoly(np.zeros((size, size), np.uint8), cv2.convexHull(pixels), 1))


def _means(frames: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """(T, 3) mean colour under the mask in each frame."""
    return np.array([cv2.mean(frame, mask)[:3] for frame in frames])


def identity_groups(rows: Sequence[Mapping[str, Any]]) -> Int[np.ndarray, " N"]:
    """The number of every row's connected group of people: all who are in one video together, and theirs in turn.

    Args:
      rows: of the index or of scores.jsonl; a video of nobody known is a group of its own.
    """
    return connected_groups([people_of(row) for row in rows])


def cross_validated(
    features: Num[np.ndarray, "N F"], labels: Int[np.ndarray, " N"], groups: Int[np.ndarray, " N"]
) -> Float[np.ndarray, " N"] | None:
    """Every row's log-odds of fake by a logistic regression that was fitted without the row's group.

    Args:
      labels: 0 real, 1 fake. groups: identity_groups.

    Returns:
      None where there are not two groups, or a class is missing where it would be fitted.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedGroupKFold
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    labels, groups = np.asarray(labels), np.asarray(groups)
    folds = min(FOLDS, len(np.unique(groups)), *np.bincount(labels, minlength=2).tolist())
    if folds < 2:
        return None
    scores = np.empty(len(labels))
    for fitted, left_out in StratifiedGroupKFold(folds).split(features, labels, groups):
        if len(np.unique(labels[fitted])) < 2:
            return None
        regression = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, class_weight="balanced"))
        scores[left_out] = regression.fit(features[fitted], labels[fitted]).decision_function(features[left_out])
    return scores
