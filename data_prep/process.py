"""Videos that share one face track -> their records, in one work file. What a preparation process does."""

from __future__ import annotations

import hashlib
import os
import pickle
from pathlib import Path

import cv2
import numpy as np

from cpml_jax import schema
from cpml_jax.errors import UserError
from cpml_jax.files import write_whole
from data_prep import clips, coding, faces
from data_prep.clips import FaceClip
from data_prep.sources import Listed


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
