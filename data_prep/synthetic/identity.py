"""Who is drawn: the numbers that make one face different from another, and where its 68 landmarks lie.

Lengths are fractions of the picture's side; (0.5, 0.53) is about the middle of the face. `x` runs right, `y` down.
"""

from __future__ import annotations

import dataclasses
import functools

import numpy as np

STYLES = ("a", "b")
CENTRE = (0.5, 0.53)
JAW_DROP = 0.030  # of the chin when the mouth is wide open


@dataclasses.dataclass(frozen=True)
class Identity:
    """One person in front of one camera. Colours are RGB grey levels (0..255)."""

    # Shape of the head
    half_width: float
    half_height: float
    taper: float  # how much narrower the jaw is than the temples
    # Features
    eye_y: float
    eye_apart: float
    eye_width: float
    eye_height: float
    eye_tilt: float
    brow_gap: float
    brow_thick: float
    brow_arch: float
    nose_y: float
    nose_width: float
    mouth_y: float
    mouth_width: float
    lip_upper: float
    lip_lower: float
    # Colours
    skin: tuple[float, float, float]
    hair: tuple[float, float, float]
    lip: tuple[float, float, float]
    iris: tuple[float, float, float]
    shirt: tuple[float, float, float]
    hair_style: int  # 0 cropped, 1 short, 2 fringe, 3 long
    detail: float  # contrast of the skin's fine texture
    detail_seed: int
    # Scene and camera
    light: tuple[float, float]  # where the light comes from, x and y, -1..1
    light_strength: float
    exposure: float
    noise: float  # standard deviation of the sensor noise in grey levels
    grain: float  # 0: white noise, 1: noise as after a camera's own demosaicing and smoothing
    scene_seed: int
    # Pulse
    pulse_amplitude: float  # height of the wave in the green of cheeks and forehead, a fraction
    heart_rate: float  # beats/min


def stream(seed: int, style: str, *names: int) -> np.random.Generator:
    """The generator of one thing (an identity, a video): the same whatever was drawn before it."""
    return np.random.default_rng([seed, STYLES.index(style), *names])


# Skin reflectance from pale to dark, and hair from black to fair; a face mixes two neighbours.
_SKINS = np.array([[240, 204, 184], [228, 184, 158], [208, 160, 130], [184, 134, 104], [150, 104, 78]], float)
_HAIRS = np.array([[26, 22, 20], [58, 40, 28], [96, 66, 40], [150, 112, 66], [120, 118, 116]], float)
_IRISES = np.array([[72, 48, 30], [96, 72, 40], [70, 96, 70], [80, 110, 140]], float)


def _mix(rng: np.random.Generator, palette: np.ndarray, low: float = 0.0, high: float = 1.0) -> np.ndarray:
    place = rng.uniform(low, high) * (len(palette) - 1)
    index = min(int(place), len(palette) - 2)
    return palette[index] + (place - index) * (palette[index + 1] - palette[index])


