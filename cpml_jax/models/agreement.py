"""Where in the face the pulse is: how well the colour of every region follows the model's wave."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jaxtyping import Array, Float

from cpml_jax.schema import FRAME_RATE, PULSE_BAND_HZ

# Weights of R, G, B that training starts from: the pulse's direction against grey light. One weighting is enough: four
# memorise 32 people (configs/synthetic.py has the figures).
START = (-0.3, 1.0, -0.2)
_TINY = 1e-6


def band_basis(length: int, fps: float = FRAME_RATE) -> Float[np.ndarray, "{length} F"]:
    """Cosines and sines of a clip's whole periods inside PULSE_BAND_HZ, Hann-windowed: (length, F) float32, F even."""
    low, high = (rate * length / fps for rate in PULSE_BAND_HZ)
    periods = np.arange(np.ceil(low), np.floor(high) + 1)
    angles = 2.0 * np.pi * np.outer(np.arange(length), periods) / length
    window = np.hanning(length + 2)[1:-1, None]
    return (np.concatenate([np.cos(angles), np.sin(angles)], axis=1) * window * np.sqrt(2.0 / length)).astype(
        np.float32
    )


class Agreement(nn.Module):
    """The correlation, inside the pulse's band, of every region's colour with the wave.

    Correlations do not know the wave's phase, which says nothing about the class; where a face was pasted that has no
    pulse, or another's, its regions are at 0 while those around it are not. Only this difference is kept: the regions'
    mean, which differs from camera to camera and from compression to compression, is taken off. POS and CHROM weigh
    colours by formula; here the weighting is learned.

    Attributes:
      grid: regions a side.
    """

    grid: int

    @nn.compact
    def __call__(self, x: Float[Array, "N T S S 3"], wave: Float[Array, "N T"]) -> Float[Array, "N regions"]:
        """x: PhysFormer's normalised input, S a multiple of grid. (N, grid * grid) float32, row by row."""
        n, length, side = x.shape[:3]
        cell = side // self.grid
        cells = x.astype(jnp.float32).reshape(n, length, self.grid, cell, self.grid, cell, 3).mean(axis=(3, 5))
        basis = jnp.asarray(band_basis(length))

        def start(key, shape, dtype):
            return jnp.asarray(START, dtype).reshape(shape)

        weights = self.param("colours", start, (3, 1), jnp.float32)
        cells = cells - cells.mean(axis=1, keepdims=True)
        regions = jnp.einsum("ntijc,tf,ck->nijkf", cells, basis, weights)
        reference = (wave - wave.mean(axis=1, keepdims=True)) @ basis
        rho = jnp.einsum("nijkf,nf->nijk", unit(regions), unit(reference))
        return (rho - rho.mean(axis=(1, 2), keepdims=True)).reshape(n, -1)


def unit(x: Float[Array, "*shape F"]) -> Float[Array, "*shape F"]:
    """x / |x|; a zero vector stays zero, with a finite gradient."""
    return x * jax.lax.rsqrt((x * x).sum(axis=-1, keepdims=True) + _TINY)
