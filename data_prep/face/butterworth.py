"""A zero-phase Butterworth band-pass. Ours, since loading SciPy's filters takes longer than finding a clip's faces."""

from __future__ import annotations

import functools
import math

import numpy as np


@functools.cache
def denominator(low: float, high: float) -> tuple[float, tuple[float, ...]]:
    """The second-order band-pass between two rates, by the bilinear transform.

    The prototype 1 / (s^2 + sqrt(2) s + 1) with (s^2 + w0^2) / (B s) for s is B^2 s^2 over the polynomial below; with
    (z - 1) / (z + 1) for s the numerator is B^2 (z^2 - 1)^2.

    Args:
      low, high: where power is halved, cycles a sample, in (0, 0.5).

    Returns:
      The gain g and a[1..4] of H(z) = g (1 - z^-2)^2 / (1 + a1 z^-1 + ... + a4 z^-4).
    """
    low, high = math.tan(math.pi * low), math.tan(math.pi * high)
    band, centre = high - low, low * high
    analog = (1.0, math.sqrt(2) * band, 2 * centre + band**2, math.sqrt(2) * band * centre, centre**2)  # s^4 first
    # np.poly has the roots: (z - 1)^(4 - k) (z + 1)^k.
    digital = np.sum([c * np.poly([1.0] * (4 - k) + [-1.0] * k) for k, c in enumerate(analog)], axis=0)
    return float(band**2 / digital[0]), tuple(float(a) for a in digital[1:] / digital[0])


def filtfilt(trace: np.ndarray, low: float, high: float, padding: int) -> np.ndarray:
    """Filtered forwards, then backwards: no phase, and the gain squared.

    As scipy.signal.sosfiltfilt: both ends are continued by their point reflections, and each pass begins as if its
    first value had been there for ever, which a band-pass answers with 0.

    Args:
      trace: (..., T). low, high: cycles a sample. padding: samples of the continuation, at most T - 1.

    Returns:
      (..., T) float64.
    """
    along = np.moveaxis(trace, -1, 0).astype(np.float64)
    count = len(along)
    before = 2 * along[0] - along[1 : padding + 1][::-1]
    after = 2 * along[-1] - along[count - 1 - padding : count - 1][::-1]
    values = np.concatenate([before, along, after])
    for _ in range(2):
        values = _forward(values, low, high)[::-1]
    return np.moveaxis(values[padding : padding + count], 0, -1)


def _forward(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """(T, ...) -> (T, ...), along the first axis."""
    gain, (a1, a2, a3, a4) = denominator(low, high)
    x = np.concatenate([np.zeros((4, *values.shape[1:])), values - values[0]])
    y = np.zeros_like(x)
    y[4:] = gain * (x[4:] - 2 * x[2:-2] + x[:-4])
    for n in range(4, len(y)):
        y[n] -= a1 * y[n - 1] + a2 * y[n - 2] + a3 * y[n - 3] + a4 * y[n - 4]
    return y[4:]
