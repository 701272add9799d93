"""How well landmarks measure motion, before and after: on real clips, and on drawn ones against their truth.

    python -m benchmarks.landmarks [--real FOLDER] [--drawn ROOT] [--videos 6]

Pixels are those of the 128-pixel crop, per coordinate; every figure is a root mean square over frames and points, then
the median (real) or mean (drawn) over videos. "Before" is dlib on the crop itself (whole pixels, a fit per frame, also
of repeated ones) under a Savitzky-Golay filter of 7 frames and second order, as records had it up to version 0.1.0.

FOLDER: real videos. Second difference; distance from MTCNN's five points in distances between the eyes, and the share
of frames where any of them is farther than 0.2; the line that repeated pictures leave in the deltas (5 Hz at
25 frames/s), and the AUC with which it tells 25 frames/s from 30.
ROOT: a drawn benchmark (data_prep.synthetic.generate), with its truth. Errors of position, delta and second difference.
"""

from __future__ import annotations

import argparse
import itertools
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from scipy.signal import savgol_filter

from benchmarks.prepare import every_frame_mtcnn
from cpml_jax.errors import UserError
from cpml_jax.metrics.detection import auc
from cpml_jax.schema import CROP_SIZE, FRAME_RATE
from cpml_jax.video_files import VIDEO_SUFFIXES
from data_prep.face import clips, landmarks
from data_prep.face.clips import FaceClip, Window
from data_prep.face.detector import shared_detector
from data_prep.face.tracks import find_tracks
from data_prep.video.reader import VideoReader

NUM_FRAMES = 128
LOOKED_AT = 160  # first frames of a video
CHECKED = 8  # frames of a clip that MTCNN looks at
FAR = 0.2  # of the distance between the eyes
# MTCNN's five points in iBUG-68: eyes, tip of the nose, corners of the mouth.
FIVE = (tuple(range(36, 42)), tuple(range(42, 48)), (30,), (48,), (54,))
Figures = dict[str, float]


def rms(values: np.ndarray) -> float:
    """Root mean square over everything."""
    return float(np.sqrt(np.mean(np.square(values, dtype=float))))


