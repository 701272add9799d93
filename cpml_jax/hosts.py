"""Several hosts: how the processes of a run join, and how all of them end when one does.

What goes wrong on one host ends the others, each with one line and status AGAIN. Three ways lead there:

- A collective fails in Python. Over TCP (gloo, on CPUs) that is at once; GPUs and TPUs may wait for ever instead.
- JAX's coordination service misses a host's signs of life, or the coordinator itself is gone. JAX then aborts in C++,
  with a stack trace; native_messages.py makes a line of it.
- This process fails. It does not wait for the others to end (as Python's exit, with JAX joined, would).
"""

from __future__ import annotations

import os
import re
import socket
import sys
import threading
import time
from typing import NoReturn

from cpml_jax import lock, native_messages
from cpml_jax.errors import UserError, one_line

AGAIN = 75  # EX_TEMPFAIL of sysexits.h: nothing is wrong with the command, start it again
JOIN = 300  # s to wait for all processes at the start
FINISH = 3600  # s that those which are done wait for the last one, which may be drawing the report
BOTH = 2.0  # s in which a mistake that all hosts make alike ends each of them with its own line
KEPT = "start the same command again, on as many hosts or fewer: what was finished is kept"
# What JAX, its collectives and its barriers say of a peer that is not there.
_OF_A_PEER = re.compile(
    r"gloo|nccl|connection (?:closed|reset|refused)|broken pipe|socket closed|barrier|heartbeat|coordination service",
    re.IGNORECASE,
)

_joined = False
_timeout = 0  # join's
_ending = threading.Lock()


def join(coordinator: str, processes: int, process: int, timeout: int) -> None:
    """Join the other processes of the run, before anything asks JAX for its devices.

    Args:
      coordinator: host:port of process 0, or auto: JAX asks TPU, SLURM, Kubernetes or Open MPI for all three.
      processes, process: how many, and which this one is.
      timeout: s without a sign of life after which a process counts as dead.

    Raises:
      UserError: they cannot be joined so.
    """
    global _joined, _timeout
    _timeout = timeout
    address = (None, None, None) if coordinator == "auto" else _address(coordinator, processes, process)
    native_messages.watch(lambda said: _fatal(said, coordinator))
    import jax

    # Its service keeps SIGTERM from ending a process.
    jax.config.update("jax_enable_preemption_service", False)
    try:
        jax.distributed.initialize(
            *address,
            initialization_timeout=JOIN,
            heartbeat_timeout_seconds=timeout,
            shutdown_timeout_seconds=FINISH,
        )
    except (ValueError, RuntimeError, OSError) as error:
        told = " (no TPU slice, SLURM, Kubernetes or Open MPI job is known here)" if coordinator == "auto" else ""
        raise UserError(f"--coordinator={coordinator}: the hosts cannot be joined: {one_line(error)}{told}") from None
    _joined = True


def _address(coordinator: str, processes: int, process: int) -> tuple[str, int, int]:
    """jax.distributed.initialize's arguments. Raises UserError where they cannot be."""
    host, _, port = coordinator.rpartition(":")
    if not host or not (port.isascii() and port.isdigit() and 0 < int(port) < 65536):
        raise UserError(f"--coordinator={coordinator}: give host:port of process 0, as 10.0.0.1:8476, or auto")
    if processes < 1 or not 0 <= process < processes:
        raise UserError(
            f"--coordinator={coordinator} needs --processes=N and, from 0 to N-1, --process=I; they are "
            f"{processes} and {process}"
        )
    if process == 0:
        _check_free(coordinator, int(port))
    return coordinator, processes, process


def _check_free(coordinator: str, port: int) -> None:
    """Raise UserError where another process has the port: JAX's service would crash."""
    with socket.socket(socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("", port))
        except OSError as error:
            raise UserError(
                f"--coordinator={coordinator}: port {port} cannot be opened here ({os.strerror(error.errno or 0)}); "
                "take another, the same on all hosts"
            ) from None


def joined() -> bool:
    """Whether this process has joined others."""
    return _joined


def check_shared(folder: str | os.PathLike[str], seen: bool) -> None:
    """Raise UserError, on every process, unless each of them has `seen` the folder that all are to share."""
    import jax
    import numpy as np
    from jax.experimental import multihost_utils

    answers = np.asarray(multihost_utils.process_allgather(np.int32(seen))).reshape(jax.process_count())
    if not answers.all():
        blind = ", ".join(str(process) for process in np.flatnonzero(answers == 0))
        raise UserError(f"{folder}: process {blind} does not see process 0's files there; all hosts must share it")


def agreed(value: int | None) -> int | None:
    """Process 0's value, on every process: a number >= 0, or None."""
    if not _joined:
        return value
    import numpy as np
    from jax.experimental import multihost_utils

    told = int(multihost_utils.broadcast_one_to_all(np.int32(-1 if value is None else value)))
    return None if told < 0 else told


def of_a_peer(error: BaseException) -> str | None:
    """What an exception says of a host that has gone, in one line; None if it is about something else."""
    if not _joined:
        return None
    import jax

    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, (jax.errors.JaxRuntimeError, TimeoutError)) and _OF_A_PEER.search(str(seen)):
            return _line(str(seen))
        seen = seen.__cause__ or seen.__context__
    return None


def _line(text: str) -> str:
    """JAX's words about a peer as one line."""
    silent = re.findall(r"task (\d+) heartbeat timeout", text, re.IGNORECASE)
    silent += re.findall(r"\d+", "".join(re.findall(r"stopped sending heartbeats\):((?:\s+\d+)+)\s", text)))
    if silent:
        which = ", ".join(sorted(set(silent), key=int))
        return f"process {which} has given no sign of life for {_timeout} s, and its output may say why; {KEPT}"
    return f"another process of this run has stopped, and its output says why; {KEPT}"


def _fatal(text: str, coordinator: str) -> None:
    """JAX aborts: a line in place of its stack trace. Called by the thread that reads what C++ prints."""
    line = _line(text)
    if not _joined:
        line = (
            f"--coordinator={coordinator}: not all processes have joined within {JOIN} s; start as many as --processes "
            "says, and let all of them reach that address"
        )
    if _ending.acquire(blocking=False):  # else the main thread has said it
        print(f"\nerror: {line}", file=sys.stderr, flush=True)  # a progress bar has no end of line
        _exit(AGAIN)


def end(status: int) -> NoReturn:
    """End this process now; the others notice. What was to be said has been said."""
    _ending.acquire(blocking=False)
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            pass
    import jax

    if status != AGAIN and jax.distributed.is_initialized() and jax.process_index() == 0:
        time.sleep(BOTH)  # without the coordinator, the others' own lines would be lost
    _exit(status)


def _exit(status: int) -> NoReturn:
    lock.abandon()
    os._exit(status)  # Python's own exit would wait for the other processes, and the main thread may hang in C++
