"""A folder or CSV of real videos -> a data set of real and forged clips, aligned frame by frame, split by person.

    root/real/<compression>/<video>.mp4                        the real clip, cut to a square
    root/<kind>/<compression>/<target>_<source>.mp4            forged; the next of the same two: <target>_<source>-2
    root/masks/<kind>/<target>_<source>.mp4                    where it was
    root/parameters/<kind>/<target>_<source>.json              every drawn number, or why it could not be made
    root/squares/<video>.npz                                   where the clip lies in its video, or why it has none
    root/refused.jsonl                                         the videos and forgeries that are not there, with reasons
    root/videos.csv                                            what data_prep/sources/forged.py reads
    root/forge.json                                            the parameters
    root/forge.html                                            to look at

Two stages in processes or on Beam: a square for each video, then each real clip with all of its forgeries. Started
again after any interruption it makes what is missing, and ends with the same bytes.
"""

from __future__ import annotations

import collections
import csv
import dataclasses
import hashlib
import io
import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from cpml_jax.conditions import passes
from cpml_jax.disk import writing
from cpml_jax.errors import UserError
from cpml_jax.files import write_json_lines, write_whole
from cpml_jax.schema import REAL_METHOD, SPLITS
from data_prep.claim import check_sums, claim, remove_half_written, write_sums
from data_prep.forge import clip_files, listing, page
from data_prep.forge.clip_files import ClipTask, SquareTask
from data_prep.forge.kinds import KINDS
from data_prep.forge.listing import RealVideo
from data_prep.forge.plan import Forgery, forgeries
from data_prep.forge.square import Square
from data_prep.prepare import run_jobs
from data_prep.records import recipe
from data_prep.records.beam import Pipelines, one_at_a_time
from data_prep.sources.forged import COLUMNS, LIST

VERSION = 1  # raise it when the same parameters would make other clips of the same videos
REFUSED, CLAIM = "refused.jsonl", "forge.json"
SMALLEST, SHORTEST = 64, 16  # pixels, frames


@dataclasses.dataclass(frozen=True)
class Settings:
    """What is made of the real videos.

    Attributes:
      kinds: names of forge.kinds. copies: forgeries of a kind for each real clip, by split.
      compressions: names of data_prep.video.encode, by split.
      frames, size: of every clip, at 30 frames/s; pixels a side, even.
      seed: of the division, the pairs and what is drawn.
    """

    kinds: tuple[str, ...]
    copies: Mapping[str, int]
    compressions: Mapping[str, tuple[str, ...]]
    frames: int
    size: int
    seed: int

    @classmethod
    def of(
        cls,
        kinds: Sequence[str],
        copies: Mapping[str, int],
        compressions: Mapping[str, Sequence[str]],
        frames: int,
        size: int,
        seed: int,
    ) -> Settings:
        """From plain values.

        Raises:
          UserError: one that cannot be.
        """
        made = cls(
            tuple(kinds),
            {split: int(copies.get(split, 0)) for split in SPLITS},
            {split: tuple(compressions.get(split, ())) for split in SPLITS},
            int(frames),
            int(size),
            int(seed),
        )
        made.check()
        return made

    def check(self) -> None:
        """Raise UserError for what cannot be made."""

        def refuse(what: str) -> NoReturn:
            raise UserError(f"forge: {what}")

        unknown = [name for name in self.kinds if name not in KINDS]
        if unknown or not self.kinds or len(set(self.kinds)) < len(self.kinds):
            refuse(f"kinds={self.kinds!r}; they are of {', '.join(KINDS)}, each once")
        for split in SPLITS:
            names = self.compressions[split]
            unknown = [name for name in names if not passes(name)]
            if unknown or not names:
                refuse(f"compressions.{split}={names!r}; they are of raw, c0, ..., c51, CODEC-crfN, and A+B for both")
            if self.copies[split] < 1:
                refuse(f"copies.{split}={self.copies[split]}; it is 1 or more")
        if self.size < SMALLEST or self.size % 2 or self.frames < SHORTEST:
            refuse(
                f"size is even and at least {SMALLEST}, frames at least {SHORTEST}, not size={self.size}, "
                f"frames={self.frames}"
            )


