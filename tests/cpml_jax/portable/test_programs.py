"""Exported programs, run in processes that cannot import this package: the scores of Flax on ten clips."""

import json
import re
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
from command import run_main

from cpml_jax import train
from cpml_jax.data.input_pipeline import eval_batches
from cpml_jax.data.records import RecordSet
from cpml_jax.errors import UserError
from cpml_jax.evaluation import model_folder, scoring
from cpml_jax.portable import check, files, onnx_file, stablehlo
from cpml_jax.portable.program import Program

CONFIG = """
import tiny

def get_config():
    return tiny.training_config({records!r}, **{{
        "model.modalities": ("rppg", "landmarks", "visual", "texture"), "model.text_encoder.classes": "methods",
        "model.head": "prototypes", "model.visual.encoder": "none", "model.visual.contrast": 4,
        "model.rppg.agreement": 8, "model.landmarks.spectrum": True,
    }})
"""
# What a process of its own does first: the modules that it must do without are not there, and it says so.
ALONE = """
import importlib, sys

ABSENT = {absent!r}

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ABSENT:
            raise ImportError(f"{{name}} is not to be had here")

sys.meta_path.insert(0, Absent())
for name in ABSENT:
    try:
        importlib.import_module(name)
    except ImportError:
        pass
    else:
        raise SystemExit(f"{{name}} can be imported")
"""
PAGE = Path(__file__).parents[3] / "docs/models.md"
OURS = ("cpml_jax", "data_prep", "configs", "flax", "ml_collections", "transformers", "tiny", "command")


def save_and_stop(config, state, data, mesh, step_fn, schedule, checkpoints, journal, validate, watch):
    """In place of the trainer's loop: a checkpoint of what training starts from, moved a little."""
    rng = np.random.default_rng(0)

    def moved(a):
        return jax.device_put(np.asarray(a) + rng.uniform(-0.05, 0.05, a.shape).astype(a.dtype), a.sharding)

    state = state.replace(params=jax.tree.map(moved, state.params))
    checkpoints.save(state, data, {"auc": 0.5, "cross_entropy": 0.7})
    checkpoints.wait()
    return state


@pytest.fixture(scope="module")
def run(tmp_path_factory, tiny_records):
    """(arguments of the command, workdir) of a run with one checkpoint."""
    folder = tmp_path_factory.mktemp("run")
    (folder / "config.py").write_text(CONFIG.format(records=str(tiny_records)))
    arguments = (f"--config={folder / 'config.py'}", f"--workdir={folder / 'work'}")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train, "run_steps", save_and_stop)
        assert run_main("train", *arguments) == 0
    return arguments


@pytest.fixture(scope="module")
def exported(run, tmp_path_factory):
    folder = tmp_path_factory.mktemp("handed") / "model"
    assert run_main("export", *run, f"--out={folder}", "--format=stablehlo,onnx") == 0
    return folder


@pytest.fixture(scope="module")
def ten_clips(exported, tiny_records):
    """(the inputs of ten clips of records, what Flax says of them)."""
    config, scorer, _ = model_folder.read(exported)
    records = RecordSet(tiny_records / "faces")
    batches = eval_batches(records, records.rows[:10], scoring.input_size(config), excluded=[])
    parts = [{name: batch[name] for name in scorer.inputs} for _, batch in batches]
    inputs = {name: np.concatenate([part[name] for part in parts])[:10] for name in scorer.inputs}
    assert all(len(x) == 10 for x in inputs.values())
    scores = scorer.score(inputs)
    return {name: x[:, 0] for name, x in inputs.items()}, scores


