"""A data set's videos -> records, index, list of what was set aside, contact sheet. Resumable: one file a video."""

from __future__ import annotations

import collections
import concurrent.futures
import concurrent.futures.process
import hashlib
import json
import math
import multiprocessing
import os
import pickle
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from cpml_jax import schema
from cpml_jax.errors import UserError
from cpml_jax.records import EXCLUDED, INDEX, SUMMARY
from data_prep import builder, clips, coding, contact_sheet, faces, sources
from data_prep.clips import FaceClip, video_clips
from data_prep.sources import Listed

WORK = "work"  # finished videos of a preparation that is under way


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


def check_parameters(directory: Path, made: dict, wanted: dict) -> None:
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
) -> dict:
    """Prepare one source. Started again after any interruption it goes on, and ends with the same bytes.

    Args:
      name: of the source; its records go to `records`/name.
      kind, root, compressions, methods, splits: see sources.list_videos.
      num_frames: of a clip, at 30 frames/s. max_windows: clips a video.
      workers: processes; 0: one a core.
      parameters: what the records depend on, kept with them and compared at the next call; by default the arguments.
      progress: bars on stderr.

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
    listed = sources.list_videos(kind, str(root), compressions=compressions, methods=methods, splits=splits)
    work = directory / WORK
    work.mkdir(parents=True, exist_ok=True)
    begin(directory, work, wanted)
    groups = collections.defaultdict(list)
    for video in listed:
        groups[video.track_key].append(video)
    files = run_groups(name, list(groups.values()), work, num_frames, max_windows, workers, progress)
    summary = pack(directory, files, num_frames, wanted, progress)
    print(summary_text(name, summary), file=sys.stderr)
    shutil.rmtree(work)
    return summary


def begin(directory: Path, work: Path, wanted: dict) -> None:
    """Leave the parameters beside the work in progress, or check that it goes on with the same."""
    path = work / "parameters.json"
    if path.is_file():
        check_parameters(directory, json.loads(path.read_text()), wanted)
    else:
        write_whole(path, json.dumps(wanted).encode())


def run_groups(name, groups, work: Path, num_frames, max_windows, workers, progress) -> list[Path]:
    """Every group of one track -> one file in `work`; those already there are not made again."""
    files = [work / f"{group_key(group)}.pickle" for group in groups]
    missing = [(group, file) for group, file in zip(groups, files, strict=True) if not file.is_file()]
    bar = tqdm(total=len(groups), initial=len(groups) - len(missing), desc=f"prepare {name}", unit="video",
               file=sys.stderr, disable=not progress, dynamic_ncols=True)  # fmt: skip
    count = min(workers or os.cpu_count() or 1, max(len(missing), 1))
    with bar:
        if count == 1:
            for group, file in missing:
                process_group(group, file, num_frames, max_windows)
                bar.update()
            return files
        # Spawned, not forked: torch's and OpenCV's threads do not survive a fork.
        context = multiprocessing.get_context("spawn")
        with concurrent.futures.ProcessPoolExecutor(count, mp_context=context, initializer=start_worker) as pool:
            jobs = [pool.submit(process_group, group, file, num_frames, max_windows) for group, file in missing]
            try:
                for job in concurrent.futures.as_completed(jobs):
                    job.result()
                    bar.update()
            except concurrent.futures.process.BrokenProcessPool:
                raise UserError(
                    f"{work.parent}: a preparation process died, for want of memory perhaps; start again with a "
                    "smaller data.workers: finished videos are kept"
                ) from None
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise
    return files


def group_key(group: list[Listed]) -> str:
    """Names a group's work file: what the source says of its videos, and which files they are.

    So work that an interruption left is used again only for the very same videos: not for those of another root, nor
    after a file was replaced, or one more compression came.
    """
    digest = hashlib.sha256()
    for video in group:
        try:
            status = os.stat(video.path)
            state = (status.st_size, status.st_mtime_ns)
        except OSError:
            state = None  # its reason is found when it is opened
        digest.update(repr((video, os.path.abspath(video.path), state)).encode("utf-8", "surrogatepass"))
    return digest.hexdigest()[:24]


def start_worker() -> None:
    cv2.setNumThreads(1)


def process_group(group: list[Listed], file: Path, num_frames: int, max_windows: int) -> None:
    """Videos of one track: the track from the best compression that gives one, the measurements from each its own."""
    group = sorted(group, key=lambda v: schema.compression_rank(v.compression))
    records, excluded, windows = [], [], None
    for video in group:
        try:
            if windows is None:
                tracks, count = clips.track_video(video.path, faces.shared_detector())
                # The largest face that lasts is the one that counts: a larger one that is gone before a clip is
                # over gives way.
                lasting = [track for track in tracks if len(track) >= num_frames][:1]
                windows = clips.plan_windows(lasting or tracks, count, num_frames=num_frames, max_windows=max_windows)
            for result in clips.cut_windows(video.path, windows, num_frames):
                if isinstance(result, FaceClip):
                    records.append(record(video, result))
                else:
                    excluded.append(exclusion(video, result[1], result[0].number))
        except UserError as error:
            excluded.append(exclusion(video, str(error)))
        except Exception as error:  # no single file may stop thousands: it is listed with what it did
            excluded.append(exclusion(video, f"unexpected {type(error).__name__}: {str(error)[:200]}"))
    write_whole(file, pickle.dumps((records, excluded), protocol=5))


def write_whole(path: Path, data: bytes) -> None:
    """All of the file or none: a kill leaves no half-written one."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_bytes(data)
    os.replace(temporary, path)


