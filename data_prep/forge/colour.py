"""Colours of a forged layer brought to the target's: once a clip, so that the layer's own changes of colour stay."""

from __future__ import annotations

import cv2
import numpy as np

# RGB -> luma and two differences of colour (ITU-R BT.601): mean and deviation are matched there, as Reinhard et al.
# (IEEE CG&A 2001) do in their l-alpha-beta; being linear, the whole is one matrix in RGB.
_TO_YCC = np.array([[0.299, 0.587, 0.114], [-0.169, -0.331, 0.5], [0.5, -0.419, -0.081]])
_EVERY = 8  # frames are looked at
_RATIO = (0.6, 1.6)  # of deviations: beyond, the light is another and stretching makes blotches


def match(layer: np.ndarray, target: np.ndarray, alpha: np.ndarray, strength: float = 1.0) -> np.ndarray:
    """The matrix that gives the layer the target's mean and deviation where alpha is above a half.

    Args:
      layer, target: (T, h, w, 3) uint8 RGB. alpha: (T, h, w). strength: 0 leaves the layer as it is, 1 matches.

    Returns:
      (3, 4) float64, for `recoloured`.
    """
    ours, theirs = (_pixels(pictures, alpha) @ _TO_YCC.T for pictures in (layer, target))
    if not len(ours):
        return np.eye(3, 4)
    ratio = np.clip(theirs.std(axis=0) / np.maximum(ours.std(axis=0), 1e-3), *_RATIO) ** strength
    mean = ours.mean(axis=0) + strength * (theirs.mean(axis=0) - ours.mean(axis=0))
    linear = np.linalg.inv(_TO_YCC) @ np.diag(ratio) @ _TO_YCC
    return np.column_stack([linear, np.linalg.inv(_TO_YCC) @ (mean - ratio * ours.mean(axis=0))])


def _pixels(pictures: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """(N, 3) float64."""
    return pictures[::_EVERY][alpha[::_EVERY] > 0.5].astype(float)


def shifted(rng: np.random.Generator, strength: float) -> np.ndarray:
    """(3, 4): a drawn change of brightness, contrast, saturation and tint; strength: their standard deviation, a share
    of full scale."""
    bright, contrast, saturation = rng.standard_normal(3) * strength
    tint = rng.standard_normal(3) * strength * 0.4
    ratio = np.array([1 + contrast, 1 + 1.5 * saturation, 1 + 1.5 * saturation])
    linear = np.linalg.inv(_TO_YCC) @ np.diag(ratio) @ _TO_YCC
    grey = np.full(3, 128.0)
    return np.column_stack([linear, grey - linear @ grey + 128 * (bright + tint)])


def recoloured(pictures: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """(T, h, w, 3) uint8 through a (3, 4) matrix."""
    # In floats: OpenCV's arithmetic on bytes is off by up to a grey level.
    made = np.empty_like(pictures)
    for frame, picture in enumerate(pictures):
        made[frame] = np.clip(np.rint(cv2.transform(picture.astype(np.float32), matrix)), 0, 255)
    return made
