"""Scores for any videos: one JSON object a line, printed as soon as a video is done.

Windows, faces and videos are scored by the rule that is evaluated (evaluation/video_score.py), and decided, calibrated
and doubted as the run's evaluation says (evaluation/verdict.py). Two things differ from an evaluation's records: they
hold one face a video, here all faces are seen and the highest decides, so that a crowd has more chances of a false
alarm than one face (`faces` has them all); and they hold `data.max_windows` windows a video, here all of them are
averaged.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TextIO

import numpy as np
from absl import logging
from tqdm import tqdm

from cpml_jax import signal
from cpml_jax.data.batch import clip_arrays, padded_batch
from cpml_jax.data.input_size import InputSize
from cpml_jax.doubt import properties
from cpml_jax.doubt.distance import Measured
from cpml_jax.errors import UserError, missing_package
from cpml_jax.evaluation import heart_rate, video_score
from cpml_jax.evaluation import verdict as verdicts
from cpml_jax.evaluation.evidence import Evidence
from cpml_jax.evaluation.heart_rate import Pulse
from cpml_jax.evaluation.verdict import Verdict
from cpml_jax.files import finite
from cpml_jax.limits import Limits
from cpml_jax.metrics import detection, pulse_waves
from cpml_jax.schema import FRAME_RATE, REAL
from cpml_jax.video_files import expand

if TYPE_CHECKING:  # the packages that read videos, and the model's
    from ml_collections import ConfigDict

    from cpml_jax.evaluation.scoring import Scorer
    from data_prep.face.clips import FaceClip


def run(
    config: ConfigDict, workdir: str | Path, paths: Sequence[str], page: str = "", out: TextIO | None = None
) -> int:
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
    from cpml_jax import compiled
    from cpml_jax.evaluation import scoring  # the model and its packages
    from cpml_jax.validation import validate

    validate(config, "predict", workdir=workdir)
    compiled.keep()
    video_clips = load_video_clips(Limits(**config.data.limits.to_dict()), config.data.detector_device)
    scorer = scoring.restore_for_scoring(workdir, config, config.eval.checkpoint)
    return predict(
        scorer,
        paths,
        video_clips,
        verdict=verdicts.read(workdir, scorer.step, scorer.parameters_sha256, config.eval.doubt_level),
        size=scoring.input_size(config),
        page=page,
        out=out,
    )


def load_video_clips(
    limits: Limits = Limits(),  # noqa: B008 - frozen
    device: str = "cpu",
) -> Callable[..., Iterable[FaceClip]]:
    """data_prep.face.clips.video_clips, its frames coded as in records; its packages (onnxruntime, PyAV, dlib) are no
    part of the lean core.

    Args:
      device: where faces are looked for (data.detector_device).

    Raises:
      UserError: one of them is missing, or the device.
    """
    try:
        from data_prep.face.clips import video_clips
        from data_prep.face.detector import shared_detector
        from data_prep.face.landmarks import load_predictor
        from data_prep.video import jpeg

        detector = shared_detector(device)
        detector.load()
        load_predictor()
    except ImportError as error:
        raise missing_package("predict", error.name) from None

    def coded(path: str, *, num_frames: int) -> Iterable[FaceClip]:
        for clip in video_clips(path, num_frames=num_frames, detector=detector, limits=limits):
            # The model, and what doubt goes by, have seen frames of records: coding takes some of the finest texture.
            frames = np.stack([jpeg.decode(frame) for frame in jpeg.encode(clip.frames)])
            yield dataclasses.replace(clip, frames=frames)

    return coded


def predict(
    scorer: Scorer,
    paths: Sequence[str],
    video_clips: Callable[..., Iterable[FaceClip]],
    *,
    verdict: Verdict,
    size: InputSize,
    page: str = "",
    out: TextIO | None = None,
) -> int:
    """Score the videos at `paths`; a bad one gives an error object and the others go on.

    Args:
      video_clips: as load_video_clips gives it.
      verdict: how an answer is made of margins.
      page: an HTML file to write, what each answer rests on; none if empty.
      out: gets the lines; standard output if None.

    Returns:
      0, or 1 if a path gave an error object.
    """
    out = out or sys.stdout
    files = list(expand(paths))
    failed, shown = False, []
    for path, problem in tqdm(files, desc="videos", unit="video", file=sys.stderr, disable=len(files) < 2):
        try:
            if problem:
                raise UserError(problem)
            evidence = Evidence(scorer.class_embeddings) if page else None
            measured = not isinstance(verdict.knowledge, str)
            windows = score_windows(scorer, video_clips(path, num_frames=size.num_frames), size, evidence, measured)
            answer = {"video": path} | describe(windows, verdict)
            if evidence:
                shown.append((answer, evidence.finish(lambda clips: saliency_of(scorer, clips, size))))
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

        answers, arrays = zip(*shown, strict=True)
        video_page.write(page, list(answers), list(arrays), window_s=size.num_frames / FRAME_RATE)
    return int(failed)


class ScoredWindow(NamedTuple):
    """What an answer holds of a clip: without its frames, since a long video has thousands of clips.

    margin: logit of fake minus logit of real. measured: what doubt goes by; None where it was not asked for.
    """

    face: int
    start_s: float
    track_quality: float
    margin: float
    pulse: Pulse
    measured: Measured | None = None


def score_windows(
    scorer: Scorer,
    clips: Iterable[FaceClip],
    size: InputSize,
    evidence: Evidence | None = None,
    measured: bool = False,
) -> list[ScoredWindow]:
    """Scores of one video's clips.

    Args:
      clips: as they come.
      evidence: gets what the page shows.
      measured: whether to measure what doubt goes by.

    Raises:
      UserError: no clip, or a score is not finite.
    """
    clips, windows = iter(clips), []
    while some := list(itertools.islice(clips, size.batch_size)):
        # Few shapes to compile, and a single window does not pay for a whole batch.
        rows = min(size.batch_size, next_power_of_two(len(some)))
        scores = scorer.score(batch_of(some, size, rows))
        margins = detection.fake_margin(scores["logits"])[: len(some)]
        detection.check_scores([0] * len(some), margins, [f"at {clip.start_s} s" for clip in some])
        if evidence:
            evidence.add(some, margins, scores)
        for i, (clip, margin) in enumerate(zip(some, margins, strict=True)):
            known = Measured(scores["unified"][i], properties.measure(vars(clip))) if measured else None
            wave = scores["wave"][i] if "wave" in scores else None
            windows.append(
                ScoredWindow(
                    clip.face, clip.start_s, float(clip.track_quality), float(margin), pulse_of(clip, wave), known
                )
            )
    if not windows:
        raise UserError("no face in this video could be measured")
    return windows


def next_power_of_two(number: int) -> int:
    return 1 << (number - 1).bit_length()


def batch_of(clips: Sequence[FaceClip], size: InputSize, rows: int) -> dict[str, np.ndarray]:
    """A batch of `rows` rows, made as evaluation makes it of records; the label plays no part in a score."""
    arrays = [clip_arrays(vars(clip), size) for clip in clips]
    return padded_batch(arrays, [REAL] * len(clips), rows)


def saliency_of(scorer: Scorer, clips: Sequence[FaceClip], size: InputSize) -> np.ndarray:
    """(len(clips), S, S) float32: where the model looks, clip by clip: one shape to compile."""
    return np.concatenate([scorer.saliency(batch_of([clip], size, 1)) for clip in clips])


def pulse_of(clip: FaceClip, wave: np.ndarray | None) -> Pulse:
    """The pulse of a clip by the model's wave (T,), None without the rppg stream, and by the classical trace."""
    rate = None if wave is None else float(np.asarray(signal.heart_rate(wave[None], FRAME_RATE))[0])
    snr = None if wave is None or rate is None else pulse_waves.snr_db(wave, rate)
    return Pulse(rate, snr, float(clip.heart_rate_pos), float(clip.snr_pos), float(clip.snr_p_pos))


