"""One global batch gives one loss and one gradient, however many devices and hosts hold it."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
import tiny

from cpml_jax.training import sharding

TESTS = Path(__file__).resolve().parents[2]


def flat(gradients) -> dict:
    return {
        jax.tree_util.keystr(path): np.asarray(leaf) for path, leaf in jax.tree_util.tree_leaves_with_path(gradients)
    }


@pytest.fixture(scope="module")
def single():
    mesh = sharding.make_mesh(1)
    metrics, gradients, step = tiny.one_step(mesh, sharding.put_local_batch(tiny.random_batch(), mesh))
    assert step == 1 and all(np.isfinite(v) for v in metrics.values())
    assert max(np.abs(g).max() for g in flat(gradients).values()) > 1e-3
    return metrics, flat(gradients)


def assert_same(metrics: dict, gradients: dict, single) -> None:
    """Sums are taken in another order on another mesh: equal to float32's rounding, not to the bit."""
    for name, value in single[0].items():
        np.testing.assert_allclose(metrics[name], value, rtol=2e-4, atol=2e-5, err_msg=name)
    assert gradients.keys() == single[1].keys()
    largest = max(np.abs(g).max() for g in single[1].values())
    for name, value in single[1].items():
        np.testing.assert_allclose(gradients[name], value, rtol=2e-3, atol=2e-4 * largest, err_msg=name)


@pytest.fixture(scope="module")
def eight():
    mesh = sharding.make_mesh(8)
    metrics, gradients, _ = tiny.one_step(mesh, sharding.put_local_batch(tiny.random_batch(), mesh))
    return metrics, flat(gradients)


def test_eight_devices_are_one_device(single, eight):
    assert_same(*eight, single)


def test_split_parameters_are_whole_parameters(single, monkeypatch):
    monkeypatch.setattr(sharding, "MIN_SPLIT_ELEMENTS", 64)
    mesh = sharding.make_mesh(8)
    metrics, gradients, _ = tiny.one_step(mesh, sharding.put_local_batch(tiny.random_batch(), mesh), shard_params=True)
    assert_same(metrics, flat(gradients), single)


def test_the_push_term_pairs_clips_of_different_devices(eight):
    """With one clip a device there is no real-fake pair on any device; the global batch has them."""
    assert eight[0]["push"] > 0


def test_two_processes_are_one(single, tmp_path):
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        coordinator = f"localhost:{probe.getsockname()[1]}"
    flags = "--xla_force_host_platform_device_count=4 --xla_backend_optimization_level=0"
    environment = {**os.environ, "XLA_FLAGS": flags, "PYTHONPATH": f"{TESTS}:{TESTS.parent}"}
    worker = TESTS / "cpml_jax/training/distributed_worker.py"
    processes = [
        subprocess.Popen(
            [sys.executable, str(worker), coordinator, str(i), str(tmp_path / f"{i}.npz")],
            env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )
        for i in range(2)
    ]  # fmt: skip
    try:
        outputs = [process.communicate(timeout=300)[0] for process in processes]
    finally:
        for process in processes:
            process.kill()
    assert [process.returncode for process in processes] == [0, 0], outputs
    for i in range(2):
        result = dict(np.load(tmp_path / f"{i}.npz"))
        metrics = {k.removeprefix("metric:"): float(result.pop(k)) for k in list(result) if k.startswith("metric:")}
        assert_same(metrics, result, single)
