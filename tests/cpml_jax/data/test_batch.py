"""One way to a batch: a record's and a video's."""

import numpy as np
import pytest
import tiny

from cpml_jax import schema
from cpml_jax.data import batch
from cpml_jax.data.input_pipeline import eval_batches
from cpml_jax.data.input_size import spaced_frames
from cpml_jax.data.records import RecordSet
from cpml_jax.prediction import windows


class FaceClip:
    """Of data_prep.face.clips.FaceClip what prediction reads, with a record's fields."""

    def __init__(self, record):
        vars(self).update(record)


@pytest.mark.parametrize("frame_size", [tiny.FRAME_SIZE, schema.CROP_SIZE])
def test_prediction_makes_the_batch_that_evaluation_makes_of_the_same_clip(tiny_records, frame_size):
    records = RecordSet(tiny_records / "faces")
    size = tiny.input_size(num_frames=tiny.NUM_FRAMES - 4, frame_size=frame_size, batch_size=4)
    rows = [row for row in records.rows if row["label"] == schema.REAL][:3]
    ((_, expected),) = eval_batches(records, rows, size, excluded=[])
    predicted = windows.batch_of([FaceClip(records.read(row)) for row in rows], size, rows=4)
    assert predicted.keys() == expected.keys() - {"pulse_truth"}  # which evaluation alone can know
    for name in predicted:
        np.testing.assert_array_equal(predicted[name], expected[name], err_msg=name)
        assert predicted[name].dtype == expected[name].dtype


def test_a_batch_is_what_the_schema_says(tiny_records):
    records = RecordSet(tiny_records / "faces")
    clip = batch.clip_arrays(records.read(records.rows[0]), tiny.input_size())
    made = batch.stack_views([[clip, clip], [clip, clip], [clip, clip]], [0, 1, 1])
    described = {field.name: field for field in schema.BATCH if field.name not in ("class_index", "pair")}
    assert made.keys() == described.keys()
    for name, field in described.items():
        assert made[name].dtype == field.dtype and made[name].ndim == len(field.shape)
        assert all(n in (None, m) for n, m in zip(field.shape, made[name].shape, strict=True))
    assert made["frames"].shape[:3] == (3, 2, tiny.NUM_FRAMES)


def test_frames_are_spaced_over_the_whole_clip():
    np.testing.assert_array_equal(spaced_frames(160, 4), [0, 53, 106, 159])
    np.testing.assert_array_equal(spaced_frames(160, 1), [80])
    with pytest.raises(ValueError, match="visual.frames"):
        spaced_frames(8, 9)


@pytest.mark.parametrize("inputs", [("frames",), ("stills",), ("landmarks",), ("texture",), ("frames", "landmarks")])
def test_a_batch_holds_what_is_read_and_no_more(tiny_records, inputs):
    records = RecordSet(tiny_records / "faces")
    size = tiny.input_size(inputs=inputs)
    ((_, made),) = eval_batches(records, records.rows[:5], size, excluded=[])
    assert set(made) & set(schema.MODEL_INPUTS) == set(inputs)


def test_padding_repeats_the_first_clip_without_weight():
    clips = [{"frames": np.full((2, 4, 4, 3), i, np.uint8), "landmarks": np.full((2, 68, 2), i, np.float32),
              "pulse": np.full(2, i, np.float32), "valid": np.ones(2, bool)} for i in (7, 8)]  # fmt: skip
    made = batch.padded_batch(clips, [1, 0], 4)
    assert made["frames"][:, 0, 0, 0, 0, 0].tolist() == [7, 8, 7, 7] and made["label"].tolist() == [1, 0, 1, 1]
    assert made["weight"].tolist() == [1, 1, 0, 0]


def test_zero_inputs_have_a_batchs_shapes_and_types():
    inputs = batch.zero_inputs(tiny.input_size(frame_size=32), rows=2)
    assert {name: (x.shape, x.dtype.name) for name, x in inputs.items()} == {
        "frames": ((2, 1, 16, 32, 32, 3), "uint8"),
        "stills": ((2, 1, tiny.NUM_STILLS, 128, 128, 3), "uint8"),
        "landmarks": ((2, 1, 16, 68, 2), "float32"),
        "texture": ((2, 1, 4, 12, 12), "float32"),
    }
    assert set(batch.zero_inputs(tiny.input_size(inputs=("landmarks",)))) == {"landmarks"}


def test_landmarks_of_invalid_frames_lie_between_their_neighbours(tiny_records):
    records = RecordSet(tiny_records / "faces")
    record = records.read(records.rows[0])
    still = np.zeros_like(record["landmarks"])
    still[5:7], still[7:] = 9.0, 3.0  # a spike on two frames between two places
    still[:2] = -9.0
    valid = np.ones(len(still), bool)
    valid[[0, 1, 5, 6]] = False
    clip = batch.clip_arrays(record | {"landmarks": still, "valid": valid}, tiny.input_size())
    np.testing.assert_allclose(clip["landmarks"][:9, 0, 0], [0, 0, 0, 0, 0, 1, 2, 3, 3], atol=1e-6)
    assert np.abs(np.diff(clip["landmarks"], axis=0)).max() <= 1 + 1e-6 and clip["landmarks"].dtype == np.float32
    np.testing.assert_array_equal(clip["valid"], valid[: tiny.NUM_FRAMES])


def test_nothing_is_bridged_where_all_or_no_frames_are_valid():
    points = np.random.default_rng(0).normal(size=(6, 68, 2)).astype(np.float32)
    for valid in (np.ones(6, bool), np.zeros(6, bool)):
        np.testing.assert_array_equal(batch.bridged(points, valid), points)
