"""selfblend: the target's own face, changed a little and blended back (SBI, Shiohara and Yamasaki, CVPR 2022).

Coherent in time, as a video's forger would be: colour, sharpness and resolution are one choice a clip; scale and offset
drift slowly, with a small jitter.
"""

from __future__ import annotations

import cv2
import numpy as np

from data_prep.forge.blend import blend
from data_prep.forge.clip import Forged, RealClip
from data_prep.forge.colour import recoloured, shifted
from data_prep.forge.draws import Draws, wander
from data_prep.forge.region import alphas, draw_region
from data_prep.forge.render import through
from data_prep.forge.shape import face_size

_OPACITY = {"0.5": 1, "0.75": 1, "1": 3}


def forge(target: RealClip, source: RealClip, rng: np.random.Generator) -> Forged:
    """The target's face in itself; no other clip is used."""
    draw = Draws(rng)
    shape = target.frames.shape[1:3]
    region = draw_region(draw, {"whole": 0.2, "hull": 0.35, "inner": 0.2, "lower": 0.1, "mouth": 0.1, "eyes": 0.05})
    alpha = alphas(target.landmarks, region, shape) * float(draw.choose("blend", _OPACITY))
    layer = displaced(draw, target)
    layer = recoloured(layer, shifted(rng, draw.uniform("colour", 0.015, 0.06)))
    layer = through(layer, draw.uniform("resolution", 0.35, 1.0), draw.uniform("sharpen", -0.8, 0.8))
    frames = blend(target.frames, layer, alpha)
    return Forged(frames, (alpha > 0).astype(np.uint8) * 255, draw.parameters)


def displaced(draw: Draws, target: RealClip) -> np.ndarray:
    """(T, h, w, 3): the frames, moved and scaled about the face's middle by an offset, a drift and a jitter."""
    rng, length, size = draw.rng, len(target), face_size(target.landmarks)
    offset = draw.uniform("offset", 0.005, 0.03) * rng.standard_normal(2)
    drift = draw.uniform("drift", 0.0, 0.015) * wander(rng, length, 2, draw.uniform("drift_slowness", 8, 30))
    jitter = draw.uniform("jitter", 0.0, 0.003) * wander(rng, length, 2, 0)
    shift = size * (offset + drift + jitter)
    scale = 1 + draw.uniform("scale", 0.0, 0.03) * (rng.standard_normal() + 0.3 * wander(rng, length, 1, 15)[:, 0])
    middle = target.landmarks.mean(axis=1)
    made = np.empty_like(target.frames)
    for frame, picture in enumerate(target.frames):
        matrix = scale[frame] * np.eye(2, 3)
        matrix[:, 2] = (1 - scale[frame]) * middle[frame] + shift[frame]
        made[frame] = cv2.warpAffine(
            picture,
            matrix,
            picture.shape[1::-1],
            flags=cv2.INTER_CUBIC,
            borderMode=cv2.BORDER_REFLECT_101,
        )
    return made
