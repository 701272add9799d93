"""A run's report as one HTML file that holds everything it shows, and its figures as PNG and CSV beside it.

It has no script and fetches no font and no picture: it opens on any machine, as an attachment, years later.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from pathlib import Path

import cv2

from cpml_jax import sums
from cpml_jax.data.records import RecordSet
from cpml_jax.errors import UserError
from cpml_jax.evaluation import blame
from cpml_jax.evaluation.results_file import RESULTS
from cpml_jax.files import write_whole
from cpml_jax.report import (
    canvas,
    faces,
    figures_curves,
    figures_doubt,
    figures_features,
    figures_pulse,
    figures_results,
    figures_training,
    headline,
    run_files,
    what_is_read,
)
from cpml_jax.report.canvas import Absent, Plate
from cpml_jax.report.run_files import RunFiles
from cpml_jax.report.words import text, whole_page

PAGE, FIGURES = "report.html", "figures"
# anchor, heading, what draws it
_FIGURES: tuple[tuple[str, str, Callable[[RunFiles], list[Plate]]], ...] = (
    ("curves", "ROC and DET", figures_curves.roc_and_det),
    ("compression", "Across compressions", figures_results.matrices),
    ("rates", "AUC against the bit rate", figures_results.rate_curves),
    ("corruptions", "AUC against corruption", figures_results.corruption_curves),
    ("scores", "Scores", figures_curves.histograms),
    ("calibration", "Calibration", figures_curves.reliability),
    ("prompts", "Similarity to the prompts", figures_features.similarities),
    ("features", "The unified feature (t-SNE)", figures_features.embedding),
    ("pulse", "Pulse across compressions", figures_pulse.waves_and_spectra),
)
_PICTURES = (
    ("saliency", "Where the model looks", faces.where_it_looks),
    ("wrong", "The most wrong clips", faces.wrong_clips),
)
_LAST = (("training", "Training", figures_training.training),)
_INTRO = {
    "features": "Clips that are close in the plane have similar features; the distance between far groups means "
    "little. The large marks are the prompts.",
    "pulse": "One real clip and one fake clip, each at every compression: a real clip of median correlation with the "
    "classical trace and, where the test set has one, a fake of the same person. The wave should survive compression.",
}


def write(workdir: str | Path, record_sets: Mapping[str, RecordSet]) -> Path:
    """Write <workdir>/report.html, and <workdir>/figures/<name>.png and .csv of every figure.

    Where something is missing (an older evaluation, no saliency, no records), its section names what is missing and
    the command that makes it.

    Args:
      workdir: the run's folder: evaluation.json, scores.jsonl, features.npz, saliency.npz, metrics.jsonl.
      record_sets: by name, for the frames; may be empty.

    Returns:
      The page's path.

    Raises:
      UserError: the run has nothing to report, a file cannot be read, or the page cannot be written.
    """
    workdir = Path(workdir)
    with blame.reading(workdir):
        return _write(workdir, record_sets)


def _write(workdir: Path, record_sets: Mapping[str, RecordSet]) -> Path:
    run = run_files.read(workdir)
    folder = workdir / FIGURES
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with canvas.style():
            page = document(run, record_sets, folder, workdir.resolve().name)
        # Text that cannot be written as UTF-8 was replaced where it came in.
        write_whole(workdir / PAGE, page + mark(workdir))
    except OSError as error:
        raise UserError(
            f"{workdir}: the report cannot be written ({error.strerror}); make room, or choose another --workdir"
        ) from None
    return workdir / PAGE


def mark(workdir: Path) -> str:
    """The comment at the end of the page that says which evaluation it shows: a clock may go back, a copy be newer."""
    try:
        return f"<!-- of {RESULTS}, sha256 {sums.digest(workdir / RESULTS)} -->\n"
    except FileNotFoundError:
        return ""


def is_current(workdir: Path) -> bool:
    """Whether the page shows the evaluation that is there."""
    try:
        page = (workdir / PAGE).read_bytes()
    except OSError:
        return False
    shown = mark(workdir).encode()
    return bool(shown) and page.endswith(shown)


def document(run: RunFiles, record_sets: Mapping[str, RecordSet], folder: Path, name: str) -> str:
    """The whole page as text; its figures are written to `folder`."""
    frames = faces.Frames(record_sets)
    sections = [("results", "Results", _or_reason(lambda: headline.results(run) + headline.provenance(run)))]
    sections.append(("reads", "What the model reads", _or_reason(lambda: _reads(run, folder))))
    sections.append(("doubt", "Doubt", _or_reason(lambda: _doubt(run, folder))))
    for anchor, title, draw in _FIGURES:
        sections.append((anchor, title, _or_reason(lambda draw=draw: _plates(draw(run), folder))))
    for anchor, title, draw in _PICTURES:
        sections.append((anchor, title, _or_reason(lambda a=anchor, d=draw: _pictures(a, d(run, frames), folder))))
    for anchor, title, draw in _LAST:
        sections.append((anchor, title, _or_reason(lambda draw=draw: _plates(draw(run), folder))))
    links = "".join(f'<li><a href="#{anchor}">{title}</a></li>' for anchor, title, _ in sections)
    body = "".join(
        f'<section id="{anchor}"{_width(content)}><h2>{title}</h2>'
        + (f"<p>{_INTRO[anchor]}</p>" if anchor in _INTRO and "<figure" in content else "")
        + f"{content}</section>"
        for anchor, title, content in sections
    )
    navigation = f'<nav aria-label="Sections"><ul>{links}</ul></nav>'
    return whole_page(f"{name}: report", f"{headline.header(run, name)}{navigation}<main>{body}</main>")


def _width(content: str) -> str:
    """Two sections of one figure each stand side by side where the window is wide enough."""
    return ' class="half"' if content.count("<figure") == 1 else ""


def _or_reason(draw: Callable[[], str]) -> str:
    try:
        return draw()
    except Absent as reason:
        return f'<p class="missing">{text(reason)}</p>'


def _plates(plates: list[Plate], folder: Path) -> str:
    kind = "plates three" if len(plates) == 3 else "plates"
    return f'<div class="{kind}">{"".join(plate_html(plate, folder) for plate in plates)}</div>'


def plate_html(plate: Plate, folder: Path | None) -> str:
    """A <figure>; its PNG and CSV are written to `folder`, unless that is None."""
    picture = canvas.svg(plate.figure, plate.name)
    image = canvas.png(plate.figure) if folder or len(picture) > canvas.LARGEST_SVG else b""
    if len(picture) > canvas.LARGEST_SVG and len(image) * 4 // 3 < len(picture):
        data = base64.b64encode(image).decode()
        picture = f'<img class="plot" src="data:image/png;base64,{data}" alt="{text(plate.alt)}">'
    else:
        picture = f'<div role="img" aria-label="{text(plate.alt)}">{picture}</div>'
    if folder:
        write_whole(folder / f"{plate.name}.png", image)
        write_whole(folder / f"{plate.name}.csv", canvas.csv_text(plate.columns))
    return f'<figure id="figure-{plate.name}">{picture}<figcaption>{text(plate.title)}</figcaption></figure>'


def _reads(run: RunFiles, folder: Path) -> str:
    return _plates(what_is_read.plates(run), folder) + what_is_read.tables(run)


def _doubt(run: RunFiles, folder: Path) -> str:
    plates = figures_doubt.plates(run)
    return figures_doubt.tables(run) + _plates(plates, folder)


def _pictures(name: str, drawn: faces.Pictures, folder: Path) -> str:
    html, sheet, columns = drawn
    if sheet is not None:
        write_whole(folder / f"{name}.png", cv2.imencode(".png", sheet[..., ::-1])[1].tobytes())
    write_whole(folder / f"{name}.csv", canvas.csv_text(columns))
    return html
