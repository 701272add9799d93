"""swap: another person's face on the target's landmarks.

As FaceSwap (Kowalski's, of FaceForensics++, Roessler et al., ICCV 2019) and the data sets after it do: warped to the
target's points, its colours matched, blended in. The expression is the target's or on the way to the source's.
"""

from __future__ import annotations

import numpy as np

from data_prep.forge.blend import blend
from data_prep.forge.clip import Forged, RealClip
from data_prep.forge.colour import match, recoloured
from data_prep.forge.draws import Draws, bounce, wander
from data_prep.forge.matching import follow
from data_prep.forge.region import alphas, draw_region
from data_prep.forge.render import through
from data_prep.forge.shape import JAW, RIGID, face_size, moved, similarity, with_forehead
from data_prep.forge.warp import warp_clip

_INNER = [point for point in range(68) if point not in JAW]


def forge(target: RealClip, source: RealClip, rng: np.random.Generator) -> Forged:
    """Another person's face on the target's."""
    draw = Draws(rng)
    shape = target.frames.shape[1:3]
    chosen = moments(draw, target, source)
    between = draw.uniform("expression", 0.05, 0.45) if draw.flag("expression_between", 0.4) else 0.0
    jitter = draw.uniform("jitter", 0.0, 0.004) * face_size(target.landmarks)
    places = target.landmarks + jitter * wander(rng, len(target), 2, 0.7)[:, None]
    places = expression_between(places, source.landmarks[chosen], between)
    layer = warp_clip(source.frames, with_forehead(source.landmarks), with_forehead(places), shape, chosen)
    region = draw_region(draw, {"whole": 0.35, "hull": 0.4, "inner": 0.25})
    alpha = alphas(target.landmarks, region, shape)
    layer = recoloured(layer, match(layer, target.frames, alpha, draw.uniform("colour_match", 0.6, 1.0)))
    layer = through(layer, draw.uniform("resolution", 0.4, 1.0), draw.uniform("sharpen", -0.5, 0.5))
    # Along hair Poisson blending pulls the whole face towards the hair's colour: forgers use it inside the face.
    how = draw.choose("blending", {"alpha": 0.7, "poisson": 0.3}) if region.name != "whole" else "alpha"
    frames = blend(target.frames, layer, alpha, how)
    return Forged(frames, (alpha > 0).astype(np.uint8) * 255, draw.parameters)


def moments(draw: Draws, target: RealClip, source: RealClip) -> np.ndarray:
    """(T,) int: which frame of the source each of the target's takes."""
    usable = np.flatnonzero(source.valid)
    mode = draw.choose("moments", {"sequence": 0.5, "matched": 0.35, "one": 0.15})
    if mode == "sequence":
        begin = draw.whole("begin", 0, len(source) - 1)
        return bounce(begin + np.arange(len(target)), len(source))
    # Compared as shapes in one place, so that it is pose and expression which count, not where the head is.
    reference = target.landmarks.mean(axis=0)
    wanted, have = (
        moved(clip.landmarks, similarity(clip.landmarks, reference)) for clip in (target, source)
    )  # fmt: skip
    wanted, have = wanted - wanted.mean(axis=0), have - have.mean(axis=0)
    if mode == "matched":
        return usable[follow(wanted, have[usable], draw.uniform("stiffness", 0.1, 0.5))]
    distance = ((have[usable] - wanted.mean(axis=0)) ** 2).sum(axis=(1, 2))
    return np.full(len(target), usable[distance.argmin()])


def expression_between(places: np.ndarray, source: np.ndarray, share: float) -> np.ndarray:
    """(T, 68, 2): inside the jaw, a share of the way to the source's shape, laid on the target's."""
    if not share:
        return places
    laid = moved(source, similarity(source[:, RIGID], places[:, RIGID]))
    made = places.copy()
    made[:, _INNER] += share * (laid - places)[:, _INNER]
    return made
