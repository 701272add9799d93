"""Trained weights into fresh variables: the right places, their sharding, what is reported, and what is refused."""

import importlib

import clip_folder
import jax
import keras_weights
import numpy as np
import pytest
import tiny
from flax.traverse_util import flatten_dict

from cpml_jax.errors import UserError
from cpml_jax.evaluation import scoring
from cpml_jax.pretrained import apply, clip, huggingface
from cpml_jax.training import sharding

ALL = ("rppg", "landmarks", "visual")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return str(clip_folder.write(tmp_path_factory.mktemp("clip")))


@pytest.fixture(scope="module")
def keras_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("keras") / "made.weights.h5"
    keras_weights.write(path, keras_weights.arrays())
    return f"open-rppg:rlap:{path}"


def sevens(config, split: bool = False):
    """Variables of the configured model, every number 7, on the mesh of all devices."""
    model, tokens = scoring.build_model(config)
    keys = {"params": jax.random.key(0), "dropout": jax.random.key(0)}
    shapes = jax.eval_shape(lambda: model.init(keys, scoring.dummy_inputs(config), tokens, method="init_everything"))
    shardings = sharding.state_shardings(shapes, sharding.make_mesh(), split)
    return jax.tree.map(lambda a, s: jax.device_put(np.full(a.shape, 7, a.dtype), s), dict(shapes), shardings)


def config_with(**changes):
    settings = {"model.modalities": ALL, "model.rppg.frame_size": 32} | changes
    return tiny.tiny_config(**settings)


def test_every_source_fills_its_part_and_nothing_else(folder, keras_file):
    config = config_with(**{
        "model.text_encoder.weights": folder, "model.visual.weights": folder, "model.rppg.weights": keras_file,
    })  # fmt: skip
    variables = sevens(config, split=True)
    filled, report = apply.initialise(variables, config.to_dict())
    before, after = flatten_dict(variables), flatten_dict(filled)
    assert before.keys() == after.keys()
    split = 0
    for path, array in after.items():
        assert array.shape == before[path].shape and array.dtype == before[path].dtype
        assert array.sharding == before[path].sharding
        split += not array.sharding.is_fully_replicated
        trained = path[1] in ("text_encoder", "visual", "tau") or (path[1] == "rppg" and path[2] != "views")
        assert np.all(np.asarray(array) == 7) != trained, path
    assert split > 20  # PhysFormer's 3x3x3 kernels
    state, _ = huggingface.arrays(huggingface.locate(folder), ("",))
    text = flatten_dict(clip.text_parameters({k: v for k, v in state.items() if k.startswith("text")}, layers=2))
    for path, expected in text.items():
        np.testing.assert_array_equal(after["params", "text_encoder", *path], expected)
    lines = apply.summary(report)
    assert [entry["option"] for entry in report] == [
        "model.rppg.weights", "model.text_encoder.weights", "model.visual.weights",
    ]  # fmt: skip
    assert "418 arrays loaded; left fresh: views" in lines[0]
    assert after["params", "tau"] == pytest.approx(min(float(state["logit_scale"]), np.log(100)))
    assert f"{len(text) + 1} arrays loaded" in lines[1] and "params/tau" in report[1]["loaded"]
    assert "logit_scale" in lines[2]  # the image encoder leaves it to the text encoder's weights


def test_nothing_configured_changes_nothing():
    config = config_with()
    variables = sevens(config)
    same, report = apply.initialise(variables, config.to_dict())
    assert report == [] and flatten_dict(same) == flatten_dict(variables)


def test_weights_of_an_absent_stream_are_reported(folder):
    config = config_with(**{"model.modalities": ("landmarks",), "model.visual.weights": folder})
    variables = sevens(config)
    same, report = apply.initialise(variables, config.to_dict())
    assert flatten_dict(same) == flatten_dict(variables)
    assert "0 arrays loaded; ignored: everything: the model has no visual" in apply.summary(report)[0]


def test_shapes_come_from_the_folder(folder, keras_file):
    config = config_with(**{
        "model.text_encoder.weights": folder, "model.visual.weights": folder, "model.rppg.weights": keras_file,
    })  # fmt: skip
    before = config.to_dict()
    given = apply.configured(config.model.to_dict())
    assert config.to_dict() == before
    assert (given["text_encoder"]["layers"], given["text_encoder"]["context_length"]) == (2, 32)
    assert (given["visual"]["image_size"], given["visual"]["width"]) == (32, 24)
    assert given["text_encoder"]["mode"] == "finetune" and given["visual"]["frames"] == 2
    assert given["rppg"]["heads"] == 12 and given["rppg"]["input_norm"] == "standardize"
    assert given["rppg"]["frame_size"] == 32
    _, tokens = scoring.build_model(config)
    assert tokens.shape == (2, 6, 32)
    config.model.unified_dim = 12
    with pytest.raises(UserError, match="text_encoder.weights.*embeddings of 16.*unified_dim is 12"):
        scoring.build_model(config)


def test_a_source_s_error_names_its_option_in_one_line(folder, tmp_path):
    for option, source, message in (
        ("model.text_encoder.weights", str(tmp_path / "nothing"), "no such folder"),
        ("model.visual.weights", str(tmp_path), "config.json"),
    ):
        with pytest.raises(UserError, match=f"^{option}={source}: .*{message}") as caught:
            scoring.build_model(config_with(**{option: source}))
        assert "\n" not in str(caught.value)
    config = config_with(**{"model.rppg.weights": "open-rppg:vipl"})
    with pytest.raises(UserError, match="^model.rppg.weights=open-rppg:vipl: open-rppg has open-rppg:rlap"):
        apply.initialise(sevens(config), config.to_dict())


def test_a_tokenizer_of_another_vocabulary_is_refused(tmp_path):
    from cpml_jax.models import prompts

    folder = clip_folder.write(tmp_path)
    for name in ("vocab.json", "merges.txt"):
        (folder / name).unlink()
    prompts.build_tokenizer((("a real face",), ("a fake face",))).save_pretrained(folder)
    with pytest.raises(UserError, match="its tokenizer has"):
        scoring.build_model(config_with(**{"model.text_encoder.weights": str(folder)}))


def test_the_last_word_is_the_whole_model_s():
    assert apply.OPTIONS[-1] == "init_from"
    options = apply.sources({"init_from": "a", "model": {"text_encoder": {"weights": "b"}, "rppg": {"weights": ""}}})
    assert list(options.items()) == [("model.text_encoder.weights", "b"), ("init_from", "a")]


@pytest.mark.parametrize("loader", apply.LOADERS, ids=lambda loader: loader.function)
def test_every_loader_is_there(loader):
    module, name = loader.function.split(":")
    assert callable(getattr(importlib.import_module(f"cpml_jax.pretrained.{module}"), name))
