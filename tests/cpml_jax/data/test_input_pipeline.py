"""Records -> batches: padding, damage, the cache, and a position that can be restored."""

import numpy as np
import pytest
import tiny

from cpml_jax import cores
from cpml_jax.data import input_pipeline
from cpml_jax.data.batch import stack_views
from cpml_jax.data.clip_reader import ClipReader
from cpml_jax.data.input_pipeline import eval_batches, one_ahead, read_ahead, training_batches
from cpml_jax.data.records import CorruptRecord, RecordSet
from cpml_jax.data.sampler import BalancedSampler, clip_views
from cpml_jax.errors import UserError

SIZE = tiny.input_size()


def reader_of(records, cache_mb=0, **changes):
    return ClipReader(records, tiny.input_size(**changes), cache_mb=cache_mb)


def sampler_of(records):
    clips = clip_views(records.rows, compressions=tiny.COMPRESSIONS, methods=tiny.METHODS, split="train")
    return BalancedSampler(clips, batch_size=8, seed=0)


def of_split(records, split):
    return [row for row in records.rows if row["split"] == split]


def split_file(records, split):
    return next(records.directory.rglob(f"*{split}.array_record*"))


def assert_equal(batch, expected):
    assert batch.keys() == expected.keys()
    for name in batch:
        np.testing.assert_array_equal(batch[name], expected[name], err_msg=name)


def test_evaluation_sees_every_row_once_in_batches_of_one_shape(tiny_records):
    records, excluded = RecordSet(tiny_records / "faces"), []
    rows = of_split(records, "test")
    batches = list(eval_batches(records, rows, SIZE, excluded=excluded))
    assert [row["clip_id"] for some, _ in batches for row in some] == [row["clip_id"] for row in rows]
    assert {batch["frames"].shape for _, batch in batches} == {(5, 1, 16, 16, 16, 3)} and not excluded
    last_rows, last = batches[-1]
    assert len(last_rows) == len(rows) % 5 == 2 and last["weight"].tolist() == [1, 1, 0, 0, 0]
    np.testing.assert_array_equal(last["landmarks"][2:], last["landmarks"][[0, 0, 0]])
    assert last["label"].tolist()[:2] == [row["label"] for row in last_rows]


@pytest.mark.parametrize("measure", [None, lambda record: {"pixels": np.array(record["frames"].shape[1:3])}])
def test_stills_are_evenly_spaced_whole_frames(tiny_records, measure):
    records = RecordSet(tiny_records / "faces")
    row, size = records.rows[0], tiny.input_size(num_frames=12, num_stills=3)
    clip = ClipReader(records, size, measure=measure)(row)
    np.testing.assert_array_equal(clip["stills"], records.read(row)["frames"][[0, 6, 11]])
    np.testing.assert_array_equal(clip["frames"], records.read(row, tiny.FRAME_SIZE)["frames"][:12])
    assert measure is None or clip["pixels"].tolist() == [128, 128]


def test_damaged_bytes_are_a_corrupt_record_and_evaluation_lists_it(copied_records):
    file = split_file(copied_records, "test")
    data = bytearray(file.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 4000] = bytes(4000)
    file.write_bytes(data)
    rows = of_split(copied_records, "test")
    excluded, scored = [], []
    for batch_rows, batch in eval_batches(copied_records, rows, SIZE, excluded=excluded):
        assert batch["weight"].sum() == len(batch_rows)
        scored += [row["clip_id"] for row in batch_rows]
    assert excluded and len(scored) + len(excluded) == len(rows)
    assert all("corrupt record" in row["reason"] and row["clip_id"] not in scored for row in excluded)


def test_training_stops_at_a_corrupt_record_with_one_line(copied_records):
    file = split_file(copied_records, "train")
    file.write_bytes(file.read_bytes()[:70_000] + bytes(file.stat().st_size - 70_000))
    batches = training_batches(reader_of(copied_records), sampler_of(copied_records), steps=3, read_threads=1)
    with pytest.raises(UserError, match="corrupt record .* prepare"):
        list(batches)


def test_records_that_are_too_short_say_what_to_do(tiny_records):
    records = RecordSet(tiny_records / "faces")
    with pytest.raises(UserError, match="records hold 16 frames, data.num_frames=20; prepare them again"):
        reader_of(records, num_frames=20)(records.rows[0])


