"""The page of one or several videos: scores over time, faces, pulse, similarity, saliency.

It is drawn from predict's JSON answer (prediction/answer.py) and, in the order of its `windows`, the arrays of each
window.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from cpml_jax.errors import UserError
from cpml_jax.evaluation.evidence import WindowArrays
from cpml_jax.evaluation.verdict import UNDETERMINED
from cpml_jax.files import write_whole
from cpml_jax.report import canvas, faces, page
from cpml_jax.report.figures_video import pulses, score_over_time, similarity
from cpml_jax.report.run_files import number
from cpml_jax.report.verdict import verdict
from cpml_jax.report.words import figure_of, foreign, table, text, whole_page

STRIPS = 6  # windows whose faces are shown: the highest scores first
MEANING = (
    "The score is the calibrated P(fake) of the face that looks most forged, over all its windows. It is not a proof: "
    "it shows how much the clips resemble the forgeries of the training data, and it can be wrong for other kinds of "
    "forgery, for heavy compression and for small or covered faces. A low score does not show that a video is genuine."
)


def write(
    path: str | Path,
    answers: Sequence[Mapping],
    windows: Sequence[Sequence[WindowArrays]],
    *,
    window_s: float,
) -> Path:
    """Write the page of one or several videos.

    Args:
      path: of the HTML file.
      answers: predict's JSON answer for each video: {video, score, label, threshold, heart_rate_bpm, windows, faces,
        ...}, or {video, error}.
      windows: each video's WindowArrays, in the order of its answer's `windows`; empty for an error.
      window_s: length of a window in seconds.

    Returns:
      The path.

    Raises:
      UserError: the file cannot be written.
      ValueError: a video's windows are not as many as its answer names.
    """
    path = Path(path)
    with canvas.style():
        videos = [video_html(n, a, w, window_s) for n, (a, w) in enumerate(zip(answers, windows, strict=True), 1)]
    index = _index(answers) if len(answers) > 1 else ""
    title = Path(str(answers[0]["video"])).name if len(answers) == 1 else f"{len(answers)} videos"
    header = f'<header><p class="soft">Prediction</p><h1>{foreign(title)}</h1><p>{MEANING}</p></header>'
    try:
        write_whole(path, whole_page(f"{title}: prediction", f"{header}<main>{index}{''.join(videos)}</main>"))
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror}); choose another place with --report") from None
    return path


def _index(answers: Sequence[Mapping]) -> str:
    """A table of all videos, the highest score first, errors last."""
    numbered = list(enumerate(answers, 1))
    numbered.sort(key=lambda pair: (number(pair[1].get("score")) is None, -(number(pair[1].get("score")) or 0.0)))
    rows = [
        (
            f'<a href="#video-{n}">{foreign(answer["video"])}</a>',
            text(answer.get("label") or "error"),
            _marked_score(answer),
            figure_of((answer.get("doubt") or {}).get("p")),
            figure_of(answer.get("heart_rate_bpm"), 0),
            figure_of(len(answer.get("windows") or []), 0),
        )
        for n, answer in numbered
    ]
    listing = table(("video", "called", "score", "p (known)", "beats/min", "windows"), rows, words=2)
    return f'<section id="videos"><h2>Videos, the highest score first</h2>{listing}</section>'


def _marked_score(answer: Mapping) -> str:
    """The score; in brackets where it says nothing about the video."""
    score = figure_of(answer.get("score"))
    return f"({score})" if answer.get("label") == UNDETERMINED else score


def video_html(place: int, answer: Mapping, windows: Sequence[WindowArrays], window_s: float) -> str:
    """A <section> of one video."""
    head = f'<section id="video-{place}"><h2>{foreign(answer["video"])}</h2>'
    if "error" in answer:
        return f'{head}<p class="missing">Not scored: {text(answer["error"])}</p></section>'
    spans = answer["windows"]
    if len(spans) != len(windows):
        raise ValueError(f"{answer['video']}: {len(spans)} windows in the answer, arrays of {len(windows)}")
    ranked = sorted(range(len(spans)), key=lambda i: (-spans[i]["score"], spans[i]["start_s"]))
    name = f"video{place}"
    plates = [score_over_time(name, answer, window_s)]
    plates += [plate for plate in (similarity(name, spans, windows),) if plate]
    plates += pulses(name, spans, windows, ranked)
    drawn = "".join(page.plate_html(plate, None) for plate in plates)
    pictured = [i for i in ranked if windows[i].frames is not None][:STRIPS]
    cards = "".join(_window_card(spans[i], windows[i], window_s) for i in pictured)
    more = f"<p>{len(pictured)} of {len(spans)} windows.</p>" if len(spans) > len(pictured) else ""
    return (
        f"{head}{verdict(answer)}{_faces(answer)}"
        f'<div class="plates">{drawn}</div><h3>Windows, the highest score first</h3>{more}'
        f'<div class="cards">{cards}</div></section>'
    )


def _faces(answer: Mapping) -> str:
    if len(answer.get("faces") or []) < 2:
        return ""
    rows = [
        (
            f"face {face['face']}",
            text(face.get("label") or "\N{EN DASH}"),
            _marked_score(face),
            figure_of(face.get("p_known")),
            figure_of(face.get("windows"), 0),
            figure_of(face.get("heart_rate_bpm"), 0),
            figure_of(face.get("track_quality"), 2),
        )
        for face in answer["faces"]
    ]
    head = ("face", "called", "score", "p (known)", "windows", "beats/min", "track quality")
    return table(head, rows, words=2)


def _window_card(span: Mapping, window: WindowArrays, window_s: float) -> str:
    start = span["start_s"]
    heading = f"{figure_of(start, 1)} to {figure_of(start + window_s, 1)} s"
    frames = faces.spread(np.asarray(window.frames))
    images = faces.strip_html(frames, f"Face {span['face']} from {heading}")
    overlay = ""
    if window.saliency is not None and np.any(window.saliency):  # none of its streams sees pixels
        alt = f"Saliency over face {span['face']} from {heading}"
        picture = faces.overlaid(frames[len(frames) // 2], window.saliency)
        overlay = (
            f'<figure class="pair"><div>{faces.jpeg(frames[len(frames) // 2], "")}'
            f"{faces.jpeg(picture, alt)}</div>"
            "<figcaption>Bright: a small change of the picture changes the score most.</figcaption></figure>"
        )
    return (
        f'<article class="card"><h3>{heading}</h3><p class="tags"><span>face {span["face"]}</span> '
        f"<span>P(fake) {figure_of(span['score'])}</span> <span>{figure_of(span.get('heart_rate_bpm'), 0)} beats/min"
        f"</span></p>{images}{overlay}</article>"
    )
