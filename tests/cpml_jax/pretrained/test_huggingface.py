"""CLIP in Hugging Face's layout: transformers' own numbers, and folders that are not whole."""

import json
from pathlib import Path

import clip_folder
import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest

from cpml_jax.errors import UserError
from cpml_jax.models.clip import ImageEncoder, TextEncoder
from cpml_jax.pretrained import huggingface


@pytest.fixture(scope="module")
def made():
    return clip_folder.Clip()


@pytest.fixture(scope="module")
def folder(made, tmp_path_factory):
    return clip_folder.write(tmp_path_factory.mktemp("clip"), made)


def encoders(settings: dict) -> tuple[TextEncoder, ImageEncoder]:
    image = {k: v for k, v in settings["image"].items() if k != "image_size"}
    width = settings["projection"]
    return TextEncoder(**settings["text"], projection=width), ImageEncoder(**image, projection=width)


def ours(folder: Path, tokens: np.ndarray, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Embeddings by the loading path."""
    results = []
    for encoder, load, x in zip(
        encoders(huggingface.settings(folder)), (huggingface.load_text, huggingface.load_image), (tokens, images),
        strict=True,
    ):  # fmt: skip
        fresh = jax.eval_shape(lambda encoder=encoder, x=x: encoder.init(jax.random.key(0), jnp.asarray(x)))
        loaded = load(str(folder), fresh)
        assert not loaded.fresh and loaded.batch_stats == {}
        assert len(loaded.loaded) == len(jax.tree.leaves(fresh["params"]))
        results.append(np.asarray(jax.jit(encoder.apply)({"params": loaded.params}, jnp.asarray(x))))
    return tuple(results)


def inputs(settings: dict, rows: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    last, length = settings["text"]["vocab_size"] - 1, settings["text"]["context_length"]
    tokens = rng.integers(0, last - 1, (rows, length))
    tokens[:, 0] = last - 1
    for row, end in enumerate(rng.integers(3, length, rows)):
        tokens[row, end:] = last
    size = settings["image"]["image_size"]
    return tokens.astype(np.int32), rng.normal(size=(rows, size, size, 3)).astype(np.float32)


def assert_same(a: np.ndarray, b: np.ndarray) -> None:
    """Cosine of every row at least 0.99999, and 1e-4 of the largest number."""
    cosine = (a * b).sum(-1) / np.linalg.norm(a, axis=-1) / np.linalg.norm(b, axis=-1)
    assert cosine.min() >= 0.99999
    assert np.abs(a - b).max() <= 1e-4 * np.abs(b).max()


@pytest.mark.parametrize("activation", ["quick_gelu", "gelu"])
def test_embeddings_are_those_of_transformers(tmp_path, activation, torch_numbers):
    made = clip_folder.Clip(activation=activation, seed=1)
    folder = clip_folder.write(tmp_path, made)
    tokens, images = inputs(huggingface.settings(folder), rows=3)
    theirs = torch_numbers(f"clip_{activation}", clip_folder.reference, made, tokens, images)
    for a, b in zip(ours(folder, tokens, images), theirs, strict=True):
        assert_same(a, b)


def test_embeddings_of_the_full_width_are_those_of_transformers(tmp_path, torch_numbers):
    """ViT-B/16 with two layers: one prompt, one image."""
    made = clip_folder.full_width()
    clip_folder.write(tmp_path, made)
    tokens, images = inputs(huggingface.settings(tmp_path), rows=1)
    theirs = torch_numbers("clip_full_width", clip_folder.reference, made, tokens, images)
    for a, b in zip(ours(tmp_path, tokens, images), theirs, strict=True):
        assert a.shape == (1, 512) and np.std(b) > 1e-3
        assert_same(a, b)
    (tmp_path / huggingface.WHOLE).unlink()  # 180 MB


def test_shards_and_half_precision_give_the_same_arrays(made, folder, tmp_path, torch_numbers):
    clip_folder.write(tmp_path / "shards", made, shards=3)
    assert (tmp_path / "shards" / huggingface.INDEX).is_file()
    prefixes = huggingface.PREFIXES["text"]
    whole, others = huggingface.arrays(folder, prefixes)
    parts, others_too = huggingface.arrays(tmp_path / "shards", prefixes)
    assert others == others_too and "logit_scale" in whole and whole.keys() == parts.keys()
    for name in whole:
        np.testing.assert_array_equal(whole[name], parts[name])
    clip_folder.write(tmp_path / "half", made, dtype=np.dtype(ml_dtypes.bfloat16))
    widened = clip_folder.Clip()
    widened.state = {n: v.astype(ml_dtypes.bfloat16).astype(np.float32) for n, v in made.state.items()}
    tokens, images = inputs(huggingface.settings(folder), rows=1)
    # bfloat16 weights, float32 arithmetic: what PyTorch gives when it widens them again.
    theirs = torch_numbers("clip_bfloat16", clip_folder.reference, widened, tokens, images)
    for a, b in zip(ours(tmp_path / "half", tokens, images), theirs, strict=True):
        assert_same(a, b)


@pytest.mark.torch
@pytest.mark.parametrize("kind", ["float32", "bfloat16"])
def test_a_folder_that_transformers_writes(made, folder, tmp_path, kind):
    """Whole and in parts, as save_pretrained does it."""
    import torch

    model = clip_folder.torch_model(made).to(getattr(torch, kind))
    model.save_pretrained(tmp_path / "whole")
    model.save_pretrained(tmp_path / "parts", max_shard_size="60KB")
    assert (tmp_path / "parts" / huggingface.INDEX).is_file()
    assert huggingface.settings(tmp_path / "whole") == huggingface.settings(folder)
    for name in ("whole", "parts"):
        arrays, _ = huggingface.arrays(tmp_path / name, huggingface.PREFIXES["text"])
        for key, array in arrays.items():
            expected = made.state[key].astype(kind if kind == "float32" else ml_dtypes.bfloat16)
            np.testing.assert_array_equal(np.float32(array), np.float32(expected))


def test_settings_are_the_folder_s(folder):
    given = huggingface.settings(folder)
    assert given["text"] == dict(
        width=16, layers=2, heads=2, context_length=32, vocab_size=len(clip_folder.vocabulary()[0]),
        activation="quick_gelu",
    )  # fmt: skip
    assert given["image"] == dict(width=24, layers=3, heads=3, image_size=32, patch=8, activation="quick_gelu")
    assert given["projection"] == 16


def test_published_shapes_come_from_files_that_say_little(tmp_path):
    """What openai's files leave out are CLIP's own defaults, ViT-B/32's."""
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "clip", "vision_config": {"patch_size": 16}}))
    given = huggingface.settings(tmp_path)
    assert given["text"] | {"vocab_size": 49408} == given["text"]
    assert (given["text"]["width"], given["text"]["layers"], given["text"]["heads"]) == (512, 12, 8)
    assert (given["image"]["width"], given["image"]["patch"], given["image"]["image_size"]) == (768, 16, 224)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model_type": "bert"}, "'bert', not 'clip'"),
        ({"text_config": {"hidden_act": "relu"}}, "hidden_act='relu'"),
        ({"vision_config": {"layer_norm_eps": 1e-3}}, "vision_config.layer_norm_eps=0.001"),
        ({"text_config": {"intermediate_size": 60}}, "intermediate_size=60"),
        ({"text_config": {"eos_token_id": 7}}, "eos_token_id=7"),
        ({"text_config": {"hidden_size": "wide"}}, "config.json"),
    ],
)
def test_another_model_is_refused(folder, tmp_path, change, message):
    config = json.loads((folder / "config.json").read_text())
    for key, value in change.items():
        config[key] = config[key] | value if isinstance(value, dict) else value
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(UserError, match=message) as caught:
        huggingface.settings(tmp_path)
    assert "\n" not in str(caught.value)


