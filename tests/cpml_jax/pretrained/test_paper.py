"""The paper's recipe through the real command, from toy weights: train, evaluate, predict. A checkpoint as it is."""

import json
from pathlib import Path

import numpy as np
import pytest
import toy_run
from command import run_main

from cpml_jax.configs import ffpp, reference
from cpml_jax.errors import UserError

LRNET = Path(__file__).parents[4] / "shared" / "weights" / "lrnet"  # the authors' six files, where they are present


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> dict[str, str]:
    """Option -> file or folder of toy weights; LRNet's are the authors' where present."""
    made = toy_run.write_weights(tmp_path_factory.mktemp("weights"))
    return made | {"model.landmarks.weights": str(LRNET / "g1_raw.pth")} if LRNET.is_dir() else made


def arguments(root: Path, preset: str, weights: dict[str, str], *more: str) -> list[str]:
    config = toy_run.write_config(root / "config.py", preset, **{"eval.diagnostics": False})
    options = [f"--config.{option}={source}" for option, source in weights.items()]
    return [f"--config={config}", f"--workdir={root / 'run'}", *options, *more]


def scored(run: Path, line: list[str], capsys) -> float:
    """Of a test video, after evaluation has gone through."""
    assert run_main("evaluate", *line) == 0
    rows = [json.loads(row) for row in (run / "scores.jsonl").read_text().splitlines()]
    assert rows and all(np.isfinite(row["logit_margin"]) for row in rows)
    capsys.readouterr()
    video = sorted(run.glob("videos/**/*.mp4"))[0]
    assert run_main("predict", *line, str(video)) == 0
    return json.loads(capsys.readouterr().out)["score"]


def test_the_papers_preset_trains_evaluates_and_predicts(tmp_path, weights, capsys):
    parts = {option: source for option, source in weights.items() if option != "init_from"}
    line = arguments(tmp_path, 'ffpp.get_config("paper")', parts, "--config.train.steps=2")
    assert run_main("prepare", *line) == 0 and run_main("train", *line) == 0
    run = tmp_path / "run"
    sources = {entry["option"]: entry for entry in json.loads((run / "weights.json").read_text())["sources"]}
    assert set(sources) == set(parts) and all(entry["loaded"] for entry in sources.values())
    fresh = {path.split("/")[1] for path in sources["model.rppg.weights"]["fresh"]}
    assert fresh == {"views"}  # the down-sampler and the PFE, which CPML adds
    rows = [json.loads(row) for row in (run / "metrics.jsonl").read_text().splitlines()]
    steps = [row for row in rows if row["kind"] == "train"]
    assert len(steps) == 2 and all(row["learning_rate"] == pytest.approx(1e-5, rel=1e-4) for row in steps)
    for row in steps:
        total = row["ce"] + 0.2 * (row["pull"] + row["push"] + row["rate"])
        total += 0.25 * (row["align"] + row["repel"] + row["steady"])
        assert row["loss"] == pytest.approx(total, rel=1e-4) and "teacher" not in row
    assert 0 <= scored(run, line, capsys) <= 1


def test_a_checkpoint_of_the_reference_is_scored_as_it_is(tmp_path, weights, capsys):
    parts = {option: weights[option] for option in ("init_from", "model.text_encoder.weights")}
    line = arguments(tmp_path, "reference.get_config()", parts)
    assert run_main("prepare", *line) == 0 and run_main("train", *line) == 0
    rows = [json.loads(row) for row in (tmp_path / "run/metrics.jsonl").read_text().splitlines()]
    assert not [row for row in rows if row["kind"] == "train"]
    assert 0 <= scored(tmp_path / "run", line, capsys) <= 1
    assert run_main("train", *line) == 0, "again: nothing to do"


@pytest.mark.parametrize("config, first", [("paper", "model.text_encoder.weights"), ("reference", "init_from")])
def test_what_is_lacking_is_one_line_before_any_work(tmp_path, capsys, config, first):
    preset = "configs/ffpp.py:paper" if config == "paper" else "configs/reference.py"
    assert run_main(f"--config={preset}", f"--workdir={tmp_path / 'run'}") == 2
    (line,) = [row for row in capsys.readouterr().err.splitlines() if "needs" in row]
    wanted = (first, "model.text_encoder.weights", "data.sources.ffpp.root")
    assert all(f"--config.{key}=" in line for key in wanted) and not (tmp_path / "run").exists()
    missing = str(tmp_path / "none.pth")
    more = (f"--config.model.landmarks.weights={missing}", f"--config.init_from={missing}")
    assert run_main(f"--config={preset}", f"--workdir={tmp_path / 'run'}", *more) == 2
    err = capsys.readouterr().err
    assert f"init_from={missing}: no such file" in err and f"model.landmarks.weights={missing}: no such file" in err


def test_arguments_of_the_presets():
    assert ffpp.get_config("paper:c40").train.compressions == ("c40",)
    assert reference.get_config("c23").train.compressions == ("c23",)
    with pytest.raises(UserError, match="paper:raw,c23: the paper makes its lower views itself"):
        ffpp.get_config("paper:raw,c23")
    with pytest.raises(UserError, match="configs/reference.py:c99: 'c99' is not one of raw, c23, c40"):
        reference.get_config("c99")
