"""The training loop: steps on the device, and at intervals what leaves it: metrics, validation, checkpoints."""

from __future__ import annotations

from collections.abc import Callable

import grain
import jax
import numpy as np
from jax.sharding import Mesh
from ml_collections import ConfigDict

from cpml_jax.errors import UserError
from cpml_jax.training import sharding
from cpml_jax.training.checkpoint import Checkpoints
from cpml_jax.training.journal import Journal
from cpml_jax.training.optimizer import StepRate
from cpml_jax.training.state import TrainState
from cpml_jax.training.steps import TrainStep
from cpml_jax.training.stopwatch import Stopwatch

Validate = Callable[[TrainState], dict[str, float]]


def run_steps(
    config: ConfigDict,
    state: TrainState,
    data: grain.DatasetIterator,
    mesh: Mesh,
    step_fn: TrainStep,
    rate: StepRate,
    checkpoints: Checkpoints,
    journal: Journal,
    validate: Validate,
    watch: Stopwatch,
) -> TrainState:
    """Run the remaining steps; of none at all, validate and save the state that training starts from.

    Batches and, every log_every steps, metrics are copied explicitly; validation and checkpoints may copy. Any other
    copy between host and device would make every step wait for it, and is an error. The journal's lines and its
    stopwatch alone wait for the device.
    """
    last = config.train.steps
    held: list[tuple[int, dict[str, jax.Array]]] = []  # metrics that are still on the device
    first = int(state.step) + 1
    if last == 0 and first == 1 and checkpoints.latest_step() is None:
        scores = validate(state)
        journal.validation(0, scores)
        checkpoints.save(state, data, scores)
    watch.restart()
    for step in range(first, last + 1):
        # The first call compiles, and may copy the program's constants.
        with jax.transfer_guard("allow" if step == first else "disallow"):
            with watch.waiting_for_data():
                local = next(data)
            with watch.step() as computing:
                state, measured = step_fn(state, sharding.put_local_batch(local, mesh))
                computing(measured)
            held.append((step, measured))
            validating = step % config.train.eval_every == 0 or step == last
            saving = validating or step % config.train.checkpoint_every == 0
            if saving or step % config.train.log_every == 0:
                rows = fetch(held)
                held.clear()
                with jax.transfer_guard("allow"):  # the rate's numbers
                    journal.steps(rows, clips=config.train.batch_size, rate=rate, times=watch.lap())
            if saving:
                with jax.transfer_guard("allow"):
                    scores = validate(state) if validating else None
                    if scores is not None:
                        journal.validation(step, scores)
                        watch.restart()  # validation is not training time
                    # Before the next batch is drawn: the data position belongs to this state.
                    checkpoints.save(state, data, scores)
    checkpoints.wait()
    return state


def fetch(held: list[tuple[int, dict[str, jax.Array]]]) -> list[tuple[int, dict[str, float]]]:
    """Metrics of the last steps, on the host; the one place where training waits for the device.

    Raises:
      UserError: a loss is not finite. Nothing of that interval has been saved.
    """
    rows = [(step, {k: float(v) for k, v in values.items()}) for step, values in jax.device_get(held)]
    for step, values in rows:
        if not np.isfinite(values["loss"]):
            broken = ", ".join(k for k, v in values.items() if not np.isfinite(v))
            raise UserError(
                f"the loss is not finite at step {step} ({broken}); earlier checkpoints are kept. "
                "Lower optim.learning_rate, or set optim.clip_norm, and start again in a new --workdir"
            )
    return rows
