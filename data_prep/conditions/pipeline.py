"""The two steps of a condition's preparation, and how they run on the workers of a Beam pipeline."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from data_prep.records import beam, recipe
from data_prep.records.beam import Pipelines
from data_prep.sources import Video


@dataclasses.dataclass(frozen=True)
class Job:
    """Arguments of a step's task, the file that it leaves, the videos that it needs, and their group_key."""

    arguments: tuple[Any, ...]
    file: Path
    videos: list[Video]
    key: str


@dataclasses.dataclass(frozen=True)
class Stage:
    """A step: task(*job.arguments) of each job; title and unit name it to the user."""

    title: str
    unit: str
    task: Callable[..., None]
    jobs: Sequence[Job]

    @property
    def files(self) -> list[Path]:
        return [job.file for job in self.jobs]


@dataclasses.dataclass(frozen=True)
class Item:
    """What a worker gets. dataset: of the records that the file is a work file of; "" if it is none."""

    task: Callable[..., None]
    job: Job
    recipe: dict[str, dict[str, Any]]
    dataset: str


def process(dataset: str, stages: Sequence[Stage], pipelines: Pipelines) -> None:
    """Every stage's files, one stage after another, and what packing needs of the last one's; finished ones are kept.

    Raises:
      UserError: a pipeline failed.
    """
    current = recipe.current(ready_made=False)
    for stage in stages:
        last = stage is stages[-1]
        finished = pipelines.described if last else Path.is_file
        items = [
            Item(stage.task, job, current, dataset if last else "") for job in stage.jobs if not finished(job.file)
        ]
        if not items:
            continue
        print(f"{stage.title}: {len(items)} of {len(stage.jobs)} go to {pipelines.runner}", file=sys.stderr)
        pipelines.run("Conditions" if last else "Faces", work, items, [item.job.file for item in items])


def work(item: Item) -> None:
    """On a worker: one job."""
    job = item.job
    beam.check_worker(job.videos, job.key, item.recipe)
    with beam.one_at_a_time():
        if not job.file.is_file():
            item.task(*job.arguments)
        if item.dataset:
            beam.describe(item.dataset, job.file)
