"""Corruptions of a video's frames, each at five strengths. Pure functions of pictures and of streams of pictures.

A picture is (H, W, 3) uint8 RGB; a stream yields (time in s, picture). Everything random follows from a seed: a video
always gets the same noise, and stronger noise is weaker noise scaled up.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from typing import Any, cast

import cv2
import numpy as np

Stream = Iterator[tuple[float, np.ndarray]]

# Parameters by strength, the weakest first. Pixels are those of the video, as in the sources cited: Hendrycks &
# Dietterich, Benchmarking Neural Network Robustness (ICLR 2019), and DeeperForensics-1.0 (CVPR 2020).
PARAMETERS: dict[str, tuple[Any, ...]] = {
    # Quality. 25, 15 and 7 are strengths 1, 3 and 5 of Hendrycks; 75 and 50 are common on the web.
    "jpeg": (75, 50, 25, 15, 7),
    # Width of the Gaussian's window in pixels; its standard deviation is a sixth of that: DeeperForensics.
    "blur": (7, 9, 13, 17, 21),
    # Variance of Gaussian noise, on values from 0 to 1: DeeperForensics (8 to 57 grey levels; Hendrycks has 20 to 97).
    "noise": (0.001, 0.002, 0.005, 0.01, 0.05),
    # Factor of reduction before enlarging again: DeeperForensics (which calls it JPEG).
    "downscale": (2, 3, 4, 5, 6),
    # Exponent. No benchmark has it; 2.2 looks as if the display's gamma had been applied twice.
    "gamma": (1.2, 1.4, 1.6, 1.9, 2.2),
    # Share of the picture that grey blocks of 8 pixels hide: DeeperForensics' 16 to 80 blocks in 256x256 pixels.
    "blocks": (0.016, 0.031, 0.047, 0.063, 0.078),
    # Share of frames lost. No benchmark has it; video calls fall to half of 30 frames/s.
    "frames": (0.1, 0.2, 0.3, 0.4, 0.5),
    # Scale and H.264 rate factor of both passes. No benchmark has it; 1080 lines become 864 to 360, as platforms serve
    # them, at rates from FFmpeg's default (23) to beyond DeeperForensics' mildest (30).
    "social": ((0.8, 23), (0.67, 26), (0.5, 28), (0.4, 31), (0.33, 34)),
}
BLOCK, GREY = 8, 128  # pixels a side, and grey value: DeeperForensics


def generator(seed: str) -> np.random.Generator:
    """A generator that draws the same numbers for the same text on every machine."""
    return np.random.default_rng(int.from_bytes(hashlib.sha256(seed.encode("utf-8", "surrogatepass")).digest()[:16]))


def jpeg(picture: np.ndarray, quality: int) -> np.ndarray:
    """Encoded and decoded, with chroma at half the resolution."""
    done, data = cv2.imencode(".jpg", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not done:
        raise RuntimeError("OpenCV could not encode a frame as JPEG")
    return cast(np.ndarray, cv2.imdecode(data, cv2.IMREAD_COLOR_RGB))  # None only for what is no image


def blur(picture: np.ndarray, window: int) -> np.ndarray:
    """Gaussian blur; window: pixels."""
    return cv2.GaussianBlur(picture, (window, window), window / 6)


def noise(picture: np.ndarray, variance: float, rng: np.random.Generator) -> np.ndarray:
    """Gaussian, independent for every frame, pixel and colour."""
    added = rng.standard_normal(picture.shape, np.float32) * np.float32(255 * variance**0.5)
    return (picture + added).round().clip(0, 255).astype(np.uint8)


def downscale(picture: np.ndarray, factor: float) -> np.ndarray:
    """Reduced by area averages, then enlarged to the same size by linear interpolation."""
    height, width = picture.shape[:2]
    small = max(1, round(width / factor)), max(1, round(height / factor))
    return cv2.resize(
        cv2.resize(picture, small, interpolation=cv2.INTER_AREA), (width, height), interpolation=cv2.INTER_LINEAR
    )


def gamma(picture: np.ndarray, exponent: float) -> np.ndarray:
    """Darker for exponents above 1."""
    return cv2.LUT(picture, (255 * (np.arange(256) / 255) ** exponent).round().astype(np.uint8))


def blocks(picture: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
    """Grey blocks at random places, new ones in every frame; they may overlap."""
    height, width = picture.shape[:2]
    most = _count(PARAMETERS["blocks"][-1], height, width)
    places = rng.random((max(most, _count(share, height, width)), 2))  # as many at every strength: the same places
    changed = picture.copy()
    for down, across in places[: _count(share, height, width)]:
        top, left = int(down * max(1, height - BLOCK + 1)), int(across * max(1, width - BLOCK + 1))
        changed[top : top + BLOCK, left : left + BLOCK] = GREY
    return changed


def _count(share: float, height: int, width: int) -> int:
    return max(1, round(share * height * width / BLOCK**2))


def drop_frames(stream: Stream, share: float, rng: np.random.Generator) -> Stream:
    """Frames are left out, but never the first or the last; the others keep their times."""
    left_out = None
    for number, item in enumerate(stream):
        # One number per frame, so that the next strength also leaves out what this one does.
        left_out = item if rng.random() < share and number else None
        if left_out is None:
            yield item
    if left_out is not None:
        yield left_out


_PICTURES: dict[str, Callable] = {"jpeg": jpeg, "blur": blur, "downscale": downscale, "gamma": gamma}
_RANDOM: dict[str, Callable] = {"noise": noise, "blocks": blocks}


def corrupt(stream: Stream, corruption: str, strength: int, seed: str) -> Stream:
    """A stream under any corruption of PARAMETERS but `social`, which needs codecs (see reencode)."""
    parameter, rng = PARAMETERS[corruption][strength - 1], generator(seed)
    if corruption == "frames":
        yield from drop_frames(stream, parameter, rng)
    elif corruption in _RANDOM:
        for time, picture in stream:
            yield time, _RANDOM[corruption](picture, parameter, rng)
    else:
        for time, picture in stream:
            yield time, _PICTURES[corruption](picture, parameter)
