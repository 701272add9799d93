"""A source's test videos under other conditions -> a record set of their own: <records>/<source>.<protocol>.

Each test video, at the best compression there is, is written anew as every variant, and the variants travel the road
of all videos: cut where the original's face is, measured on their own frames. A variant's name is its `compression`;
the original is there too. Files of variants live until they are measured.
"""

from __future__ import annotations

import collections
import dataclasses
import json
import os
import pickle
import shutil
import statistics
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from cpml_jax import conditions, schema
from cpml_jax.data.records import INDEX
from cpml_jax.errors import UserError
from cpml_jax.files import write_whole
from data_prep import prepare as preparation
from data_prep import sources
from data_prep.conditions import reencode
from data_prep.face import clips
from data_prep.face.clips import FaceClip, Window
from data_prep.page.document import PAGE
from data_prep.records import process
from data_prep.records.disk import writing
from data_prep.records.pack import pack
from data_prep.sources import Video

SPLIT = "test"
MARGIN = 0.5  # s that a variant goes on after its last clip, so that no encoder's end falls into it


def prepare(
    name,
    protocol,
    kind,
    root,
    records,
    *,
    variants=(),
    num_frames,
    max_windows,
    workers,
    compressions=(),
    methods=(),
    splits=(SPLIT,),
    parameters=None,
    progress=True,
) -> str:
    """Prepare the test split of a source under every variant. Started again it goes on, as prepare.prepare does.

    Args:
      name, kind, root, compressions, methods, splits: of the source, as for prepare.prepare. Of its compressions the
        best that lies there is used, of its splits the test split.
      protocol: compression_curve or corruption: what the record set is called after, and its default variants.
      records: the record set goes to `records`/`name`.`protocol`.
      variants: their names, see conditions; empty: the protocol's.
      num_frames, max_windows, workers, progress: as for prepare.prepare.
      parameters: what the records depend on beside these arguments, as how the videos were drawn.

    Returns:
      The record set's name.

    Raises:
      UserError: an unknown variant, a source without test videos or of ready-made crops, or records that were made
        with other parameters.
    """
    names = tuple(dict.fromkeys(variants or conditions.DEFAULTS.get(protocol, ())))
    if not names:
        raise UserError(f"no variants for {protocol!r}; the protocols are {', '.join(conditions.DEFAULTS)}")
    made = {variant: reencode.settings(conditions.named(variant)) for variant in names}
    wanted = (parameters or {}) | dict(
        kind=kind, protocol=protocol, variants=made, compressions=compressions, methods=methods,
        num_frames=num_frames, max_windows=max_windows,
    )  # fmt: skip
    directory = Path(records) / f"{name}.{protocol}"
    if preparation.is_complete(records, directory.name, wanted):
        return directory.name
    with writing(directory):
        videos, without = best_compression(kind, os.path.abspath(root), compressions, methods, splits)
        work = Path(os.path.abspath(directory / preparation.WORK))
        work.mkdir(parents=True, exist_ok=True)
        preparation.begin(directory, work, wanted)
        files = make(directory.name, videos, work, names, num_frames, max_windows, workers, progress)
        write_whole(work / "without.pickle", pickle.dumps(([], without), protocol=5))
        summary = pack(directory, [*files, work / "without.pickle"], num_frames, wanted, progress)
        print(summary_text(directory, summary), file=sys.stderr)
        shutil.rmtree(work)
    return directory.name


def best_compression(kind, root, compressions, methods, splits) -> tuple[list[Video], list[dict]]:
    """The test videos at the best of the compressions that lie there; an exclusion for each that lacks it.

    Raises:
      UserError: no test split, no test video, or folders of crops in place of videos.
    """
    if SPLIT not in splits:
        raise UserError(f"{root}: variants are made of the split {SPLIT}, and splits are {', '.join(splits) or 'none'}")
    listed = sources.list_videos(kind, root, compressions=compressions, methods=methods, splits=(SPLIT,))
    crops = next((video.path for video in listed if video.crop_landmarks), None)
    if crops:
        raise UserError(f"{crops}: ready-made crops cannot be encoded again as videos; give the source's videos")
    best = min((video.compression for video in listed), key=lambda c: (schema.compression_rank(c), c))
    chosen = [video for video in listed if video.compression == best]
    there = {(video.method, video.video) for video in chosen}
    lacking = {(v.method, v.video): v for v in listed if (v.method, v.video) not in there}
    reason = f"it is not there as {best}, of which variants are made"
    return chosen, [process.exclusion(video, reason) for video in lacking.values()]


def make(name, videos, work: Path, names, num_frames, max_windows, workers, progress) -> list[Path]:
    """A work file for each video, of all its variants; what an earlier call left is not made again."""
    groups = collections.defaultdict(list)
    for video in videos:
        groups[video.track_key].append(video)
    groups = [process.in_order(group) for group in groups.values()]
    keys = [process.group_key(group) for group in groups]
    plans = [work / f"{key}.plan" for key in keys]
    searches = [(group, plan, num_frames, max_windows) for group, plan in zip(groups, plans, strict=True)]
    preparation.run_jobs(f"faces of {name}", "track", find_faces, searches, plans, workers, progress)
    jobs, files = [], []
    for group, key, plan in zip(groups, keys, plans, strict=True):
        for place, video in enumerate(group):
            files.append(work / f"{key}-{place}.pickle")
            jobs.append((name, video, plan, place, names, files[-1], num_frames, max_windows))
    preparation.run_jobs(f"prepare {name}", "video", process_video, jobs, files, workers, progress)
    return files


