"""What a run knows: how far held-out videos lie from its training clips, and how far a new video does.

Evaluation makes it, `predict` reads it back. It belongs to the parameters that it was made with: another checkpoint has
other features.
"""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from cpml_jax import npz
from cpml_jax.doubt import conformal, distance
from cpml_jax.doubt.distance import Cloud, Measured, Reference
from cpml_jax.doubt.properties import NAMES, PROPERTIES, Property
from cpml_jax.files import write_whole

FILE = "doubt.npz"
SCORE = (
    "the larger of two Mahalanobis distances from the training clips, each divided by what 95 % of those keep within: "
    "of the unified feature, and of the input's properties (" + ", ".join(NAMES) + "); mean over a video's windows"
)
FAR = 3.0  # spreads from the median: from there on a property is named as a reason
NAMED = 3  # properties at most
UNLIKE = "the features are unlike those of any training data"
TOGETHER = "the properties of the picture and its motion occur in a combination that training did not show"
# What p-values count, and whose videos (calibration.py).
GROUPS, PEOPLE, VIDEOS = "groups of people", "people", "videos"
OVER = (GROUPS, PEOPLE, VIDEOS)
VALIDATION, BOTH = "validation", "training and validation"
SOURCES = (VALIDATION, BOTH)
_NOTES = {
    BOTH: "validation shows too few people for this level by itself, so people of training are left out of the "
    "reference in turn and counted too; the model was fitted to them",
    PEOPLE: "people are counted as independent though some are seen in one forgery together",
    VIDEOS: "videos are counted as independent though several show the same people: there are too few people for this "
    "level, and more than its share of videos may be undetermined",
}


@dataclasses.dataclass(frozen=True)
class Judgement:
    """How far a video is from what the run knows.

    Attributes:
      p: conformal p-value. score: the nonconformity score. undetermined: whether p is at the level or below.
      reasons: in words, the furthest first; empty where it is not undetermined.
    """

    p: float
    score: float
    undetermined: bool
    reasons: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Fold:
    """A reference, and the distances from it of videos of people whom it does not hold.

    Attributes:
      reference: of training clips.
      scores: (N,) distance.score of the videos. groups: (N,) names of whom each counts for.
    """

    reference: Reference
    scores: Float[np.ndarray, " N"]
    groups: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Knowledge:
    """Distances of videos that the reference has not seen; calibration.py makes it.

    Attributes:
      folds: one, of validation videos; or several, where people of training had to be left out in turn.
      over: what is counted as independent: OVER. sources: whose videos: SOURCES.
      parameters_sha256: of the model whose features they are.
      level: eval.doubt_level; above 0.
    """

    folds: tuple[Fold, ...]
    over: str
    sources: str
    parameters_sha256: str
    level: float

    @property
    def videos(self) -> int:
        return sum(len(fold.scores) for fold in self.folds)

    @property
    def count(self) -> int:
        """How many groups, people or videos p-values count."""
        return sum(conformal.group_weights(len(fold.scores), fold.groups)[1] for fold in self.folds)

    @property
    def smallest_p(self) -> float:
        """The smallest p-value there can be."""
        return conformal.smallest(self.count)

    @property
    def note(self) -> str | None:
        """What the p-values lack, in one line."""
        if self.smallest_p > self.level:
            return (
                f"nothing can be undetermined at level {self.level:g}: that takes {conformal.fewest(self.level)} "
                f"{self.over}, and there are {self.count}"
            )
        notes = [_NOTES[key] for key in (self.sources, self.over) if key in _NOTES]
        return "; ".join(notes) or None

    def judge(self, windows: Sequence[Measured]) -> Judgement:
        """One video, or one face of it, of its windows: at least one."""
        parts = [fold.reference.distances(windows) for fold in self.folds]
        scores = [distance.score(each) for each in parts]
        far = [
            conformal.as_far([score], fold.scores, fold.groups)[0][0]
            for score, fold in zip(scores, self.folds, strict=True)
        ]
        p = (1.0 + float(np.sum(far))) / (self.count + 1.0)
        undetermined = p <= self.level
        reasons = self._reasons(windows, np.mean(parts, axis=0)) if undetermined else ()
        return Judgement(p, float(np.mean(scores)), undetermined, reasons)

    def _reasons(self, windows: Sequence[Measured], parts: Float[np.ndarray, "N 2"]) -> tuple[str, ...]:
        usual = np.quantile(np.concatenate([fold.scores for fold in self.folds]), 1.0 - self.level)
        features, properties = parts.mean(axis=0)
        values = np.stack([window.properties for window in windows])
        z = np.mean([fold.reference.scaled(values).mean(axis=0) for fold in self.folds], axis=0)
        low = np.min([fold.reference.low for fold in self.folds], axis=0)
        high = np.max([fold.reference.high for fold in self.folds], axis=0)
        named = [
            _worded(PROPERTIES[i], _middle(values[:, i]), low[i], high[i])
            for i in np.argsort(-np.abs(z))[:NAMED].tolist()
            if abs(z[i]) >= FAR
        ]
        if properties > usual and not named:
            named = [TOGETHER]
        unlike = [UNLIKE] if features > usual or not named else []
        return (*unlike, *named) if features > properties else (*named, *unlike)

    def describe(self) -> dict[str, Any]:
        """`doubt` of evaluation.json."""
        about = {
            "level": self.level,
            "score": SCORE,
            "p_over": self.over,
            "count": self.count,
            "sources": self.sources,
            "videos": self.videos,
            "smallest_p": self.smallest_p,
            "reference_clips": max(fold.reference.clips for fold in self.folds),
        }
        return about | ({"note": self.note} if self.note else {})

    def write(self, path: Path) -> None:
        """As an npz file."""
        arrays: dict[str, Any] = {
            "names": np.asarray(NAMES), "parameters_sha256": np.asarray(self.parameters_sha256),
            "over": np.asarray(self.over), "sources": np.asarray(self.sources), "folds": np.asarray(len(self.folds)),
        }  # fmt: skip
        for i, fold in enumerate(self.folds):
            reference = fold.reference
            arrays |= {f"{name}_{i}": getattr(reference, name) for name in (*_RANGES, "clips")}
            for part in distance.PARTS:
                cloud: Cloud = getattr(reference, part)
                arrays |= {f"{part}_centre_{i}": cloud.centre, f"{part}_precision_{i}": cloud.precision}
            arrays |= {f"scores_{i}": fold.scores, f"groups_{i}": np.asarray(fold.groups, dtype=np.str_)}
        file = io.BytesIO()
        np.savez_compressed(file, allow_pickle=False, **arrays)
        write_whole(path, file.getvalue())


