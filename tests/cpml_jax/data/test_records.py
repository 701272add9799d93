"""Records read back: views, sizes, and what damage looks like."""

import numpy as np
import pytest
import tiny

from cpml_jax.data import frames, records
from cpml_jax.data.records import CorruptRecord, RecordSet
from cpml_jax.errors import UserError


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


@pytest.mark.parametrize("frame_size", [16, None])
def test_stills_are_whole_frames_whatever_size_the_others_have(tiny_records, frame_size):
    record_set = RecordSet(tiny_records / "faces")
    whole, given = (record_set.read(record_set.rows[0], *arguments) for arguments in ((), (frame_size, (0, 7, 99))))
    np.testing.assert_array_equal(given["stills"], whole["frames"][[0, 7]])  # the record has no frame 99
    assert ("frames" in given) == (frame_size is not None) and "stills" not in whole
    assert given.keys() - {"frames", "stills"} == whole.keys() - {"frames"}


def test_what_nobody_reads_is_not_decoded(tiny_records, monkeypatch):
    record_set, decoded = RecordSet(tiny_records / "faces"), []
    decode = frames.decode
    monkeypatch.setattr(frames, "decode", lambda *arguments: decoded.append(1) or decode(*arguments))
    for size, stills, count in ((None, (), 0), (None, (0, 5), 2), (16, (0, 5), tiny.NUM_FRAMES)):
        decoded.clear()
        record_set.read(record_set.rows[0], size, stills)
        assert len(decoded) == count


def test_an_index_that_points_elsewhere_is_caught(copied_records):
    with pytest.raises(CorruptRecord, match="another clip"):
        copied_records.read({**copied_records.rows[0], "position": copied_records.rows[0]["position"] + 1})


def test_unfinished_or_damaged_folders_say_what_to_run(copied_records):
    (copied_records.directory / "clips.jsonl").write_text("{not json\n")
    with pytest.raises(UserError, match="main.py prepare"):
        RecordSet(copied_records.directory)
    (copied_records.directory / "prepare.json").unlink()
    with pytest.raises(UserError, match="main.py prepare"):
        RecordSet(copied_records.directory)


@pytest.mark.parametrize("name", [records.INDEX, records.EXCLUDED, records.SUMMARY])
def test_another_letter_in_a_list_is_named(copied_records, name):
    """Still JSON, with another meaning: a label, a split, a reason."""
    path = copied_records.directory / name
    text = path.read_text()
    for before, after in (('"label": 1', '"label": 0'), ("train", "tra1n"), ("made", "mode")):
        if before in text:
            path.write_text(text.replace(before, after, 1))
            with pytest.raises(UserError, match=f"{name}: damaged since it was prepared"):
                RecordSet(copied_records.directory)
            return
    path.write_text("\n")
    with pytest.raises(UserError, match=f"{name}: damaged since it was prepared"):
        RecordSet(copied_records.directory)


def test_a_description_that_names_foreign_code_is_refused_before_it_is_imported(copied_records, tmp_path, monkeypatch):
    """TFDS imports the module of every class that features.json names."""
    (tmp_path / "planted_feature.py").write_text("raise SystemExit('ran')")
    monkeypatch.syspath_prepend(tmp_path)
    (described,) = copied_records.directory.rglob(records.FEATURES)
    text = described.read_text()
    described.write_text(text.replace("tensorflow_datasets.core.features.text_feature.Text", "planted_feature.Text"))
    with pytest.raises(UserError, match=r"features\.json: 'planted_feature\.Text' is no class of TFDS's own"):
        copied_records.read(copied_records.rows[0])
    described.write_text("{")
    with pytest.raises(UserError, match=r"features\.json: damaged since it was prepared"):
        RecordSet(copied_records.directory)
    (copied_records.directory / records.SUMS).unlink()  # as a stranger would
    with pytest.raises(UserError, match=r"features\.json: missing or not readable"):
        RecordSet(copied_records.directory).read(copied_records.rows[0])
