"""Figures of the pulse: waves and spectra of one real and one fake clip, each at every compression."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy import signal

from cpml_jax import schema
from cpml_jax.report import canvas
from cpml_jax.report.canvas import Absent, Plate
from cpml_jax.report.run_files import FEATURES, RunFiles, lines_of_test, number
from cpml_jax.report.words import figure_of
from cpml_jax.schema import FAKE, FRAME_RATE, REAL

BAND_BPM = (36.0, 240.0)  # beats/min: the band in which a pulse can lie, as in L_CQSL (docs/method.md)
_POINTS = 4096  # of the padded transform: one point every 0.44 beats/min


def spectrum(wave: np.ndarray, fps: float = FRAME_RATE) -> tuple[np.ndarray, np.ndarray]:
    """Power of a wave (T,) in the pulse's band, by the periodogram with a Hann window.

    Returns:
      rates (F,) in beats/min, power (F,) relative to its highest point; zeros for a flat or unknown wave.
    """
    wave = np.asarray(wave, np.float64)
    known = len(wave) > 1 and bool(np.isfinite(wave).all())
    length = max(_POINTS, len(wave))
    rates, power = signal.periodogram(wave if known else np.zeros(2), fps, window="hann", nfft=length)
    inside = (60 * rates >= BAND_BPM[0]) & (60 * rates <= BAND_BPM[1])
    rates, power = 60 * rates[inside], power[inside]
    highest = float(power.max())
    return rates, power / highest if highest > 0 else np.zeros_like(power)


def peak(wave: np.ndarray) -> float | None:
    """Rate of the spectrum's highest point in beats/min; None for a flat or unknown wave."""
    rates, power = spectrum(wave)
    return float(rates[np.argmax(power)]) if power.max() > 0 else None


