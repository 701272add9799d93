"""Preparation beyond one machine: the two stages that take time, tracks and shards, as Apache Beam pipelines.

A pipeline carries only names: which videos, which work file, which shard. Pixels go from storage to storage, so the
videos, the records' folder and the work folder in it must lie at the same path on every worker (NFS, Lustre, a mounted
bucket). The pipelines write the same bytes as `prepare` without Beam, and either resumes what the other left.
"""

from __future__ import annotations

import contextlib
import dataclasses
import difflib
import io
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from cpml_jax.errors import UserError
from data_prep.records import recipe, work_file
from data_prep.records.process import Sampling, group_key, process_group
from data_prep.records.work_file import Description
from data_prep.sources import Video
from data_prep.worker import start_worker

EXTRA = "uv sync --extra beam"
# Runners give a process several threads; only one of them at a time may hold a detector and a video in memory.
_ONE_AT_A_TIME = threading.Lock()


@dataclasses.dataclass(frozen=True)
class Group:
    """The videos of one track, the work file they become, and how: a worker's recipe must be the same."""

    dataset: str
    videos: list[Video]
    file: str
    sampling: Sampling
    recipe: dict[str, dict[str, Any]]


def _import() -> Any:
    try:
        import apache_beam
    except ImportError:
        raise UserError(f"--beam_runner needs the package 'apache_beam': install the extra `beam` ({EXTRA})") from None
    return apache_beam


def pipeline_options(options: Sequence[str]) -> Any:
    """`key=value` texts (or bare keys) -> Beam's PipelineOptions.

    Raises:
      UserError: Beam or the chosen runner knows no such option, or not with this value.
    """
    _import()
    from apache_beam.options.pipeline_options import PipelineOptions

    bare = [option.strip().lstrip("-") for option in options]
    stderr = io.StringIO()
    try:
        with contextlib.redirect_stderr(stderr):  # argparse prints its usage, hundreds of lines, and exits
            parsed = PipelineOptions([f"--{option}" for option in bare])
            known = parsed.get_all_options()
            unknown = parsed.get_all_options(retain_unknown_options=True).keys() - known.keys()
    except SystemExit:
        reason = (stderr.getvalue().strip().splitlines() or [""])[-1].partition("error: ")[2]
        raise UserError(f"--beam_options={','.join(options)}: {reason or 'not understood'}") from None
    malformed = [option for option in bare if not option.split("=")[0].isidentifier()]
    if unknown or malformed:
        option = (sorted(unknown) or malformed)[0]
        near = difflib.get_close_matches(option, known, n=1)
        raise UserError(
            f"--beam_options: Beam knows no {option!r}{f', did you mean {near[0]!r}?' if near else ''}; "
            "give key=value,key=value"
        )
    return parsed


def check_runner(runner: str) -> None:
    """Raise UserError unless Beam has such a runner, and what it needs is installed."""
    _import()
    from apache_beam.options.pipeline_options import StandardOptions
    from apache_beam.runners.runner import create_runner

    try:
        create_runner(runner)
    except ImportError as error:
        raise UserError(f"--beam_runner={runner}: {error}") from None
    except (ValueError, AttributeError):
        near = difflib.get_close_matches(runner, StandardOptions.KNOWN_RUNNER_NAMES, n=1)
        raise UserError(
            f"--beam_runner={runner}: Beam knows no such runner{f', did you mean {near[0]!r}?' if near else ''}; "
            f"there are {', '.join(StandardOptions.KNOWN_RUNNER_NAMES)}"
        ) from None


