"""Faces: MTCNN on key frames, tracks over time, one smooth crop box. Jitter of the box would swamp the pulse."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterable

import cv2
import numpy as np

from cpml_jax.schema import CROP_SIZE
from data_prep.video import Picture

KEY_INTERVAL = 15  # frames between detections: half a second, in which a face moves far less than its width
DETECTION_SIDE = 480  # pixels, longer side of a frame that MTCNN sees: larger ones are made smaller first
SMALLEST_FACE = 0.08  # of the frame's shorter side
PROBABILITY = 0.90  # of a detection that counts
OVERLAP = 0.3  # intersection over union that makes two detections one face
MISSES = 2  # key frames without the face that end its track
CUT = 30.0  # grey levels of mean change between two frames at 32x32: another scene
MARGIN = 1.3  # side of the crop over the longer side of the face box
SMOOTHING = 8.0  # frames, std of the Gaussian over the box's path
# Of MTCNN's three networks. facenet-pytorch's 0.6, 0.7, 0.7 let some 120 candidates a frame through to the second; on
# 48 real and 24 drawn frames these find the same faces (IoU 0.97 to 0.99) in half to two thirds of the time.
THRESHOLDS = (0.8, 0.8, 0.9)
_BATCH = 4  # key frames at once: more saves no time and costs memory


@dataclasses.dataclass(eq=False)  # two detections are one only if they are the same object
class Detection:
    """box (4,) x0, y0, x1, y1 and eyes (2, 2) in pixels of the frame."""

    box: np.ndarray
    eyes: np.ndarray
    probability: float

    def enlarged(self, factor: float) -> Detection:
        return Detection(self.box * factor, self.eyes * factor, self.probability)


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


class Detector:
    """facenet-pytorch's MTCNN (its weights come with the package), one frame size at a time."""

    def __init__(self):
        import torch
        from facenet_pytorch import MTCNN

        torch.set_num_threads(1)  # preparation runs a process a core
        self._torch, self._mtcnn, self._face = torch, MTCNN, None
        self._net = None

    def __call__(self, frames: list[np.ndarray]) -> list[list[Detection]]:
        """Faces of frames of one size: (H, W, 3) uint8 RGB."""
        height, width = frames[0].shape[:2]
        scale = detection_scale(height, width)
        smallest = max(20, int(SMALLEST_FACE * min(height, width) * scale))
        if int(min(height, width) * scale) < smallest:
            return [[] for _ in frames]  # no room for the smallest face: MTCNN has no scale to look at
        if self._face != smallest:
            self._net = self._mtcnn(keep_all=True, min_face_size=smallest, thresholds=list(THRESHOLDS), device="cpu")
            self._face = smallest
        frames = [shrink(frame, scale) for frame in frames]
        with self._torch.inference_mode():
            boxes, probabilities, points = self._net.detect(np.stack(frames), landmarks=True)
        found = []
        for box, probability, point in zip(boxes, probabilities, points, strict=True):
            rows = () if box is None else zip(box, probability, point, strict=True)
            found.append(
                [
                    Detection(np.asarray(b, float) / scale, np.asarray(e[:2], float) / scale, float(p))
                    for b, p, e in rows
                    if p >= PROBABILITY
                ]
            )
        return found


def detection_scale(height: int, width: int) -> float:
    return min(1.0, DETECTION_SIDE / max(height, width))


def shrink(frame: np.ndarray, scale: float) -> np.ndarray:
    return frame if scale == 1.0 else cv2.resize(frame, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)


@functools.cache
def shared_detector() -> Detector:
    """One detector a process: its networks are loaded once."""
    return Detector()


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


@dataclasses.dataclass(frozen=True)
class CropPath:
    """How a clip is cut out: the centre moves smoothly; side and angle are one number each for the whole clip.

    Attributes:
      centre: (T, 2) pixels of the source.
      side: pixels of the source that become CROP_SIZE.
      angle: rad; the crop is turned so that the eyes are level.
      face: (2,) width and height of the face box, pixels of the crop.
    """

    centre: np.ndarray
    side: float
    angle: float
    face: np.ndarray

    def boxes(self) -> np.ndarray:
        """(T, 4) float32: the crop's square in the source, before turning."""
        return np.concatenate([self.centre - self.side / 2, self.centre + self.side / 2], axis=1).astype(np.float32)

    @property
    def _block(self) -> int:
        return max(1, int(self.side / CROP_SIZE))

    @property
    def _reach(self) -> float:
        """Pixels from the centre to the farthest that counts."""
        return self.side / 2 * np.sqrt(2) + self._block

    def region(self, index: int, height: int, width: int) -> tuple[int, int, int, int]:
        """x, y, width, height of the part of a picture that `crop` needs of frame `index`: one size for the clip."""
        step = 2 * self._block  # even, for chroma, and on the grid of blocks
        place = []
        for centre, whole in zip(self.centre[index], (width, height), strict=True):
            # Multiples of 16: their colours are converted to the same bits as the whole picture's.
            size = -(-int(2 * (self._reach + step)) // 16) * 16
            last = (whole - size) // step * step
            if last <= 0:
                place.append((0, whole))
            else:
                first = int(np.clip((centre - self._reach) // step * step, 0, last))
                place.append((first, whole - last if first == last else size))
        (x, w), (y, h) = place
        return x, y, w, h

    def crop(self, frame: np.ndarray, index: int, origin: tuple[int, int] = (0, 0)) -> np.ndarray:
        """Frame `index` of the clip; outside the picture its border.

        Args:
          frame: (H, W, 3) uint8, the picture or its `region`, whose x and y are the `origin`.

        Returns:
          (CROP_SIZE, CROP_SIZE, 3) uint8.
        """
        block = self._block
        centre = self.centre[index] - origin
        if block < 2 or min(frame.shape[:2]) < block:
            return self._warp(frame, centre, 1)
        # Bilinear sampling alone would skip pixels, and with them the average that carries the pulse: first the means
        # of whole blocks, of the face's surroundings alone. Blocks lie on one grid over the picture in every frame, so
        # that a moving face does not flicker.
        blocks = np.array(frame.shape[1::-1]) // block
        low = np.clip(np.floor((centre - self._reach) / block).astype(int), 0, blocks - 1)
        high = np.clip(np.ceil((centre + self._reach) / block).astype(int), low + 1, blocks)
        region = frame[low[1] * block : high[1] * block, low[0] * block : high[0] * block]
        means = cv2.resize(region, tuple(int(n) for n in high - low), interpolation=cv2.INTER_AREA)
        return self._warp(means, centre / block - low, block)

    def _warp(self, frame: np.ndarray, centre: np.ndarray, block: int) -> np.ndarray:
        """`centre` in pixels of `frame`, each the mean of `block` x `block` of the source."""
        scale = CROP_SIZE / self.side * block
        c, s = scale * np.cos(self.angle), scale * np.sin(self.angle)
        turn = np.array([[c, s], [-s, c]])
        # A position is half a pixel more than OpenCV's index of the pixel whose middle it is.
        matrix = np.column_stack([turn, CROP_SIZE / 2 - 0.5 - turn @ (centre - 0.5)])
        return cv2.warpAffine(
            frame, matrix, (CROP_SIZE, CROP_SIZE), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        )


def crop_path(track: Track, first: int, length: int) -> CropPath:
    """The crop of frames first .. first + length - 1 of a track (counted from its start)."""
    window = slice(first, first + length)
    size = np.median(track.size[window], axis=0)
    side = MARGIN * float(size.max())
    return CropPath(track.centre[window], side, float(np.median(track.angle[window])), size * (CROP_SIZE / side))
