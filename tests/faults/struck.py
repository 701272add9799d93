"""The real command in a process that counts its events and is struck at one: python struck.py FILE -- ARGUMENTS.

An event is a module imported, or a file or folder opened, made, moved or removed, as Python's audit hooks tell
(PEP 578). FILE is JSON: log: where the events' times go, s, none if empty; signal: to send at event number `event`
(from 0) and `after` s more, 0: none; group: to all processes, as a terminal's Ctrl-C; file_size: bytes that a
file may have, 0: any. So the moment is the same however busy the machine is.
"""

import json
import os
import signal
import sys
import threading
import time
from pathlib import Path

EVENTS = {"import", "open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.listdir", "os.scandir"}


def install(plan: dict) -> None:
    start, count, times = time.monotonic(), 0, []

    def strike() -> None:
        (os.killpg if plan["group"] else os.kill)(0 if plan["group"] else os.getpid(), plan["signal"])

    def hook(event: str, _: tuple) -> None:
        nonlocal count
        if event not in EVENTS or os.getpid() != ours:
            return
        here, count = count, count + 1
        if plan["log"]:
            times.append(time.monotonic() - start)
        if plan["signal"] and here == plan["event"]:
            if plan["after"] > 0:
                timer = threading.Timer(plan["after"], strike)
                timer.daemon = True
                timer.start()
            else:
                strike()

    def write() -> None:
        plan_log, plan["log"] = plan["log"], ""
        Path(plan_log).write_text(json.dumps(times + [time.monotonic() - start]))

    ours = os.getpid()
    if plan["log"]:
        import atexit

        atexit.register(write)
    sys.addaudithook(hook)


def run(plan: dict, arguments: list[str]) -> None:
    """The command with `arguments` to its end."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job's shell may have it ignored
    root = Path(__file__).resolve().parents[2]
    sys.path[0] = str(root)
    sys.argv = [str(root / "main.py"), *arguments]
    if plan["file_size"]:
        import resource

        resource.setrlimit(resource.RLIMIT_FSIZE, (plan["file_size"],) * 2)
    install(plan)
    # As main.py does; where nothing was imported before, the first moments fall into this.
    from cpml_jax.cli import run

    run()


if __name__ == "__main__":  # not in the processes that this one starts
    run(json.loads(Path(sys.argv[1]).read_text()), sys.argv[3:])
