"""sweep.json and sweep.md: the state of the runs, and what their evaluations put into the cells."""

from __future__ import annotations

import json
from pathlib import Path

import jax
from ml_collections import ConfigDict

from cpml_jax import sums
from cpml_jax.configuration import flattened
from cpml_jax.console import inform
from cpml_jax.evaluation import results_file, versions
from cpml_jax.evaluation.results import described
from cpml_jax.files import parse_json, write_json, write_whole
from cpml_jax.sweep import differences, tables
from cpml_jax.sweep.plan import Cell, Run
from cpml_jax.training.run_files import FREE_KEYS

FOLDER, RESULTS, TABLES, SUMS = "sweep", "sweep.json", "sweep.md", "sweep" + sums.SUFFIX
FINISHED, TRAINED, BEGUN, MISSING = "finished", "trained", "begun", "missing"
# Keys of eval.* that change no figure of a run.
_FREE_EVAL = ("eval.protocols", "eval.batch_size")


def folder_of(workdir: str | Path, run: Run) -> Path:
    """The folder of a run."""
    return Path(workdir) / FOLDER / run.name


def _read(path: Path) -> dict:
    try:
        return versions.current(parse_json(path.read_text()))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def _shaping(config: dict, free: tuple[str, ...]) -> dict:
    """The dotted keys of a configuration that change figures, with their values as JSON has them."""
    flat = flattened(parse_json(json.dumps(config)))
    return {k: v for k, v in flat.items() if not any(k == key or k.startswith(key + ".") for key in free)}


def state_of(folder: Path, config: ConfigDict, run: Run) -> str:
    """FINISHED: it has every cell; TRAINED: its evaluation lacks tests; BEGUN: it has checkpoints; or MISSING."""
    report = results_file.read(folder) or {}  # written after training
    ours = config.to_dict()
    current = report.get("schema") == versions.EVALUATION  # an earlier version's figures are by another rule
    if current and "config" in report and _shaping(report["config"], FREE_KEYS) == _shaping(ours, FREE_KEYS):
        tests = [
            {k: v for k, v in _shaping(c, _FREE_EVAL).items() if k.startswith("eval.")}
            for c in (report["config"], ours)
        ]
        complete = all(result_of(report, cell) for cell in run.cells)
        return FINISHED if complete and tests[0] == tests[1] else TRAINED
    return BEGUN if (folder / "checkpoints").is_dir() else MISSING


def result_of(report: dict, cell: Cell) -> dict | None:
    """The entry of evaluation.json that a cell shows. The same test has the same figures under every protocol."""
    test = cell.test
    wanted = {"dataset": test.dataset, "compression": test.compression, "methods": list(test.methods)}
    results = (r for r in report.get("results", ()) if r["test"] == wanted and r.get("condition") is None)
    return next(results, None)


def earlier_cells(config: ConfigDict, workdir: str | Path, runs: list[Run]) -> list[dict]:
    """Filled cells of sweep.json that an earlier call with the same configuration made and this one does not."""
    if damaged := sums.damage(Path(workdir) / SUMS, gone=False):
        inform(f"{damaged} since it was written: its cells of earlier calls are left out; those calls fill them again")
        return []
    written = _read(Path(workdir) / RESULTS)
    if written.get("schema") != versions.SWEEP:
        return []
    if _shaping(written["config"], (*FREE_KEYS, "seed")) != _shaping(config.to_dict(), (*FREE_KEYS, "seed")):
        return []
    asked = {_place(cell_json(run, cell, {}, "")) for run in runs for cell in run.cells}
    return [cell for cell in written["cells"] if cell["video"] is not None and _place(cell) not in asked]


def _place(cell: dict) -> tuple:
    return tuple(cell[key] for key in ("protocol", "table", "row", "column", "seed"))


def cell_json(run: Run, cell: Cell, report: dict, why_not: str) -> dict:
    """A cell of sweep.json; clip and video are null, with a note, until it has figures."""
    result = result_of(report, cell)
    filled = {key: result[key] if result else None for key in ("clip", "video")}
    return {
        "protocol": cell.protocol,
        "table": cell.table,
        "row": cell.row,
        "column": cell.column,
        **described(cell.test),
        "seed": cell.seed,
        "run": run.name,
        **filled,
    } | ({} if result else {"note": why_not})


def write(
    config: ConfigDict,
    workdir: str | Path,
    runs: list[Run],
    configs: dict[str, ConfigDict],
    failed: dict[str, str],
    kept: list[dict],
) -> None:
    """Write sweep.json and sweep.md from the evaluations so far, on the first of several hosts.

    Args:
      configs: of the runs, by name. failed: why runs failed, by name. kept: cells of `earlier_cells`.
    """
    if jax.process_index() != 0:
        return
    cells, described = list(kept), []
    for run in runs:
        folder = folder_of(workdir, run)
        state = state_of(folder, configs[run.name], run)
        report = (results_file.read(folder) or {}) if state == FINISHED else {}
        why_not = f"failed: {failed[run.name]}" if run.name in failed else f"no figure yet: {state}"
        cells += [cell_json(run, cell, report, why_not) for cell in run.cells]
        described.append({"name": run.name, "seed": run.seed, "changes": run.changes, "state": state})
        described[-1] |= {"note": failed[run.name]} if run.name in failed else {}
    value = {"schema": versions.SWEEP, "config": config.to_dict(), "runs": described, "cells": cells}
    with sums.renewed(Path(workdir) / SUMS, [RESULTS]):
        write_json(Path(workdir) / RESULTS, value)
    text = "# Sweep\n\n" + tables.tables(cells)
    for block in differences.blocks(cells, Path(workdir) / FOLDER):
        text += f"\n{block}\n"
    write_whole(Path(workdir) / TABLES, text)
