"""A model that reads stills alone, from its training to its evaluation, through the real command."""

import json

import numpy as np
from command import run_main
from safetensors.numpy import load_file

from cpml_jax.pretrained import efficientnet_lite, torch_file
from cpml_jax.training import run_files

CONFIG = """
import tiny

def get_config():
    return tiny.training_config({records!r}, **{{
        "model.modalities": ("visual",), "model.visual.encoder": "none", "model.head": "prototypes",
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
    (config.parent / run_files.SUMS).unlink()  # such a version wrote none
    assert run_main("evaluate", *arguments) == 2
    assert "visual stream was trained on frames of 16 pixels" in capsys.readouterr().err


LITE = (
    "--config.model.visual.encoder=efficientnet_lite0", "--config.model.visual.weights=package",
    "--config.model.visual.image_size=32", "--config.model.visual.trained=none", "--config.model.visual.pool=regions",
)  # fmt: skip


def test_a_pretrained_encoder_is_trained_scored_and_handed_on(tiny_records, tmp_path, capsys):
    file, first, second = tmp_path / "lite.py", tmp_path / "first", tmp_path / "second"
    file.write_text(CONFIG.format(records=str(tiny_records)))
    arguments = (f"--config={file}", *LITE)
    assert run_main("train", *arguments, f"--workdir={first}", "--config.model.visual.weights=x.pth") == 2
    assert (
        capsys.readouterr().err
        == "error: model.visual.weights=x.pth: no such file; give EfficientNet-Lite0's .pth file, or 'package'\n"
    )
    assert run_main("train", *arguments, f"--workdir={first}") == 0
    printed = capsys.readouterr().err
    assert "model.visual.weights=package: 240 arrays loaded; left fresh: standard; ignored: " in printed
    assert "EfficientNet-Lite0 weights" not in printed
    # From the folder of its export, without a step: the same numbers, statistics and all.
    handed_on = (f"--config.init_from={tmp_path / 'of_first'}", "--config.train.steps=0")
    exported = []
    for workdir, more in ((first, ()), (second, handed_on)):
        assert run_main("train", *arguments, *more, f"--workdir={workdir}") == 0
        folder = tmp_path / f"of_{workdir.name}"
        assert run_main("export", *arguments, *more, f"--workdir={workdir}", f"--out={folder}") == 0
        exported.append(load_file(folder / "model.safetensors"))
    of_first, of_second = exported
    assert of_first.keys() == of_second.keys()
    assert all((of_first[name] == of_second[name]).all() for name in of_first)
    assert of_first["batch_stats/visual/standard/batches"] == 2
    assert of_first["batch_stats/visual/standard/mean"].shape == (384,)
    package = torch_file.read(efficientnet_lite.locate("package")).state
    for ours, theirs in (("params/{}/scale", "weight"), ("batch_stats/{}/mean", "running_mean")):
        name = ours.format("visual/backbone/block_15/project/norm")
        np.testing.assert_array_equal(of_first[name], package[f"_blocks.15._bn2.{theirs}"])
