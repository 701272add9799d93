"""ArrayRecord shards: their order, their sizes, and TFDS's reading them."""

import pytest
import tensorflow_datasets as tfds
from tensorflow_datasets.core.utils.shard_utils import ShardConfig

from cpml_jax.data.records import DATASET
from cpml_jax.schema import RECORD, SCHEMA_VERSION
from data_prep.records import shards
from data_prep.records.work_file import Entry
from tests.data_prep.records.shard_files import SHARD_BYTES, differing, files, read_back, write_two_splits


@pytest.fixture(autouse=True)
def small_shards(monkeypatch):
    """As many shards of these few records as FF++ would have of its many."""
    monkeypatch.setattr(ShardConfig, "min_shard_size", SHARD_BYTES)


def test_shards_keep_the_order_and_are_even():
    made = [Entry(str(i), "", i, 50_000) for i in range(37)]
    parts = shards.cut(made)
    assert len(parts) == 16 and sum(map(list, parts), []) == made
    assert {len(part) for part in parts} == {2, 3}


def test_positions_are_those_of_the_entries_in_more_than_ten_uneven_shards(tmp_path):
    splits, written = write_two_splits(tmp_path / "alone", None)
    assert len([name for name in written if "clips-train.array_record" in name]) == 16
    assert not [name for name in written if not ("array_record" in name or name.endswith(".json"))], "left over"
    for split, wanted in splits.items():
        read = read_back(tmp_path / "alone/faces", split, len(wanted))
        assert read == [entry.clip_id for entry in wanted]


def test_tfds_reads_the_metadata(tmp_path):
    splits, _ = write_two_splits(tmp_path / "alone", None)
    info = tfds.builder_from_directory(tmp_path / "alone/faces" / DATASET / SCHEMA_VERSION).info
    assert (info.name, str(info.version), info.file_format.name) == (DATASET, SCHEMA_VERSION, "ARRAY_RECORD")
    assert {split: info.splits[split].num_examples for split in info.splits} == {k: len(v) for k, v in splits.items()}
    assert set(info.features) == {field.name for field in RECORD}


def test_the_same_records_are_the_same_bytes_and_a_failed_shard_leaves_nothing(tmp_path, monkeypatch):
    _, one = write_two_splits(tmp_path / "one", None)
    _, other = write_two_splits(tmp_path / "other", None)
    assert differing(one, other) == []
    shard = shards.Shard(str(tmp_path / "x/a"), [], lambda _: iter([{"clip_id": "no record"}]), 8)
    (tmp_path / "x").mkdir()
    with pytest.raises(Exception):  # noqa: B017 - TFDS's own
        shards.write_shard(shard)
    assert files(tmp_path / "x") == {}
