"""What the camera adds: the warp to the picture, the background, light, sharpness, sensor noise."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np

FIELD_STEP = 4  # pixels: how finely `sight` follows the bends of a face
_ROUNDS = 3  # after one it is a third of a pixel off where a face bends most


class NoisePool:
    """Sensor noise cheap enough for every frame: a few large fields, a random window of one for each frame.

    Drawing size*size*3 normals takes longer than drawing the face; 8 fields x 64 x 64 places x 2 signs do not repeat
    within a video.
    """

    _FIELDS, _SLACK = 8, 64

    def __init__(self, rng: np.random.Generator, size: int, deviation: float, grain: float) -> None:
        side = size + self._SLACK
        fields = rng.standard_normal((self._FIELDS, side, side, 3), np.float32)
        if grain > 0:  # demosaicing and in-camera smoothing: neighbouring pixels and channels go together
            common = fields.mean(-1, keepdims=True) * np.sqrt(3.0)
            fields = 0.7 * fields + 0.7 * common.astype(np.float32)
            fields = np.stack([cv2.GaussianBlur(field, (0, 0), grain) for field in fields])
            fields /= fields.std()
        self._fields = fields * np.float32(deviation)
        self._rng, self._size = rng, size

    def draw(self) -> np.ndarray:
        """Noise (size, size, 3) float32 for the next frame (a view: do not change it)."""
        index, row, column, sign = self._rng.integers((self._FIELDS, self._SLACK, self._SLACK, 2))
        field = self._fields[index, row : row + self._size, column : column + self._size]
        return field if sign else -field


_remap: Any = cv2.remap  # its stubs refuse None for the second map, where x and y lie in one


def _look(canvas: np.ndarray, where: np.ndarray, border: int = cv2.BORDER_REPLICATE) -> np.ndarray:
    """The canvas at the places (h, w, 2) float32, x and y; bilinear."""
    return _remap(canvas, where, None, cv2.INTER_LINEAR, borderMode=border)


def sight(matrix: np.ndarray, fields: np.ndarray, weights: np.ndarray, canvas: int, size: int) -> np.ndarray:
    """Where on the canvas each pixel of a picture looks: (size, size, 2) float32, x and y in canvas pixels.

    Args:
      matrix: (2, 3) affine map from canvas pixels to picture pixels.
      fields: (F, F, K) float32 over the whole canvas: how far each place takes part in K bends of the face.
      weights: (K, 2) float32, how far each bend moves, x and y, in canvas pixels.
      canvas: its side in pixels.
    """
    back = cv2.invertAffineTransform(matrix)
    place = np.arange(-(-size // FIELD_STEP) + 1) * FIELD_STEP
    x = (back[0, 0] * place[None, :] + back[0, 1] * place[:, None] + back[0, 2]).astype(np.float32)
    y = (back[1, 0] * place[None, :] + back[1, 1] * place[:, None] + back[1, 2]).astype(np.float32)
    step = np.float32(len(fields) / canvas)
    straight = coarse = cv2.merge((x, y))
    for _ in range(_ROUNDS):  # a place p moved by f(p) shows what was at q with q + f(q) = p
        place = (coarse + 0.5) * step - 0.5
        coarse = straight - _look(fields, place) @ weights
    finer = np.array([[1 / FIELD_STEP, 0, 0], [0, 1 / FIELD_STEP, 0]])
    return cv2.warpAffine(coarse, finer, (size, size), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)


def sharpened(picture: np.ndarray, amount: float) -> np.ndarray:
    """A lens or a camera's processing: softer for an amount below 0 (not below -1), sharper above."""
    if not amount:
        return picture
    return cv2.addWeighted(picture, 1 + amount, cv2.GaussianBlur(picture, (5, 5), 0.9), -amount, 0)


def shoot(
    layer: np.ndarray,
    alpha: np.ndarray,
    seen: np.ndarray,
    background: np.ndarray,
    light: np.ndarray,
    noise: np.ndarray,
    sharpness: float = 0.0,
) -> tuple[np.ndarray, np.ndarray]:
    """One picture (size, size, 3) float32 in grey levels, and its coverage (size, size, 3) by the canvas.

    Args:
      layer, alpha: canvas (C, C, 3) float32 and its coverage (C, C) float32. seen: from `sight`.
      background: the room (size, size, 3) float32. light: (size,) a factor for each row.
      noise: (size, size, 3) float32. sharpness: see `sharpened`.
    """
    picture = _look(layer, seen)
    coverage = _look(alpha, seen)
    coverage = cv2.merge((coverage, coverage, coverage))
    picture -= background
    picture *= coverage
    picture += background
    picture = sharpened(picture, sharpness)
    picture *= light[:, None, None]
    picture += noise
    return picture, coverage


def retouch(
    picture: np.ndarray,
    coverage: np.ndarray,
    change: np.ndarray,
    origin: tuple[int, int],
    part: tuple[slice, slice],
    seen: np.ndarray,
    light: np.ndarray,
    sharpness: float = 0.0,
) -> np.ndarray:
    """A copy of what `shoot` gave, as if `change` had been added to the layer: all that it does is linear.

    Args:
      change: (h, w, 3) float32 grey levels to add to the layer from `origin` (x, y) on; 0 at its rim.
      part: rows and columns of the picture outside which none of it is seen.
    """
    added = _look(change, seen[part] - np.array(origin, np.float32), cv2.BORDER_CONSTANT)
    added *= coverage[part]
    added = sharpened(added, sharpness)
    added *= light[part[0], None, None]
    result = picture.copy()
    result[part] += added
    return result


def digitise(picture: np.ndarray) -> np.ndarray:
    """Grey levels (size, size, 3) float32 -> uint8, rounded and clipped."""
    return cv2.addWeighted(picture, 1.0, picture, 0.0, 0.0, dtype=cv2.CV_8U)
