"""Grain: records -> batches of views, decoded ahead of the device by threads."""

from __future__ import annotations

import collections
import threading
from collections.abc import Iterator, Mapping

import grain
import numpy as np

from cpml_jax.data.input_size import InputSize
from cpml_jax.data.records import CorruptRecord, RecordSet
from cpml_jax.data.sampler import BalancedSampler, Views
from cpml_jax.errors import UserError
from cpml_jax.schema import FRAME_RATE

_MB = 1 << 20


class ClipReader:
    """Reads model inputs of clips; keeps the last `cache_mb` MB of them decoded, across epochs and threads."""

    def __init__(self, records: RecordSet, *, num_frames: int, frame_size: int, cache_mb: int = 0):
        self.records, self.num_frames, self.frame_size = records, num_frames, frame_size
        self._budget, self._held = cache_mb * _MB, 0
        self._cache: collections.OrderedDict[str, dict] = collections.OrderedDict()
        self._lock = threading.Lock()

    def __call__(self, row: dict) -> dict[str, np.ndarray]:
        """frames (T, S, S, 3) uint8, landmarks (T, 68, 2), pulse (T,) and pulse_truth (T,) float32 of one clip.

        Raises:
          CorruptRecord: see RecordSet.read.
          UserError: the record is shorter than num_frames.
        """
        key = row["clip_id"]
        with self._lock:
            if key in self._cache:
                self._cache.move_to_end(key)
                return self._cache[key]
        clip = self._read(row)
        size = sum(value.nbytes for value in clip.values())
        with self._lock:
            if key not in self._cache and size <= self._budget:
                self._cache[key] = clip
                self._held += size
                while self._held > self._budget:
                    _, old = self._cache.popitem(last=False)
                    self._held -= sum(value.nbytes for value in old.values())
        return clip

    def _read(self, row: dict) -> dict[str, np.ndarray]:
        record = self.records.read(row, self.frame_size)
        length = len(record["frames"])
        if length < self.num_frames:
            raise UserError(
                f"{self.records.directory}: records hold {length} frames, data.num_frames={self.num_frames}; "
                "prepare them again with that value or lower it"
            )
        unknown = np.full(self.num_frames, np.nan)
        return {
            "frames": record["frames"][: self.num_frames],
            "landmarks": np.asarray(record["landmarks"], np.float32)[: self.num_frames],
            "pulse": np.asarray(record["pulse_pos"], np.float32)[: self.num_frames],
            "pulse_truth": np.asarray(record.get("pulse_truth", unknown), np.float32)[: self.num_frames],
        }


def stack_views(clips: list[list[dict]], labels: list[int]) -> dict[str, np.ndarray]:
    """Clips with their views -> a batch (schema.BATCH without class_index)."""
    return {
        "frames": np.stack([np.stack([v["frames"] for v in views]) for views in clips]),
        "landmarks": np.stack([np.stack([v["landmarks"] for v in views]) for views in clips]),
        "pulse": np.stack([views[0]["pulse"] for views in clips]),
        "label": np.asarray(labels, np.int32),
        "weight": np.ones(len(clips), np.float32),
    }


def training_batches(
    reader: ClipReader,
    sampler: BalancedSampler,
    *,
    steps: int,
    read_threads: int,
    process_index: int = 0,
    process_count: int = 1,
    classes: Mapping[str, int] | None = None,
) -> grain.DatasetIterator:
    """An iterator over this process's rows of every step's batch; its Grain state is the position in the data.

    Args:
      classes: number of the class of each `method`, real too; None: a clip's class is its label.

    Raises (while iterating):
      UserError: a record is corrupt. A training run does not change its data in silence.
    """

    def load(step: int) -> dict[str, np.ndarray]:
        clips: list[Views] = sampler.batch(int(step))
        share = len(clips) // process_count
        clips = clips[process_index * share : (process_index + 1) * share]
        try:
            views = [[reader(row) for row in clip] for clip in clips]
        except CorruptRecord as error:
            raise UserError(
                f"corrupt record {error.clip_id} in {reader.records.directory} ({error.reason}); "
                "delete that folder and run `main.py prepare` again"
            ) from None
        batch = stack_views(views, [clip[0]["label"] for clip in clips])
        known = batch["label"] if classes is None else [classes[clip[0]["method"]] for clip in clips]
        return batch | {"class_index": np.asarray(known, np.int32)}

    options = grain.ReadOptions(num_threads=read_threads, prefetch_buffer_size=2 * read_threads)
    return iter(grain.MapDataset.range(steps).map(load).to_iter_dataset(options))


def eval_batches(
    record_set: RecordSet, rows: list[dict], size: InputSize, *, excluded: list[dict]
) -> Iterator[tuple[list[dict], dict[str, np.ndarray]]]:
    """Every row once, in order, as batches of one view.

    Yields:
      (rows of the batch, batch per schema.BATCH with V = 1 and, beside it, pulse_truth (B, T) float32: the true wave,
      NaN where unknown). The last batch is padded by repeating its first clip
      with weight 0, so that every batch has one shape. Corrupt records are skipped and added to `excluded` as
      {"clip_id", "reason"} on top of the row's own keys.
    """
    reader = ClipReader(record_set, num_frames=size.num_frames, frame_size=size.frame_size)
    held: list[tuple[dict, dict]] = []

    def batch() -> tuple[list[dict], dict[str, np.ndarray]]:
        padding = [held[0]] * (size.batch_size - len(held))
        filled = stack_views([[clip] for _, clip in held + padding], [row["label"] for row, _ in held + padding])
        filled["weight"][len(held) :] = 0.0
        filled["pulse_truth"] = np.stack([clip["pulse_truth"] for _, clip in held + padding])
        return [row for row, _ in held], filled

    for row in rows:
        try:
            held.append((row, reader(row)))
        except CorruptRecord as error:
            keys = ("dataset", "method", "compression", "split", "video")
            excluded.append(
                {**{k: row[k] for k in keys}, "clip_id": error.clip_id, "reason": f"corrupt record: {error.reason}"}
            )
            continue
        if len(held) == size.batch_size:
            yield batch()
            held.clear()
    if held:
        yield batch()


def sampler_description(num_frames: int, max_windows: int) -> dict:
    """What an evaluation must say about the frames it saw (docs/datasets.md, Mistakes)."""
    return {
        "start": "first face",
        "stride": num_frames,
        "num_frames": num_frames,
        "fps": FRAME_RATE,
        "max_windows": max_windows,
    }
