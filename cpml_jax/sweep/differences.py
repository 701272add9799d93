"""Differences of the rows of an ablation table to its first row, with their tests over people and seeds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cpml_jax.compare import command, formats
from cpml_jax.compare.runs import Column, Finished, Key, training_length
from cpml_jax.evaluation import results_file
from cpml_jax.evaluation.table import markdown
from cpml_jax.metrics.significance import paired

LEGEND = (
    "Difference of AUC to the first row on the same videos, with its 95 % interval over people and seeds together; p "
    "of its test, and p corrected by Holm for all comparisons in this table. Of one seed it is about these training "
    "runs alone."
)


def blocks(cells: Sequence[dict[str, Any]], folder: Path) -> list[str]:
    """Tables of differences, one for each ablation table whose runs have scores.

    Args:
      cells: of sweep.json. folder: holds the folders of the runs.
    """
    grouped: dict[str, list[dict[str, Any]]] = {}
    for cell in cells:
        if cell["protocol"] == "ablation" and cell["video"] is not None:
            grouped.setdefault(cell["table"], []).append(cell)
    made = [_block(name, members, folder) for name, members in grouped.items()]
    return [block for block in made if block]


def _block(name: str, cells: list[dict[str, Any]], folder: Path) -> str:
    rows = list(dict.fromkeys(cell["row"] for cell in cells))
    columns = {row: Column(row, _runs([c["run"] for c in cells if c["row"] == row], folder)) for row in rows}
    tests = {cell["column"]: cell["test"] for cell in cells}
    first = columns[rows[0]]
    keys = {title: key for title, test in tests.items() if (key := _key(first, test)) is not None}
    compared = [row for row in rows[1:] if columns[row].runs]
    figures = [[command.cell(columns[row], first, key, paired) for key in keys.values()] for row in compared]
    flat = [one for line in figures for one in line]
    command.correct(flat)
    if all(one["difference"] is None for one in flat):
        return ""
    body = [[row, *map(formats.difference, line)] for row, line in zip(compared, figures, strict=True)]
    head = [f"minus {rows[0]}", *keys]
    lines = [f"## ablation, {name}: differences to {rows[0]}", "", markdown(head, body), "", LEGEND]
    return "\n".join([*lines, *_trained_alike(columns)])


def _runs(names: list[str], folder: Path) -> list[Finished]:
    reports = {name: results_file.read(folder / name) for name in dict.fromkeys(names)}
    return [Finished(folder / name, report) for name, report in reports.items() if report is not None]


def _key(column: Column, test: dict[str, Any]) -> Key | None:
    """The test of a cell among the results of a row."""
    wanted = (test["dataset"], test["compression"], tuple(test["methods"]))
    keys = (key for run in column.runs for key in run.results if not key.condition)
    return next((key for key in keys if (key.dataset, key.compression, key.methods) == wanted), None)


def _trained_alike(columns: dict[str, Column]) -> list[str]:
    """How long all rows were trained, or a warning that names those that were trained otherwise."""
    names: dict[str, list[str]] = {}
    for name, column in columns.items():
        for text in {training_length(run.config, run.report.get("checkpoint")) for run in column.runs}:
            names.setdefault(text, []).append(name)
    if len(names) < 2:
        return [f"All rows: {text}." for text in names]
    each = "; ".join(f"{', '.join(rows)}: {text}" for text, rows in names.items())
    return [f"NOT TRAINED ALIKE: {each}. A difference may be one of training, not of methods."]
