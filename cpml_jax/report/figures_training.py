"""Training curves from metrics.jsonl: one small panel per term of the loss, and the figures of validation."""

from __future__ import annotations

from typing import Any

import numpy as np

from cpml_jax.report import canvas
from cpml_jax.report.canvas import Absent, Plate
from cpml_jax.report.run_files import CURVES, RunFiles, number

_FIRST = ("loss", "ce", "accuracy")  # the others follow in order of name
_LEFT_OUT = ("kind", "step", "clips_per_s", "step_s", "data_wait_s", "device_share")
_NAMES = {
    "ce": "cross-entropy x 2",  # the sum over a real and a fake clip
    "gradient_norm": "gradient norm",
    "learning_rate": "learning rate",
    "cross_entropy": "cross-entropy",
    "auc": "AUC",
    "pair_loss": "pair loss",
}
_SHOWN = 300  # points of a line: more than a phone has pixels; further steps are averaged


def training(run: RunFiles) -> list[Plate]:
    """Every number of training and of validation against the step."""
    kinds = (
        ("val", "validation", "Validation during training: the checkpoint has the lowest pair loss."),
        ("train", "training", "Terms of the loss and other figures of training, each on a scale of its own."),
    )
    plates = [plate for kind, name, title in kinds if (plate := _panels(run, kind, name, title))]
    if not plates:
        raise Absent(run.why(CURVES))
    return plates


def _panels(run: RunFiles, kind: str, name: str, title: str) -> Plate | None:
    rows = [row for row in run.curves if row.get("kind") == kind and number(row.get("step")) is not None]
    keys = list(dict.fromkeys(key for row in rows for key in row if key not in _LEFT_OUT))
    keys = [key for key in keys if any(number(row.get(key)) is not None for row in rows)]
    keys.sort(key=lambda key: (_FIRST.index(key) if key in _FIRST else len(_FIRST), key))
    if not keys:
        return None
    steps = np.array([row["step"] for row in rows], float)
    series = {key: [number(row.get(key)) for row in rows] for key in keys}
    lines = -(-len(keys) // 2)
    figure, panels = canvas.panels(0.4 + 1.45 * lines, rows=lines, columns=2)
    ranges = []
    for axes, key in zip(panels, keys, strict=False):
        values = np.array([np.nan if value is None else value for value in series[key]], float)
        marker: dict[str, Any] = {"marker": "o", "markersize": 5} if len(steps) <= 30 else {}
        axes.plot(*_thinned(steps, values), color=canvas.BLUE, lw=1.5, **marker)
        axes.set_title(canvas.shown(_NAMES.get(key, key), 18), loc="left", pad=3)
        axes.tick_params(labelsize=9)
        axes.ticklabel_format(axis="y", scilimits=(-3, 4))
        axes.yaxis.get_offset_text().set_fontsize(9)
        axes.locator_params(nbins=4)
        known = values[np.isfinite(values)]
        ranges.append(f"{_NAMES.get(key, key)} from {known[0]:.3g} to {known[-1]:.3g}")
    for axes in panels[len(keys) :]:
        axes.set_axis_off()
    for axes in panels[max(len(keys) - 2, 0) : len(keys)]:
        axes.set_xlabel("step")
        axes.tick_params(labelbottom=True)
    alt = f"Curves over {int(steps.max())} steps: {'; '.join(ranges)}."
    return Plate(name, title, alt, figure, {"step": steps} | series)


def _thinned(steps: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """At most _SHOWN points, each the mean of equally many steps."""
    if len(steps) <= _SHOWN:
        return steps, values
    known = np.isfinite(values)
    groups = np.array_split(np.flatnonzero(known), min(_SHOWN, max(int(known.sum()), 1)))
    groups = [group for group in groups if len(group)]
    return np.array([steps[g].mean() for g in groups]), np.array([values[g].mean() for g in groups])
