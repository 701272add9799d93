"""Multi-head attention of PhysFormer: few channels per head, many tokens, the softmax in float32.

One form for every platform: only its order of axes and its gradient by hand were chosen for the CPU.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float


@jax.custom_vjp
def softmax_attention(
    q: Float[Array, "G d L"], k: Float[Array, "G d L"], v: Float[Array, "G d L"], keep: Bool[Array, "C H L L"] | None
) -> Float[Array, "G d L"]:
    """softmax(q' k), zero where it is not kept, applied to v; channels before tokens.

    With 8 channels a head the time goes into passes over the (L, L) weights, and into products that XLA's CPU backend
    does not recognise as matrix products when the summed axis comes first. So: channels before tokens, weights
    normalised after the product, and the gradient by hand, with the weights saved and not normalised. (64 heads of
    512 tokens, forward and gradient, CPU seconds of two cores: 0.15 instead of 0.28.)

    Args:
      q, k, v: (G, d, L); q already scaled. G runs over clips, views, heads, in this order.
      keep: (clips, heads, L, L), rows of queries, the same for all views of a clip; None: all weights are kept.

    Returns:
      (G, d, L), dtype of v.
    """
    return _forward(q, k, v, keep)[0]


def _kept(weights: Float[Array, "G L L"], keep: Bool[Array, "C H L L"] | None) -> Float[Array, "G L L"]:
    """weights, zero where they are dropped."""
    if keep is None:
        return weights
    clips, heads, *square = keep.shape
    by_view = weights.reshape(clips, -1, heads, *square)
    return jnp.where(keep[:, None], by_view, 0).reshape(weights.shape)


def _dot(equation: str, a: jax.Array, b: jax.Array) -> jax.Array:
    return jnp.einsum(equation, a, b, preferred_element_type=jnp.float32)


def _forward(
    q: jax.Array, k: jax.Array, v: jax.Array, keep: jax.Array | None
) -> tuple[jax.Array, tuple[jax.Array | None, ...]]:
    logits = _dot("gdq,gdk->gqk", q, k)
    weights = jnp.exp(logits - logits.max(axis=-1, keepdims=True))
    total = weights.sum(axis=-1)
    y = _dot("gdk,gqk->gdq", v, _kept(weights, keep).astype(v.dtype)) / total[:, None]
    return y.astype(v.dtype), (q, k, v, keep, weights.astype(v.dtype), total, y)


def _backward(saved: tuple[Any, ...], dy: jax.Array) -> tuple[jax.Array | None, ...]:
    q, k, v, keep, weights, total, y = saved
    dtype = v.dtype
    dy = dy.astype(jnp.float32) / total[:, None]
    delta = (dy * y).sum(axis=1)[..., None]  # sum over k of weight * its gradient, without another (L, L) pass
    dy = dy.astype(dtype)
    dv = _dot("gdq,gqk->gdk", dy, _kept(weights, keep).astype(dtype))
    dlogits = (weights * (_kept(_dot("gdq,gdk->gqk", dy, v), keep) - delta)).astype(dtype)
    dq = _dot("gdk,gqk->gdq", k, dlogits)
    dk = _dot("gdq,gqk->gdk", q, dlogits)
    return dq.astype(dtype), dk.astype(dtype), dv.astype(dtype), None


softmax_attention.defvjp(_forward, _backward)


def attend(
    q: Float[Array, "N L D"],
    k: Float[Array, "N L D"],
    v: Float[Array, "N L D"],
    keep: Bool[Array, "C H L L"] | None = None,
    *,
    heads: int,
    temperature: float,
    kept_share: float = 1.0,
) -> Float[Array, "N L D"]:
    """Multi-head attention whose logits are divided by `temperature` alone ("gra_sharp").

    Args:
      q, k, v: (N, L, D), rows in (clips, views) order.
      keep: (clips, heads, L, L) which weights dropout leaves; the views of a clip share theirs. None: all.
      heads: divides D.
      temperature: of the softmax.
      kept_share: the probability of `keep`; the weights that are kept are divided by it.

    Returns:
      (N, L, D).
    """
    n, length, dim = q.shape

    def split(x: jax.Array) -> jax.Array:  # (N, L, D) -> (N heads, d, L)
        x = x.reshape(n, length, heads, dim // heads).transpose(0, 2, 3, 1)
        return x.reshape(n * heads, dim // heads, length)

    y = softmax_attention(split(q * (1.0 / temperature)), split(k), split(v * (1.0 / kept_share)), keep)
    return y.reshape(n, heads, dim // heads, length).transpose(0, 3, 1, 2).reshape(n, length, dim)
