"""Packing: the order of the index, counts, and two videos of one name."""

import hashlib

import numpy as np
import pytest

from cpml_jax.errors import UserError
from data_prep.records import pack, work_file
from data_prep.records.pack import Contents
from tests.data_prep.records.shard_files import entries


def contents(tmp_path) -> Contents:
    entries(tmp_path / "a.npz", 3)
    made = Contents(tmp_path)
    made.add(tmp_path / "a.npz", work_file.describe("faces", tmp_path / "a.npz"))
    return made


def test_positions_count_through_a_split(tmp_path):
    made = contents(tmp_path)
    assert [row["position"] for row in made.rows.values()] == [0, 1, 2]
    assert [entry.clip_id for entry in made.entries["train"]] == list(made.rows)
    digest = b"".join(clip_id.encode() + made.digests[clip_id] for clip_id in sorted(made.rows))
    assert made.sha256() == hashlib.sha256(digest).hexdigest()


def test_the_digest_covers_every_array(tmp_path):
    row = next(work_file.stream("faces", entries(tmp_path / "a.npz", 1)))
    digest = work_file.digest(row)
    for name in ("landmarks", "valid", "box", "pulse_pos"):
        changed = np.array(row[name])
        changed[0] = ~changed[0] if changed.dtype == bool else changed[0] + 1
        assert work_file.digest(row | {name: changed}) != digest, name
    assert work_file.digest(row | {"frames": list(reversed(row["frames"]))}) != digest


def test_two_videos_that_give_one_clip_are_an_error_that_names_it(tmp_path):
    made = contents(tmp_path)
    with pytest.raises(UserError, match="two videos give the clip 'faces/real/raw/000/0'; rename one"):
        made.add(tmp_path / "b.npz", work_file.describe("faces", tmp_path / "a.npz"))


def test_the_text_has_the_counts_the_pulse_and_the_reasons():
    summary = {
        "clips": {"test/real/raw": 2, "test/real/c40": 1, "test/Deepfakes/raw": 3, "total": 6},
        "pulse_correlation": {"real/raw": [0.91, 0.02, 2]},
        "excluded": {"no face found in the video": 4},
    }
    lines = pack.summary_text("faces", summary).splitlines()
    assert lines[0] == "faces: 6 clips" and lines[1].split() == ["split", "method", "raw", "c40"]
    assert lines[2].split() == ["test", "Deepfakes", "3", "0"] and lines[3].split() == ["test", "real", "2", "1"]
    assert "real/raw: 0.91 ± 0.02 (2 clips)" in lines[4] and lines[5] == "  excluded 4: no face found in the video"
