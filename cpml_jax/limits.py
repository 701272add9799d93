"""How much of a stranger's video is decoded: the configuration's data.limits. A small file can decode to anything."""

from __future__ import annotations

import dataclasses

DEEPEST = 4  # bytes a pixel of a decoded frame at data.limits.pixels; 8-bit 4:2:0 has 1.5, 10-bit 4:2:0 3


@dataclasses.dataclass(frozen=True)
class Limits:
    """Of one file; more than that is refused in one line.

    Attributes:
      pixels: of a frame; the default is 4096 x 2304. A decoder keeps up to 16 frames.
      frames: decoded, whether they are used or not.
      seconds: of video.
      decoding: s that a process may spend on decoding one file, once through.
    """

    pixels: int = 4096 * 2304
    frames: int = 500_000
    seconds: float = 14_400.0
    decoding: float = 7_200.0
