"""What goes wrong on the way to the disk, as one line for the user."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator

from cpml_jax.errors import UserError

_ADVICE = {
    errno.ENOSPC: "make room",
    errno.EDQUOT: "make room in your quota",
    errno.EFBIG: "this file system or account limits the size of files",
    errno.EROFS: "choose another folder",
    errno.EACCES: "choose another folder, or give yourself the right to write there",
    errno.EPERM: "choose another folder, or give yourself the right to write there",
    errno.ENOTDIR: "a part of that path is a file: choose another folder",
    errno.EEXIST: "that path is a file: choose another folder",
    errno.ENAMETOOLONG: "choose a shorter path",
}


@contextlib.contextmanager
def writing(directory: str | os.PathLike[str], kept: str = "finished videos are kept") -> Iterator[None]:
    """A disk that is full, or may not be written to, ends the block with a UserError that says so, and what is `kept`.

    ArrayRecord's writer raises RuntimeErrors with the system's message in the middle, and so do tensorstore's, which
    are ValueErrors, too: they count as well.
    """
    try:
        yield
    except (OSError, RuntimeError, ValueError) as error:
        number = _number(error)
        if number is None:
            raise
        raise UserError(
            f"{directory}: cannot be written ({os.strerror(number)}); {_ADVICE[number]} and start the same command "
            f"again: {kept}"
        ) from None


# Of these, any file at all: nothing but the disk is to blame.
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)


def refusal(error: BaseException) -> str | None:
    """One line for what a disk did to a run, standard output included; None for any other exception."""
    if not isinstance(error, (OSError, RuntimeError, ValueError)):
        return None
    number, name = _number(error), getattr(error, "filename", None)
    if isinstance(error, BrokenPipeError):
        return "standard output: its reader has ended; what was to be read there is not complete"
    if number is None or (number not in _FULL and name is None):
        return None
    where = "standard output, or a file of the run" if name is None else os.fsdecode(name)
    return (
        f"{where}: cannot be written ({os.strerror(number)}); {_ADVICE[number]} and start the same command again: "
        "whatever was finished is kept"
    )


def _number(error: Exception) -> int | None:
    if isinstance(error, OSError):
        return error.errno if error.errno in _ADVICE else None
    return next((number for number in _ADVICE if os.strerror(number) in str(error)), None)
