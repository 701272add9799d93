"""Figures of the report: all 5 inches wide, so that 11-point letters are about 11 pixels high on a phone.

Lines and classes differ twice: in colour (Okabe and Ito's palette, safe for the colour-blind) and in marker, dash or
hatch. Matplotlib's object-oriented interface only: no pyplot, no state between figures but the style below.
"""

from __future__ import annotations

import csv
import dataclasses
import io
import re
import warnings
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import IO, Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import PlaceHolderLayoutEngine

from cpml_jax.schema import FAKE, REAL

INK, PAPER, SOFT = "#1b1b1b", "#ffffff", "#767676"
BLUE, VERMILION = "#0072b2", "#d55e00"
PALETTE = (BLUE, VERMILION, "#009e73", "#b8559a", "#b07d00", "#3a96d0", "#6b4fbb", "#767676")
MARKERS = ("o", "^", "s", "D", "v", "P", "X", "*")
DASHES = ("-", (0, (6, 2)), (0, (2, 1.5)), (0, (7, 2, 1.5, 2)), (0, (10, 3)), (0, (1, 1)), (0, (4, 1, 1, 1, 1, 1)), "-")
CLASS_NAMES = {REAL: "real", FAKE: "fake"}
CLASS_COLOURS = {REAL: BLUE, FAKE: VERMILION}
CLASS_MARKERS = {REAL: "o", FAKE: "^"}
WIDTH = 5.0  # inches
LARGEST_SVG = 160_000  # characters; beyond it a PNG of twice the pixels is as sharp and smaller
Column = Sequence | np.ndarray
_STYLE = {
    "font.family": "DejaVu Sans",  # comes with Matplotlib: the same measures on every machine
    "font.size": 11, "axes.titlesize": 11, "axes.labelsize": 11, "xtick.labelsize": 10, "ytick.labelsize": 10,
    "legend.fontsize": 10, "legend.frameon": False, "legend.handlelength": 3.2,
    "text.color": INK, "axes.labelcolor": INK, "axes.edgecolor": INK, "xtick.color": INK, "ytick.color": INK,
    "axes.facecolor": "none", "figure.facecolor": PAPER, "axes.spines.top": False, "axes.spines.right": False,
    "axes.grid": True, "grid.color": SOFT, "grid.alpha": 0.35, "grid.linewidth": 0.6, "axes.axisbelow": True,
    "lines.linewidth": 1.8, "lines.markersize": 6, "hatch.linewidth": 0.8,
    "svg.fonttype": "none", "svg.hashsalt": "cpml", "svg.id": None,
    "text.parse_math": False,  # a dollar in a method's name is a dollar
    "axes.unicode_minus": True, "path.simplify": True,
}  # fmt: skip


class Absent(Exception):
    """A section cannot be drawn. The message is one line: why, and which command makes what is missing."""


@dataclasses.dataclass(frozen=True)
class Plate:
    """A figure with its caption, its description and its data.

    Attributes:
      name: of its files. title: its caption. alt: what it shows, for those who do not see it.
      figure: Matplotlib's. columns: name -> values, all of one length: the data of the figure, for the CSV.
    """

    name: str
    title: str
    alt: str
    figure: Figure
    columns: Mapping[str, Column]


def style() -> AbstractContextManager[None]:
    """The style, while figures are made and while they are written."""
    return matplotlib.rc_context(_STYLE)


def panel(height: float = 3.8) -> tuple[Figure, Axes]:
    """A figure of one panel; height in inches."""
    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    return figure, figure.subplots()


def panels(height: float, rows: int, columns: int = 1, **options: Any) -> tuple[Figure, list[Axes]]:
    """A figure of several panels, line by line; their horizontal axes are shared. options: of Figure.subplots."""
    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    return figure, list(figure.subplots(rows, columns, sharex=True, squeeze=False, **options).flat)


def stack(count: int) -> tuple[Figure, list[Axes]]:
    """A figure of `count` low panels, one below the other."""
    return panels(0.9 + 1.35 * count, rows=count)


def extend(columns: Mapping[str, list], *values: str | Column) -> None:
    """Lengthen each column by its values, in order; a string is repeated as often as the others are long."""
    length = max(len(value) for value in values if not isinstance(value, str))
    for column, added in zip(columns.values(), values, strict=True):
        column.extend([added] * length if isinstance(added, str) else added)


def evenly(length: int, count: int) -> list[int]:
    """At most `count` indices into a sequence, evenly from its first to its last element."""
    return sorted({round(i) for i in np.linspace(0, length - 1, min(count, length))})


