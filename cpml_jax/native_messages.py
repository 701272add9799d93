"""What C++ prints on standard error: passed on, except JAX's abort of a process whose peer has died.

JAX offers a callback in place of that abort, but no Python function can be one (jaxlib 0.10.2: std::bad_cast), and a
stack trace of some library's threads hides what has happened. So descriptor 2 becomes a pipe that a thread reads.
Python's sys.stderr goes past it.
"""

from __future__ import annotations

import ctypes
import faulthandler
import os
import re
import signal
import sys
import threading
from collections.abc import Callable
from typing import BinaryIO

_FATAL = b"Terminating process because the JAX distributed service detected fatal errors"
_TRACE = b"*** Check failure stack trace"
# Before an abort, the coordination service says the same in its own words.
_KNOWN = re.compile(rb"coordination_service(_agent)?\.cc")


def watch(on_fatal: Callable[[str], None]) -> None:
    """From now on. Of an abort by JAX's coordination service, `on_fatal` gets the text, and is to end the process.

    If it does not, because the process is ending anyway, nothing more is passed on.
    """
    sys.stderr.flush()
    real = os.dup(2)
    sys.stderr = os.fdopen(os.dup(2), "w", buffering=1, errors="backslashreplace")
    faulthandler.enable(sys.stderr)  # a crash tells of itself when no thread runs any more
    reading, writing = os.pipe()
    os.dup2(writing, 2)
    os.close(writing)
    _hold_aborts()
    threading.Thread(
        target=_pass_on, args=(os.fdopen(reading, "rb"), real, on_fatal), daemon=True, name="messages of C++"
    ).start()


def _hold_aborts() -> None:
    """A thread that aborts sleeps first, so that the one that reads its message gets to it.

    The handler is C's own sleep: it is called with the signal's number, which is 6 s, and needs no interpreter.
    """
    libc = ctypes.CDLL(None)
    libc.signal.argtypes, libc.signal.restype = (ctypes.c_int, ctypes.c_void_p), ctypes.c_void_p
    libc.signal(int(signal.SIGABRT), ctypes.cast(libc.sleep, ctypes.c_void_p))


def _pass_on(messages: BinaryIO, real: int, on_fatal: Callable[[str], None]) -> None:
    fatal: list[bytes] = []
    for line in messages:
        if fatal and line.startswith(_TRACE):
            on_fatal(b"".join(fatal).decode(errors="replace"))
        elif fatal or _FATAL in line:
            fatal.append(line)
        elif not _KNOWN.search(line):
            os.write(real, line)
