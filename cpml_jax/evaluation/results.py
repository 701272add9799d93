"""From the clips' scores to the results of evaluation.json: thresholds, figures, conditions."""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np

from cpml_jax import conditions
from cpml_jax.doubt import figures as doubt
from cpml_jax.doubt.knowledge import Knowledge
from cpml_jax.evaluation import coverage, protocols, video_score
from cpml_jax.evaluation.clip_scores import ClipScores
from cpml_jax.evaluation.protocols import Test
from cpml_jax.evaluation.verdict import Verdict
from cpml_jax.metrics import calibration, detection, pulse_waves, summary
from cpml_jax.metrics.people import people_of
from cpml_jax.schema import FAKE, REAL

Line = dict[str, Any]  # of scores.jsonl


@dataclasses.dataclass(frozen=True)
class Validated:
    """What the validation split chooses.

    Attributes:
      thresholds: of clips and of videos, with their rule; as evaluation.json has them.
      temperature: of the calibration, or None.
      note: why there is no temperature, or how it is to be read.
      people: label -> how many people validation shows; None of a model that was handed on, which says its bounds.
      given_bounds: those.
      doubt_level: at which p-value and below a video is undetermined; 0: doubt was not measured.
    """

    thresholds: dict[str, Any]
    temperature: float | None
    note: str | None
    people: dict[int, int] | None
    doubt_level: float = 0.0
    given_bounds: tuple[float, float] = (0.0, 1.0)

    @property
    def bounds(self) -> tuple[float, float]:
        """The least and the greatest P(fake) that is given."""
        return self.given_bounds if self.people is None else calibration.bounds(self.people)

    @property
    def calibration(self) -> dict[str, Any]:
        """As evaluation.json has it."""
        about: dict[str, Any] = {"temperature": self.temperature, "bounds": list(self.bounds)}
        if self.people is not None:
            about["people"] = {"real": self.people[REAL], "fake": self.people[FAKE]}
        return about | ({"note": self.note} if self.note else {})


def validate(lines: Sequence[Line], knowledge: Knowledge | None = None) -> Validated:
    """Thresholds, temperature and bounds from the scores of the validation clips."""
    labels = [line["label"] for line in lines]
    temperature, note = calibration.fit_temperature(labels, [line["logit_margin"] for line in lines])
    people = calibration.people_shown(lines)
    return Validated(thresholds(lines), temperature, note, people, knowledge.level if knowledge else 0.0)


def handed_on(verdict: Verdict) -> Validated:
    """What a model brings with it: its threshold, of videos and so of clips, and its calibration."""
    margin, known = verdict.threshold.margin, verdict.known
    note = f"{video_score.HANDED_ON}; from its {verdict.threshold.source}"
    chosen = {
        "clip": _p_fake(margin),
        "video": _p_fake(margin),
        "clip_margin": margin,
        "video_margin": margin,
        "rule": detection.THRESHOLD_RULE,
        "note": note,
    }
    level = known.level if known else 0.0
    return Validated(chosen, verdict.calibration.temperature, note, None, level, verdict.calibration.bounds)


def thresholds(lines: Sequence[Line]) -> dict[str, Any]:
    """Thresholds of clips and of videos from the scores of the validation clips: as margins, and as P(fake).

    They are chosen, and decide, among margins: a P(fake) of 1 - 1e-17 is 1, and no threshold lies between two of them.
    """
    labels, margins = [line["label"] for line in lines], [line["logit_margin"] for line in lines]
    videos, of_videos = video_score.video_margins(lines, margins)
    clip = detection.best_threshold(labels, margins)
    video = detection.best_threshold([video["label"] for video in videos], of_videos)
    chosen = {
        "clip": _p_fake(clip),
        "video": _p_fake(video),
        "clip_margin": clip,
        "video_margin": video,
        "rule": detection.THRESHOLD_RULE,
    }
    reason = detection.undefined_reason(labels)
    return chosen | ({"note": f"validation split: {reason}"} if reason else {})


