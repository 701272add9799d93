"""Steps compiled for devices that are not here, through the real command."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import tiny
import toy_run

from benchmarks import compile_for
from benchmarks.compile_target import quiet, steps, targets
from cpml_jax import train
from cpml_jax.data.records import RecordSet
from cpml_jax.errors import UserError
from cpml_jax.training.sharding import make_mesh, put_global_batch

ROOT = Path(__file__).resolve().parents[2]
TOY = {
    "train.dataset": "ffpp", "train.compressions": ("raw",), "train.batch_size": 8, "eval.compressions": ("raw",),
    "eval.batch_size": 3, "model.modalities": ("rppg",), "model.unified_dim": 16, "model.head": "prototypes",
}  # fmt: skip


def command(*arguments: object, **environment: str) -> subprocess.CompletedProcess:
    line = [sys.executable, "-m", "benchmarks.compile_for", *map(str, arguments)]
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    given = os.environ | {"PYTHONPATH": path} | environment
    return subprocess.run(line, cwd=ROOT, env=given, capture_output=True, text=True, check=False)


def refusal(done: subprocess.CompletedProcess) -> str:
    """The one line of a user's mistake."""
    assert done.returncode == 2 and done.stdout == "", done
    assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1, done.stderr
    return done.stderr


@pytest.fixture(scope="module")
def toy(tmp_path_factory) -> Path:
    return toy_run.write_config(tmp_path_factory.mktemp("toy") / "toy.py", "base.get_config()", **TOY)


def test_an_unknown_target_is_answered_with_the_known_ones():
    line = refusal(command("v9x:2x4", "--config=configs/synthetic.py"))
    assert "'v9x:2x4'" in line and all(name in line for name in targets.NAMES)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "give one target"),
        (("v5e:2x4", "h100:1", "--config=configs/synthetic.py"), "give one target"),
        (("v5e:2x4", "--config=configs/synthetic.py", "--steps=fly"), "--steps=fly"),
        (("v5e:2x4", "--config=configs/synthetic.py", "--verify"), "--verify goes with prepare"),
    ],
)
def test_other_mistakes_are_one_line(arguments, words):
    assert words in refusal(command(*arguments))


ABSENT = """
import sys

class Absent:
    def find_spec(self, name, *_):
        if name.startswith(("libtpu", "jax_plugins.xla_cuda")):
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Absent())
"""


@pytest.mark.parametrize(("target", "package"), [("v5e:2x4", "libtpu"), ("h100:8", "jax-cuda12-plugin")])
def test_a_compiler_that_is_not_installed_is_named(target, package, tmp_path):
    (tmp_path / "sitecustomize.py").write_text(ABSENT)
    line = refusal(command(target, "--config=configs/synthetic.py", PYTHONPATH=f"{tmp_path}{os.pathsep}{ROOT}"))
    assert line.startswith(f"error: {target}: ") and package in line and "uv sync --extra compile" in line


@pytest.mark.parametrize("name", ["v5e", "v5e:2", "v5p:2x2", "h100:9", "h100", "", "cpu:1", "v5e:2x4 "])
def test_half_a_name_is_no_target(name):
    with pytest.raises(UserError, match="unknown target"):
        targets.named(name)


def test_the_shapes_are_those_that_training_is_given(toy, tiny_records):
    config = tiny.training_config(tiny_records)
    mesh = make_mesh(2)
    records = RecordSet(tiny_records / "faces")
    batch = next(train.batches(config, records, train.training_clips(config, records), ("real", "fake")))
    placed = put_global_batch(batch, mesh)
    described = steps.training_batch(config, mesh)
    assert {n: (v.shape, v.dtype, v.sharding) for n, v in described.items()} == {
        n: (v.shape, v.dtype, v.sharding) for n, v in placed.items()
    }


def test_a_compiler_that_crashes_is_one_line(capfd):
    """As libtpu's does for some programs."""
    assert compile_for.survived([sys.executable, "-c", "import os; os.abort()"]) == 1
    assert capfd.readouterr().err == "error: the compiler has crashed (SIGABRT); nothing is known of this step\n"
    assert compile_for.survived([sys.executable, "-c", "raise SystemExit(2)"]) == 2


def test_what_libraries_write_is_dropped_and_exceptions_pass(capfd):
    with pytest.raises(UserError), quiet.quiet():
        os.write(2, b"noise")
        raise UserError("heard")
    os.write(2, b"heard")
    assert capfd.readouterr().err == "heard"


@pytest.mark.skipif(importlib.util.find_spec("libtpu") is None, reason="libtpu is not installed")
class TestTpu:
    def test_a_toy_model_compiles_for_a_slice_of_eight(self, toy, tmp_path):
        done = command("v5e:2x4", f"--config={toy}", f"--workdir={tmp_path}", "--steps=train")
        assert done.returncode == 0 and done.stderr == "", done.stderr
        (row,) = json.loads((tmp_path / "compile_for/v5e_2x4.json").read_text())["steps"]
        assert row["fits"] and row["error"] is None and row["devices"] == 8 and row["hosts"] == 2
        assert row["memory"]["arguments"] > 0 and row["flops"] > 0 and row["bytes_moved"] > 0
        assert row["estimate_seconds"] > 0 and 0 < row["share_of_peak"] < 1
        assert "all-reduce" in [c["kind"] for c in row["collectives"]], "gradients are summed over the devices"
        assert any("CPML" in t["module"] for t in row["largest"])
        assert f"train step of {row['config']}: fits" in done.stdout

    def test_a_batch_that_the_devices_do_not_divide_is_one_line(self, toy, tmp_path):
        done = command("v5e:2x4", f"--config={toy}", f"--workdir={tmp_path}", "--config.train.batch_size=4")
        assert "train.batch_size=4 must be a multiple of the 8 devices" in refusal(done)

    def test_a_slice_that_does_not_exist_is_one_line(self, toy):
        assert "v5e:3x3: " in refusal(command("v5e:3x3", f"--config={toy}"))
