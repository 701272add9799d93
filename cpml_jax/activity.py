"""What a run is at, for the line that stands before the traceback of a bug."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

_ATTRIBUTE = "cpml_jax_activity"


@contextlib.contextmanager
def doing(what: str) -> Iterator[None]:
    """An exception that leaves the block remembers what was being done; the innermost block counts.

    what: with the file or folder, as "training in runs/a".
    """
    try:
        yield
    except Exception as error:
        with contextlib.suppress(AttributeError):  # an exception with __slots__
            if not hasattr(error, _ATTRIBUTE):
                setattr(error, _ATTRIBUTE, what)
        raise


def of(error: BaseException) -> str:
    """What was being done when an exception was raised; "" where no block says."""
    return getattr(error, _ATTRIBUTE, "")
