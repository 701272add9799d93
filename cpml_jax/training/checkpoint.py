"""Checkpoints through Orbax, imported here alone because its interface still changes.

State and data position are saved together, asynchronously. One folder holds the two latest checkpoints and the best
of validation, which may be one of them; the older one is there in case the latest is damaged. What is read is compared
with the checksums of what was saved (checksums.py).
"""

from __future__ import annotations

import math
import os
import shutil
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import jax
from absl import logging
from orbax.checkpoint import v1 as ocp

from cpml_jax import interruption
from cpml_jax.console import inform
from cpml_jax.disk import writing
from cpml_jax.errors import UserError
from cpml_jax.training import checksums
from cpml_jax.training.data_position import Position
from cpml_jax.training.run_files import FOLDER
from cpml_jax.training.state import TrainState

if TYPE_CHECKING:
    import grain

KEPT = 2  # latest checkpoints
SMALL = 1 << 20  # bytes; what decides which step is the best lies in smaller files
ASIDE = "damaged_checkpoints"  # in the workdir
SAVED = "training goes on from the last whole checkpoint"
# Orbax's and tensorstore's, for files that they cannot read or write.
UNREADABLE = (OSError, ValueError, KeyError, TypeError, AttributeError, IndexError, RuntimeError)


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
        small = {step: checksums.damage(self.directory, step, up_to=SMALL) for step in steps_in(self.directory)}
        self._damaged = {step: damage for step, damage in small.items() if damage}
        self._finishing: threading.Thread | None = None
        self._failure: BaseException | None = None
        policies = ocp.training.preservation_policies
        keep = [
            policies.LatestN(n=KEPT),
            policies.BestN(get_metric_fn=_ranking, n=1, keep_checkpoints_without_metrics=False),
        ]
        level = logging.get_verbosity()
        if self._damaged:  # ours says it in one line, where it matters
            logging.set_verbosity(logging.FATAL)
        try:
            self._orbax = ocp.training.Checkpointer(
                str(self.directory),
                save_decision_policy=None,
                # pyrefly: ignore [bad-argument-type] its parameter has another name than the protocol's
                preservation_policy=policies.AnyPreservationPolicy(keep),
                cleanup_tmp_directories=writing,
            )
        except UNREADABLE as error:
            if self._damaged:
                raise self._refusal(max(self._damaged)) from None
            raise UserError(f"{self.directory}: checkpoints cannot be opened ({first_line(error)})") from None
        finally:
            logging.set_verbosity(level)

    def latest_step(self) -> int | None:
        """The step of the latest checkpoint, or None. Raises UserError where a file of it is damaged."""
        latest = max(steps_in(self.directory) & self._damaged.keys(), default=None)
        orbax = self._orbax.latest
        if latest is not None and (orbax is None or latest >= orbax.step):
            raise self._refusal(latest)
        return None if orbax is None else orbax.step

    def best_step(self) -> int | None:
        """The step of the best validated checkpoint, or None. Raises UserError where one of them may have been better,
        and its figures are damaged."""
        if self._damaged:
            raise self._refusal(max(self._damaged))
        metrics = {c.step: self.metrics(c.step) for c in self._orbax.checkpoints}
        validated = [(_ranking(values), step) for step, values in metrics.items() if values]
        return max(validated)[1] if validated else None

    def choose(self, which: str) -> tuple[int | None, str]:
        """The step that `which` (best, latest or a step's number) means, and how it was chosen.

        Raises:
          UserError: no checkpoint of that number is kept, or those that could be meant are damaged.
        """
        if which == "best":
            return self.best_step(), "validation"
        if which == "latest":
            return self.latest_step(), "latest"
        kept = [c.step for c in self._orbax.checkpoints]
        if int(which) not in kept:
            raise UserError(
                f"{self.directory}: no checkpoint of step {which} is kept, only of: {', '.join(map(str, kept))}"
            )
        best = None if self._damaged else self.best_step()
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
            "data": Position(data),
        }
        self._finish()
        step = int(state.step)
        with writing(self.directory, SAVED):
            under_way = self._orbax.save_checkpointables_async(step, parts, force=True, metrics=cast(Any, metrics))

        def finish() -> None:
            try:
                if under_way is not None:  # the annotation's; a forced save always begins
                    under_way.result()
                if jax.process_index() == 0:
                    checksums.write(self.directory, step)
            except BaseException as error:  # raised where training waits for it
                self._failure = error

        self._finishing = threading.Thread(target=finish, name="checksums", daemon=True)
        self._finishing.start()

    def _finish(self) -> None:
        """Until the save that has begun is complete, with its checksums."""
        if self._finishing is not None:
            self._finishing.join()
            self._finishing = None
        failure, self._failure = self._failure, None
        if failure is not None:
            with writing(self.directory, SAVED):
                raise failure

    def restore(self, step: int, abstract: TrainState, data: grain.DatasetIterator) -> TrainState:
        """The state of a step in the shardings of `abstract`; `data` is moved to its position in place."""
        wanted = {"step": abstract.step, "moments": abstract.opt_state}
        parts = self._load(step, {"variables": abstract.variables, "optimizer": wanted, "data": Position(data)})
        saved, variables = parts["optimizer"], parts["variables"]
        return TrainState(saved["step"], variables["params"], variables["batch_stats"], saved["moments"])

    def restore_variables(self, step: int, abstract: dict[str, Any]) -> dict[str, Any]:
        """params and batch_stats of a step, in the shardings of `abstract`."""
        # A model without batch norm has no batch_stats, and a state always saves them, empty.
        return self._load(step, {"variables": {"batch_stats": {}} | abstract})["variables"]

    def _load(self, step: int, wanted: dict[str, Any]) -> dict[str, Any]:
        if damage := checksums.damage(self.directory, step):
            self._damaged[step] = damage
            raise self._refusal(step)
        if not checksums.path_of(self.directory, step).is_file():
            inform(f"{self.directory}/{step}: a checkpoint without checksums: not compared with what was saved")
        try:
            return self._orbax.load_checkpointables(step, wanted)
        except UNREADABLE as error:
            if interruption.heard():
                raise KeyboardInterrupt from error
            raise UserError(
                f"{self.directory}/{step}: checkpoint not readable ({first_line(error)}); delete that folder to use an "
                "earlier one"
            ) from None

    def _refusal(self, step: int) -> UserError:
        """What is damaged, and what there is in its place."""
        others = sorted(steps_in(self.directory) - {step})
        whole = [other for other in others if checksums.damage(self.directory, other) is None]
        if not whole:
            return UserError(f"{self._damaged[step]} since it was saved, and no other checkpoint is whole: train again")
        return UserError(
            f"{self._damaged[step]} since it was saved; step {whole[-1]} is whole: `train --resume=previous` goes on "
            f"from there, --config.eval.checkpoint={whole[-1]} scores with it"
        )

    def wait(self) -> None:
        """Until every save that has begun is complete. Raises UserError where the disk was full."""
        self._finish()
        self._orbax.wait()

    def close(self) -> None:
        """Wait, and release Orbax's threads."""
        try:
            self._finish()
        finally:
            self._orbax.close()