def test_two_processes_read_the_halves_of_one_batch(tiny_records):
    records = RecordSet(tiny_records / "faces")
    sampler, reader = sampler_of(records), reader_of(records, cache_mb=64)
    settings = dict(steps=2, read_threads=1)
    whole = list(training_batches(reader, sampler, **settings))
    halves = [list(training_batches(reader, sampler, **settings, process_index=i, process_count=2)) for i in range(2)]
    for step, batch in enumerate(whole):
        assert_equal({name: np.concatenate([half[step][name] for half in halves]) for name in batch}, batch)


def test_a_restored_position_goes_on_with_the_batch_that_would_have_come_next(tiny_records):
    records = RecordSet(tiny_records / "faces")
    sampler, reader = sampler_of(records), reader_of(records, cache_mb=64)
    batches = training_batches(reader, sampler, steps=4, read_threads=2)
    next(batches)
    position = batches.get_state()
    expected = list(batches)
    again = training_batches(reader, sampler, steps=4, read_threads=1)  # threads are no part of the position
    again.set_state(position)
    for batch, other in zip(list(again), expected, strict=True):
        assert_equal(batch, other)


@pytest.mark.parametrize("cache_mb", [0, 64])
@pytest.mark.parametrize("read_threads", [0, 1, 7])
def test_a_step_has_the_same_batch_whatever_the_number_of_threads(tiny_records, read_threads, cache_mb):
    """And the one that stacking clips gives, each read for itself."""
    records = RecordSet(tiny_records / "faces")
    sampler, reader = sampler_of(records), reader_of(records, cache_mb)
    batches = list(training_batches(reader, sampler, steps=3, read_threads=read_threads))
    for step, batch in enumerate(batches):
        clips = sampler.batch(step)
        expected = stack_views(
            [[reader_of(records)(row) for row in clip] for clip in clips], [clip[0]["label"] for clip in clips]
        )
        assert_equal({name: batch[name] for name in expected}, expected)


def test_batches_ahead_are_bounded_whatever_the_number_of_threads(tiny_records):
    records, begun = RecordSet(tiny_records / "faces"), set()

    class Sampler:
        def batch(self, step):
            begun.add(step)
            return sampler.batch(step)

    sampler = sampler_of(records)
    batches = training_batches(reader_of(records, cache_mb=64), Sampler(), steps=12, read_threads=16)
    for taken in range(1, 6):
        next(batches)
        assert max(begun) < taken + input_pipeline.AHEAD


def test_batches_do_not_share_memory(tiny_records):
    records = RecordSet(tiny_records / "faces")
    batches = list(training_batches(reader_of(records, cache_mb=64), sampler_of(records), steps=4, read_threads=2))
    assert not any(np.shares_memory(a["frames"], b["frames"]) for a in batches for b in batches if a is not b)


def test_one_thread_per_core_that_may_be_used(monkeypatch):
    monkeypatch.setattr(cores.os, "sched_getaffinity", lambda _: {3, 5, 9}, raising=False)
    assert [input_pipeline.reading_threads(n) for n in (0, 1, 40)] == [3, 1, 40]


def test_one_is_made_ahead_and_errors_come_in_their_turn():
    made = []

    def items():
        for n in range(5):
            made.append(n)
            if n == 3:
                raise UserError("three")
            yield n

    coming = one_ahead(items())
    assert [next(coming), next(coming)] == [0, 1] and max(made) <= 2
    assert next(coming) == 2
    with pytest.raises(UserError, match="three"):
        next(coming)
    assert list(one_ahead(iter([]))) == []
    early = one_ahead(iter(range(10)))
    next(early)
    early.close()


def test_frames_that_are_not_read_are_not_decoded(tiny_records, monkeypatch):
    """A damaged one among them leaves the clip as it is; in OpenCV's time they were decoded and thrown away."""
    records = RecordSet(tiny_records / "faces")
    whole = records.read_coded
    monkeypatch.setattr(
        records, "read_coded", lambda row: whole(row) | {"frames": [*whole(row)["frames"][:12], *[b"damaged"] * 4]}
    )
    clip = reader_of(records, num_frames=12)(records.rows[0])
    assert clip["frames"].shape[0] == 12
    with pytest.raises(CorruptRecord, match="frame 12"):
        reader_of(records, num_frames=16)(records.rows[0])