def generate(
    root: str | os.PathLike[str],
    *,
    input: str | os.PathLike[str],
    workers: int = 0,
    progress: bool = True,
    pipelines: Pipelines | None = None,
    **settings: Any,
) -> None:
    """Forge real videos into a data set under `root`; what is finished is not made again.

    Args:
      input: folder or CSV of real videos (listing.py).
      workers: processes; 0: one per core.
      pipelines: Beam, to do it on other machines; None: here.
      settings: of Settings.of.

    Raises:
      UserError: settings or videos that cannot be, or a root that was made with others.
    """
    chosen = Settings.of(**settings)
    root = os.path.abspath(root)
    found, notes = listing.real_videos(input, root)
    for line in notes:
        print(line, file=sys.stderr)
    with writing(root):
        claim(os.path.join(root, CLAIM), parameters(chosen, found), "videos forged")
        remove_half_written(root)
        check_sums(root)
        run = Runner(workers, progress, pipelines)
        serving, refused = squares(root, found, chosen, run)
        tasks = plan(root, divided(root, input, serving, chosen.seed), chosen)
        run.all("forge", "clip", clip_files.write, tasks, [task.missing() for task in tasks])
        check_whole(root, tasks)
        finish(root, tasks, refused)
        write_sums(root, [*(path for task in tasks for path in task.files()), LIST, REFUSED])


def parameters(chosen: Settings, found: Sequence[RealVideo]) -> dict[str, Any]:
    """What the bytes of all files depend on, as JSON has it."""
    plain = json.loads(json.dumps(dataclasses.asdict(chosen)))  # lists for tuples
    listed = [(one.video, one.identity, one.split, bytes_of(one.path)) for one in found]
    digest = hashlib.sha256(repr(listed).encode("utf-8", "surrogatepass")).hexdigest()
    return {"version": VERSION, "videos": len(found), "videos_sha256": digest} | plain


def bytes_of(path: str) -> int | None:
    """Of a file; None where there is none."""
    try:
        return os.path.getsize(path)
    except OSError:
        return None


@dataclasses.dataclass(frozen=True)
class Runner:
    """Where tasks are done: in processes here, or on Beam's workers."""

    workers: int
    progress: bool
    pipelines: Pipelines | None

    def all(
        self,
        title: str,
        unit: str,
        function: Callable[[Any], None],
        tasks: Sequence[SquareTask] | Sequence[ClipTask],
        missing: Sequence[Sequence[str | os.PathLike[str]]],
    ) -> None:
        """function(task) for each task that lacks files.

        Args:
          title, unit: of the bar. missing: of each task.
        """
        if self.pipelines is None:
            # A task counts as done where a file is there that always is: this one.
            files = [Path(lacking[0]) if lacking else Path(__file__) for lacking in missing]
            run_jobs(title, unit, function, [(task,) for task in tasks], files, self.workers, self.progress)
            return
        lacking = [task for task, paths in zip(tasks, missing, strict=True) if paths]
        waiting = [OnWorker(function, task, software()) for task in lacking]
        if waiting:
            print(f"{title}: {len(waiting)} of {len(tasks)} go to {self.pipelines.runner}", file=sys.stderr)
            # Which files there are afterwards is known only then: a forgery may turn out impossible.
            self.pipelines.run(title.title(), on_worker, waiting, [])


@dataclasses.dataclass(frozen=True)
class OnWorker:
    """A task on its way to another machine, and what that must have installed."""

    function: Callable[[Any], None]
    task: SquareTask | ClipTask
    software: Mapping[str, Any]


def software() -> dict[str, Any]:
    """What clips depend on beside their parameters."""
    return {"forge": VERSION} | recipe.software()


def on_worker(item: OnWorker) -> None:
    """On a worker: do one task."""
    differing = recipe.first_difference(item.software, software())
    if differing:
        key, expected, actual = differing
        raise UserError(f"a worker has {key}={actual!r} in place of {expected!r}; install the same packages and code")
    with one_at_a_time():
        item.function(item.task)


