"""Video files as streams: decoded with PyAV, upright, resampled by time stamps; never a whole file in memory."""

from __future__ import annotations

import ctypes
import dataclasses
import functools
import itertools
import os
import stat
import time as clocks
from collections.abc import Callable, Generator, Iterator

import av
from av.container import InputContainer
from av.stream import Disposition
from av.video.stream import VideoStream

from cpml_jax.errors import UserError
from cpml_jax.limits import Limits
from cpml_jax.schema import FRAME_RATE
from data_prep.video.bounds import check_gif, check_header, check_pixels
from data_prep.video.picture import Picture, Screen

# s; a larger jump of the time stamps is an error, and would be filled with hours of one picture: the next frame counts
# as one later at FRAME_RATE, since the jump spoils the stream's average rate too.
LONGEST_HOLE = 60.0
LONGEST_RETURN = 0.25  # s backwards; such frames are out of order and skipped; after a longer return another clock runs
LOWEST_RATE = 10.0  # frames/s: a heart beats up to 4 times per second
PATIENCE = 30  # frames before a video is refused for its low frame rate
NO_TIMESTAMPS = 0x80  # FFmpeg's AVFMT_NOTIMESTAMPS
LISTS = {"concat", "dash", "hls", "imf", "sdp", "rtsp", "rtp", "lavfi", "webm_dash_manifest"}
STILL = Disposition.attached_pic | Disposition.still_image | Disposition.timed_thumbnails

# libav reports every damaged macroblock on stderr; the user gets one reason per video instead.
av.logging.set_level(av.logging.PANIC)


@dataclasses.dataclass(frozen=True)
class StreamInfo:
    """A record's fields about its source: frames/s, pixels (upright), FFmpeg's codec name, bit/s; and its length.

    seconds: as the header says; 0: unknown.
    """

    fps: float
    height: int
    width: int
    codec: str
    bitrate: float
    seconds: float = 0.0


