"""A source's test videos under other conditions -> records of their own: <records>/<source>.<protocol>.

Each test video, at the source's best compression, is re-encoded or corrupted once per condition. The copies are then
treated as any other video: cut where the original's face is, and measured on their own frames. A record of a copy has
the condition's name as its `compression`; the records of the original are in the same set. A copy's file is deleted as
soon as it has been measured.
"""

from __future__ import annotations

import collections
import dataclasses
import statistics
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cpml_jax import schema
from cpml_jax.conditions import DEFAULTS, Corruption, named, parse
from cpml_jax.data.records import INDEX
from cpml_jax.errors import UserError
from cpml_jax.files import parse_json
from data_prep import prepare as preparation
from data_prep.conditions import pipeline, plan_file, reencode
from data_prep.conditions.pipeline import Job, Stage
from data_prep.conditions.plan_file import Plan
from data_prep.face import clips
from data_prep.face.clips import FaceClip, Window
from data_prep.page.document import PAGE
from data_prep.records import beam, process, work_file
from data_prep.records.beam import Pipelines
from data_prep.records.process import Sampling
from data_prep.sources import Source, Video

SPLIT = "test"
MARGIN = 0.5  # s that a copy continues after its last clip, so that no encoder's end falls into the clip

Cut = Iterator[tuple[dict, FaceClip | tuple[Window, str]]]  # (source fields of the record, clip or (window, reason))


def prepare(
    source: Source,
    sampling: Sampling,
    protocol: str,
    records: str | Path,
    *,
    conditions: Sequence[str] = (),
    workers: int = 0,
    progress: bool = True,
    pipelines: Pipelines | None = None,
    wait: bool = False,
) -> str:
    """Prepare the test split of a source under every condition; returns the record set's name.

    After an interruption it resumes, as prepare.prepare does.

    Args:
      source: its test split is used, at the best compression on the disk. sampling: which clips of the videos.
      protocol: compression_curve or corruption: part of the record set's name, and what decides the default conditions.
      records: the record set goes to `records`/source.name.protocol.
      conditions: their names, see cpml_jax.conditions; empty: the protocol's.
      workers, progress, pipelines, wait: as for prepare.prepare.

    Raises:
      UserError: an unknown condition, a source without test videos or of ready-made crops, or existing records that
        were prepared with other parameters.
    """
    names = tuple(dict.fromkeys(conditions or DEFAULTS.get(protocol, ())))
    if not names:
        raise UserError(f"no conditions for {protocol!r}; the protocols are {', '.join(DEFAULTS)}")
    settings = {condition: reencode.settings(named(condition)) for condition in names}
    parameters = preparation.parameters_of(source, sampling) | dict(protocol=protocol, conditions=settings)
    parameters.pop("splits")  # only one of them counts
    directory = Path(records) / f"{source.name}.{protocol}"
    if preparation.is_complete(directory, parameters):
        return directory.name
    videos, excluded = best_compression(source)

    def process_all(work: Path) -> list[Path]:
        stages = stages_of(directory.name, videos, work, names, sampling)
        if pipelines:
            pipeline.process(directory.name, stages, pipelines)
        else:
            for stage in stages:
                jobs = [job.arguments for job in stage.jobs]
                preparation.run_jobs(stage.title, stage.unit, stage.task, jobs, stage.files, workers, progress)
        lacking = work / f"without{work_file.SUFFIX}"
        work_file.write(lacking, [], excluded)
        if pipelines:
            beam.describe(directory.name, lacking)
        return [*stages[-1].files, lacking]

    summary = preparation.build(directory, parameters, process_all, sampling, progress, pipelines, wait=wait)
    print(summary_text(directory, summary), file=sys.stderr)
    return directory.name


def best_compression(source: Source) -> tuple[list[Video], list[dict]]:
    """The test videos at the best compression on the disk, and an exclusion for each video that lacks it.

    Raises:
      UserError: no test split, no test video, or folders of crops in place of videos.
    """
    if source.splits and SPLIT not in source.splits:
        raise UserError(
            f"{source.root}: conditions need the split {SPLIT}, and the source's splits are {', '.join(source.splits)}"
        )
    videos = source.list_videos(splits=(SPLIT,))
    crops = next((video.path for video in videos if video.crop_landmarks), None)
    if crops:
        raise UserError(f"{crops}: ready-made crops cannot be re-encoded as videos; give the source's videos")
    best = min((video.compression for video in videos), key=lambda c: (schema.compression_rank(c), c))
    chosen = [video for video in videos if video.compression == best]
    available = {(video.method, video.video) for video in chosen}
    lacking = {(v.method, v.video): v for v in videos if (v.method, v.video) not in available}
    reason = f"no file of it at {best}, the compression that conditions are made from"
    return chosen, [process.exclusion(video, reason) for video in lacking.values()]


def stages_of(
    name: str, videos: Sequence[Video], work: Path, names: Sequence[str], sampling: Sampling
) -> tuple[Stage, Stage]:
    """The faces of each track; then one work file for each video, with all its conditions."""
    groups = [process.in_order(group) for group in preparation.by_track(videos)]
    searches, cuts = [], []
    for group in groups:
        key = process.group_key(group)
        plan = work / f"{key}.windows"
        searches.append(Job((group, plan, sampling), plan, group, key))
        for place, video in enumerate(group):
            file = work / f"{key}-{place}{work_file.SUFFIX}"
            cuts.append(Job((name, video, plan, place, names, file, sampling), file, group, key))
    return (
        Stage(f"faces of {name}", "track", find_faces, searches),
        Stage(f"prepare {name}", "video", process_video, cuts),
    )


