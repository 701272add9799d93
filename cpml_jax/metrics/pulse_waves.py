"""How good the pulse waves of a test are: against the truth or the trace, and from compression to compression.

NumPy alone, on arrays and on lines of scores.jsonl; waves are z-scored or not, at schema.FRAME_RATE.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Num

from cpml_jax.schema import FAKE, FRAME_RATE, REAL, compression_rank

# Heart rates in beats/min; None or NaN where unknown.
Rates = Num[np.ndarray, " N"] | Sequence[float | int | None]

_GRID = np.arange(40.0, 240.25, 1.0)  # beats/min: the band of the ratio, as far as READING_RATES' second harmonic
_HALF_WIDTH = 6.0  # beats/min about the rate that count as signal (de Haan & Jeanne: 0.1 Hz)


def snr_db(wave: Num[np.ndarray, " T"], rate_bpm: float, fps: float = FRAME_RATE) -> float | None:
    """Signal-to-noise ratio of a wave at a heart rate (de Haan & Jeanne, IEEE TBME 60, 2013).

    Power within 6 beats/min of the rate and within 12 of its double, over the rest of 40..240 beats/min.

    Args:
      wave: (T,).
      rate_bpm: beats/min.

    Returns:
      dB, or None for a wave that is constant or not finite.
    """
    wave = np.asarray(wave, np.float64)
    if not np.isfinite(wave).all() or not np.isfinite(rate_bpm) or np.ptp(wave) <= 0:
        return None
    centred = (wave - wave.mean()) * np.hanning(len(wave) + 2)[1:-1]
    phases = 2j * np.pi * np.outer(np.arange(len(wave)) / fps, _GRID / 60.0)
    power = np.abs(centred @ np.exp(-phases)) ** 2
    signal = np.zeros(len(_GRID), bool)
    for harmonic in (1, 2):  # as the records' snr_pos: a rate that is off by some is off by twice as much at its double
        signal |= np.abs(_GRID - harmonic * rate_bpm) <= harmonic * _HALF_WIDTH
    if not signal.any() or power[~signal].sum() <= 0 or power[signal].sum() <= 0:
        return None
    return float(10 * np.log10(power[signal].sum() / power[~signal].sum()))


def rate_errors(measured: Rates, reference: Rates) -> dict[str, float | int | None]:
    """{mae_bpm, rmse_bpm, pearson, n} of heart rates over the clips where both are known; None where none is."""
    pairs = np.array([(m, r) for m, r in zip(measured, reference, strict=True) if _known(m) and _known(r)], np.float64)
    if not len(pairs):
        return {"mae_bpm": None, "rmse_bpm": None, "pearson": None, "n": 0}
    error = pairs[:, 0] - pairs[:, 1]
    moving = len(pairs) > 2 and (np.ptp(pairs, axis=0) > 0).all()
    return {
        "mae_bpm": float(np.abs(error).mean()),
        "rmse_bpm": float(np.sqrt((error**2).mean())),
        "pearson": float(np.corrcoef(pairs.T)[0, 1]) if moving else None,
        "n": len(pairs),
    }


def _known(value: float | None) -> bool:
    return value is not None and bool(np.isfinite(value))


def summary(lines: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The `pulse` of a result: by class, means over its clips; None where nothing is known.

    Args:
      lines: of scores.jsonl, of a model with the rPPG stream.

    Returns:
      real, fake: mean Pearson correlation of the model's wave with the classical trace; real_truth, fake_truth: with
      the true wave; heart_rate_pos, heart_rate_truth: rate_errors of the real clips; snr_db_real, snr_db_fake: at the
      wave's own rate.
    """

    def mean(key: str, label: int) -> float | None:
        values = [line[key] for line in lines if line["label"] == label and _known(line.get(key))]
        return float(np.mean(values)) if values else None

    real = [line for line in lines if line["label"] == REAL]
    errors = {
        f"heart_rate_{name}": rate_errors(
            [line.get("heart_rate_bpm") for line in real], [line.get(f"heart_rate_{name}_bpm") for line in real]
        )
        for name in ("pos", "truth")
    }
    return {
        "real": mean("pulse_correlation_pos", REAL),
        "fake": mean("pulse_correlation_pos", FAKE),
        "real_truth": mean("pulse_correlation_truth", REAL),
        "fake_truth": mean("pulse_correlation_truth", FAKE),
        **errors,
        "snr_db_real": mean("pulse_snr_db", REAL),
        "snr_db_fake": mean("pulse_snr_db", FAKE),
    }


def similarity_across(lines: Sequence[Mapping[str, Any]], waves: Num[np.ndarray, "N T"]) -> list[dict[str, Any]]:
    """How alike a clip's wave stays between two compressions: what CQSL is for, real against fake.

    Args:
      lines: (N) of scores.jsonl; compressions of a clip share data set, method, video and window.
      waves: (N, T).

    Returns:
      One dict per data set and pair of compressions, best first: dataset, compressions [a, b], real and fake {mean,
      std, n} of Pearson; mean and std are None where n is 0.
    """
    clips: dict[tuple, dict[str, int]] = defaultdict(dict)
    for index, line in enumerate(lines):
        clips[line["dataset"], line["method"], line["video"], line["window"]][line["compression"]] = index
    correlations: dict[tuple, dict[int, list[float]]] = defaultdict(lambda: {REAL: [], FAKE: []})
    for (dataset, *_), places in clips.items():
        ranked = sorted(places, key=lambda c: (compression_rank(c), c))
        for a, b in itertools.combinations(ranked, 2):
            first, second = waves[places[a]], waves[places[b]]
            if np.ptp(first) > 0 and np.ptp(second) > 0:
                label = lines[places[a]]["label"]
                correlations[dataset, a, b][label].append(float(np.corrcoef(first, second)[0, 1]))

    def moments(values: list[float]) -> dict[str, float | int | None]:
        if not values:
            return {"mean": None, "std": None, "n": 0}
        return {"mean": float(np.mean(values)), "std": float(np.std(values)), "n": len(values)}

    return [
        {"dataset": dataset, "compressions": [a, b], "real": moments(by[REAL]), "fake": moments(by[FAKE])}
        for (dataset, a, b), by in correlations.items()
    ]
