"""One video -> a copy of it under a condition. Same geometry, same time stamps, no sound.

A re-encoding decodes and encodes again; a corruption changes the decoded pictures, which are then stored without loss.
One encoder works at a time, with one thread: workers are the parallelism, memory stays small, and the same video gives
the same bytes.
"""

from __future__ import annotations

import dataclasses
import errno
import functools
import itertools
import math
import os
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any, cast

import av
import cv2
import numpy as np
from av.video.codeccontext import VideoCodecContext
from av.video.reformatter import Interpolation
from av.video.stream import VideoStream

from cpml_jax.conditions import Codec, Condition, Corruption
from cpml_jax.errors import UserError
from cpml_jax.limits import Limits
from cpml_jax.schema import FRAME_RATE
from data_prep.conditions import corruptions
from data_prep.video.codecs import CODECS, Settings
from data_prep.video.picture import Picture, rgb_frame
from data_prep.video.reader import StreamInfo, VideoReader

CLOCK = 90_000  # ticks/s: whole for 24, 25, 30, 50, 60 and 30000/1001 frames/s
KEPT = 256e6  # bytes of decoded frames that are kept for the next condition; longer videos are decoded again for each
# FFmpeg's quick conversion of 4:2:0 to RGB darkens a picture by 1.3 grey levels on average; with these flags, by none.
EXACT = Interpolation.BILINEAR | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT
Frames = Iterator[tuple[float, av.VideoFrame]]  # times in s
DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
# A corruption's pictures are stored bit for bit, so that nothing but the corruption changes them. Milliseconds to write
# and to read a frame, and MB of 128 frames of 160x160, clean and with noise (0.005): libx264rgb 0.6 + 1.0, 4.2 and
# 10.5; FFV1 1.7 + 1.5, 2.4 and 8.3; and with losses, libx264 4:4:4 1.1 + 0.8, 2.5 and 8.6 (52 dB), 4:2:0 0.9 + 0.4
# (45 dB, noisy 25 dB).
LOSSLESS = Settings("libx264rgb", "rgb24", {"preset": "ultrafast", "qp": "0"})


def settings(condition: Condition) -> dict[str, Any]:
    """Everything that a condition's pictures depend on, as plain values: kept with the records."""
    if isinstance(condition, Codec):
        used = CODECS[condition.codec]
        return {"encoder": used.encoder, "crf": condition.crf, **used.options}
    return {"parameter": corruptions.PARAMETERS[condition.corruption][condition.strength - 1]}


class Source:
    """The frames of a video up to a time, for repeated reading: kept if few, else decoded each time."""

    def __init__(self, path: str | Path, until: float = math.inf, limits: Limits = Limits()) -> None:  # noqa: B008
        self._path, self._until, self._limits = path, until, limits
        self._frames: list[tuple[float, Picture]] | None = None

    @functools.cached_property
    def _info(self) -> StreamInfo:
        with VideoReader(self._path, self._limits) as video:
            return video.info()

    @property
    def rate(self) -> Fraction:
        """Frames/s on average. Raises UserError for what is not a video."""
        return Fraction(self._info.fps if 1 <= self._info.fps <= 240 else FRAME_RATE).limit_denominator(1001)

    def frames(self) -> Iterator[tuple[float, Picture]]:
        """(time in s, picture) of every frame before `until`; see VideoReader.frames."""
        if self._frames is not None:
            yield from self._frames
            return
        kept: list[tuple[float, Picture]] | None = []
        size = 4.5 * self._info.height * self._info.width  # bytes per frame, 4:2:0 and RGB
        with VideoReader(self._path, self._limits) as video:
            for time, picture in itertools.takewhile(lambda item: item[0] < self._until, video.frames()):
                if kept is not None:
                    kept.append((time, picture))
                    kept = kept if len(kept) * size <= KEPT else None
                yield time, picture
        self._frames = kept


def write(path: Path, source: Source, condition: Condition, seed: str = "") -> None:
    """Write a video's copy under a condition.

    Args:
      path: of the MP4; an error leaves it half-written.
      seed: decides what is random in a corruption: the video's key.

    Raises:
      UserError: nothing decodes, or the encoder refuses the video.
      OSError: the disk is full.
    """
    try:
        if isinstance(condition, Codec):
            used = CODECS[condition.codec]
            used = dataclasses.replace(used, options={"crf": str(condition.crf)} | used.options)
            encode(path, ((time, coded(picture)) for time, picture in source.frames()), used, source.rate)
        else:
            frames = ((t, rgb_frame(p)) for t, p in corrupted(source, condition, seed))
            encode(path, frames, LOSSLESS, source.rate)
    except (av.FFmpegError, ValueError) as error:
        number = getattr(error, "errno", None)
        if number in DISK_FULL:
            raise OSError(number, os.strerror(number), str(path)) from None
        raise UserError(f"cannot be encoded as {condition.name} ({str(error).splitlines()[0][:200]})") from None


