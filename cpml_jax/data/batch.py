"""Clips -> batches (schema.BATCH). Training, evaluation and prediction make theirs here, and nowhere else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import UInt8

from cpml_jax.data.frames import resized
from cpml_jax.data.input_size import InputSize
from cpml_jax.data.texture import NUMBERS, texture
from cpml_jax.schema import BATCH, CROP_SIZE, MODEL_INPUTS, NUM_LANDMARKS, RECORD

TRACE = "pulse_pos"  # the record's trace that becomes a batch's pulse
_FIELDS = {field.name: field for field in RECORD}
_BATCH = {field.name: field for field in BATCH}

Clip = dict[str, np.ndarray]
Batch = dict[str, np.ndarray]
Layout = dict[str, tuple[tuple[int, ...], np.dtype]]  # name -> shape, type


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


def clip_layout(size: InputSize) -> Layout:
    """Shape and type of what clip_arrays gives."""
    shapes = {
        "frames": (size.num_frames, size.frame_size, size.frame_size, 3),
        "stills": (size.num_stills, CROP_SIZE, CROP_SIZE, 3),
        "landmarks": (size.num_frames, NUM_LANDMARKS, 2),
        "texture": (len(NUMBERS), size.texture_cells, size.texture_cells),
    }
    layout: Layout = {name: (shapes[name], np.dtype(_BATCH[name].dtype)) for name in size.inputs}
    return layout | {name: ((size.num_frames,), np.dtype(_BATCH[name].dtype)) for name in ("pulse", "valid")}


def empty_batch(layout: Layout, clips: int, views: int) -> Batch:
    """schema.BATCH without class_index and pair, to be filled (place_of): its inputs, valid and pulse hold anything.

    Args:
      layout: of a clip.
    """
    inputs = {
        name: np.empty((clips, views, *layout[name][0]), layout[name][1])
        for name in (*MODEL_INPUTS, "valid")
        if name in layout
    }
    shape, dtype = layout["pulse"]
    return inputs | {
        "pulse": np.empty((clips, *shape), dtype),
        "label": np.zeros(clips, np.int32),
        "weight": np.ones(clips, np.float32),
    }


def place_of(batch: Batch, clip: int, view: int) -> Clip:
    """Where in a batch a clip's arrays lie; the pulse is that of the best view, which is 0."""
    place = {name: batch[name][clip, view] for name in (*MODEL_INPUTS, "valid") if name in batch}
    return place if view else place | {"pulse": batch["pulse"][clip]}


def put(clip: Clip, place: Clip) -> None:
    """Copy a clip's arrays to their place, but for those that are there already."""
    for name, array in place.items():
        if not np.may_share_memory(array, clip[name]):
            array[...] = clip[name]


def stack_views(clips: Sequence[Sequence[Clip]], labels: Sequence[int]) -> Batch:
    """Clips (clip_arrays) with their views, best first -> a batch: schema.BATCH without class_index and pair."""
    layout = {name: (array.shape, array.dtype) for name, array in clips[0][0].items()}
    batch = empty_batch(layout, len(clips), len(clips[0]))
    for i, views in enumerate(clips):
        for v, clip in enumerate(views):
            put(clip, place_of(batch, i, v))
    batch["label"][:] = labels
    return batch


def padded_batch(clips: Sequence[Clip], labels: Sequence[int], rows: int) -> Batch:
    """Clips of one view -> a batch of `rows` rows: the first clip repeated, with weight 0, after the given ones."""
    padding = rows - len(clips)
    batch = stack_views([[clip] for clip in [*clips, *[clips[0]] * padding]], [*labels, *[labels[0]] * padding])
    batch["weight"][len(clips) :] = 0.0
    return batch


def zero_inputs(size: InputSize, rows: int = 1) -> dict[str, np.ndarray]:
    """A batch's inputs (rows, 1, ...), size.inputs of them, all 0: for shapes and types."""
    layout = clip_layout(size)
    return {name: np.zeros((rows, 1, *layout[name][0]), layout[name][1]) for name in size.inputs}
