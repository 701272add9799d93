"""Figures of scores: ROC, DET, histograms, scores by method, reliability before and after the temperature."""

from __future__ import annotations

import numpy as np
from scipy.special import expit
from scipy.stats import norm
from sklearn import metrics as sk
from sklearn.calibration import calibration_curve

from cpml_jax.evaluation import video_score
from cpml_jax.metrics import detection
from cpml_jax.report import canvas
from cpml_jax.report.canvas import Absent, Plate
from cpml_jax.report.run_files import SCORES, RunFiles, lines_of_test, number, sets_of_test
from cpml_jax.report.words import figure_of
from cpml_jax.schema import FAKE, REAL

_DET_TICKS = (0.001, 0.01, 0.05, 0.2, 0.5, 0.8, 0.95)
_DET_LIMITS = (0.0005, 0.97)
_BINS = 10
Scored = dict[str, tuple[np.ndarray, np.ndarray]]  # name of a test set -> labels (N,) int, scores (N,) float


def roc_and_det(run: RunFiles) -> list[Plate]:
    """ROC and DET curves of every test set: of clips, and of videos where some have several clips."""
    sets = {_name(key): lines for key, lines in sets_of_test(run).items()}
    if not sets:
        raise Absent(run.why(SCORES))
    units = {"clip": {name: _of_clips(lines) for name, lines in sets.items()}}
    if any(len({line["video_key"] for line in lines}) < len(lines) for lines in sets.values()):
        units["video"] = {name: _of_videos(lines) for name, lines in sets.items()}
    plates = []
    for unit, scored in units.items():
        usable = {name: pair for name, pair in scored.items() if not detection.undefined_reason(pair[0])}
        if not usable:
            raise Absent("No curve: each test set holds clips of one class only; add real and fake clips to the test.")
        plates += [_roc(unit, usable), _det(unit, usable)]
    return plates


def _name(key: tuple[str, str]) -> str:
    return f"{canvas.shown(key[0], 18)} {canvas.shown(key[1], 9)}"


def _of_clips(lines: list[dict]) -> tuple[np.ndarray, np.ndarray]:
    return np.array([line["label"] for line in lines]), np.array([line["logit_margin"] for line in lines])


def _of_videos(lines: list[dict]) -> tuple[np.ndarray, np.ndarray]:
    videos, margins = video_score.video_margins(lines, [line["logit_margin"] for line in lines])
    return np.array([video["label"] for video in videos]), margins


def _roc(unit: str, scored: Scored) -> Plate:
    figure, axes = canvas.panel(4.6 + 0.22 * len(scored))
    axes.plot([0, 1], [0, 1], color=canvas.SOFT, lw=1, ls=":")
    columns = {"test": [], "false_positive_rate": [], "true_positive_rate": [], "threshold": []}
    areas = []
    for place, (name, (labels, scores)) in enumerate(scored.items()):
        false, true, thresholds = sk.roc_curve(labels, scores)
        thresholds = detection.sigmoid(thresholds)
        area = sk.auc(false, true)
        axes.plot(
            false, true, label=f"{name}: AUC {area:.3f}", markevery=canvas.evenly(len(false), 6), **canvas.look(place)
        )
        areas.append(f"{name} {area:.3f}")
        canvas.extend(columns, name, false, true, thresholds)
    axes.set(xlabel="false positives (reals called fake)", ylabel="true positives (fakes detected)", aspect="equal")
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    canvas.legend_below(figure, axes)
    alt = f"ROC curves of the {unit} scores; area under the curve: {', '.join(areas)}."
    return Plate(_file("roc", unit), f"ROC, {unit} scores. Up and left is better.", alt, figure, columns)


