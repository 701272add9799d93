"""A configuration is refused before any work, in one line that names the key."""

import importlib
import json
import re
from pathlib import Path

import pytest
import tiny
from command import run_main
from ml_collections import ConfigDict

from cpml_jax import chain, configuration, evaluate, predict, preparation, sweep, train
from cpml_jax.configs import _bases, ablation, base, protocols
from cpml_jax.configuration import bundled, flattened, locate
from cpml_jax.errors import UserError
from cpml_jax.validation import validate
from cpml_jax.validation.rules import RULES, UNRESTRICTED
from cpml_jax.validation.weights import check_weights

VISUAL = {"model.modalities": ("visual",)}
LITE = VISUAL | {"model.visual.encoder": "efficientnet_lite0", "model.visual.image_size": 32}
LINEAR = {"model.head": "linear", "loss.cmcl": 0.0}
DRAW = dict(
    style="a", identities={"train": 2}, frames=16, size=64, compressions={"train": ("raw", "c23")},
    methods=("Deepfakes",), seed=1,
)  # fmt: skip


def config_with(changes: dict) -> ConfigDict:
    return tiny.training_config("{workdir}/records", **changes)


# (changes, what the message holds); it always begins with, or names, the first key that is changed.
BAD = [
    ({"name": ""}, "not empty"),
    ({"seed": -1}, "a whole number from 0"),
    ({"data.num_frames": 18}, "a positive multiple of 4"),
    ({"data.num_frames": 0}, "a positive multiple of 4"),
    ({"data.max_windows": 0}, "above 0"),
    ({"data.windows": "all"}, "one of first, spread"),
    ({"data.workers": -1}, "0 or more"),
    ({"train.dataset": "nowhere"}, "not in data.sources; it holds faces"),
    ({"train.compressions": ()}, "one compression or more"),
    ({"train.compressions": ("raw", "raw")}, "each once"),
    ({"train.compressions": ("c23", "raw")}, r"begins with the best: \('raw', 'c23'\)"),
    ({"train.compressions": ("raw", "c40")}, "leaves out of preparation"),
    ({"train.methods": ("real",)}, "not real"),
    ({"train.methods": ("Face2Face",)}, "leaves out of preparation"),
    ({"train.views": "upsampled"}, "one of recorded, downsampled"),
    ({"train.downsampled": ("third",)}, "subset of half, quarter"),
    ({"train.batch_size": 7}, "even"),
    ({"train.steps": -1}, "0 or more"),
    ({"train.log_every": 0}, "above 0"),
    ({"train.eval_every": -5}, "above 0"),
    ({"train.checkpoint_every": 0}, "above 0"),
    ({"train.precision": "float16"}, "one of float32, bfloat16"),
    ({"optim.learning_rate": 0.0}, "above 0"),
    ({"optim.warmup_steps": 6}, "below the number of updates, 6"),
    ({"optim.warmup_steps": 3, "optim.accumulate": 2}, "below the number of updates, 3"),
    ({"optim.final_fraction": 1.5}, "between 0 and 1"),
    ({"optim.accumulate": 0}, "above 0"),
    ({"optim.groups": (("rppg/", -1.0),)}, "learning-rate factor of 0 or more"),
    ({"optim.groups": (("rppg(", 1.0),)}, "no regular expression"),
    ({"optim.groups": ("rppg/",)}, "a group is"),
    ({"loss.ce_views": "some"}, "one of best, all"),
    ({"loss.pairing": "half"}, "one of full, downsampled"),
    ({"loss.pairing": "downsampled"}, "train.views='recorded' has none"),
    ({"loss.pairing": "downsampled", "train.views": "downsampled", "train.downsampled": ("half",)}, "makes one"),
    ({"model.fusion_wiring": "drawn"}, "one of specified, released"),
    ({"model.fusion_wiring": "released", "model.modalities": ("rppg",)}, "set it to 'specified'"),
    ({"model.fusion_wiring": "released", "model.fusion_landmarks": "beside"}, "set it to 'specified'"),
    ({"model.rppg.pfe_views": "half"}, "one of downsampled, all"),
    ({"loss.cqsl": -0.2}, "0 or more"),
    ({"loss.cqsl_pull": -1.0}, "0 or more"),
    ({"loss.cqsl_push": -1.0}, "0 or more"),
    ({"loss.cqsl_rate": -1.0}, "0 or more"),
    ({"loss.cmcl_align": -1.0}, "0 or more"),
    ({"loss.cmcl_repel": -1.0}, "0 or more"),
    ({"loss.cmcl_steady": -1.0}, "0 or more"),
    ({"loss.push_pairs": "own"}, "one of matched, all"),
    ({"loss.push_margin": 1.0}, "below 1"),
    ({"loss.push_margin": -0.1}, "0 or more"),
    ({"loss.push_skip_matching": 0.0}, "1 to leave no fake out"),
    ({"loss.push_skip_matching": 1.5}, "1 to leave no fake out"),
    ({"loss.simclr": -1.0, **VISUAL}, "0 or more"),
    ({"loss.simclr_temperature": 0.0}, "above 0"),
    ({"loss.simclr": 1.0}, "needs the visual stream"),
    ({"loss.prompt_mse": 1.0}, "needs the visual stream"),
    ({"loss.cmcl": 0.25, "model.head": "linear"}, "compares with the class prompts"),
    ({"loss.affinity": 1.0, **LINEAR}, "compares with the class prompts"),
    ({"model.modalities": ()}, "non-empty subset"),
    ({"model.modalities": ("rppg", "audio")}, "non-empty subset"),
    ({"model.head": "quadratic"}, "one of prompts, prototypes, linear"),
    ({"model.fusion_projection": "random"}, "one of linear, none"),
    ({"model.fusion_projection": "none"}, "visual stream alone"),
    ({"loss.sparsity": 0.1, "loss.cmcl": 0.0, "model.fusion_projection": "none", "model.head": "linear"}, "last map"),
    ({"model.fusion_stage_pool": "max"}, "one of flatten, mean, global"),
    ({"model.fusion_landmarks": "above"}, "one of crossed, beside"),
    ({"model.fusion_dropout": 1.0}, "below 1"),
    ({"model.temperature": 0.0099}, "between 0.01 and 10"),
    ({"model.temperature": float("nan")}, "of type float"),
    ({"model.rppg.blocks": 4}, "multiple of 3"),
    ({"model.rppg.dim": 9}, "multiple of"),
    ({"model.rppg.patch": (4, 2)}, "time, height, width"),
    ({"model.rppg.stem": ()}, "whole number above 0"),
    ({"model.rppg.input_norm": "none"}, "one of center"),
    ({"model.rppg.frame_size": 20}, "multiple of 8"),
    ({"model.landmarks.memory": 0.5}, "0 or more than 1 frame"),
    ({"model.landmarks.dropout": -0.1}, "below 1"),
    ({"model.visual.frames": 17, **VISUAL}, "more than a clip has"),
    ({"model.visual.patch": 5}, "visual"),
    ({"model.visual.contrast": 1}, "2 to 32 cells"),
    ({"model.texture.cells": 33}, "2 to 32 cells"),
    ({"train.views": "downsampled", "model.modalities": ("rppg", "texture")}, "measured on recorded frames"),
    ({"model.visual.encoder": "none", **VISUAL}, "leaves the visual stream nothing"),
    ({"loss.simclr": 1.0, "model.visual.encoder": "none", "model.visual.contrast": 4, **VISUAL}, "needs the image"),
    ({"model.fusion_projection": "none", "model.visual.contrast": 4, **VISUAL}, "without contrast"),
    ({"model.visual.encoder": "resnet"}, "one of clip, efficientnet_lite0, none"),
    ({"model.visual.trained": "some"}, "one of all, norm, none"),
    ({"model.visual.projection": -1}, "0 or more"),
    ({"model.visual.projection": 16, **VISUAL}, "is of model.visual.encoder='efficientnet_lite0'"),
    ({"model.visual.pool": "mean"}, "one of global, regions"),
    ({"model.visual.pool": "regions", **VISUAL}, "is of model.visual.encoder='efficientnet_lite0'"),
    ({"model.fusion_projection": "none", "model.visual.pool": "regions", "model.unified_dim": 1024, **LITE}, "=1024"),
    ({"model.visual.image_size": 31, **VISUAL, "model.visual.encoder": "efficientnet_lite0"}, "is below 32"),
    ({"model.fusion_projection": "none", **LITE}, "set model.visual.projection=16"),
    ({"loss.prompt_mse": 1.0, **LITE}, "set model.visual.projection=16"),
    ({"model.text_encoder.mode": "thawed"}, "one of finetune, frozen, context"),
    ({"model.text_encoder.prompts": "sample"}, "one of sampled, ensemble"),
    ({"model.text_encoder.classes": "many"}, "one of binary, methods"),
    ({"model.text_encoder.context_init": "a photo of a"}, "goes with mode='context'"),
    ({"model.text_encoder.context_per_class": True, "model.text_encoder.mode": "frozen"}, "goes with mode='context'"),
    ({"model.text_encoder.context_init": "a photo", "model.text_encoder.mode": "context"}, "context_tokens=2"),
    ({"model.text_encoder.context_tokens": 0}, "above 0"),
    ({"model.text_encoder.context_length": 8}, "too short"),
    ({"model.text_encoder.bank": "/none.json"}, "not readable"),
    ({"model.text_encoder.width": 15}, "multiple of model.text_encoder.heads=2"),
    ({"eval.protocols": ()}, "is empty"),
    ({"eval.protocols": ("cross_compresion",)}, "did you mean 'cross_compression'"),
    ({"eval.compressions": ()}, "is empty"),
    ({"eval.compressions": ("raw", "c40")}, "leaves out"),
    ({"eval.cross_datasets": ("celeb",)}, "not in data.sources: faces"),
    ({"eval.cross_datasets": ("faces",)}, "the training data set"),
    ({"eval.cross_datasets": (), "eval.protocols": ("cross_dataset",)}, "is empty"),
    ({"train.methods": tiny.METHODS, "eval.protocols": ("cross_manipulation",)}, "leaves no method"),
    ({"eval.conditions": ("blurr-3",)}, "did you mean 'blur-3'"),
    ({"eval.batch_size": 0}, "above 0"),
    ({"eval.checkpoint": "bestt"}, "best, latest, or the number of a step"),
    ({"data.sources.faces.kind": "ffp"}, "one of celebdf"),
    ({"data.sources.faces.splits": ("train", "valid")}, "train, val, test"),
    ({"data.sources.faces.splits": ("test",)}, "no train and no val split"),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "words"), BAD, ids=[str(changes) for changes, _ in BAD])
