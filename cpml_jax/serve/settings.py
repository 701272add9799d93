"""What a server takes and where it listens."""

from __future__ import annotations

import dataclasses
import math

from cpml_jax.errors import UserError

LOCAL = "127.0.0.1"
PORT = 8765
KEPT = 100  # finished videos whose results stay; the one that finished first goes when there is another


@dataclasses.dataclass(frozen=True)
class Settings:
    """Of one server.

    Attributes:
      host: to listen at; "": LOCAL, without a token. Whoever names one gets a token.
      port: 0: any that is free.
      megabytes: of an upload, at most (10^6 bytes).
      seconds: of a video, at most.
      videos: that are uploaded, wait or are scored at the same time.
    """

    host: str = ""
    port: int = PORT
    megabytes: int = 1000
    seconds: float = 600.0
    videos: int = 20

    def __post_init__(self) -> None:
        if not 0 <= self.port < 65536:
            raise UserError(f"--port={self.port}: a port is a number from 1 to 65535, or 0 for any that is free")
        for name, value in (("megabytes", self.megabytes), ("seconds", self.seconds), ("videos", self.videos)):
            if not (value > 0 and math.isfinite(value)):
                raise UserError(f"--max_{name}={value}: it has to be more than 0")

    @property
    def bytes(self) -> int:
        """The largest upload."""
        return self.megabytes * 10**6


def size_text(count: int) -> str:
    """Bytes for a reader: 3.2 MB, 10 GB."""
    for unit, factor in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if count >= factor:
            return f"{count / factor:.3g} {unit}"
    return f"{count} bytes"


def duration_text(seconds: float) -> str:
    """Seconds for a reader: 10 minutes, 90 seconds."""
    if seconds >= 120 and seconds % 60 == 0:
        return f"{seconds / 60:g} minutes"
    return f"{seconds:g} seconds"