def _det(unit: str, scored: Scored) -> Plate:
    figure, axes = canvas.panel(4.6 + 0.22 * len(scored))
    columns = {"test": [], "false_positive_rate": [], "false_negative_rate": [], "threshold": []}
    rates = []
    low, high = norm.ppf(_DET_LIMITS)
    axes.plot([low, high], [low, high], color=canvas.SOFT, lw=1, ls=":")
    for place, (name, (labels, scores)) in enumerate(scored.items()):
        false, missed, thresholds = sk.det_curve(labels, scores)
        thresholds = detection.sigmoid(thresholds)
        rate, _ = detection.eer(labels, scores)
        x, y = (norm.ppf(np.clip(errors, *_DET_LIMITS)) for errors in (false, missed))
        look = canvas.look(place)
        percent = figure_of(None if rate is None else 100 * rate, 1, " %")
        axes.plot(x, y, label=f"{name}: EER {percent}", markevery=canvas.evenly(len(x), 6), clip_on=False, **look)
        rates.append(f"{name} {percent}")
        canvas.extend(columns, name, false, missed, thresholds)
    ticks = [f"{100 * tick:g} %" for tick in _DET_TICKS]
    axes.set_xticks(norm.ppf(_DET_TICKS), ticks)
    axes.set_yticks(norm.ppf(_DET_TICKS), ticks)
    axes.set(xlabel="false positives (reals called fake)", ylabel="misses (fakes called real)", aspect="equal")
    axes.set(xlim=(low, high), ylim=(low, high))
    canvas.legend_below(figure, axes)
    alt = f"DET curves of the {unit} scores on normal deviate axes; equal error rates: {', '.join(rates)}."
    title = (
        f"DET, {unit} scores, on normal deviate axes. Down and left is better. Rates below {100 * _DET_LIMITS[0]:g} % "
        "lie on the edge; a curve without errors lies in the corner."
    )
    return Plate(_file("det", unit), title, alt, figure, columns)


def _file(kind: str, unit: str) -> str:
    return kind if unit == "clip" else f"{kind}_{unit}"


def histograms(run: RunFiles) -> list[Plate]:
    """Scores of reals and fakes, one panel per test set, and every clip's score by method."""
    sets = sets_of_test(run)
    if not sets:
        raise Absent(run.why(SCORES))
    margins = np.array([line["logit_margin"] for lines in sets.values() for line in lines])
    low, high = float(margins.min()), float(margins.max())
    room = 0.03 * max(high - low, 1.0)
    edges = np.linspace(low - room, high + room, 31)
    figure, panels = canvas.stack(len(sets))
    columns = {"test": [], "class": [], "from": [], "to": [], "clips": []}
    for axes, (key, lines) in zip(panels, sets.items(), strict=True):
        name = _name(key)
        for label, hatch in ((REAL, "////"), (FAKE, "")):
            counts, _ = np.histogram([x["logit_margin"] for x in lines if x["label"] == label], edges)
            colour = canvas.CLASS_COLOURS[label]
            axes.stairs(
                counts, edges, fill=True, facecolor="none" if hatch else colour, edgecolor=colour, hatch=hatch,
                alpha=1.0 if hatch else 0.55, lw=1.4, label=f"{canvas.CLASS_NAMES[label]} (n)",
            )  # fmt: skip
            canvas.extend(columns, name, canvas.CLASS_NAMES[label], edges[:-1], edges[1:], counts)
        axes.axvline(0, color=canvas.INK, lw=1, ls=":")
        axes.set_title(name, loc="left", pad=2)
        axes.set_ylabel("clips")
        axes.grid(axis="x", visible=False)
    panels[-1].set_xlabel("log-odds of fake (0: even odds, dotted)")
    handles, _ = panels[0].get_legend_handles_labels()
    figure.legend(handles, ["real (hatched)", "fake (filled)"], loc="outside lower center", ncols=2)
    title = "Scores of real and fake clips, one panel per test set. The further apart, the better."
    alt = "Histograms of the log-odds of fake: " + "; ".join(
        f"{_name(key)}: {_medians(lines)}" for key, lines in sets.items()
    )
    return [Plate("histograms", title, alt, figure, columns), _by_method(sets)]


def _medians(lines: list[dict]) -> str:
    parts = []
    for label, word in canvas.CLASS_NAMES.items():
        values = [line["logit_margin"] for line in lines if line["label"] == label]
        parts.append(f"median {word} {np.median(values):.1f}" if values else f"no {word}")
    return ", ".join(parts)


