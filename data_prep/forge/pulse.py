"""The pulse inside a forged face: left whole, removed, another person's in its place, or delayed by region.

A pulse is a small change of the skin's colour along one direction (de Haan and van Leest, Physiological Measurement
2014), everywhere at nearly the same time. Real forgeries carry their driver's heartbeat (Seibold et al., Frontiers in
Imaging 2025), so that about half of the clips are left as their kind made them. The others are multiplied by a gain per
region of the face, of the size of a pulse.
"""

from __future__ import annotations

import cv2
import numpy as np
from scipy.ndimage import gaussian_filter1d

from cpml_jax.schema import FRAME_RATE
from data_prep.face import rppg
from data_prep.forge.clip import Forged, RealClip
from data_prep.forge.draws import Draws, bounce
from data_prep.forge.region import POINTS, Region, alphas
from data_prep.forge.shape import face_size, with_forehead

SHARES = {"whole": 0.5, "removed": 0.2, "transplanted": 0.15, "delayed": 0.15}
GREEN = (0.004, 0.010)  # amplitude of a transplanted pulse, of the green channel
DELAY = (2, 14)  # frames, of a region
SPREAD = 0.2  # face sizes, standard deviation of a region's weight about its middle
_BLOCK = 4  # pixels: gains are smooth, so that they are worked out on a coarser picture
_PASSES = 3  # of the removal: regions overlap, so that one pass leaves a tenth
# Red, green, blue: what brightness does, what a pulse does (relative, the same source), and a third direction.
_PULSE = np.array([0.33, 0.77, 0.53])
_BASIS = np.column_stack([np.ones(3), _PULSE, np.cross(np.ones(3), _PULSE)])


def change(draw: Draws, made: Forged, landmarks: np.ndarray, source: RealClip, other: bool) -> np.ndarray:
    """The forged frames with a drawn choice of pulse inside the mask.

    Args:
      landmarks: (T, 68, 2), pixels of `made`. source: whose pulse is transplanted, if it is an `other` person.

    Returns:
      (T, h, w, 3) uint8.
    """
    choice = draw.choose("choice", SHARES if other else SHARES | {"transplanted": 0.0})
    if choice == "whole" or not made.mask.any() or len(made.frames) < 2:
        return made.frames
    small, inside = coarse(made.frames, made.mask)
    weights = regions(landmarks, inside * face(landmarks, inside.shape[1:]))
    removal = removed(small, weights)
    gains = removal
    if choice == "transplanted":
        amplitude = draw.uniform("green", *GREEN)
        trace = wave(source)[bounce(draw.whole("begin", 0, len(source) - 1) + np.arange(len(small)), len(source))]
        gains = removal + amplitude / np.sqrt(2) * trace[:, None, None] * (_PULSE / _PULSE[1])
    elif choice == "delayed":
        delays = [draw.whole(f"delay_{region}", *DELAY) for region in range(weights.shape[1])]
        of_pulse = pulses(small, weights)
        for region, delay in enumerate(delays):
            late = of_pulse[bounce(np.arange(len(small)) - delay, len(small)), region]
            gains[:, region] += late[:, None] * _PULSE
    return multiplied(made.frames, made.mask, weights, gains, draw.rng)


