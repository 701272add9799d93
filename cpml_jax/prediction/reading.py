"""Videos read in processes of their own, beside the model: a decoder's crash costs one video, not the command.

A process finds faces and cuts clips while this one loads the model, compiles and scores. It imports no JAX.
"""

from __future__ import annotations

import collections
import dataclasses
import multiprocessing
import multiprocessing.connection
import os
import queue
import signal
import threading
import types
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
from ml_collections import ConfigDict

from cpml_jax.errors import UserError, missing_package
from cpml_jax.limits import Limits

if TYPE_CHECKING:  # the packages that read videos
    from multiprocessing.connection import Connection

    from cpml_jax.prediction.windows import ReadyClip
    from data_prep.face.clips import FaceClip

Clips = Callable[..., Iterable["FaceClip"]]
Ready = Callable[["FaceClip"], "ReadyClip"]
# What a process says first: `started`, or `refused` with the reason. Of a video: its clips, then one `end` or `error`.
# `died` is said of a process.
Kind = Literal["started", "refused", "clip", "end", "error", "died"]
Message = tuple[Kind, Any]
PRELOADED = ("data_prep.face.clips", "data_prep.face.mtcnn.search", "dlib", "cpml_jax.prediction.windows")
# Clips that a process may be ahead of the model: 6 MB each, of 128 frames. More than a ten-second video has, so that
# all of it is read while the model loads.
AHEAD = 4
INTERRUPTED = 130  # the status of a process that Ctrl-C has ended (data_prep/worker.py)


@dataclasses.dataclass(frozen=True)
class VideoClips:
    """data_prep.face.clips.video_clips, its frames coded as in records; its packages (onnxruntime, PyAV, dlib) are no
    part of the lean core.

    Attributes:
      device: where faces are looked for (data.detector_device).
    """

    limits: Limits = Limits()
    device: str = "cpu"

    @classmethod
    def of(cls, config: ConfigDict) -> Self:
        """With a configuration's limits, on its device."""
        return cls(Limits(**config.data.limits.to_dict()), config.data.detector_device)

    @property
    def identity(self) -> dict[str, Any]:
        """All that clips depend on beside the video. Raises UserError where a package is missing."""
        from data_prep.records import recipe

        return {"limits": self.limits, "recipe": recipe.current(ready_made=False)}

    def load(self) -> None:
        """Get ready. Raises UserError where a package, or the device, is missing."""
        try:
            from data_prep.face.clips import video_clips  # noqa: F401
            from data_prep.face.detector import shared_detector
            from data_prep.face.landmarks import load_predictor

            shared_detector(self.device).load()
            load_predictor()
        except ImportError as error:
            raise missing_package("predict", error.name) from None

    def __call__(self, path: str, *, num_frames: int, **more: Any) -> Iterator[FaceClip]:
        """more: of video_clips."""
        from data_prep.face.clips import video_clips
        from data_prep.face.detector import shared_detector
        from data_prep.video import jpeg

        detector = shared_detector(self.device)
        for clip in video_clips(path, num_frames=num_frames, detector=detector, limits=self.limits, **more):
            # The model, and what doubt goes by, have seen frames of records: coding takes some of the finest texture.
            frames = np.stack([jpeg.decode(frame) for frame in jpeg.encode(clip.frames)])
            yield dataclasses.replace(clip, frames=frames)


def error_text(error: Exception) -> str:
    """What an answer says of a video that could not be used."""
    return str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {' '.join(str(error).split())}"


class Reader:
    """A process that reads the videos it is asked for, in that order.

    Args:
      clips: video_clips; picklable.
      num_frames: of a clip.
      ready: what to send of a clip in place of all its fields; picklable.
      one_of_many: fork it from a server that has imported what all of them need. That server is waited for, 1.5 s; a
        single one is better started by itself, while this process goes on.
    """

    def __init__(self, clips: Clips, num_frames: int, ready: Ready | None = None, *, one_of_many: bool = False) -> None:
        self._arguments, self._one_of_many = (clips, num_frames, ready), one_of_many
        self._asked: collections.deque[str] = collections.deque()
        self._start()

    def _start(self) -> None:
        from data_prep.worker import fork_server, starting

        context = fork_server(PRELOADED) if self._one_of_many else multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        # pyrefly: ignore[missing-attribute] - every context has one
        self._process = context.Process(target=_serve, args=(theirs, *self._arguments), daemon=True)
        with starting():
            self._process.start()
        theirs.close()  # so that its end is heard of here

    def check(self) -> None:
        """Wait until the process is ready. Raises UserError where a package, or the device, is missing."""
        try:
            kind, payload = self.connection.recv()
        except (EOFError, OSError):
            raise UserError(self._ended()) from None
        if kind == "refused":
            raise UserError(payload)

    def ask(self, path: str) -> None:
        """Put a video at the end of what it is to read."""
        self._asked.append(path)
        try:
            self.connection.send(path)
        except OSError:  # it has died: receive says of which video
            pass

    def has_spoken(self) -> bool:
        """Whether a message waits."""
        return self.connection.poll()

    @property
    def asked(self) -> tuple[str, ...]:
        """What it has not finished, the video it is at first."""
        return tuple(self._asked)

    def receive(self) -> Message:
        """The next message of the video that it is at; waits for it.

        After `died` there is another process, which goes on with the next video.
        """
        try:
            kind, payload = self.connection.recv()
            if kind == "started":
                kind, payload = self.connection.recv()
        except (EOFError, OSError):
            kind, payload = "died", self._restart()
        if kind == "refused":
            raise UserError(payload)
        if kind != "clip":
            self._asked.popleft()
        return kind, payload

    def _restart(self) -> str:
        """Another process, asked for all but the first video. Returns how the one before ended."""
        ended = self._ended()
        self.connection.close()
        self._start()
        for path in list(self._asked)[1:]:
            try:
                self.connection.send(path)
            except OSError:
                break
        return ended

    def _ended(self) -> str:
        self._process.join()
        if self._process.exitcode == INTERRUPTED:
            # A terminal's Ctrl-C, which went to this process, too, and was lost: in a callback, Python drops it.
            raise KeyboardInterrupt
        return how_it_ended(self._process.exitcode)

    def close(self) -> None:
        """End the process, whatever it is at."""
        self.connection.close()
        self._process.terminate()
        self._process.join()


