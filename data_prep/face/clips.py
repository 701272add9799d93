"""One video -> its clips: track, crops, landmarks, pulse traces. Records and prediction both come through here."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from cpml_jax.errors import UserError
from cpml_jax.schema import CROP_SIZE, FRAME_RATE
from data_prep.face import detector as detectors
from data_prep.face import landmarks, rppg
from data_prep.face.crop import CropPath, crop_path
from data_prep.face.detector import Detector
from data_prep.face.tracks import Track, find_tracks
from data_prep.video.reader import StreamInfo, VideoReader

MAX_INVALID = 0.1  # share of a clip's frames that may be filled in


def identity() -> dict[str, float]:
    """What the choice of clips depends on."""
    return dict(max_invalid=MAX_INVALID)


@dataclasses.dataclass
class FaceClip:
    """One window of one face.

    Attributes:
      face: number of the face track, 0 the largest that lasts.
      window: number of the clip inside the track. start_s: time of its first frame.
      frames: (T, 128, 128, 3) uint8 RGB. box: (T, 4) float32 pixels of the source.
      landmarks: (T, 68, 2) float32 in [-1, 1]. valid: (T,) bool.
      pulse_pos, pulse_chrom: (T,) float32 z-scored. heart_rate_*: beats/min. snr_*: dB. snr_p_*: in (0, 1].
      track_quality: mean probability of the track's detections.
    """

    face: int
    window: int
    start_s: float
    frames: np.ndarray
    box: np.ndarray
    landmarks: np.ndarray
    valid: np.ndarray
    pulse_pos: np.ndarray
    pulse_chrom: np.ndarray
    heart_rate_pos: float
    heart_rate_chrom: float
    snr_pos: float
    snr_chrom: float
    snr_p_pos: float
    snr_p_chrom: float
    track_quality: float


@dataclasses.dataclass(frozen=True)
class Window:
    """Which frames of a video make a clip of which face, and how they are cut out."""

    face: int
    number: int
    first: int
    path: CropPath
    seen: np.ndarray
    quality: float


def track_video(path: str | Path, detector: Detector) -> tuple[list[Track], int]:
    """All face tracks of a file, and its number of frames at 30 frames/s.

    Raises:
      UserError: not a video, nothing decodes, or no face.
    """
    with VideoReader(path) as video:
        tracks, count = find_tracks((picture for picture, _ in video.resampled()), detector)
    if not count:
        raise UserError("no frame of the video can be decoded")
    if not tracks:
        raise UserError("no face found in the video")
    return tracks, count


def plan_windows(tracks: list[Track], count: int, *, num_frames: int, max_windows: int | None) -> list[Window]:
    """Windows of num_frames contiguous frames of each track, one after another from the track's first frame.

    Raises:
      UserError: no track is long enough.
    """
    windows = []
    for face, track in enumerate(tracks):
        total = len(track) // num_frames
        for number in range(total if max_windows is None else min(total, max_windows)):
            first = number * num_frames
            seen = track.seen[first : first + num_frames]
            path = crop_path(track, first, num_frames)
            windows.append(Window(face, number, track.start + first, path, seen, track.probability))
    if not windows:
        longest = max(len(track) for track in tracks)
        where = "the video has" if longest == count else "the longest face track has"
        raise UserError(f"{where} {longest} frames at 30 frames/s, a clip needs {num_frames}")
    return windows


def cut_windows(path: str | Path, windows: list[Window], num_frames: int) -> Iterator[FaceClip | tuple[Window, str]]:
    """Cut planned windows out of a file in one pass; landmarks and traces are measured on these very frames.

    Yields:
      A FaceClip per window, or (window, reason) for one that this file cannot give.
    """
    waiting = sorted(windows, key=lambda w: w.first)
    open_windows: list[tuple[Window, np.ndarray, np.ndarray, np.ndarray]] = []
    with VideoReader(path) as video:
        for number, (picture, measured) in enumerate(video.resampled()):
            while waiting and waiting[0].first == number:
                frames = np.empty((num_frames, CROP_SIZE, CROP_SIZE, 3), np.uint8)
                open_windows.append((waiting.pop(0), frames, np.zeros(num_frames, bool), np.zeros(num_frames)))
            for window, frames, valid, times in open_windows:
                index = number - window.first
                x, y, width, height = window.path.region(index, *picture.size)
                frames[index] = window.path.crop(picture.region(x, y, width, height), index, (x, y))
                valid[index] = measured and window.seen[index]
                times[index] = picture.time
            while open_windows and number - open_windows[0][0].first == num_frames - 1:
                yield _measure(*open_windows.pop(0))
            if not waiting and not open_windows:
                return
        damaged = video.damaged
    for window in [w for w, *_ in open_windows] + waiting:
        cut = f", {damaged} damaged packets" if damaged else ""
        yield window, f"the file ends before the clip does (frame {window.first + num_frames} is missing{cut})"


def _measure(window: Window, frames: np.ndarray, valid: np.ndarray, times: np.ndarray) -> FaceClip | tuple[Window, str]:
    missing = 1 - valid.mean()
    if missing > MAX_INVALID:
        reason = "no face, or frames missing, damaged or too far apart"
        return window, f"{missing:.0%} of the clip's frames could not be measured ({reason})"
    points = moving_landmarks(window, frames, times)
    return FaceClip(**measurements(window, frames, points, valid, window.path.boxes()))


def moving_landmarks(window: Window, frames: np.ndarray, times: np.ndarray) -> np.ndarray:
    """(T, 68, 2) float32 in [-1, 1], smoothed and at regular moments, however the pictures lie in time.

    Measured once per picture of the source, at its own time and in the source's coordinates: a picture that is
    repeated to reach 30 frames/s leaves no step in the landmarks, which would tell the source's rate.

    Args:
      frames: (T, 128, 128, 3) uint8 RGB. times: (T,) s of their pictures; equal where a picture is repeated.
    """
    new = np.diff(times, prepend=-np.inf) > 0
    offsets = window.path.offsets()[:, None]
    points = landmarks.fit(frames[new], window.path.face) + offsets[new]
    at = (window.first + np.arange(len(frames))) / FRAME_RATE
    return landmarks.normalise(landmarks.smooth(points, times[new], at) - offsets)


def measurements(
    window: Window, frames: np.ndarray, points: np.ndarray, valid: np.ndarray, box: np.ndarray
) -> dict[str, Any]:
    """FaceClip's fields, with the pulse as these very frames show it."""
    rgb = rppg.skin_means(frames, points)
    traces = {name: method(rgb, FRAME_RATE) for name, method in rppg.METHODS.items()}
    fields: dict[str, Any] = dict(
        face=window.face,
        window=window.number,
        start_s=window.first / FRAME_RATE,
        frames=frames,
        box=box,
        landmarks=points,
        valid=valid,
        track_quality=window.quality,
    )
    for name, trace in traces.items():
        fields[f"pulse_{name}"] = trace.astype(np.float32)
        fields[f"heart_rate_{name}"] = rppg.heart_rate(trace, FRAME_RATE)
        fields[f"snr_{name}"] = ratio = rppg.snr(trace, FRAME_RATE)
        fields[f"snr_p_{name}"] = rppg.snr_p_value(ratio, name, len(trace), FRAME_RATE)
    return fields


def video_clips(path: str | Path, *, num_frames: int, detector: Detector | None = None) -> Iterator[FaceClip]:
    """Every clip of every face of a file, one at a time: any number of faces, any length, in bounded memory.

    Raises:
      UserError: the file gives no clip; the message is the reason.
    """
    tracks, count = track_video(path, detector or detectors.shared_detector())
    windows = plan_windows(tracks, count, num_frames=num_frames, max_windows=None)
    first_reason, empty = "", True
    for result in cut_windows(path, windows, num_frames):
        if isinstance(result, FaceClip):
            empty = False
            yield result
        else:
            first_reason = first_reason or result[1]
    if empty:
        raise UserError(first_reason)


def stream_info(path: str | Path) -> StreamInfo:
    """Frame rate, size, codec and bitrate of a file."""
    with VideoReader(path) as video:
        return video.info()
