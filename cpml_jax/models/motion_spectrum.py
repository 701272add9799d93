"""How strongly each part of the face moves against the nose, slowly and fast: the landmarks' log power by band."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from cpml_jax.schema import FRAME_RATE

BANDS_HZ = (0.2, 0.5, 1.0, 2.0, 4.0, 8.0, 11.5, 15.1)  # edges
NOSE = tuple(range(27, 36))
# iBUG-68: jaw, brows, eyes, upper lip, lower lip. Few: on 44 people, left-out ones scored, a regression on these 35
# numbers had AUC 0.90 for Face2Face and 0.98 for NeuralTextures; on 154 (eleven regions, x and y apart) 0.83 and 0.97.
REGIONS = (
    tuple(range(5, 12)),
    tuple(range(17, 27)),
    tuple(range(36, 48)),
    (*range(48, 55), *range(60, 65)),
    (*range(55, 60), *range(65, 68)),
)
_FLOOR = 1e-8  # of the power: far below what a fit's rounding leaves


def motion_spectrum(landmarks: Float[Array, "N T 68 2"]) -> Float[Array, "N features"]:
    """Log power of each region's place against the nose by band; standardised over a clip's numbers.

    A movement's phase says nothing about the class, and its energy does: a recurrent network has to learn to square
    and to sum before it sees it. Bands that a clip is too short for are left out.
    """
    length = landmarks.shape[1]
    nose = landmarks[:, :, jnp.asarray(NOSE)].mean(axis=2)
    places = jnp.stack([landmarks[:, :, jnp.asarray(region)].mean(axis=2) - nose for region in REGIONS], axis=2)
    window = jnp.asarray(np.hanning(length + 2)[1:-1, None, None], jnp.float32)
    spectrum = jnp.fft.rfft((places - places.mean(axis=1, keepdims=True)) * window, axis=1)
    power = (spectrum.real**2 + spectrum.imag**2).sum(axis=-1)
    rates = np.fft.rfftfreq(length, 1 / FRAME_RATE)
    inside = [(rates >= low) & (rates < high) for low, high in zip(BANDS_HZ[:-1], BANDS_HZ[1:], strict=True)]
    bands = [power[:, jnp.asarray(np.flatnonzero(band))].mean(axis=1) for band in inside if band.any()]
    features = jnp.log(jnp.stack(bands, axis=-1) + _FLOOR).reshape(landmarks.shape[0], -1)
    features = features - features.mean(axis=1, keepdims=True)
    return features * jax.lax.rsqrt((features * features).mean(axis=1, keepdims=True) + 1e-6)
