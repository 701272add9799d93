"""How many of the fused numbers the classes' scores lean on: an L1 norm that leaves each class its own few."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float

from cpml_jax.arrays import AnyArray
from cpml_jax.models.class_embeddings import TAU_LIMIT, unit


def class_weights(
    params: Mapping[str, Any], class_embeddings: Float[AnyArray, "C D"] | None, unified: Float[AnyArray, "B V D"]
) -> Float[Array, "F C"]:
    """What one unit of each fused number adds to each class's logit.

    logit_c = exp(tau) cos(u, t_c) with u = kernel^T x + bias, so d logit_c / d x is exp(tau) (kernel t_c) / |u| but for
    the change of |u|; for |u| its root mean square over the batch is taken. Neither a longer u nor shorter weights
    change this, as they do not change a cosine. With the linear head it is the product of the two kernels.

    Args:
      params: of CPML; its fusion has a last map (model.fusion_projection "linear").
      class_embeddings: t_c; None with the linear head.
      unified: u, of the batch.
    """
    kernel = jnp.asarray(params["fusion"]["out"]["kernel"], jnp.float32)
    if class_embeddings is None:
        return kernel @ params["classifier"]["kernel"]
    scale = jnp.exp(jnp.minimum(params["tau"], TAU_LIMIT))
    length = jnp.sqrt((unified * unified).sum(-1).mean() + 1e-12)
    return scale / length * jnp.einsum("fd,cd->fc", kernel, unit(class_embeddings), precision="highest")


def sparsity(weights: Float[AnyArray, "F C"]) -> Float[Array, ""]:
    """() float32: the sum of |weight| over numbers and classes (Tibshirani, J. Royal Statistical Society B, 1996)."""
    return jnp.abs(jnp.asarray(weights, jnp.float32)).sum()
