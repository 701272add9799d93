"""Small work files and their shards, read back."""

import functools
from pathlib import Path

import numpy as np
import tensorflow_datasets as tfds
import tiny

from cpml_jax.data.records import DATASET, open_split
from cpml_jax.schema import SCHEMA_VERSION
from data_prep.records import beam, shards, work_file
from data_prep.records.work_file import Entry
from data_prep.video import jpeg

SHARD_BYTES = 60_000  # the smallest shard here, for as many shards of few records as FF++ has of many


def files(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def differing(one: dict[str, bytes], other: dict[str, bytes]) -> list[str]:
    return sorted(name for name in one.keys() | other.keys() if one.get(name) != other.get(name))


def entries(file: Path, count: int) -> list[Entry]:
    """A work file of `count` records, every one another."""
    rng = np.random.default_rng(1)
    records = [
        tiny.record(rng, jpeg, "train", "real", "raw", number, 0) | {"video": f"{number:03d}"}
        for number in range(count)
    ]
    work_file.write(file, records, [])
    actual = work_file.describe("faces", file)
    return [Entry(row["clip_id"], str(file), i, actual.sizes[i]) for i, row in enumerate(actual.rows)]


def read_back(directory: Path, split: str, count: int) -> list[str]:
    """Clip ids by position."""
    source = open_split(tfds.builder_from_directory(directory / DATASET / SCHEMA_VERSION), split)
    assert len(source) == count
    return [source[position]["clip_id"].decode() for position in range(count)]


def write_two_splits(root: Path, runner: str | None) -> tuple[dict, dict[str, bytes]]:
    root.mkdir()
    splits = {"train": entries(root / "a.npz", 37), "val": entries(root / "b.npz", 3)[::-1]}
    read = functools.partial(work_file.stream, "faces")
    pipelines = beam.Pipelines(runner) if runner else None
    shards.write(root / "faces", splits, read, tiny.NUM_FRAMES, pipelines=pipelines)
    return splits, files(root / "faces")
