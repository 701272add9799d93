"""A run that changes its devices on the way, and a run of two processes of which one is killed."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import jax
import numpy as np
import pytest
import tiny

from cpml_jax import train
from cpml_jax.errors import UserError
from cpml_jax.training import checksums, sharding

ROOT = Path(__file__).resolve().parents[3]
# Compiles in seconds; the whole model on 8 devices and in 2 processes: test_distributed.py.
SMALL = {
    "model.modalities": ("landmarks",), "model.head": "linear", "loss.cqsl": 0.0, "loss.cmcl": 0.0, "loss.teacher": 0.0,
    "train.eval_every": 6, "train.devices": 0,
}  # fmt: skip


class Reached(Exception):
    """Training has come as far as a test wants it."""


def losses(workdir) -> dict[int, float]:
    rows = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    steps = [row["step"] for row in rows if row["kind"] == "train"]
    assert steps == list(range(1, len(steps) + 1)), "each step is written once"
    return {row["step"]: row["loss"] for row in rows if row["kind"] == "train"}


@pytest.fixture(scope="module")
def undisturbed(tiny_records, tmp_path_factory):
    """Losses and final state of one device."""
    workdir = tmp_path_factory.mktemp("undisturbed")
    state = train.train(tiny.training_config(tiny_records, **SMALL | {"train.devices": 1}), workdir)
    return losses(workdir), jax.device_get(state)


def assert_like(undisturbed, workdir, state) -> None:
    """Another mesh takes sums in another order: equal to float32's rounding, which six steps of Adam carry on."""
    expected, whole = undisturbed
    assert losses(workdir) == pytest.approx(expected, rel=1e-4)
    got = jax.tree.leaves(jax.device_get(state))
    for (path, a), b in zip(jax.tree_util.tree_leaves_with_path(whole), got, strict=True):
        np.testing.assert_allclose(b, a, rtol=1e-3, atol=2e-5, err_msg=jax.tree_util.keystr(path))


def test_eight_devices_then_four_then_one_are_one(undisturbed, tiny_records, tmp_path, monkeypatch):
    """The first split parameters and moments, the others hold them whole; each goes on from the other's checkpoint."""
    monkeypatch.setattr(sharding, "MIN_SPLIT_ELEMENTS", 64)
    put, split = sharding.put_local_batch, []

    def run(devices: int, until: int, **changes):
        taken = []

        def counted(batch, mesh):
            taken.append(len(batch["label"]))
            if len(taken) > 2:
                raise Reached
            return put(batch, mesh)

        monkeypatch.setattr(sharding, "put_local_batch", counted)
        state = train.train(
            tiny.training_config(tiny_records, **SMALL | {"train.devices": devices} | changes), tmp_path
        )
        assert taken == [8] * 2 and int(state.step) == until
        return state

    make_step = train.jit_step
    monkeypatch.setattr(train, "jit_step", lambda *a: split.append(a[-2]) or make_step(*a))
    with pytest.raises(Reached):
        run(8, 2, **{"train.shard_params": True})
    with pytest.raises(UserError, match="batch_size=8 must be a multiple of the 3 devices"):
        run(3, 4)
    with pytest.raises(Reached):
        run(4, 4)
    assert_like(undisturbed, tmp_path, run(1, 6))
    parts = [[not leaf.sharding.is_fully_replicated for leaf in jax.tree.leaves(abstract)] for abstract in split]
    assert [any(part) for part in parts] == [True, False, False]


def test_a_host_that_dies_ends_the_other_and_one_process_goes_on(undisturbed, tiny_records, tmp_path):
    """Two processes of the real command, two devices each; then one of two devices, from what the two have saved."""
    config = tmp_path / "config.py"
    config.write_text(
        f"import tiny\n\n\ndef get_config():\n    return tiny.training_config({str(tiny_records)!r}, **{SMALL})\n"
    )
    flags = "--xla_force_host_platform_device_count=2 --xla_backend_optimization_level=0"
    environment = {**os.environ, "XLA_FLAGS": flags, "PYTHONPATH": f"{ROOT / 'tests'}:{ROOT}"}
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        coordinator = f"localhost:{probe.getsockname()[1]}"
    workdir = tmp_path / "run"
    command = [sys.executable, "main.py", "train", f"--config={config}", f"--workdir={workdir}", "--host_timeout=20"]
    several = [f"--coordinator={coordinator}", "--processes=2"]
    outputs = [tmp_path / f"{i}.txt" for i in range(2)]
    processes = []
    for i, output in enumerate(outputs):
        with output.open("w") as file:
            processes.append(
                subprocess.Popen(
                    [*command, *several, f"--process={i}"], cwd=ROOT, env=environment, stdout=file, stderr=file
                )
            )
    try:
        checkpoint = checksums.path_of(workdir / "checkpoints", 2)
        while not checkpoint.is_file() and all(process.poll() is None for process in processes):
            time.sleep(0.01)
        processes[1].send_signal(signal.SIGKILL)
        assert processes[1].wait() == -signal.SIGKILL, outputs[1].read_text()
        assert processes[0].wait(timeout=300) == 75, outputs[0].read_text()
    finally:
        for process in processes:
            process.kill()
    said = outputs[0].read_text()
    assert "on 4 devices of 2 processes" in said and "Traceback" not in said and "stack trace" not in said
    assert said.count("error: ") == 1 and "start the same command again, on as many hosts or fewer" in said
    assert not (workdir / ".lock").exists()
    names = [line.split("  ")[1] for line in checkpoint.read_text().splitlines()]
    assert any("process_1" in name for name in names) and checksums.damage(workdir / "checkpoints", 2) is None
    state = train.train(tiny.training_config(tiny_records, **SMALL | {"train.devices": 2}), workdir)
    assert_like(undisturbed, workdir, state)