def test_a_bad_value_is_refused_in_one_line_that_names_its_key(changes, words):
    with pytest.raises(UserError, match=words) as error:
        validate(config_with(changes))
    assert next(iter(changes)) in str(error.value) and "\n" not in str(error.value)


def test_every_key_has_a_rule_or_needs_none():
    keys = set(flattened(base.get_config().to_dict()))
    assert keys == set(RULES) | UNRESTRICTED and not set(RULES) & UNRESTRICTED


@pytest.mark.parametrize(
    "argument",
    [f"{row}:{name}" for name in _bases.BASES for row in ablation.table() | ablation.settings()],
)
def test_the_rows_of_the_ablation_are_valid(argument):
    validate(ablation.get_config(argument))


@pytest.mark.parametrize("protocol", protocols.PROTOCOLS)
def test_the_configurations_of_protocols_are_valid(protocol):
    for name in _bases.BASES:
        validate(protocols.get_config(f"{protocol}:{name}"), "sweep")


@pytest.mark.parametrize("name", sorted(bundled().keys() - {"protocols", "base"}))
def test_every_bundled_configuration_can_be_prepared(name):
    validate(importlib.import_module(f"cpml_jax.configs.{name}").get_config(), "prepare")


def test_keys_that_do_not_exist_are_refused():
    config = config_with({})
    config.train.stesp = 3
    with pytest.raises(UserError, match="no key 'train.stesp', did you mean 'train.steps'"):
        validate(config)
    config = config_with({})
    config.eval.bootstrap = 1000
    with pytest.raises(UserError, match="'eval.bootstrap' is gone .*; leave it out"):
        validate(config)
    config = config_with({})
    config.train.qualities = ("raw",)
    with pytest.raises(UserError, match="'train.qualities' is now called 'train.compressions'"):
        validate(config)
    config = config_with({})
    del config.optim["clip_norm"]
    with pytest.raises(UserError, match="lacks 'optim.clip_norm'"):
        validate(config)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda source: source.update(metods=()), "unknown key 'metods'"),
        (lambda source: source.__delattr__("methods"), "'methods' is missing"),
        (lambda source: source.update(draw=DRAW | {"fps": 3}), "unknown key 'fps'"),
        (lambda source: source.update(draw=DRAW | {"frames": 8}), "data.num_frames=16 is more than"),
        (lambda source: source.update(draw=DRAW | {"compressions": {"val": ("raw",)}}), "does not draw for the val"),
    ],
)
def test_a_data_set_s_entry_is_checked(change, words):
    config = config_with({})
    change(config.data.sources.faces)
    with pytest.raises(UserError, match=words):
        validate(config)


