"""What a run knows: how far its validation videos lie from its training clips, and how far a new video does.

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
from jaxtyping import Float, Int

from cpml_jax.doubt import conformal, distance
from cpml_jax.doubt.distance import Cloud, Measured, Reference
from cpml_jax.doubt.properties import NAMES, PROPERTIES, Property
from cpml_jax.files import write_whole
from cpml_jax.metrics.people import connected_groups, people_of

FILE = "doubt.npz"
SCORE = (
    "the larger of two Mahalanobis distances from the training clips, each divided by what 95 % of those keep within: of "
    "the unified feature, and of the input's properties (" + ", ".join(NAMES) + "); mean over a video's windows"
)
FAR = 3.0  # spreads from the median: from there on a property is named as a reason
NAMED = 3  # properties at most
UNLIKE = "the features are unlike those of any training data"
TOGETHER = "the properties of the picture and its motion occur in a combination that training did not show"


@dataclasses.dataclass(frozen=True)
class Judgement:
    """How far a video is from what the run knows.

    Attributes:
      p: conformal p-value. score: the nonconformity score. reasons: in words, the furthest first; empty where the
      video is not undetermined.
    """

    p: float
    score: float
    reasons: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Knowledge:
    """A reference and the validation videos' distances from it.

    Attributes:
      reference: of training clips.
      scores: (N,) of validation videos. groups: (N,) the connected group of people of each.
      parameters_sha256: of the model whose features they are.
      level: eval.doubt_level; above 0.
    """

    reference: Reference
    scores: Float[np.ndarray, " N"]
    groups: Int[np.ndarray, " N"]
    parameters_sha256: str
    level: float

    @classmethod
    def of(
        cls,
        training: Sequence[Measured],
        validation: Mapping[str, Measured],
        lines: Sequence[Mapping[str, Any]],
        parameters_sha256: str,
        level: float,
    ) -> Knowledge:
        """From training clips (at least one), and validation's: `validation` by clip_id, `lines` of the index."""
        reference = Reference.of(training)
        videos = by_video(lines)
        scores = [
            distance.score(reference.distances([validation[line["clip_id"]] for line in windows]))
            for windows in videos.values()
        ]
        groups = connected_groups([people_of(windows[0]) for windows in videos.values()])
        return cls(reference, np.asarray(scores, np.float64), groups, parameters_sha256, level)

    @property
    def people(self) -> int:
        """Connected groups of people in validation."""
        return len(np.unique(self.groups))

    @property
    def over_people(self) -> bool:
        """Whether validation shows enough people for the level; if not, its videos are taken as independent."""
        return self.people >= conformal.fewest(self.level)

    @property
    def smallest_p(self) -> float:
        """The smallest p-value there can be."""
        return conformal.smallest(self.people if self.over_people else len(self.scores))

    @property
    def note(self) -> str | None:
        """What the p-values lack, in one line."""
        if self.smallest_p > self.level:
            return (
                f"nothing can be undetermined at level {self.level:g}: that takes {conformal.fewest(self.level)} "
                f"validation videos or more, and there are {len(self.scores)}"
            )
        if not self.over_people:
            return (
                f"p-values count {len(self.scores)} validation videos as independent, though they show only "
                f"{self.people} independent groups of people: a level of {self.level:g} over people takes "
                f"{conformal.fewest(self.level)}"
            )
        return None

    def p_values(self, scores: Sequence[float] | Float[np.ndarray, " M"]) -> Float[np.ndarray, " M"]:
        """Of videos' nonconformity scores."""
        return conformal.p_values(scores, self.scores, self.groups.tolist() if self.over_people else None)

    def judge(self, windows: Sequence[Measured]) -> Judgement:
        """One video, or one face of it, of its windows: at least one."""
        parts = self.reference.distances(windows)
        score = distance.score(parts)
        p = float(self.p_values([score])[0])
        reasons = self._reasons(windows, parts) if p <= self.level else ()
        return Judgement(p, score, reasons)

    def _reasons(self, windows: Sequence[Measured], parts: Float[np.ndarray, "N 2"]) -> tuple[str, ...]:
        usual = np.quantile(self.scores, 1.0 - self.level)
        features, properties = parts.mean(axis=0)
        values = np.stack([window.properties for window in windows])
        z = self.reference.scaled(values).mean(axis=0)
        known = [_middle(column) for column in values.T]
        named = [
            _worded(PROPERTIES[i], known[i], self.reference.low[i], self.reference.high[i])
            for i in np.argsort(-np.abs(z))[:NAMED].tolist()
            if abs(z[i]) >= FAR
        ]
        if properties > usual and not named:
            named = [TOGETHER]
        unlike = [UNLIKE] if features > usual else []
        if features > properties or not named:
            return tuple(unlike or [UNLIKE]) + tuple(named)
        return tuple(named) + tuple(unlike)

    def describe(self) -> dict[str, Any]:
        """`doubt` of evaluation.json."""
        about = {
            "level": self.level,
            "score": SCORE,
            "p_over": "people" if self.over_people else "videos",
            "videos": len(self.scores),
            "people": self.people,
            "smallest_p": self.smallest_p,
            "reference_clips": self.reference.clips,
        }
        return about | ({"note": self.note} if self.note else {})

    def write(self, path: Path) -> None:
        """As an npz file."""
        reference, arrays = self.reference, {}
        for name, cloud in (("features", reference.features), ("properties", reference.properties)):
            arrays |= {f"{name}_centre": cloud.centre, f"{name}_precision": cloud.precision}
        arrays |= {name: getattr(reference, name) for name in _RANGES} | {"clips": np.asarray(reference.clips)}
        file = io.BytesIO()
        np.savez_compressed(
            file, allow_pickle=False, names=np.asarray(NAMES), scores=self.scores, groups=self.groups,
            parameters_sha256=np.asarray(self.parameters_sha256), **arrays,
        )  # fmt: skip
        write_whole(path, file.getvalue())


