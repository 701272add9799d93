"""One face, drawn: layers that stay (skin, hair, brows, nose, neck) and parts redrawn each frame (eyes, mouth).

Layers live on a canvas of twice the picture's side, in float32, so that warping them by fractions of a pixel is
smooth and a pulse of a grey level is not rounded away before the camera's noise is added.
"""

from __future__ import annotations

import dataclasses
import functools
import math

import cv2
import numpy as np

from data_prep.synthetic.identity import CENTRE, Expression, Identity, bends, brow, lids, lips, outline
from data_prep.synthetic.paint import cover, darken, hill, lay
from data_prep.synthetic.pulse import COLOUR_WEIGHTS
from data_prep.synthetic.texture import fractal, strands

SUPERSAMPLE = 2  # canvas pixels a picture pixel
_U = np.linspace(-1, 1, 13)  # places along a lid or a lip
_WHITE = np.array([222.0, 216.0, 210.0], np.float32)  # of the eye


@dataclasses.dataclass(frozen=True, eq=False)
class Portrait:
    """The layers of one face that stay the same from frame to frame. C: canvas side."""

    face: Identity
    base: np.ndarray  # (C, C, 3) float32: RGB grey levels
    alpha: np.ndarray  # (C, C) float32: coverage 0..1
    pulsing: np.ndarray  # (C, C, 3) float32: what a pulse of height 1 adds; nothing in eyes and mouth
    lit: np.ndarray  # (C, C, 3) float32: light and exposure, a factor
    lips: np.ndarray  # (C, C, 3) float32: the colour of lips under that light
    fields: np.ndarray  # (C / 4, C / 4, 3) float32: identity.bends


def _light(face: Identity, canvas: int) -> np.ndarray:
    """Light on the face (C, C), a factor around 1: Lambert on an ellipsoid, plus nose, sockets, cheeks, chin."""
    place = (np.arange(canvas, dtype=np.float32) + 0.5) / canvas
    x = ((place - CENTRE[0]) / (1.15 * face.half_width))[None, :]
    y = ((place - CENTRE[1]) / (1.15 * face.half_height))[:, None]
    z = np.sqrt(np.clip(1.0 - x**2 - y**2, 0.02, 1.0))
    light = np.array([*face.light, 0.9])
    light = light / np.linalg.norm(light)
    lambert = light[0] * x + light[1] * y + light[2] * z
    shade = 1.0 - face.light_strength + face.light_strength * lambert / light[2]
    shade = np.clip(shade, 0.35, 1.25)
    side = float(np.sign(face.light[0]) or 1.0)
    nose = face.nose_width
    relief = 0.09 * hill(canvas, CENTRE[0], face.nose_y - 0.055, 0.010, 0.055)
    relief += 0.08 * hill(canvas, CENTRE[0], face.nose_y - 0.006, 0.016, 0.012)
    relief -= 0.10 * hill(canvas, CENTRE[0] - side * 0.60 * nose, face.nose_y - 0.05, 0.012, 0.055)
    relief -= 0.16 * hill(canvas, CENTRE[0], face.nose_y + 0.017, 0.75 * nose, 0.008)
    relief -= 0.10 * hill(canvas, CENTRE[0], face.mouth_y + 2.0 * face.lip_lower, 0.5 * face.mouth_width, 0.010)
    for eye in (-1, 1):
        at = CENTRE[0] + eye * face.eye_apart
        relief -= 0.13 * hill(canvas, at, face.eye_y - 0.6 * face.brow_gap, face.eye_width, 0.018)
        relief -= 0.07 * hill(canvas, at, face.eye_y + 0.034, face.eye_width, 0.010)
        relief += 0.06 * hill(canvas, at * 1.02 - 0.01, face.nose_y - 0.035, 0.035, 0.03)
    return (shade + relief).astype(np.float32)


