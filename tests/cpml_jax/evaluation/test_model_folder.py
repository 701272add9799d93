"""A model handed on: the same scores and the same verdict, nothing of its machine, and damage is told."""

import dataclasses
import json
import shutil

import jax
import numpy as np
import pytest
import tiny

from cpml_jax import configuration
from cpml_jax.configs import synthetic
from cpml_jax.doubt.calibration import calibrate
from cpml_jax.doubt.distance import Measured
from cpml_jax.doubt.properties import NAMES
from cpml_jax.errors import UserError
from cpml_jax.evaluation import model_folder, scoring
from cpml_jax.evaluation import verdict as verdicts
from cpml_jax.training.sharding import make_mesh


def a_config():
    config = tiny.tiny_config(**{"model.modalities": ("landmarks",)})
    config.name = "handed on"
    config.data.sources = {"faces": {"kind": "folder", "root": "/home/somebody/videos"}}
    config.data.records, config.data.decoded = "/home/somebody/records", "/home/somebody/decoded"
    config.init_from = "/home/somebody/weights"
    return config


def knowledge(sha256):
    rng = np.random.default_rng(0)
    rows = [dict(clip_id=str(i), video_key=str(i), identity=str(i), label=i % 2) for i in range(60)]
    clips = {row["clip_id"]: Measured(rng.normal(size=4), rng.normal(size=len(NAMES))) for row in rows}
    return calibrate(rows[:30], rows[30:], clips, sha256, 0.05)


@pytest.fixture(scope="module")
def handed(tmp_path_factory):
    """(folder, the run's scorer, the run's verdict)."""
    config, work = a_config(), tmp_path_factory.mktemp("run")
    model, tokens = scoring.build_model(config)
    inputs = scoring.dummy_inputs(config)
    variables = jax.jit(lambda: model.init(jax.random.key(3), inputs, tokens, method="init_everything"))()
    scorer = scoring.Scorer(model, make_mesh(1), tokens, variables=variables, step=7, selection="validation")
    sha256 = scorer.parameters_sha256
    report = {
        "checkpoint": {"step": 7, "parameters_sha256": sha256},
        "results": [{"threshold": {"video_margin": -1.5}}],
        "calibration": {"temperature": 2.0, "bounds": [0.1, 0.9]},
    }
    (work / "evaluation.json").write_text(json.dumps(report))
    knowledge(sha256).write(work / "doubt.npz")
    folder = work / "model"
    model_folder.write(folder, work, config, scorer, scorer.variables(), "# a card\n")
    return folder, scorer, verdicts.read(work, 7, sha256, 0.05)


@pytest.fixture
def copied(handed, tmp_path):
    return shutil.copytree(handed[0], tmp_path / "copied")


def test_it_scores_and_judges_as_the_run_did(handed):
    folder, scorer, verdict = handed
    assert sorted(path.name for path in folder.iterdir()) == sorted(model_folder.FILES)
    config, loaded, read = model_folder.read(folder)
    batch = tiny.random_batch(rows=3, views=1)
    for name, value in scorer.score(batch).items():
        np.testing.assert_array_equal(loaded.score(batch)[name], value)
    assert (loaded.step, loaded.selection, config.name) == (7, "validation", "handed on")
    assert (read.threshold, read.calibration) == (verdict.threshold, verdict.calibration)
    assert read.threshold.margin == -1.5 and read.calibration.bounds == (0.1, 0.9)
    measured = [Measured(np.full(4, 9.0), np.zeros(len(NAMES)))]
    assert read.judge(measured) == verdict.judge(measured)


def test_nothing_of_its_machine_is_in_it(handed):
    for path in handed[0].iterdir():
        assert b"somebody" not in path.read_bytes(), path.name


def test_a_level_of_ones_own(handed):
    _, _, strict = model_folder.read(handed[0], 0.2)
    assert strict.knowledge.level == 0.2
    _, _, none = model_folder.read(handed[0], 0.0)
    assert none.knowledge == "eval.doubt_level is 0"


def test_arrays_of_another_model_are_refused(copied):
    path = copied / "model.safetensors"
    data = bytearray(path.read_bytes())
    data[-3] ^= 1  # in the mantissa of the last number
    path.write_bytes(data)
    with pytest.raises(UserError, match=r"model.safetensors: damaged since it was exported"):
        model_folder.read(copied)
    (copied / model_folder.SUMS).unlink()  # as somebody would who makes a model of parts
    with pytest.raises(UserError, match=r"model.safetensors and decision.json are not of one model"):
        model_folder.read(copied)


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "network.json", "decision.json"])
@pytest.mark.parametrize("damage", ["absent", "empty", "cut"])
@pytest.mark.parametrize("summed", [True, False])
def test_a_damaged_file_is_one_line(copied, name, damage, summed):
    if not summed:  # written before there was a list, or by somebody else
        (copied / model_folder.SUMS).unlink()
    path = copied / name
    if damage == "absent":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[: 0 if damage == "empty" else -2])
    with pytest.raises(UserError) as refused:
        model_folder.read(copied)
    assert "\n" not in str(refused.value) and str(copied) in str(refused.value)


def test_a_changed_threshold_is_told(copied):
    path = copied / "decision.json"
    path.write_text(path.read_text().replace("-1.5", "-2.5"))
    with pytest.raises(UserError, match=r"decision.json: damaged since it was exported"):
        model_folder.read(copied)


def test_without_knowledge_the_reason_is_handed_on(handed, copied):
    (copied / model_folder.SUMS).unlink()
    (copied / "doubt.npz").unlink()
    _, _, verdict = model_folder.read(copied)
    assert "has no doubt.npz" in verdict.knowledge
    never = dataclasses.replace(verdict, knowledge="this run was not evaluated")
    verdicts.write(copied / "decision.json", never, 7, "latest", handed[1].parameters_sha256)
    assert model_folder.read(copied)[2].knowledge == "this run was not evaluated"


def test_a_stored_configuration_comes_back_whole():
    config = synthetic.get_config()
    stored = configuration.stored(json.loads(json.dumps(config.to_dict())))
    assert configuration.flattened(stored.to_dict()).keys() == configuration.flattened(config.to_dict()).keys()
    kept = configuration.flattened(stored.to_dict())
    for key, value in configuration.flattened(config.to_dict()).items():
        if not key.startswith("data.sources."):
            assert kept[key] == value and type(kept[key]) is type(value), key
    lacking = config.to_dict()
    del lacking["eval"]["doubt_level"]
    assert configuration.stored(lacking).eval.doubt_level == 0.05
    with pytest.raises(UserError, match="unknown key 'model.later'"):
        configuration.stored({"model": {"later": 1}})
