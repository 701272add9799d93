"""Grain: records -> batches of views, read ahead of the device by threads that fill each batch in place."""

from __future__ import annotations

import collections
import concurrent.futures
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TypeVar, cast

import grain
import numpy as np

from cpml_jax import cores
from cpml_jax.data.batch import Batch, Clip, clip_layout, empty_batch, padded_batch, place_of
from cpml_jax.data.clip_reader import ClipReader, Measure
from cpml_jax.data.decoded_store import DecodedStore
from cpml_jax.data.input_size import InputSize
from cpml_jax.data.records import CorruptRecord, RecordSet
from cpml_jax.data.sampler import BalancedSampler, pair_numbers
from cpml_jax.errors import UserError
from cpml_jax.schema import FRAME_RATE

AHEAD = 2  # batches that are being filled or wait for the device: what bounds memory, beside data.cache_mb
_Item = TypeVar("_Item")
_END = object()


def reading_threads(read_threads: int) -> int:
    """data.read_threads, 0 being one for each core that this process may use."""
    return read_threads or cores.available()


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
      read_threads: that fill batches, clip by clip (reading_threads); a step's batch is the same whatever their number.
      classes: number of the class of each `method`, real too; None: a clip's class is its label.
      pulse_snr_p: below 1, a clip whose snr_p_pos is not as low has no pulse to learn from: its trace is all 0.

    Raises (while iterating):
      UserError: a record is corrupt. A training run does not change its data in silence.
    """

    layout = clip_layout(reader.size)
    pool = concurrent.futures.ThreadPoolExecutor(reading_threads(read_threads), thread_name_prefix="clips")

    def load(step: int) -> Batch:
        clips = sampler.batch(int(step))
        share = len(clips) // process_count
        here = slice(process_index * share, (process_index + 1) * share)
        pairs, clips = pair_numbers(clips)[here], clips[here]  # numbered over the batch of all processes
        batch = empty_batch(layout, len(clips), len(clips[0]))
        fillings = [
            pool.submit(reader.fill, row, place_of(batch, i, view))
            for i, clip in enumerate(clips)
            for view, row in enumerate(clip)
        ]
        try:
            for filling in fillings:
                filling.result()
        except CorruptRecord as error:
            raise UserError(
                f"corrupt record {error.clip_id} in {reader.records.directory} ({error.reason}); "
                "delete that folder and run `main.py prepare` again"
            ) from None
        finally:
            for filling in fillings:
                filling.cancel()
        batch["label"][:] = [clip[0]["label"] for clip in clips]
        if pulse_snr_p < 1:
            batch["pulse"][[not clip[0]["snr_p_pos"] <= pulse_snr_p for clip in clips]] = 0.0
        numbers = batch["label"] if classes is None else [classes[clip[0]["method"]] for clip in clips]
        return batch | {"class_index": np.asarray(numbers, np.int32), "pair": np.asarray(pairs, np.int32)}

    # A clip is a thread's work, not a batch: however many cores there are, AHEAD batches are in memory.
    options = grain.ReadOptions(num_threads=AHEAD, prefetch_buffer_size=AHEAD)
    return iter(grain.MapDataset.range(steps).map(load).to_iter_dataset(options))


def eval_batches(
    records: RecordSet,
    rows: Sequence[dict],
    size: InputSize,
    *,
    excluded: list[dict],
    measure: Measure | None = None,
    read_threads: int = 0,
    store: DecodedStore | None = None,
) -> Iterator[tuple[list[dict], Batch]]:
    """Every row once, in order, as batches of one view, read and put together ahead of whoever takes them.

    Args:
      excluded: complete once all batches are taken.
      read_threads: that decode (reading_threads).
      measure, store: of ClipReader.

    Yields:
      (rows of the batch, batch per schema.BATCH with V = 1 and, beside it, pulse_truth (B, T) float32: the true wave,
      NaN where unknown, and what `measure` says, (B, ...) each). The last batch is padded (batch.padded_batch), so
      that every batch has one shape. Corrupt records are skipped and added to `excluded` as {"clip_id", "reason"} on
      top of the row's other keys.
    """
    reader = ClipReader(records, size, measure=measure, store=store)
    threads = reading_threads(read_threads)
    pending: list[tuple[dict, Clip]] = []

    def batch() -> tuple[list[dict], Batch]:
        batch_rows, clips = [row for row, _ in pending], [clip for _, clip in pending]
        padded = padded_batch(clips, [row["label"] for row in batch_rows], size.batch_size)
        repeated = clips + clips[:1] * (size.batch_size - len(clips))
        beside = clips[0].keys() - padded.keys()
        return batch_rows, padded | {name: np.stack([clip[name] for clip in repeated]) for name in beside}

    def batches() -> Iterator[tuple[list[dict], Batch]]:
        for row, reading in read_ahead(reader, rows, threads=threads, ahead=max(size.batch_size, 2 * threads)):
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

    yield from one_ahead(batches())


def one_ahead(items: Iterator[_Item]) -> Iterator[_Item]:
    """The same items; a thread makes the next one while the caller uses the last."""
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        coming = pool.submit(next, items, _END)
        while (item := coming.result()) is not _END:
            coming = pool.submit(next, items, _END)
            yield cast(_Item, item)


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
