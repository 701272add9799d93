"""Where the model looks: saliency of a few clips, for the report. Written beside the scores as saliency.npz."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

import numpy as np

from cpml_jax.data.input_pipeline import eval_batches
from cpml_jax.data.input_size import InputSize
from cpml_jax.data.records import RecordSet
from cpml_jax.files import write_whole
from cpml_jax.schema import CROP_SIZE, FAKE, REAL

SALIENCY = "saliency.npz"
EACH = 2  # clips of a class that are most wrong, and as many that are most right


def choose(lines: list[dict], each: int = EACH) -> list[str]:
    """clip_ids: of the real and of the fake clips, those scored most wrongly, then those most rightly.

    Args:
      lines: of scores.jsonl, one test's.
      each: how many of each class and side.
    """
    chosen = []
    for label in (REAL, FAKE):
        ranked = sorted((line for line in lines if line["label"] == label), key=lambda line: line["logit_margin"])
        ends = ranked[::-1] if label == REAL else ranked  # a real clip is wrong where the margin is high
        chosen += [line["clip_id"] for line in ends[:each] + ends[max(each, len(ends) - each) :]]
    return list(dict.fromkeys(chosen))


class SaliencyScorer(Protocol):
    """The part of scoring.Scorer that is used here."""

    def saliency(self, batch: dict[str, np.ndarray]) -> np.ndarray: ...


def write(
    workdir: str | Path,
    scorer: SaliencyScorer,
    record_sets: Mapping[str, RecordSet],
    lines: list[dict],
    size: InputSize,
) -> None:
    """Write <workdir>/saliency.npz: clip_id (M,), saliency (M, S, S) float32 of the chosen clips, S the
    largest side of what the model sees.

    Args:
      scorer: scoring.Scorer.
      record_sets: by name, those that the lines' clips are in.
      lines: of scores.jsonl, one test's.
      size: of the model's input.
    """
    chosen = choose(lines)
    small = dataclasses.replace(size, batch_size=min(size.batch_size, len(chosen)))
    maps: dict[str, np.ndarray] = {}
    for records in record_sets.values():
        rows = [row for row in records.rows if row["clip_id"] in chosen]
        for batch_rows, batch in eval_batches(records, rows, small, excluded=[]):
            maps |= zip((row["clip_id"] for row in batch_rows), scorer.saliency(batch), strict=False)
    ids = [clip_id for clip_id in chosen if clip_id in maps]
    stacked = np.stack([maps[i] for i in ids]) if ids else np.zeros((0, CROP_SIZE, CROP_SIZE), np.float32)
    file = io.BytesIO()
    np.savez_compressed(file, clip_id=np.asarray(ids, dtype=np.str_), saliency=stacked)
    write_whole(Path(workdir) / SALIENCY, file.getvalue())