def run(
    label: str,
    function: Callable[[Any], object],
    items: Sequence[Any],
    files: Sequence[Path],
    runner: str,
    options: Any = None,
) -> None:
    """function(item) for each item, on the runner's workers; each call leaves its file.

    Args:
      label: of the step, as the runner shows it.
      function: of a module; it is pickled by name.
      items: picklable.
      files: what the items become; they must exist afterwards.
      runner: a name that Beam knows. options: PipelineOptions.

    Raises:
      UserError: the pipeline failed, or the files are not here afterwards.
    """
    beam = _import()
    try:
        with beam.Pipeline(runner=runner, options=options or pipeline_options(())) as pipeline:
            _ = pipeline | beam.Create(items) | beam.Reshuffle() | label >> beam.Map(function)
    except Exception as error:  # any kind, by runner; a worker's own error is in the last lines
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        reason = next((line for line in lines if "UserError" in line), (lines or [type(error).__name__])[-1])
        raise UserError(
            f"--beam_runner={runner}: step {label} failed: {reason[:400]}; what was finished is kept, start again to "
            "resume"
        ) from error
    missing = [file for file in files if not file.is_file()]
    if missing:
        raise UserError(
            f"--beam_runner={runner}: step {label} ended, but {len(missing)} of {len(files)} files are not in "
            f"{missing[0].parent}: the records must lie on storage that all workers share, at the same path"
        )


def process(group: Group) -> None:
    """On a worker: make the group's work file, and beside it what packing needs of it."""
    file = Path(group.file)
    check_worker(group.videos, file.stem, group.recipe)
    with one_at_a_time():
        if not file.is_file():
            process_group(group.videos, file, group.sampling)
        describe(group.dataset, file)


def check_worker(videos: list[Video], key: str, expected: dict[str, dict[str, Any]]) -> None:
    """On a worker: raise UserError unless it sees the same files and has the same recipe.

    Args:
      key: group_key of the videos, where the pipeline was started. expected: the recipe there.
    """
    if group_key(videos) != key:
        raise elsewhere(videos[0].path)
    differing = recipe.first_difference(expected, recipe.current(ready_made=bool(videos[0].crop_landmarks)))
    if differing:
        name, there, here = differing
        raise UserError(f"a worker has {name}={here!r} in place of {there!r}; install the same packages and code")


def elsewhere(path: str) -> UserError:
    """Of a worker that does not see the video that it should work on."""
    return UserError(
        f"{path}: a worker sees another file, or none; the videos must lie on storage that all workers share, at the "
        "same path"
    )


def describe(dataset: str, file: Path) -> None:
    """Write what packing needs of a work file beside it."""
    work_file.write_description(_description(file), work_file.describe(dataset, file))


@contextlib.contextmanager
def one_at_a_time() -> Iterator[None]:
    """On a worker: the work of one item, while its process's other threads wait."""
    with _ONE_AT_A_TIME:
        start_worker()
        yield


def _description(file: Path) -> Path:
    return file.with_suffix(".about")


@dataclasses.dataclass(frozen=True)
class Pipelines:
    """Where a preparation's pipelines run.

    Attributes:
      runner: a name that Beam knows (FnApiRunner, DirectRunner, FlinkRunner, SparkRunner, DataflowRunner, ...).
      options: its options, `key=value` each.

    Raises (when made):
      UserError: apache_beam is not installed, or there is no such runner or option.
    """

    runner: str
    options: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_runner(self.runner)
        pipeline_options(self.options)

    def process(self, dataset: str, groups: list[list[Video]], files: list[Path], sampling: Sampling) -> None:
        """Every group -> its work file and description; finished ones are kept."""
        missing = [
            Group(dataset, videos, str(file), sampling, recipe.current(ready_made=bool(videos[0].crop_landmarks)))
            for videos, file in zip(groups, files, strict=True)
            if not self.described(file)
        ]
        if not missing:
            return
        print(f"prepare {dataset}: {len(missing)} of {len(groups)} tracks go to {self.runner}", file=sys.stderr)
        results = [path for group in missing for path in (Path(group.file), _description(Path(group.file)))]
        self.run("TrackAndMeasure", process, missing, results)

    def described(self, file: Path) -> bool:
        """Whether a work file is finished, with what packing needs of it."""
        return file.is_file() and _description(file).is_file()

    def describe(self, file: Path) -> Description:
        """As work_file.describe, which the worker has already done."""
        return work_file.read_description(_description(file))

    def run(self, label: str, function: Callable[[Any], object], items: Sequence[Any], files: Sequence[Path]) -> None:
        """As `run`, on this runner."""
        run(label, function, items, files, self.runner, pipeline_options(self.options))
