"""This project's training step side by side with PyTorch's, on whatever is there.

    python -m benchmarks.train [--rows=default,full] [--threads=1] [--rounds=5] [--seconds=45] [--device=cpu]

Rows, each of the same shapes on both sides:

    default      the whole step (forward pass, losses, backward pass, AdamW) of configs/synthetic.py
    full         the same of configs/synthetic.py:full; on a CPU of two clips, each at two compressions
    physformer   PhysFormer alone: loss and gradients, at full size
    inference    PhysFormer alone: waves
    paper        the step of the paper's recipe: CLIP's text encoder, views made by the model

Contestants: `ours`; `eager`, the same model in PyTorch, batched (benchmarks/torch_model); `compiled`, that one under
torch.compile; `released`, the authors' step as they released it, one pair of clips in six passes (row paper). On a CPU
in float32, on a GPU in bfloat16 (released: float32). Each has a process of its own, and they take turns, so that the
ratios of the medians hold on a machine that does other work, too. Ratios are of clips a second; on a CPU also of
processor time, which with --threads=1 other work disturbs least. Memory is the process's peak, or the GPU's, compiling
aside. Written to --out as JSON. docs/scaling.md has figures. PyTorch: `uv sync --group torch`.
"""

from __future__ import annotations

import argparse
import importlib.util
import statistics
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.side_by_side import page, rows
from benchmarks.side_by_side.rows import COMPILED, CONTESTANTS, OURS, RELEASED, ROWS, Row
from benchmarks.side_by_side.worker import Worker
from cpml_jax import cores
from cpml_jax.errors import UserError
from cpml_jax.files import write_json

OUT = "runs/benchmarks/train.json"
# bfloat16 operations a second, dense, and bytes a second of memory, by a part of the name that JAX has for the card.
PEAKS = {"H100 80GB HBM3": (989e12, 3.352e12), "H200": (989e12, 4.8e12), "A100-SXM4-80GB": (312e12, 2.039e12)}


def measure(row: Row, device: str, contestants: list[str], threads: int, clips: int, limits: tuple[int, float]) -> dict:
    """One row: medians over turns, ratios, memory.

    Args:
      device: cpu or gpu. contestants: of the row, ours first.
      clips: a step; 0: the row's.
      limits: turns at most, and seconds after which no other turn begins; at least one turn follows the warm-up. A
        warm-up of more than a third of these seconds counts as a turn: nothing is left to warm, and time is short.
    """
    config, workers = rows.configuration(row, device, clips), []
    try:
        workers += [Worker(row, name, device, threads, clips) for name in contestants]
        begun = time.perf_counter()
        warm = [worker.work() for worker in workers]
        taken: list[list[tuple[float, float]]] = [[turn] if turn[0] > limits[1] / 3 else [] for turn in warm]
        for number in range(limits[0]):
            if number and time.perf_counter() - begun > limits[1]:
                break
            for worker, turns in zip(workers, taken, strict=True):
                turns.append(worker.work())
        peaks = [worker.memory() for worker in workers]
    finally:
        for worker in workers:
            worker.close()
    return described(row, device, config, contestants, taken, peaks, [worker.built for worker in workers])


def described(
    row: Row,
    device: str,
    config: Any,
    contestants: list[str],
    taken: list[list[tuple[float, float]]],
    peaks: list[int],
    built: list[dict[str, Any]],
) -> dict[str, Any]:
    """The row's figures as plain data. `ours_over`: clips a second of ours over theirs; on a CPU also of its time."""
    clips, views = config.train.batch_size, rows.views_of(config)
    sides: list[dict[str, Any]] = []
    for name, turns, peak, known in zip(contestants, taken, peaks, built, strict=True):
        seconds, used = (statistics.median(each) for each in zip(*turns, strict=True))
        share = (2 if name == RELEASED else clips) / clips
        side = {"contestant": name, "seconds": seconds, "clips_per_s": share * clips / seconds, "cpu_seconds": used}
        first = sides[0] if sides else side
        side["ours_over"] = seconds / first["seconds"] / share
        side["ours_over_cpu"] = used / first["cpu_seconds"] / share if device == "cpu" else None
        sides.append(side | {"peak_bytes": peak, "seconds_to_build": known["seconds_to_build"], "turns": turns})
    shown = 1 if row.work != rows.STEP else views[0] + len(views[1])
    pixels = config.model.rppg.frame_size
    return {
        "row": row.name,
        "text": row.text,
        "size": f"{clips} clips x {shown} views x {config.data.num_frames} frames x {pixels} pixels",
        "precision": config.train.precision,
        "rounds": min(map(len, taken)),
        "device_class": device,
        "device": built[0]["device"],
        "contestants": sides,
        "roofline": roofline(built[0], sides[0]["seconds"]),
    }


