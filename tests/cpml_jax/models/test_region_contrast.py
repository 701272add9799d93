"""Inner face less rim: a NumPy twin, what it is blind to, what it sees, and where it could break."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cpml_jax.models import visual
from cpml_jax.models.region_contrast import region_contrast, region_weights


def stage(height=8, width=8, channels=3, pictures=2, scale=2.0):
    x = np.random.default_rng(height + width).normal(1.0, scale, (pictures, height, width, channels))
    return x.astype(np.float32)


def read(*stages):
    return np.asarray(region_contrast([jnp.asarray(x) for x in stages]))


def parts(x):
    """(N, C) each: of means and of log variances."""
    numbers = read(x).reshape(len(x), 2, x.shape[-1])
    return numbers[:, 0], numbers[:, 1]


def twin(x):
    """Every pixel is repeated four times along both axes, so that the picture's quarters end where pixels do."""
    _, height, width, _ = x.shape
    x = x.astype(np.float64).repeat(4, axis=1).repeat(4, axis=2)
    middle = np.zeros((4 * height, 4 * width), bool)
    middle[height : 3 * height, width : 3 * width] = True
    inner, rim = x[:, middle], x[:, ~middle]
    spread = np.log(inner.var(1) + 1e-3) - np.log(rim.var(1) + 1e-3)
    return np.concatenate([inner.mean(1) - rim.mean(1), spread], axis=-1)


@pytest.mark.parametrize(("height", "width"), [(8, 8), (7, 10), (2, 2), (3, 5)])
def test_against_numpy(height, width):
    x, more = stage(height, width), stage(6, 6, channels=5)
    np.testing.assert_allclose(read(x, more), np.concatenate([twin(x), twin(more)], axis=-1), atol=2e-4)


@pytest.mark.parametrize(("height", "width"), [(1, 1), (2, 3), (9, 4), (56, 56)])
def test_each_region_is_a_mean_and_the_picture_is_theirs(height, width):
    weights = region_weights(height, width)
    np.testing.assert_allclose(weights.sum((1, 2)), 1, rtol=1e-5)
    assert (weights > -1e-7).all()
    whole = weights[0] / 4 + weights[1] * 3 / 4  # by their areas
    np.testing.assert_allclose(whole, 1 / (height * width), rtol=1e-5)


@pytest.mark.parametrize("level", [0.0, -3.0, 1e4])
def test_a_flat_picture_gives_zeros(level):
    np.testing.assert_allclose(read(np.full((1, 7, 7, 2), level, np.float32)), 0, atol=1e-5)


def test_a_level_of_the_whole_picture_says_nothing_and_a_scale_says_nothing_of_variances():
    x = stage()
    np.testing.assert_allclose(read(x + 300), read(x), atol=2e-3)
    (means, spreads), (wider_means, wider_spreads) = parts(x), parts(8 * x)
    np.testing.assert_allclose(wider_means, 8 * means, atol=1e-4)
    np.testing.assert_allclose(wider_spreads, spreads, atol=2e-2)  # but for the floor


@pytest.mark.parametrize("side", [8, 7])
def test_a_mirrored_stage_has_the_same_numbers(side):
    x = stage(side, side)
    x[:, :, : side // 2] += 3
    for turned in (x[:, :, ::-1], x[:, ::-1]):
        np.testing.assert_allclose(read(turned), read(x), atol=1e-4)


def test_a_smooth_and_brighter_face_shows_in_its_channel_alone():
    x = stage()
    means, spreads = parts(x)
    forged = x.copy()
    forged[:, 2:6, 2:6, 1] = 5 + 0.1 * forged[:, 2:6, 2:6, 1]
    forged_means, forged_spreads = parts(forged)
    for ours, theirs in ((means, forged_means), (spreads, forged_spreads)):
        np.testing.assert_allclose(theirs[:, [0, 2]], ours[:, [0, 2]], atol=1e-4)
    assert (forged_means[:, 1] > means[:, 1] + 2).all() and (forged_spreads[:, 1] < spreads[:, 1] - 3).all()


@pytest.mark.parametrize("flat", ["all", "inner", "rim"])
def test_the_gradient_is_finite_where_a_region_is_flat(flat):
    x = stage()
    rim = np.ones((8, 8), bool)
    rim[2:6, 2:6] = False
    x[:, {"all": slice(None), "inner": ~rim, "rim": rim}[flat]] = 4.0
    gradient = np.asarray(jax.jit(jax.grad(lambda y: (region_contrast([y]) ** 2).sum()))(jnp.asarray(x)))
    assert np.isfinite(gradient).all()
    assert (np.abs(gradient).max() > 1e-3) == (flat != "all")


@pytest.mark.parametrize(("pool", "size"), [("global", 32), ("regions", 75)])
def test_the_encoder_is_as_wide_as_the_rest_is_told(pool, size):
    images = jax.ShapeDtypeStruct((2, 3, size, size, 3), jnp.float32)
    module = visual.build({"encoder": visual.LITE, "projection": 0, "pool": pool}, 16, jnp.float32)
    features, variables = jax.eval_shape(lambda x: module.init_with_output(jax.random.key(0), x, train=False), images)
    assert features.shape == (2, visual.feature_width(visual.LITE, 0, pool, 16)) == (2, visual.WIDTHS[pool])
    assert variables["batch_stats"]["standard"]["mean"].shape == features.shape[1:]
    assert visual.feature_width(visual.LITE, 8, pool, 16) == 8