def _skin(face: Identity, canvas: int, shade: np.ndarray, detail: np.ndarray) -> np.ndarray:
    """Skin colour everywhere (C, C, 3): tone, blush, blotches, fine texture, moles, light."""
    rng = np.random.default_rng(face.detail_seed)
    blush = hill(canvas, CENTRE[0] - 0.12, face.nose_y - 0.01, 0.045, 0.04)
    blush = blush + hill(canvas, CENTRE[0] + 0.12, face.nose_y - 0.01, 0.045, 0.04)
    blush = blush + 0.7 * hill(canvas, CENTRE[0], face.nose_y - 0.01, 0.03, 0.03)
    blotch = 0.025 * fractal(rng, canvas, (9, 21), (1.0, 0.7))
    skin = np.array(face.skin, np.float32) * (1 - blush[..., None] * np.array([0.0, 0.07, 0.06], np.float32))
    skin = skin * (1 + blotch[..., None] * np.array([0.5, 1.0, 1.0], np.float32))
    for _ in range(int(rng.integers(2, 8))):
        x, y = CENTRE[0] + rng.uniform(-0.18, 0.18), CENTRE[1] + rng.uniform(-0.2, 0.25)
        mole = rng.uniform(0.1, 0.35) * hill(canvas, x, y, 0.004, 0.004)
        skin = skin * (1 - mole[..., None] * np.array([0.7, 1, 1], np.float32))
    return (skin * (shade * detail)[..., None]).astype(np.float32)


def _hair_shapes(face: Identity) -> tuple[np.ndarray | None, np.ndarray]:
    """Hair behind the face (or None) and on top of it, as polygons."""
    a, b = face.half_width, face.half_height
    lift = (0.015, 0.05, 0.05, 0.055)[face.hair_style]
    arc = np.linspace(np.pi, 2 * np.pi, 40)
    outer = np.stack([CENTRE[0] + (a + 0.4 * lift + 0.01) * np.cos(arc), CENTRE[1] + (b + lift) * np.sin(arc)], -1)
    drop = (0.10, 0.11, 0.15, 0.12)[face.hair_style]
    u = np.linspace(1, -1, 30)
    wave = 0.012 * np.cos(9 * u + 3.0) if face.hair_style == 2 else 0.03 * (1 - u**2)
    line = CENTRE[1] - b + drop - wave + 0.12 * np.abs(u) ** 5
    inner = np.stack([CENTRE[0] + (a + 0.004) * 0.97 * u, line], -1)
    top = np.concatenate([outer, inner])
    if face.hair_style != 3:
        return None, top
    down = np.linspace(0, 1, 12)[:, None]
    right = np.concatenate([CENTRE[0] + a + 0.045 - 0.02 * down, CENTRE[1] + 0.34 * down], -1)
    left = right * [-1, 1] + [2 * CENTRE[0], 0]
    return np.concatenate([outer, right, left[::-1]]), top


def _brows(face: Identity, canvas: int, base: np.ndarray) -> None:
    u = np.linspace(-1, 1, 15)
    for side in (-1, 1):
        line = brow(face, side, 0.0, u)
        half = face.brow_thick * (1.0 - 0.75 * np.clip(side * u, 0, 1) ** 1.5)[:, None] * [0, 1]
        mask = cover(np.concatenate([line - half, (line + half)[::-1]]), (canvas, canvas), (0, 0), canvas)
        mask = cv2.GaussianBlur(mask, (0, 0), 0.0035 * canvas)
        lay(base, 0.8 * mask, np.array(face.hair) * 0.8)


def _nostrils(face: Identity, canvas: int, base: np.ndarray) -> None:
    for side in (-1, 1):
        hole = hill(canvas, CENTRE[0] + side * 0.40 * face.nose_width, face.nose_y, 0.0085, 0.0045)
        wing = hill(canvas, CENTRE[0] + side * 0.92 * face.nose_width, face.nose_y - 0.010, 0.0055, 0.014)
        base *= (1 - 0.62 * hole - 0.22 * wing)[..., None].astype(np.float32)


