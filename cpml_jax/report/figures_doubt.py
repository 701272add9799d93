"""Figures of doubt: error against coverage, and what became of real and fake videos at each test."""

from __future__ import annotations

import numpy as np

from cpml_jax.report import canvas
from cpml_jax.report.canvas import Absent, Plate
from cpml_jax.report.run_files import RESULTS, RunFiles, is_pooled
from cpml_jax.report.words import figure_of, foreign, table, text


def _tests(run: RunFiles) -> dict[str, dict]:
    """Name of a test set -> its `doubt`, all methods together, each set once."""
    tests: dict[str, dict] = {}
    for result in run.results:
        if result.get("doubt") and not result.get("condition") and is_pooled(result, run.results):
            test = result["test"]
            name = f"{canvas.shown(test['dataset'], 18)} {canvas.shown(test['compression'], 9)}"
            tests.setdefault(name, result["doubt"])
    return tests


def plates(run: RunFiles) -> list[Plate]:
    """Error against coverage; shares undetermined."""
    tests = _tests(run)
    if not tests:
        why = "evaluation.json holds no doubt: main.py evaluate measures it where eval.doubt_level is above 0."
        raise Absent(why if run.results else run.why(RESULTS))
    return [_coverage(tests), _shares(run, tests)]


def _level(run: RunFiles) -> float | None:
    return (run.evaluation.get("doubt") or {}).get("level")


def _coverage(tests: dict[str, dict]) -> Plate:
    figure, axes = canvas.panel(4.2 + 0.22 * len(tests))
    columns: dict[str, list] = {"test": [], "p_value": [], "coverage": [], "error": []}
    ends = []
    for place, (name, doubt) in enumerate(tests.items()):
        points = doubt["risk_coverage"]
        if not points:
            continue
        p, share, error = (np.array([point[key] for point in points]) for key in ("p", "coverage", "error"))
        look = canvas.look(place)
        axes.plot(100 * share, 100 * error, label=name, markevery=canvas.evenly(len(p), 6), **look)
        if doubt["undetermined"] is not None:
            axes.axvline(100 * (1 - doubt["undetermined"]), color=look["color"], lw=1, ls=":")
        ends.append(f"{name} {figure_of(100 * error[-1], 1, ' %')} if all are called")
        canvas.extend(columns, name, p, share, error)
    axes.set(xlabel="videos called, the best known first, %", ylabel="wrong calls among them, %", xlim=(-2, 102))
    axes.set_ylim(bottom=0)
    canvas.legend_below(figure, axes)
    title = (
        "Error against coverage: left, only the videos most like those of training are called. Dotted: how many are "
        "called at the level of doubt. A curve that rises to the right: doubt tells where the model errs."
    )
    return Plate("risk_coverage", title, f"Error against coverage; {'; '.join(ends)}.", figure, columns)


def _shares(run: RunFiles, tests: dict[str, dict]) -> Plate:
    figure, axes = canvas.panel(1.6 + 0.5 * len(tests))
    columns: dict[str, list] = {"test": [], "class": [], "undetermined": []}
    for place, name in enumerate(tests):
        for offset, label in ((-0.18, "real"), (0.18, "fake")):
            share = tests[name][f"undetermined_{label}"]
            kind = {"real": 0, "fake": 1}[label]
            axes.barh(
                place + offset, 100 * (share or 0.0), height=0.32, color=canvas.CLASS_COLOURS[kind],
                hatch="" if kind else "////", edgecolor=canvas.INK, lw=0.6, label=label if place == 0 else None,
            )  # fmt: skip
            canvas.extend(columns, name, label, [share])
    level = _level(run)
    if level is not None:
        axes.axvline(100 * level, color=canvas.INK, lw=1, ls=":", label="level")
    axes.set_yticks(range(len(tests)), list(tests))
    axes.set(xlabel="undetermined videos, %", xlim=(0, 100), ylim=(len(tests) - 0.45, -0.55))
    axes.grid(axis="y", visible=False)
    canvas.legend_below(figure, axes, 3)
    alt = "; ".join(f"{name}: {figure_of(100 * (d['undetermined'] or 0), 1, ' %')}" for name, d in tests.items())
    return Plate("undetermined", "Share of videos that stay undetermined.", f"Undetermined: {alt}.", figure, columns)


def tables(run: RunFiles) -> str:
    """HTML: what the p-values count, and the figures of each test."""
    about, tests = run.evaluation.get("doubt") or {}, _tests(run)
    rows = []
    for name, doubt in tests.items():
        determined, alarms = doubt["determined"], doubt["false_alarms"]
        rows.append(
            (
                foreign(name), figure_of(doubt["undetermined"]), f"{determined['n_real']}+{determined['n_fake']}",
                figure_of(determined["auc"]), figure_of(determined["acc"]), figure_of(alarms["without_doubt"]),
                figure_of(alarms["of_all"]), figure_of(alarms["of_determined"]),
            )
        )  # fmt: skip
    head = (
        "test set", "undetermined", "determined", "their AUC", "their acc", "real called fake, no doubt",
        "with doubt, of all", "of determined",
    )  # fmt: skip
    told = ""
    if about:
        told = (
            f"<p>A video is undetermined where its conformal p-value is {about['level']:g} or less: among "
            f"{about['count']:,} {text(about['p_over'])} of {text(about['sources'])} that were held out, so few are as "
            "far from the training clips. Of videos that are exchangeable with those about that share or less is "
            "undetermined; of others nothing is guaranteed, least of all that the rest is called rightly.</p>"
        )
        told += f'<p class="soft">{text(about["note"])}.</p>' if about.get("note") else ""
    return told + table(head, rows)