def test_one_prompt_a_class_cannot_be_halved(tmp_path):
    bank = tmp_path / "bank.json"
    bank.write_text(json.dumps({"real": ["a real face"], "fake": ["a fake face", "a forged face"]}))
    with pytest.raises(UserError, match="loss.prompt_mse=1.0.*two or more"):
        validate(config_with({**VISUAL, "loss.prompt_mse": 1.0, "model.text_encoder.bank": str(bank)}))


def test_weights_that_are_not_there_are_refused_before_preparation(tmp_path):
    for key in ("init_from", "model.rppg.weights", "model.landmarks.weights"):
        with pytest.raises(UserError, match=f"^{key}=.*no such file"):
            check_weights(config_with({key: str(tmp_path / "weights.pth")}))
    check_weights(config_with({"model.rppg.weights": "open-rppg:rlap"}))


def refused(tmp_path: Path) -> dict:
    """Every verb, as a function of a configuration."""
    work = tmp_path / "work"
    return {
        "all": lambda config: chain.run(None, config, work),
        "prepare": lambda config: chain.run("prepare", config, work),
        "verify": lambda config: preparation.verify(config, work),
        "train": lambda config: chain.run("train", config, work),
        "evaluate": lambda config: chain.run("evaluate", config, work),
        "report": lambda config: chain.run("report", config, work),
        "predict": lambda config: predict.run(config, work, ["video.mp4"]),
        "sweep": lambda config: sweep.run(config, work, ("in_dataset",)),
        "export": lambda config: chain.export(config, work, str(tmp_path / "out")),
        "train.train": lambda config: train.train(config, work),
        "evaluate.run": lambda config: evaluate.run(config, work),
    }


