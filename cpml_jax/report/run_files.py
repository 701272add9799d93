"""The files of a run, read for the report. A file that is missing is empty here, and `missing` has the reason."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path

import numpy as np

from cpml_jax import npz, schema
from cpml_jax.errors import UserError
from cpml_jax.evaluation import results_file, video_score
from cpml_jax.evaluation.results_file import FEATURES, RESULTS, SCORES
from cpml_jax.files import parse_json

SALIENCY, CURVES = "saliency.npz", "metrics.jsonl"
_MADE_BY = dict.fromkeys((RESULTS, SCORES, FEATURES, SALIENCY), "main.py evaluate") | {CURVES: "main.py train"}


@dataclasses.dataclass(frozen=True)
class RunFiles:
    """A run's results as plain data.

    Attributes:
      evaluation: evaluation.json, or {}.
      scores: lines of scores.jsonl whose score is finite, each with `logit_margin` (computed from p_fake in files that
        lack it) and `row`, its place among the lines without a condition, which is its row in `features`.
      features, saliency: arrays of features.npz and saliency.npz by name, or {}.
      curves: lines of metrics.jsonl.
      missing: file name -> one line: why it is empty and what makes it.
      dropped: number of lines of scores.jsonl without a finite score.
    """

    evaluation: dict
    scores: list[dict]
    features: dict[str, np.ndarray]
    saliency: dict[str, np.ndarray]
    curves: list[dict]
    missing: dict[str, str]
    dropped: int = 0

    def why(self, name: str) -> str:
        """Why nothing can be drawn from this file, in one line."""
        return self.missing.get(name, f"{name} holds nothing that could be drawn.")

    @property
    def results(self) -> list[dict]:
        """The results of evaluation.json."""
        return self.evaluation.get("results") or []


def read(workdir: str | Path) -> RunFiles:
    """Read a run's folder.

    Raises:
      UserError: the folder holds nothing to report, or one of its files cannot be read.
    """
    workdir = Path(workdir)
    results_file.check_whole(workdir)
    missing = {
        name: f"{name} is not in this run's folder; {command} writes it."
        for name, command in _MADE_BY.items()
        if not (workdir / name).is_file()
    }
    evaluation = {} if RESULTS in missing else _evaluation(workdir)
    lines = [] if SCORES in missing else _json_lines(workdir / SCORES)
    features = {} if FEATURES in missing else _arrays(workdir / FEATURES)
    saliency = {} if SALIENCY in missing else _arrays(workdir / SALIENCY)
    curves = [] if CURVES in missing else _json_lines(workdir / CURVES, cut_short=True)
    if not (evaluation or lines or curves):
        raise UserError(
            f"{workdir}: nothing to report; run `main.py train` and `main.py evaluate` with this --workdir first"
        )
    # Re-encoded and corrupted clips have scores but no features: no figure of single clips shows them.
    lines = [line for line in lines if not line.get("condition")]
    scores = [line | {"row": row, "logit_margin": video_score.margin_of(line)} for row, line in enumerate(lines)]
    scores = [line for line in scores if number(line.get("p_fake")) is not None]
    if features and not _is_of(features, lines):
        missing[FEATURES] = f"{FEATURES} is of another evaluation than {SCORES}; main.py evaluate writes both anew."
        features = {}
    if saliency and not _has_maps(saliency):
        missing[SALIENCY] = f"{SALIENCY} does not hold a map for each clip_id; {_MADE_BY[SALIENCY]} writes it anew."
        saliency = {}
    return RunFiles(evaluation, scores, features, saliency, curves, missing, len(lines) - len(scores))


def _is_of(features: dict, lines: list[dict]) -> bool:
    return features.get("clip_id", np.array([])).tolist() == [line.get("clip_id") for line in lines]


def _has_maps(saliency: dict) -> bool:
    return {"clip_id", "saliency"} <= saliency.keys() and len(saliency["clip_id"]) == len(saliency["saliency"])


def number(value: object) -> float | None:
    """A finite number as float, or None."""
    if isinstance(value, bool) or not isinstance(value, (int, float, np.number)):
        return None
    return float(value) if math.isfinite(value) else None


def _evaluation(workdir: Path) -> dict:
    evaluation = results_file.read(workdir)
    if evaluation is None:
        raise UserError(f"{workdir / RESULTS}: not readable as an evaluation; run `main.py evaluate` again")
    return evaluation


def _json_lines(path: Path, cut_short: bool = False) -> list[dict]:
    """cut_short: a training run that goes on, or was killed, may leave half a last line."""
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    rows = []
    for place, line in enumerate(lines, 1):
        try:
            rows.append(parse_json(line))
        except ValueError as error:
            if cut_short and place == len(lines):
                break
            raise UserError(f"{path}: line {place} is not JSON ({error}); run `main.py evaluate` again") from None
    return rows


def _arrays(path: Path) -> dict[str, np.ndarray]:
    try:
        return npz.read(path)
    except Exception as error:  # NumPy and zipfile raise many kinds of exceptions on damaged bytes
        raise UserError(
            f"{path}: not readable as NumPy's npz ({type(error).__name__}); run `main.py evaluate` again"
        ) from None


def lines_of_test(run: RunFiles) -> list[dict]:
    """The scores of test clips as they are recorded: no validation, no re-encoding, no corruption."""
    return [line for line in run.scores if line.get("split", "test") == "test"]


def sets_of_test(run: RunFiles) -> dict[tuple[str, str], list[dict]]:
    """(data set, compression) -> its test lines, best compression first, the training data set first."""
    home = {result["train"]["dataset"] for result in run.results}
    sets: dict[tuple[str, str], list[dict]] = {}
    for line in lines_of_test(run):
        sets.setdefault((line["dataset"], line["compression"]), []).append(line)

    def order(key: tuple[str, str]) -> tuple:
        dataset, compression = key
        return dataset not in home, dataset, schema.compression_rank(compression), compression

    return {key: sets[key] for key in sorted(sets, key=order)}


def is_pooled(result: dict, results: list[dict]) -> bool:
    """Whether no other result of the same test is of more methods: it is the one for the headline."""
    same = [r for r in results if _test_key(r) == _test_key(result)]
    return len(result["test"]["methods"]) >= max(len(r["test"]["methods"]) for r in same)


def _test_key(result: dict) -> str:
    """All that makes a test but its methods."""
    test = result["test"]["dataset"], result["test"]["compression"]
    return json.dumps([result["protocol"], result["train"], test, result.get("condition")], sort_keys=True)