def find_faces(group: list[Video], file: Path, sampling: Sampling) -> None:
    """The shared track of a group, before its videos go to different processes: each one's Plan, or why it has none.

    Without torch's threads and weights in them, the processes of the second step start at once.
    """
    tracks = process.SharedTracks(group, sampling)
    plans: list[Plan | str] = []
    for video in group:
        try:
            plans.append(tracks.windows(video, clips.stream_info(video.path, sampling.limits)))
        except Exception as error:  # as in process.process_group
            plans.append(reason(error))
    plan_file.write(file, plans)


def reason(error: Exception) -> str:
    """Why a video is excluded. A full disk is not the video's fault: that error is raised again."""
    if isinstance(error, UserError):
        return str(error)
    if isinstance(error, OSError) and error.errno in reencode.DISK_FULL:
        raise error
    return f"unexpected {type(error).__name__}: {str(error)[:200]}"


def process_video(
    name: str,
    video: Video,
    plans: Path,
    place: int,
    names: Sequence[str],
    file: Path,
    sampling: Sampling,
) -> None:
    """One video -> the records of the original and of its copies, in one work file."""
    plan = plan_file.read(plans)[place]
    if isinstance(plan, str):
        records, excluded = [], [process.exclusion(video, plan)]
    else:
        windows, origin = plan
        records, excluded, valid = measure(video, cut_windows(video.path, windows, sampling, origin))
        # A frame that is missing or damaged in the original is marked so in every copy.
        windows = [dataclasses.replace(w, seen=valid[w.number]) for w in windows if w.number in valid]
        source = reencode.Source(video.path, end_of(windows, sampling.num_frames), sampling.limits)
        for condition in names if windows else ():
            path = file.with_suffix(f".{condition}.mp4")
            cut = cut_copy(path, source, condition, seed(name, video), windows, sampling, origin)
            copies, unusable, _ = measure(dataclasses.replace(video, compression=condition), cut)
            records += copies
            excluded += unusable
    work_file.write(file, records, excluded)


def measure(video: Video, cut: Cut) -> tuple[list[dict], list[dict], dict[int, np.ndarray]]:
    """Records and exclusions of a file, and which frames of each of its windows could be measured."""
    records, excluded, valid = [], [], {}
    try:
        for about, clip in cut:
            if isinstance(clip, FaceClip):
                records.append(process.record(video, about, clip))
                valid[clip.window] = clip.valid
            else:
                excluded.append(process.exclusion(video, clip[1], clip[0].number))
    except Exception as error:
        excluded.append(process.exclusion(video, reason(error)))
    return records, excluded, valid


def end_of(windows: Sequence[Window], num_frames: int) -> float:
    """s; no clip needs what comes after it."""
    return max((w.first + num_frames for w in windows), default=0) / schema.FRAME_RATE + MARGIN


def seed(name: str, video: Video) -> str:
    return schema.video_key(name, video.method, video.compression, video.video)


def cut_windows(path: str | Path, windows: list[Window], sampling: Sampling, origin: dict[str, str]) -> Cut:
    """Yields (source fields of the record, clip or (window, reason)) of a file; origin: face_choice and track_from."""
    about = process.source_fields(clips.stream_info(path, sampling.limits), sampling, **origin)
    for result in clips.cut_windows(path, windows, sampling.num_frames, sampling.limits):
        yield about, result


def cut_copy(
    path: Path,
    source: reencode.Source,
    condition: str,
    seed: str,
    windows: list[Window],
    sampling: Sampling,
    origin: dict[str, str],
) -> Cut:
    """The same for a copy under a condition, whose file exists for as long as that takes."""
    try:
        reencode.write(path, source, named(condition), seed)
        yield from cut_windows(path, windows, sampling, origin)
    finally:
        path.unlink(missing_ok=True)


def summary_text(directory: Path, summary: dict[str, Any]) -> str:
    """One line per condition with its clips and their median bitrate; then the reasons for exclusions."""
    rows = collections.defaultdict(list)
    for line in (directory / INDEX).read_text().splitlines():
        row = parse_json(line)
        rows[row["compression"]].append(row)
    conditions = summary["parameters"]["conditions"]
    order = [key for key in rows if key not in conditions]
    order += [key for key in conditions if key in rows]
    lines = [f"{directory.name}: {summary['clips']['total']} clips", f"  {'':12}{'real':>6}{'fake':>6}{'kbit/s':>10}"]
    for key in order:
        fakes = sum(row["label"] == schema.FAKE for row in rows[key])
        rate = statistics.median(row["source_bitrate"] for row in rows[key]) / 1000
        # A corruption is stored without loss: its file's size means nothing.
        lossless = key in conditions and isinstance(parse(key), Corruption)
        lines.append(f"  {key:12}{len(rows[key]) - fakes:6}{fakes:6}{'' if lossless else f'{rate:10.1f}'}")
    for why, number in sorted(summary["excluded"].items(), key=lambda item: -item[1]):
        lines.append(f"  excluded {number}: {why}")
    return "\n".join([*lines, f"to look at: {directory / PAGE}"])
