"""Checkpoints through Orbax, imported here alone because its interface still changes.

State and data position are saved together, asynchronously. One folder holds the latest checkpoint and the best of
validation; the same checkpoint may be both.
"""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any, cast

import grain
from orbax.checkpoint import v1 as ocp

from cpml_jax.errors import UserError
from cpml_jax.training.run_files import FOLDER
from cpml_jax.training.state import TrainState


def _ranking(metrics: dict[str, float]) -> float:
    """Higher is better: a falling function of pair_loss (metrics/pair_loss.py), from 2 to 3.

    Checkpoints before 0.3 have no pair_loss. They keep the order in which they were saved and kept, AUC and then
    cross-entropy, below 2: a run that goes on from one ranks its new steps above.
    """
    if "pair_loss" in metrics:
        return 2.0 + math.exp(-metrics["pair_loss"])
    return metrics["auc"] - 1e-6 * metrics.get("cross_entropy", 0.0)


class Checkpoints:
    """The checkpoints of a run.

    Args:
      workdir: of the run.
      writing: True for the training run, which removes what an interrupted save left. A reader leaves it alone: it may
        be the save that a run, still training, is at.
    """

    def __init__(self, workdir: str | os.PathLike, *, writing: bool = False) -> None:
        self.directory = Path(workdir).absolute() / FOLDER
        policies = ocp.training.preservation_policies
        keep = [
            policies.LatestN(n=1),
            policies.BestN(get_metric_fn=_ranking, n=1, keep_checkpoints_without_metrics=False),
        ]
        self._orbax = ocp.training.Checkpointer(
            str(self.directory),
            save_decision_policy=None,
            # pyrefly: ignore [bad-argument-type] its parameter has another name than the protocol's
            preservation_policy=policies.AnyPreservationPolicy(keep),
            cleanup_tmp_directories=writing,
        )

    def latest_step(self) -> int | None:
        """The step of the latest checkpoint, or None."""
        latest = self._orbax.latest
        return None if latest is None else latest.step

    def best_step(self) -> int | None:
        """The step of the best validated checkpoint, or None."""
        metrics = {c.step: self.metrics(c.step) for c in self._orbax.checkpoints}
        validated = [(_ranking(values), step) for step, values in metrics.items() if values]
        return max(validated)[1] if validated else None

    def choose(self, which: str) -> tuple[int | None, str]:
        """The step that `which` (best, latest or a step's number) means, and how it was chosen.

        Raises:
          UserError: no checkpoint of that number is kept.
        """
        best = self.best_step()
        if which == "best":
            return best, "validation"
        if which == "latest":
            return self.latest_step(), "latest"
        kept = [c.step for c in self._orbax.checkpoints]
        if int(which) not in kept:
            raise UserError(
                f"{self.directory}: no checkpoint of step {which} is kept, only of: {', '.join(map(str, kept))}"
            )
        return int(which), "validation" if int(which) == best else f"oracle: step {int(which)} was named by hand"

    def metrics(self, step: int) -> dict[str, float] | None:
        """Validation's metrics of a step, or None."""
        metrics = next((c.metrics for c in self._orbax.checkpoints if c.step == step), None)
        return cast(dict[str, float] | None, metrics)  # what save was given

    def save(self, state: TrainState, data: grain.DatasetIterator, metrics: dict[str, float] | None) -> None:
        """Begin to save; returns while the write goes on. The state's arrays may be donated to the next step."""
        # Variables lie apart from the optimizer, so that scoring reads no moments.
        parts = {
            "variables": state.variables,
            "optimizer": {"step": state.step, "moments": state.opt_state},
            "data": data,
        }
        self._orbax.save_checkpointables_async(int(state.step), parts, force=True, metrics=cast(Any, metrics))

    def restore(self, step: int, abstract: TrainState, data: grain.DatasetIterator) -> TrainState:
        """The state of a step in the shardings of `abstract`; `data` is moved to its position in place."""
        wanted = {"step": abstract.step, "moments": abstract.opt_state}
        parts = self._load(step, {"variables": abstract.variables, "optimizer": wanted, "data": data})
        saved, variables = parts["optimizer"], parts["variables"]
        return TrainState(saved["step"], variables["params"], variables["batch_stats"], saved["moments"])

    def restore_variables(self, step: int, abstract: dict[str, Any]) -> dict[str, Any]:
        """params and batch_stats of a step, in the shardings of `abstract`."""
        # A model without batch norm has no batch_stats, and a state always saves them, empty.
        return self._load(step, {"variables": {"batch_stats": {}} | abstract})["variables"]

    def _load(self, step: int, wanted: dict[str, Any]) -> dict[str, Any]:
        try:
            return self._orbax.load_checkpointables(step, wanted)
        except (OSError, ValueError, KeyError) as error:
            reason = (str(error).splitlines() or [type(error).__name__])[0][:200]
            raise UserError(
                f"{self.directory}/{step}: checkpoint not readable ({reason}); delete that folder to use an earlier one"
            ) from None

    def wait(self) -> None:
        """Until every save that has begun is complete."""
        self._orbax.wait()

    def close(self) -> None:
        """Wait, and release Orbax's threads."""
        self._orbax.close()
