"""The part of the face that a forgery replaces: a polygon of landmarks with a soft edge, which moves with them."""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np

from data_prep.forge.draws import Draws
from data_prep.forge.shape import face_size, with_forehead

_POINTS = {
    "whole": [list(range(17)) + list(range(68, 76))],  # with the forehead
    "hull": [list(range(27))],
    "inner": [[*range(17, 27), *range(76, 91)]],  # from the brows to below the lips
    "lower": [[*range(2, 15), *range(31, 36)]],
    "mouth": [list(range(48, 60))],
    "eyes": [[*range(17, 22), *range(36, 42)], [*range(22, 27), *range(42, 48)]],
}
# What a region is grown by before anything is drawn, about its middle: lips and lids alone would show no skin.
_GROWN = {"whole": 0.98, "hull": 0.98, "inner": 1.0, "lower": 0.95, "mouth": 1.35, "eyes": 1.4}
NAMES = tuple(_POINTS)
POINTS = 91  # landmarks, forehead, and fifteen on the cheeks
INWARDS = 0.3  # of the way from the jaw to the tip of the nose: where the inner face ends


@dataclasses.dataclass(frozen=True, eq=False)
class Region:
    """Where a forgery is pasted.

    Attributes:
      name: one of NAMES.
      grow: of the polygon, a factor.
      feather: width of the soft edge, in face sizes.
      opacity: 0..1.
      wobble: (POINTS, 2) by which the polygon's points are off, in face sizes; the same in all frames.
    """

    name: str
    grow: float
    feather: float
    opacity: float
    wobble: np.ndarray


def draw_region(draw: Draws, shares: dict[str, float], softest: float = 0.16) -> Region:
    """A region of one of these names; its edge is anything from hard to as wide as `softest`, in face sizes."""
    name = draw.choose("region", shares)
    grow = draw.uniform("region_grow", 0.92, 1.06)
    # Even in the logarithm: a hard edge is as frequent as a soft one.
    feather = float(np.exp(draw.uniform("region_feather_log", np.log(0.012), np.log(softest))))
    opacity = draw.uniform("region_opacity", 0.85, 1.0) if draw.flag("region_translucent", 0.3) else 1.0
    wobble = draw.uniform("region_wobble", 0.0, 0.02) * draw.rng.standard_normal((POINTS, 2))
    return Region(name, grow, feather, opacity, wobble)


def alphas(landmarks: np.ndarray, region: Region, shape: tuple[int, int]) -> np.ndarray:
    """How much of the forged layer each pixel takes.

    Args:
      landmarks: (T, 68, 2), pixels. shape: (h, w).

    Returns:
      (T, h, w) float32 in 0..1; exactly 0 outside, the edge lies inside the polygon.
    """
    size = face_size(landmarks)
    cheeks = landmarks[:, 1:16] + INWARDS * (landmarks[:, 30:31] - landmarks[:, 1:16])
    points = np.concatenate([with_forehead(landmarks), cheeks], axis=1) + size * region.wobble
    radius = round(region.feather * size / 4)  # of a box filter that is applied twice; 0: a hard edge
    alpha = np.zeros((len(landmarks), *shape), np.float32)
    for chosen in _POINTS[region.name]:
        polygon = points[:, chosen]
        middle = polygon.mean(axis=1, keepdims=True)
        reach = np.median(np.linalg.norm(polygon - middle, axis=-1))
        # The edge takes 2 radii to both sides: drawn smaller by as much, it ends at the polygon; but never to nothing.
        factor = region.grow * _GROWN[region.name] * max(0.45, 1 - 1.5 * radius / max(reach, 1.0))
        for frame, corners in enumerate(middle + factor * (polygon - middle)):
            hull = cv2.convexHull(np.clip(corners, -4096, 4096).astype(np.float32))
            cv2.fillConvexPoly(alpha[frame], np.round(hull * 16).astype(np.int32), 1.0, cv2.LINE_8, 4)
    kernel = (2 * radius + 1, 2 * radius + 1)
    for frame in range(len(alpha)):
        soft = cv2.blur(cv2.blur(alpha[frame], kernel), kernel)
        alpha[frame] = np.where(soft < 1 / 255, 0, soft)
    alpha *= region.opacity
    return alpha
