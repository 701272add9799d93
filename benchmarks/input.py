"""How fast training can read, from records on disk to batches, and how many cores an accelerator needs for it.

    python -m benchmarks.input [RECORDS/SOURCE] [--step_ms=35] [--pairs=32] [--frames=160] [--rounds=3]

Default records: a few drawn for the purpose. Clips are read into batches as in training, with nothing cached in memory:

    opencv    every frame decoded by OpenCV, as up to release 0.2.0, stacked to a clip and clips to a batch
    records   as today: decoded in place by simplejpeg
    decoded   read from a folder of decoded clips (data.decoded), which the system has in memory

The three take turns, so that their ratios hold on a machine that does other work, too. Rates are frames per second of
processor time, all threads together: frames/s a core. With two threads the same figure says how linear threads are.
A JPEG frame's floor is its Huffman decoding, which the row "floor" measures: simplejpeg at an eighth of the size, where
nothing is left of the inverse transform.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import cast

import cv2
import numpy as np
import simplejpeg

from cpml_jax.data.batch import Batch, Clip, clip_arrays, stack_views
from cpml_jax.data.clip_reader import ClipReader
from cpml_jax.data.decoded_store import DecodedStore
from cpml_jax.data.frames import resized
from cpml_jax.data.input_pipeline import training_batches
from cpml_jax.data.input_size import InputSize
from cpml_jax.data.records import RecordSet
from cpml_jax.data.sampler import BalancedSampler

BATCH, STEPS = 4, 2
SIZES, THREADS = (128, 32, 16), (1, 2)
WAYS = ("opencv", "records", "decoded")
# What one asks for: pairs of views a step, of this many frames each, in this time (docs/scaling.md).
STEP_MS, PAIRS, FRAMES = 35.0, 32, 160
Rates = dict[tuple[int, int, str], float]  # pixels, threads, way -> frames/s of one core


class InTurn:
    """A sampler that takes all clips in turn, two at a time as the views of one, as a recorded pair is read."""

    def __init__(self, rows: list[dict]) -> None:
        self._rows = rows

    def batch(self, step: int) -> list[tuple[dict, ...]]:
        start = step * BATCH * 2
        rows = [self._rows[(start + i) % len(self._rows)] for i in range(2 * BATCH)]
        return list(zip(rows[::2], rows[1::2], strict=True))


class OpenCVReader(ClipReader):
    """Decodes a clip frame by frame into arrays of its own."""

    def fill(self, row: dict, place: Clip) -> None:
        record = self.records.read_coded(row)
        files = [np.frombuffer(data, np.uint8) for data in record["frames"]]
        images = [cast(np.ndarray, cv2.imdecode(file, cv2.IMREAD_COLOR_RGB)) for file in files]
        record["frames"] = np.stack([resized(image, self.size.frame_size) for image in images])
        clip = clip_arrays(record, self.size)
        copied: Batch = stack_views([[clip]], [0])  # a clip's stack, then the batch's
        for name, array in place.items():
            array[...] = copied[name][0] if name == "pulse" else copied[name][0, 0]


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


def frames_per_core_second(reader: ClipReader, rows: list[dict], threads: int) -> float:
    """Frames read to batches, over processor time of all threads; of STEPS batches."""
    start = time.process_time()
    for _ in training_batches(reader, cast(BalancedSampler, InTurn(rows)), steps=STEPS, read_threads=threads):
        pass
    return STEPS * BATCH * 2 * reader.size.num_frames / (time.process_time() - start)


def floor(records: RecordSet, row: dict) -> float:
    """Frames/s of one core of Huffman decoding alone."""
    coded = records.read_coded(row)["frames"]
    start = time.process_time()
    for data in coded:
        simplejpeg.decode_jpeg(data, min_height=16, min_width=16, min_factor=1)
    return len(coded) / (time.process_time() - start)


def measure(records: RecordSet, num_frames: int, folder: Path, rounds: int) -> Rates:
    """Medians over rounds in which sizes, threads and ways take turns, after one that fills the folder."""
    rows = records.rows[: STEPS * BATCH * 2]
    readers: dict[tuple[int, str], ClipReader] = {}
    for pixels in SIZES:
        size = InputSize(num_frames, pixels, num_stills=1, batch_size=BATCH, inputs=("frames", "landmarks"))
        stored = ClipReader(records, size, store=DecodedStore(folder, records, size))
        readers |= {
            (pixels, way): r
            for way, r in zip(WAYS, (OpenCVReader(records, size), ClipReader(records, size), stored), strict=True)
        }
        for row in rows:
            stored(row)
    turns = [(pixels, threads, way) for pixels in SIZES for threads in THREADS for way in WAYS]
    seen: dict[tuple[int, int, str], list[float]] = {turn: [] for turn in turns}
    for _ in range(rounds):
        for pixels, threads, way in turns:
            seen[pixels, threads, way].append(frames_per_core_second(readers[pixels, way], rows, threads))
    return {turn: statistics.median(rates) for turn, rates in seen.items()}


def needed_cores(rates: Callable[[str], float], pairs: int, frames: int, step_ms: float) -> dict[str, float]:
    """Cores that read a step's frames while the device takes the last step, by way.

    Args:
      rates: frames/s of one core, by way.
      pairs: clips a step, each at two compressions, of `frames` frames.
    """
    return {way: 2 * pairs * frames / (step_ms / 1000) / rates(way) for way in WAYS}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("records", nargs="?")
    parser.add_argument("--step_ms", type=float, default=STEP_MS, help="a training step's time on the device, ms")
    parser.add_argument("--pairs", type=int, default=PAIRS, help="clips of a step, each at two compressions")
    parser.add_argument("--frames", type=int, default=FRAMES, help="frames of a clip, for the answer")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as folder:
        directory = Path(arguments.records) if arguments.records else drawn_records(Path(folder))
        records = RecordSet(directory)
        length = len(records.read(records.rows[0], None)["valid"])
        size = sum(path.stat().st_size for path in directory.rglob("*.array_record*"))
        print(f"{len(records.rows)} clips of {length} frames, {size / len(records.rows) / 1e6:.2f} MB a clip")
        rates = measure(records, length, Path(folder) / "decoded", arguments.rounds)
    print(f"floor of a JPEG frame of 128 pixels: {floor(records, records.rows[0]):.0f} frames/s")
    print("frames/s a core (times opencv with one thread)\npixels threads " + "".join(f"{way:>18}" for way in WAYS))
    for pixels in SIZES:
        for threads in THREADS:
            shown = "".join(
                f"{rates[pixels, threads, way]:10.0f} ({rates[pixels, threads, way] / rates[pixels, 1, 'opencv']:5.2f})"
                for way in WAYS
            )
            print(f"{pixels:6} {threads:7} {shown}")
    wanted = 2 * arguments.pairs * arguments.frames
    print(
        f"A step of {arguments.pairs} pairs, {wanted} frames, in {arguments.step_ms:g} ms asks for "
        f"{wanted / arguments.step_ms * 1000:.0f} frames/s. Cores of this kind, whatever the accelerator:"
    )
    for pixels in SIZES:

        def of_size(way: str, pixels: int = pixels) -> float:
            return rates[pixels, max(THREADS), way]

        cores = needed_cores(of_size, arguments.pairs, arguments.frames, arguments.step_ms)
        print(f"{pixels:6} pixels: " + ", ".join(f"{way} {number:.1f}" for way, number in cores.items()))
    print(f"This machine has {os.cpu_count()}.")


if __name__ == "__main__":
    main()