def look(number: int) -> dict[str, Any]:
    """Colour, marker and dash of the n-th line."""
    return {
        "color": PALETTE[number % len(PALETTE)],
        "marker": MARKERS[number % len(MARKERS)],
        "linestyle": DASHES[number % len(DASHES)],
    }


def shown(text: object, most: int = 28) -> str:
    """A foreign string as a figure shows it: printable, not too long."""
    clean = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in str(text))
    return clean if len(clean) <= most else clean[: most - 1] + "\N{HORIZONTAL ELLIPSIS}"


def legend_below(figure: Figure, axes: Axes, columns: int = 1, **options: Any) -> None:
    """The legend of `axes` below the figure. options: of Figure.legend."""
    handles, labels = axes.get_legend_handles_labels()
    if handles:
        figure.legend(handles, labels, loc="outside lower center", ncols=columns, **options)


def label_ends(figure: Figure, axes: Axes, ends: Sequence[tuple[float, float, str, str]]) -> None:
    """Names at the right of a plot, each beside the end of its line, moved apart where they would overlap.

    Args:
      ends: (x, y, text, colour) in data units. The axes' limits must be set before.
    """
    low, high = axes.get_ylim()
    gap = 0.2736 / figure.get_figheight()  # a line of text, as a share of the axes' height
    order = sorted(range(len(ends)), key=lambda i: ends[i][1])
    places = [(ends[i][1] - low) / (high - low) for i in order]
    for i in range(1, len(places)):
        places[i] = max(places[i], places[i - 1] + gap)
    over = max(0.0, places[-1] - 1.0) if places else 0.0
    for i in range(len(places) - 1, -1, -1):  # pushed back down from the top, as far as is needed
        roof = 1.0 if i == len(places) - 1 else places[i + 1] - gap
        places[i] = min(places[i], roof) if over else places[i]
    for place, i in zip(places, order, strict=True):
        x, y, text, colour = ends[i]
        axes.annotate(
            text, (x, y), xycoords="data", xytext=(1.03, place), textcoords="axes fraction", va="center", fontsize=10,
            color=INK, annotation_clip=False, arrowprops={"arrowstyle": "-", "color": colour, "lw": 0.8},
        )  # fmt: skip


def png(figure: Figure, dpi: int = 160) -> bytes:
    """The figure as a PNG file."""
    stream = io.BytesIO()
    _save(figure, stream, format="png", dpi=dpi)
    return stream.getvalue()


def svg(figure: Figure, name: str) -> str:
    """The figure as an <svg> element for an HTML page.

    Its letters stay letters, its ink is the page's (light or dark), its ids start with `name`, and it holds no
    address: HTML knows SVG's name space without one.
    """
    stream = io.StringIO()
    figure.patch.set_alpha(0.0)
    _save(figure, stream, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    figure.patch.set_alpha(1.0)
    source = stream.getvalue()
    source = source[source.index("<svg") :]
    source = re.sub(r"<metadata>.*?</metadata>", "", source, flags=re.S)
    head, rest = source.split(">", 1)
    (box,) = re.findall(r'viewBox="[^"]*"', head)
    rest = re.sub(r'\bid="([^"]*)"', rf'id="{name}-\1"', rest)
    rest = re.sub(r"url\(#([^)]*)\)", rf"url(#{name}-\1)", rest)
    rest = re.sub(r'xlink:href="#', rf'href="#{name}-', rest).replace("xlink:href=", "href=")
    rest = rest.replace(INK, "currentColor").replace("'DejaVu Sans'", "system-ui, sans-serif")
    rest = re.sub(r"\n\s*", "\n", rest)
    return f'<svg class="plot" {box} aria-hidden="true" focusable="false">{rest.strip()}'


def _save(figure: Figure, stream: IO, **options: Any) -> None:
    if figure.get_layout_engine() is not None and not isinstance(figure.get_layout_engine(), PlaceHolderLayoutEngine):
        figure.draw_without_rendering()
        figure.set_layout_engine("none")  # laid out once and not at every writing: half of the report's time
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing")  # a name in another script: boxes in the PNG
        figure.savefig(stream, **options)


def csv_text(columns: Mapping[str, Column]) -> str:
    """The columns as CSV; None and numbers that are not finite are empty."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([_cell(value) for value in row] for row in zip(*columns.values(), strict=True))
    return stream.getvalue()


def _cell(value: object) -> object:
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or (isinstance(value, float) and not np.isfinite(value)):
        return ""
    return str(value).encode("utf-8", "replace").decode() if isinstance(value, str) else value
