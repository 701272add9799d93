"""Ready-made crops -> clips, without any detection: a folder of face images and a file of their landmarks.

The frames count as 30 per second, which the original project's preparation writes; `writer` describes the layout.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from cpml_jax.data.batch import bridged
from cpml_jax.errors import UserError
from cpml_jax.schema import CROP_SIZE
from data_prep.crops.files import frame_files, read_image, read_landmarks
from data_prep.face.clips import MAX_INVALID, FaceClip, Window, measurements, window_starts
from data_prep.face.crop import MARGIN, CropPath
from data_prep.sources import Video
from data_prep.video import jpeg

LARGEST_NORMALISED = 2.0  # no face fits into 2 pixels, and none reaches as far as this from a crop of 2 x 2
QUALITY = 1.0  # of the track: nothing was detected, so there is no detector's probability to lower it


@dataclasses.dataclass
class CropClip(FaceClip):
    """A FaceClip of ready-made crops; coded: one JPEG file per frame, the very file of the tree if it is 128 x 128."""

    coded: list[bytes]


@dataclasses.dataclass(frozen=True)
class Crops:
    """A video of the tree: its images in order, and points (N, 68, 2) as the file has them, NaN where unknown."""

    files: list[Path]
    points: np.ndarray


@dataclasses.dataclass(frozen=True)
class CropArrays:
    """What a record needs of a window.

    Attributes:
      frames: (T, 128, 128, 3) uint8 RGB. coded: T JPEG files of the same.
      landmarks: (T, 68, 2) float32 in [-1, 1] over the crop. valid: (T,) bool, False where the file had no landmarks.
      box: (T, 4) float32, the square that became the crop, in pixels of the image.
    """

    frames: np.ndarray
    coded: list[bytes]
    landmarks: np.ndarray
    valid: np.ndarray
    box: np.ndarray


def read_clip(folder: str | Path, landmark_file: str | Path, num_frames: int, first: int = 0) -> CropArrays:
    """One window of ready-made crops.

    Images of 128 x 128 keep their bytes. Others are padded to a square by repeating their border, so that faces keep
    their proportions, and resized. Landmarks may be in pixels of the image or in [-1, 1] over it; their magnitude
    tells which. A line of zeros, or with a number that is not finite, is a frame without landmarks: its points are
    interpolated, and it is marked in `valid`.

    Args:
      folder: of the images, named by number. landmark_file: 136 numbers per line, x and y of one point after another.
      num_frames: of the window. first: its first frame.

    Raises:
      UserError: a missing frame number, lines that do not match the frames, a line that is not 136 numbers, an image
        that cannot be read, landmarks outside this crop, or too few frames.
    """
    return _window(open_crops(folder, landmark_file), first, num_frames)


def cut(
    video: Video, num_frames: int, max_windows: int | None, spread: bool = False
) -> Iterator[CropClip | tuple[Window, str]]:
    """Clips of a folder of crops (a Video with crop_landmarks), their windows as clips.window_starts has them.

    The box is in pixels of the crop itself, and track_quality is 1. Landmarks are the file's, not smoothed again; the
    pulse traces are measured on these crops.

    Yields:
      A CropClip per window, or (window, reason) for one that cannot be used.

    Raises:
      UserError: as for `read_clip`, where the whole folder is concerned; or not enough frames for one window.
    """
    crops = open_crops(video.path, video.crop_landmarks)
    shown = np.all(np.isfinite(crops.points), axis=(1, 2))
    starts = window_starts(shown, num_frames, max_windows, spread)
    if not starts:
        raise UserError(f"{len(crops.files)} crops, a clip needs {num_frames}")
    for number, first in enumerate(starts):
        window = _planned(number, first, num_frames)
        try:
            arrays = _window(crops, window.first, num_frames)
        except UserError as error:
            yield window, str(error)
            continue
        missing = 1 - arrays.valid.mean()
        if missing <= MAX_INVALID:
            yield _measure(window, arrays)
        else:
            yield window, f"{missing:.0%} of the clip's frames have no landmarks"


def open_crops(folder: str | Path, landmark_file: str | Path) -> Crops:
    """The whole folder's names and landmarks, checked against each other; no image is opened."""
    files = frame_files(Path(folder))
    points = read_landmarks(Path(landmark_file))
    if len(points) != len(files):
        raise UserError(
            f"{landmark_file}: {len(points)} lines of landmarks for {len(files)} frames; it needs one line per frame"
        )
    return Crops(files, points)