def squares(
    root: str, found: Sequence[RealVideo], chosen: Settings, run: Runner
) -> tuple[list[RealVideo], list[dict[str, str]]]:
    """The videos that serve, and those that do not with their reasons."""
    tasks = [SquareTask(root, one, chosen.frames, chosen.size) for one in found]
    run.all("squares", "video", clip_files.find, tasks, [[t.file] if not t.file.is_file() else [] for t in tasks])
    serving, refused = [], []
    for task in tasks:
        square = clip_files.read(task.file)
        if isinstance(square, Square):
            serving.append(task.real)
        else:
            refused.append({"path": listing.printable(task.real.path), "reason": square})
    write_json_lines(Path(root) / REFUSED, refused)  # before anything that too few videos stop
    return serving, refused


def divided(root: str, place: str | os.PathLike[str], serving: list[RealVideo], seed: int) -> list[RealVideo]:
    """The videos that serve, each with its split.

    Raises:
      UserError: they show too few people.
    """
    try:
        divided = listing.divided(serving, seed)
        people = {one.identity: one.split for one in divided}
        why = " can be used"
        listing.check_counts(place, people, why)
    except UserError as error:
        raise UserError(f"{error}; why the others cannot be used is in {Path(root) / REFUSED}") from None
    return divided


def plan(root: str, videos: Sequence[RealVideo], chosen: Settings) -> list[ClipTask]:
    """A task for every real clip."""
    made = forgeries(videos, chosen.kinds, chosen.copies, chosen.seed)
    return [
        ClipTask(root, one, tuple(made[one.video]), chosen.compressions[one.split])
        for one in sorted(videos, key=lambda one: one.video)
    ]


def check_whole(root: str, tasks: Sequence[ClipTask]) -> None:
    """Raise UserError where files are not there that workers wrote elsewhere."""
    missing = [path for task in tasks for path in task.missing()]
    if missing:
        raise UserError(
            f"{len(missing)} files are not in {root}, as {missing[0]}: it must lie on storage that all workers share, "
            "at the same path"
        )


def finish(root: str, tasks: Sequence[ClipTask], refused: list[dict[str, str]]) -> None:
    """The lists and the page, and a line on each to the user."""
    rows, kept = [], []
    for task in tasks:
        rows += [row(root, task, None, compression) for compression in task.compressions]
        for forgery in task.forgeries:
            file = clip_files.parameters_file(root, forgery)
            if reason := clip_files.refusal(file):
                refused.append({"path": os.path.relpath(file, root), "reason": reason})
                continue
            kept.append((task, forgery))
            rows += [row(root, task, forgery, compression) for compression in task.compressions]
    write_json_lines(Path(root) / REFUSED, refused)
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    page.write(Path(root), kept, refused)
    write_whole(Path(root) / LIST, text.getvalue())
    print(summary(root, tasks, len(kept), refused), file=sys.stderr)


def row(root: str, task: ClipTask, forgery: Forgery | None, compression: str) -> dict[str, str]:
    """A file's line of videos.csv; forgery None: the real clip."""
    real = task.real
    paths = task.real_paths() if forgery is None else task.paths(forgery)
    line = dict(
        path=os.path.relpath(paths[compression], root),
        label="real",
        identity=real.identity,
        source_identity="",
        method=REAL_METHOD,
        compression=compression,
        split=real.split,
        video=real.video,
        target="",
        mask="",
    )
    if forgery is None:
        return line
    return line | dict(
        label="fake",
        source_identity=forgery.source.identity,
        method=forgery.kind,
        video=forgery.name,
        target=real.video,
        mask=os.path.relpath(clip_files.mask_path(root, forgery), root),
    )


def summary(root: str, tasks: Sequence[ClipTask], forged: int, refused: Sequence[dict[str, str]]) -> str:
    """What was made, in a few lines."""
    people = collections.Counter(split for _, split in {(task.real.identity, task.real.split) for task in tasks})
    divided = " / ".join(f"{people[split]} {split}" for split in SPLITS)
    lines = [f"forged: {len(tasks)} real clips of {people.total()} people ({divided}), {forged} forgeries of them"]
    if refused:
        first = refused[0]
        lines.append(
            f"{len(refused)} set aside, as {os.path.basename(first['path'])}: {first['reason']}; all are in "
            f"{Path(root) / REFUSED}"
        )
    return "\n".join([*lines, f"to look at: {Path(root) / page.PAGE}"])
