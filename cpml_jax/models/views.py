"""Views made from one clip, for the landmark and the visual stream (docs/method.md, Views).

The rPPG stream's views, through the learned down-sampler, are made in resolution.py.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Num, PRNGKeyArray

from cpml_jax.models.resolution import STEPS
from cpml_jax.schema import NUM_LANDMARKS

# Half-widths (x, y) of the uniform jitter, in units of the face box: on every point, and on top of it by region.
EVERY_POINT = {"half": (0.0005, 0.0005), "quarter": (0.01, 0.01)}
REGIONS = (
    (range(48, 68), {"quarter": (0.006, 0.0085), "half": (0.0006, 0.0005)}),  # lips
    (range(36, 48), {"quarter": (0.005, 0.007), "half": (0.0005, 0.0004)}),  # eyes
    (range(27, 36), {"quarter": (0.001, 0.0015), "half": (0.0001, 0.0001)}),  # nose
)

Norm = tuple[tuple[float, ...], tuple[float, ...]]  # mean and deviation of RGB in [0, 1]
CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)  # as CLIP's weights expect
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)
CLIP_NORM = (CLIP_MEAN, CLIP_STD)


def region_amounts(view: str) -> Float[np.ndarray, "68 2"]:
    """(68, 2): half-width of the regional jitter of every point, zero outside the regions."""
    amounts = np.zeros((NUM_LANDMARKS, 2), np.float32)
    for points, by_view in REGIONS:
        amounts[list(points)] = by_view[view]
    return amounts


def jittered(landmarks: Float[Array, "N T 68 2"], view: str, key: PRNGKeyArray) -> Float[Array, "N T 68 2"]:
    """Landmarks as a detector would fit them at low resolution.

    Args:
      landmarks: (N, T, 68, 2); not changed.
      view: half | quarter.
      key: for this call alone.

    Returns:
      (N, T, 68, 2): two independent uniform draws a coordinate, one on every point and one by region.
    """
    every, region = jax.random.split(key)
    shape, dtype = landmarks.shape, landmarks.dtype
    noise = jax.random.uniform(every, shape, dtype, -1, 1) * jnp.asarray(EVERY_POINT[view], dtype)
    noise += jax.random.uniform(region, shape, dtype, -1, 1) * jnp.asarray(region_amounts(view), dtype)
    return landmarks + noise


def landmark_views(
    landmarks: Float[Array, "N T 68 2"], names: tuple[str, ...], key: PRNGKeyArray | None
) -> Float[Array, "N V T 68 2"]:
    """The given points and one view per name. key None (evaluation): every view is the given points."""
    views = [landmarks]
    for i, name in enumerate(names):
        views.append(landmarks if key is None else jittered(landmarks, name, jax.random.fold_in(key, i)))
    return jnp.stack(views, axis=1)


def encoder_images(
    frames: Num[Array, "*rest S S 3"], image_size: int, norm: Norm = CLIP_NORM
) -> Float[Array, "*rest {image_size} {image_size} 3"]:
    """Grey levels, 0 to 255, as an image encoder expects them: norm is mean and deviation of RGB in [0, 1]."""
    x = frames.astype(jnp.float32) / 255.0
    if x.shape[-2] != image_size:
        x = jax.image.resize(x, (*x.shape[:-3], image_size, image_size, 3), "bilinear")
    mean, deviation = norm
    return (x - jnp.asarray(mean)) / jnp.asarray(deviation)


def visual_views(
    stills: Num[Array, "N K S S 3"], names: tuple[str, ...], image_size: int, norm: Norm = CLIP_NORM
) -> Float[Array, "N V K {image_size} {image_size} 3"]:
    """The K stills of each clip as an image encoder expects them, and one view per name.

    The image encoder sees colours, not the learned down-sampler's features: a low-resolution view is the image
    averaged down by 2 (half) or 4 (quarter).
    """
    low = [encoder_images(averaged_down(stills, name), image_size, norm) for name in names]
    return jnp.stack([encoder_images(stills, image_size, norm), *low], axis=1)


def averaged_down(stills: Num[Array, "N K S S C"], name: str) -> Float[Array, "N K s s C"]:
    """Means of 2 x 2 (half) or 4 x 4 (quarter) pixels."""
    n, k, size, _, channels = stills.shape
    cell = 2 ** STEPS[name]
    cells = stills.astype(jnp.float32).reshape(n, k, size // cell, cell, size // cell, cell, channels)
    return cells.mean(axis=(3, 5))
