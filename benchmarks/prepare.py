"""Speed of preparation, compared to MTCNN on every frame and to decoding alone. One process, one thread.

    uv run --group torch -m benchmarks.prepare [VIDEO ...]      a drawn 1280x720 video, then the given ones

For each video: frames/s of decoding, of MTCNN at its default settings on every frame (measured on frames spread over
the video), of tracking, of the whole preparation of one file at default settings (one window) and with every window,
and of a file whose track is already known, as for 14 of FF++'s 15 files per target; the mean IoU with MTCNN's boxes;
the mean distance of the landmarks from those fitted to MTCNN's box, as a share of the distance between the eyes; the
share of time per part; and, in a separate process, the peak memory for a minute of 1920x1080.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import functools
import multiprocessing
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar
from unittest import mock

import av
import cv2
import numpy as np

from cpml_jax.schema import FRAME_RATE
from data_prep.face import clips, landmarks, rppg
from data_prep.face.crop import CROP_SIZE, MARGIN, CropPath
from data_prep.face.detector import PROBABILITY, shared_detector
from data_prep.face.tracks import Track, overlap
from data_prep.records import process
from data_prep.sources import Video
from data_prep.synthetic.scene import Scene
from data_prep.video import jpeg
from data_prep.video.picture import Picture, rgb_frame
from data_prep.video.reader import VideoReader
from data_prep.worker import start_worker

T = TypeVar("T")
NUM_FRAMES = 160
CHECKED = 40  # frames per video on which MTCNN is timed and compared
EYES = (slice(36, 42), slice(42, 48))  # of iBUG-68


def draw(path: Path, *, frames: int, width: int, height: int) -> Path:
    """A drawn face in the middle of a wide picture, H.264 at CRF 23; the second half is the first in reverse."""
    half = list(Scene(seed=5, style="a", target=0, frames=min(frames, 300), size=height).pictures())
    side = (width - height) // 2
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=30, options={"crf": "23", "preset": "superfast"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        cycle = half + half[::-1]
        for number in range(frames):
            picture = cv2.copyMakeBorder(cycle[number % len(cycle)], 0, 0, side, side, cv2.BORDER_REFLECT)
            container.mux(stream.encode(rgb_frame(picture)))
        container.mux(stream.encode(None))
    return path


def decode(path: str | Path) -> int:
    """Number of frames, decoded only."""
    with VideoReader(path) as video:
        return sum(1 for _ in video.frames())


def decode_to_rgb(path: str | Path) -> int:
    """Number of frames, converted to RGB."""
    with VideoReader(path) as video:
        return sum(picture.rgb is not None for _, picture in video.frames())


def as_source(path: str | Path) -> Video:
    """The file as a data set's video."""
    return Video(
        path=str(path),
        label=0,
        method="real",
        compression="unknown",
        video="v",
        identity="v",
        source_identity="",
        target_video="",
        split="test",
        track_key="v",
    )


def timed(function: Callable[..., T], *arguments: Any) -> tuple[T, float]:
    """(the function's result, s)."""
    start = time.perf_counter()
    result = function(*arguments)
    return result, time.perf_counter() - start


def every_frame_mtcnn() -> Any:
    """facenet-pytorch's MTCNN with its defaults, under torch."""
    try:
        import torch
        from facenet_pytorch import MTCNN
    except ImportError as error:
        raise SystemExit(f"{error}: the group `torch` is missing: uv run --group torch") from None

    torch.set_num_threads(1)
    return MTCNN(keep_all=True, device="cpu")