Plan = tuple[list[Window], dict]  # what to cut, and where the track comes from (SharedTracks.windows)


def find_faces(group: list[Video], file: Path, num_frames: int, max_windows: int) -> None:
    """The shared track of a group, before its videos go to different processes: for each a Plan, or why there is none.

    Without torch's threads and weights in them, the processes of the second step start in a moment.
    """
    tracks = process.SharedTracks([video.mask for video in group if video.mask], num_frames, max_windows)
    plans: list[Plan | str] = []
    for video in group:
        try:
            plans.append(tracks.windows(video, clips.stream_info(video.path)))
        except Exception as error:  # as in process.process_group
            plans.append(reason(error))
    write_whole(file, pickle.dumps(plans, protocol=5))


def reason(error: Exception) -> str:
    """Why a video is set aside. A full disk says nothing about a video: it ends the preparation."""
    if isinstance(error, UserError):
        return str(error)
    if isinstance(error, OSError) and error.errno in reencode.DISK_FULL:
        raise error
    return f"unexpected {type(error).__name__}: {str(error)[:200]}"


def process_video(name, video: Video, plans: Path, place, names, file: Path, num_frames, max_windows) -> None:
    """One video -> the records of the original and of its variants, in one work file."""
    plan = pickle.loads(plans.read_bytes())[place]
    if isinstance(plan, str):
        records, excluded = [], [process.exclusion(video, plan)]
    else:
        windows, origin = plan
        sampled = dict(num_frames=num_frames, max_windows=max_windows, **origin)
        records, excluded, valid = measure(video, cut_windows(video.path, windows, sampled))
        # Variants of what the original gives: a frame that is missing or damaged there is so in every one of them.
        windows = [dataclasses.replace(w, seen=valid[w.number]) for w in windows if w.number in valid]
        source = reencode.Source(video.path, end_of(windows, num_frames))
        for variant in names if windows else ():
            path = file.with_suffix(f".{variant}.mp4")
            found = cut_variant(path, source, variant, seed(name, video), windows, sampled)
            more, less, _ = measure(dataclasses.replace(video, compression=variant), found)
            records += more
            excluded += less
    write_whole(file, pickle.dumps((records, excluded), protocol=5))


def measure(video: Video, cut: Iterator) -> tuple[list[dict], list[dict], dict[int, np.ndarray]]:
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


def end_of(windows: list[Window], num_frames: int) -> float:
    """s; what comes after it no clip needs."""
    return max((w.first + num_frames for w in windows), default=0) / schema.FRAME_RATE + MARGIN


def seed(name: str, video: Video) -> str:
    return schema.video_key(name, video.method, video.compression, video.video)


def cut_windows(path, windows: list[Window], sampled: dict):
    """Yields (what the record says of the file, clip or (window, reason))."""
    about = process.source_fields(clips.stream_info(path), **sampled)
    for result in clips.cut_windows(path, windows, sampled["num_frames"]):
        yield about, result


def cut_variant(path: Path, source: reencode.Source, variant: str, seed: str, windows, sampled):
    """The same of a variant, whose file is there for as long as that takes."""
    try:
        reencode.write(path, source, conditions.named(variant), seed)
        yield from cut_windows(path, windows, sampled)
    finally:
        path.unlink(missing_ok=True)


def summary_text(directory: Path, summary: dict) -> str:
    """A line for each condition: its clips and their median bitrate; and the reasons of what was set aside."""
    rows = collections.defaultdict(list)
    for line in (directory / INDEX).read_text().splitlines():
        row = json.loads(line)
        rows[row["compression"]].append(row)
    order = [key for key in rows if key not in summary["parameters"]["variants"]]
    order += [key for key in summary["parameters"]["variants"] if key in rows]
    lines = [f"{directory.name}: {summary['clips']['total']} clips", f"  {'':12}{'real':>6}{'fake':>6}{'kbit/s':>10}"]
    for key in order:
        fakes = sum(row["label"] == schema.FAKE for row in rows[key])
        rate = statistics.median(row["source_bitrate"] for row in rows[key]) / 1000
        made = key in summary["parameters"]["variants"]
        stored = made and isinstance(conditions.parse(key), conditions.Corruption)  # its file's bits say nothing of it
        lines.append(f"  {key:12}{len(rows[key]) - fakes:6}{fakes:6}{'' if stored else f'{rate:10.1f}'}")
    for why, number in sorted(summary["excluded"].items(), key=lambda item: -item[1]):
        lines.append(f"  excluded {number}: {why}")
    return "\n".join([*lines, f"to look at: {directory / PAGE}"])
