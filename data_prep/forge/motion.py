"""motion: facial movements that no longer belong together.

After KiMoI (Cobo, Valle, Buenaposada and Baumela, arXiv 2512.04175, 2025), who break the correlations between the
movements of a face's regions in a learned basis and morph the face to match. Here the basis is the principal components
of the clip's own landmark motion, the head's motion taken away: some are damped, delayed or exchanged for another
person's, and the target's pixels are warped. Outside a margin around the face nothing moves.
"""

from __future__ import annotations

import numpy as np

from data_prep.forge.clip import Forged, RealClip
from data_prep.forge.draws import Draws, bounce
from data_prep.forge.reenact import in_shape_of
from data_prep.forge.shape import BROWS, EYES, MOUTH, face_size, moved, ring, steady
from data_prep.forge.warp import triangulate, warp, warp_map

COMPONENTS = 10  # of the basis; some 95 % of the variance of a speaking face
CHANGES = ("damped", "delayed", "exchanged")
FARTHEST = 0.09  # face sizes that a point may move
# Face sizes, root mean square over frames and the twelve points that move most: what the weakest forgery shows. A face
# that hardly moves would give nothing when it is damped: its changes are made larger, up to LARGEST times.
LEAST, LARGEST = 0.012, 4.0
MOVES = 1 / 32  # pixels, in which OpenCV counts when it warps: less is no movement
PARTS = {"face": range(68), "mouth": [*range(3, 14), *MOUTH], "eyes": [*BROWS, *EYES]}


def forge(target: RealClip, source: RealClip, rng: np.random.Generator) -> Forged:
    """The target with its movements disturbed; the source gives movements where it is another person."""
    draw = Draws(rng)
    places, margin = disturbed(draw, target, source), draw.uniform("margin", 0.12, 0.3)
    around = ring(target.landmarks, margin)
    origins = np.concatenate([target.landmarks, around], axis=1)
    ends = np.concatenate([places, around], axis=1)
    triangles = triangulate(origins.mean(axis=0))
    shape = target.frames.shape[1:3]
    layer = target.frames.copy()
    mask = np.zeros(layer.shape[:3], np.uint8)
    own = np.moveaxis(np.mgrid[: shape[0], : shape[1]][::-1], 0, -1).astype(np.float32)
    for frame in range(len(layer)):
        maps = warp_map(ends[frame], origins[frame], triangles, shape)
        moves = np.abs(maps - own).max(axis=-1) > MOVES
        picture = warp(layer[frame], maps)
        layer[frame][moves] = picture[moves]
        mask[frame][moves] = 255
    return Forged(layer, mask, draw.parameters)


def disturbed(draw: Draws, target: RealClip, source: RealClip) -> np.ndarray:
    """(T, 68, 2): the target's landmarks with some of its movements changed."""
    shapes, back = steady(target.landmarks)
    middle, size = shapes.mean(axis=0), face_size(target.landmarks)
    own = (shapes - middle).reshape(len(shapes), -1)
    basis = components(own)
    if source.identity != target.identity:
        theirs = in_shape_of(source, middle).reshape(len(source), -1)
    else:
        theirs = own[::-1]
    change = changed(draw, own @ basis.T, theirs @ basis.T) @ basis
    change = change.reshape(shapes.shape)
    part = PARTS[draw.choose("part", {"face": 0.5, "mouth": 0.3, "eyes": 0.2})]
    moving = np.zeros((68, 1))
    moving[list(part)] = 1
    change *= moving
    most = np.sort(np.sqrt((change**2).sum(axis=-1).mean(axis=0)))[-12:]
    gain = np.clip(LEAST * size / max(float(np.sqrt((most**2).mean())), 1e-9), 1, LARGEST)
    draw.parameters["gain"] = float(gain)
    change *= gain
    length = np.linalg.norm(change, axis=-1, keepdims=True)
    farthest = FARTHEST * size
    change *= farthest * np.tanh(length / farthest) / np.maximum(length, 1e-9)
    return moved(shapes + change, back)


def components(movements: np.ndarray) -> np.ndarray:
    """(K, 136), orthonormal: the principal components of movements (T, 136), the largest first."""
    _, _, rows = np.linalg.svd(movements, full_matrices=False)
    return rows[:COMPONENTS]


def changed(draw: Draws, own: np.ndarray, theirs: np.ndarray) -> np.ndarray:
    """(T, K) to be added to the components' courses `own` (T, K); theirs (N, K) is what they are exchanged for."""
    length, count = own.shape
    rng, change, done = draw.rng, np.zeros_like(own), []
    first = int(rng.integers(0, min(3, count)))  # one of the largest at least
    share = draw.uniform("changed_share", 0.3, 0.8)
    begin = draw.whole("begin", 0, max(len(theirs) - 1, 0))
    for number in range(count):
        if number != first and rng.uniform() > share:
            continue
        how, course = CHANGES[int(rng.integers(3))], own[:, number]
        if how == "damped":
            amount = float(rng.uniform(0.6, 1.0))
            change[:, number] = -amount * course
        elif how == "delayed":
            amount = int(rng.integers(4, 16)) * (1 if rng.uniform() < 0.5 else -1)
            change[:, number] = course[bounce(np.arange(length) - amount, length)] - course
        else:
            other = theirs[bounce(begin + np.arange(length), len(theirs)), number]
            amount = float(np.clip(course.std() / max(float(other.std()), 1e-9), 0.2, 5.0))
            change[:, number] = amount * (other - other.mean()) - (course - course.mean())
        done.append(dict(component=number, change=how, amount=amount))
    draw.parameters["changes"] = done
    return change
