"""What can be measured of one prepared clip without a trained network, stream by stream."""

from __future__ import annotations

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from cpml_jax.evaluation.baselines import inner_and_rim
from cpml_jax.schema import CROP_SIZE, FRAME_RATE
from data_prep.face.rppg import band_pass, pos

# iBUG-68. Eyes and nose move with the head alone.
RIGID = [*range(27, 36), 36, 39, 42, 45]
REGIONS = {"jaw": [*range(5, 12)], "brows": [*range(17, 27)], "nose": [*range(27, 36)], "lips": [*range(48, 68)]}
BANDS_HZ = ((0.2, 1.5), (1.5, 4.0), (4.0, 8.0), (8.0, 15.0))
_TINY = 1e-9


def head_free(landmarks: Float[np.ndarray, "T 68 2"]) -> Float[np.ndarray, "T 68 2"]:
    """Landmarks as the head sees them: each frame moved, turned and scaled so that eyes and nose lie on their mean.

    Returns:
      Pixels of the stored crop.
    """
    points = np.asarray(landmarks, np.float64) * (CROP_SIZE / 2)
    place = (points - points[:, RIGID].mean(1, keepdims=True)) @ [1, 1j]  # complex: a similarity is one factor
    mean = place[:, RIGID].mean(0)
    factor = (np.conj(place[:, RIGID]) * mean).sum(1) / (np.abs(place[:, RIGID]) ** 2).sum(1)
    place = place * factor[:, None]
    return np.stack([place.real, place.imag], -1)


def band_energy(motion: Float[np.ndarray, "T K"], low: float, high: float) -> float:
    """Mean power of K signals between two frequencies (Hz), in their unit squared."""
    window = np.hanning(len(motion))[:, None]
    spectrum = np.abs(np.fft.rfft((motion - motion.mean(0)) * window, axis=0)) ** 2 / (window**2).sum()
    frequency = np.fft.rfftfreq(len(motion), 1 / FRAME_RATE)
    inside = (frequency >= low) & (frequency < high)
    return float(2 * spectrum[inside].sum(0).mean() / len(motion))


def landmark_features(landmarks: Float[np.ndarray, "T 68 2"]) -> Float[np.ndarray, " 23"]:
    """Log power of each region's place against eyes and nose by band, of what moves inside the lips, and how lips and
    jaw go together."""
    points = head_free(landmarks)
    lips = points[:, REGIONS["lips"]]
    motions = [points[:, region].mean(1) for region in REGIONS.values()]
    motions.append((lips - lips.mean(1, keepdims=True)).reshape(len(lips), -1))
    power = np.log([[band_energy(motion, *band) + _TINY for band in BANDS_HZ] for motion in motions])
    return np.array([*power.ravel(), slow_lips(landmarks), lips_with_jaw(landmarks), trembling_mouth(landmarks)])


def slow_lips(landmarks: Float[np.ndarray, "T 68 2"]) -> float:
    """How far lips glide against the face: log power, 0.2 to 1.5 Hz, of what a turn of the head does not explain."""
    points = head_free(landmarks)
    corners = points[:, [48, 54]].mean(1)
    opening = points[:, 57, 1] - points[:, 51, 1]
    turn = points[:, [30, 33, 0, 16, 19, 24]].reshape(len(points), -1)
    known = np.column_stack([turn, opening])
    known = known - known.mean(0)
    corners = corners - corners.mean(0)
    # A ridge: in a clip of few frames twelve unsteady signals would explain anything.
    fit = np.linalg.solve(known.T @ known + 0.1 * len(known) * np.eye(known.shape[1]), known.T @ corners)
    return float(np.log(band_energy(corners - known @ fit, *BANDS_HZ[0]) + _TINY))


