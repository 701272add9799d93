"""Time of `predict` from the shell, the first time and again, and what it is spent on.

    python -m benchmarks.predict --workdir=runs/synthetic [--config=F] [VIDEO] [--minutes[=LONG]]
    python -m benchmarks.predict --workdir=runs/synthetic --config=F --many VIDEO [VIDEO ...]

Without a video, of a drawn 10-second one (480x480); with --minutes, of two minutes, or of LONG, beside decoding to
RGB. "First" has an empty cache of compiled programs, "again" the one that the first left. s of the clock, and s of the
cores' time. A process reads the video while this one loads the model, compiles and scores: "waiting" is what the latter
waits. Where Python may not write its compiled modules (PYTHONDONTWRITEBYTECODE), each takes 2 s more.
--many: videos a minute of `predict --out`, with one process that reads and with two.
"""

from __future__ import annotations

import argparse
import collections
import functools
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

PARTS = ("imports", "imports of the model", "weights", "waiting", "compiling", "scoring")


class Stopwatch:
    """Seconds of each part, without the parts inside it."""

    def __init__(self) -> None:
        self.spent: dict[str, float] = collections.defaultdict(float)
        self._inner: list[float] = []

    def watched(self, part: str, function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def call(*arguments: Any, **named: Any) -> Any:
            start = time.perf_counter()
            self._inner.append(0.0)
            try:
                return function(*arguments, **named)
            finally:
                self.add(part, time.perf_counter() - start - self._inner.pop(), time.perf_counter() - start)

        return call

    def add(self, part: str, own: float, whole: float) -> None:
        self.spent[part] += own
        if self._inner:
            self._inner[-1] += whole


def inside(started: float, out: str, command: list[str]) -> None:
    """One prediction in this process; its parts go to a file."""
    watch = Stopwatch()
    from cpml_jax import cli
    from cpml_jax.prediction.detector import Detector
    from cpml_jax.prediction.reading import Reader

    def with_model(function: Callable[..., Any]) -> Callable[..., Any]:
        """After the imports of the model, which begin when the video is being read already."""

        def call(*arguments: Any, **named: Any) -> Any:
            if "imports of the model" in watch.spent:  # load calls of_run
                return function(*arguments, **named)
            began = time.perf_counter()
            import jax

            from cpml_jax.evaluation import model_folder, scoring
            from cpml_jax.training import checkpoint  # noqa: F401 - loaded with the weights

            jax.monitoring.register_event_duration_secs_listener(compiling)
            scoring.restore_for_scoring = watch.watched("weights", scoring.restore_for_scoring)
            model_folder.read = watch.watched("weights", model_folder.read)
            scoring.Scorer.score = watch.watched("scoring", scoring.Scorer.score)
            watch.spent["imports of the model"] = time.perf_counter() - began
            return function(*arguments, **named)

        return call

    def compiling(event: str, duration_secs: float, **_: Any) -> None:
        if event.endswith("backend_compile_duration"):  # tracing is a part of weights, for their shapes, and of scoring
            watch.add("compiling", duration_secs, duration_secs)

    for name in ("load", "of_run"):
        setattr(Detector, name, staticmethod(with_model(getattr(Detector, name))))
    for name in ("receive", "check"):
        setattr(Reader, name, watch.watched("waiting", getattr(Reader, name)))
    watch.spent["imports"] = time.time() - started
    sys.argv = ["main.py", *command]
    try:
        cli.run()
    finally:
        Path(out).write_text(json.dumps(watch.spent))


def measure(command: list[str], cache: str) -> tuple[float, float, dict[str, float]]:
    """(s of the clock, s of the cores, s by part) of one prediction in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "parts.json"
        environment = os.environ | {"XDG_CACHE_HOME": cache}
        before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.time()
        arguments = [sys.executable, "-m", "benchmarks.predict", "--inside", str(start), str(out), *command]
        done = subprocess.run(arguments, env=environment, capture_output=True, text=True, check=False)
        wall, after = time.time() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
        if done.returncode:
            raise SystemExit(done.stderr)
        cores = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        return wall, cores, json.loads(out.read_text())


def report(name: str, wall: float, cores: float, spent: dict[str, float]) -> str:
    rest = wall - sum(spent.values())
    shares = ", ".join(f"{part} {spent.get(part, 0.0):.1f}" for part in PARTS)
    return f"{name:8} {wall:6.1f} s ({cores:.1f} s of cores): {shares}, the rest {rest:.1f}"


def many(config: str, workdir: str, videos: list[str], folder: Path) -> None:
    """Print how many videos a minute are answered, all of the command counted; the first has compiled before."""
    for workers in (1, 2):
        out = folder / f"{workers}.jsonl"
        command = ["predict", f"--config={config}", f"--workdir={workdir}", f"--out={out}"]
        command.append(f"--config.data.workers={workers}")
        measure([*command, videos[0]], str(folder))
        wall, cores, _ = measure([*command, *videos], str(folder))
        pace = 60 * (len(videos) - 1) / wall
        print(f"{workers} reading: {wall:.1f} s ({cores:.1f} s of cores), {pace:.1f} videos/min", flush=True)


def main() -> None:
    if sys.argv[1:2] == ["--inside"]:
        inside(float(sys.argv[2]), sys.argv[3], sys.argv[4:])
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("videos", nargs="*", metavar="VIDEO")
    parser.add_argument("--workdir", required=True)
    parser.add_argument("--config", help="the one that is stored in the workdir if not given")
    parser.add_argument(
        "--minutes", nargs="?", const="", metavar="LONG", help="also two minutes drawn, or LONG, beside decoding to RGB"
    )
    parser.add_argument("--many", action="store_true", help="many videos, to a file of answers")
    given = parser.parse_args()
    from benchmarks.prepare import decode_to_rgb, draw, timed

    with tempfile.TemporaryDirectory() as folder:
        if given.many:
            many(given.config or "configs/synthetic.py", given.workdir, given.videos, Path(folder))
            return
        video = (
            given.videos[0]
            if given.videos
            else str(draw(Path(folder) / "drawn.mp4", frames=300, width=480, height=480))
        )
        command = ["predict", f"--workdir={given.workdir}"] + ([f"--config={given.config}"] if given.config else [])
        for name in ("first", "again", "again"):
            print(report(name, *measure([*command, video], folder)), flush=True)
        if given.minutes is not None:
            long = given.minutes or draw(Path(folder) / "long.mp4", frames=3600, width=480, height=480)
            wall, cores, spent = measure([*command, str(long)], folder)
            _, rgb = timed(decode_to_rgb, long)
            print(report("minutes", wall, cores, spent))
            print(f"minutes: {wall / rgb:.1f} times decoding to RGB ({rgb:.1f} s)")


if __name__ == "__main__":
    main()
