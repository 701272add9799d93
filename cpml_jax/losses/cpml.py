"""CE, CQSL, CMCL and the pulse teacher: pure functions of arrays (docs/method.md, Losses).

Each term is a mean times its count in the smallest batch (mean.py). `weight` is 1 for a clip and 0 for a row that only
pads the batch. View 0 is the best compression.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Num

from cpml_jax import signal
from cpml_jax.arrays import AnyArray
from cpml_jax.losses.mean import CLIPS, VIEWS, weighted_mean
from cpml_jax.losses.push_pairs import real_fake_pairs
from cpml_jax.models.class_embeddings import unit
from cpml_jax.schema import REAL


def cross_entropy(
    logits: Float[AnyArray, "B C"], label: Int[AnyArray, " B"], weight: Num[AnyArray, " B"]
) -> Float[Array, ""]:
    """Cross-entropy of the prompt scores: the sum over a real and a fake clip, as the authors' training code takes it.

    Args:
      logits: (B, C) exp(tau) cos(u, t_c), order (real, fake) or (real, the manipulations). Several views of a clip are
        several rows: their mean counts, so that more views do not make the term heavier.
      label: (B,) the clip's class, 0 real.
      weight: (B,).

    Returns:
      () float32, nats: 2 mean_i -log softmax(logits_i)[y_i].
    """
    # optax's form, logsumexp less the label's logit, differs in the last bit, and so would every training run.
    log_p = jax.nn.log_softmax(jnp.asarray(logits, jnp.float32), axis=-1)
    return CLIPS * weighted_mean(-jnp.take_along_axis(log_p, label[:, None], axis=-1)[:, 0], weight)


def cqsl(
    wave: Float[AnyArray, "B V T"],
    label: Int[AnyArray, " B"],
    weight: Num[AnyArray, " B"],
    valid: Bool[AnyArray, "B V T"] | None = None,
    fps: float = 30.0,
    *,
    pairs: Num[AnyArray, "B B"] | None = None,
    push_margin: float = 0.0,
    stop_better: bool = False,
) -> dict[str, Float[Array, ""]]:
    """Cross-quality similarity learning: one pulse across compressions, none shared by real and fake.

    Args:
      wave: (B, V, T) pulse waves; V = 1 leaves only the push term.
      label: (B,).
      weight: (B,).
      valid: (B, V, T) True where the frame could be measured: a correlation is over the frames that are valid in
        both waves; None: all are.
      fps: frames/s of the waves.
      pairs: (B, B) weight in the push of the pair of real clip i (row) and fake j (column): push_pairs.py; None: every
        real-fake pair of the batch.
      push_margin: |rho| up to which a pair is not pushed apart.
      stop_better: no gradient of the pull reaches the best view's wave.

    Returns:
      pull: sum_i 1 - rho(s_hi, s_lo); push: sum over the pairs (i, j) and compressions of max(|rho| - push_margin, 0);
      rate: sum_i |HR(s_hi) - HR(s_lo)| / 60. Each () float32.
    """
    wave = jnp.asarray(wave, jnp.float32)
    clips, views, length = wave.shape
    measured = jnp.ones_like(wave) if valid is None else jnp.asarray(valid, jnp.float32)
    if views > 1:
        both = measured[:, :1] * measured[:, 1:]
        better = jax.lax.stop_gradient(wave[:, :1]) if stop_better else wave[:, :1]
        pull = CLIPS * weighted_mean(1.0 - signal.pearson(better, wave[:, 1:], both), weight[:, None])
        rates = signal.soft_heart_rate(wave, fps)
        rate = CLIPS * weighted_mean(jnp.abs(rates[:, :1] - rates[:, 1:]) / 60.0, weight[:, None])
    else:
        pull = rate = jnp.zeros((), jnp.float32)
    # Every wave of the global batch with every other: which pairs count is a weight, so no clip moves between devices.
    rows, shown = wave.reshape(clips * views, length), measured.reshape(clips * views, length)
    correlation = signal.pearson(rows[:, None], rows, shown[:, None] * shown)
    excess = jax.nn.relu(jnp.abs(correlation) - push_margin).reshape(clips, views, clips, views)
    counted = real_fake_pairs(label, weight) if pairs is None else pairs
    push = min(views, VIEWS) ** 2 * weighted_mean(excess, counted[:, None, :, None])
    return {"pull": pull, "push": push, "rate": rate}


def cmcl(
    unified: Float[AnyArray, "B V D"],
    class_embeddings: Float[AnyArray, "C D"],
    label: Int[AnyArray, " B"],
    weight: Num[AnyArray, " B"],
    *,
    stop_better: bool = False,
) -> dict[str, Float[Array, ""]]:
    """Cross-modal contrastive learning: the fused feature of every compression lies at its class's prompt.

    Args:
      unified: (B, V, D) fused features.
      class_embeddings: (C, D) t_c of unit length, order (real, fake) or (real, the manipulations).
      label: (B,) the clip's class, 0 real.
      weight: (B,).
      stop_better: no gradient of `steady` passes through the best view's cosine.

    Returns:
      align: sum_{i,q} 1 - cos(u, t_y); repel: sum_{i,q} cos(u, t_{1-y}), with more than two classes the mean
      of cos(u, t_c) over the C - 1 others, so that the weight keeps its meaning;
      steady: sum_i (cos(u_hi, t_y) - cos(u_lo, t_y))^2. Each () float32.
    """
    cosine = unit(unified) @ jnp.asarray(class_embeddings, jnp.float32).T  # (B, V, C)
    classes = cosine.shape[-1]
    to_class = jnp.take_along_axis(cosine, label[:, None, None], axis=-1)[..., 0]
    is_other = jnp.arange(classes) != label[:, None, None]
    to_others = jnp.where(is_other, cosine, 0.0).sum(-1) / (classes - 1)
    views = unified.shape[1]
    count = CLIPS * min(views, VIEWS)
    steady = jnp.zeros((), jnp.float32)
    if views > 1:
        better = jax.lax.stop_gradient(to_class[:, :1]) if stop_better else to_class[:, :1]
        steady = CLIPS * weighted_mean((better - to_class[:, 1:]) ** 2, weight[:, None])
    return {
        "align": count * weighted_mean(1.0 - to_class, weight[:, None]),
        "repel": count * weighted_mean(to_others, weight[:, None]),
        "steady": steady,
    }


def pulse_teacher(
    wave: Float[AnyArray, "B T"],
    trace: Float[AnyArray, "B T"],
    label: Int[AnyArray, " B"],
    weight: Num[AnyArray, " B"],
    valid: Bool[AnyArray, "B T"] | None = None,
) -> Float[Array, ""]:
    """1 - rho(wave, classical trace), mean over the real clips (one at the smallest batch); fakes get no pulse target.

    Args:
      wave: (B, T) waves of the best compression.
      trace: (B, T) the record's classical trace; all 0 where there is none to learn from.
      label: (B,).
      weight: (B,).
      valid: (B, T) True where the frame could be measured; None: all are.

    Returns:
      () float32 in [0, 2]; 0 without a real clip that has a trace.
    """
    measured = None if valid is None else jnp.asarray(valid, jnp.float32)
    taught = (label == REAL) & jnp.any(jnp.asarray(trace) != 0, axis=1)
    return weighted_mean(1.0 - signal.pearson(wave, trace, measured), weight * taught)
