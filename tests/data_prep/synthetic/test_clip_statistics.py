import numpy as np
import pytest

from cpml_jax.schema import CROP_SIZE, FRAME_RATE
from data_prep.synthetic import clip_statistics


@pytest.fixture
def still() -> np.ndarray:
    return np.repeat(np.random.default_rng(0).uniform(-0.6, 0.6, (1, 68, 2)), 128, axis=0)


def moved(points: np.ndarray, places: list[int], motion: np.ndarray) -> np.ndarray:
    """Points with `motion` (T, 2), in pixels of the crop, added to some of them."""
    points = points.copy()
    points[:, places] += motion[:, None] / (CROP_SIZE / 2)
    return points


def sine(hertz: float, height: float = 1.0) -> np.ndarray:
    wave = height * np.sin(2 * np.pi * hertz * np.arange(128) / FRAME_RATE)
    return np.stack([wave, 0 * wave], -1)


def test_the_head_s_own_motion_leaves_no_trace(still):
    turn = 0.2 * np.sin(np.arange(128) / 9)
    rotation = np.stack([np.cos(turn), -np.sin(turn), np.sin(turn), np.cos(turn)], -1).reshape(-1, 1, 2, 2)
    scale = 1 + 0.1 * np.sin(np.arange(128) / 13)[:, None, None]
    shaken = scale * (rotation @ still[..., None])[..., 0] + np.random.default_rng(1).normal(0, 0.1, (128, 1, 2))
    assert clip_statistics.head_free(shaken).std(0).max() < 1e-9


def test_band_energy_of_a_sine_is_half_its_height_squared():
    motion = sine(3.0, 2.0)[:, :1]
    assert clip_statistics.band_energy(motion, 1.5, 4.5) == pytest.approx(2.0, rel=0.05)
    assert clip_statistics.band_energy(motion, 8.0, 15.0) < 1e-3


def test_each_motion_is_seen_by_its_own_statistic(still):
    noisy = still + np.random.default_rng(2).normal(0, 0.002, still.shape)
    lips = list(range(48, 68))
    gliding, trembling = moved(noisy, lips, sine(0.7)), moved(noisy, lips, sine(11.0, 0.4))
    slow, tremble = clip_statistics.slow_lips, clip_statistics.trembling_mouth
    assert slow(gliding) > slow(noisy) + 2 and abs(slow(trembling) - slow(noisy)) < 1
    assert tremble(trembling) > tremble(noisy) + 2 and abs(tremble(gliding) - tremble(noisy)) < 0.5


def test_jaw_and_lips_agree_where_the_jaw_opens_the_mouth(still):
    opening = sine(2.0)[:, ::-1]
    lower = moved(still, [55, 56, 57, 58, 59, 65, 66, 67], opening)
    assert clip_statistics.lips_with_jaw(moved(lower, [6, 7, 8, 9, 10], 0.8 * opening)) > 0.99
    assert abs(clip_statistics.lips_with_jaw(moved(lower, [6, 7, 8, 9, 10], sine(0.9)[:, ::-1]))) < 0.3
    assert clip_statistics.lips_with_jaw(still) == 0.0