def test_classes_are_numbers_of_methods(tiny_records):
    records = RecordSet(tiny_records / "faces")
    classes = {"real": 0, "Deepfakes": 1, "FaceSwap": 2}
    settings = dict(steps=3, read_threads=1)
    batches = list(training_batches(reader_of(records), sampler_of(records), **settings, classes=classes))
    numbers, labels = (np.concatenate([batch[name] for batch in batches]) for name in ("class_index", "label"))
    np.testing.assert_array_equal(np.minimum(numbers, 1), labels)
    assert set(numbers.tolist()) == {0, 1, 2}


def test_a_clip_without_a_measurable_pulse_has_no_trace_to_teach(tiny_records):
    """Noise gives as strong a pulse too often, or it was not measured; the default keeps every trace."""
    records = RecordSet(tiny_records / "faces")
    kept = next(training_batches(reader_of(records), sampler_of(records), steps=1, read_threads=1))
    ratios = {row["clip_key"]: value for row, value in zip(records.rows, [0.2, np.nan, 0.05, 0.01] * 100, strict=False)}
    for row in records.rows:
        row["snr_p_pos"] = ratios[row["clip_key"]]
    batch = next(training_batches(reader_of(records), sampler_of(records), steps=1, read_threads=1, pulse_snr_p=0.05))
    expected = [ratios[clip[0]["clip_key"]] <= 0.05 for clip in sampler_of(records).batch(0)]
    assert np.any(kept["pulse"] != 0, axis=1).all() and len(set(expected)) == 2
    np.testing.assert_array_equal(np.any(batch["pulse"] != 0, axis=1), expected)
    np.testing.assert_array_equal(batch["pulse"][expected], kept["pulse"][expected])


def test_a_training_batch_says_which_clips_are_a_pair(tiny_records):
    records = RecordSet(tiny_records / "faces")
    sampler = sampler_of(records)
    for step, batch in enumerate(training_batches(reader_of(records), sampler, steps=3, read_threads=1)):
        rows = [clip[0] for clip in sampler.batch(step)]
        assert batch["pair"].dtype == np.int32
        for number, row in zip(batch["pair"], rows, strict=True):
            own = {r["target_video"] or r["video"] for r, n in zip(rows, batch["pair"], strict=True) if n == number}
            assert own == {row["target_video"] or row["video"]}


def test_the_cache_keeps_to_its_budget_and_forgets_the_least_recent(tiny_records):
    records = RecordSet(tiny_records / "faces")
    reads = []

    class Counting:
        directory = records.directory

        def read(self, row, frame_size, stills, **more):
            reads.append(row["clip_id"])
            return records.read(row, frame_size, stills, **more)

    reader = reader_of(Counting(), frame_size=64, cache_mb=1, inputs=("frames", "landmarks"))
    fits = (1 << 20) // (tiny.NUM_FRAMES * (64 * 64 * 3 + 68 * 2 * 4 + 4))
    rows = records.rows[: fits + 1]
    assert fits == 5
    first = reader(rows[0])
    for row in rows[1:fits]:
        reader(row)
    assert reader(rows[0]) is first and len(reads) == fits  # everything so far fits
    reader(rows[fits])  # one too many: rows[1] goes, for rows[0] was just used
    assert reader(rows[0]) is first and len(reads) == fits + 1
    reader(rows[1])
    assert reads[-1] == rows[1]["clip_id"] and len(reads) == fits + 2
    uncached = reader_of(Counting())
    assert uncached(rows[0]) is not uncached(rows[0])


def test_rows_are_read_ahead_in_order_and_no_further_than_asked():
    begun = []

    def read(row):
        begun.append(row["n"])
        if row["n"] == 3:
            raise CorruptRecord("three", "no such bytes")
        return {"n": np.asarray(row["n"])}

    results = read_ahead(read, [{"n": n} for n in range(40)], threads=3, ahead=4)
    first, reading = next(results)
    assert first == {"n": 0} and reading.result()["n"] == 0
    results.close()  # whoever stops early does not wait for the rest
    assert max(begun) <= 5
    answers = []
    for row, reading in read_ahead(read, [{"n": n} for n in range(9)], threads=3, ahead=4):
        try:
            answers.append(int(reading.result()["n"]) == row["n"])
        except CorruptRecord:
            answers.append(None)
    assert answers == [True] * 3 + [None] + [True] * 5
