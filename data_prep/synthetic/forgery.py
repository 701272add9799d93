"""Four forgeries. Each replaces part of the target's face and breaks what its namesake breaks, no more.

Deepfakes       inner face with another identity's features, softer, blended, jittering; no pulse, or the source's.
Face2Face       the target's own face re-rendered with the source's expressions; part of the pulse survives.
FaceSwap        the source's texture fitted onto the target; wrong colour, visible edge; no pulse.
NeuralTextures  only the mouth region re-rendered with the source's mouth, flickering; the pulse elsewhere is intact.
"""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np

from data_prep.synthetic.identity import CENTRE, Expression, Identity
from data_prep.synthetic.render import Portrait, cover, draw_eyes, draw_mouth, draw_portrait

METHODS = ("Deepfakes", "Face2Face", "FaceSwap", "NeuralTextures")
_SHAPE = ("eye_apart", "eye_width", "eye_height", "eye_tilt", "brow_gap", "brow_thick", "brow_arch", "nose_y",
          "nose_width", "mouth_y", "mouth_width", "lip_upper", "lip_lower")  # fmt: skip
_LOOK = ("skin", "hair", "lip", "iris", "detail", "detail_seed")


@dataclasses.dataclass(frozen=True)
class Forgery:
    """What one video's forger does. Times: one value a frame."""

    inner: Portrait  # the face that is pasted in
    mask: np.ndarray  # (h, w) float32, where it is pasted, inside `window`
    window: tuple[int, int, int, int]  # x0, y0, x1, y1 in canvas pixels
    blur: float  # canvas pixels
    jitter: np.ndarray  # (N, 2) canvas pixels
    flicker: np.ndarray  # (N,) factor around 1
    expressions: list[Expression]  # (N,) of the pasted face
    pulse: np.ndarray  # (N,) pulse of the pasted face
    own_pulse: np.ndarray | None  # (N,) the wave that is coherent in the fake; None: there is none


def _inner_mask(face: Identity, canvas: int, feather: float, grow: float) -> np.ndarray:
    """Inner face (C, C) in 0..1: from above the brows to below the lips, with a soft rim of `feather` (fraction)."""
    turn = np.linspace(0, 2 * np.pi, 60)
    middle_y = 0.5 * (face.eye_y - face.brow_gap + face.mouth_y + face.lip_lower)
    high = 0.5 * (face.mouth_y - face.eye_y + face.brow_gap) + grow
    points = np.stack([CENTRE[0] + 0.78 * face.half_width * np.cos(turn), middle_y + high * np.sin(turn)], -1)
    mask = cover(points, (canvas, canvas), (0, 0), canvas)
    return cv2.GaussianBlur(mask, (0, 0), feather * canvas)


def _mouth_mask(face: Identity, canvas: int) -> np.ndarray:
    turn = np.linspace(0, 2 * np.pi, 60)
    points = np.stack([1.35 * face.mouth_width * np.cos(turn), 0.062 * np.sin(turn)], -1)
    mask = cover(points + [CENTRE[0], face.mouth_y + 0.008], (canvas, canvas), (0, 0), canvas)
    return cv2.GaussianBlur(mask, (0, 0), 0.012 * canvas)


def _match_colour(inner: Portrait, target: Portrait, mask: np.ndarray, offset: np.ndarray) -> Portrait:
    """Give `inner` the target's mean and deviation by channel under the mask, then shift it by `offset` levels."""
    weight = (mask / mask.sum())[..., None]
    base = inner.base.copy()

    def moments(picture):
        mean = (weight * picture).sum((0, 1))
        return mean, np.sqrt((weight * (picture - mean) ** 2).sum((0, 1)))

    mean, deviation = moments(base[..., :3])
    goal_mean, goal_deviation = moments(target.base[..., :3])
    base[..., :3] = (base[..., :3] - mean) * (goal_deviation / deviation) + goal_mean + offset
    return dataclasses.replace(inner, base=base)


