"""From embedded prompts to class embeddings: what is trained of them, their mean, and learned context."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PRNGKeyArray, Shaped

from cpml_jax.arrays import AnyArray

TEXT_MODES = ("finetune", "frozen", "context")
PROMPTS = ("sampled", "ensemble")
LOWEST_TEMPERATURE = 0.01  # CLIP's limit
TAU_LIMIT = -math.log(LOWEST_TEMPERATURE)


def unit(x: Float[AnyArray, "*shape D"]) -> Float[Array, "*shape D"]:
    """x / |x| over the last axis, float32; a zero vector stays zero, with a finite gradient."""
    x = jnp.asarray(x, jnp.float32)
    return x * jax.lax.rsqrt(jnp.maximum(jnp.sum(x * x, axis=-1, keepdims=True), 1e-12))


def ensemble(embedded: Float[Array, "C P D"], exists: Bool[Array, "C P"]) -> Float[Array, "C D"]:
    """Each class's unit mean over the unit embeddings of those of its prompts that exist."""
    total = (embedded * exists[..., None]).sum(axis=1)
    return unit(total / jnp.maximum(exists.sum(axis=1), 1)[:, None])


def draw(key: PRNGKeyArray, rows: Shaped[Array, "C P *rest"], exists: Bool[Array, "C P"]) -> Shaped[Array, "C 1 *rest"]:
    """One random row of each class, of those that exist, which are each class's first."""
    place = jax.random.randint(key, exists.shape[:1], 0, exists.sum(axis=1))
    return jnp.take_along_axis(rows, place.reshape(-1, *[1] * (rows.ndim - 1)), axis=1)


def inserted_context(
    learned: Float[Array, "M W"] | Float[Array, "C M W"],
    table: Float[Array, "vocabulary W"],
    words: tuple[int, ...],
    prompts: int,
) -> Float[Array, "M W"] | Float[Array, "CP M W"]:
    """The vectors that go into prompts (CoOp, Zhou et al., IJCV 2022).

    Args:
      learned: (M, W) for all classes, or (C, M, W).
      table: (vocabulary, W) token embeddings.
      words: M tokens, to whose embeddings `learned` is added; (): to nothing.
      prompts: P, of a class.

    Returns:
      (M, W), or (C P, M, W) in the order of flattened prompts.
    """
    if words:
        learned = learned + table[jnp.asarray(words)]
    return jnp.repeat(learned, prompts, axis=0) if learned.ndim == 3 else learned
