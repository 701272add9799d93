"""68 landmarks: dlib's predictor from a package, offline; smoothed over time; in [-1, 1] of the crop."""

from __future__ import annotations

import functools
import importlib
import importlib.util
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from cpml_jax.errors import missing_package
from cpml_jax.schema import CROP_SIZE, FRAME_RATE, NUM_LANDMARKS
from data_prep.face import spline
from data_prep.face.packages import PURPOSE, release, require

# dlib answers in whole pixels and reads single pixels. On an enlarged, slightly blurred crop neither is noise: of drawn
# faces the second difference's error falls from 0.81 to 0.34 pixels of the crop before smoothing (docs/preparation.md).
ENLARGED = 4
BLUR = 0.7  # standard deviation, pixels of the crop
# Side of the square that dlib starts from, and how far its middle lies below that of the face box: of the box's width
# and height. dlib was trained on boxes of its own detector, from brows to chin, about as wide as MTCNN's.
WIDTH, DROP = 1.0, 0.06
# Hz, where smoothing halves a movement. Speech (4 Hz: 0.71 of it stays) and blinks of 4 frames (0.79) survive, and the
# delta between two frames follows the drawn truth best (docs/preparation.md).
CUTOFF = 5.0
SHORTEST = 5  # frames; a shorter clip is not smoothed

PACKAGE = "face-recognition-models"
_FILE = "shape_predictor_68_face_landmarks.dat"


def identity() -> dict[str, Any]:
    """What landmarks depend on beside the crop."""
    require("dlib")
    return dict(
        name="dlib-68",
        package=PACKAGE,
        version=release(PACKAGE),
        image=dict(enlarged=ENLARGED, blur=BLUR),
        start=dict(width=WIDTH, drop=DROP),
        smoothing=dict(name="spline", cutoff_hz=CUTOFF),
    )


@functools.cache
def load_predictor() -> Any:
    """dlib's predictor of 68 points. Raises UserError where its package is missing."""
    # The package's own __init__ needs pkg_resources, which is gone: find its folder without importing it.
    module = importlib.util.find_spec("face_recognition_models")
    folders = module.submodule_search_locations if module else None
    path = next((path for folder in folders or () if (path := Path(folder) / "models" / _FILE).is_file()), None)
    if path is None:
        raise missing_package(PURPOSE, PACKAGE)
    return _dlib().shape_predictor(str(path))


def _dlib() -> Any:
    """The module dlib, which has no types."""
    return importlib.import_module("dlib")


def rectangle(left: float, top: float, right: float, bottom: float) -> Any:
    """dlib's rectangle of the nearest whole pixels."""
    return _dlib().rectangle(round(left), round(top), round(right), round(bottom))


def fit(frames: np.ndarray, face: np.ndarray) -> np.ndarray:
    """Landmarks of crops, each by itself.

    Args:
      frames: (N, 128, 128, 3) uint8 RGB crops.
      face: (2,) width and height of the face box in the crop, pixels; its middle is the crop's.

    Returns:
      (N, 68, 2) float32, pixels of the crop: (0, 0) is the middle of the upper left one.
    """
    predictor, middle = load_predictor(), CROP_SIZE / 2
    half, drop = WIDTH / 2 * float(face[0]), DROP * float(face[1])
    corners = middle - half, middle + drop - half, middle + half, middle + drop + half
    box = rectangle(*(ENLARGED * value for value in corners))
    points = np.empty((len(frames), NUM_LANDMARKS, 2), np.float32)
    for index, frame in enumerate(frames):
        shape = predictor(_enlarged(frame), box)
        points[index] = [(p.x, p.y) for p in shape.parts()]
    return (points + 0.5) / ENLARGED - 0.5


def _enlarged(frame: np.ndarray) -> np.ndarray:
    """(128, 128, 3) RGB -> (512, 512) uint8 grey."""
    grey = cv2.GaussianBlur(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY), (0, 0), BLUR)
    return cv2.resize(grey, None, fx=ENLARGED, fy=ENLARGED, interpolation=cv2.INTER_LINEAR)


def smooth(points: np.ndarray, times: np.ndarray | None = None, at: np.ndarray | None = None) -> np.ndarray:
    """A smoothing spline through what was measured: |gain| = 1 / (1 + (f / CUTOFF)^4) at every rate of the source.

    Args:
      points: (N, 68, 2), measured at `times`, (N,) s, increasing; default: FRAME_RATE.
      at: (T,) s; default: `times`. Beyond the measured frames by more than their interval, the ends are repeated.

    Returns:
      (T, 68, 2) float32.
    """
    times = np.arange(len(points)) / FRAME_RATE if times is None else times
    at = times if at is None else at
    columns = points.reshape(len(points), -1).astype(float)
    if len(points) < SHORTEST:
        values = np.stack([np.interp(at, times, column) for column in columns.T], axis=1)
    else:
        rate = (len(times) - 1) / (times[-1] - times[0])
        inside = np.clip(at, times[0] - 1 / rate, times[-1] + 1 / rate)
        values = spline.smoothing_spline(times, columns, rate / (2 * np.pi * CUTOFF) ** 4, inside)
    return values.reshape(len(at), *points.shape[1:]).astype(np.float32)


def normalise(points: np.ndarray) -> np.ndarray:
    """Pixels of the crop -> [-1, 1]; -1 is the left or upper edge. Points outside the crop stay outside."""
    return ((points + 0.5) / (CROP_SIZE / 2) - 1).astype(np.float32)
