import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest
import tiny
from hypothesis import given, settings
from hypothesis import strategies as st

from cpml_jax import signal
from cpml_jax.losses import cpml
from cpml_jax.models.landmark_rnn import LandmarkRNN

FPS = 30.0


def sine(rate: float, length: int = 160, phase: float = 0.3) -> np.ndarray:
    return np.sin(2 * np.pi * rate / 60 * np.arange(length) / FPS + phase).astype(np.float32)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**31), st.floats(0.01, 100), st.floats(-50, 50))
def test_pearson_is_numpys_and_ignores_scale_and_offset(seed, scale, offset):
    x, y = np.random.default_rng(seed).normal(size=(2, 40))
    expected = np.corrcoef(x, y)[0, 1]
    np.testing.assert_allclose(signal.pearson(x, y), expected, atol=2e-5)
    np.testing.assert_allclose(signal.pearson(scale * x + offset, y), expected, atol=2e-3)


def test_weighted_pearson_sees_only_weighted_samples():
    x, y = np.random.default_rng(0).normal(size=(2, 40))
    weight = (np.arange(40) < 25).astype(np.float32)
    np.testing.assert_allclose(signal.pearson(x, y, weight), np.corrcoef(x[:25], y[:25])[0, 1], atol=1e-5)


def test_pearson_of_a_constant_is_zero_with_a_finite_gradient():
    constant, wave = jnp.ones(50), jnp.asarray(sine(70, 50))
    assert signal.pearson(constant, wave) == 0
    assert np.isfinite(jax.grad(lambda x: signal.pearson(x, wave))(constant)).all()


def test_band_power_is_the_hann_windowed_spectrum():
    wave = np.random.default_rng(1).normal(size=160).astype(np.float32)
    windowed = (wave - wave.mean()) * np.hanning(162)[1:-1]
    bins = np.arange(4, 20)
    expected = np.abs(np.fft.rfft(windowed)[bins]) ** 2
    np.testing.assert_allclose(signal.band_power(wave, FPS, bins * FPS / 160 * 60), expected, rtol=1e-3)


@pytest.mark.parametrize("rate", [62.0, 75.0, 88.5, 101.0, 117.0])
def test_heart_rates_find_a_planted_rate(rate):
    assert abs(float(signal.heart_rate(sine(rate), FPS)) - rate) < 1.0
    assert abs(float(signal.soft_heart_rate(sine(rate), FPS)) - rate) < 1.5


def test_soft_heart_rate_keeps_its_limits_and_has_a_gradient():
    low, high = signal.soft_heart_rate(sine(45), FPS), signal.soft_heart_rate(sine(170), FPS)
    assert 60 <= low <= 120 and 60 <= high <= 120
    gradient = jax.grad(lambda w: signal.soft_heart_rate(w, FPS))(jnp.asarray(sine(80) + 0.5 * sine(95)))
    assert np.isfinite(gradient).all() and np.abs(gradient).max() > 1e-3


def test_a_flat_wave_gives_finite_rates_and_gradients():
    flat = jnp.zeros(160)
    assert np.isfinite(signal.soft_heart_rate(flat, FPS))
    assert np.isfinite(jax.grad(lambda w: signal.soft_heart_rate(w, FPS))(flat)).all()


def test_a_wrong_shape_is_refused_where_it_is_passed():
    with pytest.raises(jaxtyping.TypeCheckError, match="pearson"):
        signal.pearson(np.zeros((2, 40)), np.zeros((2, 41)))
    with pytest.raises(jaxtyping.TypeCheckError, match="cqsl"):
        cpml.cqsl(np.zeros((4, 40), np.float32), np.zeros(4, int), np.ones(4))
    with pytest.raises(jaxtyping.TypeCheckError, match="LandmarkRNN.__call__"):
        LandmarkRNN(**tiny.settings("landmarks")).init(jax.random.key(0), jnp.zeros((1, 4, 67, 2)), train=False)
