"""Does the inner face pulse with the face around it? Correlations of two regions' pulses, and of the wave."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jaxtyping import Array, Float

from cpml_jax.schema import FRAME_RATE, PULSE_BAND_HZ

# Half-axes and centre, in half sides of the crop, from which training starts: what a forger replaces, and skin around
# it. The reference for both is where MTCNN's box has the face.
_CENTRE_Y = 0.1
_INNER = (0.35, 0.40)  # vertical, horizontal
_RIM = ((0.5, 0.5), (0.7, 0.63))  # from, to
# A pixel that is in its region counts 0.998, one outside 0.002. Outside are nine times as many as in the inner face: at
# 3.0 (0.95, 0.05) a quarter of its colour was theirs.
_LOGIT = 6.0
_MIDDLE, _SCALE = 0.5, 2.0  # correlations of real clips are 0.2 to 0.9: within -1 and 1 for the fusion
_TINY = 1e-6
NUMBERS = 3


def band_basis(length: int, fps: float = FRAME_RATE) -> Float[np.ndarray, "{length} F"]:
    """Cosines and sines of a clip's whole periods inside PULSE_BAND_HZ, Hann-windowed: (length, F) float32, F even."""
    low, high = (rate * length / fps for rate in PULSE_BAND_HZ)
    periods = np.arange(np.ceil(low), np.floor(high) + 1)
    angles = 2.0 * np.pi * np.outer(np.arange(length), periods) / length
    window = np.hanning(length + 2)[1:-1, None]
    return (np.concatenate([np.cos(angles), np.sin(angles)], axis=1) * window * np.sqrt(2.0 / length)).astype(
        np.float32
    )


def starting_regions(grid: int) -> Float[np.ndarray, "2 {grid} {grid}"]:
    """Logits of the inner face and of the rim around it, on a crop of grid x grid cells."""
    place = (np.arange(grid) + 0.5) / grid * 2 - 1
    y, x = place[:, None] - _CENTRE_Y, place[None, :]

    def inside(half: tuple[float, float]) -> np.ndarray:
        return (y / half[0]) ** 2 + (x / half[1]) ** 2 < 1

    regions = np.stack([inside(_INNER), inside(_RIM[1]) & ~inside(_RIM[0])])
    return (_LOGIT * (2.0 * regions - 1.0)).astype(np.float32)


def pos_spectrum(colours: Float[Array, "*rest F 3"]) -> Float[Array, "*rest F"]:
    """POS (Wang et al., IEEE TBME 2017) of one window, on the coefficients of relative colours instead of on frames.

    G - B and G + B - 2R, the second scaled to the first: what brightens all colours alike, as a moving head does,
    cancels out.
    """
    red, green, blue = jnp.moveaxis(colours, -1, 0)
    first, second = green - blue, green + blue - 2.0 * red
    strength = jnp.sqrt(((first * first).sum(-1) + _TINY) / ((second * second).sum(-1) + _TINY))
    return first + strength[..., None] * second


class Agreement(nn.Module):
    """How well inner face, rim and wave agree inside the pulse's band.

    A pasted face has no pulse, or another's: then the inner face does not follow the rim. Which of the two the wave
    follows differs from clip to clip, so a map of the correlations with the wave alone has no sign to learn:
    Deepfakes, left-out people of 44, 8 x 8 regions and the trace of the whole face: AUC 0.72 at raw, 0.76 at c23, and
    with POS of the inner face against the rim, one number, 0.93 and 0.74. Correlations do not know the pulse's phase,
    which says nothing about the class. Which pixels belong to the two regions is learned.

    A pulse is narrow in frequency, a codec's noise is not: each frequency counts as much as the three have of it
    together. Deepfakes, fitted on 32 people at raw and c23 and scored on 48 others, a regression on the three numbers
    with the classical trace for the wave: AUC 0.93, 0.78 at raw and c23, and 0.66 at c26; with sharper regions (_LOGIT)
    0.94, 0.84, 0.70; with these weights, too, 0.96, 0.85, 0.74.

    Attributes:
      grid: cells a side of which the regions are made.
    """

    grid: int

    @nn.compact
    def __call__(self, x: Float[Array, "N T S S 3"], wave: Float[Array, "N T"]) -> Float[Array, "N 3"]:
        """x: PhysFormer's input, "temporal", S a multiple of grid. (N, 3) float32: inner-rim, inner-wave, rim-wave."""
        n, length, side = x.shape[:3]
        cell = side // self.grid
        cells = x.astype(jnp.float32).reshape(n, length, self.grid, cell, self.grid, cell, 3).mean(axis=(3, 5))
        cells = cells - cells.mean(axis=1, keepdims=True)
        basis = jnp.asarray(band_basis(length))
        logits = self.param("regions", lambda _: jnp.asarray(starting_regions(self.grid)))
        shares = jax.nn.softmax(jax.nn.log_sigmoid(logits).reshape(2, -1), axis=-1).reshape(logits.shape)
        colours = jnp.einsum("ntijc,rij,tf->nrfc", cells, shares, basis)
        inner, rim = jnp.moveaxis(unit(pos_spectrum(colours)), 1, 0)
        reference = unit((wave - wave.mean(axis=1, keepdims=True)) @ basis)
        inner, rim, reference = in_common(inner, rim, reference)
        rho = jnp.stack([(a * b).sum(-1) for a, b in ((inner, rim), (inner, reference), (rim, reference))], axis=-1)
        return _SCALE * (rho - _MIDDLE)


def in_common(*pulses: Float[Array, "N F"]) -> list[Float[Array, "N F"]]:
    """Unit spectra, each frequency weighted by the amplitude of their mean, and made unit again.

    Args:
      pulses: on band_basis: cosines, then sines, of the same frequencies.
    """
    cosine, sine = jnp.split(unit(sum(pulses, start=jnp.zeros(()))), 2, axis=-1)
    amplitude = jnp.sqrt(cosine * cosine + sine * sine + _TINY)
    weight = jnp.concatenate([amplitude, amplitude], axis=-1)
    return [unit(pulse * weight) for pulse in pulses]


def unit(x: Float[Array, "*shape F"]) -> Float[Array, "*shape F"]:
    """x / |x|; a zero vector stays zero, with a finite gradient."""
    return x * jax.lax.rsqrt((x * x).sum(axis=-1, keepdims=True) + _TINY)
