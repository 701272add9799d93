"""The files of an evaluation: evaluation.json, scores.jsonl, features.npz, doubt.npz; and what stays of earlier ones.

Their checksums are in evaluation.sha256 (sums.py).

An evaluation of some protocols keeps the results of the others, as long as they are of the same training (parameters,
step, configuration) and of the same records.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cpml_jax import npz, sums
from cpml_jax.console import inform
from cpml_jax.doubt.knowledge import FILE as DOUBT
from cpml_jax.errors import UserError
from cpml_jax.files import parse_json, write_json, write_json_lines

if TYPE_CHECKING:  # what makes and compares evaluations, seconds of imports; a prediction reads a few numbers of one
    from cpml_jax.doubt.knowledge import Knowledge
    from cpml_jax.evaluation.clip_scores import ClipScores

RESULTS, SCORES, FEATURES = "evaluation.json", "scores.jsonl", "features.npz"
SUMS = "evaluation" + sums.SUFFIX  # of these and DOUBT
Document = dict[str, Any]  # what evaluation.json holds
# Keys of `checkpoint` that must be the same for results to stand in one file.
_IDENTITY = {
    "step": "step",
    "selection": "choice of the step",
    "parameters_sha256": "set of parameters",
    "config_sha256": "configuration of training",
}


def damage(workdir: str | Path) -> str | None:
    """What of an evaluation's files is not as it was written, "FILE: what"; None where all is, or none was written."""
    return sums.damage(Path(workdir) / SUMS, gone=False)


def check_whole(workdir: str | Path) -> None:
    """Raise UserError, naming the file, where one of an evaluation's is not as it was written."""
    if damaged := damage(workdir):
        raise UserError(f"{damaged} since it was written; run `main.py evaluate` again")


def read(workdir: str | Path) -> Document | None:
    """evaluation.json of a run, of this or an earlier version, in today's names; None if none can be read.

    Nothing is taken from an evaluation of which a file is damaged: a line says so.
    """
    from cpml_jax.evaluation import versions

    if damaged := damage(workdir):
        inform(f"{damaged} since it was written: this evaluation is not used")
        return None
    try:
        document = parse_json((Path(workdir) / RESULTS).read_text())
        return versions.current(document) if isinstance(document["results"], list) else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def of_parameters(workdir: str | Path, step: int, parameters_sha256: str) -> Document | None:
    """evaluation.json of a run, if it is of these very parameters; else None."""
    document = read(workdir)
    checkpoint = (document or {}).get("checkpoint") or {}
    same = (checkpoint.get("step"), checkpoint.get("parameters_sha256")) == (step, parameters_sha256)
    return document if same else None


def read_scores(workdir: str | Path) -> list[dict[str, Any]]:
    """The lines of scores.jsonl; empty if none can be read."""
    try:
        return [parse_json(line) for line in (Path(workdir) / SCORES).read_text().splitlines()]
    except (OSError, ValueError):
        return []


def read_arrays(workdir: str | Path) -> dict[str, dict[str, np.ndarray]]:
    """The arrays of features.npz by clip_id (ClipScores.arrays); empty if none can be read."""
    from cpml_jax.evaluation.clip_scores import ARRAYS

    try:
        arrays = npz.read(Path(workdir) / FEATURES)
        ids = arrays.get("clip_id", ())
        return {str(name): {k: arrays[k][i] for k in ARRAYS if k in arrays} for i, name in enumerate(ids)}
    except Exception:  # NumPy and zipfile raise many kinds of exceptions on damaged bytes
        return {}


def earlier_results(earlier: Document | None, report: Document) -> tuple[list[dict[str, Any]], str]:
    """Results of an earlier evaluation that the new one did not make again, and why they may not stay beside it.

    Args:
      earlier: what `read` gave.
      report: the new evaluation.json.

    Returns:
      (results, what differs); the latter is empty where they are of the same training and records.
    """
    if earlier is None:
        return [], ""
    made = {result["protocol"] for result in report["results"]}
    return [result for result in earlier["results"] if result["protocol"] not in made], _difference(earlier, report)


