"""Time of `predict` from the shell, the first time and again, and what it is spent on.

    python -m benchmarks.predict --workdir=runs/synthetic [--config=configs/synthetic.py] [--minutes] [VIDEO]

Without a video, of a drawn 10-second one (480x480); with --minutes, of two minutes, beside decoding to RGB. "First"
has an empty cache of compiled programs, "again" the one that the first left. s of the clock, and s of the cores' time.
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

PARTS = ("imports", "weights", "decoding, crops, landmarks", "detection", "compiling", "scoring")


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
    import jax

    from cpml_jax import cli
    from cpml_jax.evaluation import scoring
    from cpml_jax.prediction import detector as prediction
    from data_prep.face import clips, detector

    detector.shared_detector().load()
    watch.spent["imports"] = time.time() - started

    def compiling(event: str, duration_secs: float, **_: Any) -> None:
        if any(name in event for name in ("backend_compile", "jaxpr_trace", "jaxpr_to_mlir")):
            watch.add("compiling", duration_secs, duration_secs)

    jax.monitoring.register_event_duration_secs_listener(compiling)
    scoring.restore_for_scoring = watch.watched("weights", scoring.restore_for_scoring)
    scoring.Scorer.score = watch.watched("scoring", scoring.Scorer.score)
    detector.Mtcnn.__call__ = watch.watched("detection", detector.Mtcnn.__call__)
    clips.track_video = watch.watched("decoding, crops, landmarks", clips.track_video)
    following = watch.watched("decoding, crops, landmarks", next)
    loaded = prediction.load_video_clips

    def load_video_clips(*arguments: Any) -> Callable[..., Any]:
        made = loaded(*arguments)

        def generate(*inner: Any, **named: Any) -> Any:
            source, end = iter(made(*inner, **named)), object()
            while (clip := following(source, end)) is not end:
                yield clip

        return generate

    vars(prediction)["load_video_clips"] = load_video_clips
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


def main() -> None:
    if sys.argv[1:2] == ["--inside"]:
        inside(float(sys.argv[2]), sys.argv[3], sys.argv[4:])
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("video", nargs="?")
    parser.add_argument("--workdir", required=True)
    parser.add_argument("--config", default="configs/synthetic.py")
    parser.add_argument("--minutes", action="store_true", help="also two minutes of video, beside decoding to RGB")
    given = parser.parse_args()
    from benchmarks.prepare import decode_to_rgb, draw, timed

    with tempfile.TemporaryDirectory() as folder:
        video = given.video or str(draw(Path(folder) / "drawn.mp4", frames=300, width=480, height=480))
        command = ["predict", f"--config={given.config}", f"--workdir={given.workdir}"]
        for name in ("first", "again", "again"):
            print(report(name, *measure([*command, video], folder)), flush=True)
        if given.minutes:
            long = draw(Path(folder) / "long.mp4", frames=3600, width=480, height=480)
            wall, cores, spent = measure([*command, str(long)], folder)
            _, rgb = timed(decode_to_rgb, long)
            print(report("minutes", wall, cores, spent))
            print(f"two minutes: {wall / rgb:.1f} times decoding to RGB ({rgb:.1f} s)")


if __name__ == "__main__":
    main()