def before(frames: np.ndarray, face: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(T, 68, 2) pixels, as measured and smoothed, the way of version 0.1.0.

    Args:
      frames: (T, 128, 128, 3) uint8 RGB. face: (2,) width and height of the face box, pixels of the crop.
    """
    middle, half, drop = CROP_SIZE / 2, 0.525 * float(face[0]), 0.06 * float(face[1])
    corners = middle - half, middle + drop - half, middle + half, middle + drop + half
    box, predictor = landmarks.rectangle(*corners), landmarks.load_predictor()
    points = np.array([[(p.x, p.y) for p in predictor(frame, box).parts()] for frame in frames], np.float32)
    return points, np.asarray(savgol_filter(points, 7, 2, axis=0), np.float32)


def first_clip(path: Path) -> tuple[Window, FaceClip, float]:
    """The first window of the largest face in the beginning, and the source's frames/s.

    Raises:
      UserError: the video gives no clip.
    """
    with VideoReader(path) as video:
        pictures = (picture for picture, _ in itertools.islice(video.resampled(), LOOKED_AT))
        tracks, count = find_tracks(pictures, shared_detector())
    if not tracks:
        raise UserError("no face in the video's beginning")
    windows = clips.plan_windows(tracks, count, num_frames=NUM_FRAMES, max_windows=1)
    clip = next(clips.cut_windows(path, windows[:1], NUM_FRAMES))
    if isinstance(clip, tuple):
        raise UserError(clip[1])
    return windows[0], clip, clips.stream_info(path).fps


def pixels(points: np.ndarray) -> np.ndarray:
    """Landmarks in [-1, 1] -> pixels of the crop."""
    return (points + 1) * (CROP_SIZE / 2) - 0.5


def line(points: np.ndarray, frequency: float) -> float:
    """How far a line at a frequency (Hz) stands out of the spectrum of the deltas' size: 1 is its surroundings' median.

    Args:
      points: (T, 68, 2), at FRAME_RATE.
    """
    size = np.abs(np.diff(points, axis=0)).mean((1, 2))
    spectrum = np.abs(np.fft.rfft((size - size.mean()) * np.hanning(len(size)), 1024))
    distance = np.abs(np.fft.rfftfreq(1024, 1 / FRAME_RATE) - frequency)
    return float(spectrum[distance < 0.15].max() / np.median(spectrum[(distance > 0.8) & (distance < 2.5)]))


def disagreement(frames: np.ndarray, points: np.ndarray, mtcnn: Any) -> np.ndarray:
    """(frames that MTCNN sees, 5) distances of its points from the landmarks', in distances between the eyes.

    Args:
      frames: (T, 128, 128, 3) uint8 RGB. points: (T, 68, 2) pixels.
    """
    distances = []
    for index in np.linspace(0, len(frames) - 1, CHECKED).astype(int):
        boxes, _, theirs = mtcnn.detect(cv2.resize(frames[index], None, fx=2.0, fy=2.0), landmarks=True)
        if boxes is None:
            continue
        ours = np.stack([points[index, list(group)].mean(0) for group in FIVE])
        five = np.asarray(theirs[int(np.argmax(boxes[:, 2] - boxes[:, 0]))], float) / 2
        distances.append(np.linalg.norm(ours - five, axis=1) / np.linalg.norm(five[0] - five[1]))
    return np.array(distances).reshape(-1, len(FIVE))


def real_figures(path: Path, mtcnn: Any) -> tuple[float, dict[str, Figures]]:
    """The source's frames/s; "before" and "after" -> the figures of one real clip."""
    window, clip, fps = first_clip(path)
    measured, smoothed = before(clip.frames, window.path.face)
    start = time.process_time()
    fitted = landmarks.fit(clip.frames, window.path.face)
    spent = time.process_time() - start
    ways = {"before": (measured, smoothed), "after": (fitted, pixels(clip.landmarks))}
    figures: dict[str, Figures] = {}
    for name, (bare, points) in ways.items():
        distances = disagreement(clip.frames, points, mtcnn)
        figures[name] = {
            "second difference as fitted": rms(np.diff(bare, 2, axis=0)),
            "second difference": rms(np.diff(points, 2, axis=0)),
            "delta": rms(np.diff(points, axis=0)),
            "MTCNN: mean distance": float(distances.mean()) if distances.size else np.nan,
            f"MTCNN: frames over {FAR}": float((distances.max(1) > FAR).mean()) if distances.size else np.nan,
            "line at 5 Hz": line(points, 5.0),
        }
    figures["after"]["fit, ms a frame"] = 1e3 * spent / len(clip.frames)
    return fps, figures


def real(paths: Iterable[Path]) -> str:
    """The table of real clips."""
    mtcnn, results, skipped = every_frame_mtcnn(), [], 0
    for path in paths:
        try:
            results.append(real_figures(path, mtcnn))
        except UserError:
            skipped += 1
    lines = [f"{len(results)} real clips of {NUM_FRAMES} frames, median ({skipped} videos give none)"]
    for key in results[0][1]["after"]:
        values = [
            f"{name} {np.nanmedian([figures[name][key] for _, figures in results]):.3f}"
            for name in ("before", "after")
            if key in results[0][1][name]
        ]
        lines.append(f"  {key:28} " + ", ".join(values))
    slow = np.array([abs(fps - 25) < 0.5 for fps, _ in results])
    fast = np.array([abs(fps - 30) < 0.5 for fps, _ in results])
    if slow.any() and fast.any():
        both = slow | fast
        values = {
            name: auc(slow[both].astype(int), np.array([figures[name]["line at 5 Hz"] for _, figures in results])[both])
            for name in ("before", "after")
        }
        both_ways = ", ".join(f"{name} {value:.2f}" for name, value in values.items())
        lines.append(f"  {'AUC of 25 against 30 frames/s':28} {both_ways} ({slow.sum()} and {fast.sum()} clips)")
    return "\n".join(lines)


def drawn_videos(root: Path, count: int) -> Iterator[tuple[str, str, Path, Path]]:
    """(real or a method, compression, video, truth) of the first videos of each kind."""
    for folder in sorted({path.parent for path in (root / "truth").rglob("*.npz")}):
        sequence = root / folder.relative_to(root / "truth")
        for compression in sorted(path.name for path in sequence.iterdir()):
            for video in sorted((sequence / compression / "videos").glob("*.mp4"))[:count]:
                yield sequence.name, compression, video, folder / f"{video.stem}.npz"


def truth_in_crop(truth: Path, window: Window) -> np.ndarray:
    """(T, 68, 2) pixels of the crop, of a drawn video at FRAME_RATE or another rate."""
    with np.load(truth) as sidecar:
        times, points = sidecar["times_s"], sidecar["landmarks"]
    at = (window.first + np.arange(NUM_FRAMES)) / FRAME_RATE
    columns = points.reshape(len(points), -1)
    points = np.stack([np.interp(at, times, column) for column in columns.T], axis=1).reshape(len(at), -1, 2)
    return window.path.to_crop(points + 0.5) - 0.5


def drawn_errors(measured: np.ndarray, truth: np.ndarray) -> Figures:
    """Errors of (T, 68, 2) landmarks, pixels."""
    error, delta = measured - truth, np.diff(truth, axis=0)
    return {
        "position": rms(error),
        "position, mean removed": rms(error - error.mean(0)),
        "delta": rms(np.diff(error, axis=0)),
        "delta, correlation": float(np.corrcoef(np.diff(measured, axis=0).ravel(), delta.ravel())[0, 1]),
        "second difference": rms(np.diff(error, 2, axis=0)),
    }


def drawn(root: Path, count: int) -> str:
    """The table of drawn clips: errors before -> after."""
    results: dict[tuple[str, str], list[tuple[Figures, Figures, float]]] = defaultdict(list)
    for kind, compression, video, sidecar in drawn_videos(root, count):
        try:
            window, clip, _ = first_clip(video)
        except UserError:
            continue
        truth = truth_in_crop(sidecar, window)
        earlier, now = before(clip.frames, window.path.face)[1], pixels(clip.landmarks)
        motion = rms(np.diff(truth, 2, axis=0))
        results[kind, compression].append((drawn_errors(earlier, truth), drawn_errors(now, truth), motion))
    keys = list(next(iter(results.values()))[0][0])
    lines = ["| drawn | compression | truth's second difference | " + " | ".join(keys) + " |"]
    lines.append("| --- " * (len(keys) + 3) + "|")
    for (kind, compression), rows in results.items():
        cells = [f"{np.mean([r[0][key] for r in rows]):.3f} → {np.mean([r[1][key] for r in rows]):.3f}" for key in keys]
        motion = np.mean([row[2] for row in rows])
        lines.append(f"| {kind} | {compression} | {motion:.3f} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--real", type=Path, help="a folder of real videos")
    parser.add_argument("--drawn", type=Path, help="the root of a drawn benchmark")
    parser.add_argument("--videos", type=int, default=6, help="drawn videos of each kind and compression")
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    if arguments.real:
        print(real(sorted(p for p in arguments.real.iterdir() if p.suffix.lower() in VIDEO_SUFFIXES)), flush=True)
    if arguments.drawn:
        print(drawn(arguments.drawn, arguments.videos), flush=True)


if __name__ == "__main__":
    main()