def choose(lines: list[dict], known_waves: np.ndarray) -> dict[int, list[dict]]:
    """The example clips: label -> the same clip at every compression, best first.

    Real: of the clips at the most compressions, the one whose wave correlates with the classical trace in the median
    way: neither the best nor the worst. Fake: the first of the same identity and window, or else the median one.

    Args:
      lines: of scores.jsonl. known_waves: (N,) bool by line number, whether the wave is known.
    """
    clips: dict[int, dict[tuple, list[dict]]] = {REAL: {}, FAKE: {}}
    for line in lines:
        if known_waves[line["row"]]:
            key = line["dataset"], line["method"], line["video"], line["window"]
            clips[line["label"]].setdefault(key, []).append(line)
    chosen: dict[int, list[dict]] = {}
    for label, of_label in clips.items():
        most = max((len(same) for same in of_label.values()), default=0)
        candidates = sorted((same for same in of_label.values() if len(same) == most), key=_correlation)
        if label == FAKE and REAL in chosen:
            real = chosen[REAL][0]
            alike = ("dataset", "identity", "window")
            partners = [s for s in candidates if [s[0].get(k) for k in alike] == [real.get(k) for k in alike]]
            candidates = sorted(partners, key=lambda same: same[0]["method"])[:1] or candidates
        if candidates:
            median = candidates[(len(candidates) - 1) // 2]
            chosen[label] = sorted(median, key=lambda line: schema.compression_rank(line["compression"]))
    return chosen


def _correlation(same: list[dict]) -> tuple[float, str]:
    """Mean correlation of a clip's waves with the classical trace; clips of the same one by name."""
    known = [number(line.get("pulse_correlation_pos")) for line in same]
    known = [value for value in known if value is not None]
    return (float(np.mean(known)) if known else 0.0), same[0]["clip_id"]


def waves_and_spectra(run: RunFiles) -> list[Plate]:
    """Four figures: waves of a real, waves of a fake, spectra of a real, spectra of a fake."""
    waves = run.features.get("wave")
    if waves is None:
        reason = "This model has no rPPG stream, so it draws no pulse wave." if run.features else run.why(FEATURES)
        raise Absent(reason)
    chosen = choose(lines_of_test(run), np.asarray(np.isfinite(waves).all(axis=1)))
    if not chosen:
        raise Absent("features.npz holds no finite wave of a test clip; main.py evaluate writes it anew.")
    traces = run.features.get("trace", np.full_like(waves, np.nan))
    plates = [_waves(label, same, waves, traces) for label, same in chosen.items()]
    return plates + [_spectra(label, same, waves, traces) for label, same in chosen.items()]


def z_score(wave: np.ndarray) -> np.ndarray:
    """(T,) with mean 0 and standard deviation 1; zeros if flat."""
    spread = wave.std()
    return (wave - wave.mean()) / spread if spread > 0 else wave * 0.0


def _head(label: int, same: list[dict]) -> str:
    first = same[0]
    method = "" if label == REAL else f" ({canvas.shown(first['method'], 20)})"
    return f"{canvas.CLASS_NAMES[label].capitalize()}{method}: {canvas.shown(first['video'], 30)}"


class _Curves(NamedTuple):
    """What a panel shows of a clip: two curves over x, what is read off them in words, and the panel's heading."""

    x: np.ndarray
    model: np.ndarray
    classical: np.ndarray
    reading: str
    heading: str


def _draw(
    label: int, same: list[dict], curves_of: Callable[[dict], _Curves], columns: dict[str, list], classical: str
) -> tuple[Figure, list[Axes], str]:
    """One panel per compression: the model's curve over the classical one. Fills the columns.

    Returns:
      The figure, its panels, and what is read off them in words.
    """
    figure, panels = canvas.stack(len(same))
    readings = []
    for axes, line in zip(panels, same, strict=True):
        curves, compression = curves_of(line), canvas.shown(line["compression"], 10)
        axes.plot(curves.x, curves.classical, color=canvas.SOFT, ls=canvas.DASHES[2], lw=1.5, label=classical)
        axes.plot(curves.x, curves.model, color=canvas.CLASS_COLOURS[label], lw=1.8, label="the model's wave")
        axes.set_title(f"{compression}: {curves.heading}", loc="left", pad=2)
        readings.append(f"{compression} {curves.reading}")
        canvas.extend(columns, line["clip_id"], line["compression"], curves.x, curves.model, curves.classical)
    return figure, panels, ", ".join(readings)


def _waves(label: int, same: list[dict], waves: np.ndarray, traces: np.ndarray) -> Plate:
    def curves_of(line: dict) -> _Curves:
        wave, trace = z_score(waves[line["row"]].astype(float)), traces[line["row"]].astype(float)
        known = np.isfinite(trace).all() and trace.std() > 0 and wave.std() > 0
        rho = figure_of(np.corrcoef(wave, trace)[0, 1], 2) if known else "unknown"
        heading = f"correlation {rho}, P(fake) {line['p_fake']:.3f}"
        return _Curves(np.arange(len(wave)) / FRAME_RATE, wave, trace, rho, heading)

    columns = {"clip_id": [], "compression": [], "time_s": [], "wave": [], "trace_pos": []}
    figure, panels, readings = _draw(label, same, curves_of, columns, "classical trace (POS)")
    for axes in panels:
        axes.set(ylim=(-3.5, 3.5), yticks=[-2, 0, 2])
    panels[-1].set_xlabel("time in s; both as z-scores")
    canvas.legend_below(figure, panels[0], 2)
    word = canvas.CLASS_NAMES[label]
    alt = f"Pulse waves of a {word} clip at {len(same)} compressions; correlation with the trace: {readings}."
    return Plate(f"pulse_{word}", f"{_head(label, same)}, wave.", alt, figure, columns)


def _spectra(label: int, same: list[dict], waves: np.ndarray, traces: np.ndarray) -> Plate:
    def curves_of(line: dict) -> _Curves:
        rates, power = spectrum(waves[line["row"]])
        _, classical = spectrum(traces[line["row"]])
        highest, truth = peak(waves[line["row"]]), _true_rate(line)
        reading = "no peak" if highest is None else f"peak {highest:.0f} beats/min"
        return _Curves(rates, power, classical, reading, reading + (f", truth {truth:.0f}" if truth else ""))

    columns = {"clip_id": [], "compression": [], "rate_bpm": [], "power_wave": [], "power_trace_pos": []}
    figure, panels, readings = _draw(label, same, curves_of, columns, "POS")
    for axes, line in zip(panels, same, strict=True):
        truth = _true_rate(line)
        if truth is not None:
            axes.axvline(truth, color=canvas.INK, lw=1.2, ls="--", label="true rate")
        axes.set(ylim=(0, 1.08), yticks=[0, 1], xlim=BAND_BPM)
    panels[-1].set_xlabel("beats/min; power relative to its highest")
    canvas.legend_below(figure, panels[0], 3)
    word = canvas.CLASS_NAMES[label]
    alt = f"Spectra of the pulse waves of a {word} clip at {len(same)} compressions: {readings}."
    return Plate(f"spectrum_{word}", f"{_head(label, same)}, spectrum.", alt, figure, columns)


def _true_rate(line: dict) -> float | None:
    return number(line.get("heart_rate_truth_bpm"))
