"""Motion's spectrum: it tells a trembling mouth from a still one, and not when it trembles."""

import jax
import jax.numpy as jnp
import numpy as np

from cpml_jax.models.motion_spectrum import BANDS_HZ, REGIONS, motion_spectrum

T, BANDS, UPPER_LIP = 128, len(BANDS_HZ) - 1, 3


def spectrum(points) -> np.ndarray:
    return np.asarray(motion_spectrum(jnp.asarray(points, jnp.float32))).reshape(-1, len(REGIONS), BANDS)


def clip(seed: int, tremble: float) -> np.ndarray:
    rng = np.random.default_rng(seed)
    points = rng.uniform(-0.5, 0.5, (1, 1, 68, 2)) + 1e-3 * rng.normal(size=(1, T, 68, 2))
    points[:, :, 48:] += tremble * rng.normal(size=(1, T, 1, 2))
    return points


def test_a_trembling_mouth_stands_out_in_the_fast_bands():
    still, trembling = (np.mean([spectrum(clip(seed, size)) for seed in range(8)], axis=0) for size in (0.0, 0.01))
    assert (trembling - still)[0, UPPER_LIP, -2:].min() > 0.5


def test_the_head_s_own_way_is_left_out():
    points = clip(0, 0.0)
    way = 0.2 * np.sin(np.arange(T) / 9)[None, :, None, None]
    np.testing.assert_allclose(spectrum(points + way), spectrum(points), atol=2e-2)


def test_short_and_still_clips_are_finite():
    for points in (np.zeros((1, 16, 68, 2)), clip(0, 0.0)[:, :16]):
        assert np.isfinite(motion_spectrum(jnp.asarray(points))).all()
    gradient = jax.grad(lambda x: motion_spectrum(x).sum())(jnp.zeros((1, 16, 68, 2)))
    assert np.isfinite(gradient).all()
