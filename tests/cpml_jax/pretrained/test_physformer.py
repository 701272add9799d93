"""PhysFormer's weights: what the published module gave with them, on the same clip.

goldens/physformer.npz was made by running the published code (github.com/ZitongYu/PhysFormer, model/Physformer.py:
ViT_ST_ST_Compact3_TDC_gra_sharp(image_size=(160,128,128), patches=(4,4,4), dim=96, ff_dim=144, num_heads=4,
num_layers=12, dropout_rate=0.1, theta=0.7), eval mode, float32, torch 2.15 on a CPU) with published_weights.state(
published_weights.physformer()), on CLIP below as the authors feed it: blue first, (x - 127.5) / 128, gra_sharp 2.0.
It holds the module's own names and shapes, the wave (1, 32), and rows `rows` of the three transformers' outputs.
"""

from functools import cache
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import published_weights
import pytest
import tiny
import torch_writer

from cpml_jax.errors import UserError
from cpml_jax.models.physformer import PhysFormer
from cpml_jax.pretrained import physformer
from cpml_jax.pretrained.source import merged

GOLDEN = np.load(Path(__file__).parents[2] / "goldens" / "physformer.npz")
CLIP = np.random.RandomState(0).randint(0, 256, (1, 32, 128, 128, 3)).astype(np.uint8)  # red first
SMALL = tiny.settings("rppg") | dict(
    frame_size=32, stem=(2, 4, 8), patch=(4, 1, 1), dim=8, ff_dim=12, heads=2, blocks=3
)


@cache
def shapes_of(model):
    clip = jax.ShapeDtypeStruct((1, 4, model.frame_size, model.frame_size, 3), jnp.uint8)
    return jax.eval_shape(lambda x: model.init(jax.random.key(0), x, train=False, downsampled=("half",)), clip)


@pytest.fixture(scope="module")
def state():
    return published_weights.state(published_weights.physformer())


def small_state(**change):
    return published_weights.state(published_weights.physformer(8, 12, 3, (4, 1, 1))) | change


def test_names_and_shapes_are_the_published_modules():
    expected = dict(zip(GOLDEN["names"].tolist(), GOLDEN["shapes"].tolist(), strict=True))
    assert {name: str(shape) for name, shape in published_weights.physformer().items()} == expected


def test_the_published_module_gives_the_same_wave_and_stages(state):
    """Waves of a range of 2.3, stages of up to 12: 1e-5 and 5e-5 are float32's rounding through twelve blocks."""
    model = PhysFormer(**tiny.settings("rppg"))
    variables = shapes_of(model)
    loaded = physformer.parameters(state, variables)
    assert len(loaded.loaded) == len(state) - len(loaded.ignored)
    assert all(name.endswith("num_batches_tracked") for name in loaded.ignored) and len(loaded.ignored) == 65
    assert loaded.fresh and all(path.split("/")[1] == "views" for path in loaded.fresh)
    weights = {"params": loaded.params, "batch_stats": loaded.batch_stats}
    wave, stages = jax.jit(lambda w: model.apply(w, CLIP, train=False))(weights)
    np.testing.assert_allclose(wave, GOLDEN["wave"], atol=1e-5, rtol=0)
    for ours, theirs in zip(stages, GOLDEN["stages"], strict=True):
        np.testing.assert_allclose(ours[0, GOLDEN["rows"]], theirs, atol=5e-5, rtol=0)


def test_a_file_fills_a_fresh_start(tmp_path):
    model = PhysFormer(**SMALL)
    file = {"module." + k: v for k, v in small_state().items()}
    torch_writer.save({"state_dict": file, "epoch": 4}, tmp_path / "w.pkl", zipped=False)
    loaded = physformer.load(tmp_path / "w.pkl", shapes_of(model))
    assert loaded.ignored[-1] == "epoch: int"
    fresh = jax.tree.map(lambda x: np.zeros(x.shape, np.float32), shapes_of(model))
    full = {kind: merged(fresh[kind], getattr(loaded, kind)) for kind in ("params", "batch_stats")}
    assert jax.tree.map(np.shape, full) == jax.tree.map(np.shape, dict(fresh))
    assert all(a.any() or "views" in str(path) for path, a in jax.tree.leaves_with_path(full))
    kernel, theirs = full["params"]["stem0"]["conv"]["kernel"], small_state()["Stem0.0.weight"]
    assert kernel[0, 1, 2, 0, 1] == theirs[1, 2, 0, 1, 2]  # our red is their third
    red_first = physformer.parameters(small_state(), shapes_of(model), blue_first=False)
    np.testing.assert_array_equal(red_first.params["stem0"]["conv"]["kernel"], kernel[:, :, :, ::-1])
    with pytest.raises(KeyError, match="stem0"):
        merged({}, loaded.params)
    with pytest.raises(UserError, match="input_norm='center', which is 'temporal'"):
        physformer.load(tmp_path / "w.pkl", shapes_of(model), input_norm="temporal")


def test_every_mismatch_is_said():
    variables = shapes_of(PhysFormer(**SMALL))
    state = small_state(
        **{"normLast.weight": np.ones(8), "Stem1.0.weight": np.ones((4, 2, 3, 3), np.float32),
           "ConvBlockLast.bias": np.array([np.inf], np.float32), "Stem2.0.bias": np.arange(8)},
    )  # fmt: skip
    del state["transformer2.blocks.0.norm1.bias"], state["upsample.2.running_var"]
    with pytest.raises(UserError) as caught:
        physformer.parameters(state, variables, file="w.pkl")
    for words in (
        "w.pkl", "transformer2.blocks.0.norm1.bias", "upsample.2.running_var", "not used ['normLast.weight']",
        "Stem1.0.weight (4, 2, 3, 3) does not give params/stem1/conv/kernel (3, 3, 3, 2, 4)",
        "ConvBlockLast.bias holds NaN", "Stem2.0.bias holds whole numbers",
    ):  # fmt: skip
        assert words in str(caught.value), words
    with pytest.raises(UserError, match=r"transformer3.blocks.1.proj.weight.*"):
        physformer.parameters(small_state(), shapes_of(PhysFormer(**SMALL | dict(blocks=6))))
    with pytest.raises(UserError, match=r"does not give params/wave/kernel \(8, 1\)"):
        physformer.parameters(small_state(), shapes_of(PhysFormer(**SMALL | dict(dim=16))))
