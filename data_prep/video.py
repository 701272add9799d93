"""Video files as streams: decode with PyAV, upright, resampled by time stamps to one frame rate. Never a whole file."""

from __future__ import annotations

import dataclasses
import functools
import os
from collections.abc import Iterator

import av
import numpy as np
from av.video.reformatter import VideoReformatter

from cpml_jax.errors import UserError
from cpml_jax.schema import FRAME_RATE

# s; a larger jump of the time stamps is a broken one, and would be filled with hours of one picture: time goes on
# there a frame later, at our own rate, since the stream's average rate is spoilt by the jump too.
LONGEST_HOLE = 60.0

# libav writes every damaged macroblock to stderr; what matters reaches the user as one reason a video.
av.logging.set_level(av.logging.PANIC)


@dataclasses.dataclass(frozen=True)
class StreamInfo:
    """What a record says of its source: frames/s, pixels (upright), FFmpeg's codec name, bit/s."""

    fps: float
    height: int
    width: int
    codec: str
    bitrate: float


class Picture:
    """A decoded frame, converted to RGB when somebody looks: tracking looks at one in fifteen."""

    def __init__(self, frame: av.VideoFrame, reformatter: VideoReformatter):
        self._frame, self._reformatter = frame, reformatter

    @functools.cached_property
    def rgb(self) -> np.ndarray:
        """(H, W, 3) uint8, upright."""
        image = self._reformatter.reformat(self._frame, format="rgb24").to_ndarray()
        return np.ascontiguousarray(np.rot90(image, self._turns)) if self._turns else image

    @property
    def _turns(self) -> int:
        return round(self._frame.rotation / 90) % 4

    def thumbnail(self) -> np.ndarray:
        """(32, 32) float32 grey levels, to tell one scene from another."""
        small = self._reformatter.reformat(self._frame, width=32, height=32, format="gray", interpolation="AREA")
        return small.to_ndarray().astype(np.float32)


class Video:
    """An open video file; use it as a context manager.

    Raises:
      UserError: no such file, empty, not a video, or without a picture.
    """

    def __init__(self, path):
        self.path = str(path)
        try:
            if os.path.getsize(self.path) == 0:
                raise UserError("the file is empty")
            self._container = av.open(self.path)
        except (av.FFmpegError, OSError) as error:
            raise UserError(f"cannot be opened as a video ({_reason(error)})") from None
        if not self._container.streams.video:
            self._container.close()
            raise UserError("there is no video stream in the file")
        self._stream = self._container.streams.video[0]
        self._stream.thread_type = "NONE"  # preparation runs a process a core
        # One for all frames: making a scaler takes longer than using it on a small frame (1.5 ms against 0.1).
        self._reformatter = VideoReformatter()
        self.damaged = 0  # packets that could not be decoded, so far

    def __enter__(self) -> Video:
        return self

    def __exit__(self, *_) -> None:
        self._container.close()

    def frames(self) -> Iterator[tuple[float, Picture]]:
        """(time in s from the first frame, picture) of every frame that decodes, in order of time.

        A packet that does not decode is counted in `damaged` and passed over: the stream goes on.
        """
        first, last, lost = None, -1.0, 0.0
        rate = float(self._stream.average_rate or FRAME_RATE)
        for frame in self._decoded():
            time = frame.time if frame.time is not None else (last + 1 / rate if first is not None else 0.0)
            first = time if first is None else first
            time -= first + lost
            if time - last > LONGEST_HOLE:
                lost += time - last - 1 / FRAME_RATE
                time = last + 1 / FRAME_RATE
            if time <= last and last >= 0:
                continue  # a broken time stamp: the stream cannot run backwards
            last = time
            yield time, Picture(frame, self._reformatter)

    def _decoded(self) -> Iterator[av.VideoFrame]:
        packets = self._container.demux(self._stream)
        while True:
            try:
                packet = next(packets)
            except StopIteration:
                return
            except av.FFmpegError:
                self.damaged += 1
                return  # the container itself is cut off here
            try:
                yield from packet.decode()
            except av.FFmpegError:
                self.damaged += 1

    def resampled(self, fps: float = FRAME_RATE) -> Iterator[tuple[Picture, bool]]:
        """(picture, measured) at k / fps s: the frame nearest in time, as 25 frames/s or a variable rate look at 30.

        `measured` is False where the nearest frame is more than a frame and a half of the source away: there the
        source has a hole, and the picture is a repetition. Ends with the last frame's display time.
        """
        reach = 1.5 * max(1 / fps, 1 / float(self._stream.average_rate or fps))
        wanted, held, interval = 0, None, 0.0
        for time, picture in self.frames():
            if held is not None:
                middle = (held[0] + time) / 2  # what lies before it is nearer to the held frame
                while wanted / fps < middle - 1e-9:
                    yield held[1], abs(wanted / fps - held[0]) <= reach
                    wanted += 1
                interval = time - held[0]
            held = (time, picture)
        while held is not None and wanted / fps <= held[0] + min(interval, reach) / 2 + 1e-9:
            yield held[1], True
            wanted += 1

    def info(self) -> StreamInfo:
        stream = self._stream
        height, width = stream.codec_context.height, stream.codec_context.width
        if self._turned_on_its_side():
            height, width = width, height
        seconds = (
            float(stream.duration * stream.time_base) if stream.duration else (self._container.duration or 0) / 1e6
        )
        return StreamInfo(
            fps=float(stream.average_rate or 0.0),
            height=height,
            width=width,
            codec=stream.codec_context.name,
            bitrate=8 * os.path.getsize(self.path) / seconds if seconds > 0 else 0.0,
        )

    def _turned_on_its_side(self) -> bool:
        """The rotation is known only from a frame: one is looked at, on a second handle so that this one stays."""
        try:
            with av.open(self.path) as container:
                return round(next(container.decode(video=0)).rotation / 90) % 2 == 1
        except (av.FFmpegError, OSError, StopIteration):
            return False


def _reason(error: BaseException) -> str:
    return (getattr(error, "strerror", None) or str(error) or type(error).__name__).splitlines()[0]
