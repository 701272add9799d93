"""Clips mirrored left to right, on the device: one function per model input (models/streams.py lists them)."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np


def _mirrored_points() -> np.ndarray:
    """iBUG-68: the point that each point becomes when the face is mirrored. (68,) int."""
    pairs = [(i, 16 - i) for i in range(8)]  # jaw
    pairs += [(17 + i, 26 - i) for i in range(5)]  # brows
    pairs += [(31, 35), (32, 34)]  # nostrils
    pairs += [(36, 45), (37, 44), (38, 43), (39, 42), (40, 47), (41, 46)]  # eyes
    pairs += [(48, 54), (49, 53), (50, 52), (59, 55), (58, 56)]  # outer lip
    pairs += [(60, 64), (61, 63), (67, 65)]  # inner lip
    order = np.arange(68)
    for a, b in pairs:
        order[a], order[b] = b, a
    return order


MIRRORED_POINTS = _mirrored_points()


def mirrored_frames(frames: jax.Array) -> jax.Array:
    """(..., S, S, 3), and so is the result."""
    return frames[..., ::-1, :]


def mirrored_landmarks(landmarks: jax.Array) -> jax.Array:
    """(..., 68, 2), x in [-1, 1] over the crop, and so is the result: the points keep their iBUG-68 meaning."""
    return landmarks[..., MIRRORED_POINTS, :] * jnp.asarray([-1.0, 1.0], landmarks.dtype)


def mirrored_cells(cells: jax.Array) -> jax.Array:
    """(..., G, G) numbers of cells that have no direction, and so is the result."""
    return cells[..., ::-1]


def where_clip(chosen: jax.Array, x: jax.Array, y: jax.Array) -> jax.Array:
    """x of the chosen clips (B,) bool, y of the others: both (B, ...)."""
    return jnp.where(chosen.reshape(-1, *[1] * (x.ndim - 1)), x, y)
