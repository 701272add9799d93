"""The blood volume pulse: one wave for the whole skin, and how much of it each place and colour shows."""

from __future__ import annotations

import numpy as np

# Share of the pulse in R, G, B: haemoglobin absorbs green most (Wang et al., "Algorithmic principles of remote PPG",
# IEEE TBME 2017, give 0.33/0.77/0.53 for a camera: about the same ratios).
COLOUR_WEIGHTS = (0.45, 1.0, 0.6)


def heart_rates(rng: np.random.Generator, mean_rate: float, times: np.ndarray) -> np.ndarray:
    """Momentary heart rate (N,) in beats/min, within 55..110.

    Variability: respiratory sinus arrhythmia (0.2-0.3 Hz, 1-3 beats/min) and a slower wander.
    """
    breath, slow = rng.uniform(0.2, 0.3), rng.uniform(0.05, 0.1)
    rate = mean_rate
    rate = rate + rng.uniform(1.0, 3.0) * np.sin(2 * np.pi * (breath * times + rng.uniform()))
    rate = rate + rng.uniform(0.5, 1.5) * np.sin(2 * np.pi * (slow * times + rng.uniform()))
    return np.clip(rate, 55.0, 110.0)


def wave(rng: np.random.Generator, rates: np.ndarray, times: np.ndarray) -> np.ndarray:
    """Pulse wave (N,) with peak near 1 and mean near 0: fast rise, slow fall with a dicrotic shoulder.

    A fundamental, a second and a weak third harmonic of the phase, which is the integral of the momentary rate;
    breathing modulates the height by a few per cent.
    """
    step = np.diff(times, prepend=times[0])
    phase = 2 * np.pi * (np.cumsum(rates / 60.0 * step) + rng.uniform())
    shape = np.sin(phase) + 0.35 * np.sin(2 * phase + 0.6) + 0.08 * np.sin(3 * phase + 1.2)
    height = 1.0 + 0.06 * np.sin(2 * np.pi * (rng.uniform(0.2, 0.3) * times + rng.uniform()))
    return (shape * height / 1.2).astype(np.float32)
