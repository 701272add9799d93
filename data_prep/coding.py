"""How frames are stored: JPEG, so that a record is small and one frame decodes alone, and the pulse survives."""

from __future__ import annotations

import cv2
import numpy as np

# @@JPEG@@
QUALITY = 95
_PARAMETERS = [
    cv2.IMWRITE_JPEG_QUALITY, QUALITY,
    cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444,
]  # fmt: skip


def encode(frames: np.ndarray) -> list[bytes]:
    """(T, H, W, 3) uint8 RGB -> T JPEG files."""
    coded = []
    for frame in frames:
        done, data = cv2.imencode(".jpg", cv2.cvtColor(frame, cv2.COLOR_RGB2BGR), _PARAMETERS)
        if not done:
            raise RuntimeError("OpenCV could not encode a frame as JPEG")
        coded.append(data.tobytes())
    return coded


def decode(data: bytes) -> np.ndarray:
    """A JPEG file -> (H, W, 3) uint8 RGB."""
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB)
