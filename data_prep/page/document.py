"""The preparation page: what was prepared, what was excluded and why, and clips to inspect, the worst first.

One self-contained HTML file: no script, font or picture is loaded from elsewhere, so that it opens on any machine, from
an e-mail, years later.
"""

from __future__ import annotations

import collections
import json
import re
from collections.abc import Iterable
from pathlib import Path

from cpml_jax import html_page, schema
from cpml_jax.errors import UserError
from cpml_jax.files import write_whole
from data_prep.page.card import badness, card, foreign, rankable, text
from data_prep.page.plots import number

PAGE = "preparation.html"
FILES_SHOWN = 20  # per reason
REASONS_SHOWN = 60
_HATCH = (
    '<svg width="0" height="0" aria-hidden="true" style="position:absolute"><defs>'
    '<pattern id="hatch" width="5" height="5" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">'
    '<path d="M0 0V5"/></pattern></defs></svg>'
)


def write(path: Path, name: str, summary: dict, excluded: list[dict], clips: Iterable[dict]) -> None:
    """Write the page, whole or not at all.

    Args:
      path: of the HTML file.
      name: of the source.
      summary: as prepare.json has it: `clips` ("split/method/compression" -> count, and total), and, where known,
        `pulse_correlation`, `parameters`, `sha256`.
      excluded: rows of excluded.jsonl: path, reason, and window where only one clip was excluded.
      clips: records to show (schema.RECORD, frames as JPEG bytes), see `choose`. They are sorted here, and so all in
        memory: about 48, of a megabyte each.

    Raises:
      UserError: the file cannot be written.
    """
    ordered = sorted(clips, key=lambda clip: (badness(clip), str(clip["clip_id"])))
    cards = [card(clip, rank, len(ordered)) for rank, clip in enumerate(ordered, 1)]
    path = Path(path)
    try:
        # A file's name may hold bytes that are no text: they are written as \\udcff, where strict UTF-8 would fail.
        write_whole(path, render(name, summary, excluded, cards).encode("utf-8", "backslashreplace"))
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror}); make room, or choose another folder") from None


