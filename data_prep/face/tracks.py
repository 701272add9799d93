"""Face tracks: detections on key frames, linked over time and smoothed. Jitter of the box would swamp the pulse."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

import cv2
import numpy as np

from data_prep.face.detector import Detection, Detector
from data_prep.video.picture import Picture

DETECTION_SIDE = 480  # pixels, longer side of a frame that the detector sees: larger ones are made smaller first
KEY_INTERVAL = 15  # frames between detections: half a second, in which a face moves far less than its width
OVERLAP = 0.3  # intersection over union that makes two detections one face
MISSES = 2  # key frames without the face that end its track
CUT = 30.0  # grey levels of mean change between two frames at 32x32: another scene
SMOOTHING = 8.0  # frames, standard deviation of the Gaussian over the box's path
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


def identity() -> dict[str, float]:
    """What tracks depend on beside the detector."""
    return dict(
        side=DETECTION_SIDE,
        key_interval=KEY_INTERVAL,
        overlap=OVERLAP,
        misses=MISSES,
        cut=CUT,
        smoothing=SMOOTHING,
    )


def find_tracks(frames: Iterable[Picture], detector: Detector) -> tuple[list[Track], int]:
    """Every face track of a video, in one pass over its frames.

    Returns:
      The tracks, the largest lasting face first, and the number of frames.
    """
    linker = _Linker()
    keys = _KeyFrames(detector, linker)
    previous, last, is_key, count = None, None, False, 0
    for frame in frames:
        small = frame.thumbnail()
        cut = previous is not None and float(np.abs(small - previous).mean()) > CUT
        is_key = cut or count % KEY_INTERVAL == 0
        if is_key:
            keys.add(count, cut, frame.rgb)
        previous, last, count = small, frame, count + 1
    if last is not None and not is_key:
        keys.add(count - 1, False, last.rgb)
    keys.detect()
    tracks = [_smooth(path, end) for path, end in linker.finish(count)]
    return sorted(tracks, key=lambda track: -track.area()), count


def detection_scale(height: int, width: int) -> float:
    """Factor that makes a frame as small as the detector wants it."""
    return min(1.0, DETECTION_SIDE / max(height, width))


def shrink(frame: np.ndarray, scale: float) -> np.ndarray:
    """(H, W, 3) uint8, area averages of the frame."""
    return frame if scale == 1.0 else cv2.resize(frame, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)


class _KeyFrames:
    """Key frames on their way to the detector, a batch of one size at a time.

    They wait as small as it wants them: 16 whole frames of 4K would be 400 MB.
    """

    def __init__(self, detector: Detector, linker: _Linker) -> None:
        self._detector, self._linker = detector, linker
        self._size = (0, 0)
        self._waiting: list[tuple[int, bool, np.ndarray]] = []

    def add(self, number: int, cut: bool, image: np.ndarray) -> None:
        if self._size != image.shape[:2]:
            self.detect()
            self._size = image.shape[:2]
        self._waiting.append((number, cut, shrink(image, detection_scale(*self._size))))
        if len(self._waiting) == _BATCH:
            self.detect()

    def detect(self) -> None:
        """Hand the waiting frames' faces to the linker, in pixels of the whole frame."""
        if not self._waiting:
            return
        scale = detection_scale(*self._size)
        detections = self._detector([image for _, _, image in self._waiting])
        for (number, cut, _), faces in zip(self._waiting, detections, strict=True):
            self._linker.key_frame(number, [face.enlarged(1 / scale) for face in faces], cut)
        self._waiting.clear()


def overlap(a: np.ndarray, b: np.ndarray) -> float:
    """Intersection over union of two boxes."""
    low, high = np.maximum(a[:2], b[:2]), np.minimum(a[2:], b[2:])
    inter = np.prod(np.maximum(high - low, 0))
    return float(inter / max(np.prod(a[2:] - a[:2]) + np.prod(b[2:] - b[:2]) - inter, 1e-9))


Path = list[tuple[int, Detection | None]]  # of one face: numbers of key frames, and None where they do not show it


class _Linker:
    """Detections of key frames -> paths."""

    def __init__(self) -> None:
        self._open: list[Path] = []
        self._ended: list[tuple[Path, int]] = []  # with the number of the frame that ends each

    def key_frame(self, number: int, faces: list[Detection], cut: bool) -> None:
        if cut:
            self._ended += [(path, number) for path in self._open]
            self._open = []
        free = list(faces)
        for path in self._open:
            last = next(face for _, face in reversed(path) if face is not None)
            best = max(free, key=lambda face: overlap(face.box, last.box), default=None)
            if best is not None and overlap(best.box, last.box) >= OVERLAP:
                free.remove(best)
                path.append((number, best))
            else:
                path.append((number, None))
        lost = [path for path in self._open if all(face is None for _, face in path[-MISSES:])]
        self._ended += [(path, path[-MISSES][0]) for path in lost]
        self._open = [path for path in self._open if path not in lost] + [[(number, face)] for face in free]

    def finish(self, count: int) -> list[tuple[Path, int]]:
        """All paths with the number of the frame that ends each."""
        return self._ended + [(path, count) for path in self._open]


def _smooth(path: Path, end: int) -> Track:
    detected = [(number, face) for number, face in path if face is not None]
    numbers = np.array([number for number, _ in detected])
    boxes, eyes = np.stack([face.box for _, face in detected]), np.stack([face.eyes for _, face in detected])
    between = eyes[:, 1] - eyes[:, 0]
    keys = np.column_stack(
        [(boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2], np.arctan2(between[:, 1], between[:, 0])]
    )
    start = path[0][0]
    frames = np.arange(start, end)
    values = np.column_stack([_gaussian(np.interp(frames, numbers, column)) for column in keys.T])
    key_numbers = np.array([number for number, _ in path])
    shown = np.array([face is not None for _, face in path])
    # By halves between key frames: a table of all distances would take gigabytes for an hour of video.
    nearest = np.searchsorted((key_numbers[1:] + key_numbers[:-1]) / 2, frames, side="left")
    return Track(
        start=start,
        centre=values[:, :2],
        size=values[:, 2:4],
        angle=values[:, 4],
        seen=shown[nearest],
        probability=float(np.mean([face.probability for _, face in detected])),
    )


def _gaussian(values: np.ndarray) -> np.ndarray:
    radius = int(3 * SMOOTHING)
    kernel = np.exp(-0.5 * (np.arange(-radius, radius + 1) / SMOOTHING) ** 2)
    padded = (
        np.pad(values, radius, mode="reflect", reflect_type="odd")
        if len(values) > radius
        else np.pad(values, radius, mode="edge")
    )
    return np.convolve(padded, kernel / kernel.sum(), "valid")
