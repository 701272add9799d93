"""Augmentation on the device: mirrored clips. Every view of a clip is treated alike, so pairs stay aligned."""

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


MIRRORED = _mirrored_points()


def mirror(frames: jax.Array, landmarks: jax.Array, flip: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Mirror the chosen clips left to right.

    Args:
      frames: (B, V, T, S, S, 3).
      landmarks: (B, V, T, 68, 2), x in [-1, 1] over the crop.
      flip: (B,) bool, which clips to mirror.

    Returns:
      frames and landmarks of the same shapes; the points keep their iBUG-68 meaning.
    """
    flipped = landmarks[:, :, :, MIRRORED] * jnp.asarray([-1.0, 1.0], landmarks.dtype)
    choose = flip[:, None, None, None, None]
    return jnp.where(choose[..., None], frames[..., ::-1, :], frames), jnp.where(choose, flipped, landmarks)
