"""Grain: records -> batches of views, decoded ahead of the device by threads."""

from __future__ import annotations

import collections
import concurrent.futures
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence

import grain
import numpy as np

from cpml_jax.data.batch import Clip, clip_arrays, padded_batch, stack_views
from cpml_jax.data.input_size import InputSize
from cpml_jax.data.records import CorruptRecord, RecordSet
from cpml_jax.data.sampler import BalancedSampler, pair_numbers
from cpml_jax.errors import UserError
from cpml_jax.schema import CROP_SIZE, FRAME_RATE

_MB = 1 << 20
# A record with whole crops -> arrays of the clip beside its inputs (evaluation/baselines.py).
Measure = Callable[[Mapping[str, np.ndarray]], Mapping[str, np.ndarray]]


class ClipReader:
    """Reads model inputs of clips; keeps the last `cache_mb` MB of them decoded, across epochs and threads.

    Only what size.inputs name is decoded. With `measure` also what it says of the record's first num_frames frames, at
    their stored size.
    """

    def __init__(self, records: RecordSet, size: InputSize, *, cache_mb: int = 0, measure: Measure | None = None):
        self.records, self._size, self._measure = records, size, measure
        self._budget, self._bytes = cache_mb * _MB, 0
        self._cache: collections.OrderedDict[str, Clip] = collections.OrderedDict()
        self._lock = threading.Lock()

    def __call__(self, row: dict) -> Clip:
        """batch.clip_arrays of one clip, a row of the index, and pulse_truth (T,) float32, NaN where unknown.

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
        size = _bytes_of(clip)
        with self._lock:
            if key not in self._cache and size <= self._budget:
                self._cache[key] = clip
                self._bytes += size
                while self._bytes > self._budget:
                    _, oldest = self._cache.popitem(last=False)
                    self._bytes -= _bytes_of(oldest)
        return clip

    def _read(self, row: dict) -> Clip:
        size = self._size
        if self._measure:
            record = self.records.read(row, CROP_SIZE)
        else:
            record = self.records.read(row, size.decoded_size, size.still_places)
        length = len(record["valid"])
        if length < size.num_frames:
            raise UserError(
                f"{self.records.directory}: records hold {length} frames, data.num_frames={size.num_frames}; "
                "prepare them again with that value or lower it"
            )
        clip = clip_arrays(record, size)
        truth = record.get("pulse_truth", np.full(length, np.nan))
        clip |= {"pulse_truth": np.asarray(truth, np.float32)[: size.num_frames]}
        if self._measure is None:
            return clip
        arrays = {name: value for name, value in record.items() if np.ndim(value)}
        return clip | dict(self._measure({name: value[: size.num_frames] for name, value in arrays.items()}))


def _bytes_of(clip: Clip) -> int:
    return sum(value.nbytes for value in clip.values())


def training_batches(
    reader: ClipReader,
    sampler: BalancedSampler,
    *,
    steps: int,
    read_threads: int,
    process_index: int = 0,
    process_count: int = 1,
    classes: Mapping[str, int] | None = None,
    pulse_snr_p: float = 1.0,
) -> grain.DatasetIterator:
    """An iterator over this process's rows of every step's batch; its Grain state is the position in the data.

    Args:
      classes: number of the class of each `method`, real too; None: a clip's class is its label.
      pulse_snr_p: below 1, a clip whose snr_p_pos is not as low has no pulse to learn from: its trace is all 0.

    Raises (while iterating):
      UserError: a record is corrupt. A training run does not change its data in silence.
    """

    def load(step: int) -> dict[str, np.ndarray]:
        clips = sampler.batch(int(step))
        share = len(clips) // process_count
        here = slice(process_index * share, (process_index + 1) * share)
        pairs, clips = pair_numbers(clips)[here], clips[here]  # numbered over the batch of all processes
        try:
            views = [[reader(row) for row in clip] for clip in clips]
        except CorruptRecord as error:
            raise UserError(
                f"corrupt record {error.clip_id} in {reader.records.directory} ({error.reason}); "
                "delete that folder and run `main.py prepare` again"
            ) from None
        batch = stack_views(views, [clip[0]["label"] for clip in clips])
        if pulse_snr_p < 1:
            batch["pulse"][[not clip[0]["snr_p_pos"] <= pulse_snr_p for clip in clips]] = 0.0
        numbers = batch["label"] if classes is None else [classes[clip[0]["method"]] for clip in clips]
        return batch | {"class_index": np.asarray(numbers, np.int32), "pair": np.asarray(pairs, np.int32)}

    options = grain.ReadOptions(num_threads=read_threads, prefetch_buffer_size=2 * read_threads)
    return iter(grain.MapDataset.range(steps).map(load).to_iter_dataset(options))


def eval_batches(
    records: RecordSet,
    rows: Sequence[dict],
    size: InputSize,
    *,
    excluded: list[dict],
    measure: Measure | None = None,
    read_threads: int = 2,
) -> Iterator[tuple[list[dict], dict[str, np.ndarray]]]:
    """Every row once, in order, as batches of one view; `read_threads` threads decode ahead of whoever takes them.

    Yields:
      (rows of the batch, batch per schema.BATCH with V = 1 and, beside it, pulse_truth (B, T) float32: the true wave,
      NaN where unknown, and what `measure` says, (B, ...) each). The last batch is padded (batch.padded_batch), so
      that every batch has one shape. Corrupt records are skipped and added to `excluded` as {"clip_id", "reason"} on
      top of the row's other keys.
    """
    reader = ClipReader(records, size, measure=measure)
    pending: list[tuple[dict, Clip]] = []

    def batch() -> tuple[list[dict], dict[str, np.ndarray]]:
        batch_rows, clips = [row for row, _ in pending], [clip for _, clip in pending]
        padded = padded_batch(clips, [row["label"] for row in batch_rows], size.batch_size)
        repeated = clips + clips[:1] * (size.batch_size - len(clips))
        beside = clips[0].keys() - padded.keys()
        return batch_rows, padded | {name: np.stack([clip[name] for clip in repeated]) for name in beside}

    for row, reading in read_ahead(reader, rows, threads=read_threads, ahead=2 * size.batch_size):
        try:
            pending.append((row, reading.result()))
        except CorruptRecord as error:
            keys = ("dataset", "method", "compression", "split", "video")
            excluded.append(
                {**{k: row[k] for k in keys}, "clip_id": error.clip_id, "reason": f"corrupt record: {error.reason}"}
            )
            continue
        if len(pending) == size.batch_size:
            yield batch()
            pending.clear()
    if pending:
        yield batch()


def read_ahead(
    read: Callable[[dict], Clip], rows: Sequence[dict], *, threads: int, ahead: int
) -> Iterator[tuple[dict, concurrent.futures.Future[Clip]]]:
    """(row, what read(row) gives or raises) in order; at most `ahead` rows are begun before they are asked for."""
    with concurrent.futures.ThreadPoolExecutor(max(threads, 1)) as pool:
        waiting: collections.deque[tuple[dict, concurrent.futures.Future[Clip]]] = collections.deque()
        try:
            for row in rows:
                waiting.append((row, pool.submit(read, row)))
                if len(waiting) > ahead:
                    yield waiting.popleft()
            while waiting:
                yield waiting.popleft()
        finally:
            for _, future in waiting:
                future.cancel()


def sampler_description(num_frames: int, max_windows: int, windows: str = "first") -> dict:
    """What an evaluation must say about the frames it saw (docs/datasets.md, Mistakes). Arguments as in config.data."""
    return {
        "start": "first face" if windows == "first" else windows,
        "stride": num_frames if windows == "first" else None,
        "num_frames": num_frames,
        "fps": FRAME_RATE,
        "max_windows": max_windows,
    }
