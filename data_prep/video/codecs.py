"""The encoders that videos are written with, and how each is set."""

from __future__ import annotations

import dataclasses
import os

os.environ.setdefault("SVT_LOG", "-1")  # SVT-AV1 writes its settings to stderr for every video


@dataclasses.dataclass(frozen=True)
class Settings:
    """An encoder: its name in FFmpeg, pixel format and options."""

    encoder: str
    pixels: str
    options: dict[str, str]


# Fast presets. CPU ms a frame of 160x160, and kbit/s at 37 dB against the next slower one: libx264 superfast 0.2 (why
# not ultrafast: see data_prep.video.encode); libx265 superfast 0.8 and 23, ultrafast 0.6 and 38; libvpx-vp9
# realtime 0.4 and 30, good 2.1 and 18; SVT-AV1 10 0.9 and 16, 12 0.9 and 20.
CODECS = {
    "h264": Settings("libx264", "yuv420p", {"preset": "superfast"}),
    "h265": Settings(
        "libx265",
        "yuv420p",
        {"preset": "superfast", "x265-params": "log-level=none:info=0:pools=none:frame-threads=1"},
    ),
    "vp9": Settings("libvpx-vp9", "yuv420p", {"deadline": "realtime", "cpu-used": "8", "b": "0"}),
    "av1": Settings("libsvtav1", "yuv420p", {"preset": "10", "svtav1-params": "lp=1"}),
}
DECODERS = {"h264": "h264", "h265": "hevc", "vp9": "vp9", "av1": "libdav1d"}  # FFmpeg's names
