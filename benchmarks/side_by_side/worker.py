"""A process for each contestant, which works when it is told to: its memory is its own, and so is its turn."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from benchmarks.side_by_side import rows
from benchmarks.side_by_side.rows import OURS, Row
from cpml_jax.errors import UserError, one_line

WORK, MEMORY = "work", "memory"


class Worker:
    """The parent's end. built: seconds_to_build and, of ours, work_of its program.

    Raises:
      UserError: the contestant cannot be built, or its process died.
    """

    def __init__(self, row: Row, contestant: str, device: str, threads: int, clips: int) -> None:
        self.name = f"{row.name}, {contestant}"
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        arguments = (theirs, row, contestant, device, threads, clips)
        self._process = context.Process(target=serve, args=arguments, daemon=True)
        self._process.start()
        theirs.close()
        self.built: dict[str, Any] = self._answer()

    def work(self) -> tuple[float, float]:
        """Do the row's work once: seconds, and seconds of processor time of all its threads."""
        self._connection.send(WORK)
        return self._answer()

    def memory(self) -> int:
        """Bytes at most since it was built: of the process, or of the GPU."""
        self._connection.send(MEMORY)
        return self._answer()

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._connection.send(None)
        self._process.join(10)
        if self._process.is_alive():
            self._process.terminate()

    def _answer(self) -> Any:
        try:
            answer = self._connection.recv()
        except EOFError:
            self._process.join()
            status = self._process.exitcode
            raise UserError(
                f"{self.name}: its process ended with status {status}; if memory ran out, set --clips or leave the "
                "row out (--rows)"
            ) from None
        if isinstance(answer, Exception):
            raise UserError(f"{self.name}: {one_line(answer)}")
        return answer


def serve(connection: Connection, row: Row, contestant: str, device: str, threads: int, clips: int) -> None:
    """The child's end: builds, then answers until it is told None."""
    try:
        work, memory, built = prepare(row, contestant, device, threads, clips)
        connection.send(built)
        while (order := connection.recv()) is not None:
            if order == WORK:
                begun, used = time.perf_counter(), time.process_time()
                work()
                connection.send((time.perf_counter() - begun, time.process_time() - used))
            else:
                connection.send(memory())
    except (EOFError, BrokenPipeError, KeyboardInterrupt):  # the parent is gone
        pass
    except Exception as error:  # the parent says it
        connection.send(type(error)(*error.args) if isinstance(error, UserError) else RuntimeError(one_line(error)))


def prepare(
    row: Row, contestant: str, device: str, threads: int, clips: int
) -> tuple[Callable[[], Any], Callable[[], int], dict[str, Any]]:
    """(work, peak memory, what is known of how it was built)."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
    environment(contestant, device, threads)
    config, begun = rows.configuration(row, device, clips), time.perf_counter()
    known: dict[str, Any] = {}
    if contestant == OURS:
        from benchmarks.side_by_side import ours as side

        work, known = side.build(row, config)
    else:
        from benchmarks.side_by_side import theirs as side

        work = side.build(row, config, contestant, device, threads)
    known |= {"seconds_to_build": time.perf_counter() - begun}
    if device == "gpu":
        return work, side.peak_memory, known
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")  # the peak from here on, without the compiler's
    return work, peak_memory, known


def environment(contestant: str, device: str, threads: int) -> None:
    """Before JAX or torch starts."""
    if contestant == OURS:
        os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"  # that a compilation is slow is in the table
        os.environ["JAX_PLATFORMS"] = "cuda,cpu" if device == "gpu" else "cpu"
        os.environ["XLA_PYTHON_CLIENT_PREALLOCATE"] = "false"  # two processes share the card
        if device == "cpu" and threads == 1:
            given = os.environ.get("XLA_FLAGS", "")
            os.environ["XLA_FLAGS"] = f"{given} --xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
    else:
        os.environ["OMP_NUM_THREADS"] = str(threads)


def peak_memory() -> int:
    """Bytes of this process at most, as the system counts them."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return 1024 * int(line.split()[1])
    raise UserError("the peak memory of a process is read from /proc/self/status, which this system has not")
