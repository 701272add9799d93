"""Frames of a record: image files (JPEG) to arrays, at the size that the model asks for."""

from __future__ import annotations

import cv2
import numpy as np
import simplejpeg
from jaxtyping import UInt8

# 128 frames of 128 pixels as data_prep/video/jpeg.py codes them (4:4:4, quality 95, 6.6 kB each), ms of one core:
#   OpenCV 16.5; simplejpeg 11.9; the same with hardly an inverse transform, so Huffman decoding, 7.7
# Both are libjpeg-turbo and give the same bits; OpenCV's wheels go another way to it. Scaled decoding, which leaves out
# part of the inverse transform, takes 10.3, 9.1, 7.7 ms at 64, 32, 16 pixels, where decoding whole and averaging takes
# 12.6, 14.5, 14.6. It is not used: pixels change by up to 5 grey levels, and the POS trace of the frames' means has
# then a correlation of 0.996, 0.987, 0.974 with the exact one (lowest of 12 drawn clips at raw, c23, c40). What is
# faster by far is not to decode again: decoded_store.py.


def decode(data: bytes, out: UInt8[np.ndarray, "H W 3"] | None = None) -> UInt8[np.ndarray, "h w 3"] | None:
    """An image file -> RGB as OpenCV decodes it, to the bit; None for what is no image.

    Args:
      out: memory to decode into where the image is a JPEG file that fits; the result is then a view of it.
    """
    if b"Exif" not in data:  # may say that the image is to be turned, which OpenCV does
        try:
            return simplejpeg.decode_jpeg(data, buffer=out)
        except ValueError:  # another format, or damaged, or too large: OpenCV decides
            pass
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB) if data else None


def decode_into(data: bytes, place: UInt8[np.ndarray, "S S 3"], whole: int) -> UInt8[np.ndarray, "h w 3"] | None:
    """Decode into memory of S x S pixels, by area averages where the image is larger; returns the image as stored.

    Args:
      whole: pixels of the images' sides, as a rule: S of that size is decoded into directly.
    """
    image = decode(data, place if place.shape[0] == whole else None)
    if image is not None and not (image.shape == place.shape and np.may_share_memory(image, place)):
        place[...] = resized(image, place.shape[0])
    return image


def resized(image: np.ndarray, size: int) -> np.ndarray:
    """A square uint8 RGB image at another size in pixels; a smaller one is area averages."""
    if image.shape[0] == size:
        return image
    return cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA)