def _body(face: Identity, canvas: int, skin: np.ndarray, cloth: np.ndarray) -> tuple[np.ndarray, ...]:
    """Neck, ears and shirt: picture (C, C, 3), coverage (C, C), and where skin shows (C, C)."""
    shape = (canvas, canvas)
    neck_half = 0.62 * face.half_width
    chin = CENTRE[1] + face.half_height
    neck = np.array([[-neck_half, -0.15], [neck_half, -0.15], [1.08 * neck_half, 0.3], [-1.08 * neck_half, 0.3]])
    neck = cover(neck + [CENTRE[0], chin], shape, (0, 0), canvas)
    picture = skin * (1 - 0.35 * hill(canvas, CENTRE[0], chin, 0.25, 0.06))[..., None]
    ear = np.zeros(shape, np.float32)
    turn = np.linspace(0, 2 * np.pi, 24)
    for side in (-1, 1):
        rim = np.stack([0.024 * np.cos(turn), 0.055 * np.sin(turn)], -1)
        rim = rim + [CENTRE[0] + side * (face.half_width + 0.006), face.eye_y + 0.05]
        ear = np.maximum(ear, cover(rim, shape, (0, 0), canvas))
    u = np.linspace(-1, 1, 41)
    top = chin + 0.035 + 0.10 * np.abs(u) ** 2.2 + 0.05 * np.maximum(0, 0.35 - np.abs(u)) / 0.35
    shirt = np.concatenate([np.stack([CENTRE[0] + 0.48 * u, top], -1), [[1.1, 1.2], [-0.1, 1.2]]])
    shirt = cover(shirt, shape, (0, 0), canvas)
    lay(picture, shirt, np.array(face.shirt, np.float32) * (1 + 0.06 * cloth)[..., None])
    covered = np.maximum(np.maximum(neck, ear), shirt)
    return picture.astype(np.float32), covered, np.maximum(neck, ear) * (1 - shirt)


def _amplitude(face: Identity, canvas: int) -> np.ndarray:
    """Height of the pulse by place (C, C): strongest on forehead and cheeks, weaker at the nose and the rim."""
    place = 0.70 + 0.35 * hill(canvas, CENTRE[0], face.eye_y - 0.11, 0.12, 0.05)
    for side in (-1, 1):
        place = place + 0.35 * hill(canvas, CENTRE[0] + side * 0.12, face.nose_y, 0.06, 0.06)
    place = place - 0.15 * hill(canvas, CENTRE[0], face.nose_y - 0.04, 0.03, 0.05)
    return (face.pulse_amplitude * place).astype(np.float32)


def _bloodless(face: Identity, canvas: int) -> np.ndarray:
    """Where open eyes and the mouth hide the skin (C, C), 0..1."""
    parts = [np.concatenate([upper, lower[::-1]]) for upper, lower in (lids(face, s, 1.0, _U) for s in (-1, 1))]
    top, _, _, bottom = lips(face, Expression(mouth=0.5), _U)
    parts.append(np.concatenate([top, bottom[::-1]]))
    return np.max([cover(part, (canvas, canvas), (0, 0), canvas) for part in parts], 0)


