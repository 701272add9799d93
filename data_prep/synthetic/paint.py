"""Brushes: polygons, layers and soft spots on float32 canvases."""

from __future__ import annotations

import cv2
import numpy as np

_SHIFT = 4  # fractional bits of cv2's polygon corners


def cover(points: np.ndarray, shape: tuple[int, int], origin: tuple[int, int], canvas: int) -> np.ndarray:
    """Anti-aliased coverage 0..1 (h, w) float32 of a polygon given in fractions of the canvas."""
    mask = np.zeros(shape, np.uint8)
    fine = 1 << _SHIFT
    corners = np.asarray(points) * (canvas * fine)
    corners -= ((origin[0] + 0.5) * fine, (origin[1] + 0.5) * fine)
    cv2.fillPoly(mask, [np.rint(corners).astype(np.int32)], 255, cv2.LINE_AA, _SHIFT)
    return mask.astype(np.float32) * np.float32(1 / 255)


def lay(picture: np.ndarray, mask: np.ndarray, colour: np.ndarray) -> None:
    """picture <- picture (1 - mask) + colour mask, in place; the colour may vary by pixel."""
    # three full channels: NumPy is several times slower where it must stretch one over the last, short axis
    difference = np.subtract(np.asarray(colour, np.float32), picture)
    difference *= cv2.merge((mask, mask, mask))
    picture += difference


def darken(picture: np.ndarray, mask: np.ndarray, strength: float) -> None:
    """picture <- picture (1 - strength mask), in place."""
    keep = 1 - np.float32(strength) * mask
    picture *= cv2.merge((keep, keep, keep))


def hill(canvas: int, x: float, y: float, sx: float, sy: float) -> np.ndarray:
    """exp(-r^2/2) of an ellipse (C, C) around (x, y), all in fractions of the canvas."""
    place = (np.arange(canvas, dtype=np.float32) + 0.5) / canvas
    return np.outer(np.exp(-0.5 * ((place - y) / sy) ** 2), np.exp(-0.5 * ((place - x) / sx) ** 2))
