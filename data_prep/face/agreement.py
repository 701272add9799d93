"""Whether the landmarks lie on the face: the 68 points of a crop against the detector's five on key frames.

The predictor of 68 points always answers, with a mean face where a profile or a blurred head gives it nothing to hold.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from data_prep.face.crop import CropPath

# Eye distances, mean over the five points. On real footage 50 % of the key frames lie within 0.04 and 90 % within 0.10;
# pictures of those beyond 0.2 are profiles and fast motion, with landmarks beside the face; drawn ones reach 0.11.
FARTHEST = 0.2

LEFT_EYE, RIGHT_EYE = slice(36, 42), slice(42, 48)  # of iBUG-68
NOSE_TIP, MOUTH_CORNERS = 30, (48, 54)


def identity() -> dict[str, float]:
    """What is taken for landmarks that lie on the face."""
    return dict(farthest=FARTHEST)


def five_of(landmarks: np.ndarray) -> np.ndarray:
    """(..., 68, 2) -> (..., 5, 2): the detector's points (Detection.points)."""
    left, right = landmarks[..., LEFT_EYE, :].mean(axis=-2), landmarks[..., RIGHT_EYE, :].mean(axis=-2)
    others = [landmarks[..., point, :] for point in (NOSE_TIP, *MOUTH_CORNERS)]
    return np.stack([left, right, *others], axis=-2)


def in_source(landmarks: np.ndarray, path: CropPath) -> np.ndarray:
    """(T, N, 2) in [-1, 1] of the crops -> the same in pixels of the source."""
    c, s = np.cos(path.angle), np.sin(path.angle)
    return landmarks @ np.array([[c, s], [-s, c]]) * (path.side / 2) + path.centre[:, None]


def distances(landmarks: np.ndarray, points: Mapping[int, np.ndarray]) -> dict[int, float]:
    """How far a clip's landmarks are from the detector's points.

    Args:
      landmarks: (T, 68, 2) pixels of the source. points: (5, 2) pixels of the source, by frame of the clip.

    Returns:
      By frame: the mean distance of the five points in eye distances. Those are the clip's median: in profile the
      eyes come together, and the frame's would be no measure.
    """
    if not points:
        return {}
    ours = five_of(landmarks)
    eyes = float(np.median([np.linalg.norm(five[1] - five[0]) for five in points.values()]))
    return {
        frame: float(np.linalg.norm(ours[frame] - five, axis=1).mean() / max(eyes, 1e-6))
        for frame, five in points.items()
    }


def agrees(landmarks: np.ndarray, points: Mapping[int, np.ndarray]) -> np.ndarray:
    """(T,) bool: False on frames whose nearest key frame has landmarks off the face. Arguments as of `distances`."""
    measured = distances(landmarks, points)
    if not measured:
        return np.ones(len(landmarks), bool)
    keys = np.array(sorted(measured))
    near = np.array([measured[key] <= FARTHEST for key in keys])
    return near[np.searchsorted((keys[1:] + keys[:-1]) / 2, np.arange(len(landmarks)), side="left")]