def _p_fake(margin: float | None) -> float | None:
    return None if margin is None else float(detection.sigmoid([margin])[0])


def result(
    test: Test,
    rows: Sequence[dict[str, Any]],
    lines: Sequence[Line],
    validated: Validated,
    *,
    sampler: dict[str, Any],
    excluded: Sequence[dict[str, Any]] = (),
    official: Mapping[str, int] | None = None,
) -> dict[str, Any]:
    """One entry of evaluation.json's results.

    Args:
      rows: the test's clips in the index.
      lines: of those that could be scored.
      sampler: which frames of a video were seen.
      excluded: lines of evaluation.json's `excluded`.
      official: sizes of the test list by method (data_prep.sources.official_test), None where there is none.
    """
    margins = [line["logit_margin"] for line in lines]
    videos, of_videos = video_score.video_margins(lines, margins)
    unscored = coverage.excluded_videos(test, excluded, videos)

    def figures(of: str, lines: Sequence[Line], margins: Any, unscored: tuple[int, int] | None) -> dict[str, Any]:
        return summary.figures(
            [line["label"] for line in lines],
            margins,
            [identity_of(line) for line in lines],
            threshold=validated.thresholds[f"{of}_margin"],
            probabilities=calibration.calibrated(margins, validated.temperature, validated.bounds),
            methods=[line["method"] for line in lines],
            excluded=unscored,
        )

    entry = {
        "protocol": test.protocol,
        **described(test),
        "condition": condition(test, rows),
        "sampler": sampler,
        "seen": coverage.seen(lines, rows, sampler["num_frames"]),
        "listed": coverage.listed(test, videos, unscored, official),
        "threshold": validated.thresholds,
        "clip": figures("clip", lines, margins, None),
        "video": figures("video", videos, of_videos, unscored),
    }
    if validated.doubt_level:
        entry["doubt"] = doubt.figures(
            [video["label"] for video in videos],
            of_videos,
            [video["p_known"] for video in videos],
            threshold=validated.thresholds["video_margin"],
            level=validated.doubt_level,
        )
    if any("heart_rate_bpm" in line for line in lines):
        entry["pulse"] = pulse_waves.summary(lines)
    missing = sorted(set(test.methods) - {line["method"] for line in lines})
    return entry | ({"note": f"no clips of: {', '.join(missing)}"} if missing else {})


def identity_of(line: Line) -> Hashable:
    """Whom a clip shows, which the intervals are over; one of unknown identity stands for itself."""
    return people_of(line)


def described(test: Test) -> dict[str, dict[str, Any]]:
    """{train, test} of evaluation.json and sweep.json."""
    train, home = test.train, protocols.home_of(test.dataset)
    return {
        "train": {"dataset": train.dataset, "compressions": train.compressions, "methods": train.methods},
        "test": {"dataset": home, "compression": test.compression, "methods": test.methods},
    }


def condition(test: Test, rows: Sequence[dict[str, Any]]) -> dict[str, Any] | None:
    """What was done to the videos (conditions.py), with the mean bitrate where that is what was varied."""
    parsed = conditions.parse(test.compression)
    if isinstance(parsed, conditions.Corruption):
        return parsed.describe()
    if parsed is None and not protocols.holds_conditions(test.dataset):
        return None
    rates = [row["source_bitrate"] for row in rows if row.get("source_bitrate")]
    kind = {"kind": "original"} if parsed is None else parsed.describe()
    return kind | {"bitrate_bps": float(np.mean(rates)) if rates else None}


def pulse_across(scores: ClipScores) -> list[dict[str, Any]]:
    """pulse_waves.similarity_across of the test clips; empty without the rPPG stream."""
    lines = [line for name, line in scores.lines.items() if line["split"] == "test" and name in scores.arrays]
    waves = scores.waves(lines)
    return [] if waves is None else pulse_waves.similarity_across(lines, waves)
