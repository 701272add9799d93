"""Pictures of faces in the report: strips of frames, and saliency laid over the crop. HTML with JPEGs inside."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence

import cv2
import matplotlib
import numpy as np

from cpml_jax.data.records import CorruptRecord, RecordSet
from cpml_jax.report import canvas
from cpml_jax.report.canvas import CLASS_NAMES, Absent
from cpml_jax.report.run_files import SALIENCY, SCORES, RunFiles, lines_of_test, number
from cpml_jax.report.words import figure_of, foreign, text
from cpml_jax.schema import FAKE

STRIP = 6  # frames of a clip, evenly over its time
SIZE = 112  # pixels of a shown crop
WRONG, SALIENT = 8, 12  # cards, at most
_OUTLINED = 0.9  # quantile: the outline encloses what is more salient
Pictures = tuple[str, np.ndarray | None, dict[str, list]]  # HTML, the pictures in one (H, W, 3) uint8, CSV columns


class Frames:
    """Frames of clips by clip_id, from the record sets; each clip is read once."""

    def __init__(self, record_sets: Mapping[str, RecordSet]) -> None:
        self._rows = {row["clip_id"]: (records, row) for records in record_sets.values() for row in records.rows}
        self._read_before: dict[str, np.ndarray | None] = {}

    def strip(self, clip_id: str) -> np.ndarray | None:
        """(STRIP or fewer, SIZE, SIZE, 3) uint8, evenly over the clip; None if its record cannot be read."""
        if clip_id not in self._read_before:
            self._read_before[clip_id] = self._read(clip_id)
        return self._read_before[clip_id]

    def _read(self, clip_id: str) -> np.ndarray | None:
        if clip_id not in self._rows:
            return None
        records, row = self._rows[clip_id]
        try:
            frames = records.read(row, SIZE)["frames"]
        except CorruptRecord:
            return None
        return spread(frames)


def spread(frames: np.ndarray, count: int = STRIP) -> np.ndarray:
    """`count` frames, evenly from the first to the last."""
    return frames[canvas.evenly(len(frames), count)]


def jpeg(image: np.ndarray, alt: str) -> str:
    """An <img> with the picture (H, W, 3) uint8 RGB inside."""
    _, data = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 82])
    height, width = image.shape[:2]
    source = base64.b64encode(data.tobytes()).decode()
    return f'<img src="data:image/jpeg;base64,{source}" alt="{alt}" width="{width}" height="{height}">'


def strip_html(frames: np.ndarray | None, alt: str) -> str:
    """A row of frames; alt: the alternative text of the whole row, escaped."""
    if frames is None:
        return '<p class="missing">No frames: the records of this clip are missing or damaged.</p>'
    images = [jpeg(frame, alt if place == 0 else "") for place, frame in enumerate(frames)]
    return f'<div class="strip">{"".join(images)}</div>'


def most_wrong(lines: list[dict], count: int = WRONG) -> list[dict]:
    """The clips scored furthest on the wrong side, the worst first; each clip once, at its worst compression."""
    worst: dict[tuple, dict] = {}
    for line in sorted(lines, key=wrongness, reverse=True):
        worst.setdefault((line["dataset"], line["method"], line["video"], line["window"]), line)
    return list(worst.values())[:count]


def wrongness(line: dict) -> float:
    """Log-odds in favour of the wrong class."""
    return -line["logit_margin"] if line["label"] == FAKE else line["logit_margin"]


def wrong_clips(run: RunFiles, frames: Frames) -> Pictures:
    """Cards of the test clips whose scores are furthest on the wrong side."""
    tested = lines_of_test(run)
    lines = most_wrong(tested)
    if not lines:
        raise Absent(run.why(SCORES))
    chosen = number(next((r["threshold"]["clip"] for r in run.results if r.get("threshold")), None))
    threshold = 0.5 if chosen is None else chosen
    wrong = sum(_is_wrong(line, threshold) for line in tested)
    cards, strips = [], []
    for line in lines:
        picture = frames.strip(line["clip_id"])
        strips.append(picture)
        cards.append(_card(line, picture, _is_wrong(line, threshold)))
    threshold_name = "default threshold" if chosen is None else "threshold chosen on the validation split"
    intro = (
        f"<p>{wrong:,} of {len(tested):,} test clips are on the wrong side of the {threshold_name} "
        f"({threshold:.3f}). These are the {len(lines)} whose scores favour the wrong class most, each clip once, at "
        "the compression where its score is worst.</p>"
    )
    keys = ("clip_id", "label", "method", "compression", "p_fake", "logit_margin")
    columns = {key: [line[key] for line in lines] for key in keys}
    columns["wrong"] = [int(_is_wrong(line, threshold)) for line in lines]
    return f'{intro}<div class="cards">{"".join(cards)}</div>', montage(strips), columns


def _is_wrong(line: dict, threshold: float) -> bool:
    return (line["p_fake"] >= threshold) != (line["label"] == FAKE)


def _card(line: dict, picture: np.ndarray | None, wrong: bool) -> str:
    truth, other = CLASS_NAMES[line["label"]], CLASS_NAMES[1 - line["label"]]
    verdict = f"<b>{truth}</b>, called <b>{other}</b>" if wrong else f"<b>{truth}</b>, rightly, but not by much"
    tags = "".join(f" <span>{foreign(line[key])}</span>" for key in ("method", "compression", "dataset"))
    rates = [
        f"<dt>{word}</dt><dd>{figure_of(line.get(key), digits, unit)}</dd>"
        for word, key, digits, unit in (
            ("P(fake)", "p_fake", 4, ""), ("log-odds", "logit_margin", 1, ""),
            ("heart rate", "heart_rate_bpm", 0, "/min"), ("by POS", "heart_rate_pos_bpm", 0, "/min"),
        ) if key in line
    ]  # fmt: skip
    alt = f"Frames of {text(line['video'])}, a {truth} clip"
    return (
        f'<article class="card"><h3>{foreign(line["video"])}</h3><p class="tags"><span>{verdict}</span>{tags}</p>'
        f"{strip_html(picture, alt)}<dl>{''.join(f'<div>{rate}</div>' for rate in rates)}</dl>"
        f'<p class="id">{foreign(line["clip_id"])}</p></article>'
    )


def montage(strips: Sequence[np.ndarray | None]) -> np.ndarray | None:
    """Rows of frames one below the other (H, W, 3) uint8; None if there are none."""
    known = [strip for strip in strips if strip is not None]
    if not known:
        return None
    most = max(len(strip) for strip in known)
    size = known[0].shape[1]
    sheet = np.full((len(known) * size, most * size, 3), 255, np.uint8)
    for place, strip in enumerate(known):
        row = np.concatenate(list(strip), axis=1)
        sheet[place * size : (place + 1) * size, : row.shape[1]] = row
    return sheet


def overlaid(frame: np.ndarray, saliency: np.ndarray) -> np.ndarray:
    """Saliency over a grey copy of the face: brighter and redder is more; an outline encloses its highest tenth.

    Args:
      frame: (S, S, 3) uint8 RGB. saliency: (s, s) >= 0, any size.
    """
    size = frame.shape[0]
    values = np.nan_to_num(np.asarray(saliency, np.float32), posinf=0.0, neginf=0.0)
    values = cv2.resize(np.clip(values, 0, None), (size, size), interpolation=cv2.INTER_LINEAR)
    top = float(np.quantile(values, 0.995)) or float(values.max())
    values = np.clip(values / top, 0, 1) if top > 0 else np.zeros_like(values)
    grey = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)[..., None].astype(np.float32).repeat(3, -1) * 0.8
    heat = matplotlib.colormaps["inferno"](values)[..., :3].astype(np.float32) * 255
    weight = 0.75 * values[..., None] ** 0.7
    image = np.ascontiguousarray((grey * (1 - weight) + heat * weight).astype(np.uint8))
    outlined = (values >= max(float(np.quantile(values, _OUTLINED)), 1e-6)).astype(np.uint8)
    outlines, _ = cv2.findContours(outlined, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(image, [c for c in outlines if len(c) > 6], -1, (255, 255, 255), 1, cv2.LINE_AA)
    return image


def without_gradient(run: RunFiles) -> str:
    """What of the score has no saliency, as a sentence; "" if all that the model reads has."""
    modalities = ((run.evaluation.get("config") or {}).get("model") or {}).get("modalities") or ()
    if "texture" not in modalities:
        return ""
    return " The texture stream's numbers are measured before the model: what they tell is not in these pictures."


def where_it_looks(run: RunFiles, frames: Frames) -> Pictures:
    """Crops of faces, each with its saliency beside it."""
    maps = run.saliency.get("saliency")
    if maps is None:
        raise Absent(run.why(SALIENCY))
    lines = {line["clip_id"]: line for line in run.scores}
    shown, pairs = [], []
    columns = {"clip_id": [], "row": [], "column": [], "saliency": []}
    for clip_id, saliency in list(zip(run.saliency["clip_id"].tolist(), maps, strict=True))[:SALIENT]:
        strip = frames.strip(clip_id)
        if strip is None or clip_id not in lines:
            continue
        line, middle = lines[clip_id], strip[len(strip) // 2]
        pairs.append(np.stack([middle, overlaid(middle, saliency)]))
        truth = CLASS_NAMES[line["label"]]
        tags = f"{foreign(line['method'])}, {foreign(line['compression'])}"
        alt = f"Saliency over the face of {text(line['video'])}, {truth}"
        shown.append(
            f'<figure class="pair"><div>{jpeg(middle, "")}{jpeg(pairs[-1][1], alt)}</div>'
            f"<figcaption><b>{truth}</b>: {tags}; P(fake) {figure_of(line['p_fake'], 3)}<br>{foreign(line['video'])}"
            "</figcaption></figure>"
        )
        rows, places = np.indices(saliency.shape)
        canvas.extend(columns, clip_id, rows.ravel(), places.ravel(), saliency.ravel())
    if not shown:
        raise Absent("The clips of saliency.npz are not among the records and scores; run main.py evaluate again.")
    intro = (
        "<p>The magnitude of the score's gradient with respect to each pixel, averaged over time and colour. Where it "
        "is bright, a small change of the picture changes the score most; the outline encloses the most salient tenth "
        f"of the picture. It shows where the score is sensitive, not why.{without_gradient(run)}</p>"
    )
    return f'{intro}<div class="pairs">{"".join(shown)}</div>', montage(pairs), columns
