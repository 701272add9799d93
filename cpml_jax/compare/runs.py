"""Finished runs to compare: read, grouped into columns that differ in the seed alone; what else differs."""

from __future__ import annotations

import dataclasses
import functools
import json
from pathlib import Path

from cpml_jax.configuration import flattened
from cpml_jax.errors import UserError
from cpml_jax.evaluation import results_file, versions
from cpml_jax.evaluation.results_file import RESULTS, SCORES
from cpml_jax.files import parse_json

SWEEP, SWEEP_FOLDER = "sweep.json", "sweep"
# Where files lie and how fast they are read; which tests were asked for is seen in the tests themselves.
_FREE = (
    "name", "data.records", "data.limits.pixels", "data.limits.frames", "data.limits.seconds", "data.limits.decoding",
    "data.workers", "data.cache_mb", "data.decoded", "data.read_threads", "train.log_every", "train.devices",
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
    """One run: its folder, its evaluation.json and, when they are asked for, the lines of its scores.jsonl."""

    folder: Path
    report: dict

    @functools.cached_property
    def config(self) -> dict:
        """Dotted keys, without what is free to differ."""
        return {
            key: value
            for key, value in flattened(self.report["config"]).items()
            if key not in _FREE and not (key.startswith("data.sources.") and key.endswith(".root"))
        }

    @property
    def seed(self) -> int:
        """The seed of training."""
        return self.config.get("seed", 0)

    @functools.cached_property
    def results(self) -> dict[Key, dict]:
        """The results of evaluation.json by test."""
        return {key_of(result): result for result in self.report["results"]}

    @functools.cached_property
    def lines(self) -> list[dict]:
        """The lines of scores.jsonl; empty if the run has none.

        Raises:
          UserError: a line is not JSON.
        """
        try:
            return [parse_json(line) for line in (self.folder / SCORES).read_text().splitlines() if line.strip()]
        except OSError:
            return []
        except ValueError:
            raise UserError(f"{self.folder / SCORES}: not JSON lines; run `main.py evaluate` again") from None


@dataclasses.dataclass
class Column:
    """Runs that differ in their seed alone."""

    name: str
    runs: list[Finished]


def key_of(result: dict) -> Key:
    """The test of an entry of `results` in evaluation.json."""
    test, condition = result["test"], result.get("condition") or {}
    asked = tuple(sorted((k, v) for k, v in condition.items() if k != "bitrate_bps"))
    return Key(result["protocol"], test["dataset"], test["compression"], tuple(test["methods"]), asked)


def words(key: Key) -> str:
    """A test in words, for the tables."""
    methods = key.methods[0] if len(key.methods) == 1 else f"{len(key.methods)} methods"
    return f"{key.protocol}: {key.dataset} {key.compression}, {methods}"


def load(folder: Path) -> list[Finished]:
    """The run of a folder, or the finished runs of a sweep's workdir.

    Raises:
      UserError: the folder is neither, or its evaluation.json cannot be read.
    """
    if (folder / RESULTS).is_file():
        return [_load_one(folder)]
    if (folder / SWEEP).is_file():
        runs = sorted(path.parent for path in (folder / SWEEP_FOLDER).glob(f"*/{RESULTS}"))
        if runs:
            return [_load_one(path) for path in runs]
        raise UserError(f"{folder}: no run of this sweep is finished; continue it with `main.py sweep`")
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder; compare takes the working directories of runs")
    raise UserError(f"{folder}: no {RESULTS} here; run `main.py evaluate --workdir={folder}` with its --config")


def _load_one(folder: Path) -> Finished:
    results_file.check_whole(folder)
    report = results_file.read(folder)
    readable = report is not None and report.get("schema") in versions.READABLE
    if report is None or not readable or not isinstance(report.get("config"), dict):
        raise UserError(f"{folder / RESULTS}: not an evaluation of this program; run `main.py evaluate` again")
    return Finished(folder, report)


def columns(runs: list[Finished]) -> list[Column]:
    """Columns in the order of their first run. A run whose seed its column already has begins another column."""
    grouped: list[tuple[dict, Column]] = []  # configuration without the seed, column
    for run, name in zip(runs, _names([run.folder for run in runs]), strict=True):
        shared = {key: value for key, value in run.config.items() if key != "seed"}
        for config, column in grouped:
            if config == shared and run.seed not in {one.seed for one in column.runs}:
                column.runs.append(run)
                break
        else:
            grouped.append((shared, Column(name, [run])))
    made = [column for _, column in grouped]
    for column in made:
        if len(column.runs) > 1:
            column.name += f" ({len(column.runs)} seeds)"
    return made


def _names(folders: list[Path]) -> list[str]:
    """Each folder by its last parts, as many as it takes for all names to differ."""
    parts = [folder.absolute().parts for folder in folders]
    for count in range(1, max(map(len, parts))):
        names = ["/".join(p[-count:]) for p in parts]
        if len(set(names)) == len(set(parts)):
            return names
    return [str(folder) for folder in folders]


def notes(columns: list[Column]) -> list[str]:
    """What else the reader must know: configurations and records that differ, how checkpoints were chosen."""
    remarks = _trained_alike([one for column in columns for one in column.runs])
    remarks += [
        f"{column.name}: mean over {', '.join(f'{one.folder.name} (seed {one.seed})' for one in column.runs)}"
        for column in columns
        if len(column.runs) > 1
    ]
    configs = [column.runs[0].config for column in columns]
    for name in sorted({k for config in configs for k in config} - {"seed"}):
        values = [json.dumps(config[name]) if name in config else "absent" for config in configs]
        if len(set(values)) > 1:
            remarks.append(f"{name}: " + " | ".join(v if len(v) <= _SHOWN else v[: _SHOWN - 3] + "..." for v in values))
    for column in columns:
        for one in column.runs:
            selection = (one.report.get("checkpoint") or {}).get("selection") or ""
            if selection.startswith("oracle"):
                remarks.append(f"{one.folder.name}: checkpoint chosen by {selection}")
    runs = [one for column in columns for one in column.runs]
    return remarks + _differing_versions(runs) + _differing_records(runs)


def _differing_versions(runs: list[Finished]) -> list[str]:
    """Runs whose figures are by the rule of an earlier version, beside runs of today's."""
    earlier = [one.folder.name for one in runs if one.report.get("schema") != versions.EVALUATION]
    if not earlier or len(earlier) == len(runs):
        return []
    rule = "windows are averaged as probabilities there, as margins here; run `main.py evaluate` again"
    return [f"NOT THE SAME RULE: {', '.join(earlier)} hold figures of an earlier version ({rule})"]


def _differing_records(runs: list[Finished]) -> list[str]:
    """Records of one name that are not the same bytes: their figures do not compare methods."""
    runs_by_hash: dict[str, dict[str, list[str]]] = {}  # name of the records -> SHA-256 -> names of runs
    for one in runs:
        for name, records in ((one.report.get("provenance") or {}).get("records") or {}).items():
            if records.get("sha256"):
                runs_by_hash.setdefault(name, {}).setdefault(records["sha256"], []).append(one.folder.name)
    return [
        f"NOT THE SAME DATA: the records {name!r} of {' and of '.join(', '.join(g) for g in groups.values())} differ; "
        "figures on different data cannot be compared"
        for name, groups in sorted(runs_by_hash.items())
        if len(groups) > 1
    ]


def _trained_alike(runs: list[Finished]) -> list[str]:
    """How long the runs were trained and how their checkpoints were chosen; a warning where that differs."""
    names: dict[str, list[str]] = {}
    for one in runs:
        names.setdefault(training_length(one.config, one.report.get("checkpoint")), []).append(one.folder.name)
    if len(names) < 2:
        return [f"all runs: {text}" for text in names]
    each = "; ".join(f"{', '.join(of)}: {text}" for text, of in names.items())
    return [f"NOT TRAINED ALIKE: {each}. A difference may be one of training, not of methods"]


def training_length(config: dict, checkpoint: dict | None) -> str:
    """Steps, batch size and the choice of the checkpoint in words; `config` has dotted keys."""
    selection = (checkpoint or {}).get("selection", "validation")
    chosen = "by hand" if selection.startswith("oracle") else f"by {selection}"
    return (
        f"{config.get('train.steps')} steps of {config.get('train.batch_size')} clips, validated every "
        f"{config.get('train.eval_every')}, checkpoint chosen {chosen}"
    )
