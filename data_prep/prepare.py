"""A data set's videos -> records. Resumable: one work file for the videos of a track, packed when all are finished."""

from __future__ import annotations

import collections
import concurrent.futures
import concurrent.futures.process
import os
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

from cpml_jax import lock
from cpml_jax.data.records import SUMMARY
from cpml_jax.disk import writing
from cpml_jax.errors import UserError
from cpml_jax.files import parse_json, write_json
from data_prep.page.document import PAGE
from data_prep.records import recipe, work_file
from data_prep.records.beam import Pipelines
from data_prep.records.pack import pack, summary_text
from data_prep.records.process import Sampling, group_key, process_group
from data_prep.sources import Source, Video
from data_prep.worker import end_workers, fork_server, start_worker, starting, worker_count

__all__ = ["Sampling", "Source", "is_prepared", "prepare"]

WORK = "work"  # finished videos of a preparation in progress
PRELOADED = ("data_prep.face.mtcnn.search", "dlib", "data_prep.records.process")


def prepare(
    source: Source,
    sampling: Sampling,
    records: str | Path,
    *,
    workers: int = 0,
    progress: bool = True,
    pipelines: Pipelines | None = None,
    wait: bool = False,
) -> dict[str, Any]:
    """Prepare one source. Started again after any interruption it resumes, and ends with the same bytes.

    Args:
      source: which videos. sampling: which clips of them.
      records: the source's records go to `records`/source.name.
      workers: processes; 0: one per core; fewer where memory is short (WORKER_MEMORY).
      progress: bars on stderr.
      pipelines: Beam, to do it on other machines (`workers` then has no effect); None: here.
      wait: for another process that prepares the same records.

    Returns:
      The summary, as in prepare.json.

    Raises:
      UserError: the root is not such a data set, or the records were made with other parameters or another recipe,
        or another process is making them.
    """
    directory = Path(records) / source.name
    parameters = parameters_of(source, sampling)
    if is_complete(directory, parameters):
        return parse_json((directory / SUMMARY).read_text())
    groups = by_track(source.list_videos())

    def process(work: Path) -> list[Path]:
        files = [work / f"{group_key(group)}{work_file.SUFFIX}" for group in groups]
        if pipelines:
            pipelines.process(source.name, groups, files, sampling)
        else:
            jobs = [(group, file, sampling) for group, file in zip(groups, files, strict=True)]
            run_jobs(f"prepare {source.name}", "track", process_group, jobs, files, workers, progress)
        return files

    summary = build(directory, parameters, process, sampling, progress, pipelines, wait=wait)
    print(summary_text(source.name, summary), file=sys.stderr)
    print(f"to look at: {directory / PAGE}", file=sys.stderr)
    return summary


def is_prepared(source: Source, sampling: Sampling, records: str | Path) -> bool:
    """Whether `prepare` would have nothing to do. Raises UserError as that does for records made otherwise."""
    return is_complete(Path(records) / source.name, parameters_of(source, sampling))


def parameters_of(source: Source, sampling: Sampling) -> dict[str, Any]:
    """What a source's records depend on: kept with them, and compared before they are reused or added to."""
    return recipe.complete(source.parameters() | sampling.parameters())


def is_complete(directory: Path, parameters: Mapping[str, Any]) -> bool:
    """Whether a folder's records are finished and were made with these parameters.

    Raises:
      UserError: they are finished, but were made with others.
    """
    path = directory / SUMMARY
    if not path.is_file():
        return False
    check_parameters(directory, read_parameters(path, "parameters"), parameters)
    return True


def read_parameters(path: Path, key: str | None = None) -> dict[str, Any]:
    """What records were made with: a JSON file's object, or that under a key of it. Raises UserError if it has none."""
    try:
        held = parse_json(path.read_bytes())
        held = held[key] if key else held
        return {**held}
    except (ValueError, KeyError, TypeError):
        raise UserError(f"{path}: not readable; delete {path.parent} to prepare again") from None


def check_parameters(directory: Path, made: Mapping[str, Any], parameters: Mapping[str, Any]) -> None:
    """Raise UserError, naming one difference, unless records made with `made` are what `parameters` would give."""
    difference = recipe.difference(made, parameters)
    if difference:
        key, then, now = difference
        raise UserError(
            f"{directory}: records were prepared with {key}={then!r}, now it is {now!r}; "
            "delete that folder to prepare again, or use another data.records"
        )


def build(
    directory: Path,
    parameters: dict[str, Any],
    process: Callable[[Path], list[Path]],
    sampling: Sampling,
    progress: bool,
    pipelines: Pipelines | None = None,
    *,
    wait: bool = False,
) -> dict[str, Any]:
    """Work files by `process`(folder for them), those of an interrupted preparation reused, and their packing.

    Returns:
      The summary.

    Raises:
      UserError: the disk is full or may not be written to, work in progress was made with other parameters, or
        another process is at it.
    """
    with writing(directory):
        directory.mkdir(parents=True, exist_ok=True)
    with lock.held(directory, wait=wait), writing(directory):
        if is_complete(directory, parameters):  # by the process that we have waited for
            return parse_json((directory / SUMMARY).read_text())
        work = Path(os.path.abspath(directory / WORK))  # absolute: another machine has another working folder
        work.mkdir(parents=True, exist_ok=True)
        path = work / "parameters.json"
        started = parameters | {"made_with": recipe.software()}
        if path.is_file():
            check_parameters(directory, read_parameters(path), started)
        else:
            write_json(path, started)
        if earlier := work_file.left_by_earlier(work):
            print(
                f"{work}: {len(earlier)} work files of an earlier version are not opened (a pickle runs its writer's "
                "code); those videos are prepared anew",
                file=sys.stderr,
            )
        summary = pack(directory, process(work), sampling.num_frames, parameters, progress, pipelines)
        shutil.rmtree(work)
    return summary


def by_track(videos: Sequence[Video]) -> list[list[Video]]:
    """Groups of videos that share a face track, in the order of their first videos."""
    groups: dict[str, list[Video]] = collections.defaultdict(list)
    for video in videos:
        groups[video.track_key].append(video)
    return list(groups.values())


def run_jobs(
    title: str,
    unit: str,
    task: Callable[..., None],
    jobs: Sequence[tuple],
    files: Sequence[Path],
    workers: int,
    progress: bool,
) -> None:
    """task(*job) in processes, for each job whose file does not exist yet; it is the task that writes the file.

    Raises:
      UserError: a process died.
    """
    missing = [job for job, file in zip(jobs, files, strict=True) if not file.is_file()]
    bar = tqdm(
        total=len(jobs),
        initial=len(jobs) - len(missing),
        desc=title,
        unit=unit,
        file=sys.stderr,
        disable=not progress,
        dynamic_ncols=True,
    )
    count = min(worker_count(workers), max(len(missing), 1))
    with bar:
        if count == 1:
            for job in missing:
                task(*job)
                bar.update()
            return
        context = fork_server(PRELOADED)
        with concurrent.futures.ProcessPoolExecutor(count, mp_context=context, initializer=start_worker) as pool:
            try:
                with starting():
                    running = [pool.submit(task, *job) for job in missing]
                for done in concurrent.futures.as_completed(running):
                    done.result()
                    bar.update()
            except concurrent.futures.process.BrokenProcessPool:
                raise UserError(
                    f"{title}: a process died, perhaps for lack of memory; start again with a smaller data.workers: "
                    "finished videos are kept"
                ) from None
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                end_workers()
                raise
