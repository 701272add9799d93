"""reenact: the target's own face with another expression.

moment  mouth, eyes or inner face of another moment, laid on by the head's pose: as lip and eye replacement do.
driven  another person's motion, in the target's shape, moves the target's face (Face2Face, Thies et al., CVPR 2016,
        and the warping reenactments after it); each picture comes from the moment whose expression is nearest to the
        wanted one, so that an open mouth has teeth.
"""

from __future__ import annotations

import cv2
import numpy as np

from data_prep.forge.blend import blend
from data_prep.forge.clip import Forged, RealClip
from data_prep.forge.colour import match, recoloured
from data_prep.forge.draws import Draws, bounce
from data_prep.forge.matching import follow
from data_prep.forge.region import alphas, draw_region
from data_prep.forge.render import through
from data_prep.forge.shape import BROWS, EYES, JAW, MOUTH, RIGID, moved, ring, similarity, steady
from data_prep.forge.warp import warp_clip

LEAST_OFFSET = 10  # frames between a moment and the one that takes its place: a third of a second
_MOVING = [*BROWS, *EYES, *MOUTH]


def forge(target: RealClip, source: RealClip, rng: np.random.Generator) -> Forged:
    """The target with an expression of another moment, or of the source."""
    draw = Draws(rng)
    other = source.identity != target.identity
    mode = draw.choose("expression", {"moment": 0.55, "driven": 0.45 if other else 0.0})
    shares = {"mouth": 0.4, "lower": 0.15, "inner": 0.25, "eyes": 0.2}
    region = draw_region(draw, shares if mode == "moment" else {"hull": 0.35, "inner": 0.35, "lower": 0.3}, 0.12)
    layer, places = moment(draw, target) if mode == "moment" else driven(draw, target, source)
    alpha = alphas(places, region, target.frames.shape[1:3])
    if mode == "moment":
        layer = recoloured(layer, match(layer, target.frames, alpha, draw.uniform("colour_match", 0.0, 1.0)))
    layer = through(layer, draw.uniform("resolution", 0.5, 1.0), draw.uniform("sharpen", -0.4, 0.5))
    frames = blend(target.frames, layer, alpha)
    return Forged(frames, (alpha > 0).astype(np.uint8) * 255, draw.parameters)


def moment(draw: Draws, target: RealClip) -> tuple[np.ndarray, np.ndarray]:
    """(T, h, w, 3) the target's face of another moment in each frame's pose, and where its landmarks are (T, 68, 2)."""
    length = len(target)
    offset = draw.whole("offset", min(LEAST_OFFSET, length - 1), max(length - 1, 1) // 2 + LEAST_OFFSET)
    backwards = draw.flag("backwards", 0.3)
    chosen = bounce((-1 if backwards else 1) * np.arange(length) + offset, length)
    here, there = target.landmarks, target.landmarks[chosen]
    matrices = similarity(there[:, RIGID], here[:, RIGID])
    layer = np.empty_like(target.frames)
    for frame, number in enumerate(chosen):
        layer[frame] = cv2.warpAffine(
            target.frames[number],
            matrices[frame],
            target.frames.shape[2:0:-1],
            flags=cv2.INTER_CUBIC,
            borderMode=cv2.BORDER_REFLECT_101,
        )
    # Both mouths have to be covered, so that the one underneath does not show.
    return layer, (here + moved(there, matrices)) / 2


def driven(draw: Draws, target: RealClip, source: RealClip) -> tuple[np.ndarray, np.ndarray]:
    """The target's face with the source's expressions, as `moment`."""
    length = len(target)
    ours, back = steady(target.landmarks)
    theirs = in_shape_of(source, ours.mean(axis=0))[bounce(np.arange(length) + draw.whole("begin", 0, 60), len(source))]
    kept, gain = draw.uniform("kept", 0.0, 0.4), draw.uniform("gain", 0.7, 1.3)
    middle = ours.mean(axis=0)
    wanted = middle + kept * (ours - middle) + gain * theirs
    wanted[:, list(JAW)] = (0.4 * wanted + 0.6 * ours)[:, list(JAW)]  # the face's outline meets the target's
    usable = np.flatnonzero(target.valid)
    stiffness = draw.uniform("stiffness", 0.15, 0.6)
    chosen = usable[follow((wanted - middle)[:, _MOVING], (ours - middle)[usable][:, _MOVING], stiffness)]
    places = moved(wanted, back)
    margin = draw.uniform("margin", 0.15, 0.3)
    origins = np.concatenate([target.landmarks, ring(target.landmarks, margin)], axis=1)
    ends = np.concatenate([places, ring(target.landmarks, margin)], axis=1)
    return warp_clip(target.frames, origins, ends, target.frames.shape[1:3], chosen), places


def in_shape_of(source: RealClip, middle: np.ndarray) -> np.ndarray:
    """(N, 68, 2): the source's expressions as differences from its mean, in the size of the shape `middle` (68, 2)."""
    theirs, _ = steady(source.landmarks)
    mean = theirs.mean(axis=0)
    matrix = similarity(mean[RIGID], middle[RIGID])
    return (theirs - mean) @ matrix[:, :2].T
