"""Finished runs to compare: read, gathered into columns by seed, and what else differs between them."""

from __future__ import annotations

import dataclasses
import functools
import json
from pathlib import Path

from cpml_jax.errors import UserError
from cpml_jax.training.run_files import flatten

RESULTS, SCORES, SWEEP, SWEEP_FOLDER = "evaluation.json", "scores.jsonl", "sweep.json", "sweep"
# Where things lie and how fast they go; which tests were asked for shows in the tests themselves.
_FREE = (
    "name", "data.records", "data.workers", "data.cache_mb", "data.read_threads", "train.log_every", "train.devices",
    "train.shard_params", "eval.protocols", "eval.compressions", "eval.cross_datasets", "eval.cross_compression",
    "eval.batch_size", "eval.bootstrap",
)  # fmt: skip
_SHOWN = 60  # characters of a value in a note


@dataclasses.dataclass(frozen=True)
class Key:
    """What makes two results the same test. condition: sorted items of the result's, less its measured bitrate."""

    protocol: str
    dataset: str
    compression: str
    methods: tuple[str, ...]
    condition: tuple = ()


@dataclasses.dataclass
class Finished:
    """One run: its folder, evaluation.json and, when they are asked for, the lines of scores.jsonl."""

    folder: Path
    report: dict

    @functools.cached_property
    def config(self) -> dict:
        """Flat, without what is free to differ."""
        flat = flatten(self.report["config"])
        return {
            k: v
            for k, v in flat.items()
            if k not in _FREE and not (k.startswith("data.sources.") and k.endswith(".root"))
        }

    @property
    def seed(self) -> int:
        return self.config.get("seed", 0)

    @functools.cached_property
    def results(self) -> dict[Key, dict]:
        return {key_of(result): result for result in self.report["results"]}

    @functools.cache  # noqa: B019 - as long-lived as the run
    def lines(self) -> list[dict]:
        try:
            return [json.loads(line) for line in (self.folder / SCORES).read_text().splitlines() if line.strip()]
        except OSError:
            return []
        except ValueError:
            raise UserError(f"{self.folder / SCORES}: not readable as JSON lines; evaluate the run again") from None

    __hash__ = object.__hash__


@dataclasses.dataclass
class Column:
    """Runs that differ in their seed alone."""

    name: str
    runs: list[Finished]


def key_of(result: dict) -> Key:
    test, condition = result["test"], result.get("condition") or {}
    measured = tuple(sorted((k, v) for k, v in condition.items() if k != "bitrate_bps"))
    return Key(result["protocol"], test["dataset"], test["compression"], tuple(test["methods"]), measured)


def words(key: Key) -> str:
    methods = key.methods[0] if len(key.methods) == 1 else f"{len(key.methods)} methods"
    return f"{key.protocol}: {key.dataset} {key.compression}, {methods}"


def load(folder: Path) -> list[Finished]:
    """The run of a folder, or the finished runs of a sweep's workdir.

    Raises:
      UserError: neither is there, or evaluation.json is none.
    """
    if (folder / RESULTS).is_file():
        return [_load_one(folder)]
    if (folder / SWEEP).is_file():
        runs = sorted(path.parent for path in (folder / SWEEP_FOLDER).glob(f"*/{RESULTS}"))
        if runs:
            return [_load_one(path) for path in runs]
        raise UserError(f"{folder}: no run of this sweep is finished; run `main.py sweep` on")
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder; compare takes working directories of runs")
    raise UserError(f"{folder}: no {RESULTS} here; run `main.py evaluate --workdir={folder}` with its --config")


def _load_one(folder: Path) -> Finished:
    path = folder / RESULTS
    try:
        report = json.loads(path.read_text())
        finished = Finished(folder, report)
        right = report["schema"].startswith("cpml-evaluation/1.") and finished.config and finished.results is not None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        right = False
    if not right:
        raise UserError(f"{path}: not an evaluation of this program; run `main.py evaluate` again")
    return finished


def columns(runs: list[Finished]) -> list[Column]:
    """Columns in the order of their first run. A seed that a column has already begins another one."""
    names = _names([run.folder for run in runs])
    found: list[tuple[dict, Column]] = []
    for run, name in zip(runs, names, strict=True):
        shape = {k: v for k, v in run.config.items() if k != "seed"}
        for own, column in found:
            if own == shape and run.seed not in {one.seed for one in column.runs}:
                column.runs.append(run)
                break
        else:
            found.append((shape, Column(name, [run])))
    made = [column for _, column in found]
    for column in made:
        if len(column.runs) > 1:
            column.name += f" ({len(column.runs)} seeds)"
    return made


def _names(folders: list[Path]) -> list[str]:
    """Folders by as many of their last parts as tell them apart."""
    parts = [folder.absolute().parts for folder in folders]
    for count in range(1, max(map(len, parts))):
        names = ["/".join(p[-count:]) for p in parts]
        if len(set(names)) == len(set(parts)):
            return names
    return [str(folder) for folder in folders]


def notes(columns: list[Column]) -> list[str]:
    """What else the reader must know: configurations and records that differ, how checkpoints were chosen."""
    said = [
        f"{column.name}: mean over {', '.join(f'{one.folder.name} (seed {one.seed})' for one in column.runs)}"
        for column in columns
        if len(column.runs) > 1
    ]
    configs = [column.runs[0].config for column in columns]
    for name in sorted({k for config in configs for k in config} - {"seed"}):
        values = [json.dumps(config[name]) if name in config else "absent" for config in configs]
        if len(set(values)) > 1:
            said.append(f"{name}: " + " | ".join(v if len(v) <= _SHOWN else v[: _SHOWN - 3] + "..." for v in values))
    for column in columns:
        for one in column.runs:
            selection = (one.report.get("checkpoint") or {}).get("selection") or ""
            said += [f"{one.folder.name}: checkpoint chosen by {selection}"] if selection.startswith("oracle") else []
    return said + _differing_records([one for column in columns for one in column.runs])


def _differing_records(runs: list[Finished]) -> list[str]:
    """Records of one name that are not the same bytes: such figures are no comparison of methods."""
    seen: dict[str, dict[str, list[str]]] = {}
    for one in runs:
        for name, records in ((one.report.get("provenance") or {}).get("records") or {}).items():
            if records.get("sha256"):
                seen.setdefault(name, {}).setdefault(records["sha256"], []).append(one.folder.name)
    return [
        f"NOT THE SAME DATA: the records {name!r} of {' and of '.join(', '.join(g) for g in groups.values())} differ; "
        "figures on different data are no comparison"
        for name, groups in sorted(seen.items())
        if len(groups) > 1
    ]
