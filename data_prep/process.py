"""Videos that share one face track -> their records, in one work file. What a preparation process does."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import pickle
from pathlib import Path

import cv2
import numpy as np

from cpml_jax import schema
from cpml_jax.errors import UserError
from cpml_jax.files import write_whole
from data_prep import clips, coding, faces, mask
from data_prep.clips import FaceClip
from data_prep.sources import Listed
from data_prep.video import StreamInfo


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
    """Videos of one track: the track from the best of them that gives one, the measurements from each its own.

    In FaceForensics++ the group is a target's real video and every manipulation of it at every compression: up to 15
    files whose frames lie over one another, of which one is searched for faces.
    """
    # The best compression first, and the real video before its fakes.
    group = sorted(group, key=lambda v: (schema.compression_rank(v.compression), v.label, v.path))
    masks = [video.mask for video in group if video.mask]
    records, excluded, plans = [], [], {}  # plans: one a frame size, for boxes are in pixels
    for video in group:
        try:
            info = clips.stream_info(video.path)
            size = (info.height, info.width)
            if size not in plans:
                plans[size] = plan(video, masks, num_frames, max_windows)
            for result in clips.cut_windows(video.path, plans[size].windows, num_frames):
                if isinstance(result, FaceClip):
                    records.append(record(video, info, plans[size], sampler(num_frames, max_windows), result))
                else:
                    excluded.append(exclusion(video, result[1], result[0].number))
        except UserError as error:
            excluded.append(exclusion(video, str(error)))
        except Exception as error:  # no single file may stop thousands: it is listed with what it did
            excluded.append(exclusion(video, f"unexpected {type(error).__name__}: {str(error)[:200]}"))
    write_whole(file, pickle.dumps((records, excluded), protocol=5))


@dataclasses.dataclass(frozen=True)
class Plan:
    """The windows of a track, why it was chosen (schema: face_choice) and where it was found (track_from)."""

    windows: list[clips.Window]
    face_choice: str
    track_from: str


def plan(video: Listed, masks: list[str], num_frames: int, max_windows: int) -> Plan:
    """Track the faces of a video and choose one: the one that was manipulated, else the largest that lasts.

    Raises:
      UserError: no face, or none for as long as a clip.
    """
    tracks, count = clips.track_video(video.path, faces.shared_detector())
    # A larger face that is gone before a clip is over gives way.
    lasting = [track for track in tracks if len(track) >= num_frames]
    chosen = mask.manipulated(lasting, masks) if len(lasting) > 1 else None
    choice = "largest" if chosen is None else "mask"
    windows = clips.plan_windows(
        [chosen] if chosen is not None else lasting[:1] or tracks, count, num_frames=num_frames, max_windows=max_windows
    )
    return Plan(windows, choice, f"{video.method}/{video.compression}/{video.video}")


def sampler(num_frames: int, max_windows: int) -> str:
    """What an evaluation must report: windows of contiguous frames, one after another from the track's first."""
    return f"start=track;stride=1;count={num_frames};fps={schema.FRAME_RATE:g};windows={max_windows}"


def exclusion(video: Listed, reason: str, window: int | None = None) -> dict:
    row = {key: getattr(video, key) for key in ("method", "compression", "split", "video", "label", "path")}
    return row | ({} if window is None else {"window": window}) | {"reason": reason}


def record(video: Listed, info: StreamInfo, plan: Plan, sampler: str, clip: FaceClip) -> dict:
    """schema.RECORD of a clip, but for the data set's name, which packing adds."""
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
        sampler=sampler, face_choice=plan.face_choice, track_from=plan.track_from,
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
