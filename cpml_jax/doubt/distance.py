"""How far a clip lies from the training clips: in the unified feature, and in the properties of the input.

Both are Mahalanobis distances (Lee et al., A simple unified framework for detecting out-of-distribution samples,
NeurIPS 2018, has the first on a network's features). NumPy alone.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from cpml_jax.doubt.properties import PROPERTIES

# Added to a covariance, times its mean variance. Of 64 numbers of the drawn benchmark's u four hold 98 % of the
# variance; along the others the training clips lie closer together than anybody new. With 0.01 the 95 % quantile of
# validation clips is 1.45 times that of training clips and u alone would decide; with 0.1 it is 1.08, as in properties.
RIDGE = 0.1
PARTS = ("features", "properties")


class Measured(NamedTuple):
    """What doubt goes by. unified: (D,) the clip's u. properties: (P,) properties.measure."""

    unified: Float[np.ndarray, " D"]
    properties: Float[np.ndarray, " P"]


@dataclasses.dataclass(frozen=True)
class Cloud:
    """Where points lie: their centre (D,), and the inverse (D, D) of their covariance with RIDGE."""

    centre: Float[np.ndarray, " D"]
    precision: Float[np.ndarray, "D D"]

    @classmethod
    def of(cls, points: Float[np.ndarray, "N D"]) -> Cloud:
        """Of points, at least one."""
        points = np.asarray(points, np.float64)
        centre, width = points.mean(axis=0), points.shape[1]
        covariance = (points - centre).T @ (points - centre) / max(len(points) - 1, 1)
        ridge = RIDGE * max(float(np.trace(covariance)) / width, 1e-12)
        return cls(centre, np.linalg.inv(covariance + ridge * np.eye(width)))

    def distances(self, points: Float[np.ndarray, "N D"]) -> Float[np.ndarray, " N"]:
        """Mahalanobis distances."""
        away = np.asarray(points, np.float64) - self.centre
        return np.sqrt(np.maximum(np.einsum("ni,ij,nj->n", away, self.precision, away), 0.0))


@dataclasses.dataclass(frozen=True)
class Reference:
    """What training clips are like.

    Attributes:
      features: of u. properties: of the properties in units of their spread.
      typical, spread: (P,) median of each property, and half the width of the middle 68 % (PROPERTIES' floor at least);
        infinite where training clips do not have it.
      low, high: (P,) the least and the greatest that training clips showed.
      unit: (2,) of PARTS: the distance that 95 % of the training clips keep within.
      clips: how many they were.
    """

    features: Cloud
    properties: Cloud
    typical: Float[np.ndarray, " P"]
    spread: Float[np.ndarray, " P"]
    low: Float[np.ndarray, " P"]
    high: Float[np.ndarray, " P"]
    unit: Float[np.ndarray, " 2"]
    clips: int

    @classmethod
    def of(cls, clips: Sequence[Measured]) -> Reference:
        """Of training clips, at least one."""
        unified, values = _stacked(clips)
        typical, spread, low, high = (np.array(column) for column in zip(*map(_range, values.T), strict=True))
        floors = np.array([each.floor for each in PROPERTIES])
        spread = np.where(np.isfinite(spread), np.maximum(spread, floors), np.inf)
        made = cls(
            Cloud.of(unified), Cloud.of(_scaled(values, typical, spread)), typical, spread, low, high, np.ones(2),
            len(clips),
        )  # fmt: skip
        return dataclasses.replace(made, unit=np.maximum(np.quantile(made.distances(clips), 0.95, axis=0), 1e-6))

    def distances(self, clips: Sequence[Measured]) -> Float[np.ndarray, "N 2"]:
        """Distances of clips in each of PARTS, in `unit`."""
        unified, values = _stacked(clips)
        scaled = self.scaled(values)
        return np.stack([self.features.distances(unified), self.properties.distances(scaled)], axis=1) / self.unit

    def scaled(self, values: Float[np.ndarray, "N P"]) -> Float[np.ndarray, "N P"]:
        """Properties as distances from their median in units of their spread; 0 where one is not known."""
        return _scaled(values, self.typical, self.spread)


def _stacked(clips: Sequence[Measured]) -> tuple[np.ndarray, np.ndarray]:
    return np.stack([clip.unified for clip in clips]), np.stack([clip.properties for clip in clips])


def _scaled(values: np.ndarray, typical: np.ndarray, spread: np.ndarray) -> np.ndarray:
    return np.where(np.isfinite(values) & np.isfinite(spread), (values - typical) / spread, 0.0)


def _range(values: Float[np.ndarray, " N"]) -> tuple[float, float, float, float]:
    """(median, half the middle 68 %, least, greatest) of the finite values."""
    values = values[np.isfinite(values)]
    if not len(values):
        return 0.0, np.inf, -np.inf, np.inf
    below, middle, above = np.quantile(values, (0.16, 0.5, 0.84))
    return float(middle), float(above - below) / 2, float(values.min()), float(values.max())


def score(parts: Float[np.ndarray, "N 2"]) -> float:
    """The nonconformity score of a video: the larger of its parts, each the mean over its N windows."""
    return float(np.asarray(parts).mean(axis=0).max())
