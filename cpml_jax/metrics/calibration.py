"""Calibration: does P(fake) = 0.8 mean that four of five such clips are fake? One temperature, fitted on validation.

Guo et al., On calibration of modern neural networks, ICML 2017: temperature scaling and the expected calibration error.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Num

from cpml_jax.metrics.detection import Labels, Scores, check_scores, sigmoid, undefined_reason
from cpml_jax.schema import FAKE, REAL

BINS = 15  # Guo et al.
# A few validation clips cannot tell a temperature beyond these from none.
TEMPERATURES = (0.05, 20.0)


def fit_temperature(labels: Labels, margins: Scores) -> tuple[float | None, str | None]:
    """The temperature that minimises the cross-entropy of validation clips.

    Args:
      labels: (N,) 0 real, 1 fake.
      margins: (N,) logit of fake minus logit of real.

    Returns:
      (temperature, None), or with a note where it lies at its bound or nothing could be fitted; (None, reason) for less
      than two classes.
    """
    labels, margins = check_scores(labels, margins)
    reason = undefined_reason(labels)
    if reason:
        return None, f"validation split: {reason}"
    signed = np.where(labels == FAKE, margins, -margins)
    low, high = (1.0 / t for t in reversed(TEMPERATURES))
    if (signed > 0).all():
        # Cross-entropy would send it to 0, and make certain what nothing has tested: it makes no error to learn from.
        return 1.0, "validation is separated without an error: no temperature can be fitted, 1 is used"

    def cross_entropy(inverse: float) -> float:
        return np.logaddexp(0.0, -inverse * signed).mean()

    from scipy import optimize  # half a second, which applying a temperature need not wait for

    # Convex in the inverse temperature: a sum of softplus of linear functions.
    minimum = optimize.minimize_scalar(cross_entropy, bounds=(low, high), method="bounded", options={"xatol": 1e-6})
    inverse = min((minimum.x, low, high), key=cross_entropy)
    bound = min(inverse - low, high - inverse) < 1e-4
    return float(1.0 / inverse), "the temperature is at its bound" if bound else None


def calibrated(
    margins: Num[np.ndarray, " N"] | Sequence[float],
    temperature: float | None,
    bounds: tuple[float, float] = (0.0, 1.0),
) -> Float[np.ndarray, " N"]:
    """P(fake) (N,) float64 of margins (N,) at a temperature, which is 1 if it is None, within bounds (see below)."""
    return np.clip(sigmoid(np.asarray(margins, np.float64) / (temperature or 1.0)), *bounds)


def bounds(people: Mapping[int, int]) -> tuple[float, float]:
    """The least and the greatest P(fake) that validation can support: Laplace's rule of succession.

    At best a margin separates validation without an error: everybody with so low a margin was real. After n real
    people and no fake the rule gives (0 + 1) / (n + 2), the mean of Beta(1, n + 1); likewise at the other end. It
    counts people, not clips: the videos of one person, and the compressions of one video, err together.

    Args:
      people: label -> how many people of that class validation shows; a class that is missing has none, and supports
        no more than a half.

    Returns:
      (least, greatest), on either side of 0.5.
    """
    return 1.0 / (people.get(REAL, 0) + 2.0), 1.0 - 1.0 / (people.get(FAKE, 0) + 2.0)


def people_shown(lines: Sequence[Mapping[str, Any]]) -> dict[int, int]:
    """Label -> how many different people are the target of lines of scores.jsonl; of unknown ones, videos."""
    shown: dict[int, set[str]] = {REAL: set(), FAKE: set()}
    for line in lines:
        shown[line["label"]].add(str(line.get("identity") or f"video {line['video']}"))
    return {label: len(people) for label, people in shown.items()}


def ece(labels: Labels, probabilities: Scores, bins: int = BINS) -> float | None:
    """Expected calibration error over equal bins of the predicted class's confidence; None without clips.

    Args:
      labels: (N,).
      probabilities: (N,) P(fake).
      bins: of equal width over [0, 1].

    Returns:
      Mean over clips of |accuracy - confidence| of their bin, in [0, 1].
    """
    labels, probabilities = check_scores(labels, probabilities)
    if not len(labels):
        return None
    called = probabilities >= 0.5
    confidence, right = np.where(called, probabilities, 1.0 - probabilities), called == (labels == FAKE)
    place = _bin(confidence, bins)
    gaps = np.bincount(place, weights=right - confidence, minlength=bins)
    return float(np.abs(gaps).sum() / len(labels))


def brier(labels: Labels, probabilities: Scores) -> float | None:
    """Mean squared distance of P(fake) from the label (Brier, 1950); None without clips."""
    labels, probabilities = check_scores(labels, probabilities)
    return float(np.mean((probabilities - labels) ** 2)) if len(labels) else None


def reliability_curve(labels: Labels, probabilities: Scores, bins: int = 10) -> list[dict[str, Any]]:
    """{low, high, mean, fakes, count} of each equal bin of P(fake); mean and share of fakes are None in empty ones."""
    labels, probabilities = check_scores(labels, probabilities)
    place, edges = _bin(probabilities, bins), np.linspace(0, 1, bins + 1)
    curve = []
    for index in range(bins):
        inside = place == index
        mean, fakes = (float(x[inside].mean()) if inside.any() else None for x in (probabilities, labels == FAKE))
        curve.append(
            {"low": float(edges[index]), "high": float(edges[index + 1]), "mean": mean, "fakes": fakes,
             "count": int(inside.sum())}
        )  # fmt: skip
    return curve


def _bin(values: np.ndarray, bins: int) -> np.ndarray:
    return np.minimum((values * bins).astype(int), bins - 1)
