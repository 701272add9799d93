"""The loop around a toy step: what it logs and saves, and that nothing else is copied between host and device."""

import contextlib
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import ConfigDict

from cpml_jax.errors import UserError
from cpml_jax.training import loop, sharding
from cpml_jax.training.state import TrainState
from cpml_jax.training.stopwatch import Stopwatch


def run_loop(step_fn, monkeypatch) -> list[tuple]:
    """Three steps of the loop around a toy step; what it logged and saved, with the guard's setting at each place."""
    settings = {"steps": 3, "log_every": 1, "eval_every": 2, "checkpoint_every": 2, "batch_size": 8}
    guards, seen, real = ["allow"], [], jax.transfer_guard

    @contextlib.contextmanager
    def recorded(setting):
        guards.append(setting)
        with real(setting):
            yield
        guards.pop()

    def note(name, *values):
        seen.append((name, guards[-1], *values))

    def step(state, batch):
        note("step")
        return step_fn(state, batch)

    monkeypatch.setattr(jax, "transfer_guard", recorded)
    monkeypatch.setattr(loop, "fetch", lambda held, fetch=loop.fetch: note("fetch") or fetch(held))
    with Stopwatch() as watch:
        loop.run_steps(
            ConfigDict({"train": settings}),
            TrainState(jnp.int32(0), {}, {}, ()),
            iter([{"x": np.full(8, i, np.float32)} for i in range(3)]),
            sharding.make_mesh(1),
            step,
            lambda step: jnp.float32(0.1),
            SimpleNamespace(save=lambda *_: note("save"), wait=lambda: None),
            SimpleNamespace(
                steps=lambda rows, clips, rate, times: note("log", rows, float(rate(0)), times),
                validation=lambda step, scores: note("validation", step),
            ),
            lambda state: {"auc": 0.5},
            watch,
        )
    return seen


@jax.jit
def toy_step(state, batch):
    return state.replace(step=state.step + 1), {"loss": batch["x"].mean()}


def test_only_logging_validation_and_checkpoints_copy_to_the_host(monkeypatch):
    seen = run_loop(toy_step, monkeypatch)
    assert [values[0][0] for name, _, *values in seen if name == "log"] == [(i + 1, {"loss": i}) for i in range(3)]
    # A CPU's memory is the host's: JAX guards no copy from it. That an accelerator's is guarded is its setting.
    assert [guard for name, guard, *_ in seen if name == "step"] == ["allow", "disallow", "disallow"]
    assert [guard for name, guard, *_ in seen if name == "fetch"] == ["allow", "disallow", "disallow"]
    assert {guard for name, guard, *_ in seen if name in ("log", "save", "validation")} == {"allow"}
    assert [name for name, *_ in seen if name in ("save", "validation")] == ["validation", "save"] * 2


@pytest.mark.parametrize(
    "hidden",
    [
        lambda metrics: {"loss": metrics["loss"] + 1.0},  # the 1.0 is copied to the device
        lambda metrics: {"loss": jnp.where(metrics["loss"] > 0, 1.0, 2.0)},
        lambda metrics: {"loss": toy_step(TrainState(np.int32(0), {}, {}, ()), {"x": np.ones(8)})[1]["loss"]},
    ],
)
def test_a_hidden_copy_in_the_loop_is_an_error(hidden, monkeypatch):
    def leaking(state, batch):
        state, metrics = toy_step(state, batch)
        return state, hidden(metrics)

    with pytest.raises(jax.errors.JaxRuntimeError, match="Disallowed host-to-device transfer"):
        run_loop(leaking, monkeypatch)


def test_a_loss_that_is_not_finite_is_an_error_that_names_step_and_term():
    held = [(4, {"loss": jnp.float32(1)}), (5, {"loss": jnp.float32("nan"), "ce": jnp.float32("inf"), "pull": 1.0})]
    assert loop.fetch(held[:1]) == [(4, {"loss": 1.0})]
    with pytest.raises(UserError, match=r"not finite at step 5 .ce, loss.;"):
        loop.fetch(held)
