"""What a detector says of a video, as Python values: the typed form of an answer (answer.py)."""

from __future__ import annotations

import dataclasses
import html
import re
from collections.abc import Mapping
from typing import Any, Self


@dataclasses.dataclass(frozen=True)
class HeartRate:
    """Rates in beats/min and their signal-to-noise ratios in dB; None where there is no pulse beyond noise.

    bpm, snr_db: of the model's wave. pos_bpm, pos_snr_db: of the classical trace (POS).
    """

    bpm: float | None
    snr_db: float | None
    pos_bpm: float | None
    pos_snr_db: float | None

    @classmethod
    def of(cls, answer: Mapping[str, Any]) -> Self:
        return cls(*(answer[f"heart_rate_{name}"] for name in ("bpm", "snr_db", "pos_bpm", "pos_snr_db")))


@dataclasses.dataclass(frozen=True)
class Doubt:
    """How far a video is from what the model was trained and validated on (docs/evaluation.md, Doubt).

    p: conformal p-value; at `level` or below the video is undetermined, for `reasons`, in words.
    """

    p: float
    level: float
    reasons: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Face:
    """One face of a video. windows: how many of them; track_quality: mean, 0 to 1; p_known: its doubt's p."""

    face: int
    score: float
    margin: float
    label: str
    leaning: str
    p_known: float | None
    heart_rate: HeartRate
    windows: int
    track_quality: float


@dataclasses.dataclass(frozen=True)
class Window:
    """One clip of one face, beginning at start_s seconds."""

    start_s: float
    face: int
    score: float
    margin: float
    heart_rate_bpm: float | None


@dataclasses.dataclass(frozen=True)
class Prediction:
    """What a detector says of one video.

    Attributes:
      score: calibrated P(fake), 0 to 1, of the face that decides: the one that looks most forged.
      margin: logit of fake minus logit of real, which decides.
      label: real, fake or undetermined; leaning: real or fake, without doubt.
      doubt: None where the model was not evaluated, for the reason in doubt_note.
      threshold: from which score on a video is called fake.
      answer: all of it as JSON values (docs/schemas/predict.schema.json).
    """

    video: str
    score: float
    margin: float
    label: str
    leaning: str
    threshold: float
    doubt: Doubt | None
    doubt_note: str
    heart_rate: HeartRate
    faces: tuple[Face, ...]
    windows: tuple[Window, ...]
    answer: Mapping[str, Any] = dataclasses.field(repr=False, compare=False)

    @classmethod
    def of(cls, answer: Mapping[str, Any]) -> Self:
        """From an answer with its `video`."""
        doubt = answer["doubt"]
        return cls(
            **{name: answer[name] for name in ("video", "score", "margin", "label", "leaning")},
            threshold=answer["threshold"]["value"],
            doubt=None if doubt is None else Doubt(doubt["p"], doubt["level"], tuple(doubt["reasons"])),
            doubt_note=answer.get("doubt_note", ""),
            heart_rate=HeartRate.of(answer),
            faces=tuple(_face(face) for face in answer["faces"]),
            windows=tuple(_window(window) for window in answer["windows"]),
            answer=answer,
        )

    def to_dict(self) -> dict[str, Any]:
        """JSON values, as `main.py predict` prints them."""
        return dict(self.answer)

    def __str__(self) -> str:
        """The video's name, and in sentences what its page says of it."""
        from cpml_jax.report import verdict

        sentences = (verdict.called(self.answer), verdict.distance(self.answer), verdict.guarantee(self.answer))
        said = "\n".join(f"  {plain(sentence)}" for sentence in (*sentences, verdict.pulse(self.answer)))
        return f"{self.video}: {self.label}, P(fake) {self.score:.2f}\n{said}"

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        from cpml_jax.report import verdict, words

        return f"<section><h3>{words.foreign(self.video)}</h3>{verdict.verdict(self.answer)}</section>"


def plain(sentence: str) -> str:
    """A sentence of HTML as text."""
    return html.unescape(re.sub(r"<[^>]+>", "", sentence))


def _face(face: Mapping[str, Any]) -> Face:
    names = ("face", "score", "margin", "label", "leaning", "p_known", "windows", "track_quality")
    return Face(**{name: face[name] for name in names}, heart_rate=HeartRate.of(face))


def _window(window: Mapping[str, Any]) -> Window:
    return Window(**{name: window[name] for name in ("start_s", "face", "score", "margin", "heart_rate_bpm")})
