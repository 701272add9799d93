"""Which heart rates an answer gives: those of windows in which the classical trace has a pulse.

A model's wave has a spectral peak whatever it was made of, and so has noise. So a window's rates are given where the
classical trace's signal-to-noise ratio is more than sensor noise gives (the record's snr_p_pos, data_prep/face/rppg.py:
Monte Carlo over noise), and a face's where more of its windows have one than noise alone would.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

PULSE_LEVEL = 0.05  # of snr_p_pos in a window, and of the number of such windows in a face
KEYS = ("heart_rate_bpm", "heart_rate_snr_db", "heart_rate_pos_bpm", "heart_rate_pos_snr_db")  # of a face and a video


class Pulse(NamedTuple):
    """Of one window. rate, snr_db: of the model's wave (None without the rppg stream), beats/min and dB at that rate;
    pos_rate, pos_snr_db, pos_p: of the classical trace, and how often noise alone gives such a ratio."""

    rate: float | None
    snr_db: float | None
    pos_rate: float
    pos_snr_db: float
    pos_p: float

    @property
    def present(self) -> bool:
        """Whether the classical trace has a pulse; not where its p-value is unknown."""
        return bool(np.isfinite(self.pos_p) and self.pos_p <= PULSE_LEVEL)


def of_window(pulse: Pulse) -> dict[str, float | None]:
    """{heart_rate_bpm, heart_rate_snr_db}; null without a pulse."""
    if not pulse.present:
        return {"heart_rate_bpm": None, "heart_rate_snr_db": None}
    return {"heart_rate_bpm": pulse.rate, "heart_rate_snr_db": pulse.snr_db}


def of_face(pulses: Sequence[Pulse]) -> dict[str, float | None]:
    """KEYS of a face's windows.

    Medians over the windows with a pulse; null unless they are more than noise gives: of n windows each has a pulse by
    chance with probability PULSE_LEVEL, and so many or more must come less often than that too (binomial).
    """
    present = [pulse for pulse in pulses if pulse.present]
    if at_least(len(present), len(pulses), PULSE_LEVEL) > PULSE_LEVEL + 1e-12:
        present = []
    columns = [(pulse.rate, pulse.snr_db, pulse.pos_rate, pulse.pos_snr_db) for pulse in present]
    return {key: _median([column[i] for column in columns]) for i, key in enumerate(KEYS)}


def at_least(count: int, trials: int, chance: float) -> float:
    """Probability of at least `count` successes (binomial). By logarithms of factorials: thousands of trials do not
    overflow, and loading scipy.special takes a quarter of a second."""

    def log_probability(k: int) -> float:
        ways = math.lgamma(trials + 1) - math.lgamma(k + 1) - math.lgamma(trials - k + 1)
        return ways + k * math.log(chance) + (trials - k) * math.log1p(-chance)

    return math.fsum(math.exp(log_probability(k)) for k in range(count, trials + 1))


def _median(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None and np.isfinite(value)]
    return float(np.median(known)) if known else None
