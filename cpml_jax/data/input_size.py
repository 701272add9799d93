"""What the model reads of a clip, and how large that is: frames, stills, pixels, cells; and clips of a batch."""

from __future__ import annotations

import dataclasses

import numpy as np
from jaxtyping import Int

from cpml_jax.schema import CROP_SIZE


@dataclasses.dataclass(frozen=True)
class InputSize:
    """Of evaluation and prediction; a training step's clips are train.batch_size.

    Attributes:
      num_frames: T, frames of a clip.
      frame_size: S, pixels of `frames`; stills are schema.CROP_SIZE wide.
      num_stills: K.
      batch_size: clips.
      inputs: those of schema.MODEL_INPUTS that the model's streams read: nothing else is decoded.
      texture_cells: G, cells a side of `texture`.
    """

    num_frames: int
    frame_size: int
    num_stills: int
    batch_size: int
    inputs: tuple[str, ...]
    texture_cells: int = 12

    @property
    def decoded_size(self) -> int | None:
        """Pixels at which every frame of a clip is needed; None where no stream reads more of them than stills.

        Texture is measured on frames as they are stored; `frames` are then made of those (batch.clip_arrays).
        """
        if "texture" in self.inputs:
            return CROP_SIZE
        return self.frame_size if "frames" in self.inputs else None

    @property
    def still_places(self) -> tuple[int, ...]:
        """Which of the clip's frames are its stills; none where no stream reads them."""
        if "stills" not in self.inputs:
            return ()
        return tuple(spaced_frames(self.num_frames, self.num_stills).tolist())


def spaced_frames(length: int, count: int) -> Int[np.ndarray, " {count}"]:
    """(count,) indices evenly spaced over a whole clip of `length` frames, both ends included; one: the middle."""
    if not 1 <= count <= length:
        raise ValueError(f"visual.frames={count} must be between 1 and the clip's {length} frames")
    if count == 1:
        return np.array([length // 2])
    return np.round(np.linspace(0, length - 1, count)).astype(int)
