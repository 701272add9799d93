"""Videos that share one face track -> their records, in one work file. What a preparation process does."""

from __future__ import annotations

import dataclasses
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from cpml_jax import schema
from cpml_jax.errors import UserError
from cpml_jax.limits import Limits
from data_prep.crops import files as crop_files
from data_prep.crops import reader as crop_reader
from data_prep.face import clips, detector, mask
from data_prep.face.clips import FaceClip
from data_prep.records import work_file
from data_prep.sources import Video
from data_prep.video import jpeg
from data_prep.video.reader import StreamInfo

RATE_TOLERANCE = 0.005  # of the frames/s: 29.97 is 30, 25 is not
LENGTH_TOLERANCE = 0.1  # s between the lengths of two files of the same frames
VIDEO_FIELDS = ("method", "compression", "split", "video", "identity", "source_identity", "target_video", "label")
CLIP_FIELDS = (
    "window", "start_s", "track_quality", "box", "landmarks", "valid", "pulse_pos", "pulse_chrom", "heart_rate_pos",
    "heart_rate_chrom", "snr_pos", "snr_chrom", "snr_p_pos", "snr_p_chrom",
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Sampling:
    """Which clips are taken from a video: windows of contiguous frames (clips.window_starts).

    Attributes:
      num_frames: of a clip, at 30 frames/s.
      max_windows: clips per video.
      limits: of what is decoded of a video.
      windows: "first": one after another from the face track's first frame; "spread": evenly over the track.
      detector_device: where faces are looked for, as detector.shared_detector has it. Records do not depend on it.
    """

    num_frames: int
    max_windows: int
    windows: str = "first"
    limits: Limits = Limits()
    detector_device: str = "cpu"

    @property
    def spread(self) -> bool:
        return self.windows == "spread"

    def parameters(self) -> dict[str, Any]:
        """What records depend on."""
        chosen = dict(num_frames=self.num_frames, max_windows=self.max_windows)
        # Earlier records have no such keys.
        chosen |= {} if self.windows == "first" else {"windows": self.windows}
        return chosen | ({} if self.limits == Limits() else {"limits": dataclasses.asdict(self.limits)})

    def describe(self) -> str:
        """As a record has it."""
        start = "spread" if self.spread else "track"
        return f"start={start};stride=1;count={self.num_frames};fps={schema.FRAME_RATE:g};windows={self.max_windows}"


def group_key(group: list[Video]) -> str:
    """Names a group's work file: what the source says of its videos, and which files they are.

    So work left by an interruption is reused for the very same videos only: not for those of another root, nor after a
    file was replaced or a compression added.
    """
    digest = hashlib.sha256()
    for video in group:
        try:
            status = os.stat(video.path)
            state = crop_files.state(video) if video.crop_landmarks else (status.st_size, status.st_mtime_ns)
        except OSError:
            state = None  # opening it gives the reason
        digest.update(repr((video, os.path.abspath(video.path), state)).encode("utf-8", "surrogatepass"))
    return digest.hexdigest()[:24]


def process_group(group: list[Video], file: Path, sampling: Sampling) -> None:
    """Videos of one track: the track from the best of them that gives one, the measurements from each file itself.

    In FaceForensics++ the group is a target's real video and every manipulation of it at every compression: up to 15
    files whose frames lie over one another, of which one is searched for faces.
    """
    group = in_order(group)
    tracks = SharedTracks(group, sampling)
    records, excluded = [], []
    for video in group:
        try:
            about, results = ready_made(video, sampling) if video.crop_landmarks else tracks.cut(video)
            for result in results:
                if isinstance(result, FaceClip):
                    records.append(record(video, about, result))
                else:
                    excluded.append(exclusion(video, result[1], result[0].number))
        except UserError as error:
            excluded.append(exclusion(video, str(error)))
        except Exception as error:  # no single file may stop thousands: it is listed with its error
            excluded.append(exclusion(video, f"unexpected {type(error).__name__}: {str(error)[:200]}"))
    work_file.write(file, records, excluded)


def in_order(group: list[Video]) -> list[Video]:
    """As its files are searched for a face: the best compression first, and the real video before its fakes."""
    return sorted(group, key=lambda v: (schema.compression_rank(v.compression), v.label, v.path))


# Fields of the record that describe the source; its clips, or (window, reason) for each that it cannot give.
Cuts = tuple[dict[str, Any], Iterator[FaceClip | tuple[clips.Window, str]]]


def ready_made(video: Video, sampling: Sampling) -> Cuts:
    """Clips of a folder of crops as they are, with the face that somebody else chose."""
    info = crop_files.stream_info(video.path)
    about = source_fields(info, sampling, face_choice="given", track_from=track_name(video))
    return about, crop_reader.cut(video, sampling.num_frames, sampling.max_windows, sampling.spread)


@dataclasses.dataclass
class Plan:
    """What is cut out of the videos that share a track.

    Attributes:
      info: of the file that the track comes from.
      windows: to cut; until it is settled, all that might be.
      origin: the record's fields that say where the track comes from.
      settled: whether a file has shown which of the windows can be measured.
    """

    info: StreamInfo
    windows: list[clips.Window]
    origin: dict[str, str]
    settled: bool = False

    def serves(self, info: StreamInfo) -> bool:
        """Whether the windows lie at the right places and moments of another file."""
        return (
            (info.height, info.width) == (self.info.height, self.info.width)
            and abs(info.fps - self.info.fps) <= RATE_TOLERANCE * self.info.fps
            and abs(info.seconds - self.info.seconds) <= LENGTH_TOLERANCE
        )


class SharedTracks:
    """The face track that the videos of a group share; a file of another size, rate or length gets its own."""

    def __init__(self, group: list[Video], sampling: Sampling) -> None:
        # A fake's mask would be an oracle where a detector is tested, and choose faces of fakes that nobody could know.
        self._masks = [video.mask for video in group if video.mask and video.split == "train"]
        self._sampling = sampling
        self._plans: list[Plan] = []

    def cut(self, video: Video) -> Cuts:
        """Raises UserError if no video like this one has given a track yet, and this one does not."""
        info = clips.stream_info(video.path, self._sampling.limits)
        plan = self._plan(video, info)
        about = source_fields(info, self._sampling, **plan.origin)
        if plan.settled:
            return about, clips.cut_windows(video.path, plan.windows, self._sampling.num_frames, self._sampling.limits)
        return about, self._settle(plan, video.path)

    def windows(self, video: Video, info: StreamInfo) -> tuple[list[clips.Window], dict[str, str]]:
        """What to cut, and the record's fields that say where the track comes from. Raises UserError as `cut` does."""
        plan = self._plan(video, info)
        if not plan.settled:
            for _ in self._settle(plan, video.path):
                pass
        return plan.windows, plan.origin

    def _plan(self, video: Video, info: StreamInfo) -> Plan:
        """The plan that serves the video, made of its frames if there is none: of one face, the manipulated one, else
        the largest that lasts."""
        if plan := next((plan for plan in self._plans if plan.serves(info)), None):
            return plan
        sampling = self._sampling
        finder = detector.shared_detector(sampling.detector_device)
        tracks, count = clips.track_video(video.path, finder, sampling.limits)
        # A larger face that disappears within a clip gives way.
        lasting = [track for track in tracks if len(track) >= sampling.num_frames]
        chosen = mask.manipulated(lasting, self._masks) if len(lasting) > 1 else None
        planned = [chosen] if chosen is not None else lasting[:1] or tracks
        # Of windows one after another, the next serves where one cannot be measured.
        limit = sampling.max_windows if sampling.spread else None
        windows = clips.plan_windows(
            planned, count, num_frames=sampling.num_frames, max_windows=limit, spread=sampling.spread
        )
        choice = "largest" if chosen is None else "mask"
        self._plans.append(Plan(info, windows, dict(face_choice=choice, track_from=track_name(video))))
        return self._plans[-1]

    def _settle(self, plan: Plan, path: str) -> Iterator[FaceClip | tuple[clips.Window, str]]:
        """Clips of the file that the track comes from, until there are enough; the others of the group have the same.

        Yields:
          As clips.cut_windows; a window that cannot be measured only if none took its place.
        """
        limit = self._sampling.max_windows
        measured: list[int] = []
        refused = []
        for result in clips.cut_windows(path, plan.windows, self._sampling.num_frames, self._sampling.limits):
            if isinstance(result, FaceClip):
                measured.append(result.window)
                yield result
            else:
                refused.append(result)
            if len(measured) == limit:
                break
        refused = refused[: limit - len(measured)]
        kept = {*measured, *(window.number for window, _ in refused)}
        plan.windows, plan.settled = [w for w in plan.windows if w.number in kept], True
        yield from refused


def track_name(video: Video) -> str:
    """method/compression/video, as track_from has it."""
    return f"{video.method}/{video.compression}/{video.video}"


def source_fields(info: StreamInfo, sampling: Sampling, *, face_choice: str, track_from: str) -> dict[str, Any]:
    """What a record says of its source, its face and its sampler."""
    return dict(
        source_fps=info.fps,
        source_height=info.height,
        source_width=info.width,
        source_codec=info.codec,
        source_bitrate=info.bitrate,
        face_choice=face_choice,
        track_from=track_from,
        sampler=sampling.describe(),
    )


def exclusion(video: Video, reason: str, window: int | None = None) -> dict[str, Any]:
    """A line of excluded.jsonl, but for the data set's name; without `window` it is the whole video's."""
    row = {key: getattr(video, key) for key in ("method", "compression", "split", "video", "label", "path")}
    return row | ({} if window is None else {"window": window}) | {"reason": reason}


def record(video: Video, about: dict[str, Any], clip: FaceClip) -> dict[str, Any]:
    """schema.RECORD of a clip, but for the data set's name, which packing adds."""
    pulse, rate = truth(video.truth, clip.start_s, len(clip.frames))
    fields = {key: getattr(video, key) for key in VIDEO_FIELDS}
    measured = {key: getattr(clip, key) for key in CLIP_FIELDS}
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
