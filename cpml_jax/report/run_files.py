"""What a run left behind, read for the report. A file that is not there is empty here, and `missing` says why."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path

import numpy as np

from cpml_jax import schema
from cpml_jax.errors import UserError
from cpml_jax.evaluation import versions

RESULTS, SCORES, FEATURES, SALIENCY, CURVES = (
    "evaluation.json", "scores.jsonl", "features.npz", "saliency.npz", "metrics.jsonl",
)  # fmt: skip
_MADE_BY = dict.fromkeys((RESULTS, SCORES, FEATURES, SALIENCY), "main.py evaluate") | {CURVES: "main.py train"}
LARGEST_MARGIN = 36.0  # of a score that double precision rounds to 0 or 1


@dataclasses.dataclass(frozen=True)
class RunFiles:
    """A run's results as plain data.

    Attributes:
      evaluation: evaluation.json, or {}.
      scores: lines of scores.jsonl whose score is finite, with `logit_margin` in all of them (from the probability in
        files that have none) and `row`, the line's number.
      features, saliency: arrays of features.npz and saliency.npz by name, or {}.
      curves: lines of metrics.jsonl.
      missing: file name -> one line: why it is not there and what makes it.
      dropped: lines of scores.jsonl without a finite score.
    """

    evaluation: dict
    scores: list[dict]
    features: dict[str, np.ndarray]
    saliency: dict[str, np.ndarray]
    curves: list[dict]
    missing: dict[str, str]
    dropped: int = 0

    def why(self, name: str) -> str:
        return self.missing.get(name, f"{name} holds nothing that could be drawn.")

    @property
    def results(self) -> list[dict]:
        return self.evaluation.get("results") or []


def read(workdir) -> RunFiles:
    """Read a run's folder.

    Raises:
      UserError: the folder holds nothing to report, or a file that is there cannot be read.
    """
    workdir, missing = Path(workdir), {}

    def there(name: str) -> bool:
        if (workdir / name).is_file():
            return True
        missing[name] = f"{name} is not in this run's folder; {_MADE_BY[name]} writes it."
        return False

    evaluation = versions.current(_json(workdir / RESULTS)) if there(RESULTS) else {}
    lines = _json_lines(workdir / SCORES) if there(SCORES) else []
    features = _arrays(workdir / FEATURES) if there(FEATURES) else {}
    saliency = _arrays(workdir / SALIENCY) if there(SALIENCY) else {}
    curves = _json_lines(workdir / CURVES, cut_short=True) if there(CURVES) else []
    if not (evaluation or lines or curves):
        raise UserError(f"{workdir}: nothing to report; run `main.py train` and `main.py evaluate` with it first")
    # Re-encoded and corrupted clips have scores and no features: they come into no figure that is drawn from clips.
    lines = [line for line in lines if not line.get("condition")]
    scores = [line | {"row": row, "logit_margin": _margin(line)} for row, line in enumerate(lines)]
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


def _margin(line: dict) -> float:
    known = number(line.get("logit_margin"))
    if known is not None:
        return known
    p = number(line.get("p_fake"))
    if p is None:
        return math.nan
    if not 0.0 < p < 1.0:
        return math.copysign(LARGEST_MARGIN, p - 0.5)
    return min(max(math.log(p) - math.log1p(-p), -LARGEST_MARGIN), LARGEST_MARGIN)


def number(value) -> float | None:
    """A finite number as float, or None."""
    if isinstance(value, bool) or not isinstance(value, (int, float, np.number)):
        return None
    return float(value) if math.isfinite(value) else None


def _json(path: Path) -> dict:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: not readable as JSON ({error}); run `main.py evaluate` again") from None
    if not isinstance(value, dict):
        raise UserError(f"{path}: an object was expected; run `main.py evaluate` again")
    return value


def _json_lines(path: Path, cut_short: bool = False) -> list[dict]:
    """cut_short: a training that still runs, or was killed, may leave half a last line."""
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    rows = []
    for place, line in enumerate(lines, 1):
        try:
            rows.append(json.loads(line))
        except ValueError as error:
            if cut_short and place == len(lines):
                break
            raise UserError(f"{path}: line {place} is not JSON ({error}); run `main.py evaluate` again") from None
    return rows


def _arrays(path: Path) -> dict[str, np.ndarray]:
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except Exception as error:  # NumPy and zipfile each raise their own kinds on damaged bytes
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

    def order(key: tuple[str, str]):
        return key[0] not in home, key[0], schema.compression_rank(key[1]), key[1]

    return {key: sets[key] for key in sorted(sets, key=order)}


def is_pooled(result: dict, results: list[dict]) -> bool:
    """Whether no other result of the same test holds more methods: the line for the headline."""
    same = [r for r in results if _test_key(r) == _test_key(result)]
    return len(result["test"]["methods"]) >= max(len(r["test"]["methods"]) for r in same)


def _test_key(result: dict) -> tuple:
    train, test = result["train"], result["test"]
    key = (
        result["protocol"],
        train["dataset"],
        train["compressions"],
        train["methods"],
        test["dataset"],
        test["compression"],
    )
    return json.dumps([key, result.get("condition")], sort_keys=True, default=list)
