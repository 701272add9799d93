"""Figures of one video's page: score over time, similarity to the prompts, pulse waves and spectra."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from cpml_jax.evaluation.evidence import WindowArrays
from cpml_jax.report import canvas
from cpml_jax.report.canvas import BLUE, Plate
from cpml_jax.report.figures_pulse import BAND_BPM, spectrum, z_score
from cpml_jax.report.run_files import number
from cpml_jax.schema import FAKE, FRAME_RATE, REAL

PULSES = 3  # windows whose wave and spectrum are drawn


def score_over_time(name: str, answer: Mapping, window_s: float) -> Plate:
    """One bar per window at its time and score; one colour, marker and dash per face."""
    spans = answer["windows"]
    figure, axes = canvas.panel(3.4)
    for place, face in enumerate(sorted({span["face"] for span in spans})):
        of_face = [span for span in spans if span["face"] == face]
        start, score = (np.array([span[key] for span in of_face], float) for key in ("start_s", "score"))
        look = canvas.look(place)
        axes.hlines(score, start, start + window_s, color=look["color"], lw=3)
        axes.plot(start + window_s / 2, score, label=f"face {face}", **look)
    value = number((answer.get("threshold") or {}).get("value"))
    if value is not None:
        axes.axhline(value, color=canvas.INK, lw=1, ls=":", label="threshold")
    axes.set(ylim=(-0.03, 1.03), xlabel="time in s; each bar is a window", ylabel="P(fake)")
    canvas.legend_below(figure, axes, 3)
    scores = ", ".join(f"{span['start_s']:.1f} s {span['score']:.2f}" for span in spans[:20])
    columns = {key: [span[key] for span in spans] for key in ("start_s", "face", "score")}
    return Plate(f"{name}-score", "Score over time.", f"Scores of the windows: {scores}.", figure, columns)


def similarity(name: str, spans: Sequence[Mapping], windows: Sequence[WindowArrays]) -> Plate | None:
    """Cosines to both prompts over time."""
    known = [
        (span["start_s"], window.cosines)
        for span, window in zip(spans, windows, strict=True)
        if window.cosines is not None and np.isfinite(window.cosines).all()
    ]
    if not known:
        return None
    known.sort(key=lambda pair: pair[0])
    start, cosines = (np.array(values, float) for values in zip(*known, strict=True))
    figure, axes = canvas.panel(3.4)
    for label, word in canvas.CLASS_NAMES.items():
        look = {"color": canvas.CLASS_COLOURS[label], "marker": canvas.CLASS_MARKERS[label], "markersize": 8}
        axes.plot(start, cosines[:, label], ls="none", label=f"to the prompt of {word}", **look)
    axes.vlines(start, cosines.min(1), cosines.max(1), color=canvas.SOFT, lw=1)
    axes.set(xlabel="start of the window in s", ylabel="cosine")
    canvas.legend_below(figure, axes, 2)
    columns = {"start_s": start, "cosine_real": cosines[:, REAL], "cosine_fake": cosines[:, FAKE]}
    mean = cosines.mean(0)
    alt = f"Cosines of the unified feature; means: {mean[REAL]:.2f} to real, {mean[FAKE]:.2f} to fake."
    title = "Similarity to the prompts: the class whose mark is higher wins."
    return Plate(f"{name}-prompts", title, alt, figure, columns)


def pulses(name: str, spans: Sequence[Mapping], windows: Sequence[WindowArrays], ranked: Sequence[int]) -> list[Plate]:
    """Waves, and spectra, of the windows with the highest scores.

    Args:
      ranked: places of the windows, the highest score first.
    """
    known = [
        (spans[i], windows[i].trace, wave)
        for i in ranked
        if (wave := windows[i].wave) is not None and np.isfinite(wave).all()
    ][:PULSES]
    if not known:
        return []
    plates = []
    for kind, curve, limits, label, title in (
        ("pulse", _wave, {"ylim": (-3.5, 3.5)}, "time in s; as z-scores",
         "Pulse wave of the windows with the highest scores."),
        ("spectrum", spectrum, {"xlim": BAND_BPM, "ylim": (0, 1.08)}, "beats/min; power relative to its highest",
         "Spectrum of those waves; the peak is the rate."),
    ):  # fmt: skip
        figure, panels = canvas.stack(len(known))
        headings = []
        for axes, (span, trace, wave) in zip(panels, known, strict=True):
            if trace is not None:
                axes.plot(*curve(trace), color=canvas.SOFT, ls=canvas.DASHES[2], lw=1.7, label="POS")
            axes.plot(*curve(wave), color=BLUE, ls="-", lw=1.7, label="the model's wave")
            axes.set(**limits)
            rate = number(span.get("heart_rate_bpm"))
            pulse = "no rate" if rate is None else f"{rate:.0f} beats/min"
            headings.append(f"from {span['start_s']:.1f} s: {pulse}")
            axes.set_title(headings[-1], loc="left", pad=2)
        panels[-1].set_xlabel(label)
        canvas.legend_below(figure, panels[0], 2)
        plates.append(Plate(f"{name}-{kind}", title, f"{title} {'; '.join(headings)}.", figure, {}))
    return plates


def _wave(wave: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Seconds and z-scores of a wave (T,)."""
    return np.arange(len(wave)) / FRAME_RATE, z_score(np.asarray(wave, float))
