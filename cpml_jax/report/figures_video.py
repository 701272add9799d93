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
    """A bar a window at its time and score; a face a colour, marker and dash."""
    spans = answer["windows"]
    figure, axes = canvas.panel(3.4)
    for place, face in enumerate(sorted({span["face"] for span in spans})):
        own = [span for span in spans if span["face"] == face]
        start, score = (np.array([span[key] for span in own], float) for key in ("start_s", "score"))
        look = canvas.look(place)
        axes.hlines(score, start, start + window_s, color=look["color"], lw=3)
        axes.plot(start + window_s / 2, score, label=f"face {face}", **look)
    value = number((answer.get("threshold") or {}).get("value"))
    if value is not None:
        axes.axhline(value, color=canvas.INK, lw=1, ls=":", label="threshold")
    axes.set(ylim=(-0.03, 1.03), xlabel="time in s; a bar is a window", ylabel="P(fake)")
    canvas.legend_below(figure, axes, 3)
    said = ", ".join(f"{span['start_s']:.1f} s {span['score']:.2f}" for span in spans[:20])
    columns = {key: [span[key] for span in spans] for key in ("start_s", "face", "score")}
    return Plate(f"{name}-score", "Score over time.", f"Scores of the windows: {said}.", figure, columns)


def similarity(name: str, spans: Sequence[Mapping], windows: Sequence[WindowArrays]) -> Plate | None:
    """Cosines to both prompts over time."""
    known = [i for i, w in enumerate(windows) if w.cosines is not None and np.isfinite(w.cosines).all()]
    if not known:
        return None
    known.sort(key=lambda i: spans[i]["start_s"])
    cosines = np.array([windows[i].cosines for i in known], float)
    start = np.array([spans[i]["start_s"] for i in known], float)
    figure, axes = canvas.panel(3.4)
    for label, word in canvas.CLASS_NAMES.items():
        axes.plot(start, cosines[:, label], color=canvas.CLASS_COLOURS[label], marker=canvas.CLASS_MARKERS[label],
                  ls="none", markersize=8, label=f"to the prompt of {word}")  # fmt: skip
    axes.vlines(start, cosines.min(1), cosines.max(1), color=canvas.SOFT, lw=1)
    axes.set(xlabel="start of the window in s", ylabel="cosine")
    canvas.legend_below(figure, axes, 2)
    columns = {"start_s": start, "cosine_real": cosines[:, REAL], "cosine_fake": cosines[:, FAKE]}
    mean = cosines.mean(0)
    alt = f"Cosines of the unified feature; means: {mean[REAL]:.2f} to real, {mean[FAKE]:.2f} to fake."
    title = "Similarity to the prompts: the class whose mark is higher wins."
    return Plate(f"{name}-prompts", title, alt, figure, columns)


def pulses(name: str, spans, windows: Sequence[WindowArrays], ranked: list[int]) -> list[Plate]:
    """Waves, and spectra, of the windows with the highest scores."""
    known = [i for i in ranked if windows[i].wave is not None and np.isfinite(windows[i].wave).all()][:PULSES]
    if not known:
        return []
    plates = []
    for kind, label, title in (
        ("pulse", "time in s; as z-scores", "Pulse wave of the windows with the highest scores."),
        ("spectrum", "beats/min; power relative to its highest", "Spectrum of those waves; the peak is the rate."),
    ):
        figure, panels = canvas.panel(0.9 + 1.35 * len(known), rows=len(known), sharex=True, squeeze=False)
        said = []
        for axes, i in zip(panels[:, 0], known, strict=True):
            trace = windows[i].trace
            lines = [("POS", canvas.SOFT, canvas.DASHES[2], trace)] if trace is not None else []
            for word, colour, dash, wave in [*lines, ("the model's wave", BLUE, "-", windows[i].wave)]:
                wave = np.asarray(wave, float)
                x, y = spectrum(wave) if kind == "spectrum" else (np.arange(len(wave)) / FRAME_RATE, z_score(wave))
                axes.plot(x, y, color=colour, ls=dash, lw=1.7, label=word)
            axes.set(**({"xlim": BAND_BPM, "ylim": (0, 1.08)} if kind == "spectrum" else {"ylim": (-3.5, 3.5)}))
            rate = number(spans[i].get("heart_rate_bpm"))
            heading = f"from {spans[i]['start_s']:.1f} s: " + ("no rate" if rate is None else f"{rate:.0f} beats/min")
            axes.set_title(heading, loc="left", pad=2)
            said.append(heading)
        panels[-1, 0].set_xlabel(label)
        canvas.legend_below(figure, panels[0, 0], 2)
        plates.append(Plate(f"{name}-{kind}", title, f"{title} {'; '.join(said)}.", figure, {}))
    return plates
