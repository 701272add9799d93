"""A model that reads stills alone, from its training to its evaluation, through the real command."""

import json

from command import run_main

CONFIG = """
import tiny

def get_config():
    return tiny.training_config({records!r}, **{{
        "model.modalities": ("visual",), "model.visual.encoder": False, "model.head": "prototypes",
        "loss.cqsl": 0.0, "loss.teacher": 0.0, "train.steps": 2, "train.eval_every": 2,
        "eval.protocols": ("in_dataset",),
    }})
"""


def test_contrast_alone_is_trained_and_evaluated(tiny_records, tmp_path, capsys):
    file, workdir = tmp_path / "contrast.py", tmp_path / "run"
    file.write_text(CONFIG.format(records=str(tiny_records)))
    arguments = (f"--config={file}", f"--workdir={workdir}")
    assert run_main("train", *arguments) == 2
    assert "leaves the visual stream nothing" in capsys.readouterr().err
    arguments = (*arguments, "--config.model.visual.contrast=4")
    for verb in ("train", "evaluate"):
        assert run_main(verb, *arguments) == 0
    written = json.loads((workdir / "evaluation.json").read_text())
    assert written["diagnostics"]["streams"] == ["visual"] and written["results"]
    config = workdir / "checkpoints/config.json"  # as a version before stills would have left it
    saved = json.loads(config.read_text())
    del saved["model"]["visual"]["contrast"]
    config.write_text(json.dumps(saved))
    assert run_main("evaluate", *arguments) == 2
    assert "visual stream was trained on frames of 16 pixels" in capsys.readouterr().err
