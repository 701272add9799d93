"""Records on disk, read back: the index, and one clip at a time by random access. No TensorFlow is imported."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8
from ml_collections import ConfigDict

from cpml_jax import sums
from cpml_jax.data import frames
from cpml_jax.errors import UserError
from cpml_jax.files import parse_json
from cpml_jax.schema import CROP_SIZE

INDEX, EXCLUDED, SUMMARY = "clips.jsonl", "excluded.jsonl", "prepare.json"
SUMS = "records" + sums.SUFFIX  # of all files but the shards, which have their own
FEATURES, OWN = "features.json", "tensorflow_datasets."  # TFDS's description of a record, and where its classes lie
DATASET = "clips"  # TFDS's name of the data set inside a source's folder


class CorruptRecord(Exception):
    """A record that cannot be decoded; the run goes on without it and says so."""

    def __init__(self, clip_id: str, reason: str):
        super().__init__(f"{clip_id}: {reason}")
        self.clip_id, self.reason = clip_id, reason


def records_root(config: ConfigDict, workdir: str | Path) -> Path:
    return Path(config.data.records.replace("{workdir}", str(workdir)))


def records_dir(config: ConfigDict, workdir: str | Path, name: str) -> Path:
    """Folder of one source's records."""
    return records_root(config, workdir) / name


def is_finished(directory: Path) -> bool:
    """Whether a source's preparation has ended: its summary is written last."""
    return (directory / SUMMARY).is_file()


def _json_lines(path: Path) -> list[dict]:
    try:
        return [parse_json(line) for line in path.read_text().splitlines() if line.strip()]
    except (ValueError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: not readable as JSON lines ({error}); run `main.py prepare` again") from None


class RecordSet:
    """The prepared clips of one source.

    Attributes:
      name: name of the source.
      rows: one dict per clip: schema.INDEX_FIELDS and `position`, the clip's place in its split's ArrayRecord.
      excluded: a dict for every video or clip that preparation set aside, with its reason.
    """

    def __init__(self, directory: str | Path):
        self.directory = Path(directory)
        self.name = self.directory.name
        if not is_finished(self.directory):
            raise UserError(f"{self.directory}: no finished records here; run `main.py prepare` with the same --config")
        # ArrayRecord compares each chunk of a shard with its own hash when it is read.
        if damaged := sums.damage(self.directory / SUMS):
            raise UserError(
                f"{damaged} since it was prepared; delete {self.directory} and run `main.py prepare` again (or delete "
                f"{SUMS} there, if you have changed it yourself)"
            )
        self.rows = _json_lines(self.directory / INDEX)
        self.excluded = _json_lines(self.directory / EXCLUDED)

    @functools.cached_property
    def _builder(self):
        import tensorflow_datasets as tfds  # a second of start-up: only when records are read

        folders = sorted(path.parent for path in self.directory.rglob("dataset_info.json"))
        if not folders:
            raise UserError(f"{self.directory}: dataset_info.json is missing; run `main.py prepare` again")
        check_features(folders[-1] / FEATURES)
        return tfds.builder_from_directory(folders[-1])

    @functools.cache  # noqa: B019 - a record set lives as long as the run
    def _split(self, split: str):
        return open_split(self._builder, split)

    def read(
        self,
        row: dict,
        frame_size: int | None = CROP_SIZE,
        stills: Sequence[int] = (),
        *,
        num_frames: int | None = None,
        into: UInt8[np.ndarray, "T S S 3"] | None = None,
    ) -> dict[str, np.ndarray]:
        """One clip, decoded.

        Args:
          row: a row of the index.
          frame_size: side of the returned frames in pixels; smaller ones are area averages of the stored crop. None:
            no frames are returned, and but for stills none is decoded.
          stills: places of frames that are returned as they are stored too; those that a short record lacks are left
            out.
          num_frames: how many frames are decoded, the first ones; None: all. Other fields are returned whole.
          into: memory of num_frames frames of frame_size to decode into.

        Returns:
          The record's fields (schema.RECORD); frames (T, frame_size, frame_size, 3) uint8 RGB; with stills also stills
          (K, CROP_SIZE, CROP_SIZE, 3) uint8 RGB.

        Raises:
          CorruptRecord: the record or one of the frames asked for cannot be decoded, or belongs to another clip.
        """
        record = self.read_coded(row)
        coded = record.pop("frames")[:num_frames]
        return record | _decoded(row["clip_id"], coded, frame_size, stills, into)

    def read_coded(self, row: dict) -> dict:
        """One clip as it is stored: frames are T JPEG files (bytes), texts are str. Raises as `read` does."""
        clip_id = row["clip_id"]
        try:
            record = dict(self._split(row["split"])[row["position"]])
        except UserError:
            raise
        except Exception as error:  # ArrayRecord, protobuf and NumPy each raise their own kinds on damaged bytes
            raise CorruptRecord(clip_id, f"unreadable record ({type(error).__name__})") from None
        if record["clip_id"] not in (clip_id, clip_id.encode()):
            raise CorruptRecord(clip_id, "the index points at another clip")
        return {key: value.decode() if isinstance(value, bytes) else value for key, value in record.items()}


def check_features(path: Path) -> None:
    """Raise UserError unless the file names TFDS's own classes alone: TFDS imports the module of whatever it names."""
    try:
        waiting = [parse_json(path.read_bytes())]
    except (OSError, ValueError):
        raise UserError(f"{path}: missing or not readable; run `main.py prepare` again") from None
    while waiting:
        held = waiting.pop()
        if isinstance(held, dict):
            name = held.get("pythonClassName", OWN)
            if not (isinstance(name, str) and name.startswith(OWN)):
                raise UserError(
                    f"{path}: {str(name)[:80]!r} is no class of TFDS's own: these records were not made here"
                )
        waiting += held.values() if isinstance(held, dict) else held if isinstance(held, list) else ()


def open_split(builder: Any, split: str) -> Any:
    """A TFDS builder's split as a random-access source of records, their frames still JPEG bytes."""
    import tensorflow_datasets as tfds

    class StillCoded(tfds.decode.SkipDecoding):
        """TFDS's own skipping knows no sequences outside TensorFlow."""

        def decode_batch_example_np(self, example, **_):
            return example

    return builder.as_data_source(split, decoders={"frames": StillCoded()})


def _decoded(
    clip_id: str, coded: Sequence[bytes], size: int | None, stills: Sequence[int], into: np.ndarray | None
) -> dict[str, np.ndarray]:
    """frames, if a size is given, and stills, if any are; each image file is decoded once."""
    chosen = [place for place in stills if place < len(coded)]
    whole = {}
    if size is None:
        decoded = {}
    else:
        decoded = {"frames": np.empty((len(coded), size, size, 3), np.uint8) if into is None else into[: len(coded)]}
    for place in chosen if size is None else range(len(coded)):
        if size is None:
            image = frames.decode(coded[place])
        else:
            image = frames.decode_into(coded[place], decoded["frames"][place], CROP_SIZE)
        if image is None:
            raise CorruptRecord(clip_id, f"frame {place} is not an image")
        if place in chosen:
            whole[place] = image
    return decoded | ({"stills": np.stack([whole[place] for place in chosen])} if chosen else {})
