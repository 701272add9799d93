"""How strong the picture's fine texture is, cell by cell, against the clip's mean over the cells."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Num

from cpml_jax.models.views import averaged_down

LUMA = (0.299, 0.587, 0.114)  # of RGB, ITU-R BT.601
OCTAVES = 2
_FLOOR = 0.25  # grey levels: about what rounding to whole ones leaves of a flat cell
_SCALE = 1.0


def texture_contrast(
    stills: Num[Array, "N K S S 3"], grid: int, downsampled: tuple[str, ...] = ()
) -> Float[Array, "NV features"]:
    """Log mean |fine part of the luma| of grid x grid cells and OCTAVES octaves.

    Args:
      stills: RGB, 0 to 255.
      grid: cells a side.
      downsampled: views to make as views.visual_views does, at the stills' own size again; V is 1 + their number.

    Returns:
      (N V, OCTAVES grid^2) float32: octaves, then rows, then columns.
    """
    luma = stills.astype(jnp.float32) @ jnp.asarray(LUMA)[:, None]
    views = [luma, *(enlarged(averaged_down(luma, name), luma.shape[2]) for name in downsampled)]
    x = jnp.stack(views, axis=1)[..., 0]
    n, v, k, side = x.shape[:4]
    fine = jnp.abs(octaves(x.reshape(n * v, k, side, side)))
    weights = jnp.asarray(cell_weights(side, grid))
    means = jnp.einsum("onkij,gi,hj->nokgh", fine, weights, weights)
    logs = jnp.log(means + _FLOOR).mean(axis=2)
    return (_SCALE * (logs - logs.mean(axis=(2, 3), keepdims=True))).reshape(n * v, -1)


def enlarged(x: Float[Array, "N K s s C"], side: int) -> Float[Array, "N K {side} {side} C"]:
    return jax.image.resize(x, (*x.shape[:2], side, side, x.shape[-1]), "bilinear")


def octaves(x: Float[Array, "*rest S S"]) -> Float[Array, "octaves *rest S S"]:
    """What each of two binomial blurs, the second twice as wide, takes away from the picture."""
    bands = []
    for octave in range(OCTAVES):
        low = blurred(x, 2**octave)
        bands.append(x - low)
        x = low
    return jnp.stack(bands)


def blurred(x: Float[Array, "*rest S S"], step: int) -> Float[Array, "*rest S S"]:
    """(1, 2, 1) / 4 along both axes, its taps `step` pixels apart; the edge is repeated."""
    for axis in (-2, -1):
        pad = [(0, 0)] * x.ndim
        pad[axis] = (step, step)
        wide, length = jnp.pad(x, pad, mode="edge"), x.shape[axis]
        taps = [jax.lax.slice_in_dim(wide, start, start + length, axis=axis) for start in (0, step, 2 * step)]
        x = 0.25 * (taps[0] + taps[2]) + 0.5 * taps[1]
    return x


def cell_weights(side: int, grid: int) -> Float[np.ndarray, "{grid} {side}"]:
    """(grid, side) float32, rows of sum 1: how much of each pixel lies in each cell; grid need not divide side."""
    edges = np.linspace(0, side, grid + 1)
    pixel = np.arange(side)
    overlap = np.minimum(edges[1:, None], pixel + 1) - np.maximum(edges[:-1, None], pixel)
    return (np.clip(overlap, 0, None) * grid / side).astype(np.float32)
