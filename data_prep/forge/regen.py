"""regen: the face as a small generator renders it.

The face is aligned and re-rendered at 56 to 112 pixels, as autoencoders do (64 to 128 in the first deepfakes), steadier
over time than a face is, sharpened, and laid back with a slight jitter of the alignment.
"""

from __future__ import annotations

import cv2
import numpy as np
from scipy.ndimage import gaussian_filter1d

from data_prep.forge.blend import blend
from data_prep.forge.clip import Forged, RealClip
from data_prep.forge.draws import Draws, wander
from data_prep.forge.region import alphas, draw_region
from data_prep.forge.render import sharpened
from data_prep.forge.shape import RIGID, similarity, with_forehead

PIXELS = (56, 112)  # side of the rendered picture


def forge(target: RealClip, source: RealClip, rng: np.random.Generator) -> Forged:
    """The target's face, rendered again; no other clip is used."""
    draw = Draws(rng)
    shape = target.frames.shape[1:3]
    region = draw_region(draw, {"whole": 0.25, "hull": 0.4, "inner": 0.35})
    side = draw.whole("pixels", *PIXELS)
    to = aligned(target.landmarks, side)
    rendered = np.stack(
        [
            cv2.warpAffine(picture, matrix, (side, side), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
            for picture, matrix in zip(softened(target.frames, to), to, strict=True)
        ]
    ).astype(np.float32)
    share, slowness = draw.uniform("smooth_share", 0.3, 0.85), draw.uniform("smooth_slowness", 1.0, 4.0)
    rendered += share * (gaussian_filter1d(rendered, slowness, axis=0, mode="nearest") - rendered)
    amount = draw.uniform("sharpen", 0.2, 1.2)
    jitter = draw.uniform("jitter", 0.0, 0.004) * side * wander(rng, len(target), 2, draw.uniform("slowness", 0, 2))
    layer = np.empty_like(target.frames)
    for frame, picture in enumerate(rendered):
        matrix = to[frame].copy()
        matrix[:, 2] += jitter[frame]
        picture = np.clip(sharpened(picture, amount), 0, 255).astype(np.uint8)
        layer[frame] = cv2.warpAffine(
            picture,
            matrix,
            shape[::-1],
            flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REPLICATE,
        )
    alpha = alphas(target.landmarks, region, shape)
    return Forged(blend(target.frames, layer, alpha), (alpha > 0).astype(np.uint8) * 255, draw.parameters)


def aligned(landmarks: np.ndarray, side: int) -> np.ndarray:
    """(T, 2, 3) that bring the face to the same place in a picture of `side` pixels, its forehead inside."""
    reference = landmarks[len(landmarks) // 2].astype(float)
    to = similarity(landmarks[:, RIGID], reference[RIGID])
    faces = with_forehead(landmarks) @ np.swapaxes(to[..., :2], 1, 2) + to[:, None, :, 2]
    low, high = faces.min(axis=(0, 1)), faces.max(axis=(0, 1))
    scale = 0.94 * side / float((high - low).max())
    shift = side / 2 - scale * (low + high) / 2
    made = scale * to
    made[..., 2] += shift
    return made


def softened(frames: np.ndarray, to: np.ndarray) -> np.ndarray:
    """The frames, blurred as much as the rendered picture is smaller: it takes means, not single pixels."""
    scale = float(np.median(np.hypot(to[:, 0, 0], to[:, 1, 0])))
    sigma = 0.4 * max(1 / scale - 1, 0)
    return frames if sigma < 0.2 else np.stack([cv2.GaussianBlur(frame, (0, 0), sigma) for frame in frames])
