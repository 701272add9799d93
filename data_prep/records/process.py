"""Videos that share one face track -> their records, in one work file. What a preparation process does."""

from __future__ import annotations

import hashlib
import os
import pickle
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from cpml_jax import schema
from cpml_jax.errors import UserError
from cpml_jax.files import write_whole
from data_prep.crops import files as crop_files
from data_prep.crops import reader as crop_reader
from data_prep.face import clips, mask
from data_prep.face.clips import FaceClip
from data_prep.face.detector import shared_detector
from data_prep.sources import Video
from data_prep.video import jpeg
from data_prep.video.reader import StreamInfo


def group_key(group: list[Video]) -> str:
    """Names a group's work file: what the source says of its videos, and which files they are.

    So work that an interruption left is used again only for the very same videos: not for those of another root, nor
    after a file was replaced, or one more compression came.
    """
    digest = hashlib.sha256()
    for video in group:
        try:
            status = os.stat(video.path)
            state = crop_files.state(video) if video.crop_landmarks else (status.st_size, status.st_mtime_ns)
        except OSError:
            state = None  # its reason is found when it is opened
        digest.update(repr((video, os.path.abspath(video.path), state)).encode("utf-8", "surrogatepass"))
    return digest.hexdigest()[:24]


def start_worker() -> None:
    cv2.setNumThreads(1)


def process_group(group: list[Video], file: Path, num_frames: int, max_windows: int) -> None:
    """Videos of one track: the track from the best of them that gives one, the measurements from each its own.

    In FaceForensics++ the group is a target's real video and every manipulation of it at every compression: up to 15
    files whose frames lie over one another, of which one is searched for faces.
    """
    group = in_order(group)
    tracks = SharedTracks([video.mask for video in group if video.mask], num_frames, max_windows)
    records, excluded = [], []
    for video in group:
        try:
            about, results = ready_made(video, num_frames, max_windows) if video.crop_landmarks else tracks.cut(video)
            for result in results:
                if isinstance(result, FaceClip):
                    records.append(record(video, about, result))
                else:
                    excluded.append(exclusion(video, result[1], result[0].number))
        except UserError as error:
            excluded.append(exclusion(video, str(error)))
        except Exception as error:  # no single file may stop thousands: it is listed with what it did
            excluded.append(exclusion(video, f"unexpected {type(error).__name__}: {str(error)[:200]}"))
    write_whole(file, pickle.dumps((records, excluded), protocol=5))


def in_order(group: list[Video]) -> list[Video]:
    """In which its files are searched for a face: the best compression first, and the real video before its fakes."""
    return sorted(group, key=lambda v: (schema.compression_rank(v.compression), v.label, v.path))


Cuts = tuple[dict, Iterator]  # fields of the record that describe the source; its clips, or (window, reason)


def ready_made(video: Video, num_frames: int, max_windows: int) -> Cuts:
    """Clips of a folder of crops, as they are, of the face that somebody else chose."""
    info = crop_files.stream_info(video.path)
    about = source_fields(info, num_frames, max_windows, face_choice="given", track_from=track_name(video))
    return about, crop_reader.cut(video, num_frames, max_windows)


class SharedTracks:
    """The face track that the videos of a group share: one a frame size, for boxes are in pixels."""

    def __init__(self, masks: list[str], num_frames: int, max_windows: int):
        self._masks, self._num_frames, self._max_windows = masks, num_frames, max_windows
        self._plans: dict[tuple[int, int], tuple[list[clips.Window], dict]] = {}

    def cut(self, video: Video) -> Cuts:
        """Raises UserError if no video of this size has given a track yet, and this one does not."""
        info = clips.stream_info(video.path)
        windows, origin = self.windows(video, info)
        about = source_fields(info, self._num_frames, self._max_windows, **origin)
        return about, clips.cut_windows(video.path, windows, self._num_frames)

    def windows(self, video: Video, info: StreamInfo) -> tuple[list[clips.Window], dict]:
        """What to cut, and the record's fields that say where the track comes from. Raises UserError as `cut` does."""
        size = (info.height, info.width)
        if size not in self._plans:
            windows, choice = self._plan(video.path)
            self._plans[size] = windows, dict(face_choice=choice, track_from=track_name(video))
        return self._plans[size]

    def _plan(self, path: str) -> tuple[list[clips.Window], str]:
        """Windows of one face, the manipulated one, else the largest that lasts; and which of the two it was."""
        tracks, count = clips.track_video(path, shared_detector())
        # A larger face that is gone before a clip is over gives way.
        lasting = [track for track in tracks if len(track) >= self._num_frames]
        chosen = mask.manipulated(lasting, self._masks) if len(lasting) > 1 else None
        planned = [chosen] if chosen is not None else lasting[:1] or tracks
        windows = clips.plan_windows(planned, count, num_frames=self._num_frames, max_windows=self._max_windows)
        return windows, "largest" if chosen is None else "mask"


def track_name(video: Video) -> str:
    return f"{video.method}/{video.compression}/{video.video}"


def source_fields(info: StreamInfo, num_frames: int, max_windows: int, *, face_choice: str, track_from: str) -> dict:
    """What a record says of its source, its face and its sampler: windows of contiguous frames, one after another."""
    return dict(
        source_fps=info.fps, source_height=info.height, source_width=info.width, source_codec=info.codec,
        source_bitrate=info.bitrate, face_choice=face_choice, track_from=track_from,
        sampler=f"start=track;stride=1;count={num_frames};fps={schema.FRAME_RATE:g};windows={max_windows}",
    )  # fmt: skip


def exclusion(video: Video, reason: str, window: int | None = None) -> dict:
    row = {key: getattr(video, key) for key in ("method", "compression", "split", "video", "label", "path")}
    return row | ({} if window is None else {"window": window}) | {"reason": reason}


def record(video: Video, about: dict, clip: FaceClip) -> dict:
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
    coded = clip.coded if isinstance(clip, crop_reader.CropClip) else jpeg.encode(clip.frames)
    return fields | about | measured | dict(frames=coded, pulse_truth=pulse, heart_rate_truth=rate)


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
