"""The files of an evaluation: evaluation.json, scores.jsonl, features.npz; and what of earlier ones is still true.

An evaluation of some protocols keeps the results of the others, as long as they are of the same checkpoint and records.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from cpml_jax.evaluation.clip_scores import ARRAYS, ClipScores, write_features
from cpml_jax.files import write_json, write_json_lines

SCHEMA = "cpml-evaluation/1.1.0"
RESULTS, SCORES, FEATURES = "evaluation.json", "scores.jsonl", "features.npz"


def read(workdir) -> dict | None:
    """evaluation.json of a run, of this or an earlier version; None if there is none that can be read."""
    try:
        found = json.loads((Path(workdir) / RESULTS).read_text())
        return found if isinstance(found, dict) and isinstance(found.get("results"), list) else None
    except (OSError, ValueError):
        return None


def read_scores(workdir) -> list[dict]:
    """The lines of scores.jsonl; empty if there are none that can be read."""
    try:
        return [json.loads(line) for line in (Path(workdir) / SCORES).read_text().splitlines()]
    except (OSError, ValueError):
        return []


def read_arrays(workdir) -> dict[str, dict[str, np.ndarray]]:
    """The arrays of features.npz by clip_id (ClipScores.arrays); empty if there are none that can be read."""
    try:
        with np.load(Path(workdir) / FEATURES) as file:
            arrays = {name: file[name] for name in file.files}
    except (OSError, ValueError, EOFError, KeyError):
        return {}
    ids = arrays.get("clip_id", ())
    return {str(name): {k: arrays[k][i] for k in ARRAYS if k in arrays} for i, name in enumerate(ids)}


def earlier_results(earlier: dict | None, report: dict) -> list[dict]:
    """Results of an earlier evaluation that the new one did not make again and that are still true.

    Args:
      earlier: what `read` gave.
      report: the new evaluation.json. Its checkpoint, model, data and records must be those of the earlier one.
    """
    if earlier is None or earlier.get("schema") != report["schema"]:
        return []
    if earlier["checkpoint"] != report["checkpoint"] or not _same_model(earlier["config"], report["config"]):
        return []
    hashes = [{n: r["sha256"] for n, r in e["provenance"]["records"].items()} for e in (earlier, report)]
    if any(hashes[0][name] != hashes[1][name] for name in hashes[0].keys() & hashes[1].keys()):
        return []
    made = {result["protocol"] for result in report["results"]}
    return [result for result in earlier["results"] if result["protocol"] not in made]


def _same_model(one: dict, other: dict) -> bool:
    return all(one.get(key) == json.loads(json.dumps(other.get(key))) for key in ("model", "train", "seed"))


def write(workdir, report: dict, scores: ClipScores, class_embeddings: np.ndarray | None) -> dict:
    """Write the three files, with what stays of earlier ones. Returns what evaluation.json holds."""
    workdir = Path(workdir)
    workdir.mkdir(parents=True, exist_ok=True)
    earlier = read(workdir)
    kept = earlier_results(earlier, report)
    if kept:
        records = earlier["provenance"]["records"] | report["provenance"]["records"]
        across = report["pulse_across_compressions"]
        again = {(pair["dataset"], *pair["compressions"]) for pair in across}
        across = [
            pair
            for pair in earlier.get("pulse_across_compressions", [])
            if (pair["dataset"], *pair["compressions"]) not in again
        ] + across
        report = report | {
            "pulse_across_compressions": across,
            "provenance": report["provenance"] | {"records": records},
            "results": kept + report["results"],
            "excluded": _without_repeats(earlier["excluded"] + report["excluded"]),
        }
        lines = {line["clip_id"]: line for line in read_scores(workdir)}
        scores = ClipScores(lines | scores.lines, read_arrays(workdir) | scores.arrays)
    write_json_lines(workdir / SCORES, scores.lines.values())
    write_features(workdir / FEATURES, scores, class_embeddings)
    write_json(workdir / RESULTS, report)
    return report


def _without_repeats(rows: list[dict]) -> list[dict]:
    return list({json.dumps(row, sort_keys=True): row for row in rows}.values())


def is_current(workdir, config: dict, step: int | None) -> bool:
    """Whether evaluation.json is of this checkpoint and holds every test of the configuration."""
    written = read(workdir)
    if written is None or written.get("schema") != SCHEMA:
        return False
    asked = json.loads(json.dumps(config["eval"]))
    there = {result["protocol"] for result in written["results"]}
    return (
        written["config"]["eval"] == asked
        and written["checkpoint"]["step"] == step
        and set(asked["protocols"]) <= there
    )