class VideoReader:
    """An open video file; use it as a context manager.

    What the file says of itself is compared with the limits before anything is decoded, and what it turns out to be
    while it is decoded.

    Raises:
      UserError: no such file, empty, not a video, without moving pictures, or more than the limits allow.
    """

    def __init__(self, path: str | os.PathLike[str], limits: Limits = Limits()) -> None:  # noqa: B008 - frozen
        self.path, self._limits = str(path), limits
        self._count, self._spent = 0, 0.0  # frames decoded, and s of this thread for them
        check_file(self.path)
        check_gif(self.path, limits)
        # A decoder refuses larger frames before it makes room for them, wherever in the file they come. It counts what
        # it adds at the edges, which is much of a small frame.
        most = {"max_pixels": str(2 * limits.pixels + (1 << 16))}
        try:
            # `file:` and the whitelist: a name like concat:a is only a name, and a playlist cannot open anything else.
            self._container = av.open(
                f"file:{self.path}", options={"protocol_whitelist": "file", "format_whitelist": _formats(), **most}
            )
        except (av.FFmpegError, OSError, ValueError) as error:
            raise UserError(f"cannot be opened as a video: {_content(self.path) or _reason(error)}") from None
        try:
            self._stream = choose_stream(self._container)
            check_header(self._stream, limits)
        except UserError:
            self._container.close()
            raise
        self._stream.codec_context.options = {**self._stream.codec_context.options, **most}
        self._stream.thread_type = "NONE"  # preparation runs one process per core
        self._decoded = self._decode()
        self.damaged = 0  # packets that could not be decoded, so far

    def __enter__(self) -> VideoReader:
        return self

    def __exit__(self, *_: object) -> None:
        # The generator holds this object, which holds it: the decoder and its frames, 270 MB of 4K, would stay until
        # Python looks for such circles.
        self._decoded.close()
        self.__dict__.pop("_first", None)
        self._container.close()
        del self._decoded, self._stream, self._container
        _give_back()

    @functools.cached_property
    def _first(self) -> av.VideoFrame:
        for frame in self._decoded:
            return frame
        large = "" if self._stream.codec_context.width else ", or its frames are larger than data.limits.pixels allows"
        raise UserError(f"no frame of the video can be decoded: it is empty, cut off or damaged{large}")

    @functools.cached_property
    def _screen(self) -> Screen:
        screen = Screen(self._first, float(self._stream.sample_aspect_ratio or 1))
        check_pixels(screen.width, screen.height, self._limits)  # pixels that are not square are stretched
        return screen

    @property
    def _rate(self) -> float:
        """Average frames/s according to the header; 0: unknown. For a stream without time stamps FFmpeg makes it up."""
        bare = self._container.format.flags & NO_TIMESTAMPS
        return float((not bare and self._stream.average_rate) or self._stream.guessed_rate or 0.0)

    def frames(self) -> Iterator[tuple[float, Picture]]:
        """(time in s from the first frame, picture) of every frame that decodes, in order of time; call it only once.

        A packet that does not decode is counted in `damaged` and skipped.

        Raises:
          UserError: nothing decodes.
        """
        screen, start, last = self._screen, None, 0.0
        step = 1 / (self._rate or FRAME_RATE)  # for frames without time stamps
        for frame in itertools.chain([self._first], self._decoded):
            if start is None:
                start, time = frame.time or 0.0, 0.0
            else:
                time = frame.time - start if frame.time is not None else last + step
                if not last - LONGEST_RETURN <= time <= last + LONGEST_HOLE:
                    # Another clock runs from here on, as where two streams were joined, or the stamp is wrong.
                    start += time - last - 1 / FRAME_RATE
                    time = last + 1 / FRAME_RATE
                if time <= last:
                    continue  # a wrong time stamp: a stream cannot run backwards
            if time > self._limits.seconds:
                raise UserError(f"it is longer than {self._limits.seconds:g} s, which data.limits.seconds allows")
            last = time
            yield time, Picture(frame, screen, time)

    def _decode(self) -> Generator[av.VideoFrame]:
        packets = self._container.demux(self._stream)
        while True:
            begun = clocks.thread_time()
            try:
                packet = next(packets)
            except StopIteration:
                return
            except av.FFmpegError:
                self.damaged += 1
                return  # the container is cut off here
            try:
                frames = packet.decode()
            except av.FFmpegError:
                self.damaged += 1
                frames = []
            self._spent += clocks.thread_time() - begun
            self._count += len(frames)
            for frame in frames:
                check_pixels(frame.width, frame.height, self._limits)
            if self._count > self._limits.frames:
                raise UserError(f"it has more than {self._limits.frames} frames, which data.limits.frames allows")
            if self._spent > self._limits.decoding:
                raise UserError(
                    f"decoding takes more than {self._limits.decoding:g} s, which data.limits.decoding allows; "
                    f"{self._count} frames were decoded"
                )
            yield from frames

    def resampled(self, fps: float = FRAME_RATE) -> Iterator[tuple[Picture, bool]]:
        """(picture, measured) at k / fps s: the frame nearest in time, whatever the rate of the source.

        Nothing is blended: a source of 25 frames/s gives every fifth picture twice, as one object. Measurements that
        must not show this are made once per picture and interpolated by its `time`, as landmarks are.

        `measured` is False where the nearest frame is more than one and a half frames of the source away, so that the
        picture only repeats a neighbour, and where the decoder had to conceal errors. Ends with the last frame's
        display time.

        Raises:
          UserError: nothing decodes, or the source has too few frames a second.
        """
        reach = 1.5 * max(1 / fps, min(1 / LOWEST_RATE, 1 / (self._rate or fps)))
        wanted, held, interval, pace = 0, None, 0.0, _Pace()
        for time, picture in self.frames():
            if held is not None:
                interval = time - held[0]
                pace.add(interval)
                middle = (held[0] + time) / 2  # earlier times are nearer to the held frame
                while wanted / fps < middle - 1e-9:
                    yield held[1], abs(wanted / fps - held[0]) <= reach and not held[1].damaged
                    wanted += 1
            held = (time, picture)
        pace.check()
        while held is not None and wanted / fps <= held[0] + min(interval, reach) / 2 + 1e-9:
            yield held[1], not held[1].damaged
            wanted += 1

    def info(self) -> StreamInfo:
        """Raises UserError where nothing decodes: the header alone is not reliable."""
        stream = self._stream
        seconds = (
            float(stream.duration * stream.time_base)
            if stream.duration and stream.time_base
            else (self._container.duration or 0) / 1e6
        )
        return StreamInfo(
            fps=self._rate,
            height=self._screen.height,
            width=self._screen.width,
            codec=stream.codec_context.name,
            bitrate=8 * os.path.getsize(self.path) / seconds if seconds > 0 else 0.0,
            seconds=max(seconds, 0.0),
        )


