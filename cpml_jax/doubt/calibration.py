"""Which videos a p-value counts: held out, enough of them, and independent.

Videos of one person are alike. Counted one by one, 120 videos of 6 groups of people make a p-value that is too small up
to G + 1 = 7 times as often as it says: a new group is the furthest of 7 once in 7 times, with most of its videos. So
groups count (conformal.p_values), and a level takes fewest(level) of them: 19 for 0.05. Where validation has fewer,
groups of training are left out of the reference in turn and count as well: cross-conformal (Vovk, Cross-conformal
predictors, Ann. Math. Artif. Intell. 2015), whose proven bound is twice the level and which keeps about the level.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Int

from cpml_jax.doubt import conformal, distance
from cpml_jax.doubt.distance import Measured, Reference
from cpml_jax.doubt.knowledge import BOTH, GROUPS, PEOPLE, VALIDATION, VIDEOS, Fold, Knowledge
from cpml_jax.metrics.people import connected_groups, people_of

FOLDS = 8  # of training's groups, or as many as there are groups
Row = Mapping[str, Any]  # of the index or of scores.jsonl


def calibrate(
    training: Sequence[Row],
    validation: Sequence[Row],
    known: Mapping[str, Measured],
    parameters_sha256: str,
    level: float,
) -> Knowledge | None:
    """What a run knows.

    The first of these serves that has enough for the level: groups of people of validation; of training and validation;
    people of both (targets; where all are connected through forgeries, there are no groups); videos of validation.

    Args:
      training, validation: rows of clips. known: what doubt goes by of each clip_id; clips without are left out.
      parameters_sha256: of the model. level: eval.doubt_level, above 0.

    Returns:
      None without a training clip or a validation clip.
    """
    training = [row for row in training if row["clip_id"] in known]
    validation = [row for row in validation if row["clip_id"] in known]
    if not training or not validation:
        return None
    groups = _groups([*training, *validation])
    of_training, of_validation = groups[: len(training)], groups[len(training) :]
    needed = conformal.fewest(level)
    if len(set(of_validation)) >= needed:
        folds = (_whole(training, validation, known, of_validation),)
        return Knowledge(folds, GROUPS, VALIDATION, parameters_sha256, level)
    if len(set(of_training)) > 1:  # else nobody can be left out
        everybody = [*training, *validation]
        for over, names in ((GROUPS, groups), (PEOPLE, [_person(row) for row in everybody])):
            if len(set(names)) >= needed:
                folds = _left_out(everybody, len(training), known, groups, dict(_names(everybody, names)))
                return Knowledge(folds, over, BOTH, parameters_sha256, level)
    folds = (_whole(training, validation, known, [row["video_key"] for row in validation]),)
    return Knowledge(folds, VIDEOS, VALIDATION, parameters_sha256, level)


def _groups(rows: Sequence[Row]) -> list[str]:
    numbers: Int[np.ndarray, " N"] = connected_groups([people_of(row) for row in rows])
    return [str(number) for number in numbers.tolist()]


def _person(row: Row) -> str:
    return str(people_of(row)[0])


def _names(rows: Sequence[Row], names: Sequence[str]) -> list[tuple[str, str]]:
    return [(row["video_key"], name) for row, name in zip(rows, names, strict=True)]


def by_video(rows: Sequence[Row]) -> dict[str, list[str]]:
    """video_key -> clip_id of its windows, in order of appearance."""
    videos: dict[str, list[str]] = {}
    for row in rows:
        videos.setdefault(row["video_key"], []).append(row["clip_id"])
    return videos


def _parts(reference: Reference, rows: Sequence[Row], known: Mapping[str, Measured]) -> dict[str, np.ndarray]:
    """video_key -> (1, 2) mean distance of its windows in each part."""
    return {
        video: reference.distances([known[clip] for clip in clips]).mean(axis=0, keepdims=True)
        for video, clips in by_video(rows).items()
    }


def _whole(
    training: Sequence[Row], validation: Sequence[Row], known: Mapping[str, Measured], names: Sequence[str]
) -> Fold:
    reference = Reference.of([known[row["clip_id"]] for row in training])
    parts = _parts(reference, validation, known)
    of_video = dict(_names(validation, names))
    scores = np.array([distance.score(each) for each in parts.values()])
    return Fold(reference, scores, tuple(of_video[video] for video in parts))


def _left_out(
    rows: Sequence[Row], number: int, known: Mapping[str, Measured], groups: Sequence[str], names: Mapping[str, str]
) -> tuple[Fold, ...]:
    """Folds of whole groups: each with the reference of the training clips of the others.

    Args:
      rows: of training, `number` of them, then of validation. groups: of each row. names: video_key -> whom it
        counts for.
    """
    ordered = list(dict.fromkeys(groups))
    count = min(FOLDS, len(set(groups[:number])))
    shuffled = np.random.default_rng(0).permutation(len(ordered)).tolist()
    fold_of = {group: place % count for group, place in zip(ordered, shuffled, strict=True)}
    trained = {row["video_key"] for row in rows[:number]}
    references, parts = [], []
    for fold in range(count):
        held = [row for row, group in zip(rows[:number], groups, strict=False) if fold_of[group] != fold]
        references.append(Reference.of([known[row["clip_id"]] for row in held or rows[:number]]))
        out = [row for row, group in zip(rows, groups, strict=True) if fold_of[group] == fold]
        parts.append(_parts(references[-1], out, known))
    factor = _trained_factor(parts, trained)
    folds = []
    for reference, videos in zip(references, parts, strict=True):
        factors = [factor if video in trained else 1.0 for video in videos]
        scores = [distance.score(each * [by, 1.0]) for each, by in zip(videos.values(), factors, strict=True)]
        folds.append(Fold(reference, np.array(scores), tuple(names[video] for video in videos)))
    return tuple(folds)


def _trained_factor(parts: Sequence[Mapping[str, np.ndarray]], trained: set[str]) -> float:
    """What the features' distances of training videos are multiplied with, 1 or more.

    The model was fitted to them, so that their features may lie closer together than those of anybody new even where
    the reference lacks them: their median becomes that of the validation videos. (On the drawn benchmark 0.80 and 0.84,
    with the same 95 % quantile.)
    """
    of_training, of_validation = (
        [each[0, 0] for videos in parts for video, each in videos.items() if (video in trained) == inside]
        for inside in (True, False)
    )
    if not of_training or not of_validation:
        return 1.0
    return max(1.0, float(np.median(of_validation) / max(np.median(of_training), 1e-9)))
