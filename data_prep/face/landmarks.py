"""68 landmarks: dlib's predictor from a package, offline; smoothed over time; in [-1, 1] of the crop."""

from __future__ import annotations

import functools
import importlib
import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
from scipy.signal import savgol_filter

from cpml_jax.errors import UserError
from cpml_jax.schema import CROP_SIZE, NUM_LANDMARKS
from data_prep.face.packages import release

# Savitzky-Golay over 7 frames, second order: removes half of the predictor's jitter and keeps speech (up to 5 Hz) and
# blinks (4 frames and longer), which a Gaussian of the same strength would flatten.
WINDOW, ORDER = 7, 2
PACKAGE = "face-recognition-models"
_FILE = "shape_predictor_68_face_landmarks.dat"


def identity() -> dict[str, Any]:
    """What landmarks depend on beside the crop."""
    return dict(name="dlib-68", package=PACKAGE, version=release(PACKAGE), smoothing=dict(window=WINDOW, order=ORDER))


@functools.cache
def _predictor() -> Any:
    # The package's own __init__ needs pkg_resources, which is gone: find its folder without importing it.
    module = importlib.util.find_spec("face_recognition_models")
    folders = module.submodule_search_locations if module else None
    path = next((path for folder in folders or () if (path := Path(folder) / "models" / _FILE).is_file()), None)
    if path is None:
        raise UserError(f"{_FILE} is missing: install the package {PACKAGE} (group `prepare`)")
    return _dlib().shape_predictor(str(path))


def _dlib() -> Any:
    """The module dlib, which has no types."""
    return importlib.import_module("dlib")


def fit(frames: np.ndarray, face: np.ndarray) -> np.ndarray:
    """Landmarks of a clip's crops.

    Args:
      frames: (T, 128, 128, 3) uint8 RGB crops.
      face: (2,) width and height of the face box in the crop, pixels; its middle is the crop's.

    Returns:
      (T, 68, 2) float32, x and y in [-1, 1] over the crop, smoothed over time.
    """
    predictor, middle = _predictor(), CROP_SIZE / 2
    # dlib's predictor was trained on boxes of dlib's detector: square, from brows to chin, about as wide as MTCNN's.
    half, drop = 0.5 * float(face[0]) * 1.05, 0.06 * float(face[1])
    box = _dlib().rectangle(
        *(int(round(v)) for v in (middle - half, middle + drop - half, middle + half, middle + drop + half))
    )
    points = np.empty((len(frames), NUM_LANDMARKS, 2), np.float32)
    for index, frame in enumerate(frames):
        shape = predictor(frame, box)
        points[index] = [(p.x, p.y) for p in shape.parts()]
    return normalise(smooth(points))


def smooth(points: np.ndarray) -> np.ndarray:
    """(T, 68, 2) -> the same, smoothed over T."""
    return np.asarray(savgol_filter(points, WINDOW, ORDER, axis=0), np.float32) if len(points) >= WINDOW else points


def normalise(points: np.ndarray) -> np.ndarray:
    """Pixels of the crop -> [-1, 1]; -1 is the left or upper edge. Points outside the crop stay outside."""
    return ((points + 0.5) / (CROP_SIZE / 2) - 1).astype(np.float32)
