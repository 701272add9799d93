"""A file of answers that grows a line at a time, and is gone on with: `predict --out`.

A line is an answer (docs/schemas/predict.schema.json) with three more keys: `file`, the video's size and time when it
was read; `model` and `settings` (identity.py). Lines are in the order in which videos were finished. Each is on the
disk before the next is written, so a kill loses the videos that were being read, and at most half a line, which the
next start drops.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from cpml_jax import lock
from cpml_jax.disk import writing
from cpml_jax.errors import UserError
from cpml_jax.files import parse_json, replacing
from cpml_jax.prediction.identity import Identity

KEPT = "what is answered is kept"  # for disk.writing
BEGINNING = b'{"video": '  # of every line
LONGEST = 1 << 28  # bytes of a line; a day of one face has 3 MB
ERROR = "error"
State = dict[str, int]


class Line(NamedTuple):
    """What is read of a line. verdict: the answer's label, or ERROR."""

    video: str
    state: State | None
    identity: Identity
    verdict: str


def state_of(path: str) -> State | None:
    """By which a video is known to be the one that was answered; None where there is no such file."""
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        return None
    return {"bytes": status.st_size, "mtime_ns": status.st_mtime_ns}


def line_of(answer: dict[str, Any], state: State | None, identity: Identity) -> bytes:
    """An answer as a line of the file.

    Args:
      state: of the video when it was read; None: to be asked again at the next start, since it was not there, or the
        process that read it died.
    """
    return (json.dumps(answer | {"file": state} | identity._asdict(), allow_nan=False) + "\n").encode()


def parsed(text: bytes) -> Line:
    """What `line_of` made. Raises ValueError for anything else."""
    try:
        answer = parse_json(text)
        identity = Identity(str(answer["model"]), str(answer["settings"]))
        verdict = ERROR if "error" in answer else str(answer["label"])
        return Line(str(answer["video"]), answer["file"], identity, verdict)
    except (KeyError, TypeError):
        raise ValueError("not a line of answers") from None


def holds(line: Line) -> bool:
    """Whether the video still is the one that was answered."""
    return line.state is not None and line.state == state_of(line.video)


class Answers:
    """An open file of answers; `opened` makes one.

    Attributes:
      path: its place.
    """

    def __init__(self, path: Path, file: BinaryIO) -> None:
        self.path, self._file = path, file

    def go_on(self, wanted: Collection[str], identity: Identity) -> dict[str, str]:
        """What need not be asked again: video -> verdict, of the wanted ones.

        Lines of wanted videos that are to be asked again are removed: the file has changed since, or the process that
        read it died (`file` is null).

        Raises:
          UserError: a line is of another model or settings, or is no answer.
        """
        answered: dict[str, str] = {}
        stale = False
        for number, (line, _) in enumerate(self._lines(), 1):
            self._check(line, identity, number)
            if line.video not in wanted:
                continue
            if holds(line):
                answered[line.video] = line.verdict
            else:
                stale = True
        if stale:
            self._keep(lambda line: line.video not in wanted or holds(line))
        return answered

    def append(self, line: bytes) -> None:
        """An answer's line, on the disk when this returns. Raises UserError where the disk does not take it."""
        with writing(self.path, KEPT):
            self._file.write(line)
            self._file.flush()
            os.fsync(self._file.fileno())

    def _check(self, line: Line, identity: Identity, number: int) -> None:
        for name, what in (("model", "another model"), ("settings", "other settings")):
            then, now = getattr(line.identity, name), getattr(identity, name)
            if then != now:
                raise UserError(
                    f"{self.path}: line {number} was answered by {what} ({then}, now {now}); give another --out, or "
                    "the same model and settings"
                )

    def _lines(self) -> Iterator[tuple[Line, bytes]]:
        """Raises UserError for a line that is no answer."""
        with open(self.path, "rb") as file:
            number = 0
            while text := file.readline(LONGEST):
                number += 1
                try:
                    yield parsed(text), text
                except ValueError:
                    raise UserError(
                        f"{self.path}: line {number} is no answer of `main.py predict --out`; give another --out"
                    ) from None

    def _keep(self, wanted: Callable[[Line], bool]) -> None:
        """Write the file anew, without the lines that are not wanted; whoever kills us leaves it as it was."""
        with writing(self.path, KEPT):
            with replacing(self.path) as temporary:
                with open(temporary, "wb") as file:
                    for line, text in self._lines():
                        if wanted(line):
                            file.write(text)
                    file.flush()
                    os.fsync(file.fileno())
            self._file.close()
            self._file = open(self.path, "ab")


@contextlib.contextmanager
def opened(path: str | Path, wait: bool = False) -> Iterator[Answers]:
    """The file, made if it is not there, this process's alone until the block ends; half a line at its end is dropped.

    Args:
      wait: for as long as another process writes it.

    Raises:
      UserError: another process writes it, it cannot be written, or it holds something else.
    """
    path = Path(path)
    if path.is_dir():
        raise UserError(f"--out={path}: a folder; give the name of a file, as {path / 'answers.jsonl'}")
    if not path.parent.is_dir():
        raise UserError(f"--out={path}: there is no folder {path.parent}")
    with lock.held(path.parent, wait=wait, name=path.name):
        with writing(path, KEPT):
            file = open(path, "ab")
        answers = Answers(path, file)
        try:
            _drop_half_a_line(path)
            yield answers
        finally:
            answers._file.close()
            if not path.stat().st_size:  # nothing was answered
                path.unlink()


def _drop_half_a_line(path: Path) -> None:
    """Raises UserError where what is there, or what would be dropped, is not of ours."""
    with open(path, "r+b") as file:
        beginning = file.read(len(BEGINNING))
        end = file.seek(0, os.SEEK_END)
        if not BEGINNING.startswith(beginning) or end > LONGEST and b"\n" not in _last(file, LONGEST):
            raise UserError(f"{path}: no file of answers; it stays as it is: give another --out")
        if not end or _last(file, 1) == b"\n":
            return
        tail = _last(file, LONGEST)
        half = tail[tail.rfind(b"\n") + 1 :]
        if not half.startswith(BEGINNING[: len(half)]):
            raise UserError(f"{path}: its last line is no answer; give another --out")
        file.truncate(end - len(half))


def _last(file: BinaryIO, count: int) -> bytes:
    """The last bytes of a file, as many as there are."""
    end = file.seek(0, os.SEEK_END)
    file.seek(max(0, end - count))
    return file.read(count)
