"""Views made from one clip: jitter's ranges, frames over the whole clip, CLIP's colours."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cpml_jax.models import views


@pytest.mark.parametrize(
    "view, everywhere, lips, eyes, nose",
    [
        ("half", 0.0005, (0.0006, 0.0005), (0.0005, 0.0004), (0.0001, 0.0001)),
        ("quarter", 0.01, (0.006, 0.0085), (0.005, 0.007), (0.001, 0.0015)),
    ],
)
def test_jitter_fills_its_ranges_and_no_more(view, everywhere, lips, eyes, nose):
    points = jnp.zeros((8, 40, 68, 2))
    largest = np.abs(views.jittered(points, view, jax.random.key(0))).max(axis=(0, 1))
    limit = np.full((68, 2), everywhere)
    limit[48:68] += lips
    limit[36:48] += eyes
    limit[27:36] += nose
    assert (largest <= limit * 1.0001).all() and (largest > 0.7 * limit).all()


def test_views_without_a_key_are_the_points_themselves():
    points = jnp.asarray(np.random.default_rng(0).normal(size=(2, 4, 68, 2)).astype(np.float32))
    still = views.landmark_views(points, ("half", "quarter"), None)
    np.testing.assert_array_equal(still, np.repeat(points[:, None], 3, axis=1))
    moved = views.landmark_views(points, ("half", "quarter"), jax.random.key(0))
    np.testing.assert_array_equal(moved[:, 0], points)
    assert jnp.abs(moved[:, 1] - points).max() > 0 and jnp.abs(moved[:, 1] - moved[:, 2]).max() > 0


def test_images_as_an_encoder_expects_them():
    frames = np.random.default_rng(0).integers(0, 255, (1, 2, 16, 16, 3), dtype=np.uint8)
    expected = (frames / 255 - np.array(views.CLIP_MEAN)) / np.array(views.CLIP_STD)
    made = views.visual_views(jnp.asarray(frames), ("half", "quarter"), 16)
    np.testing.assert_allclose(made[:, 0], expected, atol=1e-5)
    mean = expected.reshape(1, 2, 8, 2, 8, 2, 3).mean((3, 5)).mean((2, 3))
    np.testing.assert_allclose(made[:, 1].mean((2, 3)), mean, atol=0.05)
    assert made.shape == (1, 3, 2, 16, 16, 3)
