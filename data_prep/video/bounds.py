"""Refuses a video that is more than the limits allow: by what it says of itself, and frame by frame."""

from __future__ import annotations

from av.video.stream import VideoStream

from cpml_jax.errors import UserError
from cpml_jax.limits import DEEPEST, Limits


def check_gif(path: str, limits: Limits) -> None:
    """check_pixels of a GIF, whose size FFmpeg does not tell where its decoder refuses it."""
    with open(path, "rb") as file:
        head = file.read(10)
    if head.startswith(b"GIF8") and len(head) == 10:
        check_pixels(int.from_bytes(head[6:8], "little"), int.from_bytes(head[8:10], "little"), limits)


def check_header(stream: VideoStream, limits: Limits) -> None:
    """Raises UserError where a file says that it is more than the limits allow. Its length is not believed: one wrong
    time stamp makes it hours."""
    context = stream.codec_context
    check_pixels(context.width, context.height, limits)
    kind = context.format  # None: not known before a frame is decoded
    if kind is not None and context.width * context.height * kind.padded_bits_per_pixel > 8 * DEEPEST * limits.pixels:
        size = context.width * context.height * kind.padded_bits_per_pixel / 8e6
        raise UserError(
            f"its frames ({context.width}x{context.height} in {kind.name}) take {size:.0f} MB each; data.limits.pixels "
            f"allows {DEEPEST * limits.pixels / 1e6:.0f} MB"
        )
    if stream.frames > limits.frames:
        raise UserError(f"it has {stream.frames} frames; data.limits.frames allows {limits.frames}")


def check_pixels(width: int, height: int, limits: Limits) -> None:
    """Raises UserError for frames that are larger than the limits allow."""
    if width * height > limits.pixels:
        raise UserError(
            f"its frames have {width}x{height} pixels; data.limits.pixels allows {limits.pixels}: make a smaller copy, "
            "or set that higher"
        )
