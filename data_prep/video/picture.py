"""A decoded frame as viewers see it: upright, not mirrored, with square pixels, in ordinary colours."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import cast

import av
import cv2
import numpy as np
from av.sidedata.sidedata import SideData, SideDataContainer, Type
from av.video.reformatter import VideoReformatter

from cpml_jax.errors import UserError
from data_prep.video import hdr

WIDEST_PIXEL = 4.0  # times its height, or the reverse: a file that states more is mistaken


class Screen:
    """Shows the frames of one video, all of them at the first frame's upright size.

    Attributes:
      height, width: pixels.
    """

    def __init__(self, first: av.VideoFrame, aspect: float) -> None:
        """aspect: width of a pixel over its height."""
        self._aspect = aspect if 1 / WIDEST_PIXEL <= aspect <= WIDEST_PIXEL else 1.0
        height, width = self._square(first)
        self.height, self.width = (width, height) if orientation(first)[0] else (height, width)
        # One each for all frames: setting a scaler up takes longer than using it on a small frame (1.5 ms against 0.1).
        self._colour, self._part, self._grey = VideoReformatter(), VideoReformatter(), VideoReformatter()

    def _square(self, frame: av.VideoFrame) -> tuple[int, int]:
        """(height, width) of a frame stretched to square pixels: no line or column is lost."""
        if self._aspect >= 1:
            return frame.height, round(frame.width * self._aspect)
        return round(frame.height / self._aspect), frame.width

    def show(self, frame: av.VideoFrame) -> np.ndarray:
        """(height, width, 3) uint8 RGB. A frame of another shape than the first gets black borders."""
        across, down, right = orientation(frame)
        height, width = self._square(frame)
        room = (self.width, self.height) if across else (self.height, self.width)
        if (height, width) != room:
            scale = min(room[0] / height, room[1] / width)
            height, width = max(1, round(height * scale)), max(1, round(width * scale))
        image = self._rgb(frame, height, width)
        if across:
            image = image.swapaxes(0, 1)
        image = image[:: -1 if down else 1, :: -1 if right else 1]
        if image.shape[:2] != (self.height, self.width):
            top, left = (self.height - image.shape[0]) // 2, (self.width - image.shape[1]) // 2
            below, beside = self.height - image.shape[0] - top, self.width - image.shape[1] - left
            return cv2.copyMakeBorder(np.ascontiguousarray(image), top, below, left, beside, cv2.BORDER_CONSTANT)
        return np.ascontiguousarray(image)

    def _rgb(self, frame: av.VideoFrame, height: int, width: int) -> np.ndarray:
        high = int(frame.color_trc) in (hdr.PQ, hdr.HLG)
        try:
            # threads=1: preparation runs one process per core.
            image = self._colour.reformat(
                frame, width=width, height=height, format="rgb48le" if high else "rgb24", threads=1
            ).to_ndarray()
        except (av.FFmpegError, ValueError) as error:
            raise UserError(f"its colours ({frame.format.name}) cannot be turned into RGB ({error})") from None
        return hdr.to_sdr(image, int(frame.color_trc), int(frame.color_primaries)) if high else image

    def shows_as_coded(self, frame: av.VideoFrame) -> bool:
        """Whether a part of the coded frame is the same part of the shown picture, in the same colours."""
        return (
            frame.format.name in PLANAR
            and frame.height % 2 == frame.width % 2 == 0  # FFmpeg interpolates the chroma of odd sizes
            and (frame.height, frame.width) == (self.height, self.width) == self._square(frame)
            and orientation(frame) == (False, False, False)
            and int(frame.color_trc) not in (hdr.PQ, hdr.HLG)
        )

    def show_part(self, frame: av.VideoFrame, x: int, y: int, width: int, height: int) -> np.ndarray:
        """show(frame)[y : y + height, x : x + width], bit for bit, for a frame that shows_as_coded.

        At 1280x720 in 4:4:4 the whole takes 4.3 ms and a face of 400 pixels 0.9 ms; in 4:2:0 both take some 0.5 ms.
        """
        part = av.VideoFrame(width, height, frame.format.name)
        for whole, plane in zip(frame.planes, part.planes, strict=True):
            across, down = round(frame.width / whole.width), round(frame.height / whole.height)  # 1, or 2 for chroma
            lines = np.frombuffer(memoryview(whole), np.uint8).reshape(-1, whole.line_size)
            cut = np.zeros((plane.height, plane.line_size), np.uint8)
            cut[:, : plane.width] = lines[y // down : y // down + plane.height, x // across : x // across + plane.width]
            plane.update(cut.tobytes())
        part.color_range, part.colorspace = frame.color_range, frame.colorspace
        part.color_trc, part.color_primaries = frame.color_trc, frame.color_primaries
        return self._part.reformat(part, format="rgb24", threads=1).to_ndarray()

    def thumbnail(self, frame: av.VideoFrame) -> np.ndarray:
        """(32, 32) float32 grey levels."""
        try:
            small = self._grey.reformat(
                frame, width=32, height=32, format="gray", interpolation="AREA", threads=1
            ).to_ndarray()
        except (av.FFmpegError, ValueError) as error:
            raise UserError(f"its colours ({frame.format.name}) cannot be turned into grey ({error})") from None
        return small.astype(np.float32)


PLANAR = ("yuv420p", "yuv422p", "yuv444p")  # 8-bit formats of which a part is cut without decoding anything else


class Picture:
    """A decoded frame, converted to RGB only when it is used: tracking uses one in fifteen.

    Attributes:
      time: s from the video's first frame.
    """

    def __init__(self, frame: av.VideoFrame, screen: Screen, time: float = 0.0) -> None:
        self._frame, self._screen, self.time = frame, screen, time

    @functools.cached_property
    def rgb(self) -> np.ndarray:
        """(H, W, 3) uint8, upright; one size for the whole video."""
        return self._screen.show(self._frame)

    def region(self, x: int, y: int, width: int, height: int) -> np.ndarray:
        """rgb[y : y + height, x : x + width], without converting the rest where possible; x and y are even."""
        whole = (x, y, height, width) == (0, 0, *self.size)
        if whole or "rgb" in self.__dict__ or not self._screen.shows_as_coded(self._frame):
            return self.rgb[y : y + height, x : x + width]
        return self._screen.show_part(self._frame, x, y, width, height)

    @property
    def coded(self) -> av.VideoFrame | None:
        """The decoded frame itself, where it shows what rgb shows, pixel for pixel; else None."""
        return self._frame if self._screen.shows_as_coded(self._frame) else None

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of rgb."""
        return self._screen.height, self._screen.width

    @property
    def damaged(self) -> bool:
        """Whether the decoder had to conceal errors in it."""
        return bool(self._frame.is_corrupt)

    def thumbnail(self) -> np.ndarray:
        """(32, 32) float32 grey levels for the detection of scene cuts; as coded, not rotated."""
        return self._screen.thumbnail(self._frame)


