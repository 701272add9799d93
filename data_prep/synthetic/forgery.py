"""Four forgeries. Each replaces part of the target's face and breaks what its namesake breaks, and nothing else.

Deepfakes       inner face with another identity's features, softer, blended, jittering; no pulse, or the source's.
Face2Face       the target's face re-rendered with the source's expressions; part of the pulse survives.
FaceSwap        the source's texture fitted onto the target; wrong colour, visible edge; no pulse.
NeuralTextures  only the mouth region re-rendered with the source's mouth, flickering; the pulse elsewhere is intact.
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
_LOOK = ("skin", "hair", "lip", "iris", "detail", "detail_seed")
# H.264 keeps a little less of the grain than of real skin, which it can predict from frame to frame.
_CRISPER = 1.03
_COARSE = 2.2  # sharpening works at this many times the scale of the blur


@dataclasses.dataclass(frozen=True)
class Forgery:
    """What one video's forger does. Times: one value a frame."""

    inner: Portrait  # the face that is pasted in
    mask: np.ndarray  # (h, w, 3) float32, where it is pasted, inside `window`
    window: tuple[int, int, int, int]  # x0, y0, x1, y1 in canvas pixels
    blur: float  # canvas pixels
    sharpen: float  # how much of (blurred - more blurred) is added
    gain: np.ndarray  # (h, w, 3) colour match, a factor on the blurred face
    added: np.ndarray  # (h, w, 3) colour match and grain, grey levels
    jitter: np.ndarray  # (N, 2) canvas pixels
    flicker: np.ndarray  # (N,) factor around 1
    expressions: list[Expression]  # (N,) of the pasted face
    pulse: np.ndarray  # (N,) pulse of the pasted face
    visible_pulse: np.ndarray | None  # (N,) the wave that is coherent in the fake; None: no wave is


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


def _borrow(target: Identity, source: Identity, names: tuple[str, ...]) -> Identity:
    return dataclasses.replace(target, **{name: getattr(source, name) for name in names})


def _extent(mask: np.ndarray) -> tuple[int, int, int, int]:
    """Window x0, y0, x1, y1 of canvas pixels outside which the mask (C, C) is practically zero."""
    rows, columns = np.flatnonzero(mask.max(1) > 0.004), np.flatnonzero(mask.max(0) > 0.004)
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def _with_mouths(moves: list[Expression], others: list[Expression]) -> list[Expression]:
    """`moves` with the mouths of `others`."""
    return [dataclasses.replace(t, mouth=s.mouth, wide=s.wide) for t, s in zip(moves, others, strict=True)]


