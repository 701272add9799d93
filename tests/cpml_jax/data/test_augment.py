"""Mirrored clips."""

import jax.numpy as jnp
import numpy as np

from cpml_jax.data import augment
from cpml_jax.models import streams


def test_mirroring_twice_is_nothing_and_points_keep_their_side():
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 255, (2, 1, 2, 4, 4, 3), dtype=np.uint8)
    points = rng.uniform(-1, 1, (2, 1, 2, 68, 2)).astype(np.float32)
    chosen = jnp.array([True, False])
    once = streams.mirror({"frames": jnp.asarray(frames), "landmarks": jnp.asarray(points)}, chosen)
    twice = streams.mirror(once, chosen)
    np.testing.assert_array_equal(twice["frames"], frames)
    np.testing.assert_allclose(twice["landmarks"], points)
    np.testing.assert_array_equal(once["frames"][0], frames[0, ..., ::-1, :])
    np.testing.assert_array_equal(once["frames"][1], frames[1])
    np.testing.assert_array_equal(once["landmarks"][1], points[1])
    left, right = 36, 45  # outer corners of the eyes
    np.testing.assert_allclose(once["landmarks"][0, 0, 0, left], points[0, 0, 0, right] * [-1, 1])


def test_every_point_has_one_partner():
    partners = augment.MIRRORED_POINTS
    assert sorted(partners) == list(range(68)) and (partners[partners] == np.arange(68)).all()
