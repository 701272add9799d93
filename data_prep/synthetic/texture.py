"""Random surfaces: smooth noise of several scales, and the room behind a face."""

from __future__ import annotations

import cv2
import numpy as np

from data_prep.synthetic.identity import STYLES


def fractal(rng: np.random.Generator, side: int, cells: tuple[int, ...], weights: tuple[float, ...]) -> np.ndarray:
    """Noise (side, side) float32 of mean 0 and deviation 1: a sum of random grids of `cells` cells a side."""
    total = np.zeros((side, side), np.float32)
    for count, weight in zip(cells, weights, strict=True):
        grid = rng.standard_normal((count, count)).astype(np.float32)
        total += weight * cv2.resize(grid, (side, side), interpolation=cv2.INTER_CUBIC)
    return (total - total.mean()) / total.std()


def strands(rng: np.random.Generator, side: int) -> np.ndarray:
    """Hair-like streaks (side, side), mean 0, deviation 1: noise drawn out along a slightly bent direction."""
    noise = rng.standard_normal((side, side)).astype(np.float32)
    noise = cv2.GaussianBlur(noise, (0, 0), sigmaX=side / 400, sigmaY=side / 26)
    row, column = np.mgrid[0:side, 0:side].astype(np.float32)
    bend = 0.25 * np.abs(column - side / 2) * (1 - row / side)
    noise = cv2.remap(
        noise,
        column + np.sign(column - side / 2) * bend * 0.5,
        row + bend,
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REFLECT,
    )
    return (noise - noise.mean()) / noise.std()


def room(seed: int, style: str, side: int, exposure: float) -> np.ndarray:
    """A background (side, side, 3) float32, RGB grey levels: wall, light fall-off, furniture-like shapes, texture.

    Style b is outdoors: larger contrast, blurred patches of foliage-like colour.
    """
    rng = np.random.default_rng([seed, STYLES.index(style)])
    row, column = np.mgrid[0:side, 0:side].astype(np.float32) / side
    base = rng.uniform(70, 190) + rng.uniform(-18, 18, 3)
    picture = np.ones((side, side, 3), np.float32) * base.astype(np.float32)
    for _ in range(int(rng.integers(3, 8))):
        x0, y0 = rng.uniform(-0.1, 0.9, 2) * side
        wide, high = rng.uniform(0.1, 0.5, 2) * side
        colour = np.clip(base + rng.uniform(-50, 50) + rng.uniform(-25, 25, 3), 15, 235)
        corner, opposite = (int(x0), int(y0)), (int(x0 + wide), int(y0 + high))
        if style == "b":
            cv2.ellipse(picture, corner, (int(wide / 2), int(high / 2)), 0, 0, 360, colour.tolist(), -1)
        else:
            cv2.rectangle(picture, corner, opposite, colour.tolist(), -1)
    picture = cv2.GaussianBlur(picture, (0, 0), side * (0.02 if style == "b" else rng.uniform(0.004, 0.012)))
    shade = 1 + rng.uniform(-0.25, 0.25) * (column - 0.5) + rng.uniform(-0.25, 0.25) * (row - 0.5)
    rough = fractal(rng, side, (6, 24, 80), (1.0, 0.6, 0.5))
    picture *= (shade + rng.uniform(0.01, 0.09) * rough)[..., None]
    return np.clip(picture * exposure, 4, 250)