def in_a_process(folder, code, absent):
    whole = ALONE.format(absent=absent) + code + "\nassert not set(ABSENT) & set(sys.modules)\n"
    done = subprocess.run([sys.executable, "-I", "-c", whole], cwd=folder, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout


def of_the_card(folder, heading):
    """The Python of a section of the model card."""
    section = (folder / "README.md").read_text().split(f"## {heading}\n")[1]
    return re.search(r"```python\n(.*?)```", section, re.DOTALL)[1]


@pytest.mark.parametrize("heading, absent", [("In JAX alone", OURS), ("In ONNX", (*OURS, "jax"))])
def test_the_cards_ten_lines_give_flaxs_scores_where_nothing_of_ours_is(exported, ten_clips, tmp_path, heading, absent):
    inputs, expected = ten_clips
    np.savez(tmp_path / "clips.npz", **inputs)
    code = of_the_card(exported, heading)
    assert f"```python\n{code}```" in PAGE.read_text()  # the documentation's, too
    assert len([line for line in code.splitlines() if line and "import" not in line]) <= 10
    with_ours = code.replace("clips = {", "unused = {").replace("scores =", "loaded", 0)
    with_ours = re.sub(
        r"(unused = .*\n)",
        rf"\1clips = dict(np.load({str(tmp_path / 'clips.npz')!r}))\nclips = few or clips\n",
        with_ours,
    )
    last = (
        "margin, p_fake = (np.asarray(scores[name]) for name in ('margin', 'p_fake'))\n" if "JAX" in heading else ""
    ) + f"np.savez({str(tmp_path)!r} + f'/scores{{len(margin)}}.npz', margin=margin, p_fake=p_fake)\n"
    three = "few = {name: x[:3] for name, x in clips.items()}\n"  # another number of clips, of the same program
    in_a_process(exported, code + "few = None\n" + with_ours + last + three + with_ours + last, absent)
    margins = expected["logits"][:, 1] - expected["logits"][:, 0]
    assert np.ptp(margins) > 0.01
    for clips in (10, 3):
        scores = np.load(tmp_path / f"scores{clips}.npz")
        np.testing.assert_allclose(scores["margin"], margins[:clips], rtol=0, atol=1e-4)
        np.testing.assert_allclose(scores["p_fake"], expected["p_fake"][:clips], rtol=0, atol=1e-4)


def test_a_process_that_has_the_package_is_told():
    code = ALONE.format(absent=("json",))
    done = subprocess.run([sys.executable, "-I", "-c", "import json\n" + code], capture_output=True, text=True)
    assert done.returncode == 1 and "json can be imported" in done.stderr


def test_the_description_is_of_what_the_programs_take_and_give(exported, ten_clips):
    inputs, expected = ten_clips
    about = json.loads((exported / "program.json").read_text())
    assert {x["name"]: (x["shape"], x["dtype"]) for x in about["inputs"]} == {
        name: (["clips", *x.shape[1:]], str(x.dtype)) for name, x in inputs.items()
    }
    for given in about["inputs"]:
        assert given["meaning"] and given["unit"]
        if "range" in given:
            low, high = given["range"]
            assert low <= inputs[given["name"]].min() and inputs[given["name"]].max() <= high
    for form, name in ((stablehlo, "model.stablehlo"), (onnx_file, "model.onnx")):
        outputs = form.run((exported / name).read_bytes())(inputs)
        assert {x["name"]: x["shape"] for x in about["outputs"]} == {
            name: ["clips", *np.shape(x)[1:]] for name, x in outputs.items()
        }
        for key in ("unified", "wave"):
            np.testing.assert_allclose(outputs[key], expected[key], rtol=0, atol=1e-4)
        assert 0 <= about["files"][name]["largest_difference"] <= 1e-4
    assert about["files"]["model.stablehlo"]["platforms"] == ["cpu", "cuda", "tpu"]
    decision = json.loads((exported / "decision.json").read_text())
    assert about["answer"]["threshold"]["margin"] == decision["threshold"]["margin"]
    assert about["answer"]["calibration"]["bounds"] == decision["calibration"]["bounds"]
    assert about["model"]["parameters_sha256"] == decision["parameters_sha256"]


def test_programs_of_another_model_do_not_stay_beside_it(run, exported, tmp_path):
    folder = tmp_path / "model"
    assert run_main("export", *run, f"--out={folder}") == 0
    assert sorted(p.name for p in folder.iterdir()) == sorted(set(model_folder.FILES) - {"doubt.npz"})
    for name in ("model.onnx", "model.stablehlo", "program.json", "program.sha256"):
        (folder / name).write_bytes((exported / name).read_bytes())
    config, scorer, verdict = model_folder.read(folder)
    files.write(folder, (), config, scorer, scorer.variables(), verdict)  # of the same parameters: they stay
    assert set(json.loads((folder / "program.json").read_text())["files"]) == {"model.stablehlo", "model.onnx"}
    (folder / "model.onnx").write_bytes(b"damaged")
    files.write(folder, (), config, scorer, scorer.variables(), verdict)
    assert not [name for name in ("model.onnx", "model.stablehlo", "program.json") if (folder / name).exists()]
    for name in ("model.onnx", "model.stablehlo", "program.sha256"):
        (folder / name).write_bytes((exported / name).read_bytes())
    other = (exported / "program.json").read_text().replace(scorer.parameters_sha256, "0" * 64)
    (folder / "program.json").write_text(other)
    (folder / "program.sha256").unlink()
    files.sums.write(folder / "program.sha256", ("model.onnx", "model.stablehlo", "program.json"))
    files.write(folder, (), config, scorer, scorer.variables(), verdict)
    assert not (folder / "model.onnx").exists() and not (folder / "program.json").exists()


def test_a_program_that_scores_otherwise_is_refused(exported):
    config, scorer, _ = model_folder.read(exported)
    program = Program(scorer.model, scorer.variables(), scorer.all_class_embeddings, scoring.input_size(config))
    same = jax.jit(program.function())
    assert check.checked("x", program, lambda clips: same(**clips)) == 0.0
    clips = check.trial_clips(program)
    assert np.ptp(same(**clips)["margin"]) > 0.01  # clips that a program could not mix up unnoticed

    for wrong in (2e-4, np.nan):
        other = {name: np.array(value) for name, value in same(**clips).items()}
        other["margin"][3] += wrong
        with pytest.raises(UserError, match="x: its scores of 10 clips differ"):
            check.checked("x", program, lambda _, other=other: other)


def test_mistakes_are_one_line_before_any_work(capsys, monkeypatch):
    config = "--config=configs/synthetic.py"
    assert run_main("export", config, "--out=x", "--format=onx") == 2
    assert "--format=onx: no such format, did you mean 'onnx'?" in capsys.readouterr().err
    assert run_main("train", config, "--format=onnx") == 2
    assert "--format goes with export" in capsys.readouterr().err
    for name in ("onnx", "onnxruntime"):
        with monkeypatch.context() as patch:
            patch.setitem(sys.modules, name, None)
            assert run_main("export", config, "--out=x", "--format=onnx", "--workdir=/nowhere") == 2
        said = capsys.readouterr().err
        assert said.count("\n") == 1 and f"needs the package {name!r}: `uv sync --extra onnx`" in said
