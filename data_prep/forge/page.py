"""forge.html: forged clips beside their originals, as contact sheets and as videos that play."""

from __future__ import annotations

import base64
import json
import os
import urllib.parse
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from cpml_jax import html_page
from cpml_jax.errors import UserError
from cpml_jax.files import parse_json, write_whole
from data_prep.forge import clip_files
from data_prep.forge.clip_files import ClipTask
from data_prep.forge.plan import Forgery
from data_prep.page.card import foreign, text
from data_prep.page.document import excluded_list
from data_prep.video.reader import VideoReader

PAGE = "forge.html"
SHOWN = 6  # forgeries of a kind
FRAMES = 7  # of a sheet, spread evenly over the clip
SIDE = 112  # pixels of a frame on a sheet
GAIN = 6  # of the differences: a change of 40 grey levels is white
QUALITY = 85
STYLE = """
.sheet { display: block; width: 100%; height: auto; }
.films { display: grid; grid-template-columns: 1fr 1fr; gap: .35rem; margin-top: .5rem; }
.films video { display: block; width: 100%; height: auto; background: var(--rule); }
.films a { color: inherit; }
"""
Made = tuple[ClipTask, Forgery]


def write(root: Path, made: Sequence[Made], refused: Sequence[dict]) -> None:
    """Write the page, whole.

    Args:
      root: of the forged videos. made: every forgery that is there. refused: what is not, with its reason.
    """
    kinds = list(dict.fromkeys(forgery.kind for _, forgery in made))
    style = (Path(__file__).parents[1] / "page" / "page.css").read_text() + STYLE
    counts = [(len({task.real.video for task, _ in made}), "real clips"), (len(made), "forgeries")]
    headline = "".join(f"<li><b>{count:,}</b>{what}</li>" for count, what in [*counts, (len(refused), "set aside")])
    body = (
        f'<header><p class="soft">Forging</p><h1>Forgeries beside their originals</h1><ul class="headline">{headline}'
        "</ul></header><main><p>Each sheet shows the real clip, what was made of it, and where they differ "
        f"({GAIN} times as bright). {SHOWN} of each kind, spread over all people; every other one has its place in the "
        "folder of its kind, beside this page.</p>"
        + "".join(section(root, kind, made) for kind in kinds)
        + excluded_list(list(refused), "refused.jsonl")
        + "</main>"
    )
    page = html_page.document("Forgeries beside their originals", style, body, videos=True)
    write_whole(root / PAGE, page.encode("utf-8", "backslashreplace"))


def section(root: Path, kind: str, made: Sequence[Made]) -> str:
    """A kind's title and cards."""
    own = [one for one in made if one[1].kind == kind]
    chosen = sorted({round(place) for place in np.linspace(0, len(own) - 1, min(SHOWN, len(own)))})
    cards = "".join(card(root, *own[place]) for place in chosen)
    return f'<h2>{foreign(kind)}, {len(chosen)} of {len(own):,}</h2><div class="cards">{cards}</div>'


def card(root: Path, task: ClipTask, forgery: Forgery) -> str:
    """A forgery beside its original."""
    compression = task.compressions[0]
    original, forged = task.real_paths()[compression], task.paths(forgery)[compression]
    parameters = parse_json(clip_files.parameters_file(task.root, forgery).read_text())
    films = "".join(
        f'<figure><video src="{link(root, path)}" controls loop muted playsinline preload="none"></video>'
        f'<figcaption><a href="{link(root, path)}">{what}</a></figcaption></figure>'
        for path, what in ((original, "real"), (forged, "forged"))
    )
    return (
        f'<article class="card"><header><h3>{foreign(forgery.name)}</h3><p class="tags"><b>{foreign(forgery.kind)}</b> '
        f"<span>{text(task.real.split)}</span> <span>{foreign(compression)}</span> "
        f"<span>source {foreign(forgery.source.identity)}</span></p></header>"
        f'<img class="sheet" alt="real, forged, difference" src="data:image/jpeg;base64,{sheet(original, forged)}">'
        f'<div class="films">{films}</div><details><summary>what was drawn</summary>'
        f"<pre>{text(json.dumps(parameters, indent=1))}</pre></details></article>"
    )


def link(root: Path, path: str) -> str:
    """A file's address from the page."""
    return text(urllib.parse.quote(os.path.relpath(path, root).replace(os.sep, "/")))


def sheet(original: str, forged: str) -> str:
    """Three rows of frames, real, forged and their difference, as base64 of a JPEG."""
    one, other = frames_of(original), frames_of(forged)
    chosen = np.linspace(0, min(len(one), len(other)) - 1, FRAMES).round().astype(int)
    one, other = one[chosen], other[chosen]
    apart = np.clip(GAIN * np.abs(other.astype(int) - one), 0, 255).astype(np.uint8)
    rows = [np.concatenate([reduced(frame) for frame in row], axis=1) for row in (one, other, apart)]
    picture = cv2.cvtColor(np.concatenate(rows), cv2.COLOR_RGB2BGR)
    done, data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    if not done:
        raise RuntimeError("OpenCV could not encode a sheet as JPEG")
    return base64.b64encode(data.tobytes()).decode()


def reduced(frame: np.ndarray) -> np.ndarray:
    return cv2.resize(frame, (SIDE, SIDE), interpolation=cv2.INTER_AREA)


def frames_of(path: str) -> np.ndarray:
    """(T, S, S, 3) uint8 RGB. Raises UserError, naming the file, where it is damaged."""
    try:
        with VideoReader(path) as video:
            return np.stack([picture.rgb for _, picture in video.frames()])
    except UserError as error:
        raise UserError(f"{path}: {error}; delete it and start the same command again") from None
