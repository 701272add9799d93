"""Videos of one session, from upload to result: who is next, what is done, what is kept."""

from __future__ import annotations

import asyncio
import dataclasses
import enum
import itertools
import secrets
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cpml_jax.serve.refusal import Refused
from cpml_jax.serve.settings import KEPT, Settings


class State(enum.StrEnum):
    """Of a video, in the order in which it passes them; failed is the other end."""

    UPLOADING = "uploading"
    WAITING = "waiting"
    FACES = "faces"  # looking for them
    SCORING = "scoring"
    DONE = "done"
    FAILED = "failed"


FINISHED = (State.DONE, State.FAILED)
RUNNING = (State.FACES, State.SCORING)
LONGEST_NAME = 200  # characters that are kept of a name


@dataclasses.dataclass
class Job:
    """One video.

    Attributes:
      id: names it in addresses, and its folder; nothing of the client's. name: what the client calls it; data alone.
      key: the client's own mark. folder: the upload, and then the results.
      done, total: bytes (uploading), frames (faces) or windows (scoring); total 0: unknown.
      result: what is said of it, once it is done. error: why it failed. cancelled: asks the worker to stop.
      receiving: the upload, while there is one.
    """

    id: str
    name: str
    key: str
    folder: Path
    state: State = State.UPLOADING
    done: int = 0
    total: int = 0
    result: dict[str, Any] | None = None
    error: str = ""
    cancelled: threading.Event = dataclasses.field(default_factory=threading.Event)
    receiving: asyncio.Task | None = None

    @property
    def upload(self) -> Path:
        """The video, until it is scored."""
        return self.folder / "video"

    @property
    def answer(self) -> Path:
        return self.folder / "answer.json"

    @property
    def page(self) -> Path:
        return self.folder / "page.html"

    def report(self, state: str, done: int, total: int) -> None:
        """Progress, as the worker tells it."""
        if self.state not in FINISHED:
            self.state, self.done, self.total = State(state), done, total


class Jobs:
    """All videos of the session, in the order in which their uploads began.

    Everything here runs on the event loop's thread, but Job.report.
    """

    def __init__(self, folder: Path, settings: Settings) -> None:
        self.folder, self._settings = folder, settings
        self._jobs: dict[str, Job] = {}
        self._queue: list[Job] = []
        self._finished: list[Job] = []
        self._waiting = asyncio.Condition()

    def __iter__(self) -> Iterator[Job]:
        return iter(self._jobs.values())

    def get(self, id: str) -> Job:
        """Raises Refused: there is none."""
        if id not in self._jobs:
            raise Refused(404, "There is no such video: it was removed, or the server was started anew.")
        return self._jobs[id]

    @property
    def room(self) -> int:
        """How many more videos would be taken now."""
        return max(self._settings.videos - sum(job.state not in FINISHED for job in self), 0)

    def open(self, name: str, key: str, size: int) -> Job:
        """A job for an upload that begins. size: bytes; 0: unknown.

        Raises:
          Refused: there are enough.
        """
        if not self.room:
            raise Refused(
                429,
                f"{self._settings.videos} videos are being uploaded, waiting or being scored, and no more are taken "
                "at a time. Try again when one of them is done.",
            )
        id = secrets.token_urlsafe(12)
        job = Job(id, name, key, self.folder / id, total=size)
        job.folder.mkdir(mode=0o700)
        self._jobs[id] = job
        return job

    async def put(self, job: Job) -> None:
        """Its upload is whole: it waits."""
        async with self._waiting:
            job.state, job.done, job.total = State.WAITING, 0, 0
            self._queue.append(job)
            self._waiting.notify()

    async def next(self) -> Job:
        """The job that has waited longest, as soon as there is one."""
        async with self._waiting:
            await self._waiting.wait_for(lambda: self._queue)
            job = self._queue.pop(0)
            job.state = State.FACES
            return job

    def position(self, job: Job) -> int:
        """Place in the queue, from 1; 0: it is not waiting."""
        return self._queue.index(job) + 1 if job in self._queue else 0

    def finish(self, job: Job, *, result: dict[str, Any] | None = None, error: str = "") -> None:
        """What became of a job. Its upload is deleted; of more than KEPT, the oldest results go, too."""
        job.upload.unlink(missing_ok=True)
        if job.id not in self._jobs:  # removed meanwhile
            shutil.rmtree(job.folder, ignore_errors=True)
            return
        job.result, job.error, job.state = result, error, State.FAILED if error else State.DONE
        self._finished.append(job)
        for old in self._finished[:-KEPT]:
            self.remove(old)

    def remove(self, job: Job) -> None:
        """Forget a job, whatever it is at, and delete its files."""
        job.cancelled.set()
        if job.receiving is not None:
            job.receiving.cancel()
        self._jobs.pop(job.id, None)
        for place in (self._queue, self._finished):
            if job in place:
                place.remove(job)
        if job.state not in RUNNING:  # else `finish` does it, when the worker has let go
            shutil.rmtree(job.folder, ignore_errors=True)

    def describe(self, job: Job) -> dict[str, Any]:
        """The job as the API shows it (openapi.py, Video)."""
        still = job.state in (*FINISHED, State.WAITING)
        return {
            "id": job.id,
            "name": job.name,
            "key": job.key,
            "state": str(job.state),
            "position": self.position(job) or None,
            "progress": None if still else {"done": job.done, "total": job.total or None},
            "result": job.result,
            "error": job.error or None,
        }


def tidy(text: str, most: int = LONGEST_NAME) -> str:
    """A client's text as it is kept and shown: what does not print is replaced, and it is not too long."""
    clean = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in itertools.islice(text, most + 1))
    return clean if len(clean) <= most else clean[: most - 1] + "\N{HORIZONTAL ELLIPSIS}"
