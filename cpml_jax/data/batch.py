"""Clips -> batches (schema.BATCH). Training, evaluation and prediction make theirs here, and nowhere else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import UInt8

from cpml_jax.data.input_size import InputSize
from cpml_jax.data.records import resized
from cpml_jax.data.texture import texture
from cpml_jax.schema import CROP_SIZE, MODEL_INPUTS, RECORD

TRACE = "pulse_pos"  # the record's trace that becomes a batch's pulse
_FIELDS = {field.name: field for field in RECORD}

Clip = dict[str, np.ndarray]


def clip_arrays(record: Mapping[str, Any], size: InputSize) -> Clip:
    """What a batch holds of one clip.

    Args:
      record: of schema.RECORD's fields at least valid, TRACE and what size.inputs need, size.num_frames frames or more;
        where it has `stills` (RecordSet.read), those are taken, and else they are some of its frames.
      size: T, S, K, G, and which inputs.

    Returns:
      Of size.inputs frames (T, S, S, 3) uint8, stills (K, 128, 128, 3) uint8, landmarks (T, 68, 2) float32, those of
      invalid frames bridged, texture (4, G, G) float32; pulse (T,) float32, valid (T,) bool.
    """
    arrays = {}
    valid = np.asarray(record["valid"], bool)[: size.num_frames]
    for name in size.inputs:
        if name == "stills":
            arrays[name] = stills_of(record, size)
        elif name == "texture":
            arrays[name] = texture(whole_frames(record["frames"][: size.num_frames]), valid, size.texture_cells)
        else:
            arrays[name] = np.asarray(record[name], _FIELDS[name].dtype)[: size.num_frames]
    if "frames" in arrays and arrays["frames"].shape[1] != size.frame_size:
        arrays["frames"] = np.stack([resized(frame, size.frame_size) for frame in arrays["frames"]])
    if "landmarks" in arrays:
        arrays["landmarks"] = bridged(arrays["landmarks"], valid)
    return arrays | {"pulse": np.asarray(record[TRACE], _FIELDS[TRACE].dtype)[: size.num_frames], "valid": valid}


def stills_of(record: Mapping[str, Any], size: InputSize) -> UInt8[np.ndarray, "K S S 3"]:
    """A record's stills; if it has none of its own, of its whole frames."""
    stills = record["stills"] if "stills" in record else np.asarray(record["frames"])[list(size.still_places)]
    return whole_frames(stills)


def whole_frames(frames: np.ndarray) -> UInt8[np.ndarray, "T S S 3"]:
    """Frames that must be as they are stored."""
    if frames.shape[1:3] != (CROP_SIZE, CROP_SIZE):
        raise ValueError(f"frames of {frames.shape[1]} pixels; as they are stored they are {CROP_SIZE} wide")
    return np.asarray(frames, np.uint8)


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
    held = [name for name in MODEL_INPUTS if name in clips[0][0]]
    inputs = {name: np.stack([np.stack([view[name] for view in views]) for views in clips]) for name in held}
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


def zero_inputs(size: InputSize, rows: int = 1) -> dict[str, np.ndarray]:
    """A batch's inputs (rows, 1, ...), size.inputs of them, all 0: for shapes and types."""
    fields = [_FIELDS[name] for name in (*MODEL_INPUTS, "valid", TRACE) if name in _FIELDS]
    record = {field.name: np.zeros([n or size.num_frames for n in field.shape], field.dtype) for field in fields}
    batch = stack_views([[clip_arrays(record, size)]] * rows, [0] * rows)
    return {name: batch[name] for name in size.inputs}
