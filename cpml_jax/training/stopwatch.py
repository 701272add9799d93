"""What a training step's time goes to, seen from the host: the step, waiting for data, and the device's share."""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import jax

IN_FLIGHT = 2  # steps that the device has not finished: one at work, and one whose batch waits for it


class Stopwatch:
    """Times the steps that were begun since the last lap. A thread sees when the device has finished each.

    It also keeps the host from running ahead: without it, all batches up to the next line of the journal would be
    copied to a device that is slower than the reader, and lie in its memory.

    Args:
      clock: seconds, that only grow.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._free = threading.Semaphore(IN_FLIGHT)
        self._begun: queue.Queue[tuple[float, Any] | None] = queue.Queue()
        self._finished = clock()  # when the device had nothing left to do
        self._watcher = threading.Thread(target=self._watch, name="stopwatch", daemon=True)
        self.restart()
        self._watcher.start()

    def __enter__(self) -> Stopwatch:
        return self

    def __exit__(self, *_: object) -> None:
        self._begun.put(None)

    def restart(self) -> None:
        """Begin an interval: what lies before counts for no step."""
        self._start, self._steps, self._waited, self._busy = self._clock(), 0, 0.0, 0.0

    @contextlib.contextmanager
    def waiting_for_data(self) -> Iterator[None]:
        start = self._clock()
        yield
        self._waited += self._clock() - start

    @contextlib.contextmanager
    def step(self) -> Iterator[Callable[[Any], None]]:
        """Around a batch's copy and its step, which is given to the yielded function: anything that it computes.

        Waits while IN_FLIGHT steps are unfinished.
        """
        self._free.acquire()
        start, outputs = self._clock(), []
        try:
            yield outputs.append
        except BaseException:
            self._free.release()
            raise
        self._steps += 1
        self._begun.put((start, outputs))

    def _watch(self) -> None:
        while (begun := self._begun.get()) is not None:
            start, outputs = begun
            # What fails on the device is raised where its results are read.
            with contextlib.suppress(Exception):
                jax.block_until_ready(outputs)
            now = self._clock()
            self._busy += now - max(start, self._finished)
            self._finished = now
            self._free.release()
            self._begun.task_done()

    def lap(self) -> dict[str, float]:
        """Of the steps begun since the last lap or restart, once they are finished; then restart.

        Returns:
          step_s: seconds a step took, from end to end; data_wait_s: seconds of it that the host waited for a batch;
          device_share: share of the time that the device had a step to do, its batch's copy included. Where the first
          step compiles, that counts as the device's.
        """
        self._begun.join()
        steps, elapsed = max(self._steps, 1), max(self._clock() - self._start, 1e-9)
        times = {
            "step_s": elapsed / steps,
            "data_wait_s": self._waited / steps,
            "device_share": min(self._busy / elapsed, 1.0),
        }
        self.restart()
        return times