def exclusion(video: Listed, reason: str, window: int | None = None) -> dict:
    row = {key: getattr(video, key) for key in ("method", "compression", "split", "video", "label", "path")}
    return row | ({} if window is None else {"window": window}) | {"reason": reason}


def record(video: Listed, clip: FaceClip) -> dict:
    """schema.RECORD of a clip, but for the data set's name, which packing adds."""
    info = clips.stream_info(video.path)
    pulse, rate = truth(video.truth, clip.start_s, len(clip.frames))
    fields = {
        key: getattr(video, key)
        for key in ("method", "compression", "split", "video", "identity", "source_identity", "target_video", "label")
    }
    measured = {
        key: getattr(clip, key)
        for key in ("window", "start_s", "track_quality", "box", "landmarks", "valid", "pulse_pos", "pulse_chrom",
                    "heart_rate_pos", "heart_rate_chrom", "snr_pos", "snr_chrom")
    }  # fmt: skip
    return fields | measured | dict(
        source_fps=info.fps, source_height=info.height, source_width=info.width, source_codec=info.codec,
        source_bitrate=info.bitrate, frames=coding.encode(clip.frames), pulse_truth=pulse, heart_rate_truth=rate,
    )  # fmt: skip


def truth(path: str, start_s: float, length: int) -> tuple[np.ndarray, float]:
    """The true wave (z-scored) and mean heart rate over a clip, from a drawn video's sidecar; NaN without one."""
    unknown = np.full(length, np.nan, np.float32), float("nan")
    if not path:
        return unknown
    with np.load(path) as sidecar:
        times, pulse, rate = sidecar["times_s"], sidecar["pulse"], sidecar["heart_rate"]
    if not np.isfinite(pulse).all():
        return unknown
    at = start_s + np.arange(length) / schema.FRAME_RATE
    wave = np.interp(at, times, pulse)
    inside = (times >= at[0]) & (times <= at[-1])
    return ((wave - wave.mean()) / max(wave.std(), 1e-9)).astype(np.float32), float(rate[inside].mean())


