"""From embedded prompts to class embeddings: what is trained of them, their mean, and learned context."""

from __future__ import annotations

import jax
import jax.numpy as jnp

TEXT_MODES = ("finetune", "frozen", "context")
PROMPTS = ("sampled", "ensemble")


def unit(x: jax.Array) -> jax.Array:
    """x / |x| over the last axis, float32; a zero vector stays zero, with a finite gradient."""
    x = x.astype(jnp.float32)
    return x * jax.lax.rsqrt(jnp.maximum(jnp.sum(x * x, axis=-1, keepdims=True), 1e-12))


def ensemble(embedded: jax.Array, there: jax.Array) -> jax.Array:
    """Unit embeddings of prompts (C, P, D), and which of them exist (C, P) -> (C, D): unit means over those."""
    total = (embedded * there[..., None]).sum(axis=1)
    return unit(total / jnp.maximum(there.sum(axis=1), 1)[:, None])


def draw(key: jax.Array, rows: jax.Array, there: jax.Array) -> jax.Array:
    """One row a class of (C, P, ...), of those that exist: (C, P), each class's first -> (C, 1, ...)."""
    place = jax.random.randint(key, there.shape[:1], 0, there.sum(axis=1))
    return jnp.take_along_axis(rows, place.reshape(-1, *[1] * (rows.ndim - 1)), axis=1)


def inserted_context(learned: jax.Array, table: jax.Array, words: tuple[int, ...], prompts: int) -> jax.Array:
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
