"""Records -> ArrayRecord shards: a TFDS builder, without TensorFlow, on this machine or in a Beam pipeline.

TFDS's own writers are not used: the one sorts through TensorFlow's files beyond 1 GB a split, its Beam twin cuts other
shards, and neither writes a record's fields in one order. Here the order and the shards are fixed before anything is
written, so that a shard is a job on its own, and the same bytes wherever it is done.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import io
import os
import sys
import uuid
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import tensorflow_datasets as tfds
from tensorflow_datasets.core import file_adapters
from tensorflow_datasets.core.example_serializer import ExampleSerializer
from tensorflow_datasets.core.utils import shard_utils
from tqdm import tqdm

from cpml_jax.data.records import DATASET
from cpml_jax.schema import CROP_SIZE, RECORD, SCHEMA_VERSION, Field
from data_prep.records import beam
from data_prep.records.work_file import Entry

Reader = Callable[[Sequence[Entry]], Iterator[dict]]  # entries -> their records (schema.RECORD), in that order


class InOneOrder(ExampleSerializer):
    """TFDS's serializer with the fields in one order: protobuf's own changes from process to process."""

    def serialize_example(self, example: dict) -> bytes:
        return self.get_tf_example(example).SerializeToString(deterministic=True)


@dataclasses.dataclass(frozen=True)
class Shard:
    """One ArrayRecord file to be; small, and all that a worker must be told."""

    path: str
    examples: Callable[[], Iterator[tuple[str, dict]]]
    num_frames: int


def _feature(field: Field, num_frames: int):
    if field.name == "frames":
        # Already JPEG: raw arrays would make TFDS ask TensorFlow to encode them.
        return tfds.features.Sequence(
            tfds.features.Image(shape=(CROP_SIZE, CROP_SIZE, 3), encoding_format="jpeg"), length=num_frames
        )
    if field.dtype == "str":
        return tfds.features.Text()
    shape = tuple(num_frames if size is None else size for size in field.shape)
    return tfds.features.Tensor(shape=shape, dtype=np.dtype(field.dtype))


def _features(num_frames: int) -> tfds.features.FeaturesDict:
    return tfds.features.FeaturesDict({field.name: _feature(field, num_frames) for field in RECORD})


def write_shard(shard: Shard) -> None:
    """Write one file, whole or not at all; safe to do twice, at once even, as Beam may."""
    features = _features(shard.num_frames)
    serializer = InOneOrder(features.get_serialized_info())
    coded = ((key, serializer.serialize_example(features.encode_example(record))) for key, record in shard.examples())
    temporary = f"{shard.path}.{uuid.uuid4().hex}.tmp"
    try:
        file_adapters.ArrayRecordFileAdapter.write_examples(temporary, coded)
        os.replace(temporary, shard.path)
    finally:
        Path(temporary).unlink(missing_ok=True)


def _examples(read: Reader, entries: Sequence[Entry]) -> Iterator[tuple[str, dict]]:
    for record in read(entries):
        yield record["clip_id"], record


def cut(entries: Sequence[Entry]) -> list[Sequence[Entry]]:
    """Shards as TFDS sizes them (64 MiB or more, 1024 at most where that suffices), of equal numbers of records."""
    number = shard_utils.ShardConfig.calculate_number_shards(sum(entry.size for entry in entries), len(entries))
    ends = shard_utils.get_shard_boundaries(len(entries), number)
    return [entries[start:end] for start, end in zip([0, *ends[:-1]], ends, strict=True)]


class Clips(tfds.core.ShardBasedBuilder):
    """schema.RECORD as a TFDS data set.

    DownloadConfig's beam_runner and beam_options decide where the shards are written.
    """

    VERSION = tfds.core.Version(SCHEMA_VERSION)
    name = DATASET

    def __init__(self, *, splits: dict[str, Sequence[Entry]], read: Reader, num_frames: int, bar=None, **kwargs):
        self._shards = {split: cut(entries) for split, entries in splits.items()}
        self._read, self._num_frames, self._bar = read, num_frames, bar
        super().__init__(file_format="array_record", **kwargs)

    def _info(self) -> tfds.core.DatasetInfo:
        return tfds.core.DatasetInfo(builder=self, features=_features(self._num_frames))

    def _shard_iterators_per_split(self, dl_manager=None) -> dict:
        return {
            split: [functools.partial(_examples, self._read, entries) for entries in shards]
            for split, shards in self._shards.items()
        }

    def _download_and_prepare(self, dl_manager, download_config) -> None:
        # In place of TFDS's own, which with Beam writes the first split once more for every further one, and takes
        # the lengths of more than ten shards in the order 0, 1, 10, 2.
        shards: dict[str, list[Shard]] = {}
        for split, iterators in self._shard_iterators_per_split(dl_manager).items():
            name = self._get_filename_template(split_name=split).sharded_filepath
            shards[split] = [
                Shard(os.fspath(name(shard_index=i, num_shards=len(iterators))), examples, self._num_frames)
                for i, examples in enumerate(iterators)
            ]
        self._write([shard for split in shards.values() for shard in split], download_config)
        infos = [
            tfds.core.SplitInfo(
                name=split,
                shard_lengths=[len(entries) for entries in self._shards[split]],
                num_bytes=sum(os.path.getsize(shard.path) for shard in shards[split]),
                filename_template=self._get_filename_template(split_name=split),
            )
            for split in shards
        ]
        self.info.set_splits(tfds.core.splits.SplitDict(infos))

    def _write(self, shards: list[Shard], download_config) -> None:
        if download_config.beam_runner is not None:
            files = [Path(shard.path) for shard in shards]
            beam.run("WriteShards", write_shard, shards, files, download_config.beam_runner,
                     download_config.beam_options)  # fmt: skip
            return
        for shard in shards:
            write_shard(dataclasses.replace(shard, examples=functools.partial(_counted, shard.examples, self._bar)))


def _counted(examples: Callable[[], Iterator], bar) -> Iterator:
    for example in examples():
        yield example
        bar.update()


def write(
    directory: Path,
    splits: dict[str, Sequence[Entry]],
    read: Reader,
    num_frames: int,
    *,
    progress: bool = False,
    download_config: tfds.download.DownloadConfig | None = None,
) -> None:
    """Write the records, in the order of the entries: position i of a split's data source is its i-th entry.

    Args:
      directory: gets clips/<version>/.
      splits: name -> where its records lie; none empty.
      read: gives them, frames as JPEG bytes, a work file in memory at a time. With Beam it is pickled.
      num_frames: of a clip.
      progress: a bar on stderr; with Beam its runner shows its own.
      download_config: beam_runner and beam_options, to write the shards in a Beam pipeline; the bytes are the same.

    Raises:
      UserError: the pipeline failed, or its workers do not share this storage.
    """
    tfds.disable_progress_bar()
    download_config = (download_config or tfds.download.DownloadConfig()).replace(try_download_gcs=False)
    directory = Path(os.path.abspath(directory))  # another machine's working folder is another one
    total = sum(len(entries) for entries in splits.values())
    alone = download_config.beam_runner is None
    with tqdm(
        total=total, desc=f"pack {directory.name}", unit="clip", file=sys.stderr,
        disable=not (progress and alone), dynamic_ncols=True,
    ) as bar:  # fmt: skip
        builder = Clips(splits=splits, read=read, num_frames=num_frames, bar=bar, data_dir=str(directory))
        with contextlib.redirect_stdout(io.StringIO()):  # TFDS announces a download that is none
            builder.download_and_prepare(download_dir=str(directory / "work"), download_config=download_config)
