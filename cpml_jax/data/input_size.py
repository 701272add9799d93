"""How large the model's input is: frames of a clip, pixels of a frame, clips of a batch."""

from __future__ import annotations

import dataclasses

import ml_collections


@dataclasses.dataclass(frozen=True)
class InputSize:
    num_frames: int
    frame_size: int
    batch_size: int

    @classmethod
    def of(cls, config: ml_collections.ConfigDict) -> InputSize:
        """That of evaluation and prediction (eval.batch_size); a training step's clips are train.batch_size."""
        return cls(config.data.num_frames, config.model.rppg.frame_size, config.eval.batch_size)
