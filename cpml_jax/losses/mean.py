"""The mean that every loss takes."""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Float, Num

from cpml_jax.arrays import AnyArray


def weighted_mean(values: Float[AnyArray, "*shape"], weight: Num[AnyArray, "*#shape"]) -> Float[Array, ""]:
    """Mean of `values` under `weight`, which is broadcast to their shape; 0 where the weights are all 0."""
    weight = jnp.broadcast_to(weight, values.shape)
    return (values * weight).sum() / jnp.maximum(weight.sum(), 1e-8)
