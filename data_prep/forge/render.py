"""What a generator's resolution leaves of a layer: fewer pixels, then sharpened or not."""

from __future__ import annotations

import cv2
import numpy as np


def through(pictures: np.ndarray, factor: float, sharpen: float) -> np.ndarray:
    """(T, h, w, 3) uint8, made smaller by `factor` (at most 1) and enlarged again, then `sharpened`."""
    height, width = pictures.shape[1:3]
    small = max(2, round(width * factor)), max(2, round(height * factor))
    made = np.empty_like(pictures)
    for frame, picture in enumerate(pictures):
        if factor < 1:
            picture = cv2.resize(picture, small, interpolation=cv2.INTER_AREA)
            picture = cv2.resize(picture, (width, height), interpolation=cv2.INTER_CUBIC)
        made[frame] = sharpened(picture, sharpen)
    return made


def sharpened(picture: np.ndarray, amount: float, sigma: float = 1.2) -> np.ndarray:
    """Unsharp mask; a negative amount blurs, -1 to what the Gaussian leaves. uint8 or float32."""
    if amount == 0:
        return picture
    return cv2.addWeighted(picture, 1 + amount, cv2.GaussianBlur(picture, (0, 0), sigma), -amount, 0)
