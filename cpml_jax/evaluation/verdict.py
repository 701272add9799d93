"""What an evaluation decides for `predict`: the threshold, the calibration of P(fake), and what the run knows.

All three belong to the parameters that were evaluated; where there are none, the answer says so.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cpml_jax.doubt import knowledge
from cpml_jax.doubt.distance import Measured
from cpml_jax.doubt.knowledge import Judgement, Knowledge
from cpml_jax.errors import UserError
from cpml_jax.evaluation import results_file
from cpml_jax.evaluation.results_file import DOUBT, RESULTS
from cpml_jax.files import parse_json, write_json
from cpml_jax.metrics import calibration
from cpml_jax.schema import FAKE, REAL

SCHEMA = "cpml-decision/1.0.0"
DECISION = "decision.json"  # in a model that is handed on
LABELS = ("real", "fake")
UNDETERMINED = "undetermined"
DEFAULT_THRESHOLD = 0.0  # as a margin: P(fake) of a half
# Of a run that nobody has evaluated: what one validation person of each class would support.
DEFAULT_BOUNDS = calibration.bounds({REAL: 1, FAKE: 1})


@dataclasses.dataclass(frozen=True)
class Threshold:
    """From which margin on a video is called fake, and where that number comes from: validation or default."""

    margin: float
    source: str


@dataclasses.dataclass(frozen=True)
class Calibration:
    """How a margin becomes the P(fake) that is given: divided by the temperature, its sigmoid kept within the bounds.

    source: validation, or default where the run was not evaluated.
    """

    temperature: float = 1.0
    bounds: tuple[float, float] = DEFAULT_BOUNDS
    source: str = "default"

    def p_fake(self, margin: float) -> float:
        return float(calibration.calibrated([margin], self.temperature, self.bounds)[0])

    def describe(self) -> dict[str, Any]:
        """As an answer has it."""
        return {"temperature": self.temperature, "bounds": list(self.bounds), "from": self.source}


@dataclasses.dataclass(frozen=True)
class Verdict:
    """How an answer is made of margins.

    Attributes:
      knowledge: what the run knows; or why that is not known, in one line.
    """

    threshold: Threshold = Threshold(DEFAULT_THRESHOLD, "default")
    calibration: Calibration = Calibration()
    knowledge: Knowledge | str = "this run was not evaluated"

    @property
    def known(self) -> Knowledge | None:
        """What the run knows, or None."""
        return None if isinstance(self.knowledge, str) else self.knowledge

    def score(self, margin: float) -> dict[str, float]:
        """{margin, score}: as the model gives it, and as the calibrated, bounded P(fake)."""
        return {"margin": margin, "score": self.calibration.p_fake(margin)}

    def judge(self, windows: Sequence[Measured | None]) -> Judgement | None:
        """How far a face's windows are from what is known; None where that is not known."""
        measured = [window for window in windows if window is not None]
        return None if isinstance(self.knowledge, str) or not measured else self.knowledge.judge(measured)

    def label(self, margin: float, judgement: Judgement | None) -> dict[str, str]:
        """{label, leaning}: with doubt, and without it."""
        leaning = LABELS[int(margin >= self.threshold.margin)]
        undetermined = judgement is not None and judgement.undetermined
        return {"label": UNDETERMINED if undetermined else leaning, "leaning": leaning}

    def doubt(self, judgement: Judgement | None) -> dict[str, Any]:
        """{doubt, doubt_note}: null with the reason, where nothing is known."""
        if isinstance(self.knowledge, str) or judgement is None:
            why = self.knowledge if isinstance(self.knowledge, str) else "nothing was measured"
            return {"doubt": None, "doubt_note": why}
        known = self.knowledge
        return {
            "doubt": {
                "p": judgement.p, "level": known.level, "score": judgement.score, "reasons": list(judgement.reasons),
                "p_over": known.over, "count": known.count, "sources": known.sources,
            }
        } | ({"doubt_note": known.note} if known.note else {})  # fmt: skip

    def describe(self) -> dict[str, Any]:
        """{threshold, calibration} of an answer."""
        margin = self.threshold.margin
        threshold = {"value": self.calibration.p_fake(margin), "margin": margin, "from": self.threshold.source}
        return {"threshold": threshold, "calibration": self.calibration.describe()}


