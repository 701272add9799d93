"""The command line as a stranger meets it: one line, what and where, status 2, never a traceback."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CONFIG = "--config=configs/synthetic.py"


def main(*arguments: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "main.py", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "--config is missing"),
        (["--config=configs/nothing.py"], "no such file"),
        (["--config=configs/synthetic.py:huge"], "small, full"),
        ([CONFIG, "--config.trian.steps=3"], "no key 'trian', did you mean 'train'?"),
        ([CONFIG, "--config.train.stesp=3"], "no key 'stesp', did you mean 'steps'?"),
        ([CONFIG, "--config.train.zzzzz=3"], "no key 'zzzzz'"),
        ([CONFIG, "--config.train.steps=many"], "many"),
        ([CONFIG, "--wrokdir=x"], "Did you mean: workdir"),
        (["trian", CONFIG], "did you mean 'train'"),
        (["predict", "--model=/nowhere", "video.mp4"], "/nowhere: no such folder"),
        (["predict", "video.mp4"], "--config is missing"),
        (["train", CONFIG, "--model=x"], "--model goes with predict"),
        (["predict", CONFIG, "--out=a.jsonl", "--report=a.html", "video.mp4"], "--out is for many videos; give one of"),
        (["predict", CONFIG, "--beam_runner=FnApiRunner", "video.mp4"], "a file for the answers: --out=answers.jsonl"),
        (["train", CONFIG, "--out=a"], "--out goes with export, compare and predict"),
        (["train", CONFIG, "video.mp4"], "only predict and compare take files"),
    ],
)
def test_a_mistake_is_one_clear_line(arguments, said):
    done = main(*arguments)
    lines = done.stderr.strip().splitlines()
    assert done.returncode == 2 and len(lines) == 1, done.stderr
    assert lines[0].startswith("error: ") and said in lines[0]


@pytest.mark.parametrize(
    ("verb", "changes", "said"),
    [
        ("train", [], "main.py prepare"),
        ("evaluate", [], "main.py train"),
        ("predict", [], "main.py train"),
        ("prepare", ["--config.data.sources.ffpp.root=/nowhere/at/all"], "/nowhere/at/all"),
        ("prepare", [], "data.sources.ffpp.root is empty"),
    ],
)
def test_a_verb_whose_input_is_missing_says_what_to_run(tmp_path, verb, changes, said):
    config = "--config=configs/ffpp.py" if verb == "prepare" else CONFIG
    done = main(verb, config, f"--workdir={tmp_path}", *changes, *(["video.mp4"] if verb == "predict" else []))
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert done.returncode == 2 and "Traceback" not in done.stderr, done.stderr
    assert len(errors) == 1 and said in errors[0], done.stderr
