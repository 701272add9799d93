"""What FLIP-MCL adds to the cross-entropy (Srivatsan et al., ICCV 2023): pure functions of arrays.

Two augmented views of every image; `weight` is 1 for a clip and 0 for a row that only pads the batch. FLIP adds plain
means of the cross-entropy and of both terms. Here all three are times 2, the count of clips (mean.py), so that their
weights of 1 remain.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Num, PRNGKeyArray

from cpml_jax.arrays import AnyArray
from cpml_jax.losses.mean import CLIPS, weighted_mean
from cpml_jax.models.class_embeddings import ensemble, unit

_FAR = -1e9  # a logit that no softmax sees


def simclr(projected: Float[AnyArray, "2 B P"], weight: Num[AnyArray, " B"], temperature: float) -> Float[Array, ""]:
    """InfoNCE between two augmented views (NT-Xent; Chen et al., ICML 2020, equation 1).

    Args:
      projected: (2, B, P) both views of every clip, after the projection head; not normalised.
      weight: (B,).
      temperature: of the cosines; FLIP's is 0.1.

    Returns:
      () float32, nats: 2 times the mean over the 2 B images; of each -log of the share of its other view in the softmax
      over all images but itself. Every clip of the global batch is a negative of every other.
    """
    import optax  # a third of a second, which scoring does without

    _, clips, _ = projected.shape
    z = unit(projected).reshape(2 * clips, -1)
    weights = jnp.tile(weight, 2)
    logits = jnp.einsum("id,jd->ij", z, z, precision="highest") / temperature
    logits = jnp.where(jnp.eye(2 * clips, dtype=bool) | (weights <= 0)[None, :], _FAR, logits)
    other = jnp.roll(jnp.arange(2 * clips), clips)
    return CLIPS * weighted_mean(optax.softmax_cross_entropy_with_integer_labels(logits, other), weights)


def prompt_halves(key: PRNGKeyArray, exists: Bool[AnyArray, "C P"], label: Int[AnyArray, " B"]) -> Bool[Array, "2 B P"]:
    """Two random disjoint halves of the prompts of each clip's class, drawn anew for every clip.

    Args:
      key: for this call alone.
      exists: (C, P) which prompts exist; at least two of each class.
      label: (B,) the clip's class.

    Returns:
      (2, B, P) bool. Of an odd number, one stays out of both halves.
    """
    of_class = jnp.asarray(exists)[label]
    drawn = jnp.where(of_class, jax.random.uniform(key, of_class.shape), 2.0)  # those that do not exist come last
    place = drawn.argsort(axis=-1).argsort(axis=-1)
    half = of_class.sum(axis=-1, keepdims=True) // 2
    return jnp.stack([place < half, (place >= half) & (place < 2 * half)])


def prompt_mse(
    features: Float[AnyArray, "2 B D"],
    templates: Float[AnyArray, "C P D"],
    halves: Bool[Array, "2 B P"],
    label: Int[AnyArray, " B"],
    weight: Num[AnyArray, " B"],
) -> Float[Array, ""]:
    """(cos(x_1, t_1) - cos(x_2, t_2))^2: both views at one distance from both halves of the class's prompts.

    Args:
      features: (2, B, D) the views' image features; not normalised.
      templates: (C, P, D) unit embeddings of every prompt.
      halves: (2, B, P): prompt_halves. t_v is the mean of the class's prompts in half v.
      label: (B,) the clip's class.
      weight: (B,).

    Returns:
      () float32, 2 times the mean over the clips.
    """
    of_class = jnp.asarray(templates)[label]  # (B, P, D)
    text = jnp.stack([ensemble(of_class, half) for half in halves])
    cosine = (unit(features) * text).sum(axis=-1)
    return CLIPS * weighted_mean((cosine[0] - cosine[1]) ** 2, weight)