def draw_identity(seed: int, style: str, number: int) -> Identity:
    """Identity `number` of a benchmark.

    Style b has another camera and another place: dimmer, harder and tinted light, coarser noise, a tone range moved
    towards darker skin.
    """
    rng = stream(seed, style, number, 0)
    domain_b = style == "b"
    normal = lambda mean, sd: float(mean + sd * np.clip(rng.standard_normal(), -2, 2))  # noqa: E731
    skin = _mix(rng, _SKINS, *((0.25, 1.0) if domain_b else (0.0, 0.8))) + rng.normal(0, 3, 3)
    tint = np.array([1.06, 1.0, 0.88]) if domain_b else np.array([1.0, 1.0, 1.0])
    skin = np.clip(skin * tint, 40, 245)
    lip = skin * np.array([0.93, 0.66, 0.66]) + rng.normal(0, 5, 3)
    return Identity(
        half_width=normal(0.240, 0.009),
        half_height=normal(0.315, 0.009),
        taper=normal(0.17, 0.035),
        eye_y=normal(0.462, 0.006),
        eye_apart=normal(0.103, 0.005),
        eye_width=normal(0.047, 0.003),
        eye_height=normal(0.0195, 0.002),
        eye_tilt=normal(0.004, 0.003),
        brow_gap=normal(0.058, 0.005),
        brow_thick=normal(0.0105, 0.002),
        brow_arch=normal(0.014, 0.004),
        nose_y=normal(0.618, 0.008),
        nose_width=normal(0.045, 0.004),
        mouth_y=normal(0.704, 0.007),
        mouth_width=normal(0.083, 0.006),
        lip_upper=normal(0.0145, 0.0025),
        lip_lower=normal(0.0205, 0.003),
        skin=tuple(skin),
        hair=tuple(_mix(rng, _HAIRS) * tint),
        lip=tuple(np.clip(lip, 30, 230)),
        iris=tuple(_mix(rng, _IRISES)),
        shirt=tuple(rng.uniform(40, 200, 3) * tint),
        hair_style=int(rng.integers(4)),
        detail=float(rng.uniform(0.015, 0.045)),
        detail_seed=int(rng.integers(1 << 31)),
        light=(float(rng.uniform(-0.8, 0.8)), float(rng.uniform(-0.9, -0.2))),
        light_strength=float(rng.uniform(0.35, 0.6) if domain_b else rng.uniform(0.15, 0.4)),
        exposure=float(rng.uniform(0.62, 0.88) if domain_b else rng.uniform(0.82, 1.02)),
        noise=float(rng.uniform(1.6, 2.8) if domain_b else rng.uniform(0.8, 2.0)),
        grain=0.6 if domain_b else 0.0,
        scene_seed=int(rng.integers(1 << 31)),
        pulse_amplitude=float(rng.uniform(0.013, 0.019)),
        heart_rate=float(rng.uniform(58, 106)),
    )


@dataclasses.dataclass(frozen=True)
class Expression:
    """What a face does in one frame. All are 0 for a face at rest with open eyes, except `open` = 1."""

    open: float = 1.0  # eyelids: 0 shut, 1 open
    gaze_x: float = 0.0  # -1..1
    gaze_y: float = 0.0
    mouth: float = 0.0  # 0 shut, 1 wide open
    wide: float = 0.0  # -1 rounded, 1 stretched
    brow: float = 0.0  # -1 lowered, 1 raised
    jaw: float = 0.0  # 0 shut, 1 dropped


def outline(face: Identity, angles: np.ndarray) -> np.ndarray:
    """Points of the face's outline (K, 2); angle 0 is at the right ear, pi/2 at the chin."""
    down = np.maximum(np.sin(angles), 0.0)
    x = CENTRE[0] + face.half_width * np.cos(angles) * (1.0 - face.taper * down**2)
    return np.stack([x, CENTRE[1] + face.half_height * np.sin(angles)], -1)