def choose(index_rows: list[dict], most: int) -> list[str]:
    """Which clips to show: half of them the worst, the rest spread evenly over methods and compressions.

    Args:
      index_rows: rows of clips.jsonl. most: number of clips at most.

    Returns:
      Distinct clip ids, the worst tracks first. Among the worst, a track that several files share counts once.
    """
    ranked = sorted(index_rows, key=lambda row: (*_index_badness(row), row["clip_id"]))
    if len(ranked) <= most:
        return [row["clip_id"] for row in ranked]
    worst: dict[tuple, dict] = {}
    for row in ranked:
        if len(worst) == most // 2:
            break
        worst.setdefault(_track(row), row)
    chosen = {row["clip_id"] for row in worst.values()}
    groups = collections.defaultdict(list)
    for row in sorted(index_rows, key=lambda row: row["clip_id"]):
        groups[row["method"], row["compression"]].append(row["clip_id"])
    free = {key: [i for i in ids if i not in chosen] for key, ids in sorted(groups.items())}
    taken = {key: len(ids) - len(free[key]) for key, ids in groups.items()}
    share = dict.fromkeys(free, 0)
    for _ in range(max(most - len(chosen), 0)):
        key = min((k for k in free if share[k] < len(free[k])), key=lambda k: taken[k] + share[k])
        share[key] += 1
    for key, count in share.items():
        chosen |= {free[key][i * len(free[key]) // count] for i in range(count)}
    return [row["clip_id"] for row in ranked if row["clip_id"] in chosen]


def _index_badness(row: dict) -> tuple[float, float]:
    return rankable(row["track_quality"], 2), rankable(row["snr_pos"], 6)


def _track(row: dict) -> tuple:
    """Equal for files that share a face track: compressions of a video, and the manipulations of a target."""
    method = schema.REAL_METHOD if row["target_video"] else row["method"]
    return method, row["target_video"] or row["video"], row["window"], row["track_quality"]


def render(name: str, summary: dict, excluded: list[dict], cards: list[str]) -> str:
    """The whole page; cards: the HTML of each clip."""
    style = Path(__file__).with_name("page.css").read_text()
    tally = {tuple(key.split("/")): count for key, count in summary["clips"].items() if key != "total"}
    real = sum(count for key, count in tally.items() if key[1] == schema.REAL_METHOD)
    total = sum(tally.values())
    figures = [(total, "clips"), (real, "real"), (total - real, "fake"), (len(excluded), "excluded")]
    headline = "".join(f"<li><b>{count:,}</b>{what}</li>" for count, what in figures)
    body = (
        f'{_HATCH}<header><p class="soft">Preparation</p><h1>{foreign(name)}</h1><ul class="headline">{headline}</ul>'
        f"</header><main>{counts_table(tally)}{pulse_table(summary.get('pulse_correlation') or {})}"
        f"{excluded_list(excluded)}{made_with(summary)}{gallery(cards, total)}</main>"
    )
    return html_page.document(f"{text(name)}: what was prepared", style, body)


def table(head: list[tuple[str, bool]], rows: list[list[str]]) -> str:
    """An HTML table. head: (title, whether its column holds numbers); cells are HTML."""
    kinds = [' class="n"' if numeric else "" for _, numeric in head]
    titles = "".join(f'<th scope="col"{k}>{title}</th>' for (title, _), k in zip(head, kinds, strict=True))
    body = "".join(
        "<tr>" + "".join(f"<td{k}>{cell}</td>" for cell, k in zip(row, kinds, strict=True)) + "</tr>" for row in rows
    )
    head_row = f"<thead><tr>{titles}</tr></thead>"
    return f'<div class="wide" tabindex="0"><table>{head_row}<tbody>{body}</tbody></table></div>'


def counts_table(tally: dict[tuple[str, ...], int]) -> str:
    """Clips by split, label and method (rows) and by compression (columns)."""
    if not tally:
        return "<h2>Clips</h2><p>No clip was prepared; the reasons are below.</p>"
    columns = sorted({key[2] for key in tally}, key=lambda c: (schema.compression_rank(c), c))
    order = {split: place for place, split in enumerate(schema.SPLITS)}
    lines = sorted({key[:2] for key in tally}, key=lambda k: (order.get(k[0], 9), k[1] != schema.REAL_METHOD, k[1]))
    rows = []
    for split, method in lines:
        cells = [tally.get((split, method, c), 0) for c in columns]
        label = "real" if method == schema.REAL_METHOD else "fake"
        rows.append([text(split), label, foreign(method), *(f"{n:,}" for n in cells), f"{sum(cells):,}"])
    sums = [sum(n for key, n in tally.items() if key[2] == c) for c in columns]
    rows.append(["all", "", "", *(f"{n:,}" for n in sums), f"<b>{sum(sums):,}</b>"])
    head = [
        ("split", False),
        ("label", False),
        ("method", False),
        *((foreign(c), True) for c in columns),
        ("all", True),
    ]
    return f"<h2>Clips</h2>{table(head, rows)}"


def pulse_table(correlations: dict[str, list]) -> str:
    """How well POS follows the true pulse, where that is known.

    correlations: "method/compression" -> (mean, standard deviation, number of clips).
    """
    if not correlations:
        return ""
    rows = []
    for key, (mean, deviation, count) in correlations.items():
        method, _, compression = key.rpartition("/")
        agreement = f"{number(mean, '.2f')} ± {number(deviation, '.2f')}"  # one column, so that the table fits a phone
        rows.append([foreign(method), foreign(compression), agreement, f"{count:,}"])
    head = [("method", False), ("compression", False), ("Pearson", True), ("clips", True)]
    return (
        "<h2>POS against the true pulse</h2><p>Pearson correlation, mean ± standard deviation over clips; 1 is the "
        f"true wave itself.</p>{table(head, rows)}"
    )


def excluded_list(excluded: list[dict], listed_in: str = "excluded.jsonl") -> str:
    """Files by reason; reasons that differ only in numbers count as one. Long lists are cut, with a count."""
    if not excluded:
        return "<h2>Excluded</h2><p>Nothing: every file yielded its clips.</p>"
    groups = collections.defaultdict(list)
    for row in excluded:
        groups[re.sub(r"\d+(\.\d+)?", "\N{HORIZONTAL ELLIPSIS}", str(row["reason"]))].append(row)
    ordered = sorted(groups.items(), key=lambda group: (-len(group[1]), group[0]))
    parts = []
    for pattern, rows in ordered[:REASONS_SHOWN]:
        same = len({row["reason"] for row in rows}) == 1
        items = "".join(f"<li>{_file(row, same)}</li>" for row in rows[:FILES_SHOWN])
        more = len(rows) - FILES_SHOWN
        items += f"<li><b>and {more:,} more</b>, all listed in {listed_in}</li>" if more > 0 else ""
        reason = rows[0]["reason"] if same else pattern
        parts.append(f"<details><summary><b>{len(rows):,}</b> {foreign(reason)}</summary><ul>{items}</ul></details>")
    hidden = sum(len(rows) for _, rows in ordered[REASONS_SHOWN:])
    if hidden:
        left = len(ordered) - REASONS_SHOWN
        parts.append(f"<p><b>{hidden:,} more</b> for {left:,} other reasons, all listed in {listed_in}</p>")
    return f"<h2>Excluded</h2>{''.join(parts)}"


def _file(row: dict, same_reason: bool) -> str:
    window = f", window {int(row['window'])}" if row.get("window") is not None else ""
    reason = "" if same_reason else f": {foreign(row['reason'])}"
    return f"{foreign(row['path'])}{window}{reason}"


def made_with(summary: dict) -> str:
    """Parameters and fingerprint of the records."""
    shown = {key: summary[key] for key in ("schema", "parameters", "sha256") if key in summary}
    if not shown:
        return ""
    listing = text(json.dumps(shown, indent=1, ensure_ascii=False))
    return f"<h2>Made with</h2><details><summary>parameters and fingerprint</summary><pre>{listing}</pre></details>"


def gallery(cards: list[str], total: int) -> str:
    """The chosen clips; total: number of clips prepared."""
    if not cards:
        return ""
    chosen = " These are the worst, and an even spread over methods and compressions." if total > len(cards) else ""
    return (
        f"<h2>{len(cards)} clips of {total:,}, the worst first</h2><p>In order of track quality (mean probability of "
        "the face's detections, to two decimals), lowest first; ties are broken by the share of frames that were "
        f"measured rather than filled in, then by the signal-to-noise ratio of the POS pulse.{chosen}</p><p>Crops are "
        "shown as stored; \N{BALLOT X} marks a frame that was filled in, hatching the same stretch of a trace.</p>"
        '<label><input type="checkbox" id="marks" checked> draw the landmarks</label>'
        f'<div class="cards">{"".join(cards)}</div>'
    )