def steps_in(directory: Path) -> set[int]:
    """The steps whose checkpoints lie in a folder, damaged ones as well."""
    if not directory.is_dir():
        return set()
    return {int(path.name) for path in directory.iterdir() if path.name.isascii() and path.name.isdigit()}


def first_line(error: BaseException) -> str:
    """An exception of Orbax or tensorstore as one line."""
    return (str(error).splitlines() or [type(error).__name__])[0][:200]


def set_aside(workdir: str | os.PathLike) -> list[str]:
    """Move damaged checkpoints out of a run's way; every file of every checkpoint is compared.

    Returns:
      A line for each.

    Raises:
      UserError: none would be left.
    """
    directory, aside = Path(workdir).absolute() / FOLDER, Path(workdir).absolute() / ASIDE
    found = {step: checksums.damage(directory, step) for step in sorted(steps_in(directory))}
    damaged = {step: damage for step, damage in found.items() if damage}
    if damaged and len(damaged) == len(found):
        raise UserError(f"{damaged[max(damaged)]} since it was saved, and no other checkpoint is whole: train again")
    for step in damaged:
        aside.mkdir(exist_ok=True)
        shutil.rmtree(aside / str(step), ignore_errors=True)
        os.rename(directory / str(step), aside / str(step))
        checksums.path_of(directory, step).unlink(missing_ok=True)
    return [f"{damage} since it was saved: moved to {aside / str(step)}" for step, damage in damaged.items()]
