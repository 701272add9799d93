"""A model's scores, clip by clip: the lines of scores.jsonl, and the arrays of features.npz beside it."""

from __future__ import annotations

import dataclasses
import io
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

import jax.numpy as jnp
import numpy as np
from tqdm import tqdm

from cpml_jax import signal
from cpml_jax.data.clip_reader import Measure
from cpml_jax.data.input_pipeline import eval_batches
from cpml_jax.data.input_size import InputSize
from cpml_jax.data.records import RecordSet
from cpml_jax.doubt import properties
from cpml_jax.doubt.distance import Measured
from cpml_jax.evaluation import baselines
from cpml_jax.evaluation.diagnostics import Diagnosis
from cpml_jax.evaluation.stream_swap import StreamScorer
from cpml_jax.files import write_whole
from cpml_jax.metrics import detection, pulse_waves
from cpml_jax.schema import FRAME_RATE

# Keys of the index that a line of scores.jsonl repeats.
ROW_KEYS = (
    "clip_id", "video_key", "dataset", "method", "compression", "split", "video", "window", "identity",
    "source_identity", "label",
)  # fmt: skip
ARRAYS = ("unified", "logits", "wave", "trace")
_PROPERTIES = "properties"  # of a batch


@dataclasses.dataclass
class ClipScores:
    """A model's scores of clips.

    Attributes:
      lines: clip_id -> line of scores.jsonl, in the order of scoring.
      arrays: clip_id -> {unified (D,), logits (2,) and, with the rPPG stream, wave (T,), trace (T,)} float32.
      known: clip_id -> what doubt goes by (doubt/distance.py), where it was asked for.
    """

    lines: dict[str, dict] = dataclasses.field(default_factory=dict)
    arrays: dict[str, dict[str, np.ndarray]] = dataclasses.field(default_factory=dict)
    known: dict[str, Measured] = dataclasses.field(default_factory=dict)

    def of(self, rows: list[dict]) -> list[dict]:
        """The lines of those rows that could be scored."""
        return [self.lines[row["clip_id"]] for row in rows if row["clip_id"] in self.lines]

    def waves(self, lines: list[dict]) -> np.ndarray | None:
        """(N, T) waves of lines, or None without the rPPG stream."""
        if not lines or "wave" not in self.arrays[lines[0]["clip_id"]]:
            return None
        return np.stack([self.arrays[line["clip_id"]]["wave"] for line in lines])


class Scorer(StreamScorer, Protocol):
    """What evaluation needs of a model (scoring.Scorer)."""

    @property
    def step(self) -> int: ...

    @property
    def selection(self) -> str: ...

    @property
    def class_embeddings(self) -> np.ndarray | None: ...

    @property
    def parameters_sha256(self) -> str: ...

    def score(self, batch: dict[str, np.ndarray]) -> Mapping[str, np.ndarray]: ...


def score_clips(
    scorer: Scorer,
    records: RecordSet,
    rows: list[dict],
    size: InputSize,
    *,
    excluded: list[dict],
    diagnosis: Diagnosis | None = None,
    doubt: bool = False,
    read_threads: int = 0,
) -> ClipScores:
    """Scores of every clip that can be read; the others are added to `excluded`.

    Args:
      diagnosis: takes over the scoring, and gathers what the diagnostics need of the clips.
      doubt: also measure what doubt goes by; frames are then decoded whole.
      read_threads: of eval_batches.

    Raises:
      UserError: a score is not finite; the clip is named.
    """
    scored = ClipScores()
    measures = ([baselines.measure] if diagnosis else []) + ([_properties] if doubt else [])
    measure = _all_of(measures) if measures else None
    batches = eval_batches(records, rows, size, excluded=excluded, measure=measure, read_threads=read_threads)
    with tqdm(total=len(rows), desc=f"scoring {records.name}", unit="clip", file=sys.stderr, disable=not rows) as bar:
        for batch_rows, batch in batches:
            scores = diagnosis.score(batch_rows, batch) if diagnosis else scorer.score(batch)
            lines = _lines(batch_rows, batch, scores)
            arrays = {name: scores[name] for name in ARRAYS if name in scores}
            arrays |= {"trace": batch["pulse"]} if "wave" in scores else {}
            for i, line in enumerate(lines):
                scored.lines[line["clip_id"]] = line
                scored.arrays[line["clip_id"]] = {k: np.asarray(v[i], np.float32) for k, v in arrays.items()}
                if doubt:
                    scored.known[line["clip_id"]] = Measured(scores["unified"][i], batch[_PROPERTIES][i])
            bar.update(len(lines))
    return scored


