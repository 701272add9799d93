"""Many videos answered on other machines, as an Apache Beam pipeline.

A pipeline carries names alone. Each worker loads the model, and leaves an answer as a file of one line in a folder
beside the file of answers; the process that started the pipeline moves the lines there. So the videos, the model and
that folder must lie at the same path on every worker.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import hashlib
import json
import os
import shutil
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ml_collections import ConfigDict

from cpml_jax import configuration
from cpml_jax.errors import UserError
from cpml_jax.files import write_whole
from cpml_jax.prediction.answers_file import State, line_of, state_of
from cpml_jax.prediction.detector import Detector
from cpml_jax.prediction.identity import Identity
from cpml_jax.prediction.reading import error_text

if TYPE_CHECKING:
    from data_prep.records.beam import Pipelines


@dataclasses.dataclass(frozen=True)
class Source:
    """Where a worker loads the model from. config: of a run, as JSON; "" for the one that is stored with the model."""

    folder: str
    config: str = ""

    @classmethod
    def of(cls, folder: Path, config: ConfigDict | None) -> Source:
        return cls(os.path.abspath(folder), "" if config is None else json.dumps(config.to_dict()))

    def detector(self) -> Detector:
        """Raises UserError as `Detector.load`."""
        if not self.config:
            return Detector.load(self.folder)
        return Detector.of_run(configuration.stored(json.loads(self.config)), self.folder)


class Parts:
    """Answers that workers left for a file of answers.

    A part is named by the video, its state and the model, so that one of another never serves.
    """

    def __init__(self, answers: Path, identity: Identity) -> None:
        self.folder = Path(os.path.abspath(answers.with_name(f".{answers.name}.parts")))
        self._identity = identity

    def file_of(self, video: str) -> Path:
        name = repr((video, os.path.abspath(video), state_of(video), self._identity))
        return self.folder / f"{hashlib.sha256(name.encode('utf-8', 'surrogatepass')).hexdigest()[:24]}.json"

    def take(self, videos: Iterable[str]) -> Iterator[tuple[str, bytes]]:
        """(video, line) of those that have been answered; a part is removed once the next is asked for."""
        for video in list(videos) if self.folder.is_dir() else ():
            file = self.file_of(video)
            with contextlib.suppress(FileNotFoundError):
                yield video, file.read_bytes()
                file.unlink()

    def remove(self) -> None:
        """With what is left of other models, and of videos that have changed."""
        shutil.rmtree(self.folder, ignore_errors=True)


@dataclasses.dataclass(frozen=True)
class Job:
    """What a worker gets of a video, as it is where the pipeline was started."""

    video: str
    path: str
    state: State | None
    file: str
    source: Source
    identity: Identity


def run(source: Source, identity: Identity, videos: Sequence[str], parts: Parts, pipelines: Pipelines) -> None:
    """Answer the videos; each leaves its part.

    Raises:
      UserError: the pipeline failed; what it has finished stays, and the next start takes it.
    """
    if not videos:
        return
    parts.folder.mkdir(exist_ok=True)
    files = [parts.file_of(video) for video in videos]
    jobs = [
        Job(video, os.path.abspath(video), state_of(video), str(file), source, identity)
        for video, file in zip(videos, files, strict=True)
    ]
    print(f"predict: {len(jobs)} videos go to {pipelines.runner}", file=sys.stderr)
    pipelines.run("Predict", answer, jobs, files)


def answer(job: Job) -> None:
    """On a worker: one video's line, in a file of its own."""
    from data_prep.records.beam import elsewhere, one_at_a_time

    if job.state != state_of(job.path):
        raise elsewhere(job.path)
    with one_at_a_time():
        if Path(job.file).is_file():
            return
        detector = _loaded(job.source)
        if detector.identity != job.identity:
            raise UserError(
                f"{job.source.folder}: a worker has another model, or other settings; the model must lie on storage "
                "that all workers share, and the same packages and code be installed"
            )
        try:
            said, _ = detector.answer(job.path)
        except Exception as error:  # as in predict: one file's oddity must not end the others
            said = {"video": job.path, "error": error_text(error)}
        write_whole(Path(job.file), line_of(said | {"video": job.video}, job.state, job.identity))


@functools.lru_cache(maxsize=1)
def _loaded(source: Source) -> Detector:
    """One model for all videos of a worker."""
    from cpml_jax import compiled

    compiled.keep()
    return source.detector()
