"""Processes that read videos: none outlives the one that started it, and Ctrl-C is no traceback of each."""

from __future__ import annotations

import contextlib
import math
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from multiprocessing import resource_tracker
from pathlib import Path

import cv2

from cpml_jax import cores

PATIENCE = 5.0  # s
WORKER_MEMORY = 1.5e9  # bytes a process may need at 1920x1080
BLAS_THREADS = "OPENBLAS_NUM_THREADS"


def worker_count(workers: int) -> int:
    """Processes: as many as asked for, or one per core that this process may use; never more than fit into memory."""
    limit = available_memory() // WORKER_MEMORY
    return int(max(1, min(workers or cores.available(), limit)))


def available_memory() -> float:
    """Bytes that the machine could give now; infinite where it does not tell (no /proc)."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return math.inf
    return next((1024.0 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable:")), math.inf)


def fork_server(preloaded: Sequence[str]) -> multiprocessing.context.BaseContext:
    """Starts processes from one that has imported the networks' packages and has no threads.

    OpenCV's threads, and JAX's, do not survive a fork of this process. Spawned ones would import all of it
    anew, each, for every source and every pass: the 80 clips of the drawn domain B took 22 s, and take 12.

    Args:
      preloaded: modules to import there; missing packages are left to the job that needs them. The first call's count.
    """
    context = multiprocessing.get_context(
        "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
    )
    context.set_forkserver_preload(list(preloaded))
    return context


def start_worker() -> None:
    """The initializer of a process."""
    cv2.setNumThreads(1)
    heard = signal.getsignal(signal.SIGINT) != signal.SIG_IGN  # by the first process, too: not in a job with nohup
    main_thread = threading.current_thread() is threading.main_thread()
    if heard and main_thread and multiprocessing.parent_process() is not None:
        # A terminal's Ctrl-C goes to every process: the one that started this one says what there is to say, and ends
        # it. Were it gone at once, that one might hear of a broken pool before it hears of Ctrl-C.
        signal.signal(signal.SIGINT, lambda *_: (time.sleep(PATIENCE), os._exit(130)))
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    threading.Thread(target=_end_with_parent, daemon=True, name="end with parent").start()


def _end_with_parent() -> None:
    """Ends this process when the one that started it is gone: killed, it can tell nobody, and its processes would wait
    for their next job for ever, each with its networks in memory."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


@contextlib.contextmanager
def starting() -> Iterator[None]:
    """Processes that the block starts hear of no Ctrl-C before `start_worker`; this one hears of it at the end. They
    compute with one thread of BLAS each."""
    resource_tracker.ensure_running()  # which would let Ctrl-C through again, started in the block
    # A thread but the main one hears of none anyway.
    heard = {signal.SIGINT} if threading.current_thread() is threading.main_thread() else set()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, heard)
    try:
        with one_blas_thread():
            yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextlib.contextmanager
def one_blas_thread() -> Iterator[None]:
    """In the environment of what the block starts, unless the user has set it.

    OpenBLAS's threads wait for each other without sleeping. Two processes that solved 126 equations 2,000 times, on two
    cores and Linux 6.18, took 1.3 s with one thread each; with two each, one of them had not ended after 30 s, in three
    tries of three, and for minutes others got no time on its core.
    """
    asked = BLAS_THREADS in os.environ
    if not asked:
        os.environ[BLAS_THREADS] = "1"
    try:
        yield
    finally:
        if not asked:
            os.environ.pop(BLAS_THREADS, None)


def end_workers() -> None:
    """End the processes that this one started, whatever they are at: their files are whole or not there."""
    for process in multiprocessing.active_children():
        process.terminate()