def compare(path: str | Path, track: Track, mtcnn: Any) -> dict[str, Any]:
    """MTCNN on frames spread over the track: its speed, and how far our boxes and landmarks are from its results."""
    chosen = set(np.linspace(track.start, track.start + len(track) - 1, CHECKED).astype(int).tolist())
    seconds, overlaps, errors = [], [], []
    ours = whole_landmarks(path, track)
    with VideoReader(path) as video:
        for number, (picture, _) in enumerate(video.resampled()):
            if number not in chosen:
                continue
            (boxes, probabilities), spent = timed(mtcnn.detect, picture.rgb)
            seconds.append(spent)
            index = number - track.start
            box = np.concatenate(
                [track.centre[index] - track.size[index] / 2, track.centre[index] + track.size[index] / 2]
            )
            pairs = () if boxes is None else zip(boxes, probabilities, strict=True)
            detected = [np.asarray(b, float) for b, p in pairs if p > PROBABILITY]
            if not detected:
                continue
            nearest = max(detected, key=lambda b: overlap(b, box))
            overlaps.append(overlap(nearest, box))
            if index in ours:
                theirs = single_landmarks(picture.rgb, nearest)
                eyes = np.linalg.norm(theirs[EYES[0]].mean(0) - theirs[EYES[1]].mean(0))
                errors.append(np.linalg.norm(ours[index] - theirs, axis=1).mean() / eyes)
    return dict(mtcnn=1 / np.mean(seconds), iou=np.mean(overlaps), landmarks=np.mean(errors), compared=len(overlaps))


def whole_landmarks(path: str | Path, track: Track) -> dict[int, np.ndarray]:
    """Frame of the track -> (68, 2) landmarks in pixels of the video, from the clips that preparation cuts."""
    windows = clips.plan_windows([track], len(track), num_frames=NUM_FRAMES, max_windows=None)
    points = {}
    for window in windows:
        clip = next(clips.cut_windows(path, [window], NUM_FRAMES))
        if isinstance(clip, tuple):
            continue
        c, s = np.cos(window.path.angle), np.sin(window.path.angle)
        back = np.array([[c, -s], [s, c]]) * window.path.side / 2
        for index in range(NUM_FRAMES):
            points[window.first - track.start + index] = clip.landmarks[index] @ back.T + window.path.centre[index]
    return points


def single_landmarks(frame: np.ndarray, box: np.ndarray) -> np.ndarray:
    """(68, 2) pixels: the same predictor on a crop around MTCNN's box of this frame alone, not smoothed."""
    centre, size = (box[:2] + box[2:]) / 2, box[2:] - box[:2]
    side = MARGIN * float(size.max())
    path = CropPath(centre[None], side, 0.0, size * (CROP_SIZE / side))
    return landmarks.normalise(landmarks.fit(path.crop(frame, 0)[None], path.face))[0] * side / 2 + centre


