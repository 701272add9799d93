"""Many files through `predict` in bounded processes, and what came of each: an answer, a line, a crash, a hang.

A process answers file after file (worker.py). One that dies, or is silent for too long, has the file that it was at
counted, and another goes on with the rest.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import select
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import published

from hostile.worker import DATA

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 240.0  # s without an answer: hung; beside other work, and with a model to compile first
MEGABYTES = 1500  # of memory, that a process may hold
ASKED = 6_000_000_000  # bytes of private memory that it may ask for: libraries reserve more than they use


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What came of a file.

    kind: answer, refused, crashed or hung. said: the answer's JSON, or of a dead process how it ended.
    seconds: of the processor. megabytes: the most that the process held; what it holds before any file is some 700.
    """

    path: str
    kind: str
    said: str
    seconds: float = 0.0
    megabytes: int = 0


@dataclasses.dataclass
class Sandbox:
    """Folders that a process could write to by mistake; `changes` says where it did."""

    root: Path

    def __post_init__(self) -> None:
        for name in ("home", "tmp", "work", "videos"):
            (self.root / name).mkdir(parents=True, exist_ok=True)
        (self.root / "home/mine.txt").write_text("mine")
        self._before: dict[str, str] = {}

    @property
    def videos(self) -> Path:
        """For the files that are given."""
        return self.root / "videos"

    def environment(self) -> dict[str, str]:
        """Of a process whose home, temporary and working folder lie here."""
        shown = dict(os.environ, HOME=str(self.root / "home"), TMPDIR=str(self.root / "tmp"))
        return shown | {"PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}", "PYTHONDONTWRITEBYTECODE": "1"}

    def remember(self) -> None:
        """What lies here now is what may lie here afterwards."""
        self._before = self._state()

    def changes(self) -> list[str]:
        """Paths that appeared, went or changed since `remember`."""
        now = self._state()
        differing = [name for name in now.keys() | self._before.keys() if now.get(name) != self._before.get(name)]
        scratch = str(self.root / "tmp" / "torchinductor_")  # torch makes the folder when it is imported
        return sorted(name for name in differing if not name.startswith(scratch))

    def _state(self) -> dict[str, str]:
        found = {}
        for folder, folders, files in os.walk(os.fsencode(self.root)):
            for name in (*folders, *files):
                path = os.path.join(folder, name)
                kind = "link" if os.path.islink(path) else "folder" if os.path.isdir(path) else ""
                found[os.fsdecode(path)] = kind or _digest(path)
        return found


def _digest(path: bytes) -> str:
    if not os.path.isfile(path):
        return "neither file nor folder"
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def predict_all(
    paths: Sequence[Path | bytes], sandbox: Sandbox, *, run: tuple[Path, Path] | None = None, workers: int = 1
) -> list[Outcome]:
    """What `predict` makes of each file, in order of `paths`.

    Args:
      run: (configuration's JSON, workdir) of a trained model; none if None (worker.Brightness).
      workers: processes at once.
    """
    names = [os.fsencode(path) for path in paths]
    sandbox.remember()
    shares = [names[number::workers] for number in range(workers)]
    with ThreadPoolExecutor(workers) as pool:
        found = [*pool.map(lambda share: list(_outcomes(share, sandbox, run)), shares)]
    by_path = {outcome.path: outcome for share in found for outcome in share}
    return [by_path[os.fsdecode(name)] for name in names]


def _outcomes(names: list[bytes], sandbox: Sandbox, run: tuple[Path, Path] | None) -> Iterator[Outcome]:
    waiting = list(names)
    while waiting:
        ended = ""
        for line in _answers(waiting, sandbox, run):
            if line is None or not line.startswith("{"):
                ended = line or ""
                break
            yield _outcome(os.fsdecode(waiting.pop(0)), json.loads(line))
        if waiting:
            yield Outcome(os.fsdecode(waiting.pop(0)), "hung" if ended == "hung" else "crashed", ended)


def _answers(names: list[bytes], sandbox: Sandbox, run: tuple[Path, Path] | None) -> Iterator[str]:
    """A process's lines as they come; at last "hung", or how it ended where it did not end well."""
    command = [sys.executable, "-m", "hostile.worker", *(map(str, run) if run else ())]
    with tempfile.TemporaryFile() as errors, tempfile.TemporaryFile() as given:
        given.write(b"".join(name + b"\0" for name in names))
        given.seek(0)
        process = subprocess.Popen(
            command, stdin=given, stdout=subprocess.PIPE, stderr=errors, cwd=sandbox.root / "work",
            env=sandbox.environment() | {DATA: str(ASKED)},
        )  # fmt: skip
        assert process.stdout is not None
        try:
            rest = b""
            while True:
                if not select.select([process.stdout], [], [], PATIENCE)[0]:
                    yield "hung"
                    return
                more = os.read(process.stdout.fileno(), 1 << 16)
                if not more:
                    break
                *lines, rest = (rest + more).split(b"\n")
                yield from (line.decode() for line in lines)
            status = process.wait()
            errors.seek(0)
            said = errors.read().decode(errors="replace").strip()[-800:]
            if status or "Traceback" in said:
                yield f"status {status}: {said}"
        finally:
            process.kill()
            process.wait()
            process.stdout.close()


def _outcome(path: str, line: dict) -> Outcome:
    answer = json.loads(line["answer"], parse_constant=_refuse)
    published.check("predict", answer)
    assert answer["video"] == path, (answer["video"], path)
    kind = "refused" if "error" in answer else "answer"
    return Outcome(path, kind, line["answer"], line["seconds"], line["megabytes"])


def _refuse(name: str) -> None:
    raise AssertionError(f"{name} is no JSON")


def problems(outcomes: Sequence[Outcome], seconds: float = 60.0) -> list[str]:
    """What is wrong with outcomes: crashes, hangs, refusals that are no one line or name a bug, and excess."""
    found = []
    for one in outcomes:
        name = os.path.basename(one.path)
        if one.kind in ("crashed", "hung"):
            found.append(f"{name}: {one.kind}: {one.said}")
            continue
        if one.kind == "refused" and (why := not_a_reason(json.loads(one.said)["error"])):
            found.append(f"{name}: {why}")
        if one.megabytes > MEGABYTES:
            found.append(f"{name}: {one.megabytes} MB")
        if one.seconds > seconds:
            found.append(f"{name}: {one.seconds:.0f} s")
    return found


def not_a_reason(text: str) -> str:
    """What is wrong with a refusal; "" if it is one line that does not come from an exception that nobody expected."""
    first = text.split(":")[0]
    if "\n" in text or "Traceback" in text or not text.strip():
        return f"not one line: {text!r}"
    if first.isidentifier() and (first.endswith(("Error", "Exception")) or first in ("KeyError", "error")):
        return f"an exception that nobody expected: {text}"
    return f"a long line: {text[:200]}" if len(text) > 400 else ""
