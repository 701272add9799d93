"""Piecewise affine warps over a triangulation of a face's points."""

from __future__ import annotations

import cv2
import numpy as np
from scipy.spatial import Delaunay, QhullError

_FLAT = 0.25  # pixels^2, twice the area under which a triangle is a line: a closed mouth's, which no pixel needs
_NO_MAP = np.empty(0, np.float32)  # OpenCV's second map, where the first has both x and y
_SHIFT = 4  # binary digits of a pixel that OpenCV draws with


def triangulate(points: np.ndarray) -> np.ndarray:
    """(N, 2) -> (M, 3) int32, Delaunay; none where the points lie on a line."""
    try:
        return Delaunay(points).simplices.astype(np.int32)
    except QhullError:
        return np.zeros((0, 3), np.int32)


def warp_map(places: np.ndarray, origins: np.ndarray, triangles: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Where the pixels of a warped picture come from.

    Args:
      places: (N, 2) of the points in the warped picture. origins: (N, 2) of the same points in the other; (x, y).
      triangles: (M, 3) of `triangulate`; the same for all frames of a clip, so that nothing flickers.
      shape: (h, w) of the warped picture.

    Returns:
      (h, w, 2) float32, (x, y) for cv2.remap; outside the triangles, and where one has folded to a line, each pixel's
      own place.
    """
    to, frm = places[triangles].astype(float), origins[triangles].astype(float)
    edges = np.swapaxes(to[:, 1:] - to[:, :1], 1, 2)  # (M, 2, 2), columns are edges
    area = np.linalg.det(edges)
    kept = np.abs(area) > _FLAT
    to, frm, edges = to[kept], frm[kept], edges[kept]
    linear = np.swapaxes(frm[:, 1:] - frm[:, :1], 1, 2) @ np.linalg.inv(edges)
    offset = frm[:, 0] - np.einsum("mij,mj->mi", linear, to[:, 0])
    table = np.zeros((len(to) + 1, 6), np.float32)
    table[0] = 1, 0, 0, 0, 1, 0
    table[1:] = np.concatenate([linear, offset[..., None]], axis=2).reshape(-1, 6)
    labels = np.zeros(shape, np.int32)
    corners = np.round(np.clip(to, -4096, 4096) * (1 << _SHIFT)).astype(np.int32)
    for number, triangle in enumerate(corners, 1):
        cv2.fillConvexPoly(labels, triangle, number, shift=_SHIFT)
    maps = np.empty((*shape, 2), np.float32)
    y, x = np.arange(shape[0], dtype=np.float32)[:, None], np.arange(shape[1], dtype=np.float32)[None]
    of_pixel = [np.take(column, labels) for column in np.ascontiguousarray(table.T)]
    for axis in (0, 1):
        maps[..., axis] = of_pixel[3 * axis] * x + of_pixel[3 * axis + 1] * y + of_pixel[3 * axis + 2]
    return maps


def warp(picture: np.ndarray, maps: np.ndarray, interpolation: int = cv2.INTER_CUBIC) -> np.ndarray:
    """A picture (H, W, 3) through `warp_map`'s (h, w, 2); beyond its border it is reflected."""
    return cv2.remap(picture, maps, _NO_MAP, interpolation, borderMode=cv2.BORDER_REFLECT_101)


def warp_clip(
    pictures: np.ndarray,
    origins: np.ndarray,
    places: np.ndarray,
    shape: tuple[int, int],
    chosen: np.ndarray | None = None,
) -> np.ndarray:
    """Pictures whose points are at `origins`, warped so that they come to `places`.

    Args:
      pictures: (N, H, W, 3) uint8. origins: (N, K, 2). places: (T, K, 2). chosen: (T,) int, which picture each frame is
        made of; default: its own.

    Returns:
      (T, h, w, 3) uint8.
    """
    chosen = np.arange(len(places)) if chosen is None else chosen
    triangles = triangulate(places.mean(axis=0))
    made = np.empty((len(places), *shape, 3), np.uint8)
    for frame, number in enumerate(chosen):
        made[frame] = warp(pictures[number], warp_map(places[frame], origins[number], triangles, shape))
    return made