def _borrow(target: Identity, source: Identity, names: tuple[str, ...]) -> Identity:
    return dataclasses.replace(target, **{name: getattr(source, name) for name in names})


def forge(
    method: str,
    rng: np.random.Generator,
    target: Portrait,
    source: Identity,
    target_moves: list[Expression],
    source_moves: list[Expression],
    target_pulse: np.ndarray,
    source_pulse: np.ndarray,
) -> Forgery:
    """Plan the forgery of one video; N frames, pulses (N,) float32.

    The target's expressions drive Deepfakes and FaceSwap; the source's drive Face2Face and, at the mouth,
    NeuralTextures.
    """
    size, frames = target.base.shape[0] // 2, len(target_moves)
    face, canvas = target.face, target.base.shape[0]
    white = lambda deviation, shape: deviation * rng.standard_normal(shape)  # noqa: E731
    none = np.zeros(frames, np.float32)
    offset = np.zeros(3)
    if method == "Deepfakes":
        inner = draw_portrait(_borrow(face, source, _SHAPE + _LOOK), size)
        mask = _inner_mask(face, canvas, 0.022, 0.045)
        keeps = rng.uniform() < 0.25
        pulse, own = (0.7 * source_pulse, source_pulse) if keeps else (none, None)
        blur, jitter, flicker, moves = 1.1, 0.7, 0.010, target_moves
    elif method == "Face2Face":
        inner, mask = target, _inner_mask(face, canvas, 0.018, 0.040)
        pulse, own, moves = 0.35 * target_pulse, target_pulse, source_moves
        blur, jitter, flicker = 0.8, 0.6, 0.010
    elif method == "FaceSwap":
        inner = draw_portrait(_borrow(face, source, _SHAPE + _LOOK), size)
        mask = _inner_mask(face, canvas, 0.007, 0.035)
        pulse, own, moves = none, None, target_moves
        offset = rng.choice([-1, 1], 3) * rng.uniform(3, 8, 3)
        blur, jitter, flicker = 0.7, 0.9, 0.008
    elif method == "NeuralTextures":
        inner, mask = target, _mouth_mask(face, canvas)
        pulse, own = none, target_pulse
        moves = [dataclasses.replace(t, mouth=s.mouth, wide=s.wide) for t, s in
                 zip(target_moves, source_moves, strict=True)]  # fmt: skip
        blur, jitter, flicker = 0.8, 0.9, 0.025
    else:
        raise ValueError(f"unknown forgery {method!r}: one of {METHODS}")
    inner = _match_colour(inner, target, mask, offset)
    rows, columns = np.flatnonzero(mask.max(1) > 0.004), np.flatnonzero(mask.max(0) > 0.004)
    window = int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1
    x0, y0, x1, y1 = window
    shrunk = mask[y0:y1, x0:x1].copy()
    return Forgery(inner, shrunk, window, blur, white(jitter, (frames, 2)), 1 + white(flicker, frames), moves, pulse, own)


def paste(layer: np.ndarray, forgery: Forgery, frame: int) -> None:
    """Replace the forged part of one frame's canvas (C, C, 4), in place."""
    x0, y0, x1, y1 = forgery.window
    inner = forgery.inner
    picture = inner.base.copy()
    cut = picture[y0:y1, x0:x1]
    if forgery.pulse[frame]:
        cut += forgery.pulse[frame] * inner.pulsing[y0:y1, x0:x1]
    moves = forgery.expressions[frame]
    draw_eyes(picture, inner, moves)
    draw_mouth(picture, inner, moves)
    soft = cv2.GaussianBlur(cut[..., :3], (0, 0), forgery.blur) if forgery.blur else cut[..., :3]
    shift = np.array([[1, 0, forgery.jitter[frame, 0]], [0, 1, forgery.jitter[frame, 1]]])
    soft = cv2.warpAffine(soft, shift, (x1 - x0, y1 - y0), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    part = layer[y0:y1, x0:x1, :3]
    part += forgery.mask[..., None] * (soft * np.float32(forgery.flicker[frame]) - part)
