"""A model that reads measured texture alone, through the real command: no pixel goes to the device."""

import json

import numpy as np
from command import run_main

CONFIG = """
import tiny

def get_config():
    return tiny.training_config({records!r}, **{{
        "model.modalities": ("texture",), "model.texture.cells": 6, "model.head": "prototypes",
        "loss.cqsl": 0.0, "loss.teacher": 0.0, "train.steps": 2, "train.eval_every": 2,
        "eval.protocols": ("in_dataset",),
    }})
"""


def test_texture_alone_is_trained_evaluated_and_shown(tiny_records, tmp_path, capsys):
    file, workdir = tmp_path / "texture.py", tmp_path / "run"
    file.write_text(CONFIG.format(records=str(tiny_records)))
    arguments = (f"--config={file}", f"--workdir={workdir}")
    assert run_main("train", *arguments, "--config.train.views=downsampled") == 2
    printed = capsys.readouterr().err
    assert printed.startswith("error: train.views='downsampled' makes views inside") and printed.count("\n") == 1
    for verb in ("train", "evaluate", "report"):
        assert run_main(verb, *arguments) == 0
    written = json.loads((workdir / "evaluation.json").read_text())
    assert written["diagnostics"]["streams"] == ["texture"] and written["results"]
    with np.load(workdir / "saliency.npz") as file:
        assert len(file["saliency"]) and not file["saliency"].any()
    assert "measured before the model" in (workdir / "report.html").read_text()
    capsys.readouterr()
    assert run_main("evaluate", *arguments, "--config.model.texture.cells=5") == 2
    assert "model.texture.cells was 6, is 5" in capsys.readouterr().err
