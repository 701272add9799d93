"""CE, CQSL, CMCL and the pulse teacher: pure functions of arrays (docs/method.md, Losses).

The paper writes its sums for one real and one fake clip at two compressions. Here each term is the mean over its
pairs times its count in that smallest batch, so a weight keeps its meaning at any batch size and any number
of views. `weight` is 1 for a clip and 0 for a row that only pads the batch. View 0 is the best compression.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from cpml_jax import signal
from cpml_jax.schema import FAKE, REAL

_CLIPS = 2  # one real and one fake: the count of a sum over i
_VIEWS = 2  # hi and lo: the count of a sum over q


def _mean(values: jax.Array, weight: jax.Array) -> jax.Array:
    """Mean of `values` under `weight` (same shape after broadcasting); 0 where the weights are all 0."""
    weight = jnp.broadcast_to(weight, values.shape)
    return (values * weight).sum() / jnp.maximum(weight.sum(), 1e-8)


def cross_entropy(logits: jax.Array, label: jax.Array, weight: jax.Array) -> jax.Array:
    """Cross-entropy of the prompt scores.

    Args:
      logits: (B, C) exp(tau) cos(u, t_c), order (real, fake) or (real, the manipulations).
      label: (B,) the clip's class, 0 real.
      weight: (B,).

    Returns:
      () float32, nats.
    """
    log_p = jax.nn.log_softmax(logits.astype(jnp.float32), axis=-1)
    return _mean(-jnp.take_along_axis(log_p, label[:, None], axis=-1)[:, 0], weight)


def cqsl(wave: jax.Array, label: jax.Array, weight: jax.Array, fps: float = 30.0) -> dict[str, jax.Array]:
    """Cross-quality similarity learning: one pulse across compressions, none shared by real and fake.

    Args:
      wave: (B, V, T) pulse waves; V = 1 leaves only the push term.
      label: (B,).
      weight: (B,).
      fps: frames/s of the waves.

    Returns:
      pull: sum_i 1 - rho(s_hi, s_lo); push: sum over real i, fake j and compressions of |rho|;
      rate: sum_i |HR(s_hi) - HR(s_lo)| / 60. Each () float32.
    """
    clips, views, length = wave.shape
    if views > 1:
        best, others = wave[:, :1], wave[:, 1:]
        pull = _CLIPS * _mean(1.0 - signal.pearson(best, others), weight[:, None])
        rates = signal.soft_heart_rate(wave, fps)
        rate = _CLIPS * _mean(jnp.abs(rates[:, :1] - rates[:, 1:]) / 60.0, weight[:, None])
    else:
        pull = rate = jnp.zeros((), jnp.float32)
    # Unit waves make every real-fake correlation one matrix product over the global batch.
    unit = wave.astype(jnp.float32) - wave.astype(jnp.float32).mean(-1, keepdims=True)
    unit = unit * jax.lax.rsqrt((unit * unit).sum(-1, keepdims=True) + 1e-12)
    unit = unit.reshape(clips * views, length)
    real = jnp.repeat(weight * (label == REAL), views)
    fake = jnp.repeat(weight * (label == FAKE), views)
    counted = min(views, _VIEWS) ** 2
    push = counted * _mean(jnp.abs(unit @ unit.T), real[:, None] * fake[None, :])
    return {"pull": pull, "push": push, "rate": rate}


def cmcl(unified: jax.Array, class_embeddings: jax.Array, label: jax.Array, weight: jax.Array) -> dict[str, jax.Array]:
    """Cross-modal contrastive learning: the fused feature of every compression lies at its class's prompt.

    Args:
      unified: (B, V, D) fused features.
      class_embeddings: (C, D) t_c of unit length, order (real, fake) or (real, the manipulations).
      label: (B,) the clip's class, 0 real.
      weight: (B,).

    Returns:
      align: sum_{i,q} 1 - cos(u, t_y); repel: sum_{i,q} cos(u, t_{1-y}), with more than two classes the mean
      of cos(u, t_c) over the C - 1 others, so that the weight keeps its meaning;
      steady: sum_i (cos(u_hi, t_y) - cos(u_lo, t_y))^2. Each () float32.
    """
    unified = unified.astype(jnp.float32)
    norm = jax.lax.rsqrt((unified * unified).sum(-1, keepdims=True) + 1e-12)
    cosine = (unified * norm) @ class_embeddings.astype(jnp.float32).T  # (B, V, C)
    classes = cosine.shape[-1]
    own = jnp.take_along_axis(cosine, label[:, None, None], axis=-1)[..., 0]
    strange = jnp.arange(classes) != label[:, None, None]
    other = jnp.where(strange, cosine, 0.0).sum(-1) / (classes - 1)
    views = unified.shape[1]
    count = _CLIPS * min(views, _VIEWS)
    steady = jnp.zeros((), jnp.float32)
    if views > 1:
        steady = _CLIPS * _mean((own[:, :1] - own[:, 1:]) ** 2, weight[:, None])
    return {
        "align": count * _mean(1.0 - own, weight[:, None]),
        "repel": count * _mean(other, weight[:, None]),
        "steady": steady,
    }


def pulse_teacher(wave: jax.Array, trace: jax.Array, label: jax.Array, weight: jax.Array) -> jax.Array:
    """1 - rho(wave, classical trace), mean over the real clips; fakes get no pulse target.

    Args:
      wave: (B, T) waves of the best compression.
      trace: (B, T) the record's classical trace.
      label: (B,).
      weight: (B,).

    Returns:
      () float32 in [0, 2]; 0 without a real clip.
    """
    return _mean(1.0 - signal.pearson(wave, trace), weight * (label == REAL))
