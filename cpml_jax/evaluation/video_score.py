"""From windows to a video's score: the one rule of validation in training, of evaluation and of prediction.

A window's margin is the logit of fake minus the logit of real. A face's margin is the mean over its windows, a video's
the highest of its faces: one forged face makes a forged video, and a mean would let bystanders outvote it. P(fake) is
the margin's sigmoid. Probabilities are not averaged: near 0 and 1 they saturate, and one unsure window would outweigh
any number of sure ones.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from cpml_jax.metrics import detection

# As evaluation.json has it under "rule", and the rule of versions before 3.0.0.
RULE = {
    "windows": "mean of the windows' margins (logit of fake minus logit of real); P(fake) is its sigmoid",
    "faces": "the highest margin of a video's faces; records hold one face a video, prediction sees all",
    "threshold": detection.THRESHOLD_RULE,
}
HANDED_ON = "as the model was handed on"  # so begins the note of a threshold that no validation clips chose
OLD_RULE = RULE | {"windows": "mean of the windows' P(fake)"}
LARGEST_MARGIN = 36.0  # of a P(fake) that double precision rounds to 0 or 1


def face_margins(margins: Sequence[float], faces: Sequence[int]) -> dict[int, float]:
    """The margin of every face of one video, by its number.

    Args:
      margins: of windows. faces: the number of each window's face.
    """
    windows: dict[int, list[float]] = {}
    for margin, face in zip(margins, faces, strict=True):
        windows.setdefault(face, []).append(margin)
    return {face: float(np.mean(windows[face])) for face in sorted(windows)}


def deciding_face(margins: Mapping[int, float]) -> int:
    """The face whose margin is the video's; of equal ones the first."""
    return max(margins, key=lambda face: margins[face])


def video_margins(
    rows: Sequence[Mapping[str, Any]], margins: Sequence[float] | Float[np.ndarray, " N"]
) -> tuple[list[Any], Float[np.ndarray, " M"]]:
    """One margin a video.

    Args:
      rows: (N,) of the index or of scores.jsonl; `face` is 0 where they do not name it. Clips are of one video if
        their schema.video_key is the same: data set, method, compression and id. The id alone would merge `000_003` of
        four methods.
      margins: (N,).

    Returns:
      (the first row of every video, in order of appearance; (M,) float64 margins).

    Raises:
      ValueError: clips of one video carry both labels.
    """
    values = np.asarray(margins, np.float64).reshape(-1)
    places: dict[str, list[int]] = {}
    for index, row in enumerate(rows):
        places.setdefault(row["video_key"], []).append(index)
    combined = []
    for key, members in places.items():
        if len({rows[i]["label"] for i in members}) > 1:
            raise ValueError(f"clips of video {key} carry both labels")
        by_face = face_margins(values[members].tolist(), [rows[i].get("face", 0) for i in members])
        combined.append(by_face[deciding_face(by_face)])
    return [rows[members[0]] for members in places.values()], np.asarray(combined, np.float64)


def margin_of(line: Mapping[str, Any]) -> float:
    """The margin of a line of scores.jsonl; from p_fake in files that lack it, NaN where that is no finite number."""
    for value, convert in ((line.get("logit_margin"), float), (line.get("p_fake"), _logit)):
        if isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value):
            return convert(value)
    return math.nan


def _logit(p: float) -> float:
    p = min(max(float(p), 0.0), 1.0)
    if p in (0.0, 1.0):
        return math.copysign(LARGEST_MARGIN, p - 0.5)
    return min(max(math.log(p) - math.log1p(-p), -LARGEST_MARGIN), LARGEST_MARGIN)
