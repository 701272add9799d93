"""Records -> ArrayRecord files, written by TFDS, without TensorFlow."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterable, Iterator
from pathlib import Path
from unittest import mock

import numpy as np
import tensorflow_datasets as tfds
from tensorflow_datasets.core.example_serializer import ExampleSerializer

from cpml_jax.records import DATASET, open_split
from cpml_jax.schema import CROP_SIZE, RECORD, SCHEMA_VERSION, Field


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


class Clips(tfds.core.GeneratorBasedBuilder):
    """schema.RECORD as a TFDS data set; `splits` gives each split's records."""

    VERSION = tfds.core.Version(SCHEMA_VERSION)
    name = DATASET

    def __init__(self, *, splits: dict[str, Iterable[dict]], num_frames: int, **kwargs):
        self._splits, self._num_frames = splits, num_frames
        super().__init__(file_format="array_record", **kwargs)

    def _info(self) -> tfds.core.DatasetInfo:
        features = {field.name: _feature(field, self._num_frames) for field in RECORD}
        return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(features))

    def _split_generators(self, dl_manager):
        return {split: self._examples(records) for split, records in self._splits.items()}

    def _generate_examples(self):
        raise NotImplementedError("records come with the splits")

    @staticmethod
    def _examples(records: Iterable[dict]) -> Iterator[tuple[str, dict]]:
        for record in records:
            yield record["clip_id"], record


def _in_one_order(serializer: ExampleSerializer, example: dict) -> bytes:
    """TFDS's serialize_example with the fields in one order: protobuf's own changes from process to process."""
    return serializer.get_tf_example(example).SerializeToString(deterministic=True)


def write(directory: Path, splits: dict[str, Iterable[dict]], num_frames: int) -> dict[str, list[str]]:
    """Write the records; the same records give the same bytes, in whatever order they come.

    Args:
      directory: gets clips/<version>/.
      splits: name -> records: dicts of schema.RECORD, frames as JPEG bytes.
      num_frames: of a clip.

    Returns:
      split -> clip ids in the order of the data source's positions.
    """
    tfds.disable_progress_bar()
    builder = Clips(splits=splits, num_frames=num_frames, data_dir=str(directory))
    ordered = mock.patch.object(ExampleSerializer, "serialize_example", _in_one_order)
    with ordered, contextlib.redirect_stdout(io.StringIO()):  # TFDS announces a download that is none
        builder.download_and_prepare(download_dir=str(directory / "work"))
    order = {}
    for split in splits:
        source = open_split(builder, split)
        order[split] = [source[position]["clip_id"].decode() for position in range(len(source))]
    return order