@functools.cache
def _formats() -> str:
    """FFmpeg's formats without those that are lists of other files, which a stranger's file could name beside it."""
    return ",".join(sorted(av.formats_available - LISTS))


@functools.cache
def _trim() -> Callable[[int], int] | None:
    """glibc's malloc_trim; None where there is none."""
    try:
        return ctypes.CDLL(None).malloc_trim
    except (OSError, AttributeError, TypeError):
        return None


def _give_back() -> None:
    """Hand freed memory to the system: glibc keeps what frames and the detector took, for whoever comes next."""
    trim = _trim()
    if trim is not None:
        trim(0)


class _Pace:
    """Refuses a slide show or a time lapse early: repeated to 30 frames/s, it would take hours."""

    def __init__(self) -> None:
        self._count, self._slow, self._seconds = 0, 0, 0.0

    def add(self, interval: float) -> None:
        self._count += 1
        self._slow += interval > 1 / LOWEST_RATE + 1e-6
        self._seconds += interval
        if self._count == PATIENCE:
            self.check()

    def check(self) -> None:
        if self._slow > self._count / 2:
            rate = self._count / self._seconds
            raise UserError(f"the video has {rate:.2g} frames/s; measuring a pulse takes at least {LOWEST_RATE:g}")


def check_file(path: str) -> None:
    """Raises UserError unless this is a readable file with something in it."""
    try:
        status = os.stat(path)
    except OSError as error:
        broken = os.path.islink(path) and isinstance(error, FileNotFoundError)
        raise UserError("a symbolic link to a file that does not exist" if broken else _reason(error)) from None
    if stat.S_ISDIR(status.st_mode):
        raise UserError("a folder, not a video file")
    if not stat.S_ISREG(status.st_mode):  # opening a pipe would wait forever
        raise UserError("a pipe or a device, not a video file")
    if not status.st_size:
        raise UserError("the file is empty (0 bytes)")
    try:
        with open(path, "rb") as file:  # os.access may answer for another user than open
            file.read(1)
    except PermissionError:
        raise UserError("no permission to read the file") from None
    except OSError as error:
        raise UserError(f"the file cannot be read ({_reason(error)})") from None


def choose_stream(container: InputContainer) -> VideoStream:
    """The video stream marked as default, else the first; cover pictures do not count.

    Raises:
      UserError: a text, a still picture, sound alone, or a codec that this FFmpeg lacks.
    """
    if container.format.name == "tty":
        raise UserError("a text file, not a video")
    if container.format.name == "image2" or container.format.name.endswith("_pipe"):
        raise UserError(f"a still picture ({container.format.name.removesuffix('_pipe')}), not a video")
    moving = [s for s in container.streams.video if not s.disposition & STILL]
    if not moving:
        covers = ", only a cover picture" if container.streams.video else ""
        raise UserError(f"the file has no video stream{covers}")
    chosen = next((s for s in moving if s.disposition & Disposition.default), moving[0])
    if chosen.codec_context is None:
        raise UserError("the video stream has a codec that this FFmpeg cannot decode")
    return chosen


def _content(path: str) -> str:
    """What a file is instead of a video, judged by its beginning; "" if that is inconclusive."""
    with open(path, "rb") as file:
        head = file.read(4096)
    if not head.strip(b"\0"):
        return "it begins with zeros alone, like an unfinished download"
    if head[4:8] == b"ftyp":
        return "the index of the MP4 (moov) is missing or broken: the file is cut off or unfinished"
    control = sum(byte < 32 and byte not in b"\t\n\f\r" for byte in head)
    return "" if control else "it is a text file"


def _reason(error: BaseException) -> str:
    if isinstance(error, av.EOFError):
        return "it ends before its first picture"
    return (getattr(error, "strerror", None) or str(error) or type(error).__name__).splitlines()[0]
