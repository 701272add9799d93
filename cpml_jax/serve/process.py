"""What runs in the process that decodes and scores: one video at a time, told over a pipe (worker.py)."""

from __future__ import annotations

import contextlib
import dataclasses
import multiprocessing
import os
import shutil
import signal
import threading
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from absl import logging

from cpml_jax.errors import UserError, printable
from cpml_jax.serve.settings import duration_text

if TYPE_CHECKING:  # the packages that read videos, and the model's
    from cpml_jax.prediction.detector import Detector

EVERY = 0.2  # s between two reports
Load = Callable[[], "Detector"]


@dataclasses.dataclass(frozen=True)
class Task:
    """One video to score. name: what answer and page call it; answer, page: files to write."""

    video: Path
    name: str
    answer: Path
    page: Path


class Cancelled(Exception):
    """The one that asked no longer wants the answer."""


def main(pipe: Connection, load: Load, folder: Path, seconds: float) -> None:
    """Score what comes through the pipe until it closes.

    Sends ("ready", None) or ("refused", sentence) once; for each Task ("progress", (state, done, total)) and, last,
    ("done", result), ("failed", sentence) or ("cancelled", None). Anything but a Task cancels the one before.

    Args:
      folder: with all uploads and results: deleted where the server was killed and could not do it.
      seconds: of a video, at most.
    """
    for number in (signal.SIGINT, signal.SIGHUP):  # a terminal's go to every process: the server ends this one
        signal.signal(number, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, args=(folder,), daemon=True, name="end with parent").start()
    logging.set_verbosity(logging.ERROR)
    with contextlib.suppress(BrokenPipeError, ConnectionResetError, EOFError):  # the server is gone
        try:
            detector = load()
        except UserError as error:
            pipe.send(("refused", str(error)))
            return
        detector.warm_up()
        pipe.send(("ready", None))
        while True:
            task = pipe.recv()
            if isinstance(task, Task):
                pipe.send(answer(detector, task, Watch(pipe, seconds)))


class Watch:
    """What the detector calls as it goes: reports, and ends what is cancelled or too long."""

    def __init__(self, pipe: Connection, seconds: float) -> None:
        self._pipe, self._seconds, self._last, self._state = pipe, seconds, 0.0, ""

    def __call__(self, state: str, done: int, total: int) -> None:
        """done, total: frames (faces) or windows (scoring).

        Raises:
          Cancelled, UserError.
        """
        from cpml_jax.schema import FRAME_RATE

        if self._pipe.poll():
            self._pipe.recv()
            raise Cancelled
        if state == "faces" and done > self._seconds * FRAME_RATE:  # counted: no header is believed
            raise UserError(f"it is longer than {duration_text(self._seconds)}, the most that is taken here; cut it")
        now = time.monotonic()
        if state != self._state or now - self._last > EVERY:
            self._last, self._state = now, state
            self._pipe.send(("progress", (state, done, total)))


def answer(detector: Detector, task: Task, watch: Callable[[str, int, int], None]) -> tuple[str, Any]:
    """One video's result, its answer and page written; or why there is none, and an answer that says so."""
    from cpml_jax.files import write_json

    try:
        whole, evidence = detector.answer(str(task.video), evidence=True, progress=watch)
        whole["video"] = task.name
        write_json(task.answer, whole)
        from cpml_jax.report import video_page

        video_page.write(task.page, [whole], [evidence], window_s=detector.window_s)
        return "done", summary(whole)
    except Cancelled:
        return "cancelled", None
    except UserError as error:
        said = str(error)
    except Exception as error:  # decoders raise what they like: one file's oddity must not end the others
        logging.debug("%s", task.video, exc_info=True)
        said = f"{type(error).__name__}: {' '.join(str(error).split())}"
    said = printable(said.replace(str(task.video), task.name))
    with contextlib.suppress(OSError):
        write_json(task.answer, {"video": task.name, "error": said})
    return "failed", said


def summary(whole: dict[str, Any]) -> dict[str, Any]:
    """What the list of videos shows of an answer."""
    from cpml_jax.prediction.result import plain
    from cpml_jax.report import verdict

    return {
        **{key: whole[key] for key in ("label", "leaning", "score")},
        "threshold": whole["threshold"]["value"],
        "windows": len(whole["windows"]),
        "faces": len(whole["faces"]),
        "sentences": [plain(said(whole)) for said in (verdict.called, verdict.distance, verdict.guarantee)],
    }


def _end_with_parent(folder: Path) -> None:
    """The server may be killed: nobody's video stays behind, and no process."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        shutil.rmtree(folder, ignore_errors=True)
        os._exit(1)
