"""A model's answers, clip by clip: the lines of scores.jsonl, and the arrays of features.npz beside it."""

from __future__ import annotations

import dataclasses
import io
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from tqdm import tqdm

from cpml_jax import signal
from cpml_jax.data.input_pipeline import eval_batches
from cpml_jax.data.input_size import InputSize
from cpml_jax.files import write_whole
from cpml_jax.metrics import detection, pulse_waves
from cpml_jax.schema import FAKE, FRAME_RATE, REAL

# Keys of the index that a line of scores.jsonl repeats.
ROW_KEYS = (
    "clip_id", "video_key", "dataset", "method", "compression", "split", "video", "window", "identity",
    "source_identity", "label",
)  # fmt: skip
ARRAYS = ("unified", "logits", "wave", "trace")


@dataclasses.dataclass
class ClipScores:
    """What a model says of clips.

    Attributes:
      lines: clip_id -> line of scores.jsonl, in the order of scoring.
      arrays: clip_id -> {unified (D,), logits (2,) and, with the rPPG stream, wave (T,), trace (T,)} float32.
    """

    lines: dict[str, dict] = dataclasses.field(default_factory=dict)
    arrays: dict[str, dict[str, np.ndarray]] = dataclasses.field(default_factory=dict)

    def of(self, rows: list[dict]) -> list[dict]:
        """The lines of those rows that could be scored."""
        return [self.lines[row["clip_id"]] for row in rows if row["clip_id"] in self.lines]

    def waves(self, lines: list[dict]) -> np.ndarray | None:
        """(N, T) waves of lines, or None without the rPPG stream."""
        if not lines or "wave" not in self.arrays[lines[0]["clip_id"]]:
            return None
        return np.stack([self.arrays[line["clip_id"]]["wave"] for line in lines])


class _KeepTruth:
    """A record set that remembers the true pulse waves of the clips it read: no part of a batch, and read only once."""

    def __init__(self, records):
        self._records, self.truth = records, {}
        self.directory = records.directory

    def read(self, row: dict, frame_size: int) -> dict:
        record = self._records.read(row, frame_size)
        if "pulse_truth" in record:
            self.truth[row["clip_id"]] = np.asarray(record["pulse_truth"], np.float32)
        return record


def score_clips(
    scorer, records, rows: list[dict], *, num_frames: int, frame_size: int, batch_size: int, excluded: list[dict]
) -> ClipScores:
    """Scores of every clip that can be read; the others are added to `excluded`.

    Raises:
      UserError: a score is not finite; the clip is named.
    """
    keeping, found = _KeepTruth(records), ClipScores()
    batches = eval_batches(keeping, rows, InputSize(num_frames, frame_size, batch_size), excluded=excluded)
    with tqdm(total=len(rows), desc=f"scoring {records.name}", unit="clip", file=sys.stderr, disable=not rows) as bar:
        for batch_rows, batch in batches:
            scores = scorer.score(batch)
            count = len(batch_rows)
            p_fake, margins = p_fake_of(scores)[:count], margin_of(scores)[:count]
            detection.check_scores([r["label"] for r in batch_rows], p_fake, [r["clip_id"] for r in batch_rows])
            truth = [keeping.truth.pop(row["clip_id"], None) for row in batch_rows]
            pulse = _pulse_figures(scores.get("wave"), batch["pulse"], truth, count)
            arrays = {name: scores[name] for name in ARRAYS if name in scores}
            arrays |= {"trace": batch["pulse"]} if "wave" in scores else {}
            for i, (row, figures) in enumerate(zip(batch_rows, pulse, strict=True)):
                line = {key: row[key] for key in ROW_KEYS}
                line |= {"p_fake": float(p_fake[i]), "logit_margin": float(margins[i])} | figures
                if figures:
                    line |= {
                        "heart_rate_pos_bpm": row.get("heart_rate_pos"),
                        "heart_rate_truth_bpm": row.get("heart_rate_truth"),
                    }
                found.lines[row["clip_id"]] = line
                found.arrays[row["clip_id"]] = {k: np.asarray(v[i], np.float32) for k, v in arrays.items()}
            bar.update(count)
    return found


def p_fake_of(scores: Mapping[str, np.ndarray]) -> np.ndarray:
    """P(fake) (B,) float64 of a scorer's answer."""
    return detection.p_fake(scores["logits"])


def margin_of(scores: Mapping[str, np.ndarray]) -> np.ndarray:
    """Logit of fake minus logit of real (B,) float64: what the temperature divides."""
    logits = np.asarray(scores["logits"], np.float64)
    return logits[:, FAKE] - logits[:, REAL]


def _pulse_figures(wave, trace: np.ndarray, truth: list[np.ndarray | None], count: int) -> list[dict]:
    """What the model's pulse waves (B, T) say, a dict a clip; empty dicts without the rPPG stream.

    Args:
      wave: (B, T) float32, or None.
      trace: (B, T) classical trace; NaN where it could not be measured.
      truth: of the first `count` clips: (>= T,), NaN or None where unknown.
    """
    if wave is None:
        return [{} for _ in range(count)]
    wave, trace = np.asarray(wave, np.float32), np.asarray(trace, np.float32)
    true = np.full_like(wave, np.nan)  # of the batch's shape, padding too: one compilation
    for index, known in enumerate(truth):
        if known is not None:
            true[index] = known[: wave.shape[1]]
    rates = np.asarray(signal.heart_rate(wave, FRAME_RATE))

    def correlation(other: np.ndarray) -> list[float | None]:
        rho = np.asarray(signal.pearson(wave, np.nan_to_num(other)))
        return [float(r) if known else None for r, known in zip(rho, np.isfinite(other).all(1), strict=True)]

    snr = [pulse_waves.snr_db(w, rate) for w, rate in zip(wave, rates, strict=True)]
    columns = (rates.tolist(), correlation(trace), correlation(true), snr)
    keys = ("heart_rate_bpm", "pulse_correlation_pos", "pulse_correlation_truth", "pulse_snr_db")
    return [dict(zip(keys, values, strict=True)) for values in zip(*columns, strict=True)][:count]


def write_features(path: Path, scores: ClipScores, class_embeddings: np.ndarray | None) -> None:
    """features.npz: clip_id (N,) and every array of the clips, stacked, in the order of scores.jsonl.

    Args:
      scores: a streams' arrays are there for all clips or for none.
      class_embeddings: (2, D) unit vectors of real and fake, or None where the scorer has none.
    """
    ids = list(scores.arrays)
    columns = {name: [scores.arrays[i][name] for i in ids] for name in ARRAYS if ids and name in scores.arrays[ids[0]]}
    stacked = {name: np.stack(column) for name, column in columns.items()}
    if class_embeddings is not None:
        stacked["class_embeddings"] = np.asarray(class_embeddings, np.float32)
    file = io.BytesIO()
    np.savez_compressed(file, clip_id=np.asarray(ids, dtype=np.str_), **stacked)
    write_whole(path, file.getvalue())
