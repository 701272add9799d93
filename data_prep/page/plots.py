"""Pulse traces and their spectra as SVG, without a library; dashes as well as colours distinguish the lines."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from html import escape
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from cpml_jax.schema import FRAME_RATE, PULSE_BAND_HZ
from data_prep.face import rppg

WIDTH, HEIGHT = 320, 130  # of the drawing, in units of about one pixel on a phone
LEFT, RIGHT, TOP, BOTTOM = 10, 16, 8, 24  # margins around the axes
REACH = 3.5  # z-scores drawn up and down; a trace is clipped beyond
BAND = tuple(60 * hertz for hertz in PULSE_BAND_HZ)  # beats/min of the spectrum's axis
_MARKS = {"pos": "M-4 0a4 4 0 1 0 8 0a4 4 0 1 0 -8 0Z", "chrom": "M-4 -4H4V4H-4Z", "truth": "M0 -5L5 0L0 5L-5 0Z"}


@dataclasses.dataclass(frozen=True)
class Line:
    """A named trace. kind: pos, chrom or truth, which decides its style. wave: (T,) z-scored; may hold NaN."""

    kind: str
    name: str
    wave: np.ndarray

    @property
    def finite(self) -> bool:
        return len(self.wave) > 1 and bool(np.isfinite(self.wave).all())


def number(value: Any, form: str = ".1f", unit: str = "") -> str:
    """A number as the page shows it: 'none' for None, NaN and infinities."""
    if value is None or not math.isfinite(float(value)):
        return "none"
    return f"{float(value):{form}}{unit}".replace("-", "\N{MINUS SIGN}")


def peak(line: Line) -> float:
    """Rate of the spectrum's highest point in beats/min, as records have it; NaN for a flat or unknown trace."""
    return rppg.heart_rate(line.wave.astype(float), FRAME_RATE) if line.finite else math.nan


def traces(lines: list[Line], valid: np.ndarray) -> str:
    """SVG of traces over time in s; frames that were filled in are hatched."""
    seconds = len(valid) / FRAME_RATE
    x = _scale(0, seconds)
    step = next(s for s in (1, 2, 5, 10, 30, 60, 600, 36000) if seconds / s <= 11 or s == 36000)
    ticks = [(float(x(s)), f"{s} s") for s in range(0, math.floor(seconds) + 1, step)]
    parts = [_axis(ticks)]
    for start, end in runs(~np.asarray(valid, bool)):
        low, high = x(start / FRAME_RATE), x(end / FRAME_RATE)
        parts.append(
            f'<rect class="filled" x="{low:.1f}" y="{TOP}" width="{high - low:.1f}" height="{_floor() - TOP}"/>'
        )
    middle, unit = (TOP + _floor()) / 2, (_floor() - TOP) / 2 / REACH
    for line in reversed(lines):  # so that the first is on top
        heights = middle - np.clip(np.asarray(line.wave, float), -REACH, REACH) * unit
        at = x((np.arange(len(heights)) + 0.5) / FRAME_RATE)
        parts.append(f'<path class="line {line.kind}" d="{_path(at, heights)}"/>')
    names = ", ".join(line.name for line in lines)
    return _svg(f"Pulse traces over {seconds:.1f} seconds: {names}", parts)


def spectra(lines: list[Line]) -> str:
    """SVG of the traces' power over beats/min, each scaled to its own highest point, the peaks marked."""
    x = _scale(*BAND)
    parts = [_axis([(float(x(rate)), f"{rate}") for rate in range(40, 241, 40)])]
    for line in reversed([line for line in lines if line.finite]):
        rates, power = rppg.spectrum(line.wave.astype(float), FRAME_RATE)
        inside = (rates >= BAND[0]) & (rates <= BAND[1])
        rates, power = (
            rates[inside][::4],
            power[inside][::4],
        )  # about one point per beat/min: far finer than a clip resolves
        highest = power.max()
        if not highest > 0:
            continue
        height = _floor() - TOP - 6
        parts.append(f'<path class="line {line.kind}" d="{_path(x(rates), _floor() - power / highest * height)}"/>')
        rate = peak(line)
        top = _floor() - np.interp(rate, rates, power) / highest * height
        parts.append(
            f'<path class="mark {line.kind}" transform="translate({x(rate):.1f} {top:.1f})" d="{_MARKS[line.kind]}"/>'
        )
    peaks = ", ".join(f"{line.name} {number(peak(line))}" for line in lines)
    return _svg(f"Spectra from {BAND[0]:.0f} to {BAND[1]:.0f} beats per minute; peaks: {peaks}", parts)


def legend(lines: list[Line], labels: list[str]) -> str:
    """A list of the lines' styles, each with its label (text, escaped here)."""
    items = [
        f'<li><svg class="key" viewBox="0 0 34 12" aria-hidden="true"><path class="line {line.kind}" d="M0 6H34"/>'
        f'<path class="mark {line.kind}" transform="translate(17 6)" d="{_MARKS[line.kind]}"/></svg>'
        f"{escape(label)}</li>"
        for line, label in zip(lines, labels, strict=True)
    ]
    return f'<ul class="legend">{"".join(items)}</ul>'


def runs(flags: np.ndarray) -> list[tuple[int, int]]:
    """(first, past-the-last) index of every run of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], np.asarray(flags, int), [0]])))
    return [(int(a), int(b)) for a, b in zip(edges[::2], edges[1::2], strict=True)]


def _floor() -> int:
    return HEIGHT - BOTTOM


def _scale(low: float, high: float) -> Callable[[ArrayLike], np.ndarray]:
    return lambda value: LEFT + (np.asarray(value) - low) / max(high - low, 1e-9) * (WIDTH - LEFT - RIGHT)


def _axis(ticks: list[tuple[float, str]]) -> str:
    grid = "".join(f"M{x:.1f} {TOP}V{_floor()}" for x, _ in ticks)
    labels = "".join(f'<text x="{x:.1f}" y="{HEIGHT - 8}">{label}</text>' for x, label in ticks)
    return f'<path class="grid" d="{grid}M{LEFT} {_floor()}H{WIDTH - RIGHT}"/>{labels}'


def _path(xs: np.ndarray, ys: np.ndarray) -> str:
    """An SVG path through the points, interrupted where one is not finite."""
    finite = np.isfinite(xs) & np.isfinite(ys)
    return "".join(
        "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in zip(xs[a:b], ys[a:b], strict=True)) for a, b in runs(finite)
    )


def _svg(label: str, parts: list[str]) -> str:
    text = escape(label, quote=True)
    return f'<svg class="plot" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{text}">{"".join(parts)}</svg>'
