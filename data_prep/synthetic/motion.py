"""What moves: the head (slowly, by fractions of a pixel a frame), the lids, the gaze, the brows, the speaking mouth."""

from __future__ import annotations

import cv2
import numpy as np

from data_prep.synthetic.identity import CENTRE, Expression

PAN_MARGIN = 12  # pixels of room beyond the picture, on each side


def _wander(rng: np.random.Generator, times: np.ndarray, low: float, high: float, parts: int = 4) -> np.ndarray:
    """A smooth signal (N,) of standard deviation about 1 with frequencies between `low` and `high` Hz."""
    frequency = np.exp(rng.uniform(np.log(low), np.log(high), parts))
    phase = rng.uniform(0, 2 * np.pi, parts)
    weight = rng.uniform(0.5, 1.0, parts)
    total = (weight * np.sin(2 * np.pi * frequency * times[:, None] + phase)).sum(1)
    return total / np.sqrt(0.5 * (weight**2).sum())


def head_motion(rng: np.random.Generator, times: np.ndarray) -> np.ndarray:
    """Head pose (N, 5): shift x, shift y (fractions of the side), roll (radians), log scale, squeeze (yaw's cosine)."""
    pose = np.stack([_wander(rng, times, 0.06, 0.5) for _ in range(5)], -1)
    amplitude = np.array([0.010, 0.007, 0.016, 0.006, 0.006]) * rng.uniform(0.4, 1.5) * rng.uniform(0.7, 1.2, 5)
    offset = np.array([0.03, 0.02, 0.03, 0.05, 0.01]) * rng.uniform(-1, 1, 5)
    return pose * amplitude + offset


def pose_matrix(pose: np.ndarray, canvas: int, size: int) -> np.ndarray:
    """The affine map (2, 3) from canvas pixels to picture pixels, for cv2 (pixel centres at whole numbers)."""
    shift_x, shift_y, roll, log_scale, squeeze = pose
    scale = np.exp(log_scale) * size / canvas
    cosine, sine = np.cos(roll), np.sin(roll)
    linear = scale * np.array([[cosine, -sine], [sine, cosine]]) @ np.diag([1.0 + squeeze, 1.0])
    pivot = np.array(CENTRE) * canvas - 0.5
    target = (np.array(CENTRE) + [shift_x, shift_y]) * size - 0.5
    return np.concatenate([linear, (target - linear @ pivot)[:, None]], 1)


def _blinks(rng: np.random.Generator, times: np.ndarray) -> np.ndarray:
    """Lid opening (N,): 15-25 blinks a minute of 0.2-0.35 s."""
    opening = np.ones(len(times))
    moment = rng.uniform(0.3, 3.0)
    while moment < times[-1]:
        length = rng.uniform(0.20, 0.35)
        bump = np.clip(1.0 - np.abs((times - moment) / (0.5 * length)), 0.0, 1.0)
        opening = np.minimum(opening, 1.0 - np.minimum(1.3 * bump, 1.0))
        moment += rng.uniform(1.8, 4.5)
    return opening


def _speech(rng: np.random.Generator, times: np.ndarray) -> np.ndarray:
    """Mouth opening (N,) in 0..1: syllables at 2-5 Hz inside phrases, with pauses."""
    syllables = np.clip(0.5 + 0.55 * _wander(rng, times, 1.8, 4.5, 5), 0.0, 1.5)
    phrases = np.clip(0.7 + 1.5 * _wander(rng, times, 0.15, 0.4, 3), 0.0, 1.0)
    return np.clip(rng.uniform(0.45, 0.9) * syllables * phrases, 0.0, 1.0)


def expressions(rng: np.random.Generator, times: np.ndarray) -> list[Expression]:
    """What the face does in each of the N frames."""
    opening = _blinks(rng, times)
    gaze = np.stack([_wander(rng, times, 0.1, 0.5), _wander(rng, times, 0.1, 0.5)], -1)
    gaze = np.clip(np.round(gaze * 2) / 2, -1, 1)  # the eyes rest, then jump
    gaze = cv2.blur(gaze.astype(np.float32), (1, 3))
    rows = np.stack(
        [
            opening * (1 + 0.06 * _wander(rng, times, 0.1, 0.6)),
            gaze[:, 0],
            0.5 * gaze[:, 1],
            _speech(rng, times),
            0.5 * _wander(rng, times, 0.3, 2.0),
            0.5 * _wander(rng, times, 0.1, 0.7),
        ],
        -1,
    )
    return [Expression(*map(float, row)) for row in rows]


def light_drift(rng: np.random.Generator, times: np.ndarray, deviation: float) -> np.ndarray:
    """Slow change of the light (N,), a factor around 1, the same for all colours."""
    return 1.0 + deviation * _wander(rng, times, 0.05, 0.4)


def camera_pan(rng: np.random.Generator, times: np.ndarray) -> np.ndarray:
    """Shift of the background (N, 2) in pixels: from a tripod's stillness to a few pixels of slow hand-held sway.

    It also spreads file sizes over identities, as real rooms do; otherwise the few per cent that a forgery's jitter
    adds at c23 would give it away.
    """
    reach = 4.0 * rng.uniform() ** 1.5
    pan = reach * np.stack([_wander(rng, times, 0.1, 0.7), 0.6 * _wander(rng, times, 0.1, 0.7)], -1)
    return np.clip(pan, 1 - PAN_MARGIN, PAN_MARGIN - 1)


def pan_background(room: np.ndarray, pan: np.ndarray, size: int) -> np.ndarray:
    """The part (size, size, 3) of the room that is seen in one frame."""
    matrix = np.array([[1.0, 0.0, pan[0] - PAN_MARGIN], [0.0, 1.0, pan[1] - PAN_MARGIN]])
    return cv2.warpAffine(room, matrix, (size, size), flags=cv2.INTER_LINEAR)