def coarse(frames: np.ndarray, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Means of blocks (T, a, b, 3) float32, and how far inside the mask they are (T, a, b) float32, 0..1."""
    size = -(-frames.shape[2] // _BLOCK), -(-frames.shape[1] // _BLOCK)
    small = np.stack([cv2.resize(frame, size, interpolation=cv2.INTER_AREA) for frame in frames]).astype(np.float32)
    covered = [cv2.resize(plane.astype(np.float32) / 255, size, interpolation=cv2.INTER_AREA) for plane in mask]
    inside = np.clip(2 * np.stack([cv2.blur(plane, (3, 3)) for plane in covered]) - 1, 0, 1)
    return small, inside


def face(landmarks: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """(T, a, b) float32, 1 on the face and its forehead: a mask may reach beyond, hair and background have no pulse."""
    skin = Region("whole", 1.0, 0.1, 1.0, np.zeros((POINTS, 2)))
    return alphas((landmarks + 0.5) / _BLOCK - 0.5, skin, shape)


def regions(landmarks: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """(T, K, a, b) float32: forehead, cheeks, nose and chin, as far as they lie inside; they add up to `inside`."""
    points = with_forehead(landmarks)
    middles = np.stack(
        [points[:, chosen].mean(axis=1) for chosen in ([70, 71, 72, 73], [2, 31, 36], [14, 35, 45], [30], [8, 57])], 1
    )
    rows, columns = (_BLOCK * (np.arange(count) + 0.5) - 0.5 for count in inside.shape[1:])
    width = SPREAD * face_size(landmarks)
    along, down = (
        np.exp(-0.5 * ((line[None, None] - middles[..., axis, None]) / width) ** 2)
        for line, axis in ((columns, 0), (rows, 1))
    )
    weights = down[..., :, None] * along[..., None, :] + 1e-6
    shown = (weights * inside[:, None]).sum(axis=(0, 2, 3))
    weights = weights[:, shown > 0.05 * shown.sum()]
    weights /= weights.sum(axis=1, keepdims=True)
    return (weights * inside[:, None]).astype(np.float32)


def bands(small: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """(T, K, 3): brightness, pulse and rest of each region's relative colour, 0.6 to 4 Hz."""
    total = np.maximum(weights.sum(axis=(2, 3)), 1e-3)
    colours = np.einsum("tkab,tabc->tkc", weights, small) / total[..., None]
    relative = colours / np.maximum(gaussian_filter1d(colours, FRAME_RATE, axis=0, mode="nearest"), 1.0)
    band = rppg.band_pass(np.moveaxis(relative, 0, -1), FRAME_RATE, scaled=False)
    return np.moveaxis(band, -1, 0) @ np.linalg.inv(_BASIS).T


def pulses(small: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """(T, K): each region's change along the pulse's direction."""
    return bands(small, weights)[..., 1]


def removed(small: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """(T, K, 3): gains that flatten each region's colour between 0.6 and 4 Hz; its brightness may change."""
    gains = np.zeros((*weights.shape[:2], 3))
    chroma = _BASIS * [0, 1, 1]
    for _ in range(_PASSES):
        gains -= bands(small * (1 + spread(weights, gains)), weights) @ chroma.T
    return gains


def spread(weights: np.ndarray, gains: np.ndarray) -> np.ndarray:
    """(T, K, a, b) and (T, K, 3) -> (T, a, b, 3)."""
    return np.einsum("tkab,tkc->tabc", weights, gains).astype(np.float32)


def multiplied(
    frames: np.ndarray, mask: np.ndarray, weights: np.ndarray, gains: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """The frames times 1 + gains, inside the mask.

    A pulse is less than a grey level, so that whole numbers times a gain would round back to themselves. Each place
    gets the fraction that a camera's rounding took from it, drawn once: on the mean over the skin nothing is lost, and
    where there is no gain nothing changes.
    """
    made, size = frames.copy(), frames.shape[2:0:-1]
    fraction = rng.uniform(-0.49, 0.49, frames.shape[1:]).astype(np.float32)
    for frame, gain in enumerate(spread(weights, gains)):
        factor = 1 + cv2.resize(gain, size, interpolation=cv2.INTER_LINEAR)
        inside = mask[frame] > 0
        value = (frames[frame][inside] + fraction[inside]) * factor[inside]
        made[frame][inside] = np.clip(np.rint(value), 0, 255).astype(np.uint8)
    return made


def wave(clip: RealClip) -> np.ndarray:
    """(T,): the pulse trace of a clip's skin, of standard deviation 1; positive where it is brighter."""
    landmarks = (clip.landmarks + 0.5) / (clip.size / 2) - 1
    return rppg.pos(rppg.skin_means(clip.frames, landmarks), FRAME_RATE)
