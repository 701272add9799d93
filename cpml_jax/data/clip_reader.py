"""Clips as the model reads them, from memory, from a folder of decoded clips, or decoded from their records."""

from __future__ import annotations

import collections
import threading
from collections.abc import Callable, Mapping

import numpy as np

from cpml_jax.data.batch import Clip, clip_arrays, put
from cpml_jax.data.decoded_store import DecodedStore
from cpml_jax.data.input_size import InputSize
from cpml_jax.data.records import RecordSet
from cpml_jax.errors import UserError
from cpml_jax.schema import CROP_SIZE

_MB = 1 << 20
# A record with whole crops -> arrays of the clip beside its inputs (evaluation/baselines.py).
Measure = Callable[[Mapping[str, np.ndarray]], Mapping[str, np.ndarray]]


class ClipReader:
    """Reads model inputs of clips; keeps the last `cache_mb` MB of them decoded, across epochs and threads.

    Only what size.inputs name is decoded. With `measure` also what it says of the record's first num_frames frames, at
    their stored size. With `store` a clip is decoded once for all runs.
    """

    def __init__(
        self,
        records: RecordSet,
        size: InputSize,
        *,
        cache_mb: int = 0,
        measure: Measure | None = None,
        store: DecodedStore | None = None,
    ):
        if measure and store:
            raise ValueError("what is measured is not in the store")
        self.records, self.size, self._measure, self._store = records, size, measure, store
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
        clip = self._obtain(row, {})
        self._keep(key, clip)
        return clip

    def fill(self, row: dict, place: Clip) -> None:
        """Write one clip to its place in a batch (batch.place_of); nothing is copied that can be read into it.

        Raises as a call does.
        """
        put(self(row) if self._budget else self._obtain(row, place), place)

    def _keep(self, key: str, clip: Clip) -> None:
        size = _bytes_of(clip)
        with self._lock:
            if key not in self._cache and size <= self._budget:
                self._cache[key] = clip
                self._bytes += size
                while self._bytes > self._budget:
                    _, oldest = self._cache.popitem(last=False)
                    self._bytes -= _bytes_of(oldest)

    def _obtain(self, row: dict, place: Clip) -> Clip:
        """A clip from the store, or else from its record; its arrays are new, or memory of `place`."""
        if self._store is None:
            return self._decode(row, place)
        clip = self._store.load(row["clip_id"], place)
        if clip is None:
            clip = self._decode(row, place)
            self._store.save(row["clip_id"], clip)
        return clip

    def _decode(self, row: dict, place: Clip) -> Clip:
        size = self.size
        if self._measure:
            record = self.records.read(row, CROP_SIZE, num_frames=size.num_frames)
        else:
            direct = "frames" in place and size.decoded_size == size.frame_size
            record = self.records.read(
                row,
                size.decoded_size,
                size.still_places,
                num_frames=size.num_frames,
                into=place["frames"] if direct else None,
            )
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
