"""H.264, as in real benchmarks: the same rendered frames at each of FF++'s compressions."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable
from fractions import Fraction

import av
import numpy as np

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


def encode(paths: dict[str, str], pictures: Iterable[np.ndarray], size: int, rate: int) -> None:
    """Write `pictures` (size, size, 3) uint8 RGB to one file per compression, paths[compression]; rate in frames/s."""
    with contextlib.ExitStack() as stack:
        encoders = [stack.enter_context(Encoder(path, name, size, rate)) for name, path in paths.items()]
        for number, picture in enumerate(pictures):
            frame = rgb_frame(picture).reformat(format="yuv420p")
            frame.pts, frame.time_base = number, Fraction(1, rate)
            for encoder in encoders:
                encoder.add(frame)
