"""Scores of one video's windows, a batch of them at a time."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from cpml_jax.data.batch import Clip, clip_arrays, padded_batch, zero_inputs
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


class ReadyClip(NamedTuple):
    """What scoring needs of a clip, made where the clip was cut: a third of the whole clip's bytes, or less.

    arrays: of clip_arrays. properties: of doubt's measure, None where nobody asks for doubt. The others are FaceClip's.
    """

    face: int
    start_s: float
    track_quality: float
    heart_rate_pos: float
    snr_pos: float
    snr_p_pos: float
    arrays: Clip
    properties: np.ndarray | None


@dataclasses.dataclass(frozen=True)
class Readying:
    """FaceClip -> ReadyClip, for a model that reads `size`; measured: with what doubt goes by."""

    size: InputSize
    measured: bool

    def __call__(self, clip: FaceClip) -> ReadyClip:
        return ReadyClip(
            clip.face,
            clip.start_s,
            clip.track_quality,
            clip.heart_rate_pos,
            clip.snr_pos,
            clip.snr_p_pos,
            clip_arrays(vars(clip), self.size),
            properties.measure(vars(clip)) if self.measured else None,
        )


class WindowScores:
    """Scores of one video's windows, made as its clips come; holds no more than a batch of clips.

    Args:
      evidence: gets what the page shows; then whole clips must come.
      measured: whether to measure what doubt goes by.
    """

    def __init__(
        self, scorer: Scorer, size: InputSize, evidence: Evidence | None = None, measured: bool = False
    ) -> None:
        self._scorer, self._size, self._evidence = scorer, size, evidence
        self._ready = Readying(size, measured)
        self._whole: list[FaceClip] = []
        self._waiting: list[ReadyClip] = []
        self._windows: list[ScoredWindow] = []

    def add(self, clip: FaceClip | ReadyClip) -> None:
        """Raises UserError where a score is not finite."""
        if isinstance(clip, ReadyClip):
            self._waiting.append(clip)
        else:
            self._waiting.append(self._ready(clip))
            if self._evidence:
                self._whole.append(clip)
        if len(self._waiting) == self._size.batch_size:
            self._score(self._size.batch_size)

    def finish(self) -> list[ScoredWindow]:
        """All windows. Raises UserError where there is none, or a score is not finite."""
        while self._waiting:
            self._score(few(self._scorer, self._size))
        if not self._windows:
            raise UserError("no face in this video could be measured")
        return self._windows

    def _score(self, rows: int) -> None:
        """The first windows that wait, with a program for so many."""
        some, self._waiting = self._waiting[:rows], self._waiting[rows:]
        scores = self._scorer.score(padded_batch([clip.arrays for clip in some], [REAL] * len(some), rows))
        margins = detection.fake_margin(scores["logits"])[: len(some)]
        detection.check_scores([0] * len(some), margins, [f"at {clip.start_s} s" for clip in some])
        if self._evidence:
            self._evidence.add(self._whole[:rows], margins, scores)
            self._whole = self._whole[rows:]
        pulses = pulses_of(some, scores.get("wave"))
        for i, (clip, margin, pulse) in enumerate(zip(some, margins, pulses, strict=True)):
            known = None if clip.properties is None else Measured(scores["unified"][i], clip.properties)
            self._windows.append(
                ScoredWindow(clip.face, clip.start_s, float(clip.track_quality), float(margin), pulse, known)
            )


def score_windows(
    scorer: Scorer,
    clips: Iterable[FaceClip],
    size: InputSize,
    evidence: Evidence | None = None,
    measured: bool = False,
) -> list[ScoredWindow]:
    """Scores of one video's clips, as they come. Arguments and errors as those of WindowScores."""
    scores = WindowScores(scorer, size, evidence, measured)
    for clip in clips:
        scores.add(clip)
    return scores.finish()


def few(scorer: Scorer, size: InputSize) -> int:
    """Windows to score at once where they do not fill a batch: two shapes to compile, whatever videos come.

    Two, which a clip of ten seconds has; where there are more devices than that, one on each.
    """
    return min(size.batch_size, max(2, scorer.devices))


def warm_up(scorer: Scorer, size: InputSize) -> None:
    """Compile what a video's last windows will need: while they are being read, there is time for it."""
    rows = few(scorer, size)
    wave = scorer.score(zero_inputs(size, rows)).get("wave")
    if wave is not None:
        heart_rates(wave)


def batch_of(clips: Sequence[FaceClip], size: InputSize, rows: int) -> dict[str, np.ndarray]:
    """A batch of `rows` rows, made as evaluation makes it of records; the label plays no part in a score."""
    arrays = [clip_arrays(vars(clip), size) for clip in clips]
    return padded_batch(arrays, [REAL] * len(clips), rows)


def saliency_of(scorer: Scorer, clips: Sequence[FaceClip], size: InputSize) -> np.ndarray:
    """(len(clips), S, S) float32: where the model looks, clip by clip: one shape to compile."""
    return np.concatenate([scorer.saliency(batch_of([clip], size, 1)) for clip in clips])


def pulses_of(clips: Sequence[FaceClip | ReadyClip], waves: np.ndarray | None) -> list[Pulse]:
    """The clips' pulses by the model's waves (rows, T), rows at least as many as clips, or None without the rppg
    stream; and by the classical trace."""
    if waves is None:
        known: list[tuple[float | None, float | None]] = [(None, None)] * len(clips)
    else:
        rates = [float(rate) for rate in heart_rates(waves)]
        known = [(rate, pulse_waves.snr_db(wave, rate)) for wave, rate in zip(waves, rates, strict=True)]
    return [
        Pulse(rate, snr, float(clip.heart_rate_pos), float(clip.snr_pos), float(clip.snr_p_pos))
        for clip, (rate, snr) in zip(clips, known)  # noqa: B905 - a batch may have more rows
    ]


def heart_rates(waves: np.ndarray) -> np.ndarray:
    """(rows,) beats/min."""
    from cpml_jax import signal  # JAX, which a process that readies clips does without

    return np.asarray(signal.heart_rate(waves, FRAME_RATE))
