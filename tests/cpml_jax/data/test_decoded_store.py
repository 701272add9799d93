"""Clips kept decoded: the same bits as decoding, whatever happens to the folder."""

import shutil

import numpy as np
import pytest
import tiny

from cpml_jax.data import decoded_store
from cpml_jax.data.clip_reader import ClipReader
from cpml_jax.data.decoded_store import DecodedStore
from cpml_jax.data.input_pipeline import eval_batches, training_batches
from cpml_jax.data.records import RecordSet
from cpml_jax.data.sampler import BalancedSampler, clip_views

SIZE = tiny.input_size(num_frames=12)


def sampler_of(records):
    clips = clip_views(records.rows, compressions=tiny.COMPRESSIONS, methods=tiny.METHODS, split="train")
    return BalancedSampler(clips, batch_size=4, seed=0)


def batches(records, store, size=SIZE):
    reader = ClipReader(records, size, store=store)
    training = list(training_batches(reader, sampler_of(records), steps=2, read_threads=2))
    return training + [batch for _, batch in eval_batches(records, records.rows[:7], size, excluded=[], store=store)]


def assert_same(some, others):
    for batch, other in zip(some, others, strict=True):
        assert batch.keys() == other.keys()
        for name in batch:
            np.testing.assert_array_equal(batch[name], other[name], err_msg=name)


def count_decoding(monkeypatch) -> list:
    decoded, read = [], RecordSet.read
    monkeypatch.setattr(RecordSet, "read", lambda *a, **k: decoded.append(a[1]["clip_id"]) or read(*a, **k))
    return decoded


def test_kept_clips_have_the_same_bits_and_are_decoded_once(tiny_records, tmp_path, monkeypatch):
    records = RecordSet(tiny_records / "faces")
    expected = batches(records, None)
    decoded = count_decoding(monkeypatch)
    first = batches(records, DecodedStore(tmp_path, records, SIZE))
    assert set(decoded) and len(set(decoded)) <= len(decoded)
    decoded.clear()
    again = batches(records, DecodedStore(tmp_path, records, SIZE))  # another run
    assert not decoded
    assert_same(first, expected)
    assert_same(again, expected)


def flipped(data: bytes, bit: int) -> bytes:
    return data[: bit // 8] + bytes([data[bit // 8] ^ 1 << bit % 8]) + data[bit // 8 + 1 :]


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data[:-1], lambda data: data + b"x", lambda data: b"", lambda data: flipped(data, 77),
        lambda data: flipped(data, 8 * len(data) - 1),
    ],
)  # fmt: skip
def test_a_damaged_file_is_decoded_anew_and_replaced(tiny_records, tmp_path, damage):
    records = RecordSet(tiny_records / "faces")
    row, store = records.rows[3], DecodedStore(tmp_path, records, SIZE)
    reader = ClipReader(records, SIZE, store=store)
    expected = reader(row)
    (file,) = store.folder.iterdir()
    whole = file.read_bytes()
    file.write_bytes(damage(whole))
    assert store.load(row["clip_id"], {}) is None
    clip = reader(row)
    for name, array in expected.items():
        np.testing.assert_array_equal(clip[name], array)
    assert file.read_bytes() == whole and list(store.folder.iterdir()) == [file]


def test_other_records_sizes_or_code_have_another_folder(copied_records, tmp_path, monkeypatch):
    records = copied_records
    folders = [DecodedStore(tmp_path, records, SIZE).folder]
    for change in (
        {"num_frames": 8}, {"frame_size": 32}, {"inputs": ("frames",)}, {"num_stills": 3}, {"texture_cells": 6},
    ):  # fmt: skip
        folders.append(DecodedStore(tmp_path, records, tiny.input_size(**{"num_frames": 12} | change)).folder)
    assert DecodedStore(tmp_path, records, tiny.input_size(num_frames=12, batch_size=2)).folder == folders[0]
    without = [DecodedStore(tmp_path, records, tiny.input_size(inputs=("landmarks",), frame_size=s)) for s in (16, 32)]
    assert without[0].folder == without[1].folder  # nothing reads frames
    code = tmp_path / "texture.py"
    shutil.copy(decoded_store.__file__, code)
    with monkeypatch.context() as patch:
        patch.setattr(decoded_store, "_code", lambda: [code])
        folders.append(DecodedStore(tmp_path, records, SIZE).folder)
        code.write_text(code.read_text() + "\n")
        folders.append(DecodedStore(tmp_path, records, SIZE).folder)
    summary = records.directory / "prepare.json"
    summary.write_text(summary.read_text().replace('"sha256": "', '"sha256": "0', 1))
    folders.append(DecodedStore(tmp_path, records, SIZE).folder)
    assert len(set(folders)) == len(folders)
    assert not any(folder.exists() for folder in folders)  # until a clip is kept


def test_where_nothing_can_be_written_training_goes_on_and_says_so_once(tiny_records, tmp_path, capsys):
    records = RecordSet(tiny_records / "faces")
    (tmp_path / "decoded").write_text("a file where a folder should be")
    assert_same(batches(records, DecodedStore(tmp_path / "decoded", records, SIZE)), batches(records, None))
    said = [line for line in "".join(capsys.readouterr()).splitlines() if "data.decoded" in line]
    assert len(said) == 1 and "decoded anew" in said[0]