def _by_method(sets: dict[tuple[str, str], list[dict]]) -> Plate:
    """One dot per clip; one row per method, one marker per test set."""
    methods = sorted({line["method"] for lines in sets.values() for line in lines}, key=lambda m: (m != "real", m))
    figure, axes = canvas.panel(1.6 + 0.62 * len(methods) + 0.2 * len(sets))
    rng = np.random.default_rng(0)
    columns = {"test": [], "method": [], "clip_id": [], "log_odds_of_fake": []}
    step = 0.8 / len(sets)
    for place, (key, lines) in enumerate(sets.items()):
        name, look = _name(key), canvas.look(place)
        x = np.array([line["logit_margin"] for line in lines])
        y = np.array([methods.index(line["method"]) for line in lines], float)
        y += (place + 0.5) * step - 0.4 + rng.uniform(-0.3, 0.3, len(lines)) * step
        axes.scatter(x, y, s=20, facecolors="none", edgecolors=look["color"], marker=look["marker"], label=name, lw=1)
        canvas.extend(columns, name, [line["method"] for line in lines], [line["clip_id"] for line in lines], x)
    for edge in np.arange(0.5, len(methods) - 1):
        axes.axhline(edge, color=canvas.SOFT, lw=0.6)
    axes.axvline(0, color=canvas.INK, lw=1, ls=":")
    axes.set_yticks(range(len(methods)), [canvas.shown(m, 16) for m in methods])
    axes.set(xlabel="log-odds of fake (0: even odds, dotted)", ylim=(len(methods) - 0.45, -0.55))
    axes.grid(axis="y", visible=False)
    canvas.legend_below(figure, axes, 2 if max(map(len, columns["test"])) < 18 else 1)
    title = "Every clip's score by method; reals should lie left of the dotted line, fakes right of it."
    alt = f"One dot per test clip, by method ({', '.join(methods)}); the horizontal axis is the log-odds of fake."
    return Plate("scores_by_method", title, alt, figure, columns)


def reliability(run: RunFiles) -> list[Plate]:
    """The share of fakes among clips of similar score: before and after dividing the logits by the temperature."""
    lines = lines_of_test(run)
    if not lines:
        raise Absent(run.why(SCORES))
    labels = np.array([line["label"] for line in lines])
    margins = np.array([line["logit_margin"] for line in lines])
    temperature = number((run.evaluation.get("calibration") or {}).get("temperature"))
    stages = {"as trained": 1.0}
    if temperature is not None and temperature > 0:
        stages[f"temperature {temperature:.2f}"] = temperature
    figure, (axes, counts_axes) = canvas.panels(5.6, rows=2, height_ratios=(3.2, 1))
    axes.plot([0, 1], [0, 1], color=canvas.SOFT, lw=1, ls=":")
    columns = {"stage": [], "from": [], "to": [], "clips": [], "mean_score": [], "share_fake": []}
    edges = np.linspace(0, 1, _BINS + 1)
    errors = []
    for place, (name, divisor) in enumerate(stages.items()):
        p = expit(margins / divisor)
        share, mean = calibration_curve(labels, p, n_bins=_BINS, pos_label=FAKE)
        # scikit-learn's bins, so that the counts are of the same clips.
        counts = np.bincount(np.searchsorted(edges[1:-1], p), minlength=_BINS)
        look = canvas.look(place)
        axes.plot(mean, share, label=name, **look)
        counts_axes.stairs(counts, edges, color=look["color"], lw=1.8, ls=look["linestyle"])
        used = np.flatnonzero(counts)
        error = float((counts[used] * np.abs(share - mean)).sum() / counts.sum())
        errors.append(f"{name}: expected calibration error {error:.3f}")
        canvas.extend(columns, name, edges[used], edges[used + 1], counts[used], mean, share)
    axes.set(ylabel="share that is fake", xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    counts_axes.set(ylabel="clips", xlabel="P(fake) by the model")
    canvas.legend_below(figure, axes, 2)
    note = (run.evaluation.get("calibration") or {}).get("note")
    after = (
        " The temperature is fitted on the validation split."
        if len(stages) > 1
        else " No temperature in evaluation.json" + (f" ({note})." if note else "; main.py evaluate fits one.")
    )
    title = (
        f"Reliability over {len(lines):,} test clips: on the dotted line, the share of fakes equals the score.{after}"
    )
    return [Plate("reliability", title, "Reliability curve. " + "; ".join(errors) + ".", figure, columns)]
