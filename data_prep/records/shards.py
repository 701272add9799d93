"""Records -> ArrayRecord shards that TFDS reads, written without TensorFlow, on this machine or in a Beam pipeline.

TFDS's writers are not used: one sorts through TensorFlow's files beyond 1 GB per split, its Beam twin cuts other
shards, and neither writes a record's fields in one order. Here the order and the shards are fixed before anything is
written, so each shard is a job of its own, and gives the same bytes wherever it is done. TFDS's metadata follow.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import tensorflow_datasets as tfds
from array_record.python.array_record_module import ArrayRecordWriter
from tensorflow_datasets.core.example_serializer import ExampleSerializer
from tensorflow_datasets.core.utils import shard_utils
from tqdm import tqdm

from cpml_jax.data.records import DATASET
from cpml_jax.files import replacing
from cpml_jax.schema import CROP_SIZE, RECORD, SCHEMA_VERSION, Field
from data_prep.records.beam import Pipelines
from data_prep.records.work_file import Entry

Reader = Callable[[Sequence[Entry]], Iterator[dict]]  # entries -> their records (schema.RECORD), in that order
ONE_PER_GROUP = "group_size:1"  # ArrayRecord's option for reading any record by itself


class InOneOrder(ExampleSerializer):
    """TFDS's serializer with the fields in one order: protobuf's own changes from process to process."""

    def serialize_example(self, example: dict) -> bytes:
        return self.get_tf_example(example).SerializeToString(deterministic=True)


@dataclasses.dataclass(frozen=True)
class Shard:
    """An ArrayRecord file to be written: small, and all that a worker needs to know."""

    path: str
    entries: Sequence[Entry]
    read: Reader
    num_frames: int


def features(num_frames: int) -> tfds.features.FeaturesDict:
    """schema.RECORD as TFDS describes it."""
    return tfds.features.FeaturesDict({field.name: _feature(field, num_frames) for field in RECORD})


def _feature(field: Field, num_frames: int) -> tfds.features.FeatureConnector:
    if field.name == "frames":
        # Already JPEG: raw arrays would make TFDS ask TensorFlow to encode them.
        return tfds.features.Sequence(
            tfds.features.Image(shape=(CROP_SIZE, CROP_SIZE, 3), encoding_format="jpeg"), length=num_frames
        )
    if field.dtype == "str":
        return tfds.features.Text()
    shape = tuple(num_frames if size is None else size for size in field.shape)
    return tfds.features.Tensor(shape=shape, dtype=np.dtype(field.dtype))


def write_shard(shard: Shard, count: Callable[[], object] = lambda: None) -> None:
    """Write one file, whole or not at all; safe to do twice, even at once, as Beam may. `count` follows each record."""
    described = features(shard.num_frames)
    serializer = InOneOrder(described.get_serialized_info())
    with replacing(Path(shard.path)) as temporary:
        writer = ArrayRecordWriter(os.fspath(temporary), ONE_PER_GROUP)
        for record in shard.read(shard.entries):
            writer.write(serializer.serialize_example(described.encode_example(record)))
            count()
        writer.close()


def cut(entries: Sequence[Entry]) -> list[Sequence[Entry]]:
    """Shards as TFDS sizes them (64 MiB or more, 1024 at most where that suffices), of equal numbers of records."""
    number = shard_utils.ShardConfig.calculate_number_shards(sum(entry.size for entry in entries), len(entries))
    ends = shard_utils.get_shard_boundaries(len(entries), number)
    return [entries[start:end] for start, end in itertools.pairwise([0, *ends])]


def write(
    directory: Path,
    splits: dict[str, Sequence[Entry]],
    read: Reader,
    num_frames: int,
    *,
    progress: bool = False,
    pipelines: Pipelines | None = None,
) -> None:
    """Write the records, in the order of the entries: position i of a split's data source is its i-th entry.

    Args:
      directory: gets clips/<version>/.
      splits: name -> where its records lie; none empty.
      read: gives them, frames as JPEG bytes, one work file in memory at a time. With Beam it is pickled.
      num_frames: of a clip.
      progress: a bar on stderr; with Beam its runner shows its own.
      pipelines: write the shards there; the bytes are the same. None: here.

    Raises:
      UserError: the pipeline failed, or its workers do not share this storage.
    """
    # Absolute: a worker on another machine has another working folder.
    folder = Path(os.path.abspath(directory)) / DATASET / SCHEMA_VERSION
    folder.mkdir(parents=True, exist_ok=True)
    shards = {split: shards_of(folder, split, entries, read, num_frames) for split, entries in splits.items()}
    everything = [shard for of_split in shards.values() for shard in of_split]
    if pipelines:
        pipelines.run("WriteShards", write_shard, everything, [Path(shard.path) for shard in everything])
    else:
        total = sum(len(entries) for entries in splits.values())
        with tqdm(
            total=total,
            desc=f"pack {directory.name}",
            unit="clip",
            file=sys.stderr,
            disable=not progress,
            dynamic_ncols=True,
        ) as bar:
            for shard in everything:
                write_shard(shard, functools.partial(bar.update))
    tfds.folder_dataset.write_metadata(
        data_dir=folder,
        features=features(num_frames),
        split_infos=[split_info(folder, split, of_split) for split, of_split in shards.items()],
        version=SCHEMA_VERSION,
        filename_template=template(folder),
        check_data=False,  # it would import TensorFlow
    )


def template(folder: Path, split: str | None = None) -> tfds.core.ShardedFileTemplate:
    """TFDS's names of the files, clips-test.array_record-00000-of-00001."""
    return tfds.core.ShardedFileTemplate(
        data_dir=folder,
        dataset_name=DATASET,
        split=split,
        filetype_suffix=tfds.core.FileFormat.ARRAY_RECORD.file_suffix,
    )


def shards_of(folder: Path, split: str, entries: Sequence[Entry], read: Reader, num_frames: int) -> list[Shard]:
    """The shards of a split, in its order."""
    name = template(folder, split).sharded_filepath
    parts = cut(entries)
    return [
        Shard(os.fspath(name(shard_index=index, num_shards=len(parts))), part, read, num_frames)
        for index, part in enumerate(parts)
    ]


def split_info(folder: Path, split: str, shards: list[Shard]) -> tfds.core.SplitInfo:
    """What TFDS must know of a split whose shards are written."""
    return tfds.core.SplitInfo(
        name=split,
        shard_lengths=[len(shard.entries) for shard in shards],
        num_bytes=sum(os.path.getsize(shard.path) for shard in shards),
        filename_template=template(folder, split),
    )
