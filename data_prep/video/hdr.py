"""High dynamic range (PQ, HLG) -> ordinary colours: without the conversion such faces are pale and flat.

Diffuse white is 203 cd/m2 (ITU-R BT.2408); formulas and constants of both curves, ITU-R BT.2100; matrix, BT.2087.
"""

from __future__ import annotations

import functools

import cv2
import numpy as np

PQ, HLG = 16, 18  # FFmpeg's numbers of the transfer curves (ISO/IEC 23091-2)
WHITE = 203.0  # cd/m2
HLG_PEAK = 1000.0  # cd/m2 of the display that HLG is judged on
KNEE = 0.7  # of white: darker colours keep their luminance, brighter ones are compressed into the rest
GAMMA = 2.4  # of the ordinary display (ITU-R BT.1886)
WIDE_PRIMARIES = (2, 9)  # unspecified, since nobody masters HDR in BT.709, and BT.2020

_LUMINANCE = np.array([[0.2627, 0.6780, 0.0593]], np.float32)  # of BT.2020
_TO_709 = np.array(
    [[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]], np.float32
)  # fmt: skip
_BITS = 12  # of the tables below: as many as HDR video has


@functools.cache
def _light(curve: int) -> np.ndarray:
    """(4096,) float32: light of a code value; PQ in units of WHITE, HLG of the scene's peak."""
    code = np.arange(1 << _BITS) / ((1 << _BITS) - 1)
    if curve == PQ:
        power = code ** (1 / 78.84375)
        light = (np.maximum(power - 0.8359375, 0) / (18.8515625 - 18.6875 * power)) ** (1 / 0.1593017578125)
        return (light * 1e4 / WHITE).astype(np.float32)
    bright = (np.exp((code - 0.55991073) / 0.17883277) + 0.28466892) / 12
    return np.where(code <= 0.5, code**2 / 3, bright).astype(np.float32)


def to_sdr(image: np.ndarray, curve: int, primaries: int = 9) -> np.ndarray:
    """(H, W, 3) uint16 RGB under `curve` (PQ or HLG) -> (H, W, 3) uint8 RGB for an ordinary display."""
    light = _light(curve)[image >> (16 - _BITS)]
    if curve == HLG:  # the system's gamma of 1.2 acts on luminance, so that colours keep their hue
        luminance = np.maximum(cv2.transform(light, _LUMINANCE), 1e-6)
        light *= (HLG_PEAK / WHITE * cv2.pow(luminance, 0.2))[..., None]
    if primaries in WIDE_PRIMARIES:
        light = np.maximum(cv2.transform(light, _TO_709), 0)
    brightest = np.maximum(light.max(axis=-1), 1e-6)
    over = np.maximum(brightest - KNEE, 0)
    pressed = np.minimum(brightest, KNEE) + (1 - KNEE) * (1 - np.exp(-over / (1 - KNEE)))
    light *= (pressed / brightest)[..., None]
    return cv2.convertScaleAbs(cv2.pow(light, 1 / GAMMA), alpha=255)
