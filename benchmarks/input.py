"""How fast training can read: clips/s per core, from records on disk to batches.

    python -m benchmarks.input [RECORDS/SOURCE]      default: a few records drawn for the purpose

Every batch is read as in training (random access, JPEG decoding, area averages, stacking), without a cache.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path
from typing import cast

import cv2

from cpml_jax.data.input_pipeline import ClipReader, training_batches
from cpml_jax.data.input_size import InputSize
from cpml_jax.data.records import RecordSet
from cpml_jax.data.sampler import BalancedSampler

BATCH, STEPS = 8, 6


class InTurn:
    """A sampler that takes all clips in turn, two at a time as the views of one, as a recorded pair is read."""

    def __init__(self, rows: list[dict]) -> None:
        self._rows = rows

    def batch(self, step: int) -> list[tuple[dict, ...]]:
        start = step * BATCH * 2
        rows = [self._rows[(start + i) % len(self._rows)] for i in range(2 * BATCH)]
        return list(zip(rows[::2], rows[1::2], strict=True))


def drawn_records(folder: Path) -> Path:
    """Records of four drawn identities; returns their folder."""
    from data_prep.prepare import Sampling, Source, prepare
    from data_prep.synthetic.generate import generate

    compressions, methods = ("raw", "c23"), ("Deepfakes",)
    generate(
        str(folder / "videos"),
        style="a",
        identities={"train": 4},
        frames=160,
        size=256,
        compressions={"train": compressions},
        methods=methods,
        seed=5,
        workers=1,
        progress=False,
    )
    source = Source("drawn", "ffpp", folder / "videos")
    prepare(source, Sampling(160, 1), folder / "records", workers=1, progress=False)
    return folder / "records/drawn"


def clips_per_second(records: RecordSet, num_frames: int, frame_size: int) -> float:
    """Mean over STEPS batches, after one to warm up."""
    size = InputSize(num_frames, frame_size, num_stills=1, batch_size=BATCH, inputs=("frames", "landmarks"))
    reader = ClipReader(records, size)
    batches = training_batches(reader, cast(BalancedSampler, InTurn(records.rows)), steps=STEPS + 1, read_threads=1)
    next(batches)
    start = time.perf_counter()
    for _ in range(STEPS):
        next(batches)
    return STEPS * BATCH * 2 / (time.perf_counter() - start)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("records", nargs="?")
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as folder:
        directory = Path(arguments.records) if arguments.records else drawn_records(Path(folder))
        if hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
        records = RecordSet(directory)
        first = records.read(records.rows[0])
        length = len(first["frames"])
        size = sum(path.stat().st_size for path in directory.rglob("*.array_record*"))
        print(f"{len(records.rows)} clips of {length} frames, {size / len(records.rows) / 1e6:.2f} MB per clip")
        for frame_size in (128, 64, 32):
            rate = clips_per_second(records, length, frame_size)
            print(f"  {frame_size:3} pixels: {rate:6.1f} clips/s per core ({rate * length:6.0f} frames/s)", flush=True)


if __name__ == "__main__":
    main()
