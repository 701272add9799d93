"""Cross-modal affinity alignment, after UMCL's abstract (IJCV 2025, arXiv 2511.18983).

It models the relations between pulse, landmarks and text as affinity matrices and optimises their agreement by
contrastive learning. What is read into that here: each pair of them gives a matrix of cosines, and two clips belong
together if they are of one class, as the prompts say: a batch's other clips of the same class are no negatives.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping

import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Num

from cpml_jax.arrays import AnyArray
from cpml_jax.losses.mean import CLIPS, weighted_mean
from cpml_jax.models.class_embeddings import unit

_FAR = -1e9  # a logit that no softmax sees
Temperature = float | Float[Array, ""]


def affinity(
    projected: Mapping[str, Float[AnyArray, "B V D"]],
    class_embeddings: Float[AnyArray, "C D"],
    label: Int[AnyArray, " B"],
    weight: Num[AnyArray, " B"],
    temperature: Temperature,
) -> Float[Array, ""]:
    """InfoNCE between every ordered pair of the modalities' features and the class prompts.

    Args:
      projected: stream -> (B, V, D) features projected to the prompts' space; not normalised. Every view counts.
      class_embeddings: (C, D) t_c of unit length.
      label: (B,) the clip's class.
      weight: (B,) 1 for a clip, 0 for a row that only pads the batch.
      temperature: the affinities are cosines over it.

    Returns:
      () float32, nats: 2, the count of clips (mean.py), times the mean over ordered pairs (a, b) of
      -log softmax_j(a_i . b_j / temperature), averaged first over the j of i's class, then over i. j runs over the
      global batch and all its views, or over the classes.
    """
    sides = {"prompts": (unit(class_embeddings), jnp.arange(len(class_embeddings)), jnp.ones(len(class_embeddings)))}
    for name, features in projected.items():
        views = features.shape[1]
        rows = unit(features).reshape(-1, features.shape[-1])
        sides[name] = (rows, jnp.repeat(label, views), jnp.repeat(weight, views))
    pairs = [info_nce(*sides[a], *sides[b], temperature) for a, b in itertools.permutations(sides, 2)]
    return CLIPS * sum(pairs, start=jnp.zeros(())) / len(pairs)


def info_nce(
    rows: Float[Array, "N D"],
    row_class: Int[AnyArray, " N"],
    row_weight: Num[AnyArray, " N"],
    columns: Float[Array, "M D"],
    column_class: Int[AnyArray, " M"],
    column_weight: Num[AnyArray, " M"],
    temperature: Temperature,
) -> Float[Array, ""]:
    """-log softmax of unit rows over unit columns, averaged over the columns of a row's class, then over the rows.

    A row counts if its weight is above 0 and a column of its class has weight.
    """
    import optax  # a third of a second, which scoring does without

    logits = jnp.einsum("nd,md->nm", rows, columns, precision="highest") / temperature
    logits = jnp.where(column_weight[None, :] > 0, logits, _FAR)
    positive = (row_class[:, None] == column_class[None, :]) * column_weight[None, :]
    count = positive.sum(axis=-1)
    loss = optax.softmax_cross_entropy(logits, positive / jnp.maximum(count, 1e-8)[:, None])
    return weighted_mean(loss, row_weight * (count > 0))