def _properties(record: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {_PROPERTIES: properties.measure(record)}


def _all_of(measures: Sequence[Measure]) -> Measure:
    return lambda record: {name: value for measure in measures for name, value in measure(record).items()}


def _lines(rows: list[dict], batch: Mapping[str, np.ndarray], scores: Mapping[str, np.ndarray]) -> list[dict]:
    """The lines of scores.jsonl of a batch, whose arrays may have more rows."""
    margins = detection.fake_margin(scores["logits"])[: len(rows)]
    detection.check_scores([row["label"] for row in rows], margins, [row["clip_id"] for row in rows])
    valid = batch["valid"].mean(axis=(1, 2))[: len(rows)]
    lines = [
        {key: row[key] for key in ROW_KEYS} | {"p_fake": float(p), "logit_margin": float(margin), "valid": float(share)}
        for row, p, margin, share in zip(rows, detection.sigmoid(margins), margins, valid, strict=True)
    ]
    if "wave" in scores:
        figures = _pulse_figures(scores["wave"], batch["pulse"], batch["pulse_truth"])
        for line, row, pulse in zip(lines, rows, figures, strict=False):
            line |= pulse
            line |= {f"heart_rate_{name}_bpm": row.get(f"heart_rate_{name}") for name in ("pos", "truth")}
    return lines


def _pulse_figures(wave: np.ndarray, trace: np.ndarray, truth: np.ndarray) -> list[dict[str, float | None]]:
    """How good the model's pulse waves are, a dict per clip.

    Args:
      wave: (B, T) float32.
      trace: (B, T) classical trace; NaN where it could not be measured.
      truth: (B, T) the true wave; NaN where unknown.
    """
    wave, trace, truth = (np.asarray(array, np.float32) for array in (wave, trace, truth))
    rates = np.asarray(signal.heart_rate(jnp.asarray(wave), FRAME_RATE))

    def correlation(other: np.ndarray) -> list[float | None]:
        rho = np.asarray(signal.pearson(jnp.asarray(wave), jnp.asarray(np.nan_to_num(other))))
        return [float(r) if np.isfinite(reference).all() else None for r, reference in zip(rho, other, strict=True)]

    snr = [pulse_waves.snr_db(w, rate) for w, rate in zip(wave, rates.tolist(), strict=True)]
    columns = (rates.tolist(), correlation(trace), correlation(truth), snr)
    keys = ("heart_rate_bpm", "pulse_correlation_pos", "pulse_correlation_truth", "pulse_snr_db")
    return [dict(zip(keys, values, strict=True)) for values in zip(*columns, strict=True)]


def write_features(path: Path, scores: ClipScores, class_embeddings: np.ndarray | None) -> None:
    """features.npz: clip_id (N,) and every array of the clips, stacked, in the order of scores.jsonl.

    Args:
      scores: all clips have the arrays of a stream, or none has.
      class_embeddings: (2, D) unit vectors of real and fake, or None where the scorer has none.
    """
    ids = list(scores.arrays)
    columns = {name: [scores.arrays[i][name] for i in ids] for name in ARRAYS if ids and name in scores.arrays[ids[0]]}
    stacked = {name: np.stack(column) for name, column in columns.items()}
    if class_embeddings is not None:
        stacked["class_embeddings"] = np.asarray(class_embeddings, np.float32)
    file = io.BytesIO()
    np.savez_compressed(file, allow_pickle=False, clip_id=np.asarray(ids, dtype=np.str_), **stacked)
    write_whole(path, file.getvalue())
