"""What stands on the features besides the class prompts."""

from __future__ import annotations

from collections.abc import Mapping

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Num

HEADS = ("prompts", "prototypes", "linear")
FUSION_PROJECTIONS = ("linear", "none")
PROJECTIONS = ("simclr", "affinity")  # losses that train layers, which exist only with them


class ContrastHead(nn.Module):
    """SimCLR's projection head as in FLIP-MCL: three linear layers, batch norm and ReLU after the first two.

    FLIP's widths for embeddings of 512 are 4096, 4096, 256: here 8 D, 8 D, D / 2. It only trains, so the batch norm
    keeps no running statistics.
    """

    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "B D"], weight: Num[Array, " B"]) -> Float[Array, "B D2"]:
        """Rows of weight 0 do not count in the statistics. D2 is D / 2; float32."""
        dim = x.shape[-1]
        for i in range(2):
            x = nn.Dense(8 * dim, use_bias=False, dtype=self.dtype, name=f"hidden_{i}")(x)  # the norm has the bias
            x = nn.relu(BatchNorm(name=f"norm_{i}")(x, weight))
        return nn.Dense(max(dim // 2, 1), dtype=self.dtype, name="out")(x).astype(jnp.float32)


class BatchNorm(nn.Module):
    """Batch norm by this batch's weighted statistics, always."""

    @nn.compact
    def __call__(self, x: Float[Array, "B F"], weight: Num[Array, " B"]) -> Float[Array, "B F"]:
        scale = self.param("scale", nn.initializers.ones, x.shape[-1:], jnp.float32)
        bias = self.param("bias", nn.initializers.zeros, x.shape[-1:], jnp.float32)
        x, share = x.astype(jnp.float32), (weight / jnp.maximum(weight.sum(), 1e-8))[:, None]
        centred = x - (x * share).sum(axis=0)
        return centred * jax.lax.rsqrt((centred**2 * share).sum(axis=0) + 1e-5) * scale + bias


def projections(loss: Mapping) -> tuple[str, ...]:
    """The projections that a configuration's losses need."""
    return tuple(name for name in PROJECTIONS if loss[name])
