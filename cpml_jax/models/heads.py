"""What stands on the features besides the class prompts, and which heads and losses fit together."""

from __future__ import annotations

from collections.abc import Mapping

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Num

from cpml_jax.errors import UserError

HEADS = ("prompts", "linear")
FUSION_PROJECTIONS = ("linear", "none")
PROJECTIONS = ("simclr", "affinity")  # losses with weights of their own, which exist only with them
WITH_PROMPTS = ("cmcl", "prompt_mse", "affinity")  # losses that compare with the class prompts
ON_IMAGES = ("simclr", "prompt_mse")  # losses on augmented images


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


def check_heads(model: Mapping, loss: Mapping) -> None:
    """Refuse values of `config.model` and `config.loss` that do not fit together.

    Raises:
      UserError: the first of them.
    """
    head, projection, modalities = model["head"], model["fusion_projection"], tuple(model["modalities"])
    for key, value, allowed in (("head", head, HEADS), ("fusion_projection", projection, FUSION_PROJECTIONS)):
        if value not in allowed:
            raise UserError(f"model.{key}={value!r}; it is one of {allowed}")
    for name in (*WITH_PROMPTS, "simclr"):
        if loss[name] < 0:
            raise UserError(f"loss.{name}={loss[name]} is a weight: 0 or more")
    for name in WITH_PROMPTS:
        if head == "linear" and loss[name]:
            raise UserError(
                f"loss.{name}={loss[name]} compares with the class prompts, which model.head='linear' has none of; "
                f"set loss.{name}=0.0 or model.head='prompts'"
            )
    for name in ON_IMAGES:
        if loss[name] and "visual" not in modalities:
            raise UserError(
                f"loss.{name}={loss[name]} needs the visual stream; model.modalities is {modalities}: "
                f"add 'visual' or set loss.{name}=0.0"
            )
    for name in PROJECTIONS:
        if loss[f"{name}_temperature"] <= 0:
            raise UserError(f"loss.{name}_temperature={loss[f'{name}_temperature']} must be above 0")
    if head == "prompts" and projection == "none" and modalities != ("visual",):
        raise UserError(
            f"model.fusion_projection='none' with model.modalities={modalities}: only the visual stream alone is as "
            "wide as the class prompts; set it to 'linear', or model.head='linear'"
        )
