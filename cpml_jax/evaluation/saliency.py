"""Where the model looks: saliency of a few clips, for the report. Written beside the scores as saliency.npz."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from cpml_jax.data.input_pipeline import eval_batches
from cpml_jax.data.input_size import InputSize
from cpml_jax.files import write_whole
from cpml_jax.schema import FAKE, REAL

SALIENCY = "saliency.npz"
EACH = 2  # clips of a class that are most wrong, and as many that are most right


def choose(lines: list[dict], each: int = EACH) -> list[str]:
    """clip_ids: of the real and of the fake clips, those scored most wrongly, then those most rightly.

    Args:
      lines: of scores.jsonl, one test's.
      each: how many a class and side.
    """
    chosen = []
    for label in (REAL, FAKE):
        own = sorted((line for line in lines if line["label"] == label), key=lambda line: line["logit_margin"])
        ends = own[::-1] if label == REAL else own  # a real clip is wrong where the margin is high
        chosen += [line["clip_id"] for line in ends[:each] + ends[max(each, len(ends) - each) :]]
    return list(dict.fromkeys(chosen))


def write(
    workdir, scorer, record_sets: Mapping, lines: list[dict], *, num_frames: int, frame_size: int, batch_size: int
) -> None:
    """Write <workdir>/saliency.npz: clip_id (M,), saliency (M, S, S) float32 of the chosen clips.

    Args:
      scorer: scoring.Scorer.
      record_sets: by name, those that the lines' clips are in.
      lines: of scores.jsonl, one test's.
      num_frames, frame_size, batch_size: of the model's input.
    """
    wanted = choose(lines)
    ids, maps = [], []
    for records in record_sets.values():
        rows = [row for row in records.rows if row["clip_id"] in wanted]
        size = InputSize(num_frames, frame_size, min(batch_size, len(wanted)))
        for batch_rows, batch in eval_batches(records, rows, size, excluded=[]):
            ids += [row["clip_id"] for row in batch_rows]
            maps += list(scorer.saliency(batch)[: len(batch_rows)])
    order = [ids.index(name) for name in wanted if name in ids]
    file = io.BytesIO()
    stacked = np.stack([maps[i] for i in order]) if order else np.zeros((0, frame_size, frame_size), np.float32)
    np.savez_compressed(file, clip_id=np.asarray([ids[i] for i in order], dtype=np.str_), saliency=stacked)
    write_whole(Path(workdir) / SALIENCY, file.getvalue())