@contextlib.contextmanager
def stopwatch(spent: dict[str, float]) -> Iterator[None]:
    """Add up the seconds in each part of preparation, without the parts that it calls."""
    stack: list[float] = []

    def watched(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def call(*arguments: Any, **named: Any) -> Any:
            stack.append(0.0)
            start = time.perf_counter()
            try:
                return function(*arguments, **named)
            finally:
                whole = time.perf_counter() - start
                spent[name] += whole - stack.pop()
                if stack:
                    stack[-1] += whole

        return call

    parts = [
        (type(shared_detector()), "__call__", "MTCNN on key frames"),
        (Picture, "thumbnail", "thumbnails (scene cuts)"),
        (CropPath, "crop", "crops"), (landmarks, "fit", "landmarks"), (landmarks, "smooth", "landmarks"),
        (rppg, "skin_means", "skin means"), (clips, "measurements", "pulse"), (jpeg, "encode", "JPEG"),
    ]  # fmt: skip
    with contextlib.ExitStack() as patches:
        for place, name, label in parts:
            patches.enter_context(mock.patch.object(place, name, watched(label, getattr(place, name))))
        yield


def measure(path: str | Path, mtcnn: Any) -> dict[str, Any]:
    """The figures of `report` for one video."""
    detector = shared_detector()
    list(
        clips.cut_windows(
            path, clips.plan_windows(*clips.track_video(path, detector), num_frames=32, max_windows=1), 32
        )
    )
    frames, decoding = timed(decode, path)
    _, colours = timed(decode_to_rgb, path)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "work.npz"
        (tracks, count), tracking = timed(clips.track_video, path, detector)
        _, default = timed(process.process_group, [as_source(path)], file, process.Sampling(NUM_FRAMES, 1))
        spent: dict[str, float] = collections.defaultdict(float)
        with stopwatch(spent):
            _, whole = timed(process.process_group, [as_source(path)], file, process.Sampling(NUM_FRAMES, 1000))
        windows = clips.plan_windows(tracks[:1], count, num_frames=NUM_FRAMES, max_windows=1)
        _, known = timed(lambda: list(clips.cut_windows(path, windows, NUM_FRAMES)))
    result = dict(
        frames=frames,
        decode=frames / decoding,
        rgb=frames / colours,
        track=frames / tracking,
        default=frames / default,
        all_windows=frames / whole,
    )
    result["group"] = 15 * frames / (tracking + 15 * known)
    spent["decoding and colour conversion"] = whole - sum(spent.values())
    shares = {part: seconds / whole for part, seconds in sorted(spent.items(), key=lambda item: -item[1])}
    return result | compare(path, tracks[0], mtcnn) | dict(spent=shares)


def peak_memory(path: str, queue: Any) -> None:
    """Prepare a file and put (peak bytes, bytes of mapped files) into the multiprocessing queue."""
    start_worker()
    process.process_group([as_source(path)], Path(path).with_suffix(".npz"), process.Sampling(NUM_FRAMES, 1000))
    # Not getrusage's maximum: a process inherits it from its parent.
    pairs = (line.split(":") for line in Path("/proc/self/status").read_text().splitlines())
    status = {key: 1024 * int(value.split()[0]) for key, value in pairs if key in ("VmHWM", "RssFile")}
    queue.put((status["VmHWM"], status["RssFile"]))


def memory_at_1080p(folder: Path) -> tuple[float, float]:
    """(peak bytes, bytes of mapped files among them) of a spawned process for a minute of 1920x1080, every window."""
    path = draw(folder / "large.mp4", frames=int(60 * FRAME_RATE), width=1920, height=1080)
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    child = context.Process(target=peak_memory, args=(str(path), queue))
    child.start()
    size = queue.get()
    child.join()
    return size


def report(name: str, r: dict[str, Any]) -> str:
    """The figures as text."""
    lines = [
        f"{name}: {r['frames']} frames; frames/s per core:",
        f"  {'decoding alone':27} {r['decode']:7.1f}",
        f"  {'decoding to RGB pictures':27} {r['rgb']:7.1f}",
        f"  {'MTCNN on every frame':27} {r['mtcnn']:7.1f}",
    ]
    steps = {
        "track": "tracking",
        "default": "a file, one window",
        "all_windows": "a file, every window",
        "group": "15 files of one target",
    }
    for key, step in steps.items():
        ratios = f"{r[key] / r['mtcnn']:5.1f} x MTCNN, {r[key] / r['decode']:.2f} x decoding"
        lines.append(f"  {step:27} {r[key]:7.1f}   {ratios}")
    error = f"landmarks {r['landmarks']:.2%} of the eyes' distance"
    lines.append(f"  mean IoU with MTCNN {r['iou']:.3f}, {error} ({r['compared']} frames)")
    lines.append("  time, every window: " + ", ".join(f"{part} {share:.0%}" for part, share in r["spent"].items()))
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("videos", nargs="*")
    parser.add_argument("--no-memory", action="store_true", help="skip the minute of 1920x1080")
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    mtcnn = every_frame_mtcnn()
    with tempfile.TemporaryDirectory() as folder:
        drawn = draw(Path(folder) / "drawn_1280x720.mp4", frames=600, width=1280, height=720)
        for path in [drawn, *arguments.videos]:
            print(report(Path(path).name, measure(path, mtcnn)), flush=True)
        if not arguments.no_memory:
            peak, mapped = (size / 1e9 for size in memory_at_1080p(Path(folder)))
            print(
                f"peak memory, a minute of 1920x1080, every window: {peak:.2f} GB, of which {mapped:.2f} are libraries"
            )


if __name__ == "__main__":
    main()
