"""One video -> its clips: track, crops, landmarks, pulse traces. Records and prediction both come through here."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from cpml_jax.errors import UserError
from cpml_jax.limits import Limits
from cpml_jax.schema import CROP_SIZE, FRAME_RATE
from data_prep.face import agreement, landmarks, rppg
from data_prep.face import detector as detectors
from data_prep.face.crop import CropPath, crop_path
from data_prep.face.detector import Detector
from data_prep.face.tracks import Track, find_tracks
from data_prep.video.picture import Picture
from data_prep.video.reader import StreamInfo, VideoReader

# Share of a clip's frames that may be invalid. They are bridged and no loss reads them: one key frame in doubt, 15
# frames of 128, is no reason to lose a clip.
MAX_INVALID = 0.15
LIMITS = Limits()
# Gets what is being done, and how much of how much: ("faces", frames, the header's; 0: it says none), then ("scoring",
# windows that were used, all). It may raise, which ends the work.
Progress = Callable[[str, int, int], None]


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
    """Which frames of a video make a clip of which face, and how they are cut out.

    Attributes:
      seen: (T,) bool, False where the track does not show the face. quality: the track's probability.
      points: (5, 2) of the detector (Track.points), by key frame of the clip.
    """

    face: int
    number: int
    first: int
    path: CropPath
    seen: np.ndarray
    quality: float
    points: dict[int, np.ndarray] = dataclasses.field(default_factory=dict)


def track_video(
    path: str | Path, detector: Detector, limits: Limits = LIMITS, progress: Progress | None = None
) -> tuple[list[Track], int]:
    """All face tracks of a file, and its number of frames at 30 frames/s.

    Raises:
      UserError: not a video, nothing decodes, or no face.
    """
    with VideoReader(path, limits) as video:
        pictures = (picture for picture, _ in video.resampled())
        if progress is not None:
            pictures = _told(pictures, round(video.info().seconds * FRAME_RATE), progress)
        tracks, count = find_tracks(pictures, detector)
    if not count:
        raise UserError("no frame of the video can be decoded")
    if not tracks:
        raise UserError("no face found in the video")
    return tracks, count


def _told(pictures: Iterable[Picture], total: int, progress: Progress) -> Iterator[Picture]:
    for count, picture in enumerate(pictures, 1):
        progress("faces", count, total)
        yield picture


def plan_windows(
    tracks: list[Track], count: int, *, num_frames: int, max_windows: int | None, spread: bool = False
) -> list[Window]:
    """Windows of num_frames contiguous frames of each track (window_starts).

    Args:
      tracks: of one video. count: its frames.
      num_frames: of a window. max_windows: of a track; None: all.
      spread: over the track, or one after another from its first frame.

    Raises:
      UserError: no track is long enough.
    """
    windows = []
    for face, track in enumerate(tracks):
        for number, first in enumerate(window_starts(track.seen, num_frames, max_windows, spread)):
            seen = track.seen[first : first + num_frames]
            path, start = crop_path(track, first, num_frames), track.start + first
            points = {key - start: five for key, five in track.points.items() if 0 <= key - start < num_frames}
            windows.append(Window(face, number, start, path, seen, track.probability, points))
    if not windows:
        longest = max(len(track) for track in tracks)
        where = "the video has" if longest == count else "the longest face track has"
        raise UserError(f"{where} {longest} frames at 30 frames/s, a clip needs {num_frames}")
    return windows


def window_starts(shown: np.ndarray, num_frames: int, max_windows: int | None, spread: bool = False) -> list[int]:
    """First frames of windows that do not overlap.

    A window of which too much is not shown (MAX_INVALID) begins later: as soon as enough is. Where that is nowhere, it
    stays, and cutting it says why it cannot be used.

    Args:
      shown: (N,) bool, False on frames that cannot be measured.
      max_windows: None: as many as fit.
      spread: over all N frames, the first at their beginning and the last at their end; one alone in their middle.
    """
    last = len(shown) - num_frames
    if last < 0:
        return []
    fitting = len(shown) // num_frames
    count = fitting if max_windows is None else min(fitting, max_windows)
    if spread:
        wanted = [last // 2] if count == 1 else np.linspace(0, last, count).round().astype(int).tolist()
    else:
        wanted = [number * num_frames for number in range(count)]
    hidden = np.concatenate([[0], np.cumsum(~np.asarray(shown, bool))])
    usable = hidden[num_frames:] - hidden[:-num_frames] <= MAX_INVALID * num_frames  # (last + 1,), by first frame
    starts, free = [], 0
    for place in wanted:
        later = np.flatnonzero(usable[max(place, free) :])
        if len(later):
            starts.append(max(place, free) + int(later[0]))
            free = starts[-1] + num_frames
        elif place >= free:
            starts.append(place)
    return starts


def cut_windows(
    path: str | Path, windows: list[Window], num_frames: int, limits: Limits = LIMITS
) -> Iterator[FaceClip | tuple[Window, str]]:
    """Cut planned windows out of a file in one pass; landmarks and traces are measured on these very frames.

    Yields:
      A FaceClip per window, or (window, reason) for one that this file cannot give.
    """
    waiting = sorted(windows, key=lambda w: w.first)
    open_windows: list[tuple[Window, np.ndarray, np.ndarray, np.ndarray]] = []
    with VideoReader(path, limits) as video:
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
    if reason := too_invalid(valid, "no face, or frames missing, damaged or too far apart"):
        return window, reason
    points, valid = moving_landmarks(window, frames, valid, times)
    if reason := too_invalid(valid, "landmarks off the face, as in profile or fast motion"):
        return window, reason
    return FaceClip(**measurements(window, frames, points, valid, window.path.boxes()))


def too_invalid(valid: np.ndarray, cause: str) -> str:
    """Why a clip is not used; "" if enough of its frames are valid (T,) bool."""
    missing = 1 - valid.mean()
    return f"{missing:.0%} of the clip's frames could not be measured ({cause})" if missing > MAX_INVALID else ""


def moving_landmarks(
    window: Window, frames: np.ndarray, valid: np.ndarray, times: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Landmarks, smoothed and at regular moments, however the pictures lie in time; and where they can be trusted.

    Measured once per picture of the source, at its own time and in the source's coordinates: a picture that is
    repeated to reach 30 frames/s leaves no step in the landmarks, which would tell the source's rate. What was measured
    on invalid frames does not enter the smoothing.

    Args:
      frames: (T, 128, 128, 3) uint8 RGB. valid: (T,) bool. times: (T,) s of their pictures; equal where one is
        repeated.

    Returns:
      (T, 68, 2) float32 in [-1, 1]; valid, less the frames whose landmarks are off the face.
    """
    new = np.diff(times, prepend=-np.inf) > 0
    picture = np.cumsum(new) - 1  # (T,), in frames[new]
    measured = landmarks.fit(frames[new], window.path.face)
    in_source = agreement.in_source(landmarks.normalise(measured)[picture], window.path)
    # Where a picture is repeated, the points are those of the crop that they were measured on.
    valid = valid & agreement.agrees(in_source[np.flatnonzero(new)[picture]], window.points)
    offsets = window.path.offsets()[:, None]
    at = (window.first + np.arange(len(frames))) / FRAME_RATE
    used = valid[new] if valid[new].any() else np.ones(len(measured), bool)
    smoothed = landmarks.smooth((measured + offsets[new])[used], times[new][used], at)
    return landmarks.normalise(smoothed - offsets), valid


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


def video_clips(
    path: str | Path,
    *,
    num_frames: int,
    detector: Detector | None = None,
    limits: Limits = LIMITS,
    progress: Progress | None = None,
) -> Iterator[FaceClip]:
    """Every clip of every face of a file, one at a time: any number of faces, any length, in bounded memory.

    Raises:
      UserError: the file gives no clip; the message is the reason.
    """
    tracks, count = track_video(path, detector or detectors.shared_detector(), limits, progress)
    windows = plan_windows(tracks, count, num_frames=num_frames, max_windows=None)
    first_reason, empty = "", True
    for number, result in enumerate(cut_windows(path, windows, num_frames, limits)):
        if progress is not None:
            progress("scoring", number, len(windows))
        if isinstance(result, FaceClip):
            empty = False
            yield result
        else:
            first_reason = first_reason or result[1]
    if progress is not None:
        progress("scoring", len(windows), len(windows))
    if empty:
        raise UserError(first_reason)


def stream_info(path: str | Path, limits: Limits = LIMITS) -> StreamInfo:
    """Frame rate, size, codec and bitrate of a file."""
    with VideoReader(path, limits) as video:
        return video.info()
