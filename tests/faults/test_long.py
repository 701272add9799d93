"""Long and large: the peak of memory, and whether it grows."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from odd.encoder import draw

from faults.world import ROOT, World, processes_of

pytestmark = pytest.mark.faults
MINUTES = float(os.environ.get("FAULTS_MINUTES", "10"))  # of 1080p
FILES, VIDEOS = 5000, 500
PROMISED = 1.5e9  # bytes of a process, whatever the file
MB = 1e6


def held(session: int) -> list[tuple[float, float]]:
    """Bytes in memory, now and at most, of each process of a session."""
    found = []
    for pid in processes_of(session, patience=0):
        try:
            lines = Path(f"/proc/{pid}/status").read_text().splitlines()
            status = dict(line.split(":", 1) for line in lines)
            found.append((1024.0 * int(status["VmRSS"].split()[0]), 1024.0 * int(status["VmHWM"].split()[0])))
        except (OSError, KeyError, ValueError):  # it has just ended
            pass
    return found


Samples = list[tuple[int, float]]  # answers printed so far, and bytes that all processes hold


def watched(world: World, *arguments: str) -> tuple[subprocess.CompletedProcess, Samples, float]:
    """The real command in a session of its own; its memory, five times a second; and the most that one of its processes
    held."""
    world.back_to("end")
    out, err = world.root / "long.out", world.root / "long.err"
    environment = world.warm.environment | {"PYTHONPATH": str(ROOT)}
    with out.open("wb") as stdout, err.open("wb") as stderr:
        process = subprocess.Popen(
            [sys.executable, "main.py", *arguments], cwd=ROOT, stdout=stdout, stderr=stderr, env=environment,
            start_new_session=True,
        )  # fmt: skip
        sampled: Samples = []
        peak = 0.0
        while process.poll() is None:
            if found := held(process.pid):
                sampled.append((out.read_bytes().count(b"\n"), sum(now for now, _ in found)))
                peak = max(peak, *(most for _, most in found))
            time.sleep(0.2)
    done = subprocess.CompletedProcess(arguments, process.returncode, out.read_text(), err.read_text(errors="replace"))
    return done, sampled, peak


def growth(sampled: Samples) -> float:
    """Bytes by which the median over the last quarter of the answers, but for the very last ones, lies above that over
    the second quarter. Before the first answer a process grows: it loads the model."""
    last = sampled[-1][0]
    early, late = (
        [held for answers, held in sampled if low * last < answers <= high * last]
        for low, high in ((0.25, 0.5), (0.75, 0.99))
    )
    return float(np.median(late) - np.median(early)) if early and late else 0.0


def long_video(path: Path, minutes: float) -> None:
    """A drawn face in 1920x1080 at 30 frames/s: ten seconds are encoded, and repeated."""
    pictures = draw(300)
    with av.open(str(path.with_suffix(".part.mp4")), "w") as container:
        stream = container.add_stream("libx264", rate=30, options={"preset": "ultrafast", "crf": "23", "bf": "0"})
        stream.width, stream.height, stream.pix_fmt = 1920, 1080, "yuv420p"
        whole = np.random.default_rng(0).integers(60, 90, (1080, 1920, 3), dtype=np.uint8)
        for picture in pictures:
            side = 640
            rows = np.arange(side) * len(picture) // side
            whole[200 : 200 + side, 640 : 640 + side] = picture[rows][:, rows]
            container.mux(stream.encode(av.VideoFrame.from_ndarray(whole, format="rgb24")))
        container.mux(stream.encode(None))
    with av.open(str(path.with_suffix(".part.mp4"))) as source, av.open(str(path), "w") as container:
        packets = [packet for packet in source.demux(video=0) if packet.dts is not None]
        stream = container.add_stream_from_template(source.streams.video[0])
        base = source.streams.video[0].time_base
        assert base is not None
        length = int(Fraction(10) / base)
        data = [(bytes(packet), packet.pts, packet.dts, packet.is_keyframe) for packet in packets]
        for number in range(round(6 * minutes)):
            for content, pts, dts, key in data:
                packet = av.Packet(content)
                packet.stream, packet.time_base, packet.is_keyframe = stream, base, key
                packet.pts, packet.dts = pts + number * length, dts + number * length
                container.mux(packet)


def test_ten_minutes_of_1080p(world, tmp_path):
    long_video(tmp_path / "long.mp4", MINUTES)
    done, _, peak = watched(world, *world.arguments("predict")[:-1], str(tmp_path / "long.mp4"))
    print(f"{MINUTES:g} minutes of 1080p: peak {peak / MB:.0f} MB")
    assert done.returncode == 0, done.stdout[:500] + done.stderr[-2000:]
    assert peak < PROMISED


def test_a_folder_of_5000_files(world, tmp_path):
    """Most are no videos, or empty, or noise, or too short; each has its answer or is passed over."""
    folder, rng = tmp_path / "many", np.random.default_rng(0)
    folder.mkdir()
    short = (world.real / "p0.mp4").read_bytes()
    for number in range(FILES):
        kind = number % 10
        suffix = (".mp4", ".mp4", ".txt", ".jpg", ".mp4", ".avi", ".mov", ".mkv", ".webm", ".json")[kind]
        content = b"" if kind == 0 else short[: len(short) // 3] if kind == 1 else rng.bytes(200 + number % 3000)
        (folder / f"{number:04d}{suffix}").write_bytes(content)
    (folder / "whole.mp4").write_bytes(short)
    done, sampled, peak = watched(world, *world.arguments("predict")[:-1], str(folder))
    answers = done.stdout.splitlines()
    print(f"{FILES} files: {len(answers)} answers, peak {peak / MB:.0f} MB, growth {growth(sampled) / MB:.0f} MB")
    assert done.returncode == 1 and "Traceback" not in done.stderr, done.stderr[-2000:]
    assert sum('"error"' not in line for line in answers) == 1
    assert peak < PROMISED and growth(sampled) < 50 * MB


def test_500_videos_do_not_make_it_grow(world, tmp_path):
    folder = tmp_path / "videos"
    folder.mkdir()
    for number in range(VIDEOS):
        os.link(world.real / f"p{number % 6}.mp4", folder / f"{number:03d}.mp4")
    done, sampled, peak = watched(world, *world.arguments("predict")[:-1], str(folder))
    print(f"{VIDEOS} videos: peak {peak / MB:.0f} MB, growth {growth(sampled) / MB:.0f} MB")
    assert done.returncode == 0 and len(done.stdout.splitlines()) == VIDEOS, done.stderr[-2000:]
    assert peak < PROMISED and growth(sampled) < 50 * MB
