"""Multi-head attention of PhysFormer: few channels per head, many tokens, the softmax in float32.

One form for every platform: only its order of axes and its gradient by hand were chosen for the CPU.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


@jax.custom_vjp
def softmax_attention(
    q: Float[Array, "G d L"], k: Float[Array, "G d L"], v: Float[Array, "G d L"], mask: Float[Array, "L L"]
) -> Float[Array, "G d L"]:
    """softmax(q' k) * mask, applied to v; channels before tokens.

    With 8 channels a head the time goes into passes over the (L, L) weights, and into products that XLA's CPU backend
    does not recognise as matrix products when the summed axis comes first. So: channels before tokens, weights
    normalised after the product, and the gradient by hand, with the weights saved and not normalised. (64 heads of
    512 tokens, forward and gradient, CPU seconds of two cores: 0.15 instead of 0.28.)

    Args:
      q, k, v: (G, d, L); q already scaled.
      mask: (L, L) float32 factors of the weights (dropout), rows of queries.

    Returns:
      (G, d, L), dtype of v.
    """
    return _forward(q, k, v, mask)[0]


def _dot(equation: str, a: jax.Array, b: jax.Array) -> jax.Array:
    return jnp.einsum(equation, a, b, preferred_element_type=jnp.float32)


def _forward(q: jax.Array, k: jax.Array, v: jax.Array, mask: jax.Array) -> tuple[jax.Array, tuple[jax.Array, ...]]:
    logits = _dot("gdq,gdk->gqk", q, k)
    weights = jnp.exp(logits - logits.max(axis=-1, keepdims=True))
    total = weights.sum(axis=-1)
    y = _dot("gdk,gqk->gdq", v, (weights * mask).astype(v.dtype)) / total[:, None]
    return y.astype(v.dtype), (q, k, v, mask, weights.astype(v.dtype), total, y)


def _backward(saved: tuple[jax.Array, ...], dy: jax.Array) -> tuple[jax.Array, ...]:
    q, k, v, mask, weights, total, y = saved
    dtype = v.dtype
    dy = dy.astype(jnp.float32) / total[:, None]
    delta = (dy * y).sum(axis=1)[..., None]  # sum over k of weight * its gradient, without another (L, L) pass
    dy = dy.astype(dtype)
    dv = _dot("gdq,gqk->gdk", dy, (weights * mask).astype(dtype))
    dlogits = (weights * (_dot("gdq,gdk->gqk", dy, v) * mask - delta)).astype(dtype)
    dq = _dot("gdk,gqk->gdq", k, dlogits)
    dk = _dot("gdq,gqk->gdk", q, dlogits)
    return dq.astype(dtype), dk.astype(dtype), dv.astype(dtype), jnp.zeros_like(mask)


softmax_attention.defvjp(_forward, _backward)


def attend(
    q: Float[Array, "N L D"],
    k: Float[Array, "N L D"],
    v: Float[Array, "N L D"],
    mask: Float[Array, "L L"],
    *,
    heads: int,
    temperature: float,
) -> Float[Array, "N L D"]:
    """Multi-head attention whose logits are divided by `temperature` alone ("gra_sharp").

    Args:
      q, k, v: (N, L, D).
      mask: (L, L) float32 factors of the weights, the same for all clips and heads; no gradient reaches it.
      heads: divides D.
      temperature: of the softmax.

    Returns:
      (N, L, D).
    """
    n, length, dim = q.shape

    def split(x: jax.Array) -> jax.Array:  # (N, L, D) -> (N heads, d, L)
        x = x.reshape(n, length, heads, dim // heads).transpose(0, 2, 3, 1)
        return x.reshape(n * heads, dim // heads, length)

    y = softmax_attention(split(q * (1.0 / temperature)), split(k), split(v), mask)
    return y.reshape(n, heads, dim // heads, length).transpose(0, 3, 1, 2).reshape(n, length, dim)
