"""The mean that every loss takes, and the smallest batch, whose counts make it a sum again.

The paper writes its sums for one real and one fake clip at two compressions. Here each term is the mean over its clips
or pairs times its count in that batch, so a weight keeps its meaning at any batch size and any number of views
(docs/method.md, Batches).
"""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Float, Num

from cpml_jax.arrays import AnyArray

CLIPS = 2  # one real and one fake: the count of a sum over clips
VIEWS = 2  # hi and lo: the count of a sum over views


def weighted_mean(values: Float[AnyArray, "*shape"], weight: Num[AnyArray, "*#shape"]) -> Float[Array, ""]:
    """Mean of `values` under `weight`, which is broadcast to their shape; 0 where the weights are all 0."""
    weight = jnp.broadcast_to(weight, values.shape)
    return (values * weight).sum() / jnp.maximum(weight.sum(), 1e-8)
