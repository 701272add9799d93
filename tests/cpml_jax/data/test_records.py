"""Records read back: views, sizes, and what damage looks like."""

import shutil

import numpy as np
import pytest
import tiny

from cpml_jax.data.input_pipeline import ClipReader, eval_batches, training_batches
from cpml_jax.data.records import CorruptRecord, RecordSet
from cpml_jax.data.sampler import BalancedSampler, clip_views
from cpml_jax.errors import UserError


@pytest.fixture
def copy(tiny_records, tmp_path):
    return RecordSet(shutil.copytree(tiny_records / "faces", tmp_path / "faces"))


def split_file(record_set, split):
    return next(record_set.directory.rglob(f"*{split}.array_record*"))


def test_the_index_points_at_its_own_records(tiny_records):
    record_set = RecordSet(tiny_records / "faces")
    assert len(record_set.rows) == 8 * 3 * 2
    for row in record_set.rows:
        record = record_set.read(row, 16)
        assert record["clip_id"] == row["clip_id"] and record["label"] == row["label"]
        assert record["frames"].shape == (tiny.NUM_FRAMES, 16, 16, 3)


def test_small_frames_are_area_averages(tiny_records):
    record_set = RecordSet(tiny_records / "faces")
    large, small = (record_set.read(record_set.rows[0], size)["frames"].astype(float) for size in (128, 16))
    np.testing.assert_allclose(small, large.reshape(-1, 16, 8, 16, 8, 3).mean((2, 4)), atol=1.0)


def test_damaged_bytes_are_a_corrupt_record_and_evaluation_lists_it(copy):
    file = split_file(copy, "test")
    data = bytearray(file.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 4000] = bytes(4000)
    file.write_bytes(data)
    rows = [row for row in copy.rows if row["split"] == "test"]
    excluded, seen = [], []
    settings = dict(num_frames=tiny.NUM_FRAMES, frame_size=16, batch_size=4)
    for batch_rows, batch in eval_batches(copy, rows, **settings, excluded=excluded):
        assert batch["weight"].sum() == len(batch_rows)
        seen += [row["clip_id"] for row in batch_rows]
    assert excluded and len(seen) + len(excluded) == len(rows)
    assert all("corrupt record" in row["reason"] and row["clip_id"] not in seen for row in excluded)


def test_an_index_that_points_elsewhere_is_caught(copy):
    with pytest.raises(CorruptRecord, match="another clip"):
        copy.read({**copy.rows[0], "position": copy.rows[0]["position"] + 1})


def test_training_stops_at_a_corrupt_record_with_one_line(copy):
    file = split_file(copy, "train")
    file.write_bytes(file.read_bytes()[:70_000] + bytes(file.stat().st_size - 70_000))
    clips = clip_views(copy.rows, compressions=("raw", "c23"), methods=tiny.METHODS, split="train")
    reader = ClipReader(copy, num_frames=tiny.NUM_FRAMES, frame_size=16)
    batches = training_batches(reader, BalancedSampler(clips, batch_size=8, seed=0), steps=3, read_threads=1)
    with pytest.raises(UserError, match="corrupt record .* prepare"):
        list(batches)


def test_two_processes_read_the_halves_of_one_batch(tiny_records):
    record_set = RecordSet(tiny_records / "faces")
    clips = clip_views(record_set.rows, compressions=("raw", "c23"), methods=tiny.METHODS, split="train")
    sampler = BalancedSampler(clips, batch_size=8, seed=0)
    reader = ClipReader(record_set, num_frames=tiny.NUM_FRAMES, frame_size=16, cache_mb=64)
    settings = dict(steps=2, read_threads=1)
    whole = list(training_batches(reader, sampler, **settings))
    halves = [list(training_batches(reader, sampler, **settings, process_index=i, process_count=2)) for i in range(2)]
    for step in range(2):
        for name in whole[0]:
            joined = np.concatenate([half[step][name] for half in halves])
            np.testing.assert_array_equal(joined, whole[step][name])


def test_unfinished_or_damaged_folders_say_what_to_run(copy):
    (copy.directory / "clips.jsonl").write_text("{not json\n")
    with pytest.raises(UserError, match="main.py prepare"):
        RecordSet(copy.directory)
    (copy.directory / "prepare.json").unlink()
    with pytest.raises(UserError, match="main.py prepare"):
        RecordSet(copy.directory)