def test_damaged_folders_are_one_line(folder, tmp_path):
    fresh = {"params": {}}
    for name, text in ((huggingface.CONFIG, "{"), (huggingface.CONFIG, "[1]"), (huggingface.CONFIG, None)):
        broken = clip_folder.write(tmp_path / str(text))
        (broken / name).unlink() if text is None else (broken / name).write_text(text)
        with pytest.raises(UserError, match="config.json") as caught:
            huggingface.load_text(str(broken), fresh)
        assert "\n" not in str(caught.value)
    whole = (folder / huggingface.WHOLE).read_bytes()
    for length in (0, 5, 100, len(whole) - 1):
        broken = clip_folder.write(tmp_path / f"cut{length}")
        (broken / huggingface.WHOLE).write_bytes(whole[:length])
        with pytest.raises(UserError, match="model.safetensors: no whole safetensors file"):
            huggingface.load_image(str(broken), fresh)
    broken = clip_folder.write(tmp_path / "none")
    (broken / huggingface.WHOLE).unlink()
    with pytest.raises(UserError, match="none of model.safetensors"):
        huggingface.load_text(str(broken), fresh)
    (broken / huggingface.INDEX).write_text(json.dumps({"weight_map": {"a": "model-00001-of-00002.safetensors"}}))
    with pytest.raises(UserError, match="model-00001-of-00002.safetensors: no such file"):
        huggingface.load_text(str(broken), fresh)
    for index in ('{"weight_map": {"a": "../x.safetensors"}}', "{}", "no"):
        (broken / huggingface.INDEX).write_text(index)
        with pytest.raises(UserError, match="index"):
            huggingface.load_text(str(broken), fresh)


