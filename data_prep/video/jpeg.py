"""How frames are stored: as JPEG files, so that records are small, a frame decodes alone, and the pulse survives."""

from __future__ import annotations

import cv2
import numpy as np

# Correlation of the POS trace before and after coding, 128 frames (lowest of three drawn videos; two real clips of
# 1280x720 and 640x480), MB per clip, and ms to decode a frame on one core:
#
#   coding       drawn raw  drawn c23  real 1280  real 640   MB a clip   ms
#   q90 4:2:0       0.994      0.964      0.989     0.983    0.5 - 0.8  0.10
#   q95 4:2:0       0.994      0.980      0.993     0.992    0.7 - 1.0  0.10
#   q90 4:4:4       0.998      0.989      0.998     0.997    0.6 - 0.9  0.11
#   q95 4:4:4       0.998      0.995      0.999     0.999    0.8 - 1.3  0.12
#   q98 4:4:4       0.999      0.995      0.999     0.999    1.2 - 1.8  0.16
#   PNG             1          1          1         1        3.1 - 4.1  0.32
#
# Full chroma is what counts: the pulse is a change of colour. Beyond q95 bytes rise and the pulse gains nothing.
QUALITY = 95
_PARAMETERS = [
    cv2.IMWRITE_JPEG_QUALITY,
    QUALITY,
    cv2.IMWRITE_JPEG_SAMPLING_FACTOR,
    cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444,
]


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
    """A JPEG file -> (H, W, 3) uint8 RGB. Raises ValueError for what is no image."""
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB)
    if image is None:
        raise ValueError("not an image")
    return image
