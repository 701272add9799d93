"""Calibration: does P(fake) = 0.8 mean that four of five such clips are fake? One temperature, fitted on validation.

Guo et al., On calibration of modern neural networks, ICML 2017: temperature scaling and the expected calibration error.
"""

from __future__ import annotations

import numpy as np
from scipy import optimize

from cpml_jax.metrics import check_scores, undefined_reason
from cpml_jax.schema import FAKE

BINS = 15  # Guo et al.
# Perfectly separated validation clips would send the temperature to 0, and one clip on the wrong side of all others to
# infinity: neither is known from a few clips.
TEMPERATURES = (0.05, 20.0)


def fit_temperature(labels, margins) -> tuple[float | None, str | None]:
    """The temperature that minimises the cross-entropy of validation clips.

    Args:
      labels: (N,) 0 real, 1 fake.
      margins: (N,) logit of fake minus logit of real.

    Returns:
      (temperature, None), or with a note where it lies at its bound; (None, reason) for less than two classes.
    """
    labels, margins = check_scores(labels, margins)
    reason = undefined_reason(labels)
    if reason:
        return None, f"validation split: {reason}"
    signed = np.where(labels == FAKE, margins, -margins)
    low, high = (1.0 / t for t in reversed(TEMPERATURES))
    # Convex in the inverse temperature: a sum of softplus of linear functions.
    found = optimize.minimize_scalar(
        lambda inverse: np.logaddexp(0.0, -inverse * signed).mean(), bounds=(low, high), method="bounded",
        options={"xatol": 1e-6},
    )  # fmt: skip
    inverse = min((found.x, low, high), key=lambda x: np.logaddexp(0.0, -x * signed).mean())
    temperature = float(1.0 / inverse)
    if inverse in (low, high) or min(inverse - low, high - inverse) < 1e-4:
        why = (
            "validation is separated without an error"
            if (signed > 0).all()
            else "validation asks for a more extreme one"
        )
        return temperature, f"the temperature is at its bound: {why}"
    return temperature, None


def calibrated(margins, temperature: float | None) -> np.ndarray:
    """P(fake) (N,) float64 of margins (N,) at a temperature; at 1 where there is none."""
    scaled = np.asarray(margins, np.float64) / (temperature or 1.0)
    small = np.exp(-np.abs(scaled))
    return np.where(scaled >= 0, 1.0, small) / (1.0 + small)


def ece(labels, probabilities, bins: int = BINS) -> float | None:
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


def brier(labels, probabilities) -> float | None:
    """Mean squared distance of P(fake) from the label (Brier, 1950); None without clips."""
    labels, probabilities = check_scores(labels, probabilities)
    return float(np.mean((probabilities - labels) ** 2)) if len(labels) else None


def reliability_curve(labels, probabilities, bins: int = 10) -> list[dict]:
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
