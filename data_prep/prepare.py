"""A data set's videos -> records. Resumable: one work file for the videos of a track, packed when all are there."""

from __future__ import annotations

import collections
import concurrent.futures
import concurrent.futures.process
import json
import math
import multiprocessing
import os
import shutil
import sys
from pathlib import Path

from tqdm import tqdm

from cpml_jax.data.records import SUMMARY
from cpml_jax.errors import UserError
from cpml_jax.files import write_whole
from data_prep import sources
from data_prep.page.document import PAGE
from data_prep.records.disk import writing
from data_prep.records.pack import pack, summary_text
from data_prep.records.process import group_key, process_group, start_worker

WORK = "work"  # finished videos of a preparation that is under way
WORKER_MEMORY = 1.5e9  # bytes a process may need at 1920x1080


def is_complete(records, name: str, parameters: dict) -> bool:
    """Whether records/<name> is finished and was made with these parameters.

    Raises:
      UserError: it is finished, but with others.
    """
    path = Path(records) / name / SUMMARY
    if not path.is_file():
        return False
    try:
        made = json.loads(path.read_text())["parameters"]
    except (ValueError, KeyError):
        raise UserError(f"{path}: not readable; delete {path.parent} to prepare again") from None
    check_parameters(path.parent, made, parameters)
    return True


# Parameters of records that earlier versions prepared -> their names today.
RENAMED = {"variants": "conditions"}


def check_parameters(directory: Path, made: dict, wanted: dict) -> None:
    made = {RENAMED.get(key, key): value for key, value in made.items()}
    wanted = json.loads(json.dumps(wanted))
    differing = sorted(k for k in made.keys() | wanted.keys() if made.get(k) != wanted.get(k))
    if differing:
        key = differing[0]
        raise UserError(
            f"{directory}: records were prepared with {key}={made.get(key)!r}, now it is {wanted.get(key)!r}; "
            "delete that folder to prepare again, or use another data.records"
        )


def prepare(
    name,
    kind,
    root,
    records,
    *,
    compressions,
    methods,
    splits,
    num_frames,
    max_windows,
    workers,
    parameters=None,
    progress=True,
    pipelines=None,
) -> dict:
    """Prepare one source. Started again after any interruption it goes on, and ends with the same bytes.

    Args:
      name: of the source; its records go to `records`/name.
      kind, root, compressions, methods, splits: see sources.list_videos.
      num_frames: of a clip, at 30 frames/s. max_windows: clips a video.
      workers: processes; 0: one a core; fewer where memory is short (WORKER_MEMORY).
      parameters: what the records depend on, kept with them and compared at the next call; by default the arguments.
      progress: bars on stderr.
      pipelines: beam.Pipelines to do it on other machines (then `workers` counts for nothing); None: here.

    Returns:
      The summary, as in prepare.json.

    Raises:
      UserError: the root is not such a data set, or the records were made with other parameters.
    """
    wanted = parameters or dict(
        kind=kind,
        compressions=compressions,
        methods=methods,
        splits=splits,
        num_frames=num_frames,
        max_windows=max_windows,
    )
    directory = Path(records) / name
    if is_complete(records, name, wanted):
        return json.loads((directory / SUMMARY).read_text())
    with writing(directory):
        # Absolute: another machine's working folder is another one.
        listed = sources.list_videos(
            kind, os.path.abspath(root), compressions=compressions, methods=methods, splits=splits
        )
        work = Path(os.path.abspath(directory / WORK))
        work.mkdir(parents=True, exist_ok=True)
        begin(directory, work, wanted)
        groups = collections.defaultdict(list)
        for video in listed:
            groups[video.track_key].append(video)
        files = [work / f"{group_key(group)}.pickle" for group in groups.values()]
        if pipelines:
            pipelines.process(name, list(groups.values()), files, num_frames, max_windows)
        else:
            run_groups(name, list(groups.values()), files, num_frames, max_windows, workers, progress)
        summary = pack(directory, files, num_frames, wanted, progress, pipelines)
        print(summary_text(name, summary), file=sys.stderr)
        print(f"to look at: {directory / PAGE}", file=sys.stderr)
        shutil.rmtree(work)
        return summary


def begin(directory: Path, work: Path, wanted: dict) -> None:
    """Leave the parameters beside the work in progress, or check that it goes on with the same."""
    path = work / "parameters.json"
    if path.is_file():
        check_parameters(directory, json.loads(path.read_text()), wanted)
    else:
        write_whole(path, json.dumps(wanted).encode())


def worker_count(wanted: int) -> int:
    """Processes: as many as wanted, or one a core that this process may use; never more than fit into memory."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(wanted or cores, int(available_memory() // WORKER_MEMORY)))


def available_memory() -> float:
    """Bytes that the machine could give now; infinite where it does not say (no /proc)."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return math.inf
    return next((1024.0 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable:")), math.inf)


def run_groups(name, groups, files: list[Path], num_frames, max_windows, workers, progress) -> None:
    """Every group of one track -> its file; those already there are not made again."""
    jobs = [(group, file, num_frames, max_windows) for group, file in zip(groups, files, strict=True)]
    run_jobs(f"prepare {name}", "track", process_group, jobs, files, workers, progress)


def run_jobs(title, unit, task, jobs: list[tuple], files: list[Path], workers, progress) -> None:
    """task(*job) in processes, for each job whose file is not there yet; it is the task that writes the file."""
    missing = [job for job, file in zip(jobs, files, strict=True) if not file.is_file()]
    bar = tqdm(total=len(jobs), initial=len(jobs) - len(missing), desc=title, unit=unit,
               file=sys.stderr, disable=not progress, dynamic_ncols=True)  # fmt: skip
    count = min(worker_count(workers), max(len(missing), 1))
    with bar:
        if count == 1:
            for job in missing:
                task(*job)
                bar.update()
            return
        # Spawned, not forked: torch's and OpenCV's threads do not survive a fork.
        context = multiprocessing.get_context("spawn")
        with concurrent.futures.ProcessPoolExecutor(count, mp_context=context, initializer=start_worker) as pool:
            running = [pool.submit(task, *job) for job in missing]
            try:
                for done in concurrent.futures.as_completed(running):
                    done.result()
                    bar.update()
            except concurrent.futures.process.BrokenProcessPool:
                raise UserError(
                    f"{title}: a process died, for want of memory perhaps; start again with a "
                    "smaller data.workers: finished videos are kept"
                ) from None
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise
