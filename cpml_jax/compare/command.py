"""main.py compare RUN RUN ...: the same tests of several runs beside each other, with differences that are tested.

Runs whose configurations differ in the seed alone are one column. Differences are to the first column.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from cpml_jax.compare import differences, formats, runs
from cpml_jax.compare.differences import PairedTest, std
from cpml_jax.compare.runs import Column, Key
from cpml_jax.errors import UserError
from cpml_jax.evaluation import blame
from cpml_jax.files import write_whole
from cpml_jax.metrics.significance import holm


def run(arguments: list[str], out: str = "", *, paired: PairedTest | None = None) -> int:
    """Print the comparison; with `out`, also write compare.md, compare.tex and compare.csv into that folder.

    Args:
      arguments: folders that hold an evaluation.json, or a sweep.json, which stands for its runs.
      paired: significance.paired, or a function like it.

    Returns:
      The exit status: 0.

    Raises:
      UserError: a folder holds no evaluation, or fewer than two runs are given.
    """
    with blame.reading(*arguments):
        finished = [one for folder in arguments for one in runs.load(Path(folder))]
    if len(finished) < 2:
        raise UserError("compare needs two runs or more: main.py compare RUN RUN ... [--out=FOLDER]")
    if paired is None:
        from cpml_jax.metrics.significance import paired
    with blame.reading(*(one.folder for one in finished)):
        table = compare(runs.columns(finished), paired)
        texts = {
            "compare.md": formats.markdown(table),
            "compare.tex": formats.latex(table),
            "compare.csv": formats.csv_lines(table),
        }
    print(texts["compare.md"], flush=True)
    if out:
        Path(out).mkdir(parents=True, exist_ok=True)
        for name, text in texts.items():
            write_whole(Path(out) / name, text)
    return 0


def compare(columns: list[Column], paired: PairedTest) -> dict[str, Any]:
    """{columns: names, rows: [{test: words, cells: [...]}], notes: [...]}; see `cell` for what a cell holds."""
    keys = list(dict.fromkeys(key for column in columns for one in column.runs for key in one.results))
    rows, tests_of_note = [], {}
    for key in keys:
        cells = [cell(column, columns[0], key, paired) for column in columns]
        rows.append({"test": runs.words(key), "cells": cells})
        for column, figures in zip(columns, cells, strict=True):
            if figures["note"]:
                tests_of_note.setdefault((column.name, figures["note"]), []).append(runs.words(key))
    correct([figures for row in rows for figures in row["cells"]])
    notes = [
        f"{name}, {tests[0] if len(tests) == 1 else f'{len(tests)} tests'}: {note}"
        for (name, note), tests in tests_of_note.items()
    ]
    names = [column.name for column in columns]
    return {"columns": names, "rows": rows, "notes": [*notes, *runs.notes(columns)]}


def correct(cells: list[dict[str, Any]]) -> None:
    """Fill p_holm: p corrected for the number of comparisons in a table."""
    for figures, corrected in zip(cells, holm([figures["p"] for figures in cells]), strict=True):
        figures["p_holm"] = corrected


def cell(column: Column, first: Column, key: Key, paired: PairedTest) -> dict[str, Any]:
    """One column's figures on one test, of videos; what does not exist is None.

    Returns:
      auc: the run's, or the mean over the seeds; clip_auc likewise. ci95: its [lo, hi]. std: over several seeds.
      seeds: their number. To the first column: difference, difference_ci95 and p, over people and seeds; p_holm: None
      until `correct`; p_delong of a single pair of runs; difference_std over the pairs of one seed;
      pairs: [{seeds, difference}]. note: why something is missing.
    """
    results = [one.results[key] for one in column.runs if key in one.results]
    videos = [r["video"] for r in results if r["video"]["auc"] is not None]
    aucs, clips = [v["auc"] for v in videos], [r["clip"]["auc"] for r in results if r["clip"]["auc"] is not None]
    reasons = [r["video"].get("note") for r in results if r["video"].get("note")]
    note = "" if videos else (reasons[0] if reasons else "not tested")
    if videos and len(videos) < len(column.runs):
        note = f"of {len(videos)} of {len(column.runs)} seeds"
    # From the scores: a stored interval may be of an earlier version, which was a bootstrap and too narrow.
    ci95 = differences.mean_ci95(column, key) if videos else None
    base = {
        "auc": float(np.mean(aucs)) if aucs else None,
        "ci95": videos[0].get("auc_ci95") if ci95 is None and len(videos) == 1 else ci95,
        "std": std(aucs),
        "seeds": len(aucs),
        "clip_auc": float(np.mean(clips)) if clips else None,
        **dict.fromkeys(differences.FIGURES),
        "pairs": [],
    }
    if column is first or not aucs or not any(key in run.results for run in first.runs):
        return base | {"note": note}
    compared, why_not = differences.differences(column, first, key, paired)
    return base | compared | {"note": "; ".join(text for text in (note, why_not) if text)}