def read(workdir: str | Path, step: int, parameters_sha256: str, level: float) -> Verdict:
    """Of a run's evaluation, if it is of these very parameters; else the defaults, which say that they are.

    Files before version 3.0.0 do not name the parameters, and their threshold is one of mean probabilities; those
    before 3.1.0 have no bounds.

    Args:
      level: eval.doubt_level.

    Raises:
      UserError: a file of the evaluation is not as it was written.
    """
    results_file.check_whole(workdir)
    known = knowledge.read(Path(workdir) / DOUBT, parameters_sha256, level)
    try:
        written = parse_json((Path(workdir) / RESULTS).read_text())
        checkpoint = written["checkpoint"]
        if (checkpoint["step"], checkpoint["parameters_sha256"]) != (step, parameters_sha256):
            return Verdict(knowledge=known)
    except (OSError, ValueError, KeyError, TypeError):
        return Verdict(knowledge=known)
    return Verdict(_threshold(written), _calibration(written), known)


def write(path: Path, verdict: Verdict, step: int, selection: str, parameters_sha256: str) -> None:
    """The threshold and the calibration as a file of their own, for a model that is handed on without its run."""
    value = {
        "schema": SCHEMA,
        "step": step,
        "selection": selection,
        "parameters_sha256": parameters_sha256,
        "threshold": dataclasses.asdict(verdict.threshold),
        "calibration": dataclasses.asdict(verdict.calibration),
        "knowledge": verdict.knowledge if isinstance(verdict.knowledge, str) else DOUBT,
    }
    write_json(path, value)


def read_file(path: Path, level: float) -> tuple[Verdict, dict[str, Any]]:
    """What `write` wrote, with doubt at a level, and {step, selection, parameters_sha256}.

    Raises:
      UserError: the file, or a value of it, cannot be read.
    """
    try:
        written = parse_json(path.read_text())
        if written["schema"] != SCHEMA:
            raise UserError(f"{path}: its schema is {written['schema']!r}, not {SCHEMA!r}: of another version?")
        threshold = Threshold(float(written["threshold"]["margin"]), str(written["threshold"]["source"]))
        block = written["calibration"]
        least, greatest = (float(bound) for bound in block["bounds"])
        calibration = Calibration(float(block["temperature"]), (least, greatest), str(block["source"]))
        sha256, why = str(written["parameters_sha256"]), str(written["knowledge"])
        about = {"step": int(written["step"]), "selection": str(written["selection"]), "parameters_sha256": sha256}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path}: not readable ({type(error).__name__}); export the model again") from None
    known = knowledge.read(path.with_name(DOUBT), sha256, level) if why == DOUBT else why
    return Verdict(threshold, calibration, known), about


def _threshold(written: dict[str, Any]) -> Threshold:
    try:
        margin = _finite(written["results"][0]["threshold"]["video_margin"])
        return Threshold(margin, "validation")
    except (KeyError, IndexError, TypeError, ValueError, OverflowError):
        return Threshold(DEFAULT_THRESHOLD, "default")


def _calibration(written: dict[str, Any]) -> Calibration:
    try:
        block = written["calibration"]
        least, greatest = (_finite(bound) for bound in block["bounds"])
        temperature = 1.0 if block["temperature"] is None else _finite(block["temperature"])
        if temperature <= 0 or not 0 <= least <= greatest <= 1:
            return Calibration()
        return Calibration(temperature, (least, greatest), "validation")
    except (KeyError, TypeError, ValueError, OverflowError):
        return Calibration()


def _finite(value: Any) -> float:
    """Raises ValueError for what is no finite number."""
    if not math.isfinite(float(value)):
        raise ValueError
    return float(value)