def _difference(earlier: Document, report: Document) -> str:
    if earlier.get("schema") != report["schema"]:
        return f"version {earlier.get('schema')}"
    checkpoints = earlier["checkpoint"], report["checkpoint"]
    for key, word in _IDENTITY.items():
        if checkpoints[0].get(key) != checkpoints[1][key]:
            return f"another {word}"
    before, after = (
        {name: records["sha256"] for name, records in document["provenance"]["records"].items()}
        for document in (earlier, report)
    )
    changed = sorted(name for name in before.keys() & after.keys() if before[name] != after[name])
    return f"other records of {changed[0]!r}" if changed else ""


def write(
    workdir: str | Path,
    report: Document,
    scores: ClipScores,
    class_embeddings: np.ndarray | None,
    knowledge: Knowledge | None = None,
) -> Document:
    """Write the files, with what stays of earlier ones. Returns what evaluation.json holds.

    Args:
      knowledge: for doubt.npz; without it there is none afterwards.
    """
    from cpml_jax.evaluation.clip_scores import ClipScores, write_features

    workdir = Path(workdir)
    workdir.mkdir(parents=True, exist_ok=True)
    earlier = read(workdir)
    kept, difference = earlier_results(earlier, report)
    if kept and difference:
        inform(f"{workdir / RESULTS}: {len(kept)} results of another training were dropped ({difference})")
        kept = []
    if earlier and kept:
        report = _merged(earlier, kept, report)
        lines = {line["clip_id"]: line for line in read_scores(workdir)}
        scores = ClipScores(lines | scores.lines, read_arrays(workdir) | scores.arrays)
    with sums.renewed(workdir / SUMS, (SCORES, FEATURES, DOUBT, RESULTS)):
        write_json_lines(workdir / SCORES, scores.lines.values())
        write_features(workdir / FEATURES, scores, class_embeddings)
        if knowledge:
            knowledge.write(workdir / DOUBT)
        else:
            (workdir / DOUBT).unlink(missing_ok=True)
        write_json(workdir / RESULTS, report)
    return report


def _merged(earlier: Document, kept: list[dict[str, Any]], report: Document) -> Document:
    """The new document with the kept results of the earlier one, and what belongs to them."""
    from cpml_jax.evaluation import diagnostics

    records = earlier["provenance"]["records"] | report["provenance"]["records"]
    across = report["pulse_across_compressions"]
    measured = {(pair["dataset"], *pair["compressions"]) for pair in across}
    before = earlier.get("pulse_across_compressions", [])
    block = report.get("diagnostics")
    diagnosed = {"diagnostics": diagnostics.merged(earlier.get("diagnostics"), block)} if block else {}
    return (
        report
        | diagnosed
        | {
            "pulse_across_compressions": [
                *(pair for pair in before if (pair["dataset"], *pair["compressions"]) not in measured),
                *across,
            ],
            "provenance": report["provenance"] | {"records": records},
            "results": kept + report["results"],
            "excluded": _without_repeats(earlier["excluded"] + report["excluded"]),
        }
    )


def _without_repeats(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return list({json.dumps(row, sort_keys=True): row for row in rows}.values())


def is_current(workdir: str | Path, config: dict[str, Any], step: int | None) -> bool:
    """Whether evaluation.json is of this checkpoint and holds every test of the configuration."""
    from cpml_jax.evaluation import versions
    from cpml_jax.evaluation.provenance import config_sha256

    written = read(workdir)
    if written is None or written.get("schema") != versions.EVALUATION:
        return False
    wanted = json.loads(json.dumps(config["eval"]))
    evaluated = {result["protocol"] for result in written["results"]}
    return (
        written["config"]["eval"] == wanted
        and written["checkpoint"]["step"] == step
        and written["checkpoint"]["config_sha256"] == config_sha256(config)
        and set(wanted["protocols"]) <= evaluated
    )