def test_arrays_that_do_not_fit_are_listed(folder):
    encoder = encoders(huggingface.settings(folder))[0]
    tokens = jnp.zeros((1, 4), jnp.int32)
    wider = jax.eval_shape(lambda: encoder.clone(vocab_size=7, projection=8).init(jax.random.key(0), tokens))
    with pytest.raises(UserError, match=r"projection/kernel: \(16, 16\) for \(16, 8\).*token_embedding"):
        huggingface.load_text(str(folder), wider)


def test_a_name_that_is_nowhere_is_one_line(tmp_path, monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    (tmp_path / "file").write_text("")
    for name in (str(tmp_path / "nothing"), "nothing", "a/b/c", str(tmp_path / "file")):
        with pytest.raises(UserError, match="no name on the hub|a file"):
            huggingface.locate(name)
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")  # nobody answers there
    with pytest.raises(UserError, match="nobody/clip: no such folder here, and the hub does not give it") as caught:
        huggingface.locate("nobody/clip")
    assert "\n" not in str(caught.value)


def test_what_the_hub_s_cache_holds_needs_no_hub(folder, tmp_path, monkeypatch):
    from huggingface_hub import constants

    commit = "0" * 40
    repository = tmp_path / "models--somebody--clip"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs/main").write_text(commit)
    (repository / "snapshots").mkdir()
    (repository / "snapshots" / commit).symlink_to(folder)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert huggingface.settings(huggingface.locate("somebody/clip"))["projection"] == 16


@pytest.mark.parametrize(
    "part, name, value",
    [
        ("vision_config", "patch_size", 0), ("vision_config", "patch_size", -8), ("vision_config", "patch_size", 64),
        ("vision_config", "image_size", 0), ("vision_config", "num_attention_heads", 0),
        ("text_config", "vocab_size", 0),
        ("text_config", "num_hidden_layers", 10**9), ("text_config", "num_attention_heads", 3),
        (None, "projection_dim", 0),
    ],
)  # fmt: skip
def test_sizes_that_no_network_has_are_named(folder, tmp_path, part, name, value):
    given = json.loads((folder / huggingface.CONFIG).read_text())
    (given if part is None else given[part])[name] = value
    (tmp_path / huggingface.CONFIG).write_text(json.dumps(given))
    with pytest.raises(UserError, match=f"config.json.*{name}") as error:
        huggingface.settings(tmp_path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "kind, bits",
    [("F8_E4M3", 8), ("F8_E5M2", 8), ("F8_E8M0", 8), ("F8_E4M3FNUZ", 8), ("F4", 4), ("F6_E2M3", 6), ("C64", 64)],
)
def test_numbers_of_another_type_are_refused_by_name(tmp_path, kind, bits):
    size = 8 * bits // 8
    head = json.dumps({"w": {"dtype": kind, "shape": [8], "data_offsets": [0, size]}}).encode()
    path = tmp_path / "model.safetensors"
    path.write_bytes(len(head).to_bytes(8, "little") + head + bytes(size))
    with pytest.raises(UserError, match=rf"model\.safetensors: .*{kind}.*16 or 32 bits") as error:
        huggingface.read_safetensors(path)
    assert "\n" not in str(error.value)
