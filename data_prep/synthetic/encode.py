"""H.264, as in real benchmarks: the same rendered frames at each of FF++'s compressions."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Sequence
from fractions import Fraction

import av
import numpy as np
from av.video.frame import PictureType
from av.video.reformatter import VideoReformatter

from cpml_jax.schema import compression_rank
from data_prep.video.picture import rgb_frame

# FF++ names its compressions after libx264's constant rate factor. "raw" is CRF 1: near-lossless, and still High
# profile 4:2:0, which every decoder plays; CRF 0 would switch to the lossless High 4:4:4 profile, which many do not.
RAW_CRF = 1
HIGHEST_CRF = 51
# Measured on 4 drawn videos of 128 frames at 160x160, mean correlation of POS with the true pulse at c23 and c40, and
# milliseconds of one core a c23 frame: ultrafast 0.66, 0.02, 0.5; superfast 0.65, 0.06, 0.8; veryfast 0.40, -0.18, 0.7;
# faster 0.54, -0.01; fast 0.69, 0.16; medium (libx264's default) 0.69, 0.05, 2.9. So superfast behaves as medium does
# at a third of its time, while veryfast takes the pulse that c23 should keep. At CRF 1 all presets keep the same pulse
# (0.85-0.86), and ultrafast saves a third of the encoding and half of the decoding for a quarter more bytes.
FINE, COARSE = "ultrafast", "superfast"


def constant_rate_factor(compression: str) -> int | None:
    """Of raw, c0, c1, ..., c51; None for any other name."""
    if compression == "raw":
        return RAW_CRF
    factor = compression_rank(compression)
    return factor if compression == f"c{factor}" and factor <= HIGHEST_CRF else None


class Encoder:
    """One video at one compression: a context manager. The file gets its name only when it is complete."""

    def __init__(self, path: str, compression: str, size: int, rate: int) -> None:
        factor = constant_rate_factor(compression)
        if factor is None:
            raise ValueError(f"unknown compression {compression!r}")
        self._path, self._part = path, f"{path}.part"
        os.makedirs(os.path.dirname(path), exist_ok=True)
        self._container = av.open(self._part, "w", format="mp4")
        self._stream = self._container.add_stream("libx264", rate=rate)
        self._stream.width = self._stream.height = size
        self._stream.pix_fmt = "yuv420p"
        self._stream.codec_context.time_base = Fraction(1, rate)
        self._stream.codec_context.thread_count = 1  # the workers are the parallelism; same bytes each time
        self._stream.options = {"crf": str(factor), "preset": FINE if factor <= RAW_CRF else COARSE}

    def add(self, frame: av.VideoFrame) -> None:
        self._container.mux(self._stream.encode(frame))

    def __enter__(self) -> Encoder:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self._container.mux(self._stream.encode(None))
        self._container.close()
        if kind is None:
            os.replace(self._part, self._path)
        else:
            os.remove(self._part)


class Upload:
    """H.264 once before, in memory: what a site does to a video before anybody downloads and forges or shows it."""

    def __init__(self, factor: int, size: int, rate: int) -> None:
        self._encoder = av.CodecContext.create("libx264", "w")
        self._encoder.width = self._encoder.height = size
        self._encoder.pix_fmt = "yuv420p"
        self._encoder.time_base = Fraction(1, rate)
        self._encoder.thread_count = 1
        self._encoder.options = {"crf": str(factor), "preset": FINE, "tune": "zerolatency"}
        self._decoder = av.CodecContext.create("h264", "r")
        self._decoder.thread_count = 1

    def __call__(self, frame: av.VideoFrame | None) -> list[av.VideoFrame]:
        """The frames that can be decoded once this one has gone in; None: no more will come."""
        frames = [out for packet in self._encoder.encode(frame) for out in self._decoder.decode(packet)]
        return frames if frame is not None else frames + self._decoder.decode(None)


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
            frame.pts, frame.time_base = numbers[index], Fraction(1, rate)
            frame.pict_type = PictureType.NONE  # a decoded frame would ask for its kind again
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
