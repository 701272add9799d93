"""What an evaluation leaves behind: JSON without NaN, files written whole or not at all, and the table.

Nothing here computes a figure (metrics.py does).
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from cpml_jax.files import write_whole


def finite(value):
    """Plain JSON values of nested dicts and sequences; NaN and infinities, which JSON has not, become None."""
    if isinstance(value, Mapping):
        return {str(key): finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, np.ndarray)):
        return [finite(item) for item in value]
    if isinstance(value, (np.generic,)):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value


def write_json(path: Path, value: dict) -> None:
    write_whole(path, json.dumps(finite(value), indent=1, allow_nan=False) + "\n")


def write_json_lines(path: Path, values: Iterable[dict]) -> None:
    write_whole(path, "".join(json.dumps(finite(value), allow_nan=False) + "\n" for value in values))


def table(report: dict) -> str:
    """The results as plain text, at most 100 columns for names of ordinary length."""
    head = ("protocol", "test set", "methods", "videos", "clip", "video", "95 % CI", "AP", "EER", "acc")
    body = [_cells(result) for result in report["results"]]
    widths = [max(len(line[column]) for line in (head, *body)) for column in range(len(head))]
    lines = [
        "  ".join(
            cell.ljust(w) if i < 3 else cell.rjust(w) for i, (cell, w) in enumerate(zip(line, widths, strict=True))
        )
        for line in (head, *body)
    ]
    text = [lines[0], "-" * len(lines[0]), *lines[1:], "", *_notes(report)]
    return "\n".join(line.rstrip() for line in text)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _cells(result: dict) -> tuple[str, ...]:
    test, clip, video = result["test"], result["clip"], result["video"]
    interval = video["auc_ci95"]
    return (
        result["protocol"],
        f"{test['dataset']} {test['quality']}",
        test["methods"][0] if len(test["methods"]) == 1 else f"{len(test['methods'])} together",
        f"{video['n_real']}+{video['n_fake']}",
        _number(clip["auc"]),
        _number(video["auc"]),
        f"{interval[0]:.2f}-{interval[1]:.2f}" if interval else "-",
        _number(video["ap"]),
        _number(video["eer"]),
        _number(video["acc"]),
    )


def _notes(report: dict) -> list[str]:
    if not report["results"]:
        return []
    first = report["results"][0]
    train = first["train"]
    return [
        f"Checkpoint of step {report['checkpoint']['step']}, trained on {train['dataset']} at "
        f"{' + '.join(train['qualities'])}. Set aside as unusable: {len(report['excluded'])} videos or clips.",
        "videos: real+fake. clip, video: AUC of single clips, and of videos (the mean of a video's clips).",
        "95 % CI (bootstrap over identities), AP, EER, acc: of videos; acc at the threshold chosen on the",
        f"validation split ({_number(first['threshold']['video'])}).",
    ]
