"""Four forgeries. Each replaces part of the target's face and breaks one thing, which one stream of a detector can see.

Deepfakes       another identity's inner face with the target's skin: no pulse, or the source's. Nothing else moves.
Face2Face       the source's eyes and lips on the target's face; lips and chin glide slowly against the head.
FaceSwap        another identity's inner face, its fine texture fainter, inside a fine seam. It pulses as the target.
NeuralTextures  the target's mouth rendered again, trembling from frame to frame.

STRENGTH was chosen with the table in docs/benchmark.md (python -m data_prep.synthetic.ceilings).
"""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np

from cpml_jax import schema
from data_prep.synthetic.identity import CENTRE, Expression, Identity
from data_prep.synthetic.render import SUPERSAMPLE, Portrait, cover, draw_face, draw_portrait
from data_prep.synthetic.texture import fractal

METHODS = schema.FFPP_METHODS


@dataclasses.dataclass(frozen=True)
class Strength:
    """How strong each forgery's cue is. Lengths in fractions of the picture's side."""

    pulse_kept: float = 0.1  # Deepfakes: the most of the target's pulse that is left in the inner face, a share
    source_pulse: float = 0.5  # Deepfakes: probability that the inner face has the source's pulse too
    glide: float = 0.0095  # Face2Face: standard deviation of lips and jaw against the head
    texture: float = 0.8  # FaceSwap: share of the contrast of the skin's fine texture that is lost
    seam: float = 0.12  # FaceSwap: contrast of the line where the face was pasted in
    tremble: float = 0.003  # NeuralTextures: standard deviation of the mouth, independent in each frame
    spread: float = 0.35  # of glide, texture, seam and tremble between videos: a factor within 1 -+ spread


STRENGTH = Strength()
GLIDE_BAND = (0.008, 0.05)  # cycles a frame: 0.24 to 1.5 Hz at 30 frames/s
_SHAPE = (
    "eye_apart",
    "eye_width",
    "eye_height",
    "eye_tilt",
    "brow_gap",
    "brow_thick",
    "brow_arch",
    "nose_y",
    "nose_width",
    "mouth_y",
    "mouth_width",
    "lip_upper",
    "lip_lower",
)
_LOOK = ("iris", "detail_seed")


@dataclasses.dataclass(frozen=True)
class Forgery:
    """What one video's forger does. Times: one value a frame."""

    inner: Portrait  # the face that is pasted in
    mask: np.ndarray  # (h, w, 3) float32, where it is pasted, inside `window`
    window: tuple[int, int, int, int]  # x0, y0, x1, y1 in canvas pixels
    moving: np.ndarray  # (h, w) float32: how far a place follows `shift`, 0..1
    shift: np.ndarray  # (N, 2) canvas pixels
    seam: np.ndarray  # (h, w, 3) float32, a factor around 1
    expressions: list[Expression]  # (N,) of the pasted face
    pulse: np.ndarray  # (N,) pulse of the pasted face
    visible_pulse: np.ndarray | None  # (N,) the wave that is coherent in the fake; None: no wave is

    def displacement(self, places: np.ndarray) -> np.ndarray:
        """How far `shift` moves places (N, K, 2) of the canvas, both in fractions of its side."""
        canvas = self.inner.base.shape[0]
        x, y = np.moveaxis(places * canvas - 0.5 - np.array(self.window[:2]), -1, 0).astype(np.float32)
        follows = cv2.remap(self.moving * self.mask[..., 0], x, y, cv2.INTER_LINEAR, borderValue=0)
        return follows[..., None] * self.shift[:, None] / canvas


def _ellipse(canvas: int, centre: tuple[float, float], half: tuple[float, float], feather: float) -> np.ndarray:
    """Coverage (C, C) in 0..1 of an ellipse, with a soft rim of `feather`; lengths in fractions."""
    turn = np.linspace(0, 2 * np.pi, 60)
    points = np.stack([centre[0] + half[0] * np.cos(turn), centre[1] + half[1] * np.sin(turn)], -1)
    return cv2.GaussianBlur(cover(points, (canvas, canvas), (0, 0), canvas), (0, 0), feather * canvas)


def _inner_mask(face: Identity, canvas: int, feather: float, below: float = 0.04) -> np.ndarray:
    """Inner face (C, C): from above the brows to `below` the lips."""
    top, bottom = face.eye_y - face.brow_gap - 0.04, face.mouth_y + face.lip_lower + below
    return _ellipse(canvas, (CENTRE[0], 0.5 * (top + bottom)), (0.78 * face.half_width, 0.5 * (bottom - top)), feather)


def _mouth_mask(face: Identity, canvas: int) -> np.ndarray:
    return _ellipse(canvas, (CENTRE[0], face.mouth_y + 0.008), (1.35 * face.mouth_width, 0.062), 0.012)