def how_it_ended(status: int | None) -> str:
    """An error's text, of the exit status of a process that should not have ended."""
    if status is None or status >= 0:
        return f"the process that read this video ended with status {status}"
    name = signal.Signals(-status).name if -status in list(signal.Signals) else f"signal {-status}"
    why = ", perhaps for lack of memory" if -status == signal.SIGKILL else ""
    return f"the process that read this video was ended by {name}{why}"


def _serve(connection: Connection, clips: Clips, num_frames: int, ready: Ready | None) -> None:
    """In the process: messages of the videos that are asked for, a few clips ahead of whoever takes them."""
    from data_prep.worker import start_worker

    start_worker()
    try:
        getattr(clips, "load", lambda: None)()
        connection.send(("started", None))
    except UserError as error:
        connection.send(("refused", str(error)))
        return
    waiting: queue.Queue[Message] = queue.Queue(AHEAD)
    threading.Thread(target=_send, args=(connection, waiting), daemon=True, name="clips to the model").start()
    while True:
        try:
            path = connection.recv()
        except (EOFError, OSError):
            os._exit(0)
        for message in _messages(path, clips, num_frames, ready):
            waiting.put(message)


def _send(connection: Connection, waiting: queue.Queue[Message]) -> None:
    try:
        while True:
            connection.send(waiting.get())
    except OSError:  # nobody listens any more
        os._exit(0)


def _messages(path: str, clips: Clips, num_frames: int, ready: Ready | None) -> Iterator[Message]:
    try:
        for clip in clips(path, num_frames=num_frames):
            # Its fields alone: a FaceClip takes the packages that read videos where it arrives, 1.5 s of imports.
            yield "clip", ready(clip) if ready else types.SimpleNamespace(**vars(clip))
    except Exception as error:  # decoders raise what they like
        yield "error", error_text(error)
        return
    yield "end", None


class Ahead:
    """video_clips of a Reader's process: one video after another, the next begun while this one is scored.

    Args:
      paths: of the videos, in the order in which they will be asked for.
    """

    def __init__(self, reader: Reader, paths: Iterable[str]) -> None:
        self._reader, self._coming, self._unfinished = reader, collections.deque(paths), False
        self._ask()
        self._ask()

    def _ask(self) -> None:
        if self._coming:
            self._reader.ask(self._coming.popleft())

    def __call__(self, path: str, *, num_frames: int) -> Iterator[FaceClip]:
        if self._unfinished:  # the scorer has given it up
            while self._receive()[0] == "clip":
                pass
        if self._reader.asked[:1] != (path,):
            raise ValueError(f"{path}: asked for out of order")
        self._unfinished = True
        kind, payload = self._receive()
        while kind == "clip":
            yield payload
            kind, payload = self._receive()
        if kind != "end":
            raise UserError(payload)

    def _receive(self) -> Message:
        kind, payload = self._reader.receive()
        if kind != "clip":
            self._unfinished = False
            self._ask()
        return kind, payload

    def close(self) -> None:
        self._reader.close()


def each(readers: list[Reader], paths: Iterable[str]) -> Iterator[tuple[str, Kind, Any]]:
    """(path, kind, payload) of all videos, as they come: those of one video in order, those of several in turn."""
    coming = iter(paths)
    busy: dict[Any, Reader] = {}
    for reader, path in zip(readers, coming):  # noqa: B905 - as many as there are
        reader.ask(path)
        busy[reader.connection] = reader
    while busy:
        for connection in multiprocessing.connection.wait(list(busy)):
            reader = busy.pop(connection)
            (path, *_) = reader.asked
            kind, payload = reader.receive()
            if kind != "clip" and (following := next(coming, None)) is not None:
                reader.ask(following)
            if reader.asked:
                busy[reader.connection] = reader  # of a process that died, the next one's
            yield path, kind, payload
