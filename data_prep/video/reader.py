"""Video files as streams: decode with PyAV, upright, resampled by time stamps to one frame rate. Never a whole file."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import os
import stat
from collections.abc import Iterator

import av
from av.stream import Disposition

from cpml_jax.errors import UserError
from cpml_jax.schema import FRAME_RATE
from data_prep.video.picture import Picture, Screen

# s; a larger jump of the time stamps is a broken one, and would be filled with hours of one picture: time goes on
# there a frame later, at our own rate, since the stream's average rate is spoilt by the jump too.
LONGEST_HOLE = 60.0
LONGEST_RETURN = 0.25  # s backwards that are frames out of order, and passed over; more is another clock
LOWEST_RATE = 10.0  # frames/s: a heart beats up to 4 times a second
PATIENCE = 30  # frames before a video is refused for having too few a second
NO_TIMESTAMPS = 0x80  # FFmpeg's AVFMT_NOTIMESTAMPS
STILL = Disposition.attached_pic | Disposition.still_image | Disposition.timed_thumbnails

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


class VideoReader:
    """An open video file; use it as a context manager.

    Raises:
      UserError: no such file, empty, not a video, or one without a film in it.
    """

    def __init__(self, path):
        self.path = str(path)
        check_file(self.path)
        try:
            # As a file and from files alone: a name like concat:a is a name, and a playlist opens nothing elsewhere.
            self._container = av.open(f"file:{self.path}", options={"protocol_whitelist": "file"})
        except (av.FFmpegError, OSError, ValueError) as error:
            raise UserError(f"cannot be opened as a video: {_content(self.path) or _reason(error)}") from None
        try:
            self._stream = choose_stream(self._container)
        except UserError:
            self._container.close()
            raise
        self._stream.thread_type = "NONE"  # preparation runs a process a core
        self._decoded = self._decode()
        self.damaged = 0  # packets that could not be decoded, so far

    def __enter__(self) -> VideoReader:
        return self

    def __exit__(self, *_) -> None:
        self._container.close()

    @functools.cached_property
    def _first(self) -> av.VideoFrame:
        for frame in self._decoded:
            return frame
        raise UserError("no frame of the video can be decoded: it is empty, cut off or damaged")

    @functools.cached_property
    def _screen(self) -> Screen:
        return Screen(self._first, float(self._stream.sample_aspect_ratio or 1))

    @property
    def _rate(self) -> float:
        """Frames/s on average, by the header; 0: unknown. A bare stream's average is FFmpeg's invention."""
        bare = self._container.format.flags & NO_TIMESTAMPS
        return float((not bare and self._stream.average_rate) or self._stream.guessed_rate or 0.0)

    def frames(self) -> Iterator[tuple[float, Picture]]:
        """(time in s from the first frame, picture) of every frame that decodes, in order of time; once.

        A packet that does not decode is counted in `damaged` and passed over: the stream goes on.

        Raises:
          UserError: nothing decodes.
        """
        screen, start, last = self._screen, None, 0.0
        step = 1 / (self._rate or FRAME_RATE)  # where there are no time stamps
        for frame in itertools.chain([self._first], self._decoded):
            if start is None:
                start, time = frame.time or 0.0, 0.0
            else:
                time = frame.time - start if frame.time is not None else last + step
                if not last - LONGEST_RETURN <= time <= last + LONGEST_HOLE:
                    # Another clock from here on, as where two streams were joined, or a broken stamp.
                    start += time - last - 1 / FRAME_RATE
                    time = last + 1 / FRAME_RATE
                if time <= last:
                    continue  # a broken time stamp: the stream cannot run backwards
            last = time
            yield time, Picture(frame, screen)

    def _decode(self) -> Iterator[av.VideoFrame]:
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
        source has a hole, and the picture is a repetition; and where the decoder had to invent a part of the picture.
        Ends with the last frame's display time.

        Raises:
          UserError: nothing decodes, or the source has too few frames a second.
        """
        reach = 1.5 * max(1 / fps, min(1 / LOWEST_RATE, 1 / (self._rate or fps)))
        wanted, held, interval, pace = 0, None, 0.0, _Pace()
        for time, picture in self.frames():
            if held is not None:
                interval = time - held[0]
                pace.add(interval)
                middle = (held[0] + time) / 2  # what lies before it is nearer to the held frame
                while wanted / fps < middle - 1e-9:
                    yield held[1], abs(wanted / fps - held[0]) <= reach and not held[1].damaged
                    wanted += 1
            held = (time, picture)
        pace.check()
        while held is not None and wanted / fps <= held[0] + min(interval, reach) / 2 + 1e-9:
            yield held[1], not held[1].damaged
            wanted += 1

    def info(self) -> StreamInfo:
        """Raises UserError where nothing decodes: what the header says is not to be trusted."""
        stream = self._stream
        seconds = (
            float(stream.duration * stream.time_base) if stream.duration else (self._container.duration or 0) / 1e6
        )
        return StreamInfo(
            fps=self._rate,
            height=self._screen.height,
            width=self._screen.width,
            codec=stream.codec_context.name,
            bitrate=8 * os.path.getsize(self.path) / seconds if seconds > 0 else 0.0,
        )