def points_of(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """(K, 2) from two (K,): ten times as fast as np.stack."""
    points = np.empty((len(x), 2))
    points[:, 0], points[:, 1] = x, y
    return points


def lids(face: Identity, side: int, openness: float, u: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Upper and lower lid of the eye at `side` (-1 image left, 1 right), each (K, 2), for u in [-1, 1]."""
    bow = (1.0 - u**2) ** 0.8
    x = CENTRE[0] + side * face.eye_apart + face.eye_width * u
    middle = face.eye_y - face.eye_tilt * u * side
    upper = middle + face.eye_height * (0.55 - 1.55 * openness) * bow
    return points_of(x, upper), points_of(x, middle + 0.65 * face.eye_height * bow)


def brow(face: Identity, side: int, raised: float, u: np.ndarray) -> np.ndarray:
    """Middle line of a brow (K, 2)."""
    x = CENTRE[0] + side * (face.eye_apart + 0.004) + 1.22 * face.eye_width * u
    y = face.eye_y - face.brow_gap - 0.010 * raised - face.brow_arch * (1 - (u - 0.25 * side) ** 2)
    return np.stack([x, y + 0.006], -1)


def lips(face: Identity, expression: Expression, u: np.ndarray) -> tuple[np.ndarray, ...]:
    """Upper lip's top, upper lip's bottom, lower lip's top, lower lip's bottom: each (K, 2), u in [-1, 1]."""
    gap = 0.040 * expression.mouth
    width = face.mouth_width * (1.0 + 0.13 * expression.wide - 0.06 * expression.mouth)
    bow = 1.0 - u**2
    bulge = bow**0.75
    x = CENTRE[0] + width * u
    dip = 1.0 - 0.22 * np.exp(-((u / 0.16) ** 2))
    rows = (
        face.mouth_y - face.lip_upper * bulge * dip - 0.25 * gap * bow,
        face.mouth_y - 0.25 * gap * bow,
        face.mouth_y + 0.75 * gap * bow,
        face.mouth_y + face.lip_lower * bulge + 0.75 * gap * bow,
    )
    return tuple(points_of(x, y) for y in rows)


def bends(face: Identity, places: np.ndarray) -> np.ndarray:
    """How far places (..., 2), in fractions of the side, take part in three bends of a face (..., 3).

    When the head turns, its middle moves against its outline, and the nose farther; brows; the jaw.
    """
    x, y = places[..., 0] - CENTRE[0], places[..., 1]
    round_ = 1.0 - (x / face.half_width) ** 2 - ((y - CENTRE[1]) / face.half_height) ** 2
    nose = np.exp(-0.5 * (x / 0.035) ** 2 - 0.5 * ((y - face.nose_y + 0.02) / 0.05) ** 2)
    level = (y - face.eye_y + face.brow_gap) / 0.026
    brows = np.exp(-0.5 * level**2 - 0.5 * (x / (0.7 * face.half_width)) ** 4)
    chin, start = CENTRE[1] + face.half_height, face.mouth_y + 0.004
    drop = np.clip((y - start) / (chin - start), 0.0, 1.0) * np.clip(1.0 - (y - chin) / 0.12, 0.0, 1.0)
    jaw = drop * np.exp(-0.5 * (x / (0.75 * face.half_width)) ** 4)
    return np.stack([np.maximum(round_, 0.0) + 0.5 * nose, brows, jaw], -1)


def bend_weights(turn: np.ndarray, expression: Expression) -> np.ndarray:
    """How far each of `bends` moves a face (3, 2), x and y in fractions of the side; turn: (2,) that of the first."""
    return np.array([turn, [0.0, -0.026 * expression.brow], [0.0, JAW_DROP * expression.jaw]])


@functools.lru_cache(maxsize=8)
def _still_landmarks(face: Identity) -> np.ndarray:
    """Jaw, brows and nose: those before the eyes (36, 2)."""
    jaw = outline(face, np.linspace(np.pi * 1.03, -0.03 * np.pi, 17))
    u5 = np.linspace(-1, 1, 5)
    brows = [brow(face, -1, 0.0, u5), brow(face, 1, 0.0, u5)]
    ridge_y = np.linspace(face.eye_y + 0.008, face.nose_y - 0.022, 4)
    ridge = np.stack([np.full(4, CENTRE[0]), ridge_y], -1)
    base_x = CENTRE[0] + face.nose_width * np.array([-0.75, -0.4, 0.0, 0.4, 0.75])
    base = np.stack([base_x, face.nose_y + 0.006 * np.array([0.0, 0.7, 1.2, 0.7, 0.0])], -1)
    return np.concatenate([jaw, *brows, ridge, base])


_LIDS = np.array([-1, -0.35, 0.35, 1.0])
_OUTER = np.array([-1, -0.62, -0.25, 0, 0.25, 0.62, 1.0])  # places along the lips
_INNER = np.array([-0.88, -0.3, 0, 0.3, 0.88])


def landmarks(face: Identity, expression: Expression) -> np.ndarray:
    """The 68 iBUG landmarks (68, 2), in fractions of the picture's side, before head motion and `bends`."""
    eyes = []
    for side in (-1, 1):
        upper, lower = lids(face, side, expression.open, _LIDS)
        eyes += [upper, lower[[2, 1]]]
    top, _, _, bottom = lips(face, expression, _OUTER)
    _, inner_top, inner_bottom, _ = lips(face, expression, _INNER)
    mouth = [top, bottom[5:0:-1], inner_top, inner_bottom[3:0:-1]]
    return np.concatenate([_still_landmarks(face), *eyes, *mouth])
