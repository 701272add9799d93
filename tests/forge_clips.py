"""Drawn people as real clips: their landmarks are known, so that no detector is needed."""

import functools

import numpy as np

from data_prep.forge.clip import RealClip
from data_prep.synthetic.scene import Scene

LENGTH, SIDE = 40, 128


@functools.cache
def person(number: int, length: int = LENGTH, side: int = SIDE) -> RealClip:
    scene = Scene(seed=3, style="a", target=number, frames=length, size=side)
    frames = np.stack(list(scene.pictures()))
    frames.flags.writeable = False  # a forger that writes into the target's frames is found out
    landmarks = scene.truth()["landmarks"].astype(np.float32)
    return RealClip(f"v{number}", f"p{number}", frames, landmarks, np.ones(length, bool))


def still(length: int = 150, side: int = 96, level: float = 128.0, wave=None) -> RealClip:
    """A face that does not move, evenly coloured but for some noise; its colour follows `wave` (T,), relative."""
    rng = np.random.default_rng(5)
    one = person(0, 2, side)
    colour = np.array([1.2, 0.9, 0.75]) * level
    gain = np.ones((length, 3)) if wave is None else 1 + np.asarray(wave)[:, None] * np.array([0.33, 0.77, 0.53]) / 0.77
    frames = colour * gain[:, None, None] + rng.normal(0, 2, (length, side, side, 3))
    frames = np.clip(np.rint(frames), 0, 255).astype(np.uint8)
    landmarks = np.repeat(one.landmarks[:1], length, axis=0)
    return RealClip("still", "p0", frames, landmarks, np.ones(length, bool))
