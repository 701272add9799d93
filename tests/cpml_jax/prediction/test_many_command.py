"""The examples of docs/usage.md, "Many videos", as they stand there: a whole model, drawn videos, the real command."""

import json
import re
import shlex
from pathlib import Path

import jax
import pytest
import tiny
from command import run_main
from odd.encoder import draw, encode

from cpml_jax.evaluation import model_folder, scoring
from cpml_jax.training.sharding import make_mesh

DOCS = Path(__file__).parents[3] / "docs/usage.md"


def examples():
    """The commands of the section, without what precedes `main.py`."""
    section = DOCS.read_text().partition("### Many videos\n")[2].partition("\n### ")[0]
    commands = re.findall(r"^uv run main.py (predict .*)$", section, re.M)
    assert len(commands) == 2 and "--out=" in commands[0] and "--beam_runner=" in commands[1]
    return [shlex.split(command) for command in commands]


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A working folder with `model` and `holiday`: two videos, one of them in a folder, and one that is none."""
    config = tiny.tiny_config(**{"model.modalities": ("landmarks",)})
    model, tokens = scoring.build_model(config)
    inputs = scoring.dummy_inputs(config)
    variables = jax.jit(lambda: model.init(jax.random.key(3), inputs, tokens, method="init_everything"))()
    scorer = scoring.Scorer(model, make_mesh(1), tokens, variables=variables, step=7)
    model_folder.write(tmp_path / "model", tmp_path, config, scorer, scorer.variables(), "# a card\n")
    (tmp_path / "holiday/more").mkdir(parents=True)
    encode(tmp_path / "holiday/a.mp4", draw(tiny.NUM_FRAMES + 2))
    encode(tmp_path / "holiday/more/b.mp4", draw(2 * tiny.NUM_FRAMES + 3, target=1))
    (tmp_path / "holiday/c.mp4").write_bytes(b"\0" * 3000)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_examples_give_the_answers_of_predict(here, capsys):
    first, second = examples()
    assert run_main("predict", "--model=model", "holiday/") == 1
    alone = {line["video"]: line for line in map(json.loads, capsys.readouterr().out.splitlines())}
    assert run_main(*first) == 1
    captured = capsys.readouterr()
    assert captured.out == "" and "answers.jsonl: 3 videos: " in captured.err and "1 error" in captured.err
    answers = {line["video"]: line for line in map(json.loads, Path("answers.jsonl").read_text().splitlines())}
    assert [len(answers[f"holiday/{name}"]["windows"]) for name in ("a.mp4", "more/b.mp4")] == [1, 2]
    for line in answers.values():
        assert line.pop("model").startswith("sha256:") and line.pop("settings") and line.pop("file")["bytes"] > 0
    assert answers == alone  # to the last bit
    before = Path("answers.jsonl").read_bytes()
    assert run_main(*second) == 1  # through Beam: nothing is left to do
    assert Path("answers.jsonl").read_bytes() == before
    Path("answers.jsonl").unlink()
    assert run_main(*second) == 1
    assert sorted(Path("answers.jsonl").read_bytes().splitlines()) == sorted(before.splitlines())
