"""Putting a forged layer into the target's frames; where alpha is 0 they stay as they are, bit for bit."""

from __future__ import annotations

import cv2
import numpy as np

HOW = ("alpha", "poisson")


def blend(target: np.ndarray, layer: np.ndarray, alpha: np.ndarray, how: str = "alpha") -> np.ndarray:
    """(T, h, w, 3) uint8: `alpha` (T, h, w) float32 of the layer, the rest of the target.

    how: "poisson": the layer first takes the target's colours along its edge (Perez et al., SIGGRAPH 2003).
    """
    made = target.copy()
    for frame, weight in enumerate(alpha):
        inside = weight > 0
        if not inside.any():
            continue
        pasted = cloned(target[frame], layer[frame], inside) if how == "poisson" else layer[frame]
        mixed = cv2.blendLinear(pasted, target[frame], weight, 1 - weight)
        made[frame][inside] = mixed[inside]
    return made


def cloned(target: np.ndarray, layer: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """The layer (h, w, 3) with the target's colours along the edge of `inside` (h, w) bool."""
    mask = inside.astype(np.uint8) * 255
    mask[:2], mask[-2:], mask[:, :2], mask[:, -2:] = 0, 0, 0, 0
    x, y, width, height = cv2.boundingRect(mask)
    if min(width, height) < 4:
        return layer
    return cv2.seamlessClone(layer, target, mask, (x + width // 2, y + height // 2), cv2.NORMAL_CLONE)
