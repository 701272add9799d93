"""Figures of evaluation.json: AUC as a matrix, against the bit rate, and against the strength of a corruption."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from cpml_jax import schema
from cpml_jax.report import canvas
from cpml_jax.report.canvas import Absent, Plate
from cpml_jax.report.run_files import RESULTS, RunFiles, is_pooled, number

_HOME = ("in_dataset", "cross_compression")
_MAP = "cividis"  # even in lightness for every kind of colour vision
Lines = dict[str, list[tuple[float, dict]]]  # name -> (x, result) in order of x


def matrices(run: RunFiles) -> list[Plate]:
    """AUC by train and test compression, and by method and test compression."""
    home = [
        r
        for r in run.results
        if r["protocol"] in _HOME and not r.get("condition") and r["train"]["dataset"] == r["test"]["dataset"]
    ]
    if not home:
        reason = (
            "evaluation.json holds no test on the training data set; "
            "main.py evaluate --protocol=in_dataset,cross_compression adds such tests."
        )
        raise Absent(reason if run.evaluation else run.why(RESULTS))
    pooled = {
        (" + ".join(r["train"]["compressions"]), r["test"]["compression"]): r for r in home if is_pooled(r, run.results)
    }
    title = "Video AUC by compression of training (rows) and of the test (columns), with its 95 % interval."
    plates = [_matrix("compression_matrix", title, pooled, "trained on")]
    single = {(r["test"]["methods"][0], r["test"]["compression"]): r for r in home if len(r["test"]["methods"]) == 1}
    if single:
        title = "Video AUC by method (rows) and compression of the test (columns), with its 95 % interval."
        plates.append(_matrix("method_matrix", title, single, "method"))
    return plates


def _matrix(name: str, title: str, cells: dict[tuple[str, str], dict], row_label: str) -> Plate:
    rows = list(dict.fromkeys(row for row, _ in cells))
    tests = sorted({test for _, test in cells}, key=lambda q: (schema.compression_rank(q), q))
    values = np.full((len(rows), len(tests)), np.nan)
    names = (row_label.replace(" ", "_"), "test_compression", "auc", "auc_low", "auc_high", "note")
    columns = {column: [] for column in names}
    figure, axes = canvas.panel(1.2 + 0.62 * len(rows))
    colours = matplotlib.colormaps[_MAP]
    for (row, test), result in cells.items():
        video = result["video"]
        i, j = rows.index(row), tests.index(test)
        value, interval = number(video.get("auc")), video.get("auc_ci95") or (None, None)
        canvas.extend(columns, row, test, [value], *([end] for end in interval), [video.get("note")])
        values[i, j] = np.nan if value is None else value
        label = "none" if value is None else f"{value:.3f}"
        if value is not None and interval[0] is not None:
            label += f"\n{interval[0]:.2f}\N{EN DASH}{interval[1]:.2f}"
        on_colour = "#000000" if value is not None and _scaled(value) > 0.55 else "#fefefe"
        colour = canvas.INK if value is None else on_colour  # an empty cell shows the page
        axes.text(j, i, label, ha="center", va="center", fontsize=10, color=colour)
    edges = np.arange(len(tests) + 1) - 0.5, np.arange(len(rows) + 1) - 0.5
    mesh = axes.pcolormesh(*edges, values, cmap=colours, vmin=0.5, vmax=1.0, edgecolors=canvas.SOFT, lw=1)
    axes.set_xticks(range(len(tests)), [canvas.shown(t, 12) for t in tests])
    axes.set_yticks(range(len(rows)), [canvas.shown(r, 18) for r in rows])
    axes.set(xlabel="tested on", ylabel=row_label)
    axes.invert_yaxis()
    axes.grid(visible=False)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    bar = figure.colorbar(mesh, ax=axes, extend="min", fraction=0.05)
    bar.outline.set_visible(False)
    spoken = "; ".join(
        f"{row}, {test}: {'none' if value is None else f'{value:.3f}'}"
        for row, test, value in zip(*(columns[column] for column in names[:3]), strict=True)
    )
    return Plate(name, title, f"Heat map of the video AUC. {spoken}.", figure, columns)


def _scaled(value: float) -> float:
    return min(max((value - 0.5) / 0.5, 0.0), 1.0)


def rate_curves(run: RunFiles) -> list[Plate]:
    """AUC against the bit rate: one curve per codec, one figure per data set."""
    by_dataset = _conditioned(run, "codec", "bitrate_bps", "compression_curve")
    plates = []
    for dataset, results in by_dataset.items():
        figure, axes = canvas.panel(4.3)
        lines = _lines(results, "codec", "bitrate_bps")
        axes.set_xscale("log")
        columns, _ = _draw(axes, lines, ("codec", "bitrate_bps", "auc", "auc_low", "auc_high", "crf"), scale=1e-3)
        axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:,.0f}" if x >= 1 else f"{x:g}"))
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.tick_params(axis="x", labelrotation=30)
        axes.set(xlabel="bit rate of the re-encoding, kbit/s (log)", ylabel="video AUC")
        canvas.legend_below(figure, axes, 2)  # the lines end together at 1: names at their ends would crowd
        title = f"AUC against the bit rate on {canvas.shown(dataset)}; bars are 95 % intervals."
        columns = {key: columns[key] for key in ("codec", "bitrate_bps", "crf", "auc", "auc_low", "auc_high")}
        name = _file("rate_curves", dataset, by_dataset)
        plates.append(Plate(name, title, f"{title} {_spoken(lines)}", figure, columns))
    return plates


def corruption_curves(run: RunFiles) -> list[Plate]:
    """AUC against the strength, one curve per corruption; strength 0 is the same test without one."""
    by_dataset = _conditioned(run, "corruption", "strength", "corruption")
    plates = []
    for dataset, results in by_dataset.items():
        figure, axes = canvas.panel(4.6)
        clean = [
            r
            for r in run.results
            if r["protocol"] == "corruption"
            and (r.get("condition") or {}).get("kind") == "original"
            and r["test"]["dataset"] == dataset
        ]
        lines = _lines(results, "corruption", "strength")
        if clean:
            lines = {name: [(0.0, clean[0]), *points] for name, points in lines.items()}
        columns, ends = _draw(axes, lines, ("corruption", "strength", "auc", "auc_low", "auc_high"), intervals=False)
        axes.set(xlabel="strength (0: untouched)", ylabel="video AUC")
        canvas.label_ends(figure, axes, ends)
        title = f"AUC against the strength of a corruption on {canvas.shown(dataset)}."
        name = _file("corruption_curves", dataset, by_dataset)
        plates.append(Plate(name, title, f"{title} {_spoken(lines)}", figure, columns))
    return plates


def _conditioned(run: RunFiles, kind: str, key: str, protocol: str) -> dict[str, list[dict]]:
    """Results under conditions of one kind whose `key` is known, by data set."""
    by_dataset: dict[str, list[dict]] = {}
    for result in run.results:
        condition = result.get("condition") or {}
        if condition.get("kind") == kind and number(condition.get(key)) is not None and is_pooled(result, run.results):
            by_dataset.setdefault(result["test"]["dataset"], []).append(result)
    if not by_dataset:
        reason = f"evaluation.json holds no {kind} test; main.py evaluate --protocol={protocol} adds such tests."
        raise Absent(reason if run.evaluation else run.why(RESULTS))
    return by_dataset


def _file(name: str, dataset: str, by_dataset: dict[str, list[dict]]) -> str:
    place = list(by_dataset).index(dataset)
    return f"{name}_{place + 1}" if place else name


def _lines(results: list[dict], name: str, key: str) -> Lines:
    lines: Lines = {}
    for result in results:
        lines.setdefault(result["condition"][name], []).append((float(result["condition"][key]), result))
    return {line: sorted(points, key=lambda point: point[0]) for line, points in lines.items()}


def _draw(
    axes: Axes, lines: Lines, names: Sequence[str], scale: float = 1.0, intervals: bool = True
) -> tuple[dict[str, list], list[tuple[float, float, str, str]]]:
    """Draw the lines.

    Args:
      names: of the CSV columns: what a line is, what x is, AUC and its interval's ends, and the crf if it is named.
      scale: of x in the drawing. intervals: whether to draw them.

    Returns:
      CSV columns, and the ends of the lines for canvas.label_ends.
    """
    columns, ends, lowest = {name: [] for name in names}, [], 0.5
    for place, (name, points) in enumerate(lines.items()):
        x = np.array([point[0] for point in points])
        y = np.array([_or_nan(result["video"].get("auc")) for _, result in points])
        spans = [result["video"].get("auc_ci95") or (None, None) for _, result in points]
        low, high = (np.array([_or_nan(span[side]) for span in spans]) for side in (0, 1))
        look = canvas.look(place)
        axes.plot(x * scale, y, label=canvas.shown(name, 14), **look)
        known = np.isfinite(y) & np.isfinite(low) & np.isfinite(high)
        if intervals and known.any():
            reach = np.clip([y - low, high - y], 0, None)[:, known]
            bars = {"ecolor": look["color"], "elinewidth": 1, "capsize": 3, "alpha": 0.6}
            axes.errorbar(x[known] * scale, y[known], reach, fmt="none", **bars)
        finite = np.flatnonzero(np.isfinite(y))
        if len(finite):
            ends.append((x[finite[-1]] * scale, y[finite[-1]], canvas.shown(name, 14), look["color"]))
            lowest = min(lowest, float(np.nanmin(np.where(known, low, y) if intervals else y)))
        crf = [[(result.get("condition") or {}).get("crf") for _, result in points]] if "crf" in columns else []
        canvas.extend(columns, name, x, y, low, high, *crf)
    axes.axhline(0.5, color=canvas.SOFT, lw=1, ls=":")
    axes.set_ylim(lowest - 0.02, 1.02)
    return columns, ends


def _or_nan(value: object) -> float:
    known = number(value)
    return np.nan if known is None else known


def _spoken(lines: Lines) -> str:
    """The first and the last point of every line in words."""
    parts = []
    for name, points in lines.items():
        ends = [f"{_or_nan(r['video'].get('auc')):.3f} at {x:g}" for x, r in (points[0], points[-1])]
        parts.append(f"{name}: {' to '.join(ends)}")
    return "; ".join(parts) + "."
