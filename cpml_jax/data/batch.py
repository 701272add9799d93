"""Clips -> batches (schema.BATCH). Training, evaluation and prediction make theirs here, and nowhere else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from cpml_jax.data.records import resized
from cpml_jax.schema import MODEL_INPUTS, RECORD

TRACE = "pulse_pos"  # the record's trace that becomes a batch's pulse
_FIELDS = {field.name: field for field in RECORD}

Clip = dict[str, np.ndarray]


def clip_arrays(record: Mapping[str, Any], num_frames: int, frame_size: int) -> Clip:
    """What a batch holds of one clip.

    Args:
      record: of schema.RECORD's fields at least MODEL_INPUTS, valid and TRACE, num_frames frames or more.
      num_frames: T.
      frame_size: S, pixels.

    Returns:
      frames (T, S, S, 3) uint8, every other of MODEL_INPUTS (T, ...) in its field's dtype, pulse (T,) float32, valid
      (T,) bool. Landmarks of invalid frames are bridged.
    """
    arrays = {name: np.asarray(record[name], _FIELDS[name].dtype)[:num_frames] for name in MODEL_INPUTS}
    if arrays["frames"].shape[1] != frame_size:
        arrays["frames"] = np.stack([resized(frame, frame_size) for frame in arrays["frames"]])
    valid = np.asarray(record["valid"], bool)[:num_frames]
    arrays["landmarks"] = bridged(arrays["landmarks"], valid)
    return arrays | {"pulse": np.asarray(record[TRACE], _FIELDS[TRACE].dtype)[:num_frames], "valid": valid}


def bridged(points: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """Points with those of invalid frames interpolated linearly between the nearest valid ones, held at the ends.

    So no difference between two frames comes from a frame that could not be measured.

    Args:
      points: (T, ...) float. valid: (T,) bool; where it is False everywhere, nothing is changed.
    """
    if valid.all() or not valid.any():
        return points
    frames = np.arange(len(points))
    columns = points.reshape(len(points), -1).T
    filled = np.stack([np.interp(frames, frames[valid], column[valid]) for column in columns], axis=1)
    # The valid ones keep their bits.
    return np.where(valid[:, None], points.reshape(filled.shape), filled).reshape(points.shape).astype(points.dtype)


def stack_views(clips: Sequence[Sequence[Clip]], labels: Sequence[int]) -> dict[str, np.ndarray]:
    """Clips (clip_arrays) with their views, best first -> a batch: schema.BATCH without class_index and pair."""
    inputs = {name: np.stack([np.stack([view[name] for view in views]) for views in clips]) for name in MODEL_INPUTS}
    return inputs | {
        "valid": np.stack([np.stack([view["valid"] for view in views]) for views in clips]),
        "pulse": np.stack([views[0]["pulse"] for views in clips]),
        "label": np.asarray(labels, np.int32),
        "weight": np.ones(len(clips), np.float32),
    }


def padded_batch(clips: Sequence[Clip], labels: Sequence[int], rows: int) -> dict[str, np.ndarray]:
    """Clips of one view -> a batch of `rows` rows: the first clip repeated, with weight 0, after the given ones."""
    padding = rows - len(clips)
    batch = stack_views([[clip] for clip in [*clips, *[clips[0]] * padding]], [*labels, *[labels[0]] * padding])
    batch["weight"][len(clips) :] = 0.0
    return batch


def zero_inputs(num_frames: int, frame_size: int, rows: int = 1) -> dict[str, np.ndarray]:
    """A batch's MODEL_INPUTS (rows, 1, T, ...), all 0: for shapes and types."""
    fields = [_FIELDS[name] for name in (*MODEL_INPUTS, "valid", TRACE)]
    record = {field.name: np.zeros([n or num_frames for n in field.shape], field.dtype) for field in fields}
    clip = clip_arrays(record, num_frames, frame_size)
    batch = stack_views([[clip]] * rows, [0] * rows)
    return {name: batch[name] for name in MODEL_INPUTS}
