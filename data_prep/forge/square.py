"""The square that a real clip and its forgeries are cut to: around one face, with hair and neck, still or slow.

Finding it takes a pass to track the face and one for its landmarks. What is found is small, so that it can be kept and
the frames decoded again whenever they are needed.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from scipy.ndimage import gaussian_filter1d

from cpml_jax.errors import UserError
from data_prep.face import agreement, clips
from data_prep.face import detector as detectors
from data_prep.face.clips import FaceClip
from data_prep.face.crop import CropPath
from data_prep.face.detector import Detector
from data_prep.face.tracks import Track
from data_prep.forge.clip import FRAMES, SIZE, RealClip
from data_prep.video.reader import VideoReader

# Sides over the longer side of the face box: wanted, and the least, where the picture is small. A crop has 1.3.
SIDE, LEAST_SIDE = 1.85, 1.1
# Of the face box's longer side: how far landmarks may lie outside the picture, and the box, which has a forehead too.
POINTS_OUTSIDE, BOX_OUTSIDE = 0.02, 0.2
STILL = 0.1  # of the side: a face that stays within it to both sides of its middle gets a square that does not move
SLOWNESS = 15.0  # frames, standard deviation of the Gaussian over the path of a square that does
SMALLEST_FACE = 48.0  # pixels of the source, longer side of the face box: below, the square is a blur
BORDER = "the face lies over the border of the picture"
SECOND_FACE = 0.5  # of the first's longer side: another face as large, shown as long, and nobody knows which is meant


@dataclasses.dataclass(frozen=True, eq=False)
class Square:
    """Where the frames of a clip lie in a file.

    Attributes:
      first: number of the first frame at 30 frames/s.
      size: pixels of the clip's side. side: pixels of the source that become it.
      centre: (T, 2) float64, pixels of the source.
      landmarks: (T, 68, 2) float32, pixels of the clip (RealClip). valid: (T,) bool.
    """

    first: int
    size: int
    side: float
    centre: np.ndarray
    landmarks: np.ndarray
    valid: np.ndarray

    def __len__(self) -> int:
        return len(self.valid)

    def arrays(self) -> dict[str, np.ndarray]:
        """For np.savez; `of` reads it."""
        return {field.name: np.asarray(getattr(self, field.name)) for field in dataclasses.fields(self)}

    @classmethod
    def of(cls, arrays: Mapping[str, np.ndarray]) -> Square:
        """From what `arrays` gave."""
        return cls(
            int(arrays["first"]),
            int(arrays["size"]),
            float(arrays["side"]),
            *(np.asarray(arrays[name]) for name in ("centre", "landmarks", "valid")),
        )

    def path(self) -> CropPath:
        """What cuts the frames out."""
        return CropPath(self.centre, self.side, 0.0, np.zeros(2), self.size)


def find_square(
    path: str | Path,
    *,
    frames: int = FRAMES,
    min_frames: int | None = None,
    size: int = SIZE,
    detector: Detector | None = None,
) -> Square:
    """The first clip of a video's one face that can be measured.

    Args:
      frames: of the clip, at 30 frames/s. min_frames: fewer serve if there are no more; None: `frames`.
      size: pixels of its side.
      detector: default: the shared one.

    Raises:
      UserError: the video cannot serve; the message is the reason.
    """
    tracks, count = clips.track_video(path, detector or detectors.shared_detector())
    track = only_face(tracks, frames if min_frames is None else min_frames)
    length = min(frames, len(track))
    windows = clips.plan_windows([track], count, num_frames=length, max_windows=None)
    by_number = {window.number: window for window in windows}
    with VideoReader(path) as video:
        picture = video.info()
    reason = ""
    for result in clips.cut_windows(path, windows, length):
        if not isinstance(result, FaceClip):
            reason = reason or result[1]
            continue
        window = by_number[result.window]
        begin = window.first - track.start
        try:
            side, centre = square_path(track, begin, length, picture.height, picture.width)
        except UserError as error:
            reason = reason or str(error)
            continue
        if np.ptp(centre, axis=0).any():
            centre = centre[repeated_from(path, window.first, length)]
        points = agreement.in_source(result.landmarks, window.path)
        if over_border(points, float(np.median(track.size, axis=0).max()), picture.height, picture.width):
            reason = reason or BORDER
            continue
        points = (points - centre[:, None] + side / 2) * (size / side) - 0.5
        return Square(window.first, size, side, centre, points.astype(np.float32), result.valid)
    raise UserError(reason)


def only_face(tracks: list[Track], min_frames: int) -> Track:
    """The face that is meant. Raises UserError where none lasts, or where it might be another."""
    lasting = [track for track in tracks if len(track) >= min_frames]
    if not lasting:
        longest = max(len(track) for track in tracks)
        raise UserError(f"a face is shown for {longest} frames at 30 frames/s at most, a clip needs {min_frames}")
    sides = [float(np.median(track.size.max(axis=1))) for track in lasting]
    if sides[0] < SMALLEST_FACE:
        raise UserError(f"the face is {sides[0]:.0f} pixels large, a forgery needs at least {SMALLEST_FACE:.0f}")
    first = lasting[0]
    for track, side in zip(lasting[1:], sides[1:], strict=True):
        shared = min(track.start + len(track), first.start + len(first)) - max(track.start, first.start)
        if shared >= min_frames and side >= SECOND_FACE * sides[0]:
            raise UserError("two faces of similar size are shown all the time: cut the video to one person")
    return first


def square_path(track: Track, begin: int, length: int, height: int, width: int) -> tuple[float, np.ndarray]:
    """Side and centres (T, 2) of the square, pixels of the source, for frames begin .. begin + length - 1 of a track.

    Raises:
      UserError: the face leaves the picture, or leaves no room around it.
    """
    centre, sizes = track.centre[begin : begin + length], track.size[begin : begin + length]
    limits, face = np.array([width, height]), float(np.median(sizes, axis=0).max())
    outside = np.maximum(sizes / 2 - centre, centre + sizes / 2 - limits).max(axis=1) / face
    if np.mean(outside > BOX_OUTSIDE) > clips.MAX_INVALID:
        raise UserError(BORDER)
    side = min(SIDE * face, float(limits.min()))
    if side < LEAST_SIDE * face:
        raise UserError(
            f"the face fills the picture: its square needs {LEAST_SIDE:g} times its {face:.0f} pixels, "
            f"the picture has {limits.min()}"
        )
    middle = (centre.min(axis=0) + centre.max(axis=0)) / 2
    if np.abs(centre - middle).max() <= STILL * side:
        centre = np.repeat(middle[None], length, axis=0)
    else:
        centre = gaussian_filter1d(centre, SLOWNESS, axis=0, mode="nearest")
    return side, np.clip(centre, side / 2, limits - side / 2)  # wholly inside the picture: nothing has to be made up


def over_border(points: np.ndarray, face: float, height: int, width: int) -> bool:
    """Whether too many frames have landmarks (T, 68, 2), pixels of the source, outside the picture."""
    outside = np.maximum(-points, points - np.array([width, height])).max(axis=(1, 2)) / face
    return float(np.mean(outside > POINTS_OUTSIDE)) > clips.MAX_INVALID


def repeated_from(path: str | Path, first: int, length: int) -> np.ndarray:
    """(T,) int: the first frame of the clip that shows the same picture. A square that moved between them would turn
    a repetition into a movement."""
    indices: list[int] = []
    last = None
    with VideoReader(path) as video:
        for number, (picture, _) in enumerate(video.resampled()):
            if number >= first + length:
                break
            if number >= first:
                indices.append(indices[-1] if indices and picture is last else len(indices))
            last = picture
    return np.array(indices)


def read_square(path: str | Path, square: Square, *, video: str = "", identity: str = "") -> RealClip:
    """The clip's frames, decoded again.

    Raises:
      UserError: the file is no longer what it was, or ends before the clip does.
    """
    cut, length = square.path(), len(square)
    frames = np.empty((length, square.size, square.size, 3), np.uint8)
    done = 0
    with VideoReader(path) as reader:
        for number, (picture, _) in enumerate(reader.resampled()):
            if number < square.first:
                continue
            x, y, width, height = cut.region(done, *picture.size)
            frames[done] = cut.crop(picture.region(x, y, width, height), done, (x, y))
            done += 1
            if done == length:
                return RealClip(video, identity, frames, square.landmarks, square.valid)
    raise UserError(f"the file ends before the clip does (frame {square.first + length} is missing)")
