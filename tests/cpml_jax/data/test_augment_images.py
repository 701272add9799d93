"""SimCLR's views: each step against a library or a property that it must have."""

import jax
import jax.numpy as jnp
import matplotlib.colors
import numpy as np
import pytest
from scipy import ndimage

from cpml_jax.data import augment_images

RNG = np.random.default_rng(0)
KEY = jax.random.key(0)


def images(clips=3, frames=2, size=16):
    return RNG.uniform(size=(clips, frames, size, size, 3)).astype(np.float32)


@pytest.fixture(scope="module")
def two_views():
    return jax.jit(augment_images.two_views, static_argnums=2)


def test_two_views_are_of_the_key_alone_in_range_and_differ(two_views):
    x = images()
    a, b = two_views(KEY, x, 12), two_views(KEY, x, 12)
    assert a.shape == (2, 3, 2, 12, 12, 3)
    np.testing.assert_array_equal(a, b)
    assert a.min() >= -1e-5 and a.max() <= 1 + 1e-5
    assert jnp.abs(a[0] - a[1]).max() > 0.01 and jnp.abs(a - two_views(jax.random.key(1), x, 12)).max() > 0.01


def test_frames_of_a_clip_get_one_draw_and_clips_their_own(two_views):
    still = np.repeat(images(1, 1), 3, axis=0).repeat(2, axis=1)
    actual = np.asarray(two_views(KEY, still, 12))  # the same shapes as above: one compilation
    np.testing.assert_allclose(actual[:, :, 0], actual[:, :, 1], atol=1e-6)
    assert np.abs(actual[0, 0] - actual[0, 1]).max() > 0.01


def test_a_crop_is_a_rectangle_of_the_image():
    """On a ramp of x and y, a crop shows ramps: their ranges are the crop's corners, its area and its ratio."""
    size = 64
    y, x = np.meshgrid(*[(np.arange(size) + 0.5) / size] * 2, indexing="ij")
    ramp = np.broadcast_to(np.stack([x, y, 0 * x], axis=-1), (200, 1, size, size, 3)).astype(np.float32)
    actual = np.asarray(jax.jit(augment_images.resized_crop, static_argnums=2)(KEY, ramp, size))[:, 0]
    inner = actual[:, 8:-8, 8:-8]  # the border repeats where the rectangle touches the image's
    np.testing.assert_allclose(inner[..., 0], inner[:, :1, :, 0].repeat(48, 1), atol=1e-4)
    step = np.stack([np.diff(inner[:, 0, :, 0]).mean(1), np.diff(inner[:, :, 0, 1]).mean(1)]) * size  # width, height
    area, ratio = step[0] * step[1], step[0] / step[1]
    assert 0.05 < area.min() < 0.15 and 0.85 < area.max() < 1.01
    assert 0.7 < ratio.min() < 0.8 and 1.25 < ratio.max() < 1.4
    assert inner[..., :2].min() > 0 and inner[..., :2].max() < 1


def test_hue_is_turned_as_in_hsv():
    x = images()
    x[0, 0, 0, 0], x[0, 0, 0, 1] = 0.5, 0.0  # grey and black have no hue
    for turn in (-0.1, 0.0, 0.3):
        hsv = matplotlib.colors.rgb_to_hsv(x)
        hsv[..., 0] = (hsv[..., 0] + turn) % 1
        np.testing.assert_allclose(
            augment_images.turned_hue(jnp.asarray(x), turn), matplotlib.colors.hsv_to_rgb(hsv), atol=1e-5
        )


def test_jitter_stays_within_its_amounts():
    grey = np.full((500, 1, 4, 4, 3), 0.5, np.float32)  # of a grey image nothing but brightness changes
    actual = np.asarray(augment_images.colour_jitter(KEY, grey))[:, 0, 0, 0]
    np.testing.assert_allclose(actual, actual[:, :1].repeat(3, 1), atol=1e-5)
    assert 0.3 <= actual.min() < 0.31 and 0.69 < actual.max() <= 0.7


def test_blur_is_gaussian():
    blurred = jax.jit(augment_images.blurred)
    point = np.zeros((40, 1, 224, 224, 1), np.float32)
    point[:, :, 112, 112] = 1
    actual = np.asarray(blurred(KEY, point))[:, 0, :, :, 0]
    deviations = np.sqrt((actual.sum(1) * (np.arange(224) - 112.0) ** 2).sum(1))
    assert deviations.min() < 0.3 and 1.8 < deviations.max() <= 2.001
    widest = deviations.argmax()
    expected = ndimage.gaussian_filter(point[0, 0, :, :, 0], deviations[widest], truncate=8)
    np.testing.assert_allclose(actual[widest], expected, atol=1e-4)
    np.testing.assert_allclose(blurred(KEY, np.ones_like(point)), 1, atol=1e-5)


def test_grey_comes_as_often_as_it_should():
    x = np.repeat(images(1, 1, 8), 800, axis=0)
    actual = np.asarray(jax.jit(augment_images.random_view, static_argnums=2)(KEY, x, 8))
    grey = (np.ptp(actual, axis=-1) < 1e-5).all(axis=(1, 2, 3))
    assert 0.15 < grey.mean() < 0.25
