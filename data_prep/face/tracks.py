"""Face tracks: detections on key frames, linked over time and smoothed. Jitter of the box would swamp the pulse."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

import numpy as np

from data_prep.face.detector import Detection, Detector, detection_scale, shrink
from data_prep.video.reader import Picture

KEY_INTERVAL = 15  # frames between detections: half a second, in which a face moves far less than its width
OVERLAP = 0.3  # intersection over union that makes two detections one face
MISSES = 2  # key frames without the face that end its track
CUT = 30.0  # grey levels of mean change between two frames at 32x32: another scene
SMOOTHING = 8.0  # frames, std of the Gaussian over the box's path
_BATCH = 4  # key frames at once: more saves no time and costs memory


@dataclasses.dataclass
class Track:
    """One face over frames start, start + 1, ...

    Attributes:
      start: number of its first frame.
      centre: (N, 2) pixels, smoothed. size: (N, 2) width and height of the face box, smoothed.
      angle: (N,) rad, of the line through the eyes.
      seen: (N,) bool, False where the nearest key frame did not show the face.
      probability: mean of its detections.
    """

    start: int
    centre: np.ndarray
    size: np.ndarray
    angle: np.ndarray
    seen: np.ndarray
    probability: float

    def __len__(self) -> int:
        return len(self.centre)

    def area(self) -> float:
        """Size times duration: the largest face that lasts."""
        return float(self.size.prod(axis=1).mean() * len(self))


def find_tracks(frames: Iterable[Picture], detector: Detector) -> tuple[list[Track], int]:
    """Every face track of a video, in one pass over its frames.

    Returns:
      The tracks, the largest lasting face first, and the number of frames.
    """
    linker, previous, count = _Linker(), None, 0
    # Key frames that wait for the detector, all of one size, and already as small as it wants them: 16 whole frames
    # of 4K would be 400 MB.
    pending: list[tuple[int, bool, np.ndarray]] = []
    pending_shape = None
    last_frame, keyed = None, False

    def flush():
        if pending:
            scale = detection_scale(*pending_shape[:2])
            for (number, cut, _), found in zip(pending, detector([f for _, _, f in pending]), strict=True):
                linker.key_frame(number, [face.enlarged(1 / scale) for face in found], cut)
            pending.clear()

    def key(number, cut, image):
        nonlocal pending_shape
        if pending_shape != image.shape:
            flush()
            pending_shape = image.shape
        pending.append((number, cut, shrink(image, detection_scale(*image.shape[:2]))))

    for frame in frames:
        small = frame.thumbnail()
        cut = previous is not None and float(np.abs(small - previous).mean()) > CUT
        keyed = cut or count % KEY_INTERVAL == 0
        if keyed:
            key(count, cut, frame.rgb)
            if len(pending) == _BATCH:
                flush()
        previous, last_frame, count = small, frame, count + 1
    if last_frame is not None and not keyed:
        key(count - 1, False, last_frame.rgb)
    flush()
    tracks = [_smooth(path, end) for path, end in linker.finish(count)]
    return sorted(tracks, key=lambda track: -track.area()), count


def overlap(a: np.ndarray, b: np.ndarray) -> float:
    """Intersection over union of two boxes."""
    low, high = np.maximum(a[:2], b[:2]), np.minimum(a[2:], b[2:])
    inter = np.prod(np.maximum(high - low, 0))
    return float(inter / max(np.prod(a[2:] - a[:2]) + np.prod(b[2:] - b[:2]) - inter, 1e-9))


class _Linker:
    """Detections of key frames -> paths. A path is a list of (frame number, Detection or None)."""

    def __init__(self):
        self._open: list[list] = []
        self._done: list[tuple[list, int]] = []

    def key_frame(self, number: int, faces: list[Detection], cut: bool) -> None:
        if cut:
            self._done += [(path, number) for path in self._open]
            self._open = []
        free = list(faces)
        for path in self._open:
            last = next(d for _, d in reversed(path) if d is not None)
            best = max(free, key=lambda face: overlap(face.box, last.box), default=None)
            if best is not None and overlap(best.box, last.box) >= OVERLAP:
                free.remove(best)
                path.append((number, best))
            else:
                path.append((number, None))
        lost = [path for path in self._open if all(d is None for _, d in path[-MISSES:])]
        self._done += [(path, path[-MISSES][0]) for path in lost]
        self._open = [path for path in self._open if path not in lost] + [[(number, face)] for face in free]

    def finish(self, count: int) -> list[tuple[list, int]]:
        """All paths with the number of the frame that ends each."""
        return self._done + [(path, count) for path in self._open]


def _smooth(path: list, end: int) -> Track:
    start = path[0][0]
    seen = [(n, d) for n, d in path if d is not None]
    numbers = np.array([n for n, _ in seen])
    boxes, eyes = np.stack([d.box for _, d in seen]), np.stack([d.eyes for _, d in seen])
    between = eyes[:, 1] - eyes[:, 0]
    keys = np.column_stack(
        [(boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2], np.arctan2(between[:, 1], between[:, 0])]
    )
    frames = np.arange(start, end)
    path_values = np.column_stack([_gaussian(np.interp(frames, numbers, column)) for column in keys.T])
    key_numbers = np.array([n for n, _ in path])
    shown = np.array([d is not None for _, d in path])
    # By halves between key frames: a table of all distances would take gigabytes for an hour of video.
    nearest = np.searchsorted((key_numbers[1:] + key_numbers[:-1]) / 2, frames, side="left")
    return Track(
        start, path_values[:, :2], path_values[:, 2:4], path_values[:, 4], shown[nearest],
        float(np.mean([d.probability for _, d in seen])),
    )  # fmt: skip


def _gaussian(values: np.ndarray) -> np.ndarray:
    radius = int(3 * SMOOTHING)
    kernel = np.exp(-0.5 * (np.arange(-radius, radius + 1) / SMOOTHING) ** 2)
    padded = (
        np.pad(values, radius, mode="reflect", reflect_type="odd")
        if len(values) > radius
        else np.pad(values, radius, mode="edge")
    )
    return np.convolve(padded, kernel / kernel.sum(), "valid")