_RANGES = ("typical", "spread", "low", "high", "unit")


def read(path: Path, parameters_sha256: str, level: float) -> Knowledge | str:
    """What `Knowledge.write` wrote, at a level; or, in one line, why it cannot serve."""
    if level <= 0:
        return "eval.doubt_level is 0"
    if not path.is_file():
        return f"this run has no {FILE}: `main.py evaluate` makes it"
    try:
        held = npz.read(path)
        if str(held["parameters_sha256"]) != parameters_sha256:
            return f"{FILE} is of another checkpoint: `main.py evaluate` makes that of this one"
        if tuple(held["names"].tolist()) != NAMES:
            return f"{FILE} is of another version, which measured other properties: `main.py evaluate` makes it anew"
        folds = tuple(_fold(held, i) for i in range(int(held["folds"])))
        return Knowledge(folds, str(held["over"]), str(held["sources"]), parameters_sha256, level)
    except Exception as error:  # NumPy and zipfile raise many kinds of exceptions on damaged bytes
        return f"{FILE} cannot be read ({type(error).__name__}): `main.py evaluate` makes it anew"


def _fold(held: Mapping[str, np.ndarray], i: int) -> Fold:
    features, properties = (Cloud(held[f"{part}_centre_{i}"], held[f"{part}_precision_{i}"]) for part in distance.PARTS)
    ranges = {name: held[f"{name}_{i}"] for name in _RANGES}
    reference = Reference(features, properties, **ranges, clips=int(held[f"clips_{i}"]))
    return Fold(reference, held[f"scores_{i}"], tuple(held[f"groups_{i}"].tolist()))


def _middle(values: Float[np.ndarray, " N"]) -> float:
    known = values[np.isfinite(values)]
    return float(np.median(known)) if len(known) else float("nan")


def _worded(about: Property, value: float, low: float, high: float) -> str:
    """A property that lies far out, in words; low and high: of the training clips."""
    side = about.below if value < (low + high) / 2 else about.above
    return f"{side} than in {'most training clips' if low <= value <= high else 'any training clip'}"
