"""Drawing a forgery's parameters, each written down under its name; and signals that wander over time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy.ndimage import gaussian_filter1d


class Draws:
    """A generator that remembers what it drew.

    Attributes:
      parameters: by name, as JSON has them.
    """

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng
        self.parameters: dict[str, Any] = {}

    def uniform(self, name: str, low: float, high: float) -> float:
        value = self.parameters[name] = float(self.rng.uniform(low, high))
        return value

    def whole(self, name: str, low: int, high: int) -> int:
        """low <= value <= high."""
        value = self.parameters[name] = int(self.rng.integers(low, high + 1))
        return value

    def flag(self, name: str, probability: float) -> bool:
        value = self.parameters[name] = bool(self.rng.uniform() < probability)
        return value

    def choose(self, name: str, shares: Mapping[str, float]) -> str:
        """One of the keys, as often as its share says."""
        weights = np.array(list(shares.values()), float)
        value = list(shares)[int(self.rng.choice(len(weights), p=weights / weights.sum()))]
        self.parameters[name] = value
        return value


def wander(rng: np.random.Generator, length: int, columns: int, slowness: float) -> np.ndarray:
    """(length, columns) float64 of standard deviation 1: noise through a Gaussian of `slowness` frames.

    slowness 0: jitter, new in every frame.
    """
    reach = int(4 * slowness) + 1
    noise = rng.standard_normal((length + 2 * reach, columns))
    if slowness <= 0:
        return noise[reach : reach + length]
    slow = gaussian_filter1d(noise, slowness, axis=0)[reach : reach + length]
    return slow * np.sqrt(2 * slowness * np.sqrt(np.pi))


def bounce(index: np.ndarray, length: int) -> np.ndarray:
    """Any whole numbers -> 0 .. length - 1, running back and forth: a shorter clip serves without a jump."""
    if length == 1:
        return np.zeros_like(index)
    index = np.abs(index) % (2 * length - 2)
    return np.where(index < length, index, 2 * length - 2 - index)
