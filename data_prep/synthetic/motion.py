"""What moves: head, lids, gaze, brows, jaw and speaking mouth, light and camera.

Amplitudes are drawn from quantiles measured on 55 clips of 51 real people (python -m benchmarks.motion; the table is in
docs/benchmark.md): some people talk and nod, some sit still. Lengths are in fractions of the picture's side; a face is
about half of it (FACE).
"""

from __future__ import annotations

import math

import cv2
import numpy as np

from data_prep.synthetic.identity import CENTRE, Expression

PAN_MARGIN = 12  # pixels of room beyond the picture, on each side
FACE = 0.52  # side of a drawn face's box over the picture's: turns face sides into fractions of the picture
_QUANTILES = (0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 1.0)
SLOW = 4.0  # Hz: speeds below are those of motion slower than this

# Values at _QUANTILES. Speeds in face sides (or radians, or log scale) a second, without the landmarks' noise.
HEAD_SPEED = (0.005, 0.02, 0.075, 0.13, 0.23, 0.39, 0.60)
ROLL_SPEED = (0.005, 0.02, 0.05, 0.11, 0.20, 0.28, 0.40)
SCALE_SPEED = (0.005, 0.02, 0.035, 0.055, 0.09, 0.17, 0.26)
TURN_SPEED = (0.01, 0.04, 0.08, 0.14, 0.22, 0.36, 0.50)
SLOPE = (1.3, 1.5, 1.7, 1.9, 2.1, 2.3, 2.5)  # above KNEE amplitude falls with frequency to this power
KNEE = 0.5  # Hz
SPEECH = (0.1, 0.40, 0.65, 0.9, 1.2, 1.6, 2.0)
BROWS = (0.02, 0.10, 0.16, 0.24, 0.42, 0.60, 0.80)
BLINKS = (0.0, 4.0, 18.0, 30.0, 48.0, 64.0, 75.0)  # a minute
# Camera, in picture sides, new in every frame. Half of the real clips are steadier than can be measured; telephones in
# hands are not, and a benchmark of nothing but tripods would give every trembling forgery away.
TREMOR = (0.0, 0.0001, 0.0004, 0.0008, 0.0015, 0.0024, 0.0034)


def quantile(rng: np.random.Generator, table: tuple[float, ...], common: float = 0.0, share: float = 0.0) -> float:
    """A value of the distribution with these _QUANTILES; its place there follows `common` (normal) to the `share`."""
    normal = share * common + math.sqrt(1 - share**2) * rng.standard_normal()
    return float(np.interp(0.5 * (1 + math.erf(normal / math.sqrt(2))), _QUANTILES, table))


def wander(
    rng: np.random.Generator, times: np.ndarray, low: float, high: float, slope: float = 0.0, columns: int = 1
) -> tuple[np.ndarray, float]:
    """Noise (N, columns) between `low` and `high` Hz whose amplitude falls with frequency^slope above KNEE.

    Returns it with an expected deviation of 1 (a short window of a slow motion has less), and the expected rms of its
    derivative, a second, of what is slower than SLOW.
    """
    rate = 1.0 / float(times[1] - times[0]) if len(times) > 1 else 30.0  # one frame moves at no rate
    padded = max(1024, 1 << (3 * len(times) - 1).bit_length())
    frequency = np.fft.rfftfreq(padded, 1 / rate)
    amplitude = np.zeros(len(frequency))
    inside = (frequency >= low) & (frequency <= high)
    amplitude[inside] = (frequency[inside] ** 2 + KNEE**2) ** (-slope / 2)
    power = amplitude**2 / (amplitude**2).sum()
    spectrum = rng.standard_normal((len(frequency), columns)) + 1j * rng.standard_normal((len(frequency), columns))
    signal = np.fft.irfft(spectrum * np.sqrt(power)[:, None], padded, axis=0)[: len(times)] * padded / 2
    speed = math.sqrt(float((power * (2 * np.pi * frequency) ** 2)[frequency <= SLOW].sum()))
    return signal, speed


def _moving(rng: np.random.Generator, times: np.ndarray, speed: float, slope: float, columns: int = 1) -> np.ndarray:
    """Motion (N, columns) of rms speed `speed` (all columns together) a second, in bursts."""
    signal, own_speed = wander(rng, times, 0.12, 9.0, slope, columns)
    burst = np.exp(0.5 * wander(rng, times, 0.1, 0.6)[0])  # people move and rest; the mean square of this is e^0.5
    return signal * burst / math.exp(0.25) * speed / (own_speed * math.sqrt(columns))


def head_motion(rng: np.random.Generator, times: np.ndarray) -> np.ndarray:
    """Head pose (N, 7): shift x, shift y, roll (radians), log scale, squeeze, turn x, turn y.

    Shifts and turns (how far the middle of the face moves against its outline) are fractions of the side.
    """
    lively, share = rng.standard_normal(), 0.7
    slope = quantile(rng, SLOPE)
    head = quantile(rng, HEAD_SPEED, lively, share) * FACE
    turn = quantile(rng, TURN_SPEED, lively, share) * FACE
    parts = [
        _moving(rng, times, head, slope, 2) * rng.uniform([0.9, 0.7], [1.3, 1.1]),
        _moving(rng, times, quantile(rng, ROLL_SPEED, lively, share), slope),
        _moving(rng, times, quantile(rng, SCALE_SPEED, lively, share), slope),
        _moving(rng, times, 0.02, slope),
        _moving(rng, times, turn, slope, 2),
    ]
    pose = np.concatenate(parts, 1)
    offset = np.array([0.03, 0.02, 0.03, 0.05, 0.01, 0.012, 0.010]) * rng.uniform(-1, 1, 7)
    reach = np.array([0.10, 0.07, 0.25, 0.12, 0.04, 0.035, 0.030])  # the face stays in the picture and in one piece
    return reach * np.tanh((pose - pose.mean(0)) / reach) + offset


