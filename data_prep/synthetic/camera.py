"""What the camera adds: the warp to the picture, the background, slow drift of light, sensor noise."""

from __future__ import annotations

import cv2
import numpy as np


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


def shoot(
    layer: np.ndarray,
    alpha: np.ndarray,
    matrix: np.ndarray,
    background: np.ndarray,
    gain: float,
    noise: np.ndarray,
) -> np.ndarray:
    """One picture (size, size, 3) uint8: a canvas (C, C, 3) float32, its coverage (C, C) float32, the affine map (2, 3)
    from canvas to picture, the room (size, size, 3) float32, a factor on the light, the noise (size, size, 3) float32.
    """
    size = background.shape[0]
    options = dict(flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    picture = cv2.warpAffine(layer, matrix, (size, size), **options)
    coverage = cv2.warpAffine(alpha, matrix, (size, size), **options)
    picture -= background
    picture *= cv2.merge((coverage, coverage, coverage))
    picture += background
    picture *= gain
    picture += noise
    picture += 0.5
    return np.clip(picture, 0, 255, out=picture).astype(np.uint8)