def orientation(frame: av.VideoFrame) -> tuple[bool, bool, bool]:
    """How to turn a frame upright: exchange rows and columns, then flip upside down, then flip left-right.

    Of the display matrix ((a, b), (c, d)), x' = a x + c y, y' = b x + d y, the nearest of the eight ways that
    keep pixels on their grid is taken. FFmpeg's rotation in degrees is not enough: front cameras mirror.
    """
    # Not frame.side_data: the frame would hold it and it the frame, and neither is ever given back. Every picture that
    # was looked at would stay, 3 MB at 1920x1080: an hour of it 300 GB.
    contained = cast(
        Callable[[av.VideoFrame], Mapping[Type, SideData]], SideDataContainer
    )  # PyAV 18 states no argument
    side_data = contained(frame)
    data = side_data.get(Type.DISPLAYMATRIX)
    if data is None:
        return False, False, False
    a, b, _, c, d = (int(v) for v in np.frombuffer(bytes(data), np.int32)[:5])
    if abs(a) + abs(d) >= abs(b) + abs(c):
        return False, d < 0, a < 0
    return True, b < 0, c < 0


def rgb_frame(picture: np.ndarray) -> av.VideoFrame:
    """(H, W, 3) uint8 RGB as an unencoded frame."""
    return av.VideoFrame.from_ndarray(picture, "rgb24")
