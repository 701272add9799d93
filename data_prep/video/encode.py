"""Frames -> one file per compression: FF++'s of H.264, as real benchmarks have them, other codecs, or two in a row.

raw, c0, ..., c51 are libx264 at that constant rate factor; CODEC-crfN is another codec (conditions.CODECS); A+B is
what has been through A once more through B, as a video that is downloaded and posted again: c23+c28.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Sequence
from fractions import Fraction
from typing import cast

import av
import numpy as np
from av.video.codeccontext import VideoCodecContext
from av.video.frame import PictureType
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream

from cpml_jax.conditions import RAW_CRF, Codec, passes
from data_prep.video.codecs import CODECS, DECODERS
from data_prep.video.picture import rgb_frame

# Measured on 4 drawn videos of 128 frames at 160x160, mean correlation of POS with the true pulse at c23 and c40, and
# milliseconds of one core a c23 frame: ultrafast 0.66, 0.02, 0.5; superfast 0.65, 0.06, 0.8; veryfast 0.40, -0.18, 0.7;
# faster 0.54, -0.01; fast 0.69, 0.16; medium (libx264's default) 0.69, 0.05, 2.9. So superfast behaves as medium does
# at a third of its time, while veryfast takes the pulse that c23 should keep. At CRF 1 all presets keep the same pulse
# (0.85-0.86), and ultrafast saves a third of the encoding and half of the decoding for a quarter more bytes.
FINE, COARSE = "ultrafast", "superfast"


def options(one: Codec) -> dict[str, str]:
    """Of the encoder for once through a codec; H.264's preset as measured above."""
    if one.codec == "h264":
        return {"crf": str(one.crf), "preset": FINE if one.crf <= RAW_CRF else COARSE}
    return {"crf": str(one.crf)} | CODECS[one.codec].options


class Encoder:
    """One video at one compression: a context manager. The file gets its name only when it is complete."""

    def __init__(self, path: str, compression: str, size: int, rate: int) -> None:
        asked = passes(compression)
        if not asked:
            raise ValueError(f"unknown compression {compression!r}")
        self._before = [Upload(one.crf, size, rate, one.codec) for one in asked[:-1]]
        last = asked[-1]
        self._rate = rate
        self._path, self._part = path, f"{path}.part"
        os.makedirs(os.path.dirname(path), exist_ok=True)
        self._container = av.open(self._part, "w", format="mp4")
        self._stream = cast(VideoStream, self._container.add_stream(CODECS[last.codec].encoder, rate=rate))
        self._stream.width = self._stream.height = size
        self._stream.pix_fmt = "yuv420p"
        self._stream.codec_context.time_base = Fraction(1, rate)
        self._stream.codec_context.thread_count = 1  # the workers are the parallelism; same bytes each time
        self._stream.options = dict[str, object](options(last))

    def add(self, frame: av.VideoFrame) -> None:
        """The next frame, with its time."""
        self._add(frame, 0)

    def _add(self, frame: av.VideoFrame, done: int) -> None:
        if done == len(self._before):
            self._container.mux(self._stream.encode(frame))
            return
        for out in self._before[done](frame):
            self._add(stamped(out, cast(int, out.pts), self._rate), done + 1)

    def _finish(self) -> None:
        for done, known in enumerate(self._before):
            for out in known(None):
                self._add(stamped(out, cast(int, out.pts), self._rate), done + 1)
        self._container.mux(self._stream.encode(None))

    def __enter__(self) -> Encoder:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self._finish()
        self._container.close()
        if kind is None:
            os.replace(self._part, self._path)
        else:
            os.remove(self._part)


class Upload:
    """A codec once before, in memory: what a site does to a video before anybody downloads and forges or shows it."""

    def __init__(self, factor: int, size: int, rate: int, codec: str = "h264") -> None:
        self._encoder = cast(VideoCodecContext, av.CodecContext.create(CODECS[codec].encoder, "w"))
        self._encoder.width = self._encoder.height = size
        self._encoder.pix_fmt = "yuv420p"
        self._encoder.time_base = Fraction(1, rate)
        self._encoder.thread_count = 1
        quick = {"crf": str(factor), "preset": FINE, "tune": "zerolatency"}
        self._encoder.options = quick if codec == "h264" else options(Codec(codec, factor))
        self._decoder = cast(VideoCodecContext, av.CodecContext.create(DECODERS[codec], "r"))
        self._decoder.thread_count = 1

    def __call__(self, frame: av.VideoFrame | None) -> list[av.VideoFrame]:
        """The frames that can be decoded once this one has gone in; None: no more will come."""
        frames = [out for packet in self._encoder.encode(frame) for out in self._decoder.decode(packet)]
        return frames if frame is not None else frames + self._decoder.decode(None)


def stamped(frame: av.VideoFrame, number: int, rate: int) -> av.VideoFrame:
    """The frame with the time of its number."""
    frame.pts, frame.time_base = number, Fraction(1, rate)
    frame.pict_type = PictureType.NONE  # a decoded frame would ask for its kind again
    return frame


def encode(
    videos: Sequence[dict[str, str]],
    frames: Iterable[Sequence[np.ndarray]],
    size: int,
    rate: int,
    upload: int | None = None,
) -> None:
    """Write several videos of one length, each to one file per compression.

    Args:
      videos: each one's paths by compression.
      frames: one picture of each video, (size, size, 3) uint8 RGB, at a time.
      rate: frames/s.
      upload: constant rate factor of a compression before those, or None.
    """
    uploads = [None if upload is None else Upload(upload, size, rate) for _ in videos]
    numbers = [0] * len(videos)
    colours = VideoReformatter()  # setting one up takes longer than using it
    with contextlib.ExitStack() as stack:
        encoders = [
            [stack.enter_context(Encoder(path, name, size, rate)) for name, path in paths.items()] for paths in videos
        ]

        def write(index: int, frame: av.VideoFrame) -> None:
            stamped(frame, numbers[index], rate)
            numbers[index] += 1
            for encoder in encoders[index]:
                encoder.add(frame)

        for number, pictures in enumerate(frames):
            for index, picture in enumerate(pictures):
                frame = colours.reformat(rgb_frame(picture), format="yuv420p", threads=1)
                frame.pts, frame.time_base = number, Fraction(1, rate)
                known = uploads[index]
                for one in [frame] if known is None else known(frame):
                    write(index, one)
        for index, known in enumerate(uploads):
            for frame in known(None) if known else ():
                write(index, frame)
