"""A few properties of a clip as the model's input: what footage differs in, whatever it shows.

NumPy and OpenCV on a record's arrays, no jax. All are measured on what the model sees, none on a file's name or header.
Those that are ratios of powers or sizes are logarithms, so that a distance in them means the same at both ends.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8

from cpml_jax.evaluation.baselines import landmark_energy
from cpml_jax.schema import FRAME_RATE

PLACES = 8  # of pairs of frames in a row, evenly over the clip, on which pictures are measured
_COARSE, _FINE = (1 / 32, 1 / 8), (1 / 4, 1 / 2)  # cycles a pixel of the crop
_FLAT = 1.0  # grey levels: what a codec leaves of the finest texture where it leaves none
_TINY = 1e-6


@dataclasses.dataclass(frozen=True)
class Property:
    """A property of a clip.

    Attributes:
      name: in files.
      floor: the least spread that training clips are taken to have, in the property's unit: where all are alike (crops
        of one size), a difference that nobody would see is not a distance.
      below, above: what is said of a clip that lies lower, or higher, before "than in any training clip".
    """

    name: str
    floor: float
    below: str
    above: str


PROPERTIES: tuple[Property, ...] = (
    Property("face_size", 0.1, "the face is smaller", "the face is larger"),  # log2 pixels of the source
    Property("sharpness", 0.1, "the picture is softer", "the picture is sharper"),  # log variance of the Laplacian
    # log power of the finest octave over that of coarse ones
    Property("fine_detail", 0.1, "fine detail is weaker", "fine detail is stronger"),
    # share of pixels without the finest texture: compression as it is seen, whatever a file is called
    Property("flat_area", 0.02, "less of the picture is wiped flat (by compression or smoothing)",
             "more of the picture is wiped flat (by compression or smoothing)"),
    Property("grain", 0.1, "there is less noise from frame to frame", "there is more noise from frame to frame"),
    Property("brightness", 4.0, "the picture is darker", "the picture is brighter"),  # grey levels
    Property("contrast", 0.05, "contrast is lower", "contrast is higher"),  # log grey levels
    Property("saturation", 0.02, "colours are paler", "colours are stronger"),  # share
    Property("landmark_motion", 0.1, "the landmarks move less", "the landmarks move more"),  # log square pixels
    Property("head_motion", 0.1, "the head moves less", "the head moves more"),  # log box widths a second
    Property("pulse_snr", 0.5, "the classical pulse is fainter", "the classical pulse is clearer"),  # dB
)  # fmt: skip
NAMES = tuple(each.name for each in PROPERTIES)


def measure(record: Mapping[str, np.ndarray]) -> Float[np.ndarray, " P"]:
    """The PROPERTIES of a clip, float64, in their order; NaN where one cannot be measured.

    Args:
      record: frames (T, S, S, 3) uint8 RGB, box (T, 4) pixels, landmarks (T, 68, 2), valid (T,) bool and pulse_pos
        (T,) of schema.RECORD.
    """
    valid = np.asarray(record["valid"], bool)
    box = np.asarray(record["box"], np.float64)
    values = _of_pictures(chosen_pairs(record["frames"])) | {
        "face_size": _face_size(box[valid]),
        "landmark_motion": np.log(landmark_energy(record["landmarks"], valid) + 1e-4),
        "head_motion": _head_motion(box),
        "pulse_snr": _pulse_snr(np.asarray(record["pulse_pos"], np.float64)),
    }
    return np.array([values[name] for name in NAMES])


def chosen_pairs(frames: UInt8[np.ndarray, "T S S 3"]) -> UInt8[np.ndarray, "N S S 3"]:
    """Up to PLACES pairs of frames in a row, evenly over the clip: first, second, first, second, ..."""
    firsts = np.unique(np.linspace(0, max(len(frames) - 2, 0), PLACES).round().astype(int))
    seconds = np.minimum(firsts + 1, len(frames) - 1)
    return np.asarray(frames)[np.stack([firsts, seconds], axis=1).reshape(-1)]


def _of_pictures(pairs: UInt8[np.ndarray, "N S S 3"]) -> dict[str, float]:
    """The median over pictures of each property: a blink or a jolt is not the footage's."""
    grey = np.stack([cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY) for picture in pairs]).astype(np.float32)
    fine = np.stack([picture - cv2.GaussianBlur(picture, (0, 0), 1.0) for picture in grey])
    laplacian = np.stack([cv2.Laplacian(picture, cv2.CV_32F) for picture in grey])
    # What changes between two frames beyond a shift of smooth areas: noise, and what a codec leaves of it.
    change = np.abs(fine[1::2] - fine[0::2])
    # Channel by channel: a reduction over an axis of 3 takes 20 times as long, most of what all properties take.
    red, green, blue = np.moveaxis(pairs, -1, 0)
    high = np.maximum(np.maximum(red, green), blue).astype(np.float32)
    low = np.minimum(np.minimum(red, green), blue).astype(np.float32)
    return {
        "sharpness": float(np.median(np.log(laplacian.var(axis=(1, 2)) + 1.0))),
        "fine_detail": float(np.median([_fine_over_coarse(picture) for picture in grey])),
        "flat_area": float(np.median((np.abs(fine) < _FLAT).mean(axis=(1, 2)))),
        "grain": float(np.log(np.median(change.mean(axis=(1, 2))) + 0.05)),
        "brightness": float(np.median(grey.mean(axis=(1, 2)))),
        "contrast": float(np.median(np.log(grey.std(axis=(1, 2)) + 1.0))),
        "saturation": float(np.median(((high - low) / np.maximum(high, 1.0)).mean(axis=(1, 2)))),
    }


def _fine_over_coarse(grey: Float[np.ndarray, "S S"]) -> float:
    window, fine, coarse = _octaves(len(grey))
    power = np.abs(np.fft.rfft2((grey - grey.mean()) * window)) ** 2
    return float(np.log((float(power[fine].mean()) + 1.0) / (float(power[coarse].mean()) + 1.0)))


@functools.cache
def _octaves(size: int) -> tuple[Float[np.ndarray, "S S"], Bool[np.ndarray, "S F"], Bool[np.ndarray, "S F"]]:
    """The window of a picture, and which of its spectrum is fine and which is coarse."""
    window = np.outer(np.hanning(size), np.hanning(size))
    radius = np.hypot(np.fft.fftfreq(size)[:, None], np.fft.rfftfreq(size)[None])
    fine, coarse = ((radius >= low) & (radius < high) for low, high in (_FINE, _COARSE))
    return window, fine, coarse


def _face_size(box: Float[np.ndarray, "T 4"]) -> float:
    if not len(box):
        return float("nan")
    sides = np.sqrt(np.maximum((box[:, 2] - box[:, 0]) * (box[:, 3] - box[:, 1]), 1.0))
    return float(np.log2(np.median(sides)))


def _head_motion(box: Float[np.ndarray, "T 4"]) -> float:
    """How fast the face moves over the picture, in widths of its box a second, root mean square."""
    if len(box) < 2:
        return float("nan")
    centre = (box[:, :2] + box[:, 2:]) / 2
    width = max(float(np.median(box[:, 2] - box[:, 0])), 1.0)
    speed = np.diff(centre, axis=0) * FRAME_RATE / width
    return float(np.log(np.sqrt((speed**2).sum(axis=1).mean()) + 1e-3))


def _pulse_snr(trace: Float[np.ndarray, " T"]) -> float:
    from data_prep.face.rppg import snr  # no part of the lean core

    return snr(trace, FRAME_RATE) if np.isfinite(trace).all() else float("nan")