@functools.lru_cache(maxsize=4)
def draw_portrait(face: Identity, size: int) -> Portrait:
    """All still layers of `face` for pictures of `size` pixels. Kept for the next video of the same people: do not
    change them."""
    canvas = SUPERSAMPLE * size
    rng = np.random.default_rng([face.detail_seed, 1])
    detail = 1 + face.detail * fractal(rng, canvas, (canvas // 2, canvas // 4, canvas // 8), (0.6, 1.0, 0.7))
    shade = _light(face, canvas)
    skin = _skin(face, canvas, shade, detail)
    hair_noise = strands(rng, canvas)
    hair = np.array(face.hair, np.float32) * (1 + 0.22 * hair_noise + 0.25 * (shade - 1))[..., None] + 6
    picture, covered, bare = _body(face, canvas, skin, fractal(rng, canvas, (12, canvas // 3), (1.0, 0.7)))
    behind, top = _hair_shapes(face)
    shape = (canvas, canvas)
    if behind is not None:
        mask = cover(behind, shape, (0, 0), canvas)
        mask = mask * (1 - bare)
        lay(picture, mask, 0.8 * hair)
        covered = np.maximum(covered, mask)
    oval = cover(outline(face, np.linspace(0, 2 * np.pi, 120)), shape, (0, 0), canvas)
    oval = cv2.GaussianBlur(oval, (0, 0), 0.003 * canvas)
    inner = skin.copy()
    _brows(face, canvas, inner)
    _nostrils(face, canvas, inner)
    lay(picture, oval, inner)
    fringe = cv2.GaussianBlur(cover(top, shape, (0, 0), canvas), (0, 0), 0.004 * canvas)
    fringe = np.clip(fringe * (1 + 0.5 * hair_noise * (1 - fringe)), 0, 1) * (0.75 if face.hair_style == 0 else 0.97)
    lay(picture, fringe, hair)
    covered = np.maximum(np.maximum(covered, oval), fringe)
    picture *= face.exposure
    bare = np.maximum(bare, oval) * (1 - fringe) * (1 - _bloodless(face, canvas))
    pulsing = (_amplitude(face, canvas) * bare)[..., None] * picture * np.array(COLOUR_WEIGHTS, np.float32)
    base = cv2.GaussianBlur(np.clip(picture, 2, 252).astype(np.float32), (0, 0), 0.6)
    lit = face.exposure * cv2.merge((shade, shade, shade))
    lips_colour = lit * np.array(face.lip, np.float32) * detail[..., None]
    place = (np.arange(canvas // 4) + 0.5) / (canvas // 4)
    fields = bends(face, np.stack(np.meshgrid(place, place), -1))
    layers = (base, covered, pulsing, lit, lips_colour, fields)
    return Portrait(face, *(np.ascontiguousarray(layer, np.float32) for layer in layers))


def _window(points: np.ndarray, canvas: int, margin: float) -> tuple[int, int, int, int]:
    """Pixel window x0, y0, x1, y1 around points given in fractions, inside the canvas."""
    low, high = points.min(0).tolist(), points.max(0).tolist()
    x0, y0 = (min(max(math.floor((place - margin) * canvas), 0), canvas) for place in low)
    x1, y1 = (min(max(math.ceil((place + margin) * canvas), 0), canvas) for place in high)
    return x0, y0, x1, y1


def draw_eyes(picture: np.ndarray, portrait: Portrait, expression: Expression) -> None:
    """Eyes of one frame, in place on a canvas (C, C, 3)."""
    for side in (-1, 1):
        _draw_eye(picture, portrait, expression, side)


def _draw_eye(picture: np.ndarray, portrait: Portrait, expression: Expression, side: int) -> None:
    face, canvas = portrait.face, picture.shape[0]
    upper, lower = lids(face, side, expression.open, _U)
    crease = upper - [0, 0.55 * face.eye_height * max(expression.open, 0.2)]
    x0, y0, x1, y1 = _window(np.concatenate([upper, lower, crease]), canvas, 0.012)
    part, shape, origin = picture[y0:y1, x0:x1], (y1 - y0, x1 - x0), (x0, y0)
    if expression.open > 0.1:
        ball = cover(np.concatenate([upper, lower[::-1]]), shape, origin, canvas)
        lay(part, ball, _eyeball(portrait, expression, side, (x0, y0, x1, y1), canvas))
    thick = np.array([0, 0.0045 + 0.0015 * expression.open])
    lash = cover(np.concatenate([upper - thick, (upper + 0.35 * thick)[::-1]]), shape, origin, canvas)
    under = cover(np.concatenate([lower - [0, 0.001], (lower + [0, 0.0025])[::-1]]), shape, origin, canvas)
    fold = cover(np.concatenate([crease, (crease + [0, 0.004])[::-1]]), shape, origin, canvas)
    darken(part, 0.72 * lash + 0.30 * (1 - lash) * under + 0.18 * (1 - lash) * fold, 1.0)


def _eyeball(portrait: Portrait, expression: Expression, side: int, window: tuple, canvas: int) -> np.ndarray:
    """White, iris, pupil and glint (h, w, 3) of the eye inside a window of the canvas."""
    face = portrait.face
    x0, y0, x1, y1 = window
    x = CENTRE[0] + side * face.eye_apart + 0.30 * face.eye_width * expression.gaze_x
    y = face.eye_y - 0.15 * face.eye_height + 0.25 * face.eye_height * expression.gaze_y
    rows = (np.arange(y0, y1, dtype=np.float32) + 0.5) - np.float32(y * canvas)
    columns = (np.arange(x0, x1, dtype=np.float32) + 0.5) - np.float32(x * canvas)
    radius = np.sqrt(rows[:, None] ** 2 + columns[None, :] ** 2)
    iris = np.clip(0.0205 * canvas - radius + 0.5, 0, 1)
    pupil = np.clip(0.0085 * canvas - radius + 0.5, 0, 1)
    spot = np.sqrt((rows[:, None] + 0.007 * canvas) ** 2 + (columns[None, :] - 0.006 * canvas) ** 2)
    glint = np.clip(0.006 * canvas - spot + 0.5, 0, 1)
    eye = np.empty((*radius.shape, 3), np.float32)
    eye[...] = _WHITE
    lay(eye, iris, np.array(face.iris, np.float32))
    eye *= portrait.lit[y0:y1, x0:x1]
    darken(eye, pupil, 0.85)
    lay(eye, glint, np.full(3, 235 * face.exposure, np.float32))
    return eye


def draw_mouth(picture: np.ndarray, portrait: Portrait, expression: Expression) -> None:
    """Mouth of one frame, in place on a canvas (C, C, 3)."""
    face, canvas = portrait.face, picture.shape[0]
    top, inner_top, inner_bottom, bottom = lips(face, expression, _U)
    x0, y0, x1, y1 = _window(np.concatenate([top, bottom]), canvas, 0.015)
    part, shape, origin = picture[y0:y1, x0:x1], (y1 - y0, x1 - x0), (x0, y0)
    colour = portrait.lips[y0:y1, x0:x1]
    upper = cover(np.concatenate([top, inner_top[::-1]]), shape, origin, canvas)
    lower = cover(np.concatenate([inner_bottom, bottom[::-1]]), shape, origin, canvas)
    lay(part, 0.9 * upper, np.float32(0.86) * colour)
    lay(part, 0.9 * lower, np.float32(1.03) * colour)
    if expression.mouth > 0.03:
        gap = cover(np.concatenate([inner_top, inner_bottom[::-1]]), shape, origin, canvas)
        lay(part, gap, np.array([62.0, 26.0, 26.0], np.float32) * face.exposure)
        teeth_bottom = inner_top + [0, 0.45 * 0.040 * expression.mouth] * (1 - _U**4)[:, None]
        teeth = cover(np.concatenate([inner_top, teeth_bottom[::-1]])[1:-1], shape, origin, canvas)
        lay(part, 0.85 * teeth * gap, np.array([205.0, 200.0, 190.0], np.float32) * face.exposure)
    line = cover(np.concatenate([inner_top - [0, 0.002], (inner_top + [0, 0.002])[::-1]]), shape, origin, canvas)
    darken(part, line, 0.5)


@functools.lru_cache(maxsize=8)
def _at_rest(portrait: Portrait, expression: Expression, eyes: bool) -> np.ndarray:
    """Canvas (C, C, 3) of one frame without a pulse, kept for the other videos that show it: do not change it."""
    picture = portrait.base.copy()
    if eyes:
        draw_eyes(picture, portrait, expression)
    draw_mouth(picture, portrait, expression)
    return picture


def draw_face(
    portrait: Portrait, expression: Expression, pulse: float, window: tuple[int, int, int, int] | None = None
) -> np.ndarray:
    """Canvas (C, C, 3) float32 of one frame. Outside `window` (x0, y0, x1, y1) it lacks the pulse, and the eyes when
    the window begins below them: a forger who replaces only the mouth needs no eyes."""
    eyes = window is None or window[1] < portrait.face.eye_y * len(portrait.base)
    rest = _at_rest(portrait, expression, eyes)
    if window is None:
        return cv2.scaleAdd(portrait.pulsing, float(pulse), rest)
    picture = rest.copy()
    if pulse:
        x0, y0, x1, y1 = window
        picture[y0:y1, x0:x1] += np.float32(pulse) * portrait.pulsing[y0:y1, x0:x1]
    return picture
