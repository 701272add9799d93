"""The log of a training run: metrics.jsonl, TensorBoard's event files, and a progress line."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path

import jax
import numpy as np
from tqdm import tqdm

from cpml_jax.files import parse_json, write_whole
from cpml_jax.training.optimizer import StepRate

METRICS = "metrics.jsonl"
_SHOWN = ("loss", "ce", "pull", "push", "align", "teacher")


class Journal:
    """Writes on the first process only; the others pass through.

    When a run resumes, lines of steps that the checkpoint does not have are dropped: each step is written once.

    Args:
      workdir: of the run.
      first_step: of the checkpoint; 0 at the start.
      last_step: of the run.
    """

    def __init__(self, workdir: str | os.PathLike, *, first_step: int, last_step: int) -> None:
        self._leads = jax.process_index() == 0
        self._auc: float | None = None
        if not self._leads:
            return
        workdir = Path(workdir)
        workdir.mkdir(parents=True, exist_ok=True)
        path = workdir / METRICS
        keep_until(path, first_step)
        self._file = path.open("a", buffering=1)
        from tensorboardX import SummaryWriter  # imports torch where it is installed: seconds, for any other verb

        self._board = SummaryWriter(str(workdir / "tensorboard"), purge_step=first_step + 1)
        self._bar = tqdm(
            total=last_step, initial=first_step, desc="train", unit="step", file=sys.stderr, dynamic_ncols=True
        )

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *_: object) -> None:
        if self._leads:
            self._bar.close()
            self._file.close()
            self._board.close()

    def steps(
        self, rows: list[tuple[int, dict[str, float]]], *, clips: int, rate: StepRate, times: Mapping[str, float]
    ) -> None:
        """Write the metrics of consecutive steps.

        Args:
          rows: (step, metrics by name).
          clips: of a step, for clips/s.
          rate: the learning rate of a step, from 0: of the update that it is part of (optimizer.make_optimizer).
          times: of these steps (Stopwatch.lap), written with each.
        """
        if not self._leads or not rows:
            return
        clips_per_s = clips / times["step_s"]
        for step, values in rows:
            self._write(
                "train",
                step,
                {**values, "learning_rate": float(np.asarray(rate(step - 1))), "clips_per_s": clips_per_s, **times},
            )
        last = rows[-1][1]
        shown = {name: f"{last[name]:.3f}" for name in _SHOWN if name in last}
        if self._auc is not None:
            shown["val_auc"] = f"{self._auc:.3f}"
        self._bar.set_postfix({**shown, "clips/s": f"{clips_per_s:.1f}"}, refresh=False)
        self._bar.update(len(rows))

    def validation(self, step: int, values: dict[str, float]) -> None:
        """Write the metrics of a validation."""
        if not self._leads:
            return
        self._auc = values["auc"]
        self._write("val", step, values)

    def _write(self, kind: str, step: int, values: dict[str, float]) -> None:
        self._file.write(json.dumps({"kind": kind, "step": step, **values}) + "\n")
        for name, value in values.items():
            self._board.add_scalar(f"{kind}/{name}", value, step)


def keep_until(path: Path, step: int) -> None:
    """Drop lines of later steps, and a last line that a kill cut short."""
    if not path.is_file():
        return
    kept = []
    for line in path.read_text().splitlines():
        try:
            if parse_json(line)["step"] <= step:
                kept.append(line)
        except (ValueError, KeyError):
            continue
    write_whole(path, "".join(line + "\n" for line in kept))
