"""How the inner face differs from what lies around it, in each channel of a network.

Statistics over the whole crop tell people and cameras apart before they tell forged from real. The rim was filmed by
the same camera in the same light, and is mostly not forged: against it a forged face shows, and what is the camera's
falls out.
"""

from __future__ import annotations

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from cpml_jax.models.texture_contrast import cell_weights

NUMBERS = 2  # a channel: mean and log of variance
# Of a variance: a flat region has a finite logarithm. Those of trained EfficientNet-Lite0's stages are 14 to 80 on
# faces, and any floor from 1e-6 to 0.1 gives the same result.
_FLOOR = 1e-3


def region_contrast(stages: Sequence[Float[Array, "N _ _ _"]]) -> Float[Array, "N F"]:
    """Inner face less rim: of the mean and of the log variance over space of each channel.

    The inner face is the middle half of the picture's height and width, which is 65 % of the face's box, as crops are
    1.3 times as wide; the rim is all the rest. A pixel across the border counts on both sides by its shares. A mirrored
    stage has the same numbers.

    Args:
      stages: (N, height, width, channels) each; any sizes, any dtype.

    Returns:
      float32, F = NUMBERS * channels of all stages: of each stage its means, then its log variances.
    """
    return jnp.concatenate([each for stage in stages for each in _contrasts(stage.astype(jnp.float32))], axis=-1)


def _contrasts(x: Float[Array, "N h w C"]) -> tuple[Float[Array, "N C"], Float[Array, "N C"]]:
    """Of means and of log variances."""
    weights = jnp.asarray(region_weights(*x.shape[1:3]))
    # No region's statistics depend on a level of the whole picture, whose square would leave float32 no digits.
    x = x - jax.lax.stop_gradient(x.mean(axis=(1, 2), keepdims=True))
    mean = jnp.einsum("nijc,rij->rnc", x, weights, precision="highest")
    square = jnp.einsum("nijc,rij->rnc", x * x, weights, precision="highest")
    spread = jnp.log(jnp.maximum(square - mean * mean, 0.0) + _FLOOR)
    return mean[0] - mean[1], spread[0] - spread[1]


def region_weights(height: int, width: int) -> Float[np.ndarray, "2 {height} {width}"]:
    """Each pixel's weight in the means over inner face and rim; float32, each sums to 1."""
    rows, columns = (cell_weights(side, 4)[1:3].mean(axis=0) for side in (height, width))  # the middle two quarters
    inner = np.outer(rows, columns)
    whole = np.full_like(inner, 1 / (height * width))
    return np.stack([inner, (whole - inner / 4) / (3 / 4)])