def describe(scored: Sequence[ScoredWindow], verdict: Verdict) -> dict[str, Any]:
    """One video's answer. Heart rates, doubt and label are those of the face that decides it."""
    faces: list[dict[str, Any]] = []
    judgements = []
    margins = video_score.face_margins([w.margin for w in scored], [w.face for w in scored])
    for number, margin in margins.items():
        of_face = [window for window in scored if window.face == number]
        judgements.append(verdict.judge([window.measured for window in of_face]))
        faces.append(
            {
                "face": number,
                **verdict.score(margin),
                **verdict.label(margin, judgements[-1]),
                "p_known": judgements[-1].p if judgements[-1] else None,
                **heart_rate.of_face([window.pulse for window in of_face]),
                "windows": len(of_face),
                "track_quality": float(np.mean([window.track_quality for window in of_face])),
            }
        )
    place = list(margins).index(video_score.deciding_face(margins))
    decisive = faces[place]
    return {
        **{key: decisive[key] for key in ("margin", "score", "label", "leaning")},
        **verdict.doubt(judgements[place]),
        **verdict.describe(),
        **{key: decisive[key] for key in heart_rate.KEYS},
        "windows": [
            {
                "start_s": float(w.start_s),
                **verdict.score(w.margin),
                "face": w.face,
                **heart_rate.of_window(w.pulse),
            }
            for w in scored
        ],
        "faces": faces,
    }
