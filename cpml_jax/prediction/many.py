"""Many videos into one file of answers: read in a process for each core, scored here, gone on with after any end."""

from __future__ import annotations

import collections
import contextlib
import datetime
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from absl import logging
from tqdm import tqdm

from cpml_jax.evaluation.verdict import LABELS, UNDETERMINED
from cpml_jax.prediction import beam, reading
from cpml_jax.prediction.answers_file import ERROR, Answers, State, line_of, parsed, state_of
from cpml_jax.prediction.beam import Parts, Source
from cpml_jax.prediction.detector import Detector
from cpml_jax.prediction.reading import Reader, error_text
from cpml_jax.prediction.windows import WindowScores
from cpml_jax.video_files import expand

if TYPE_CHECKING:
    from data_prep.records.beam import Pipelines

# An answer, and the state of its file when it was read: None where it is to be asked again, since the file was not
# there, or the process that read it died.
Answered = tuple[dict[str, Any], State | None]


def predict(
    detector: Detector,
    paths: Sequence[str],
    answers: Answers,
    *,
    workers: int = 0,
    pipelines: Pipelines | None = None,
    source: Source | None = None,
) -> int:
    """Answer the videos at `paths` that the file does not answer yet, each once.

    Args:
      answers: opened.
      workers: processes that read; 0: one for each core; fewer where memory is short.
      pipelines: Beam, to do all of it on other machines (`workers` then has no effect), which load the model from
        `source`; None: here.

    Returns:
      0, or 1 if one of the videos has an error, answered now or before.

    Raises:
      UserError: the file is of another model or settings, it cannot be written, or nothing can be read here.
    """
    began = time.monotonic()
    wanted = dict(expand(paths))
    answered = answers.go_on(wanted, detector.identity)
    asked = {path: problem for path, problem in wanted.items() if path not in answered}
    counts = collections.Counter(answered.values())
    parts = Parts(answers.path, detector.identity)
    with tqdm(total=len(wanted), initial=len(answered), desc="videos", unit="video", file=sys.stderr) as bar:

        def keep(line: bytes) -> None:
            answers.append(line)
            counts[parsed(line).verdict] += 1
            bar.update()

        for path, line in parts.take(asked):  # of a pipeline that was interrupted
            keep(line)
            asked.pop(path)
        if pipelines and source:
            good = [path for path, problem in asked.items() if not problem]
            beam.run(source, detector.identity, good, parts, pipelines)
            for path, line in parts.take(good):
                keep(line)
                asked.pop(path)
        for answer, state in answer_all(detector, asked, workers):  # after Beam: what is not there
            keep(line_of(answer, state, detector.identity))
    parts.remove()
    print(f"{answers.path}: {summary(counts, len(answered), time.monotonic() - began)}", file=sys.stderr)
    return int(counts[ERROR] > 0)


def answer_all(detector: Detector, asked: Mapping[str, str | None], workers: int = 0) -> Iterator[Answered]:
    """Answers in the order in which videos are finished.

    Args:
      asked: path -> why it cannot be read, or None.
    """
    yield from (({"video": path, "error": problem}, None) for path, problem in asked.items() if problem)
    good = [path for path, problem in asked.items() if not problem]
    being: dict[str, _Video] = {}

    def begun() -> Iterator[str]:
        for path in good:
            being[path] = _Video(path, detector)
            yield path

    with readers(detector, workers, len(good)) as processes:
        for path, kind, payload in reading.each(processes, begun()):
            if kind == "clip":
                being[path].add(payload)
            else:
                yield being.pop(path).finish(kind, payload)


class _Video:
    """A video that is being read. An error of scoring is its answer; what is still read of it is let go."""

    def __init__(self, path: str, detector: Detector) -> None:
        self._path, self._detector, self._state = path, detector, state_of(path)
        self._scores: WindowScores | None = detector.scores()
        self._error = ""

    def add(self, clip: Any) -> None:
        with self._failing():
            if self._scores:
                self._scores.add(clip)

    def finish(self, kind: reading.Kind, said: str | None) -> Answered:
        """kind: as the reader's last message of it, with what it says."""
        if kind != "end":
            return {"video": self._path, "error": said}, None if kind == "died" else self._state
        with self._failing():
            if self._scores:
                return self._detector.describe(self._path, self._scores.finish()), self._state
        return {"video": self._path, "error": self._error}, self._state

    @contextlib.contextmanager
    def _failing(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # as in predict: one file's oddity must not end the others
            logging.debug("%s", self._path, exc_info=True)
            self._scores, self._error = None, error_text(error)


@contextlib.contextmanager
def readers(detector: Detector, workers: int, videos: int) -> Iterator[list[Reader]]:
    """Processes that read, ended with the block; no more than there are videos.

    Raises:
      UserError: they lack a package, or the device on which faces are looked for.
    """
    from data_prep.worker import worker_count

    count = min(worker_count(workers), videos)
    started: list[Reader] = []
    try:
        for _ in range(count):
            started.append(Reader(detector.clips, detector.size.num_frames, detector.readying, one_of_many=True))
        for reader in started:
            reader.check()
        yield started
    finally:
        for reader in started:
            reader.close()


def summary(counts: Mapping[str, int], before: int, seconds: float) -> str:
    """Of videos by verdict; before: how many of them were answered earlier."""
    now = sum(counts.values()) - before
    words = ", ".join(f"{counts.get(verdict, 0)} {verdict}" for verdict in (*reversed(LABELS), UNDETERMINED, ERROR))
    took = datetime.timedelta(seconds=round(seconds))
    pace = f"; {now} answered in {took}, {60 * now / max(seconds, 1e-3):.1f} videos/min" if now else ""
    return f"{now + before} videos: {words}; {before} answered before{pace}"
