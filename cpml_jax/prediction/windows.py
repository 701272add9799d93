"""Scores of one video's windows, a batch of them at a time."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from cpml_jax import signal
from cpml_jax.data.batch import clip_arrays, padded_batch
from cpml_jax.data.input_size import InputSize
from cpml_jax.doubt import properties
from cpml_jax.doubt.distance import Measured
from cpml_jax.errors import UserError
from cpml_jax.evaluation.evidence import Evidence
from cpml_jax.evaluation.heart_rate import Pulse
from cpml_jax.metrics import detection, pulse_waves
from cpml_jax.schema import FRAME_RATE, REAL

if TYPE_CHECKING:  # the packages that read videos, and the model's
    from cpml_jax.evaluation.scoring import Scorer
    from data_prep.face.clips import FaceClip


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
