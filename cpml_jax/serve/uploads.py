"""A stranger's bytes on their way to the disk: counted, never held, and gone if they are too many or stop coming."""

from __future__ import annotations

import asyncio
import errno
import os
import shutil
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from cpml_jax.serve.refusal import Refused
from cpml_jax.serve.settings import Settings, size_text

BLOCK = 1 << 20  # bytes that are written at once
RESERVE = 10**9  # bytes of the disk that uploads leave to others
GRACE = 60.0  # s that an upload may stand still,
SLOWEST = 10_000  # and bytes/s that it has to bring on the whole beyond that: a place in the queue is held for it


def check_size(declared: str | None, settings: Settings, folder: Path) -> int:
    """The size that a request says its body has, before any of it is read; 0 where it does not say.

    Raises:
      Refused: it is too large, empty or no number, or the disk has no room for it.
    """
    if declared is None:
        return 0
    if not (declared.isascii() and declared.isdigit()):
        raise Refused(400, "The request's Content-Length is no number.")
    size = int(declared[:20])
    if size > settings.bytes:
        raise too_large(settings, f"This one has {size_text(size)}. ")
    if size == 0:
        raise Refused(400, "The file is empty (0 bytes).")
    check_room(folder, size)
    return size


def too_large(settings: Settings, this: str = "") -> Refused:
    return Refused(
        413, f"A video may have at most {size_text(settings.bytes)} here. {this}Cut it, or make it smaller first."
    )


def check_room(folder: Path, size: int) -> None:
    """Raises Refused: `size` more bytes would fill the disk."""
    if shutil.disk_usage(folder).free < size + RESERVE:
        raise no_room()


def no_room() -> Refused:
    return Refused(507, "The server's disk has no room for this video. Remove results that you no longer need.")


async def receive(chunks: AsyncIterator[bytes], path: Path, settings: Settings, told: Callable[[int], None]) -> int:
    """Write a request's body to a new file that is this user's alone.

    Args:
      told: gets the number of bytes that have come, as they come.

    Returns:
      Bytes.

    Raises:
      Refused: too many, too slowly, none, or no room for them. Whoever calls deletes the file, whatever happens.
    """
    count, waiting = 0, bytearray()
    begun = asyncio.get_running_loop().time()
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "wb", buffering=0) as file:
        try:
            while True:
                try:
                    async with asyncio.timeout_at(begun + GRACE + count / SLOWEST):
                        chunk = await anext(chunks, None)
                except TimeoutError:
                    raise Refused(408, "The upload stood still or was too slow, and was given up.") from None
                waiting += chunk or b""
                count += len(chunk or b"")
                told(count)
                if count > settings.bytes:
                    raise too_large(settings)
                if len(waiting) >= BLOCK or (chunk is None and waiting):
                    check_room(path.parent, len(waiting))
                    await asyncio.to_thread(_write, file.fileno(), bytes(waiting))
                    waiting.clear()
                if chunk is None:
                    break
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
                raise no_room() from None
            raise
    if not count:
        raise Refused(400, "The file is empty (0 bytes).")
    return count


def _write(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
