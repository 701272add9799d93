"""Scores for any videos: one JSON object a line, printed as soon as a video is done.

Windows, faces and videos are scored by the rule that is evaluated (evaluation/video_score.py). Two things differ from
an evaluation's records: they hold one face a video, here all faces are seen and the highest decides, so that a crowd
has more chances of a false alarm than one face (`faces` has them all); and they hold `data.max_windows` windows a
video, here all of them are averaged.
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
from cpml_jax.errors import UserError, missing_packages
from cpml_jax.evaluation import video_score
from cpml_jax.evaluation.evidence import Evidence
from cpml_jax.evaluation.results_file import RESULTS
from cpml_jax.files import finite
from cpml_jax.metrics import detection
from cpml_jax.schema import FRAME_RATE, REAL
from cpml_jax.video_files import expand

if TYPE_CHECKING:  # the packages that read videos, and the model's
    from ml_collections import ConfigDict

    from cpml_jax.evaluation.scoring import Scorer
    from data_prep.face.clips import FaceClip

LABELS = ("real", "fake")
DEFAULT_THRESHOLD = 0.0  # as a margin: P(fake) of a half


@dataclasses.dataclass(frozen=True)
class Threshold:
    """From which margin on a video is called fake, and where that number comes from: validation or default."""

    margin: float
    source: str

    @property
    def value(self) -> float:
        """As P(fake)."""
        return float(detection.sigmoid([self.margin])[0])


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
    from cpml_jax.evaluation import scoring  # the model and its packages
    from cpml_jax.validation import validate

    validate(config, "predict", workdir=workdir)
    scorer = scoring.restore_for_scoring(workdir, config, config.eval.checkpoint)
    return predict(
        scorer,
        paths,
        load_video_clips(),
        threshold=read_threshold(workdir, scorer.step, scorer.parameters_sha256),
        size=scoring.input_size(config),
        page=page,
        out=out,
    )


def load_video_clips() -> Callable[..., Iterable[FaceClip]]:
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
    scorer: Scorer,
    paths: Sequence[str],
    video_clips: Callable[..., Iterable[FaceClip]],
    *,
    threshold: Threshold,
    size: InputSize,
    page: str = "",
    out: TextIO | None = None,
) -> int:
    """Score the videos at `paths`; a bad one gives an error object and the others go on.

    Args:
      video_clips: data_prep.face.clips.video_clips.
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
            windows = score_windows(scorer, video_clips(path, num_frames=size.num_frames), size, evidence)
            answer = {"video": path} | describe(windows, threshold)
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

    margin: logit of fake minus logit of real. heart_rate: of the model's wave, beats/min; None without the rppg stream.
    """

    face: int
    start_s: float
    heart_rate_pos: float
    track_quality: float
    margin: float
    heart_rate: float | None


def score_windows(
    scorer: Scorer, clips: Iterable[FaceClip], size: InputSize, evidence: Evidence | None = None
) -> list[ScoredWindow]:
    """Scores of one video's clips.

    Args:
      clips: as they come.
      evidence: gets what the page shows.

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
        rates = [None] * len(some)
        if "wave" in scores:
            rates = [float(rate) for rate in np.asarray(signal.heart_rate(scores["wave"], FRAME_RATE))[: len(some)]]
        if evidence:
            evidence.add(some, margins, scores)
        windows += [
            ScoredWindow(clip.face, clip.start_s, clip.heart_rate_pos, clip.track_quality, float(margin), rate)
            for clip, margin, rate in zip(some, margins, rates, strict=True)
        ]
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


def describe(scored: Sequence[ScoredWindow], threshold: Threshold) -> dict[str, Any]:
    """One video's answer. Heart rates are medians over windows; the video's are those of the face that decides it."""
    faces: list[dict[str, Any]] = []
    margins = video_score.face_margins([w.margin for w in scored], [w.face for w in scored])
    for number, margin in margins.items():
        of_face = [window for window in scored if window.face == number]
        rates = [window.heart_rate for window in of_face if window.heart_rate is not None]
        classical = [float(window.heart_rate_pos) for window in of_face if np.isfinite(window.heart_rate_pos)]
        faces.append(
            {
                "face": number,
                **_score(margin),
                "heart_rate_bpm": float(np.median(rates)) if rates else None,
                "heart_rate_pos_bpm": float(np.median(classical)) if classical else None,
                "windows": len(of_face),
                "track_quality": float(np.mean([window.track_quality for window in of_face])),
            }
        )
    decisive = faces[list(margins).index(video_score.deciding_face(margins))]
    return {
        **_score(decisive["margin"]),
        "label": LABELS[int(decisive["margin"] >= threshold.margin)],
        "threshold": {"value": threshold.value, "margin": threshold.margin, "from": threshold.source},
        "heart_rate_bpm": decisive["heart_rate_bpm"],
        "heart_rate_pos_bpm": decisive["heart_rate_pos_bpm"],
        "windows": [
            {"start_s": float(w.start_s), **_score(w.margin), "face": w.face, "heart_rate_bpm": w.heart_rate}
            for w in scored
        ],
        "faces": faces,
    }


def _score(margin: float) -> dict[str, float]:
    return {"margin": margin, "score": float(detection.sigmoid([margin])[0])}


def read_threshold(workdir: str | Path, step: int, parameters_sha256: str) -> Threshold:
    """The validation split's video threshold, if evaluation.json is of these very parameters; else P(fake) of a half.

    Files before version 3.0.0 do not name the parameters, and their threshold is one of mean probabilities.
    """
    try:
        written = json.loads((Path(workdir) / RESULTS).read_text())
        checkpoint, margin = written["checkpoint"], written["results"][0]["threshold"]["video_margin"]
        same = (checkpoint["step"], checkpoint["parameters_sha256"]) == (step, parameters_sha256)
        if same and margin is not None:
            return Threshold(float(margin), "validation")
    except (OSError, ValueError, KeyError, IndexError, TypeError):
        pass
    return Threshold(DEFAULT_THRESHOLD, "default")