@pytest.mark.parametrize("verb", sorted(refused(Path("."))))
def test_every_verb_refuses_before_any_work(tmp_path, verb):
    for changes, words in (({"train.steps": -1}, "train.steps=-1"), ({"model.rppg.blocks": 4}, "rppg.blocks")):
        with pytest.raises(UserError, match=words):
            refused(tmp_path)[verb](config_with(changes))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("key", configuration.RENAMED)
def test_an_old_key_on_the_command_line_is_answered_with_today_s(key, capsys):
    with pytest.raises(SystemExit) as status:
        run_main("--config=configs/synthetic.py", f"--config.{key}=x")
    line = capsys.readouterr().err.strip()
    assert status.value.code == 2 and configuration.RENAMED[key] in line and "\n" not in line


def test_a_configuration_is_found_by_its_name_anywhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    file = bundled()["synthetic"]
    for name in ("synthetic", "synthetic.py", "configs/synthetic.py"):
        assert locate(f"{name}:full") == f"{file}:full"
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs/synthetic.py").write_text("")
    for name in ("synthetic", "configs/synthetic.py"):
        assert locate(name) == "configs/synthetic.py"
    (tmp_path / "mine.py").write_text("")
    assert locate("mine:a:b") == "mine.py:a:b"
    with pytest.raises(UserError, match="no such file; did you mean configs/synthetic.py"):
        locate("configs/sinthetic.py")
    with pytest.raises(UserError, match="no such file; the bundled ones are ablation, "):
        locate("zzzzz")
    with pytest.raises(UserError, match=re.escape("configs/protocols.py:corruption:ffpp")):
        locate("configs/protocols/corruption.py:ffpp")


def test_protocols_are_listed_where_none_fits():
    for argument in ("", "cross", "synthetic:in_dataset"):
        with pytest.raises(UserError, match="in_dataset, cross_compression, .*the bases synthetic, ffpp"):
            protocols.get_config(argument)
    with pytest.raises(UserError, match="unknown base 'dfd'"):
        protocols.get_config("in_dataset:dfd")
