"""Figures of the pulse: waves and spectra of the same clip at every compression, a real and a fake beside it."""

from __future__ import annotations

import numpy as np
from scipy import signal

from cpml_jax import schema
from cpml_jax.report import canvas
from cpml_jax.report.canvas import Absent, Plate
from cpml_jax.report.run_files import FEATURES, RunFiles, lines_of_test, number
from cpml_jax.report.words import figure_of
from cpml_jax.schema import FAKE, FRAME_RATE, REAL

BAND_BPM = (36.0, 240.0)  # beats/min: the band in which a pulse can lie (METHOD, L_CQSL)
_POINTS = 4096  # of the padded transform: a point each 0.44 beats/min


def spectrum(wave: np.ndarray, fps: float = FRAME_RATE) -> tuple[np.ndarray, np.ndarray]:
    """Power of a wave (T,) in the pulse's band, by the periodogram with a Hann window.

    Returns:
      (rates (F,) in beats/min, power (F,) relative to its highest point; zeros for a flat or unknown wave).
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


def choose(lines: list[dict], unified_rows: np.ndarray) -> dict[int, list[dict]]:
    """The example clips: label -> the same clip at every compression, best first.

    Real: of the clips at the most compressions, the one whose wave follows the classical trace in the middling way
    (median of its mean correlation): neither the best nor the worst. Fake: the first of the same identity and window,
    else the middling one.

    Args:
      lines: of scores.jsonl. unified_rows: (N,) bool by line number, whether the wave is known.
    """
    clips: dict[int, dict[tuple, list[dict]]] = {REAL: {}, FAKE: {}}
    for line in lines:
        if unified_rows[line["row"]]:
            key = line["dataset"], line["method"], line["video"], line["window"]
            clips[line["label"]].setdefault(key, []).append(line)
    chosen: dict[int, list[dict]] = {}
    for label, found in clips.items():
        most = max((len(same) for same in found.values()), default=0)
        rich = sorted((same for same in found.values() if len(same) == most), key=_following)
        if label == FAKE and REAL in chosen:
            real = chosen[REAL][0]
            alike = ("dataset", "identity", "window")
            partners = [s for s in rich if [s[0].get(k) for k in alike] == [real.get(k) for k in alike]]
            rich = sorted(partners, key=lambda same: same[0]["method"])[:1] or rich
        if rich:
            own = rich[(len(rich) - 1) // 2]
            chosen[label] = sorted(own, key=lambda line: schema.compression_rank(line["compression"]))
    return chosen


def _following(same: list[dict]) -> tuple[float, str]:
    known = [number(line.get("pulse_correlation_pos")) for line in same]
    known = [value for value in known if value is not None]
    return (float(np.mean(known)) if known else 0.0), same[0]["clip_id"]


def waves_and_spectra(run: RunFiles) -> list[Plate]:
    """Four figures: waves of a real, waves of a fake, spectra of a real, spectra of a fake."""
    waves = run.features.get("wave")
    if waves is None:
        reason = "This model has no rPPG stream, so it draws no pulse wave." if run.features else run.why(FEATURES)
        raise Absent(reason)
    chosen = choose(lines_of_test(run), np.isfinite(waves).all(1))
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


def _waves(label: int, same: list[dict], waves: np.ndarray, traces: np.ndarray) -> Plate:
    figure, panels = canvas.panel(0.9 + 1.35 * len(same), rows=len(same), sharex=True, squeeze=False)
    columns = {"clip_id": [], "compression": [], "time_s": [], "wave": [], "trace_pos": []}
    said = []
    for axes, line in zip(panels[:, 0], same, strict=True):
        wave, trace = z_score(waves[line["row"]].astype(float)), traces[line["row"]].astype(float)
        seconds = np.arange(len(wave)) / FRAME_RATE
        axes.plot(seconds, trace, color=canvas.SOFT, ls=canvas.DASHES[2], lw=1.5, label="classical trace (POS)")
        axes.plot(seconds, wave, color=canvas.CLASS_COLOURS[label], lw=1.8, label="the model's wave")
        known = np.isfinite(trace).all() and trace.std() > 0 and wave.std() > 0
        rho = figure_of(np.corrcoef(wave, trace)[0, 1], 2) if known else "unknown"
        compression = canvas.shown(line["compression"], 10)
        axes.set_title(f"{compression}: correlation {rho}, P(fake) {line['p_fake']:.3f}", loc="left", pad=2)
        axes.set(ylim=(-3.5, 3.5), yticks=[-2, 0, 2])
        said.append(f"{compression} {rho}")
        rows = [line["clip_id"]] * len(wave), [line["compression"]] * len(wave), seconds, wave, trace
        for column, values in zip(columns.values(), rows, strict=True):
            column.extend(values)
    panels[-1, 0].set_xlabel("time in s; both as z-scores")
    canvas.legend_below(figure, panels[0, 0], 2)
    word = canvas.CLASS_NAMES[label]
    alt = f"Pulse waves of a {word} clip at {len(same)} compressions; correlation with the trace: {', '.join(said)}."
    return Plate(f"pulse_{word}", f"{_head(label, same)}, wave.", alt, figure, columns)


def _spectra(label: int, same: list[dict], waves: np.ndarray, traces: np.ndarray) -> Plate:
    figure, panels = canvas.panel(0.9 + 1.35 * len(same), rows=len(same), sharex=True, squeeze=False)
    columns = {"clip_id": [], "compression": [], "rate_bpm": [], "power_wave": [], "power_trace_pos": []}
    said = []
    for axes, line in zip(panels[:, 0], same, strict=True):
        rates, power = spectrum(waves[line["row"]])
        _, classical = spectrum(traces[line["row"]])
        axes.plot(rates, classical, color=canvas.SOFT, ls=canvas.DASHES[2], lw=1.5, label="POS")
        axes.plot(rates, power, color=canvas.CLASS_COLOURS[label], lw=1.8, label="the model's wave")
        truth = number(line.get("heart_rate_truth_bpm"))
        if truth is not None:
            axes.axvline(truth, color=canvas.INK, lw=1.2, ls="--", label="true rate")
        own = peak(waves[line["row"]])
        compression = canvas.shown(line["compression"], 10)
        peaked = "no peak" if own is None else f"peak {own:.0f} beats/min"
        axes.set_title(f"{compression}: {peaked}" + (f", truth {truth:.0f}" if truth else ""), loc="left", pad=2)
        axes.set(ylim=(0, 1.08), yticks=[0, 1], xlim=BAND_BPM)
        said.append(f"{compression} {peaked}")
        rows = [line["clip_id"]] * len(rates), [line["compression"]] * len(rates), rates, power, classical
        for column, values in zip(columns.values(), rows, strict=True):
            column.extend(values)
    panels[-1, 0].set_xlabel("beats/min; power relative to its highest")
    canvas.legend_below(figure, panels[0, 0], 3)
    word = canvas.CLASS_NAMES[label]
    alt = f"Spectra of the pulse waves of a {word} clip at {len(same)} compressions: {', '.join(said)}."
    return Plate(f"spectrum_{word}", f"{_head(label, same)}, spectrum.", alt, figure, columns)