class _Pace:
    """Refuses a slide show or a time lapse early: repeated to 30 frames/s, an hour of it would be hours of work."""

    def __init__(self):
        self._count, self._slow, self._seconds = 0, 0, 0.0

    def add(self, interval: float) -> None:
        self._count += 1
        self._slow += interval > 1 / LOWEST_RATE + 1e-6
        self._seconds += interval
        if self._count == PATIENCE:
            self.check()

    def check(self) -> None:
        if self._slow > self._count / 2:
            raise UserError(
                f"the video has {self._count / self._seconds:.2g} frames/s; a pulse can be followed from "
                f"{LOWEST_RATE:g} on"
            )


def check_file(path: str) -> None:
    """Raises UserError for what is not a file that can be read and has something in it."""
    try:
        status = os.stat(path)
    except OSError as error:
        broken = os.path.islink(path) and isinstance(error, FileNotFoundError)
        raise UserError("a symbolic link to a file that is not there" if broken else _reason(error)) from None
    if stat.S_ISDIR(status.st_mode):
        raise UserError("a folder, not a video file")
    if not stat.S_ISREG(status.st_mode):  # opening a pipe would wait for ever
        raise UserError("a pipe or a device, not a video file")
    if not status.st_size:
        raise UserError("the file is empty (0 bytes)")
    try:
        with open(path, "rb") as file:  # os.access would answer for another user than the one who opens
            file.read(1)
    except PermissionError:
        raise UserError("no permission to read the file") from None
    except OSError as error:
        raise UserError(f"the file cannot be read ({_reason(error)})") from None


def choose_stream(container):
    """The film: not a cover picture, which may come first; the one marked as default, else the first.

    Raises:
      UserError: a text, a picture, sound alone, or a codec that nobody here knows.
    """
    if container.format.name == "tty":
        raise UserError("a text file, not a video")
    if container.format.name == "image2" or container.format.name.endswith("_pipe"):
        raise UserError(f"a still picture ({container.format.name.removesuffix('_pipe')}), not a video")
    films = [s for s in container.streams.video if not s.disposition & STILL]
    if not films:
        covers = " but a cover picture" if container.streams.video else ""
        raise UserError(f"there is no video stream in the file{covers}")
    film = next((s for s in films if s.disposition & Disposition.default), films[0])
    if film.codec_context is None:
        raise UserError("the video stream has a codec that this FFmpeg cannot decode")
    return film


def _content(path: str) -> str:
    """What a file is instead of a video, by its beginning; "" if that says nothing."""
    with open(path, "rb") as file:
        head = file.read(4096)
    if not head.strip(b"\0"):
        return "it begins with nothing but zeros, as a download that was not finished"
    if head[4:8] == b"ftyp":
        return "the index of the MP4 (moov) is missing or broken: it was cut off, or not finished"
    control = sum(byte < 32 and byte not in b"\t\n\f\r" for byte in head)
    return "" if control else "it is a text file"


def _reason(error: BaseException) -> str:
    if isinstance(error, av.EOFError):
        return "it ends before its first picture"
    return (getattr(error, "strerror", None) or str(error) or type(error).__name__).splitlines()[0]