def corrupted(source: Source, condition: Corruption, seed: str) -> corruptions.Stream:
    """(time, picture) of every frame under a corruption."""
    pictures = ((time, picture.rgb) for time, picture in source.frames())
    if condition.corruption == "social":
        scale, crf = corruptions.PARAMETERS["social"][condition.strength - 1]
        return social(pictures, scale, crf, source.rate)
    # The strength is no part of the seed: stronger noise is weaker noise scaled up.
    return corruptions.corrupt(pictures, condition.corruption, condition.strength, f"{seed}/{condition.corruption}")


def coded(picture: Picture) -> av.VideoFrame:
    """4:2:0 of even size: the decoded frame itself where it is that, as a transcoder would; else by way of RGB."""
    frame = picture.coded
    if frame is not None and frame.format.name == "yuv420p":
        return frame
    return rgb_frame(even(picture.rgb)).reformat(format="yuv420p", threads=1)


def even(picture: np.ndarray) -> np.ndarray:
    """With its last line or column repeated where their number is odd: every pixel keeps its place."""
    height, width = picture.shape[:2]
    if height % 2 or width % 2:
        return cv2.copyMakeBorder(picture, 0, height % 2, 0, width % 2, cv2.BORDER_REPLICATE)
    return picture


def encode(path: Path, frames: Frames, used: Settings, rate: Fraction) -> None:
    """Frames with their times in s -> an MP4."""
    with av.open(f"file:{path}", "w", format="mp4") as container:
        stream: VideoStream | None = None
        for time, frame in frames:
            if stream is None:
                stream = cast(VideoStream, container.add_stream(used.encoder, rate=rate, options=used.options))
                prepare(stream.codec_context, used, frame)
            container.mux(stream.encode(stamped(frame, time)))
        if stream is None:
            raise UserError("no frame of the video can be decoded")
        container.mux(stream.encode(None))


def prepare(context: VideoCodecContext, used: Settings, first: av.VideoFrame) -> None:
    """Give an encoder its clock, and what it takes from the first frame: size and meaning of the colours."""
    context.width, context.height, context.pix_fmt = first.width, first.height, used.pixels
    context.time_base, context.thread_count = Fraction(1, CLOCK), 1
    if used.pixels == "yuv420p":
        for tag in ("color_range", "colorspace", "color_trc", "color_primaries"):
            setattr(context, tag, getattr(first, tag))


def stamped(frame: av.VideoFrame, time: float) -> av.VideoFrame:
    """The frame at that time; the encoder decides whether it becomes a key frame."""
    frame.pts, frame.time_base, frame.pict_type = round(time * CLOCK), Fraction(1, CLOCK), 0
    return frame


def social(stream: corruptions.Stream, scale: float, crf: int, rate: Fraction) -> corruptions.Stream:
    """Posted twice: reduced, H.264, H.264 again, and shown at the original size."""
    first_time, first = next(stream, (0.0, None))
    if first is None:
        return
    height, width = first.shape[:2]
    small = tuple(max(16, 2 * round(scale * side / 2)) for side in (width, height))
    frames = (
        (time, rgb_frame(cv2.resize(picture, small, interpolation=cv2.INTER_AREA)))
        for time, picture in itertools.chain([(first_time, first)], stream)
    )
    frames = ((time, frame.reformat(format="yuv420p", threads=1)) for time, frame in frames)
    for time, frame in functools.reduce(lambda passed, _: through_h264(passed, crf, rate), range(2), frames):
        picture = frame.reformat(format="rgb24", interpolation=EXACT, threads=1).to_ndarray()
        yield time, cv2.resize(picture, (width, height), interpolation=cv2.INTER_LINEAR)


def through_h264(frames: Frames, crf: int, rate: Fraction) -> Frames:
    """Encoded and decoded, without a file."""
    used = CODECS["h264"]
    encoder, decoder = av.CodecContext.create("libx264", "w"), av.CodecContext.create("h264", "r")
    decoder.thread_count = 1
    encoder.framerate, encoder.options = rate, {"crf": str(crf)} | used.options
    packets = itertools.chain.from_iterable(
        encoder.encode(frame) for frame in itertools.chain(_opened(encoder, used, frames), [None])
    )
    for packet in itertools.chain(packets, [None]):
        for frame in decoder.decode(packet):
            yield cast(int, frame.pts) / CLOCK, frame  # the encoder was given a time for every frame


def _opened(encoder: VideoCodecContext, used: Settings, frames: Frames) -> Iterator[av.VideoFrame]:
    """The frames, each with its time; the encoder is prepared with the first."""
    for number, (time, frame) in enumerate(frames):
        if not number:
            prepare(encoder, used, frame)
        yield stamped(frame, time)
