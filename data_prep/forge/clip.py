"""What a forger starts from and what it makes: a real person's clip, and a forged one of the same frames."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

SIZE = 256  # pixels, side of the square
FRAMES = 132  # of a clip, at 30 frames/s: 128 are read, and a face is not always found in the first


@dataclasses.dataclass(frozen=True, eq=False)
class RealClip:
    """One real person's clip, square, at 30 frames/s.

    Attributes:
      video, identity: their names.
      frames: (T, S, S, 3) uint8 RGB.
      landmarks: (T, 68, 2) float32, pixels of these frames, smoothed; (0, 0) is the middle of the upper left pixel.
      valid: (T,) bool, False where the landmarks are bridged.
    """

    video: str
    identity: str
    frames: np.ndarray
    landmarks: np.ndarray
    valid: np.ndarray

    def __len__(self) -> int:
        return len(self.frames)

    @property
    def size(self) -> int:
        """Pixels, side of the square."""
        return self.frames.shape[2]

    def repeats(self) -> np.ndarray:
        """(T,) bool: whether a frame is the one before, as where a source of 25 frames/s is brought to 30."""
        same = [np.array_equal(a, b) for a, b in zip(self.frames[1:], self.frames[:-1], strict=True)]
        return np.array([False, *same])


@dataclasses.dataclass(frozen=True, eq=False)
class Forged:
    """A forged clip.

    Attributes:
      frames: (T, S, S, 3) uint8 RGB; where the mask is 0, the target's, bit for bit.
      mask: (T, S, S) uint8, 255 where something may have changed.
      parameters: every drawn number, as JSON has it.
    """

    frames: np.ndarray
    mask: np.ndarray
    parameters: dict[str, Any]
