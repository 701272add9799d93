"""A Ctrl-C that a library turns into an error of its own, or that Python has to drop, still ends the command.

Orbax's event loop, interrupted at the wrong moment, says that a checkpoint has no handler; in a callback of the garbage
collector or of a weak reference Python prints the KeyboardInterrupt and goes on.
"""

from __future__ import annotations

import signal
import sys
import threading
from types import FrameType
from typing import Any

DELAY_S = 0.05
_heard = False


def watch() -> None:
    """From now on a Ctrl-C is noted, and raised anew where it was dropped. Not where somebody else handles it."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _note)
        sys.unraisablehook = _raise_again


def heard() -> bool:
    """Whether there was one: an error after it is its consequence."""
    return _heard


def _note(number: int, frame: FrameType | None) -> None:
    global _heard
    _heard = True
    signal.default_int_handler(number, frame)


def _raise_again(dropped: Any) -> None:
    if issubclass(dropped.exc_type, KeyboardInterrupt):
        # At once would be inside the callback still. A signal, since the main thread may be sleeping.
        again = threading.Timer(DELAY_S, signal.pthread_kill, (threading.main_thread().ident, signal.SIGINT))
        again.daemon = True
        again.start()
    else:
        sys.__unraisablehook__(dropped)