def lips_with_jaw(landmarks: Float[np.ndarray, "T 68 2"]) -> float:
    """Correlation of the lips' opening with the chin's drop: the jaw opens the mouth."""
    points = head_free(landmarks)
    opening, chin = points[:, 66, 1] - points[:, 62, 1], points[:, 7:10, 1].mean(1)
    return float(np.corrcoef(opening, chin)[0, 1]) if opening.std() > _TINY and chin.std() > _TINY else 0.0


def trembling_mouth(landmarks: Float[np.ndarray, "T 68 2"]) -> float:
    """Log power of the mouth's place above 4 Hz over that of the brows, both against eyes and nose."""
    points = head_free(landmarks)
    mouth, brows = points[:, [48, 51, 54, 57]].mean(1), points[:, REGIONS["brows"]].mean(1)
    return float(np.log((band_energy(mouth, 4.0, 15.0) + _TINY) / (band_energy(brows, 4.0, 15.0) + _TINY)))


def pulse_features(
    frames: UInt8[np.ndarray, "T S S 3"], landmarks: Float[np.ndarray, "T 68 2"]
) -> Float[np.ndarray, " 6"]:
    """How the pulse's traces of four parts of the face agree, and how strong they are."""
    inner, rim = inner_and_rim(landmarks.mean(axis=0), frames.shape[1])
    middle = int(round((landmarks[:, 33, 1].mean() + 1) * frames.shape[1] / 2))  # the nose's base
    upper = rim.copy()
    upper[middle:] = 0
    traces = [pos(_colours(frames, mask), FRAME_RATE) for mask in (inner, rim, upper, rim - upper)]
    raw = [np.log(_colours(frames, mask)) for mask in (inner, rim)]
    strength = [np.log(band_pass(c[:, 1] - c[:, 0], FRAME_RATE, scaled=False).std() + _TINY) for c in raw]
    agreement = np.corrcoef(traces)
    pairs = [agreement[0, 1], agreement[0, 2], agreement[0, 3], agreement[2, 3]]
    return np.array([*pairs, strength[0] - strength[1], strength[1]])


def inner_pulse(
    frames: UInt8[np.ndarray, "T S S 3"], landmarks: Float[np.ndarray, "T 68 2"], truth: Float[np.ndarray, " T"]
) -> float:
    """Correlation of the inner face's POS with the target's true pulse."""
    inner, _ = inner_and_rim(landmarks.mean(axis=0), frames.shape[1])
    return float(np.corrcoef(pos(_colours(frames, inner), FRAME_RATE), band_pass(truth, FRAME_RATE))[0, 1])


def _colours(frames: np.ndarray, mask: np.ndarray) -> np.ndarray:
    return np.array([cv2.mean(frame, mask)[:3] for frame in frames])


def frame_features(
    frames: UInt8[np.ndarray, "T S S 3"], landmarks: Float[np.ndarray, "T 68 2"]
) -> Float[np.ndarray, " K"]:
    """Of the middle frame: log contrast at three scales inside the face, along its edge and outside, and ratios."""
    middle = len(frames) // 2
    grey = cv2.cvtColor(frames[middle], cv2.COLOR_RGB2GRAY).astype(np.float32)
    inner, rim = (mask.astype(bool) for mask in inner_and_rim(landmarks[middle], frames.shape[1]))
    reach = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (9, 9))
    filled = cv2.morphologyEx(inner.astype(np.uint8), cv2.MORPH_CLOSE, np.ones((25, 25), np.uint8))
    edge = (cv2.dilate(filled, reach) - filled).astype(bool)
    rows = []
    for scale in (0.0, 1.0, 2.0):
        fine = grey if scale == 0 else cv2.GaussianBlur(grey, (0, 0), scale)
        band = fine - cv2.GaussianBlur(grey, (0, 0), scale + 1)
        rows.append([np.log(np.median(np.abs(band[mask])) + 0.05) for mask in (inner, edge, rim)])
    table = np.array(rows)
    return np.concatenate([table.ravel(), table[:, 0] - table[:, 2], table[:, 1] - table[:, 2], table[0] - table[1]])
