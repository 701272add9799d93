"""Pulse waves: Pearson correlation, power spectrum, heart rate. Pure and, where a loss needs it, differentiable."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Num

from cpml_jax.arrays import AnyArray

TRAINING_RATES = (60.0, 120.0)  # beats/min: the limits of HR in L_CQSL
READING_RATES = (40.0, 180.0)  # beats/min: the limits of a heart rate that is reported
# exp(-30 * 0.1): a bin at 90 % of the peak's power keeps 5 % of its weight, and the expectation lies within
# 1 beat/min of the peak on clean waves (tests/cpml_jax/test_signal.py), with a gradient that is never zero.
SOFTMAX_SHARPNESS = 30.0
_TINY = 1e-8


def pearson(
    x: Num[AnyArray, "*#shape T"], y: Num[AnyArray, "*#shape T"], weight: Num[AnyArray, "*#shape T"] | None = None
) -> Float[Array, "*shape"]:
    """Pearson correlation over the last axis.

    Args:
      x, y: (..., T) real; broadcast against each other.
      weight: (..., T) non-negative weights of the samples, or None for equal ones.

    Returns:
      (...) float32 in [-1, 1]; 0, with a zero gradient, where either is constant.
    """
    x, y = jnp.asarray(x, jnp.float32), jnp.asarray(y, jnp.float32)
    weight = jnp.ones(x.shape[-1], jnp.float32) if weight is None else jnp.asarray(weight, jnp.float32)
    total = jnp.maximum(weight.sum(-1, keepdims=True), _TINY)
    x = x - (weight * x).sum(-1, keepdims=True) / total
    y = y - (weight * y).sum(-1, keepdims=True) / total
    power = (weight * x * x).sum(-1) * (weight * y * y).sum(-1)
    # rsqrt of a sum is safe under differentiation only away from zero: a constant wave takes the other branch.
    moving = power > _TINY**2
    rho = (weight * x * y).sum(-1) * jax.lax.rsqrt(jnp.where(moving, power, 1.0))
    return jnp.where(moving, jnp.clip(rho, -1.0, 1.0), 0.0)


def band_power(wave: Num[AnyArray, "*shape T"], fps: float, rates: Num[AnyArray, " F"]) -> Float[Array, "*shape F"]:
    """Power of a wave at given rates, by a direct Fourier sum.

    A product with a fixed (T, F) matrix: any grid of rates without zero-padding, and re^2 + im^2 has a finite
    gradient at zero, which |rfft| has not. The mean is removed and a Hann window applied first.

    Args:
      wave: (..., T) samples at `fps` frames/s.
      rates: (F,) beats/min.

    Returns:
      (..., F) float32, power in the wave's units squared.
    """
    wave = jnp.asarray(wave, jnp.float32)
    length = wave.shape[-1]
    angles = 2.0 * np.pi * np.outer(np.arange(length) / fps, np.asarray(rates) / 60.0)
    window = np.hanning(length + 2)[1:-1, None]
    wave = wave - wave.mean(-1, keepdims=True)
    real = wave @ jnp.asarray(np.cos(angles) * window, jnp.float32)
    imaginary = wave @ jnp.asarray(np.sin(angles) * window, jnp.float32)
    return real * real + imaginary * imaginary


def soft_heart_rate(wave: Num[AnyArray, "*shape T"], fps: float = 30.0) -> Float[Array, "*shape"]:
    """Heart rate as the expectation of the rate under a softmax of the band's power: differentiable.

    The reference takes the peak outside the graph, so its heart-rate loss has no gradient (docs/method.md, Departures).
    The expectation runs over 60..120 beats/min, so the limits hold by construction and not by clipping.

    Args:
      wave: (..., T) samples at `fps` frames/s.

    Returns:
      (...) float32, beats/min, in [60, 120].
    """
    rates = np.arange(TRAINING_RATES[0], TRAINING_RATES[1] + 0.5, 1.0)
    power = band_power(wave, fps, rates)
    peak = jax.lax.stop_gradient(power.max(-1, keepdims=True))
    weights = jax.nn.softmax(SOFTMAX_SHARPNESS * power / jnp.maximum(peak, _TINY), axis=-1)
    return weights @ jnp.asarray(rates, jnp.float32)


def heart_rate(wave: Num[AnyArray, "*shape T"], fps: float = 30.0) -> Float[Array, "*shape"]:
    """Heart rate as the rate of the spectrum's peak, on a grid of 0.25 beats/min between 40 and 180.

    Args:
      wave: (..., T) samples at `fps` frames/s.

    Returns:
      (...) float32, beats/min.
    """
    rates = np.arange(READING_RATES[0], READING_RATES[1] + 0.125, 0.25)
    return jnp.asarray(rates, jnp.float32)[jnp.argmax(band_power(wave, fps, rates), axis=-1)]
