"""H.264 as real benchmarks are made: the same rendered frames, at each of FF++'s qualities."""

from __future__ import annotations

import os
from collections.abc import Iterable
from fractions import Fraction

import av
import numpy as np

# FF++ names its qualities after libx264's constant rate factor. "raw" is CRF 1: near-lossless (the noise it adds is
# under half a grey level) and still High profile 4:2:0, which every decoder plays; CRF 0 switches to lossless High 4:4:4.
CRF = {"raw": 1, "c0": 0, "c23": 23, "c40": 40}
PRESET = "superfast"


class Encoder:
    """One video at one quality. Use as a context; the file appears under its name only when it is complete."""

    def __init__(self, path: str, compression: str, size: int, rate: int):
        self._path, self._part = path, f"{path}.part"
        os.makedirs(os.path.dirname(path), exist_ok=True)
        self._container = av.open(self._part, "w", format="mp4")
        self._stream = self._container.add_stream("libx264", rate=rate)
        self._stream.width = self._stream.height = size
        self._stream.pix_fmt = "yuv420p"
        self._stream.codec_context.time_base = Fraction(1, rate)
        self._stream.codec_context.thread_count = 1  # several workers run; and one thread gives the same bytes each time
        self._stream.options = {"crf": str(CRF[compression]), "preset": PRESET}

    def add(self, frame: av.VideoFrame) -> None:
        self._container.mux(self._stream.encode(frame))

    def __enter__(self) -> Encoder:
        return self

    def __exit__(self, kind, value, trace) -> None:
        if kind is None:
            self._container.mux(self._stream.encode(None))
        self._container.close()
        if kind is None:
            os.replace(self._part, self._path)
        else:
            os.remove(self._part)


def encode(paths: dict[str, str], pictures: Iterable[np.ndarray], size: int, rate: int) -> None:
    """Write `pictures` (size, size, 3) uint8 RGB to one file for each compression: paths[compression]."""
    import contextlib

    with contextlib.ExitStack() as stack:
        encoders = [stack.enter_context(Encoder(path, name, size, rate)) for name, path in paths.items()]
        for number, picture in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(picture, "rgb24").reformat(format="yuv420p")
            frame.pts, frame.time_base = number, Fraction(1, rate)
            for encoder in encoders:
                encoder.add(frame)
