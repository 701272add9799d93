"""Cross-modal affinity alignment, after UMCL's abstract (IJCV 2025, arXiv 2511.18983).

It models the relations between pulse, landmarks and text as affinity matrices and optimises their agreement by
contrastive learning. What is read into that here: each pair of them gives a matrix of cosines, and two clips belong
together if they are of one class, as the prompts say: a batch's other clips of the same class are no negatives.
"""

from __future__ import annotations

import itertools

import jax
import jax.numpy as jnp

from cpml_jax.models.class_embeddings import unit

_FAR = -1e9  # a logit that no softmax sees


def affinity(
    projected: dict[str, jax.Array],
    class_embeddings: jax.Array,
    label: jax.Array,
    weight: jax.Array,
    temperature: float = 0.1,
) -> jax.Array:
    """InfoNCE between every ordered pair of the modalities' features and the class prompts.

    Args:
      projected: modality -> (B, V, D) features projected to the prompts' space; not normalised. Every view counts.
      class_embeddings: (C, D) t_c of unit length.
      label: (B,) the clip's class.
      weight: (B,) 1 for a clip, 0 for a row that only pads the batch.
      temperature: the affinities are cosines over it.

    Returns:
      () float32, nats: the mean over ordered pairs (a, b) of -log softmax_j(a_i . b_j / temperature), averaged first
      over the j of i's class, then over i. j runs over the global batch and all its views, or over the classes.
    """
    sides = {"prompts": (unit(class_embeddings), jnp.arange(len(class_embeddings)), jnp.ones(len(class_embeddings)))}
    for name, features in projected.items():
        views = features.shape[1]
        rows = unit(features).reshape(-1, features.shape[-1])
        sides[name] = (rows, jnp.repeat(label, views), jnp.repeat(weight, views))
    pairs = [info_nce(*sides[a], *sides[b], temperature) for a, b in itertools.permutations(sides, 2)]
    return sum(pairs) / len(pairs)


def info_nce(
    rows: jax.Array,
    row_class: jax.Array,
    row_weight: jax.Array,
    columns: jax.Array,
    column_class: jax.Array,
    column_weight: jax.Array,
    temperature: float,
) -> jax.Array:
    """-log softmax of (N, D) unit rows over (M, D) unit columns, at the columns of a row's class; () float32.

    A row counts if its weight is above 0 and a column of its class is there.
    """
    logits = jnp.einsum("nd,md->nm", rows, columns, precision="highest") / temperature
    log_p = jax.nn.log_softmax(jnp.where(column_weight[None, :] > 0, logits, _FAR), axis=-1)
    own = (row_class[:, None] == column_class[None, :]) * column_weight[None, :]
    found = own.sum(axis=-1)
    loss = -(jnp.where(own > 0, log_p, 0.0) * own).sum(axis=-1) / jnp.maximum(found, 1e-8)
    counted = row_weight * (found > 0)
    return (loss * counted).sum() / jnp.maximum(counted.sum(), 1e-8)
