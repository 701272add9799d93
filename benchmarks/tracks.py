"""Key frames, smoothing and landmarks on real footage: python -m benchmarks.tracks VIDEO …

MTCNN looks once at every frame that any of the settings needs, and at others that none of them looks at. For each
setting: detections a second of video; how many tracks the clips fall into; the track's boxes against MTCNN's on the
other frames (mean intersection over union, and the share below 0.7); and the jitter of the box: the root mean square of
its centre's second difference, in thousandths of the face's width, median of the clips. Then, for the setting in use,
how far the landmarks of the clips lie from MTCNN's five points, and how much of them is valid.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import cv2
import numpy as np

from cpml_jax.errors import UserError
from data_prep.face import agreement, clips, tracks
from data_prep.face.clips import FaceClip
from data_prep.face.detector import Detection, shared_detector
from data_prep.face.tracks import Track, find_tracks, overlap
from data_prep.video.reader import VideoReader

LIMIT = 240  # frames of a video
GRID, OTHERS = 5, 2  # frames 0, 5, 10, … may be key frames; 2, 7, 12, … are compared
NUM_FRAMES = 128  # of a clip
# Frames between detections; overlap below which every fifth is searched (0: never); smoothing's standard deviation.
SETTINGS = (
    (15, 0.0, 8.0),
    (15, 0.0, 5.0),
    (5, 0.0, 5.0),
    (5, 0.0, 3.0),
    (15, 0.8, 8.0),
    (15, 0.8, 5.0),
    (15, 0.8, 3.0),
)


@dataclasses.dataclass(frozen=True)
class Seen:
    """A frame whose faces are known: its picture is its number."""

    number: int
    small: np.ndarray
    faces: list[Detection]

    @property
    def rgb(self) -> np.ndarray:
        return np.array([[[self.number]]])

    @property
    def size(self) -> tuple[int, int]:
        return 1, 1

    def thumbnail(self) -> np.ndarray:
        return self.small


class Recorded:
    """A detector that remembers; `asked` counts the frames that it was shown."""

    def __init__(self, frames: list[Seen]) -> None:
        self.frames, self.asked = frames, 0
        self.identity: dict[str, Any] = {"name": "recorded"}

    def __call__(self, frames: list[np.ndarray]) -> list[list[Detection]]:
        self.asked += len(frames)
        return [self.frames[int(frame[0, 0, 0])].faces for frame in frames]


def watch(path: str) -> list[Seen]:
    """The first frames of a video, with MTCNN's faces in pixels of the frame where any setting looks, or none does."""
    detector, seen = shared_detector(), []
    with VideoReader(path) as video:
        for number, (picture, _) in enumerate(itertools.islice(video.resampled(), LIMIT)):
            small, faces = picture.thumbnail(), []
            cut = bool(seen) and float(np.abs(small - seen[-1].small).mean()) > tracks.CUT
            if number % GRID in (0, OTHERS) or cut:
                scale = tracks.detection_scale(*picture.rgb.shape[:2])
                faces = [face.enlarged(1 / scale) for face in detector([tracks.shrink(picture.rgb, scale)])[0]]
            seen.append(Seen(number, small, faces))
    whole = (len(seen) - 1) // GRID * GRID + 1
    return seen[:whole]  # the last frame is a key frame


@contextlib.contextmanager
def setting(interval: int, steady: float, smoothing: float) -> Iterator[None]:
    """Tracks are made with these instead of their own constants."""
    with mock.patch.multiple(tracks, KEY_INTERVAL=interval, STEADY=steady, SMOOTHING=smoothing):
        yield


def overlaps(track: Track, frames: list[Seen]) -> list[float]:
    """Of the track's box with MTCNN's nearest, on the frames that no setting looks at."""
    values = []
    for frame in frames[track.start : track.start + len(track)]:
        index = frame.number - track.start
        if frame.number % GRID == OTHERS and track.seen[index]:
            half = track.size[index] / 2
            box = np.concatenate([track.centre[index] - half, track.centre[index] + half])
            values.append(max((overlap(box, face.box) for face in frame.faces), default=0.0))
    return values


def jitter(track: Track) -> float:
    """Root mean square of the centre's second difference, in widths of the face."""
    return float(np.sqrt((np.diff(track.centre, 2, axis=0) ** 2).sum(axis=1).mean()) / track.size[:, 0].mean())


def compare(videos: list[list[Seen]]) -> Iterator[str]:
    """One line per setting."""
    yield f"{'every':>5} {'finer below':>11} {'smoothing':>9} {'detections/s':>12} {'tracks':>6}    IoU  < 0.7  jitter"
    for chosen in SETTINGS:
        shown, asked, parts, shaking = [], 0, 0, []
        for frames in videos:
            detector = Recorded(frames)
            with setting(*chosen):
                made, _ = find_tracks(frames, detector)  # pyrefly: ignore
            asked, parts = asked + detector.asked, parts + len(made)
            if made:
                shown += overlaps(made[0], frames)
                shaking.append(jitter(made[0]))
        rate = 30 * asked / sum(len(frames) for frames in videos)
        low = np.mean(np.array(shown) < 0.7)
        interval, steady, smoothing = chosen
        yield (
            f"{interval:5} {steady or '-':>11} {smoothing:9.0f} {rate:12.1f} {parts:6} {np.mean(shown):6.3f} {low:6.1%}"
            f" {1e3 * np.median(shaking):7.2f}"
        )


def landmarks_of(paths: list[str]) -> str:
    """How far landmarks are from the detector's points, and what of the clips is valid."""
    distances: list[float] = []
    measure = agreement.distances

    def kept(*arguments: Any) -> dict[int, float]:
        measured = measure(*arguments)
        distances.extend(measured.values())
        return measured

    valid = []
    with mock.patch.object(agreement, "distances", kept), mock.patch.object(clips, "MAX_INVALID", 1.0):
        for path in paths:
            try:
                made, count = clips.track_video(path, shared_detector())
                windows = clips.plan_windows(made[:1], count, num_frames=NUM_FRAMES, max_windows=2)
            except UserError:
                continue  # too short
            cut = clips.cut_windows(path, windows, NUM_FRAMES)
            valid += [clip.valid.mean() for clip in cut if isinstance(clip, FaceClip)]
    places = ", ".join(f"{p} % {np.percentile(distances, p):.2f}" for p in (50, 90, 95, 99))
    far = np.mean(np.array(distances) > agreement.FARTHEST)
    refused = sum(share < 1 - clips.MAX_INVALID for share in valid)
    return (
        f"{len(valid)} clips of {NUM_FRAMES} frames; distance of landmarks on {len(distances)} key frames: {places}; "
        f"{far:.1%} beyond {agreement.FARTHEST} eye distances\n{np.mean(valid):.3f} of the frames are valid, "
        f"{sum(share < 1 for share in valid)} clips have invalid ones, {refused} are refused"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("videos", nargs="+")
    parser.add_argument("--landmarks-only", action="store_true", help="skip the comparison of settings")
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    paths = [str(Path(path)) for path in arguments.videos]
    if not arguments.landmarks_only:
        for line in compare([watch(path) for path in paths]):
            print(line, flush=True)
    print(landmarks_of(paths))


if __name__ == "__main__":
    main()