def _extent(mask: np.ndarray) -> tuple[int, int, int, int]:
    """Window x0, y0, x1, y1 of canvas pixels outside which the mask (C, C) is practically zero."""
    rows, columns = np.flatnonzero(mask.max(1) > 0.004), np.flatnonzero(mask.max(0) > 0.004)
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def _glide(rng: np.random.Generator, frames: int) -> np.ndarray:
    """A slow wander (N, 2) of standard deviation 1 with frequencies in GLIDE_BAND."""
    padded = max(4 * frames, 512)
    spectrum = np.fft.rfft(rng.standard_normal((padded, 2)), axis=0)
    frequency = np.fft.rfftfreq(padded)
    spectrum[(frequency < GLIDE_BAND[0]) | (frequency > GLIDE_BAND[1])] = 0
    wander = np.fft.irfft(spectrum, padded, axis=0)
    return (wander / wander.std(0))[:frames]


def _seam(rng: np.random.Generator, mask: np.ndarray, contrast: float) -> np.ndarray:
    """(C, C) factor around 1: a thin line along the mask's edge, now lighter, now darker than the skin."""
    canvas = len(mask)
    line = 4 * mask * (1 - mask)
    return (1 + contrast * line * np.sign(fractal(rng, canvas, (canvas // 3,), (1.0,)))).astype(np.float32)


def forge(
    method: str,
    rng: np.random.Generator,
    target: Portrait,
    source: Identity,
    target_moves: list[Expression],
    source_moves: list[Expression],
    target_pulse: np.ndarray,
    source_pulse: np.ndarray,
    strength: Strength = STRENGTH,
) -> Forgery:
    """Plan the forgery of one video of N frames; pulses (N,) float32.

    The source's expressions drive Face2Face, the target's all others.
    """
    face, canvas, frames = target.face, target.base.shape[0], len(target_moves)
    inner, moves, pulse, visible = target, target_moves, target_pulse, target_pulse
    shift, moving = np.zeros((frames, 2)), np.ones((canvas, canvas), np.float32)
    seam = np.ones((canvas, canvas), np.float32)
    factor = rng.uniform(1 - strength.spread, 1 + strength.spread)
    if method in ("Deepfakes", "FaceSwap"):
        lost = factor * strength.texture if method == "FaceSwap" else 0.0
        borrowed = {name: getattr(source, name) for name in _SHAPE + _LOOK}
        other = dataclasses.replace(face, **borrowed, detail=(1 - lost) * face.detail)
        inner = draw_portrait(other, canvas // SUPERSAMPLE)
    if method == "Deepfakes":
        mask = _inner_mask(face, canvas, 0.022)
        has_source, kept = rng.uniform() < strength.source_pulse, rng.uniform(0, strength.pulse_kept)
        pulse = kept * target_pulse + (1 - kept) * source_pulse * has_source
        visible = source_pulse if has_source else None
    elif method == "Face2Face":
        mask = _inner_mask(face, canvas, 0.012, below=CENTRE[1] + face.half_height + 0.03 - face.mouth_y)
        moves = source_moves
        place = (np.arange(canvas, dtype=np.float32) + 0.5) / canvas
        lower = np.clip((place - face.nose_y) / (face.mouth_y - face.lip_upper - face.nose_y), 0, 1)
        moving = np.repeat(lower[:, None], canvas, axis=1)
        shift = factor * strength.glide * canvas * _glide(rng, frames)
    elif method == "FaceSwap":
        mask = _inner_mask(face, canvas, 0.004)
        seam = _seam(rng, mask, factor * strength.seam)
    elif method == "NeuralTextures":
        mask = _mouth_mask(face, canvas)
        shift = factor * strength.tremble * canvas * rng.standard_normal((frames, 2))
    else:
        raise ValueError(f"unknown forgery {method!r}: one of {METHODS}")
    x0, y0, x1, y1 = window = _extent(mask)
    part = (slice(y0, y1), slice(x0, x1))
    return Forgery(
        inner=inner,
        mask=cv2.merge([mask[part]] * 3),
        window=window,
        moving=np.ascontiguousarray(moving[part]),
        shift=shift,
        seam=cv2.merge([seam[part]] * 3),
        expressions=moves,
        pulse=pulse,
        visible_pulse=visible,
    )


def inner_face(plan: Forgery, frame: int) -> np.ndarray:
    """The pasted face of one frame (h, w, 3) float32, inside the window: moved, with its seam."""
    x0, y0, x1, y1 = plan.window
    picture = draw_face(plan.inner, plan.expressions[frame], plan.pulse[frame], plan.window)[y0:y1, x0:x1]
    if plan.shift.any():
        picture = _moved(picture, plan.moving, plan.shift[frame])
    return picture * plan.seam


def _moved(picture: np.ndarray, moving: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """`picture` (h, w, 3) shifted by `shift` (x, y) pixels times `moving` (h, w). Cubic: it must not soften."""
    row, column = np.mgrid[0 : moving.shape[0], 0 : moving.shape[1]].astype(np.float32)
    x, y = shift.astype(np.float32)
    return cv2.remap(picture, column - x * moving, row - y * moving, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)


def paste(layer: np.ndarray, plan: Forgery, frame: int) -> np.ndarray:
    """Replace the forged part of one frame's canvas (C, C, 3) float32, in place; returns the canvas."""
    x0, y0, x1, y1 = plan.window
    part = layer[y0:y1, x0:x1]
    part += plan.mask * (inner_face(plan, frame) - part)
    return layer