_RANGES = ("typical", "spread", "low", "high", "unit")


def read(path: Path, parameters_sha256: str, level: float) -> Knowledge | str:
    """What `Knowledge.write` wrote, at a level; or, in one line, why it cannot serve."""
    if level <= 0:
        return "eval.doubt_level is 0"
    if not path.is_file():
        return "this run has no doubt.npz: `main.py evaluate` makes it"
    try:
        with np.load(path, allow_pickle=False) as file:
            held = {name: file[name] for name in file.files}
        if str(held["parameters_sha256"]) != parameters_sha256:
            return "doubt.npz is of another checkpoint: `main.py evaluate` makes that of this one"
        if tuple(held["names"].tolist()) != NAMES:
            return "doubt.npz is of another version, which measured other properties: `main.py evaluate` makes it anew"
        clouds = (Cloud(held[f"{part}_centre"], held[f"{part}_precision"]) for part in distance.PARTS)
        reference = Reference(*clouds, **{name: held[name] for name in _RANGES}, clips=int(held["clips"]))
        return Knowledge(reference, held["scores"], held["groups"], parameters_sha256, level)
    except Exception as error:  # NumPy and zipfile raise many kinds of exceptions on damaged bytes
        return f"doubt.npz cannot be read ({type(error).__name__}): `main.py evaluate` makes it anew"


def by_video(lines: Sequence[Mapping[str, Any]]) -> dict[str, list[Mapping[str, Any]]]:
    """video_key -> its lines, in order of appearance."""
    videos: dict[str, list[Mapping[str, Any]]] = {}
    for line in lines:
        videos.setdefault(line["video_key"], []).append(line)
    return videos


def _middle(values: Float[np.ndarray, " N"]) -> float:
    known = values[np.isfinite(values)]
    return float(np.median(known)) if len(known) else float("nan")


def _worded(about: Property, value: float, low: float, high: float) -> str:
    """A property that lies far out, in words; low and high: of the training clips."""
    side = about.below if value < (low + high) / 2 else about.above
    return f"{side} than in {'most training clips' if low <= value <= high else 'any training clip'}"
