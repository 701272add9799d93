"""Face tracks: detections on key frames, linked over time and smoothed. Jitter of the box would swamp the pulse."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

import cv2
import numpy as np

from data_prep.face.detector import Detection, Detector
from data_prep.video.picture import Picture

DETECTION_SIDE = 480  # pixels, longer side of a frame that the detector sees: larger ones are made smaller first
KEY_INTERVAL = 15  # frames between detections: half a second, in which most faces move far less than their width
FINE_INTERVAL = 5  # frames, where a face moved more than that or was missed: chosen by benchmarks/tracks.py
STEADY = 0.8  # intersection over union of a face's boxes on two key frames that need no frames between them searched
OVERLAP = 0.3  # intersection over union that makes two detections one face
LOST = 30  # frames without the face that end its track
CUT = 30.0  # grey levels of mean change between two frames at 32x32: another scene
SMOOTHING = 5.0  # frames, standard deviation of the Gaussian over the box's path
LARGE = 1920 * 1088  # pixels; such a frame is converted and made smaller at once: 20 of 4K would be 270 MB and more
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
      points: the detector's five points (Detection.points) on each key frame that shows the face, by the frame's number
        in the video.
    """

    start: int
    centre: np.ndarray
    size: np.ndarray
    angle: np.ndarray
    seen: np.ndarray
    probability: float
    points: dict[int, np.ndarray] = dataclasses.field(default_factory=dict)

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
        fine_interval=FINE_INTERVAL,
        steady=STEADY,
        overlap=OVERLAP,
        lost=LOST,
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
            keys.add(count, cut, frame)
        elif count % FINE_INTERVAL == 0:
            keys.add_between(count, frame)
        previous, last, count = small, frame, count + 1
    if last is not None and not is_key:
        keys.add(count - 1, False, last)
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
    """Key frames on their way to the detector, a batch at a time, and frames between them that it may have to see.

    Key frames wait as small as it wants them: 16 whole frames of 4K would be 400 MB. Those between wait as they were
    decoded, since few are looked at, unless they are LARGE.
    """

    def __init__(self, detector: Detector, linker: _Linker) -> None:
        self._detector, self._linker = detector, linker
        self._keys: list[tuple[int, bool, np.ndarray]] = []
        self._between: list[tuple[int, Picture | np.ndarray]] = []
        self._scale = 1.0
        self._last: tuple[int, list[Detection]] | None = None  # number and faces of the key frame before those waiting

    def add(self, number: int, cut: bool, frame: Picture) -> None:
        """A key frame; cut: whether it begins a scene."""
        self._scale = detection_scale(*frame.rgb.shape[:2])
        self._keys.append((number, cut, shrink(frame.rgb, self._scale)))
        if len(self._keys) == _BATCH:
            self.detect()

    def add_between(self, number: int, frame: Picture) -> None:
        """A frame that is only searched if a face is not steady from the key frame before it to the one after it."""
        height, width = frame.size
        self._between.append((number, frame if height * width <= LARGE else shrink(frame.rgb, self._scale)))

    def detect(self) -> None:
        """Hand the faces of the waiting frames to the linker, in pixels of the whole frame."""
        faces = dict(
            zip([number for number, _, _ in self._keys], self._search([k[2] for k in self._keys]), strict=True)
        )
        cuts = {number for number, cut, _ in self._keys if cut}
        wanted: list[int] = []
        for number, shown in faces.items():
            if self._last and number not in cuts and not steady(self._last[1], shown):
                wanted += [n for n, _ in self._between if self._last[0] < n < number]
            self._last = (number, shown)
        chosen = [frame for number, frame in self._between if number in wanted]
        images = [frame if isinstance(frame, np.ndarray) else shrink(frame.rgb, self._scale) for frame in chosen]
        faces |= zip(wanted, self._search(images), strict=True)
        for number in sorted(faces):
            self._linker.key_frame(number, faces[number], number in cuts)
        self._keys.clear()
        self._between.clear()

    def _search(self, images: list[np.ndarray]) -> list[list[Detection]]:
        batches = [images[first : first + _BATCH] for first in range(0, len(images), _BATCH)]
        detected = [faces for batch in batches for faces in self._detector(batch)]
        return [[face.enlarged(1 / self._scale) for face in faces] for faces in detected]


def steady(before: list[Detection], after: list[Detection]) -> bool:
    """Whether each face of either frame is in nearly the same place in the other."""
    return all(
        max((overlap(face.box, other.box) for other in others), default=0.0) >= STEADY
        for faces, others in ((before, after), (after, before))
        for face in faces
    )


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
            last = path[_last_shown(path)][1]
            assert last is not None
            best = max(free, key=lambda face: overlap(face.box, last.box), default=None)
            if best is not None and overlap(best.box, last.box) >= OVERLAP:
                free.remove(best)
                path.append((number, best))
            else:
                path.append((number, None))
        lost = [path for path in self._open if number - path[_last_shown(path)][0] >= LOST]
        self._ended += [(path, path[_last_shown(path) + 1][0]) for path in lost]
        self._open = [path for path in self._open if path not in lost] + [[(number, face)] for face in free]

    def finish(self, count: int) -> list[tuple[Path, int]]:
        """All paths with the number of the frame that ends each."""
        return self._ended + [(path, count) for path in self._open]


def _last_shown(path: Path) -> int:
    """Place in the path of the last key frame that shows the face; the first always does."""
    return next(place for place in reversed(range(len(path))) if path[place][1] is not None)


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
        points={number: face.points for number, face in detected},
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
