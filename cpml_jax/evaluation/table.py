"""Tables: evaluation.json as plain text; several runs as Markdown. No figure is computed here (metrics/summary.py)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from cpml_jax.errors import printable
from cpml_jax.evaluation.video_score import HANDED_ON
from cpml_jax.metrics import summary

_WORDS = ("protocol", "test set", "methods")
_ABSENT = "-"


def table(report: dict[str, Any]) -> str:
    """The results as plain text, at most 100 columns for names of ordinary length."""
    columns = [(metric, column) for metric, column in summary.columns() if column.plain_title]
    head = (*_WORDS, "videos", *(column.plain_title for _, column in columns))
    body = []
    for result in report["results"]:
        figures = (column.text(result[column.of].get(metric.name)) for metric, column in columns)
        body.append((*_about(result), *(text or _ABSENT for text in figures)))
    widths = [max(len(line[place]) for line in (head, *body)) for place in range(len(head))]
    lines = [
        "  ".join(
            cell.ljust(width) if place < len(_WORDS) else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        for line in (head, *body)
    ]
    text = [lines[0], "-" * len(lines[0]), *lines[1:], "", *_notes(report)]
    return "\n".join(printable(line.rstrip()) for line in text)


def _about(result: dict[str, Any]) -> tuple[str, ...]:
    test, video = result["test"], result["video"]
    methods = test["methods"]
    return (
        result["protocol"],
        f"{test['dataset']} {test['compression']}",
        methods[0] if len(methods) == 1 else f"{len(methods)} together",
        f"{video['n_real']}+{video['n_fake']}",
    )


def _notes(report: dict[str, Any]) -> list[str]:
    if not report["results"]:
        return []
    first = report["results"][0]
    train, checkpoint = first["train"], report["checkpoint"]
    titles = [column.plain_title for metric, column in summary.columns() if column.plain_title and metric.name != "auc"]
    return [
        f"Checkpoint of step {checkpoint['step']}, chosen by: {checkpoint.get('selection', 'validation')}. Trained on "
        f"{train['dataset']} at {' + '.join(train['compressions'])}.",
        f"Set aside as unusable: {len(report['excluded'])} videos or clips.",
        "videos: real+fake. clip, video: AUC of single clips, and of videos (the mean margin of their clips).",
        *_seen(report),
        *_doubt(report),
        *_listed(report),
        f"{', '.join(titles)}: of videos. The interval is over connected identities, mean that",
        "of the methods' AUCs, acc at the "
        f"threshold {_chosen(first['threshold'])} ({summary.decimals(first['threshold']['video']) or _ABSENT}).",
    ]


def _chosen(threshold: dict[str, Any]) -> str:
    return "of the model" if threshold.get("note", "").startswith(HANDED_ON) else "chosen on the validation split"


def _seen(report: dict[str, Any]) -> list[str]:
    """Windows and frames a video, the same for all tests or not."""
    spreads = [result.get("seen") or {} for result in report["results"]]
    ranges = []
    for name in ("windows_per_video", "frames_per_video"):
        known = [spread[name] for spread in spreads if spread.get(name)]
        if not known:
            return []
        low, high = min(one["min"] for one in known), max(one["max"] for one in known)
        ranges.append(f"{low}" if low == high else f"{low} to {high}")
    windows = "1 window" if ranges[0] == "1" else f"{ranges[0]} windows"
    return [f"A video is seen through {windows}, {ranges[1]} frames."]


def _doubt(report: dict[str, Any]) -> list[str]:
    """The share of undetermined videos of each test set, where doubt was measured."""
    about = report.get("doubt")
    if not about:
        return []
    most: dict[str, dict[str, Any]] = {}
    for result in sorted(report["results"], key=lambda result: len(result["test"]["methods"])):
        if result.get("doubt"):
            most[f"{result['test']['dataset']} {result['test']['compression']}"] = result["doubt"]
    shares = [f"{name} {_percent(doubt['undetermined'])}" for name, doubt in most.items()]
    alarms = [f"{name} {_percent(doubt['false_alarms']['of_all'])}" for name, doubt in most.items()]
    return [
        f"Undetermined at level {about['level']:g}: {', '.join(shares)}.",
        f"Real videos called fake, with doubt: {', '.join(alarms)}.",
        *([f"Doubt: {about['note']}."] if about.get("note") else []),
    ]


def _percent(share: float | None) -> str:
    return _ABSENT if share is None else f"{100 * share:.1f} %"


def _listed(report: dict[str, Any]) -> list[str]:
    """Tested of listed videos of each data set and compression, where some are missing."""
    with_most: dict[tuple[str, str], dict[str, Any]] = {}
    for result in sorted((r for r in report["results"] if "listed" in r), key=lambda r: r["listed"]["listed"]):
        with_most[result["test"]["dataset"], result["test"]["compression"]] = result
    lines = []
    for (dataset, compression), result in with_most.items():
        listed, chance = result["listed"], summary.decimals(result["video"].get("auc_excluded_as_chance"))
        tested, official = sum(listed["tested"].values()), listed["official"]
        if tested < (official or listed["listed"]):
            published = f" (published: {official})" if official else ""
            lines.append(
                f"{dataset} {compression}: {tested} of {listed['listed']} listed videos tested{published}; "
                f"excluded as chance: AUC {chance or _ABSENT}."
            )
    return lines


def markdown_text(text: str) -> str:
    """Names may be a stranger's: a line break would end the row, and a page shows markup in Markdown."""
    return re.sub(r"<(?=[a-zA-Z/!?])", "&lt;", printable(text))


def markdown(head: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    """A table whose columns are aligned, the first to the left and the others to the right."""
    lines = [[markdown_text(str(cell)).replace("|", "\\|") for cell in line] for line in (head, *body)]
    widths = [max(3, *(len(line[i]) for line in lines)) for i in range(len(head))]

    def joined(cells: Sequence[str]) -> str:
        return "| " + " | ".join(cells) + " |"

    padded = [
        [c.rjust(w) if i else c.ljust(w) for i, (c, w) in enumerate(zip(line, widths, strict=True))] for line in lines
    ]
    ruler = [("-" * (w - 1) + ":") if i else "-" * w for i, w in enumerate(widths)]
    return "\n".join(joined(line) for line in (padded[0], ruler, *padded[1:]))
