"""The reference's PyTorch file under CLIP's prompts, through the real command: load, train, evaluate, predict.

And a run's folder is enough to score: the weights are deleted, the run and its records moved.
"""

import json
import re
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import toy_run
from command import run_main

from cpml_jax.training import run_files

CHANGES = {
    "train.dataset": "ffpp", "train.compressions": ("raw",), "train.views": "downsampled", "train.batch_size": 2,
    "train.steps": 2, "train.eval_every": 2, "model.rppg.input_norm": "unit",
}  # fmt: skip


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A trained run, and what its commands need."""
    root = tmp_path_factory.mktemp("whole")
    weights = toy_run.write_weights(root)
    options = ("init_from", "model.text_encoder.weights")
    config = toy_run.write_config(root / "config.py", "base.get_config()", **CHANGES)
    arguments = [f"--config={config}", *(f"--config.{option}={weights[option]}" for option in options)]
    assert run_main("prepare", *arguments, f"--workdir={root / 'run'}") == 0
    assert run_main("train", *arguments, f"--workdir={root / 'run'}") == 0
    return SimpleNamespace(
        root=root,
        workdir=root / "run",
        arguments=arguments,
        clip=Path(weights[options[1]]),
        file=Path(weights[options[0]]),
    )


def figures(workdir: Path) -> dict:
    """{clip: score} of an evaluation, and the hash of its parameters."""
    scores = [json.loads(line) for line in (workdir / "scores.jsonl").read_text().splitlines()]
    identity = json.loads((workdir / "evaluation.json").read_text())["checkpoint"]
    return {line["clip_id"]: line["logit_margin"] for line in scores} | identity


def predicted(workdir: Path, arguments: list[str], video: Path, capsys) -> dict:
    capsys.readouterr()
    assert run_main("predict", *arguments, f"--workdir={workdir}", str(video)) == 0
    return json.loads(capsys.readouterr().out)


def test_the_references_file_is_trained_evaluated_and_predicts(run, capsys):
    loaded = {entry["option"]: entry for entry in json.loads((run.workdir / "weights.json").read_text())["sources"]}
    fresh = {path for path in loaded["init_from"]["fresh"] if "/pfe/" not in path}
    assert len(loaded["init_from"]["loaded"]) > 100 and not fresh
    rows = [json.loads(line) for line in (run.workdir / "metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows if row["kind"] == "train"] == [1, 2]
    assert run_main("evaluate", *run.arguments, f"--workdir={run.workdir}") == 0
    assert all(np.isfinite(value) for value in figures(run.workdir).values() if isinstance(value, float))
    video = sorted(run.workdir.glob("videos/**/*.mp4"))[0]
    assert 0 <= predicted(run.workdir, run.arguments, video, capsys)["score"] <= 1


def test_a_model_is_handed_on_and_the_documents_example_runs(run, tmp_path, capsys, monkeypatch):
    if not (run.workdir / "evaluation.json").is_file():
        assert run_main("evaluate", *run.arguments, f"--workdir={run.workdir}") == 0
    video = sorted(run.workdir.glob("videos/**/*.mp4"))[0]
    answer = predicted(run.workdir, run.arguments, video, capsys)
    assert run_main("export", *run.arguments, f"--workdir={run.workdir}", f"--out={tmp_path / 'model'}") == 0
    for where in (f"--model={tmp_path / 'model'}", f"--model={run.workdir}", f"--workdir={run.workdir}"):
        capsys.readouterr()
        assert run_main("predict", where, str(video)) == 0
        assert json.loads(capsys.readouterr().out) == answer, where
    assert run_main("predict", f"--model={tmp_path / 'model'}", *run.arguments, str(video)) == 2
    assert "--model brings its own configuration" in capsys.readouterr().err

    (tmp_path / "runs").mkdir()
    (tmp_path / "runs/synthetic").symlink_to(run.workdir)
    (tmp_path / "video.mp4").symlink_to(video)
    monkeypatch.chdir(tmp_path)
    usage = (Path(toy_run.__file__).parents[1] / "docs/usage.md").read_text()
    (example,) = re.findall(r"```python\n(.*?)```", usage, re.DOTALL)
    exec(compile(example, "docs/usage.md", "exec"), {})
    said = capsys.readouterr().out
    assert said.startswith(f"video.mp4: {answer['label']}, P(fake) {answer['score']:.2f}\n")
    assert (tmp_path / "page.html").is_file()


def test_a_runs_folder_is_enough_to_score(run, tmp_path, capsys):
    """Old code read shapes and tokens from the CLIP folder each time, and counted its path as the model's identity."""
    workdir, video = run.workdir, sorted(run.workdir.glob("videos/**/*.mp4"))[0]
    if not (workdir / "evaluation.json").is_file():
        assert run_main("evaluate", *run.arguments, f"--workdir={workdir}") == 0
    before, answer = figures(workdir), predicted(workdir, run.arguments, video, capsys)
    shutil.move(run.workdir, tmp_path / "moved")
    shutil.move(tmp_path / "moved/records", tmp_path / "records")
    shutil.move(run.clip, tmp_path / "gone")
    run.file.unlink()
    (tmp_path / "moved/evaluation.json").unlink()
    for named in (run.clip, tmp_path / "gone", "an/other"):
        arguments = [*run.arguments[:-1], f"--config.model.text_encoder.weights={named}"]
        again = predicted(tmp_path / "moved", arguments, tmp_path / "moved" / video.relative_to(workdir), capsys)
        # The score is calibrated by evaluation.json, which is gone: the margins are the model's own.
        assert [w["margin"] for w in again["windows"]] == [w["margin"] for w in answer["windows"]]
        assert again["margin"] == answer["margin"]
    arguments = [*run.arguments, f"--workdir={tmp_path / 'moved'}", f"--config.data.records={tmp_path / 'records'}"]
    assert run_main("evaluate", *arguments) == 0 and figures(tmp_path / "moved") == before
    capsys.readouterr()
    assert run_main(*arguments) == 0, "training goes on where it was, and the rest is made"
    assert "is of this checkpoint and configuration: nothing to do" in capsys.readouterr().err
    without = [*arguments[:2], *arguments[3:]]
    assert run_main("evaluate", *without) == 2, "a model without trained words is another model"
    assert f"{run_files.FOLDER}: checkpoints of another configuration" in capsys.readouterr().err