def pack(directory: Path, files: list[Path], num_frames: int, parameters: dict, progress: bool) -> dict:
    """Work files -> ArrayRecord, index, excluded, contact sheet, and last of all the summary."""
    name = directory.name
    shutil.rmtree(directory / builder.DATASET, ignore_errors=True)  # of a packing that was interrupted
    index, excluded, by_split = {}, [], collections.defaultdict(list)
    pulses = collections.defaultdict(list)
    for file in files:
        records, set_aside = pickle.loads(file.read_bytes())
        excluded += [{"dataset": name, **row} for row in set_aside]
        for place, row in enumerate(records):
            row = complete(name, row)
            index[row["clip_id"]] = {key: plain(row[key]) for key in schema.INDEX_FIELDS}
            by_split[row["split"]].append((row["clip_id"], file, place))
            if np.isfinite(row["pulse_truth"]).all():
                agreement = np.corrcoef(row["pulse_pos"], row["pulse_truth"])[0, 1]
                pulses[f"{row['method']}/{row['compression']}"].append(float(np.nan_to_num(agreement)))
    order: dict[str, list[str]] = {}
    digest = hashlib.sha256()
    if by_split:
        total = sum(len(rows) for rows in by_split.values())
        with tqdm(
            total=total, desc=f"pack {name}", unit="clip", file=sys.stderr, disable=not progress, dynamic_ncols=True
        ) as bar:
            splits = {split: stream(name, sorted(by_split[split]), bar, digest) for split in sorted(by_split)}
            order = builder.write(directory, splits, num_frames)
    rows = [index[i] | {"position": p} for split in sorted(order) for p, i in enumerate(order[split])]
    excluded.sort(key=lambda row: (row["path"], row.get("window", -1)))
    write_whole(directory / INDEX, "".join(json.dumps(row) + "\n" for row in rows).encode())
    write_whole(directory / EXCLUDED, "".join(json.dumps(row) + "\n" for row in excluded).encode())
    contact_sheet.write(directory / "contact_sheet.png", pick(name, by_split))
    summary = {
        "schema": schema.SCHEMA_VERSION,
        "dataset": name,
        "parameters": json.loads(json.dumps(parameters)),
        "sha256": digest.hexdigest(),
        "clips": counts(rows),
        "pulse_correlation": {key: [float(np.mean(r)), float(np.std(r)), len(r)] for key, r in sorted(pulses.items())},
        "excluded": dict(collections.Counter(row["reason"] for row in excluded)),
    }
    write_whole(directory / SUMMARY, json.dumps(summary, indent=1).encode())
    return summary


def plain(value):
    """A NumPy or Python scalar as JSON has it; NaN becomes null."""
    value = value.item() if isinstance(value, np.generic) else value
    return None if isinstance(value, float) and not math.isfinite(value) else value


def complete(name: str, row: dict) -> dict:
    keys = (name, row["method"], row["compression"], row["video"])
    return row | dict(
        dataset=name,
        clip_id=schema.clip_id(*keys, row["window"]),
        clip_key=schema.clip_key(name, row["method"], row["video"], row["window"]),
        video_key=schema.video_key(*keys),
    )


def stream(name: str, rows: list[tuple[str, Path, int]], bar, digest) -> Iterator[dict]:
    """Records in order of their ids, a work file in memory at a time."""
    held, loaded = None, []
    for clip_id, file, place in rows:
        if file != held:
            held, loaded = file, pickle.loads(file.read_bytes())[0]
        digest.update(clip_id.encode() + b"".join(loaded[place]["frames"]))
        yield complete(name, loaded[place])
        bar.update()


def pick(name: str, by_split, most: int = 24) -> list[dict]:
    """Clips for the contact sheet: spread evenly over methods and compressions."""
    every = sorted(entry for rows in by_split.values() for entry in rows)
    groups = collections.defaultdict(list)
    for entry in every:
        groups["/".join(entry[0].split("/")[1:3])].append(entry)
    share = max(1, most // max(len(groups), 1))
    chosen = []
    for rows in groups.values():
        count = min(share, len(rows))
        chosen += [rows[i * len(rows) // count] for i in range(count)]
    return [complete(name, pickle.loads(file.read_bytes())[0][place]) for _, file, place in chosen[:most]]


def counts(rows: list[dict]) -> dict:
    tally = collections.Counter((r["split"], r["method"], r["compression"]) for r in rows)
    return {"/".join(key): number for key, number in sorted(tally.items())} | {"total": len(rows)}


def summary_text(name: str, summary: dict) -> str:
    """A table of counts and the reasons of what was set aside."""
    tally = {tuple(key.split("/")): n for key, n in summary["clips"].items() if key != "total"}
    columns = sorted({key[2] for key in tally}, key=lambda c: (schema.compression_rank(c), c))
    lines = [
        f"{name}: {summary['clips']['total']} clips",
        f"  {'split':6} {'method':18}" + "".join(f"{c:>9}" for c in columns),
    ]
    for split, method in sorted({key[:2] for key in tally}):
        lines.append(f"  {split:6} {method:18}" + "".join(f"{tally.get((split, method, c), 0):9}" for c in columns))
    for key, (mean, deviation, number) in summary["pulse_correlation"].items():
        lines.append(f"  POS against the true pulse, {key}: {mean:.2f} ± {deviation:.2f} ({number} clips)")
    for reason, number in sorted(summary["excluded"].items(), key=lambda item: -item[1]):
        lines.append(f"  excluded {number}: {reason}")
    return "\n".join(lines)


__all__ = ["is_complete", "prepare", "video_clips"]
