"""The process that decodes and scores (process.py), from the server's side: started, asked, stopped, started again.

A process and no thread: the server goes on answering while Python's lock is held for seconds (loading, compiling), and
a decoder that crashes takes one video with it, and nothing else. Starting another takes some seconds.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import signal
import threading
import time
from collections.abc import Callable
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from cpml_jax.errors import UserError
from cpml_jax.serve import process
from cpml_jax.serve.process import Load, Task

POLL = 0.1  # s
SILENCE = 900.0  # s without a word, which neither compiling nor a decoder needs, after which it counts as hung
PATIENCE = 5.0  # s in which it may stop what is cancelled by itself; killing it costs the model's loading


class Worker:
    """At most one process, and one video at a time. All methods block: they are for a thread of their own.

    Args:
      load: makes the detector, in the process; can be pickled.
      folder, seconds: as process.main's.
    """

    def __init__(self, load: Load, folder: Path, seconds: float) -> None:
        self._arguments = (load, folder, seconds)
        self._process: BaseProcess | None = None
        self._pipe: Connection | None = None
        self._lock = threading.Lock()  # between `start`, which may run for a while, and `stop`
        self._stopped = False

    def start(self) -> None:
        """Start the process, if there is none, and wait until its model is loaded.

        Raises:
          UserError: it cannot be loaded, or `stop` came before.
        """
        with self._lock:
            if self._stopped:
                raise UserError("the server is being stopped")
            if self._process is not None and self._process.is_alive():
                return
            context = multiprocessing.get_context("spawn")  # forked threads of the server would hold its locks
            self._pipe, theirs = context.Pipe()
            self._process = context.Process(
                target=process.main, args=(theirs, *self._arguments), name="scores videos", daemon=True
            )
            resource_tracker.ensure_running()  # which would let Ctrl-C through again, started in between
            before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # of a terminal: not for this process
            self._process.start()
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
            theirs.close()  # else its end would not be heard
        kind, said = self._hear(threading.Event(), lambda *_: None)
        if kind != "ready":
            self._end()
            raise UserError(said if kind == "refused" else "the process that scores ended while it loaded the model")

    def score(self, task: Task, report: Callable[[str, int, int], None], cancelled: threading.Event) -> tuple[str, Any]:
        """One video.

        Args:
          report: gets (state, done, total).
          cancelled: set by whoever no longer wants it.

        Returns:
          ("done", process.summary), ("failed", sentence) or ("cancelled", None).
        """
        try:
            self.start()
            assert self._pipe is not None
            self._pipe.send(task)
        except UserError as error:
            return "failed", f"the model cannot be loaded again: {error}"
        except OSError:
            return "failed", self._died()
        return self._hear(cancelled, report)

    def _hear(self, cancelled: threading.Event, report: Callable[[str, int, int], None]) -> tuple[str, Any]:
        """What the process says last of what it is at."""
        pipe, heard, asked = self._pipe, time.monotonic(), 0.0
        assert pipe is not None
        while True:
            now = time.monotonic()
            try:
                if pipe.poll(POLL):
                    kind, said = pipe.recv()
                    if kind != "progress":
                        return kind, said
                    heard = now
                    report(*said)
                if cancelled.is_set() and not asked:
                    asked = now
                    pipe.send(None)
            except (EOFError, OSError):
                return "failed", self._died()
            if asked and now - asked > PATIENCE:
                self._end()
                return "cancelled", None
            if now - heard > SILENCE:
                self._end()
                return "failed", f"nothing was heard of it for {SILENCE / 60:.0f} minutes, and it was given up"

    def _died(self) -> str:
        """Why the process is gone."""
        assert self._process is not None
        self._process.join(PATIENCE)
        code = self._process.exitcode
        self._end()
        how = "ended"
        if code is not None and code < 0:
            with contextlib.suppress(ValueError):
                how = f"was ended by {signal.Signals(-code).name}"
        return (
            f"the process that decodes and scores {how}, most likely because of this video; it was started anew for "
            "the others"
        )

    def _end(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.join()
        if self._pipe is not None:
            self._pipe.close()
        self._process = self._pipe = None

    def stop(self) -> None:
        """End the process, whatever it is at, for good."""
        with self._lock:
            self._stopped, process = True, self._process
        if process is not None:
            process.kill()
            process.join()