def pose_matrix(pose: np.ndarray, canvas: int, size: int) -> np.ndarray:
    """The affine map (2, 3) from canvas pixels to picture pixels, for cv2 (pixel centres at whole numbers)."""
    shift_x, shift_y, roll, log_scale, squeeze = pose[:5]
    scale = np.exp(log_scale) * size / canvas
    cosine, sine = np.cos(roll), np.sin(roll)
    linear = scale * np.array([[cosine, -sine], [sine, cosine]]) @ np.diag([1.0 + squeeze, 1.0])
    pivot = np.array(CENTRE) * canvas - 0.5
    target = (np.array(CENTRE) + [shift_x, shift_y]) * size - 0.5
    return np.concatenate([linear, (target - linear @ pivot)[:, None]], 1)


def _blinks(rng: np.random.Generator, times: np.ndarray) -> np.ndarray:
    """Lid opening (N,): blinks of 0.15-0.35 s at the person's rate, never closer than 0.4 s."""
    opening = np.ones(len(times))
    pause = max(60.0 / max(quantile(rng, BLINKS), 0.5) - 0.4, 0.1)
    moment = rng.exponential(pause)
    while moment < times[-1]:
        length, depth = rng.uniform(0.15, 0.45), rng.uniform(0.45, 1.3)
        bump = np.clip(1.0 - np.abs((times - moment) / (0.5 * length)), 0.0, 1.0)
        opening = np.minimum(opening, 1.0 - np.minimum(depth * bump, 1.0))
        moment += 0.4 + rng.exponential(pause)
    return opening


def _speech(rng: np.random.Generator, times: np.ndarray, strength: float) -> np.ndarray:
    """Mouth opening (N,) in 0..1: syllables inside phrases, with pauses."""
    syllables = np.clip(0.5 + 0.45 * wander(rng, times, 0.8, 6.0, 1.2)[0][:, 0], 0.0, 1.5)
    phrases = np.clip(0.7 + 0.8 * wander(rng, times, 0.1, 0.6, 0.5)[0][:, 0], 0.0, 1.0)
    return np.clip(rng.uniform(0.0, 0.2) + strength * syllables * phrases, 0.0, 1.0)


def expressions(rng: np.random.Generator, times: np.ndarray) -> list[Expression]:
    """What the face does in each of the N frames."""
    slow = lambda low, high: wander(rng, times, low, high, 0.8)[0][:, 0]  # noqa: E731
    opening, strength = _blinks(rng, times), quantile(rng, SPEECH)
    gaze = np.stack([slow(0.1, 0.5), slow(0.1, 0.5)], -1)
    gaze = np.clip(np.round(gaze * 2) / 2, -1, 1)  # the eyes rest, then jump
    gaze = cv2.blur(gaze.astype(np.float32), (1, 3))
    mouth = _speech(rng, times, strength)
    # The jaw follows the mouth, each person's as far as it does, and moves a little beside it.
    jaw = rng.uniform(0.5, 1.1) * mouth + (0.03 + 0.08 * strength) * slow(0.3, 5.0)
    rows = np.stack(
        [
            opening * (1 + 0.06 * slow(0.1, 0.6)),
            gaze[:, 0],
            0.5 * gaze[:, 1],
            np.clip(mouth + quantile(rng, TREMOR) / 0.04 * rng.standard_normal(len(times)), 0, 1),
            (0.3 + 0.5 * strength) * slow(0.3, 4.0),
            quantile(rng, BROWS) * slow(0.1, 2.5),
            jaw,
        ],
        -1,
    )
    return [Expression(*map(float, row)) for row in rows]


def light(rng: np.random.Generator, times: np.ndarray, deviation: float, size: int) -> np.ndarray:
    """Factor on the light (N, size) by frame and row: slow drift, unsteady exposure, mains hum that rolls down."""
    drift = 1.0 + deviation * wander(rng, times, 0.05, 0.4)[0]
    unsteady = 1.0 + 0.004 * rng.uniform() ** 2 * rng.standard_normal((len(times), 1))
    height = 0.006 * rng.uniform() ** 3
    beat, across = rng.uniform(0.3, 12.0), rng.uniform(0.2, 1.5)
    phase = 2 * np.pi * (beat * times[:, None] + across * np.arange(size) / size + rng.uniform())
    return (drift * unsteady * (1 + height * np.sin(phase))).astype(np.float32)


def camera_shake(rng: np.random.Generator, times: np.ndarray) -> np.ndarray:
    """Shift of the whole picture (N, 2) in fractions of its side: from a tripod's stillness to a shaking hand.

    It also spreads file sizes over identities, as real rooms do; otherwise the few per cent that a forgery's jitter
    adds at c23 would give it away.
    """
    sway = 0.012 * rng.uniform() ** 2 * wander(rng, times, 0.1, 6.0, 1.3, 2)[0]
    tremor = quantile(rng, TREMOR) * rng.standard_normal((len(times), 2))
    return np.clip(sway, -0.03, 0.03) + tremor


def pan_background(room: np.ndarray, pan: np.ndarray, size: int) -> np.ndarray:
    """The part (size, size, 3) of the room that is seen in one frame."""
    matrix = np.array([[1.0, 0.0, pan[0] - PAN_MARGIN], [0.0, 1.0, pan[1] - PAN_MARGIN]])
    return cv2.warpAffine(room, matrix, (size, size), flags=cv2.INTER_LINEAR)
