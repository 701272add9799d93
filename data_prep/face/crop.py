"""The crop of a clip: one smooth path of a square box of one size and angle."""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np

from cpml_jax.schema import CROP_SIZE
from data_prep.face.tracks import Track

MARGIN = 1.3  # side of the crop over the longer side of the face box


def identity() -> dict[str, float]:
    """What crops depend on beside the track."""
    return dict(margin=MARGIN)


@dataclasses.dataclass(frozen=True)
class CropPath:
    """How a clip is cut out: the centre moves smoothly; side and angle are one number each for the whole clip.

    Attributes:
      centre: (T, 2) pixels of the source.
      side: pixels of the source that become `size`.
      angle: rad; the crop is rotated so that the line through the eyes is horizontal.
      face: (2,) width and height of the face box, pixels of the crop.
      size: pixels of the crop's side.
    """

    centre: np.ndarray
    side: float
    angle: float
    face: np.ndarray
    size: int = CROP_SIZE

    def boxes(self) -> np.ndarray:
        """(T, 4) float32: the crop's square in the source, before the rotation."""
        return np.concatenate([self.centre - self.side / 2, self.centre + self.side / 2], axis=1).astype(np.float32)

    @property
    def _rotation(self) -> np.ndarray:
        """(2, 2): axes of the source -> axes of the crop, in its pixels."""
        c, s = self.size / self.side * np.cos(self.angle), self.size / self.side * np.sin(self.angle)
        return np.array([[c, s], [-s, c]])

    def offsets(self) -> np.ndarray:
        """(T, 2): the centre along the crop's axes, in its pixels; added to its points, the crop's motion is undone."""
        return self.centre @ self._rotation.T

    def to_crop(self, points: np.ndarray) -> np.ndarray:
        """(T, N, 2) positions in the source -> in the crop, pixels; both count from the upper left corner."""
        return (points - self.centre[:, None]) @ self._rotation.T + self.size / 2

    @property
    def _block(self) -> int:
        return max(1, int(self.side / self.size))

    @property
    def _reach(self) -> float:
        """Pixels from the centre to the farthest one that the crop depends on."""
        return self.side / 2 * np.sqrt(2) + self._block

    def region(self, index: int, height: int, width: int) -> tuple[int, int, int, int]:
        """x, y, width, height of the part of a picture that `crop` needs for frame `index`: one size per clip."""
        step = 2 * self._block  # even, for chroma, and on the grid of blocks
        spans = []  # (first pixel, number of pixels) of x and of y
        for centre, whole in zip(self.centre[index], (width, height), strict=True):
            # Multiples of 16: their colours are converted to the same bits as the whole picture's.
            size = -(-int(2 * (self._reach + step)) // 16) * 16
            last = (whole - size) // step * step
            if last <= 0:
                spans.append((0, whole))
            else:
                first = int(np.clip((centre - self._reach) // step * step, 0, last))
                spans.append((first, whole - last if first == last else size))
        (x, w), (y, h) = spans
        return x, y, w, h

    def crop(self, frame: np.ndarray, index: int, origin: tuple[int, int] = (0, 0)) -> np.ndarray:
        """Frame `index` of the clip; outside the picture its border.

        Args:
          frame: (H, W, 3) uint8, the picture or its `region`, whose x and y are the `origin`.

        Returns:
          (size, size, 3) uint8.
        """
        block = self._block
        centre = self.centre[index] - origin
        if block < 2 or min(frame.shape[:2]) < block:
            return self._warp(frame, centre, 1)
        # Bilinear sampling alone would skip pixels, and with them the average that carries the pulse: so the means of
        # whole blocks come first, around the face only. Blocks lie on one grid over the picture in every frame, so that
        # a moving face does not flicker.
        blocks = np.array(frame.shape[1::-1]) // block
        low = np.clip(np.floor((centre - self._reach) / block).astype(int), 0, blocks - 1)
        high = np.clip(np.ceil((centre + self._reach) / block).astype(int), low + 1, blocks)
        region = frame[low[1] * block : high[1] * block, low[0] * block : high[0] * block]
        means = cv2.resize(region, tuple(int(n) for n in high - low), interpolation=cv2.INTER_AREA)
        return self._warp(means, centre / block - low, block)

    def _warp(self, frame: np.ndarray, centre: np.ndarray, block: int) -> np.ndarray:
        """`centre` in pixels of `frame`, each the mean of `block` x `block` of the source."""
        scale = self.size / self.side * block
        c, s = scale * np.cos(self.angle), scale * np.sin(self.angle)
        rotation = np.array([[c, s], [-s, c]])
        # A position is half a pixel more than OpenCV's index of the pixel whose middle it is.
        matrix = np.column_stack([rotation, self.size / 2 - 0.5 - rotation @ (centre - 0.5)])
        return cv2.warpAffine(
            frame, matrix, (self.size, self.size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        )


def crop_path(track: Track, first: int, length: int) -> CropPath:
    """The crop of frames first .. first + length - 1 of a track (counted from its start)."""
    window = slice(first, first + length)
    size = np.median(track.size[window], axis=0)
    side = MARGIN * float(size.max())
    return CropPath(track.centre[window], side, float(np.median(track.angle[window])), size * (CROP_SIZE / side))