def forge(
    method: str,
    rng: np.random.Generator,
    target: Portrait,
    source: Identity,
    target_moves: list[Expression],
    source_moves: list[Expression],
    target_pulse: np.ndarray,
    source_pulse: np.ndarray,
    shake: float = 1.0,
) -> Forgery:
    """Plan the forgery of one video of N frames; pulses (N,) float32.

    The target's expressions drive Deepfakes and FaceSwap; the source's drive Face2Face and, at the mouth,
    NeuralTextures. `shake` is a factor on jitter and flicker.
    """
    face, canvas, frames = target.face, target.base.shape[0], len(target_moves)
    none, colour_offset = np.zeros(frames, np.float32), np.zeros(3)
    if method == "Deepfakes":
        inner = draw_portrait(_borrow(face, source, _SHAPE + _LOOK), canvas // SUPERSAMPLE)
        mask = _inner_mask(face, canvas, 0.022, 0.045)
        keeps = rng.uniform() < 0.25
        pulse, visible = (0.7 * source_pulse, source_pulse) if keeps else (none, None)
        blur, jitter, flicker, moves = 1.0, 0.5, 0.006, target_moves
    elif method == "Face2Face":
        inner, mask = target, _inner_mask(face, canvas, 0.018, 0.040)
        pulse, visible, moves = 0.35 * target_pulse, target_pulse, source_moves
        blur, jitter, flicker = 0.8, 0.4, 0.006
    elif method == "FaceSwap":
        inner = draw_portrait(_borrow(face, source, _SHAPE + _LOOK), canvas // SUPERSAMPLE)
        mask = _inner_mask(face, canvas, 0.007, 0.035)
        pulse, visible, moves = none, None, target_moves
        colour_offset = rng.choice([-1, 1], 3) * rng.uniform(2, 5, 3)
        blur, jitter, flicker = 0.7, 0.45, 0.005
    elif method == "NeuralTextures":
        inner, mask = target, _mouth_mask(face, canvas)
        pulse, visible = none, target_pulse
        moves = _with_mouths(target_moves, source_moves)
        blur, jitter, flicker = 0.8, 0.8, 0.020
    else:
        raise ValueError(f"unknown forgery {method!r}: one of {METHODS}")
    x0, y0, x1, y1 = window = _extent(mask)
    shown, light = mask[y0:y1, x0:x1], inner.base[y0:y1, x0:x1].mean(-1)
    grain = face.detail * light * _lost_texture(rng, canvas, blur)[y0:y1, x0:x1]
    plan = Forgery(
        inner=inner,
        mask=cv2.merge((shown, shown, shown)),
        window=window,
        blur=blur,
        sharpen=0.0,
        gain=np.ones((*shown.shape, 3), np.float32),
        added=cv2.merge((grain, grain, grain)),
        jitter=shake * jitter * rng.standard_normal((frames, 2)),
        flicker=1 + shake * flicker * rng.standard_normal(frames),
        expressions=moves,
        pulse=pulse,
        visible_pulse=visible,
    )
    return _match(plan, target, target_moves, colour_offset)


def _lost_texture(rng: np.random.Generator, canvas: int, blur: float) -> np.ndarray:
    """New texture (C, C) of the skin's spectrum, as strong as what a blur takes from one of deviation 1."""
    texture = fractal(rng, canvas, (canvas // 2, canvas // 4, canvas // 8), (0.6, 1.0, 0.7))
    kept = cv2.GaussianBlur(texture, (5, 5), blur)
    return (texture - kept).astype(np.float32)


def _match(plan: Forgery, target: Portrait, moves: list[Expression], colour_offset: np.ndarray) -> Forgery:
    """Give the pasted face the target's mean and deviation by colour, and its sharpness, as a careful forger would.

    Without this the blur alone gives the fake away: the variance of the Laplacian falls to less than half. Grain gives
    the skin back the texture that the blur took; sharpening at a coarser scale does the rest, so that the finest
    structures (lids, lashes, lips) stay softer than real ones. The variance is quadratic in the sharpening: three
    renderings find the height that matches.
    """
    frames = np.linspace(0, len(moves) - 1, 4).astype(int)
    real = [draw_face(target, moves[frame], 0.0) for frame in frames]
    x0, y0, x1, y1 = plan.window
    weight = plan.mask / plan.mask[..., 0].sum()

    def moments(pictures: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        mean = np.mean([(weight * picture).sum((0, 1)) for picture in pictures], 0)
        return mean, np.sqrt(np.mean([(weight * (picture - mean) ** 2).sum((0, 1)) for picture in pictures], 0))

    def forged(sharpen: float) -> list[np.ndarray]:
        trial = dataclasses.replace(plan, sharpen=sharpen)
        return [paste(picture.copy(), trial, frame) for picture, frame in zip(real, frames, strict=True)]

    goal_mean, goal_deviation = moments([picture[y0:y1, x0:x1] for picture in real])
    goal = _CRISPER * _sharpness(real, plan.window)
    for _ in range(2):  # sharpening adds variance and the gain scales sharpness: two rounds settle both
        mean, deviation = moments([inner_face(plan, frame) for frame in frames])
        gain = (goal_deviation / deviation).astype(np.float32)
        # inner_face is gain * picture + added: a second gain scales both
        added = gain * (plan.added - mean.astype(np.float32)) + goal_mean.astype(np.float32)
        plan = dataclasses.replace(plan, gain=gain * plan.gain, added=added)
        squares = np.polyfit([0.0, 1.0, 2.0], [_sharpness(forged(k), plan.window) for k in (0.0, 1.0, 2.0)], 2)
        roots = np.roots(squares - [0, 0, goal])
        roots = roots[np.isreal(roots) & (roots.real > -0.5)].real
        plan = dataclasses.replace(plan, sharpen=float(np.clip(roots.min(), -0.5, 4.0)) if len(roots) else 0.0)
    return dataclasses.replace(plan, added=plan.added + colour_offset.astype(np.float32))


def _sharpness(layers: list[np.ndarray], window: tuple[int, int, int, int]) -> float:
    """Mean variance of the Laplacian at the picture's resolution, over the window and a rim."""
    x0, y0, x1, y1 = window
    rows, columns = slice(max(y0 - 16, 0), y1 + 16), slice(max(x0 - 16, 0), x1 + 16)
    variances = []
    for layer in layers:
        grey = cv2.cvtColor(np.ascontiguousarray(layer[rows, columns]), cv2.COLOR_RGB2GRAY)
        small = cv2.resize(grey, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_LINEAR)
        variances.append(cv2.Laplacian(small, cv2.CV_32F).var())
    return float(np.mean(variances))


def inner_face(plan: Forgery, frame: int) -> np.ndarray:
    """The pasted face of one frame (h, w, 3) float32, inside the window: soft, shifted, flickering."""
    x0, y0, x1, y1 = plan.window
    picture = draw_face(plan.inner, plan.expressions[frame], plan.pulse[frame], plan.window)
    cut = picture[y0:y1, x0:x1]
    soft = cv2.GaussianBlur(cut, (5, 5), plan.blur)
    softer = cv2.GaussianBlur(cut, (9, 9), _COARSE * plan.blur)
    soft = cv2.addWeighted(soft, 1 + plan.sharpen, softer, -plan.sharpen, 0)
    soft *= plan.gain
    shift = np.array([[1, 0, plan.jitter[frame, 0]], [0, 1, plan.jitter[frame, 1]]])
    soft = cv2.warpAffine(soft, shift, (x1 - x0, y1 - y0), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    soft += plan.added
    soft *= np.float32(plan.flicker[frame])
    return soft


def paste(layer: np.ndarray, plan: Forgery, frame: int) -> np.ndarray:
    """Replace the forged part of one frame's canvas (C, C, 3) float32, in place; returns the canvas."""
    x0, y0, x1, y1 = plan.window
    part = layer[y0:y1, x0:x1]
    part += plan.mask * (inner_face(plan, frame) - part)
    return layer
