"""What doubt does to a test: how many videos stay undetermined, and how the rest fares; `doubt` of evaluation.json."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from cpml_jax.doubt.knowledge import OVER, SOURCES
from cpml_jax.json_schema import COUNT, NUMBER, SHARE, STRING, Schema, array, closed
from cpml_jax.metrics import detection
from cpml_jax.schema import FAKE, REAL

POINTS = 40  # of a curve that are kept: a test of thousands of videos would fill the file


def figures(
    labels: Int[np.ndarray, " N"] | Sequence[int],
    margins: Float[np.ndarray, " N"] | Sequence[float],
    p_values: Float[np.ndarray, " N"] | Sequence[float],
    *,
    threshold: float | None,
    level: float,
) -> dict[str, Any]:
    """`doubt` of a result, of its videos.

    Args:
      labels: 0 real, 1 fake. margins, p_values: of each video.
      threshold: validation's, as a margin; None where it has none, and then nothing is called fake or real.
      level: at which p-value and below a video is undetermined.
    """
    labels, margins, p = np.asarray(labels, np.int64), np.asarray(margins, np.float64), np.asarray(p_values, np.float64)
    determined = p > level
    known = labels[determined], margins[determined]
    true_rate, _ = detection.rates(*known, threshold)
    return {
        "undetermined": _share(~determined),
        "undetermined_real": _share(~determined[labels == REAL]),
        "undetermined_fake": _share(~determined[labels == FAKE]),
        "determined": {
            "n_real": int((known[0] == REAL).sum()),
            "n_fake": int((known[0] == FAKE).sum()),
            "auc": detection.auc(*known),
            "acc": detection.accuracy(*known, threshold),
            "tpr": true_rate,
        },
        "false_alarms": false_alarms(labels, margins, determined, threshold),
        "risk_coverage": risk_coverage(labels, margins, p, threshold),
    }


def _share(chosen: Bool[np.ndarray, " N"]) -> float | None:
    return float(chosen.mean()) if len(chosen) else None


def false_alarms(
    labels: Int[np.ndarray, " N"],
    margins: Float[np.ndarray, " N"],
    determined: Bool[np.ndarray, " N"],
    threshold: float | None,
) -> dict[str, Any]:
    """Shares of real videos: called fake, if there were no doubt; called fake with it, of all and of the determined."""
    real = labels == REAL
    if threshold is None or not real.any():
        return {"n_real": int(real.sum()), "without_doubt": None, "of_all": None, "of_determined": None}
    called = margins >= threshold
    return {
        "n_real": int(real.sum()),
        "without_doubt": _share(called[real]),
        "of_all": _share((called & determined)[real]),
        "of_determined": _share(called[real & determined]),
    }


def risk_coverage(
    labels: Int[np.ndarray, " N"],
    margins: Float[np.ndarray, " N"],
    p_values: Float[np.ndarray, " N"],
    threshold: float | None,
) -> list[dict[str, float]]:
    """The share of wrong calls among the videos of the largest p-values, as more and more of them are called.

    El-Yaniv & Wiener, On the foundations of noise-free selective classification, JMLR 2010. Videos of one p-value are
    called together.

    Returns:
      {p: the least p-value that is called, coverage: the share of videos called, error: the share of wrong ones of
      those}, from the first to all; at most POINTS of them. Empty without a threshold or a video.
    """
    if threshold is None or not len(labels):
        return []
    order = np.argsort(-p_values, kind="stable")
    wrong = np.cumsum((margins >= threshold)[order] != (labels == FAKE)[order])
    p = p_values[order]
    last = np.flatnonzero(np.append(p[1:] != p[:-1], True))  # of each run of equal p-values
    if len(last) > POINTS:
        last = last[np.unique(np.linspace(0, len(last) - 1, POINTS).round().astype(int))]
    return [
        {"p": float(p[i]), "coverage": float((i + 1) / len(p)), "error": float(wrong[i] / (i + 1))}
        for i in last.tolist()
    ]


def definition() -> Schema:
    """`doubt` of a result."""
    determined = {"n_real": COUNT, "n_fake": COUNT, "auc": SHARE, "acc": SHARE, "tpr": SHARE}
    alarms = {"n_real": COUNT, "without_doubt": SHARE, "of_all": SHARE, "of_determined": SHARE}
    shares = {name: SHARE for name in ("undetermined", "undetermined_real", "undetermined_fake")}
    point = closed({name: NUMBER for name in ("p", "coverage", "error")})
    return closed(
        shares
        | {
            "determined": closed(determined),
            "false_alarms": closed(alarms)
            | {"description": "shares of the real videos called fake: if all were called; with doubt, of "
               "all real videos and of the determined ones"},
            "risk_coverage": array(point)
            | {"description": "share of wrong calls as videos of ever smaller p-values are called"},
        }
    )  # fmt: skip


def summary_definition() -> Schema:
    """`doubt` of evaluation.json itself (knowledge.Knowledge.describe)."""
    return closed(
        {
            "level": NUMBER,
            "score": STRING,
            "p_over": {"enum": list(OVER)} | {"description": "what p-values count as independent"},
            "count": COUNT | {"description": "of them"},
            "sources": {"enum": list(SOURCES)} | {"description": "whose videos they are"},
            "videos": COUNT,
            "smallest_p": NUMBER,
            "reference_clips": COUNT | {"description": "training clips that distances are measured from"},
            "note": STRING,
        },
        ["note"],
    )
