"""Scores for any videos: one JSON object a line, printed as soon as a video is done.

A window's score is P(fake) of one clip of one face. A face's score is the mean over its windows, as in evaluation's
video level. The video's score is the maximum over its faces: one forged face makes a forged video, and a mean would
let bystanders outvote it. (So a crowd has more chances of a false alarm than one face: `faces` has them all.)
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from absl import logging
from tqdm import tqdm

from cpml_jax import signal
from cpml_jax.errors import UserError, missing_packages
from cpml_jax.evaluation.clip_scores import p_fake_of
from cpml_jax.evaluation.evidence import Evidence
from cpml_jax.evaluation.results_file import RESULTS
from cpml_jax.files import finite
from cpml_jax.metrics import detection
from cpml_jax.schema import FRAME_RATE
from cpml_jax.video_files import expand

LABELS = ("real", "fake")
DEFAULT_THRESHOLD = 0.5


@dataclasses.dataclass(frozen=True)
class Threshold:
    """From which score on a video is called fake, and where that number comes from: validation or default."""

    value: float
    source: str


def run(config, workdir, paths: list[str], page: str = "", out=None) -> int:
    """Score videos with the checkpoint of a run.

    Args:
      paths: video files, and folders that are searched for them.
      page: an HTML file to write, what each answer rests on; none if empty.
      out: gets the lines; standard output if None.

    Returns:
      Exit status: 0, or 1 if a path gave an error object instead of a score.

    Raises:
      UserError: no paths, no usable checkpoint, or the packages for reading videos are not installed.
    """
    if not paths:
        raise UserError("predict needs videos or folders: main.py predict --config=F --workdir=D video.mp4 [more ...]")
    from cpml_jax.evaluation import scoring  # the model and its packages
    from cpml_jax.validation import validate

    validate(config, "predict")
    scorer = scoring.restore_for_scoring(workdir, config, config.eval.checkpoint)
    return predict(
        scorer,
        paths,
        load_video_clips(),
        threshold=read_threshold(workdir, scorer.step),
        num_frames=config.data.num_frames,
        frame_size=config.model.rppg.frame_size,
        batch_size=config.eval.batch_size,
        page=page,
        out=out,
    )


def load_video_clips() -> Callable:
    """data_prep.face.clips.video_clips; its packages (torch, PyAV, dlib) are no part of the lean core.

    Raises:
      UserError: one of them is missing.
    """
    try:
        from data_prep.face.clips import video_clips
    except ImportError as error:
        raise missing_packages("predict", error) from None
    return video_clips


def predict(
    scorer,
    paths: list[str],
    video_clips: Callable,
    *,
    threshold: Threshold,
    num_frames: int,
    frame_size: int,
    batch_size: int,
    page: str = "",
    out=None,
) -> int:
    """Score the videos at `paths`; a bad one gives an error object and the others go on.

    Args:
      scorer: scoring.Scorer.
      video_clips: data_prep.clips.video_clips.
      num_frames, frame_size, batch_size: of the model's input.
      page: an HTML file to write, what each answer rests on; none if empty.

    Returns:
      0, or 1 if a path gave an error object.
    """
    out = out or sys.stdout
    found = list(expand(paths))
    failed, shown = False, []
    sizes = dict(num_frames=num_frames, frame_size=frame_size, batch_size=batch_size)
    for path, problem in tqdm(found, desc="videos", unit="video", file=sys.stderr, disable=len(found) < 2):
        try:
            if problem:
                raise UserError(problem)
            evidence = Evidence(scorer.class_embeddings) if page else None
            scored = score_faces(scorer, video_clips(path, num_frames=num_frames), **sizes, evidence=evidence)
            answer = {"video": path} | describe(scored, threshold)
            if evidence:
                shown.append((answer, evidence.finish(lambda clips: saliency_of(scorer, clips, **sizes))))
        except UserError as error:
            answer = {"video": path, "error": str(error)}
        except Exception as error:  # decoders raise what they like: one file's oddity must not end the others
            logging.debug("%s", path, exc_info=True)
            answer = {"video": path, "error": f"{type(error).__name__}: {' '.join(str(error).split())}"}
        failed |= "error" in answer
        if page and "error" in answer:
            shown.append((answer, []))
        print(json.dumps(finite(answer), allow_nan=False), file=out, flush=True)
    if page:
        from cpml_jax.report import video_page  # matplotlib, which an answer alone does not need

        answers, windows = zip(*shown, strict=True)
        video_page.write(page, list(answers), list(windows), window_s=num_frames / FRAME_RATE)
    return int(failed)


class Window(NamedTuple):
    """What an answer says of a clip."""

    face: int
    start_s: float
    heart_rate_pos: float
    track_quality: float


def score_faces(
    scorer, clips: Iterable, *, num_frames: int, frame_size: int, batch_size: int, evidence: Evidence | None = None
) -> list[tuple[object, float, float | None]]:
    """(clip, P(fake), heart rate in beats/min or None without the rPPG stream) of every clip.

    Args:
      clips: FaceClips of one video, as they come: frames (T, 128, 128, 3) uint8 and landmarks (T, 68, 2) float32.
      evidence: gets what the page shows.

    Raises:
      UserError: a score is not finite.
    """
    clips, scored = iter(clips), []
    while some := list(itertools.islice(clips, batch_size)):
        scores = scorer.score(_batch(_padded(some, batch_size), num_frames, frame_size))
        p_fake = p_fake_of(scores)[: len(some)]
        detection.check_scores([0] * len(some), p_fake, [f"at {clip.start_s} s" for clip in some])
        rates = np.asarray(signal.heart_rate(scores["wave"], FRAME_RATE)) if "wave" in scores else [None] * len(some)
        if evidence:
            evidence.add(some, p_fake, scores)
        # Without the frames: a long video has thousands of clips.
        light = [Window(c.face, c.start_s, c.heart_rate_pos, c.track_quality) for c in some]
        scored += [
            (clip, float(p), r if r is None else float(r)) for clip, p, r in zip(light, p_fake, rates, strict=False)
        ]
    if not scored:
        raise UserError("no face in this video could be measured")
    return scored


def _padded(clips: list, batch_size: int) -> list:
    """To a power of two: few shapes to compile, and a single window does not pay for a whole batch."""
    rows = min(batch_size, 1 << (len(clips) - 1).bit_length())
    return clips + [clips[0]] * (rows - len(clips))


def saliency_of(scorer, clips: list, *, num_frames: int, frame_size: int, batch_size: int) -> np.ndarray:
    """(len(clips), S, S) float32: where the model looks, clip by clip: one shape to compile."""
    return np.concatenate([scorer.saliency(_batch([clip], num_frames, frame_size)) for clip in clips])


def _batch(clips: list, num_frames: int, frame_size: int) -> dict[str, np.ndarray]:
    """schema.BATCH with one view; the label and the pulse play no part in a score."""
    frames = np.stack([_resized(np.asarray(clip.frames)[:num_frames], frame_size) for clip in clips])
    landmarks = np.stack([np.asarray(clip.landmarks, np.float32)[:num_frames] for clip in clips])
    return {
        "frames": frames[:, None],
        "landmarks": landmarks[:, None],
        "pulse": np.zeros((len(clips), num_frames), np.float32),
        "label": np.zeros(len(clips), np.int32),
        "weight": np.ones(len(clips), np.float32),
    }


def _resized(frames: np.ndarray, size: int) -> np.ndarray:
    """Area averages, as records are read (records.py)."""
    if frames.shape[1] == size:
        return frames
    return np.stack([cv2.resize(frame, (size, size), interpolation=cv2.INTER_AREA) for frame in frames])


def describe(scored: list[tuple[object, float, float | None]], threshold: Threshold) -> dict:
    """One video's answer. Heart rates are medians over windows; the video's are those of the face that decides it."""
    faces = []
    for number in sorted({clip.face for clip, _, _ in scored}):
        own = [(clip, p, rate) for clip, p, rate in scored if clip.face == number]
        rates = [rate for _, _, rate in own if rate is not None]
        classical = [float(c.heart_rate_pos) for c, _, _ in own if np.isfinite(c.heart_rate_pos)]
        faces.append(
            {
                "face": number,
                "score": float(np.mean([p for _, p, _ in own])),
                "heart_rate_bpm": float(np.median(rates)) if rates else None,
                "heart_rate_pos_bpm": float(np.median(classical)) if classical else None,
                "windows": len(own),
                "track_quality": float(np.mean([clip.track_quality for clip, _, _ in own])),
            }
        )
    decisive = max(faces, key=lambda face: face["score"])
    windows = [{"start_s": float(c.start_s), "score": p, "face": c.face, "heart_rate_bpm": r} for c, p, r in scored]
    return {
        "score": decisive["score"],
        "label": LABELS[int(decisive["score"] >= threshold.value)],
        "threshold": {"value": threshold.value, "from": threshold.source},
        "heart_rate_bpm": decisive["heart_rate_bpm"],
        "heart_rate_pos_bpm": decisive["heart_rate_pos_bpm"],
        "windows": windows,
        "faces": faces,
    }


def read_threshold(workdir, step: int) -> Threshold:
    """The validation split's video threshold, if evaluation.json is of this very checkpoint; else 0.5."""
    try:
        written = json.loads((Path(workdir) / RESULTS).read_text())
        value = written["results"][0]["threshold"]["video"]
        if written["checkpoint"]["step"] == step and value is not None:
            return Threshold(float(value), "validation")
    except (OSError, ValueError, KeyError, IndexError, TypeError):
        pass
    return Threshold(DEFAULT_THRESHOLD, "default")