def roofline(work: dict[str, Any], seconds: float) -> float | None:
    """What arithmetic or memory takes at least, over the measured seconds; None where it is not known."""
    peaks = next((peaks for name, peaks in PEAKS.items() if name in work["device"]), None)
    if peaks is None or work["flops"] is None:
        return None
    return max(work["flops"] / peaks[0], work["bytes_moved"] / peaks[1]) / seconds


def detected(asked: str) -> str:
    """cpu or gpu, as asked for; auto: a GPU where PyTorch sees one.

    Raises:
      UserError: PyTorch is not installed, or a GPU is asked for and not there.
    """
    if importlib.util.find_spec("torch") is None:
        raise UserError("PyTorch is not installed; run `uv sync --group torch`")
    import torch

    found = torch.cuda.is_available()
    if asked == "gpu" and not found:
        raise UserError("--device=gpu: PyTorch sees no GPU here")
    chosen = ("gpu" if found else "cpu") if asked == "auto" else asked
    plugins = ("jax_plugins.xla_cuda12", "jax_plugins.xla_cuda13")
    if chosen == "gpu" and not any(importlib.util.find_spec(name) for name in plugins):
        raise UserError("JAX's plug-in for CUDA is not installed; run `uv sync --extra cuda12`, or give --device=cpu")
    return chosen


def chosen_of(words: str, known: tuple[str, ...], option: str) -> list[str]:
    """Names of a list with commas, in the order of `known`; empty: all.

    Raises:
      UserError: one of them is unknown.
    """
    given = [word for word in words.split(",") if word]
    if unknown := [word for word in given if word not in known]:
        raise UserError(f"{option}={unknown[0]}: it is one of {', '.join(known)}")
    return [name for name in known if name in given or not given]


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", default="", help="some of them, with commas between")
    parser.add_argument("--contestants", default="", help="beside ours; default: all, but compiled on a CPU")
    parser.add_argument("--threads", type=int, default=0, help="of each side on a CPU; 0: a thread for each core")
    parser.add_argument("--clips", type=int, default=0, help="clips a step, even; 0: the row's")
    parser.add_argument("--rounds", type=int, default=7, help="turns of each contestant at most")
    parser.add_argument("--seconds", type=float, default=30.0, help="of a row, after which no other turn begins")
    parser.add_argument("--device", choices=("auto", "cpu", "gpu"), default="auto")
    parser.add_argument("--out", default=OUT, help="the JSON file to write")
    arguments = parser.parse_args(argv)
    chosen = chosen_of(arguments.rows, tuple(row.name for row in ROWS), "--rows")
    if arguments.clips < 0 or arguments.clips % 2:
        raise UserError(f"--clips={arguments.clips}: a step has as many real clips as fake ones")
    if arguments.rounds < 1 or not 0 <= arguments.threads <= cores.available():
        raise UserError(f"--rounds is at least 1, and --threads at most the {cores.available()} cores that are free")
    device, threads = detected(arguments.device), arguments.threads or cores.available()
    given = arguments.contestants or ",".join(name for name in CONTESTANTS if device == "gpu" or name != COMPILED)
    contestants = {OURS, *chosen_of(given, CONTESTANTS, "--contestants")}
    print(f"{device}, {threads} threads\n{page.HEADER}", flush=True)
    measured, limits = [], (arguments.rounds, arguments.seconds)
    for row in (row for row in ROWS if row.name in chosen):
        names = [name for name in row.contestants if name in contestants]
        measured.append(measure(row, device, names, threads, arguments.clips, limits))
        print("\n".join(page.lines(measured[-1])), flush=True)
        path = Path(arguments.out)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, {"device": device, "threads": threads, "rows": measured})
    print(f"written to {arguments.out}")


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