def _window(crops: Crops, first: int, num_frames: int) -> CropArrays:
    files, points = crops.files[first : first + num_frames], crops.points[first : first + num_frames]
    if len(files) < num_frames:
        raise UserError(f"{len(crops.files)} crops, frames {first} to {first + num_frames - 1} were requested")
    frames = np.empty((num_frames, CROP_SIZE, CROP_SIZE, 3), np.uint8)
    coded, sizes = [], np.empty((num_frames, 2))
    for index, file in enumerate(files):
        image, data = read_image(file)
        sizes[index] = image.shape[1::-1]
        frames[index] = squared(image)
        coded.append(
            data if data and image.shape[:2] == (CROP_SIZE, CROP_SIZE) else jpeg.encode(frames[index][None])[0]
        )
    valid = np.all(np.isfinite(points), axis=(1, 2))
    if not valid.any():
        raise UserError("none of the clip's frames has landmarks")
    sides = sizes.max(axis=1)
    corners = -((sides[:, None] - sizes) // 2)  # of the square, in pixels of the image: negative where it was padded
    landmarks = normalised(bridged(points, valid), sizes, corners, sides)
    inside = (np.abs(landmarks[valid]) <= 1).mean()
    if inside < 0.5:
        raise UserError(
            f"only {inside:.0%} of the landmarks' coordinates lie in the crops; they must be in pixels of "
            "the crop, or in [-1, 1] over it"
        )
    box = np.concatenate([corners, corners + sides[:, None]], axis=1)
    return CropArrays(frames, coded, landmarks, valid, box.astype(np.float32))


def squared(image: np.ndarray) -> np.ndarray:
    """(H, W, 3) -> (128, 128, 3) uint8: padded to a square by repeating the border, then resized."""
    height, width = image.shape[:2]
    side = max(height, width)
    if height != width:
        top, left = (side - height) // 2, (side - width) // 2
        bottom, right = side - height - top, side - width - left
        image = cv2.copyMakeBorder(image, top, bottom, left, right, cv2.BORDER_REPLICATE)
    if side == CROP_SIZE:
        return image
    interpolation = cv2.INTER_AREA if side > CROP_SIZE else cv2.INTER_LINEAR
    return cv2.resize(image, (CROP_SIZE, CROP_SIZE), interpolation=interpolation)


def normalised(points: np.ndarray, sizes: np.ndarray, corners: np.ndarray, sides: np.ndarray) -> np.ndarray:
    """Landmarks of the file, in either unit, -> (T, 68, 2) float32 in [-1, 1] over the square.

    sizes: (T, 2) width and height of the images. corners: (T, 2) upper left corners of the squares, in pixels of the
    images. sides: (T,) of the squares, pixels.
    """
    if np.abs(points).max() <= LARGEST_NORMALISED:
        pixels = (points + 1) / 2 * sizes[:, None]
    else:
        pixels = points + 0.5
    return ((pixels - corners[:, None]) / sides[:, None, None] * 2 - 1).astype(np.float32)


def _planned(number: int, first: int, num_frames: int) -> Window:
    """A window that takes the crops as they are."""
    centre = np.full((num_frames, 2), CROP_SIZE / 2)
    path = CropPath(centre, CROP_SIZE, 0.0, np.full(2, CROP_SIZE / MARGIN))
    return Window(0, number, first, path, np.ones(num_frames, bool), QUALITY)


def _measure(window: Window, arrays: CropArrays) -> CropClip:
    fields = measurements(window, arrays.frames, arrays.landmarks, arrays.valid, arrays.box)
    return CropClip(**fields, coded=arrays.coded)
