"""The total loss: the weighted sum of every term that a configuration asks for (docs/method.md, Losses)."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Num

from cpml_jax.arrays import AnyArray
from cpml_jax.losses import affinity, cpml, flip


@dataclasses.dataclass(frozen=True)
class LossWeights:
    """`config.loss`: weights of the terms (docs/method.md, Losses); defaults and meaning are in configs/base.py.

    Attributes:
      ce_views: "best": cross-entropy on the best compression alone, as the paper; "all": the mean over the views.
      teacher_steps: of the linear decay of the teacher's weight; 0 keeps it constant.
    """

    ce: float
    ce_views: str
    cqsl: float
    cmcl: float
    teacher: float
    teacher_steps: int
    simclr: float
    simclr_temperature: float
    prompt_mse: float
    affinity: float
    affinity_temperature: float

    def teacher_at(self, step: Num[Array, ""]) -> Float[Array, ""]:
        if not self.teacher_steps:
            return jnp.float32(self.teacher)
        return jnp.float32(self.teacher) * jnp.clip(1.0 - step / self.teacher_steps, 0.0, 1.0)


def real_and_fake(logits: Float[Array, "*shape C"]) -> Float[Array, "*shape 2"]:
    """Logits of all classes (..., C), real first -> (..., 2): P(fake) of two is the sum over the fakes of C."""
    if logits.shape[-1] == 2:
        return logits
    return jnp.stack([logits[..., 0], jax.nn.logsumexp(logits[..., 1:], axis=-1)], axis=-1)


def valid_of_views(valid: Bool[AnyArray, "B V T"], views: int) -> Bool[AnyArray, "B W T"]:
    """Of the batch's views, and after them of those that the model made of the best one, which share its frames."""
    made = views - valid.shape[1]
    return jnp.concatenate([valid, jnp.repeat(valid[:, :1], made, axis=1)], axis=1) if made else valid


def total_loss(
    outputs: Mapping[str, Any],
    class_embeddings: Float[AnyArray, "C D"] | None,
    batch: Mapping[str, AnyArray],
    weights: LossWeights,
    step: Num[Array, ""],
) -> tuple[Float[Array, ""], dict[str, Float[Array, ""]]]:
    """The sum of the weighted terms, and each term by name.

    Args:
      outputs: of CPML: logits (B, V, C), unified (B, V, D) and, with the rPPG stream, wave (B, V, T); where their
        weights ask for them projected and augmented (CPML.augmented, with templates and halves of prompt_mse).
      class_embeddings: (C, D); None with the linear head.
      batch: schema.BATCH. class_index counts where there are more than two classes: of two, the label is one.
      weights: of the terms; a term of weight 0 is not computed.
      step: () the training step, for the teacher's decay.
    """
    label, weight = batch["label"], batch["weight"]
    logits = outputs["logits"] if weights.ce_views == "all" else outputs["logits"][:, :1]
    clips, views, classes = logits.shape
    # The clip's class, or of two classes its label.
    class_index = label if classes == 2 else batch["class_index"]
    every_view = {"label": jnp.repeat(class_index, views), "weight": jnp.repeat(weight, views)}
    terms = {"ce": cpml.cross_entropy(logits.reshape(clips * views, classes), **every_view)}
    loss = weights.ce * terms["ce"]
    if "wave" in outputs and weights.cqsl:
        parts = cpml.cqsl(outputs["wave"], label, weight, valid_of_views(batch["valid"], outputs["wave"].shape[1]))
        loss += weights.cqsl * sum(parts.values())
        terms |= parts
    if weights.cmcl:
        assert class_embeddings is not None  # validation.check_heads
        parts = cpml.cmcl(outputs["unified"], class_embeddings, class_index, weight)
        loss += weights.cmcl * sum(parts.values())
        terms |= parts
    if "wave" in outputs and weights.teacher:
        terms["teacher"] = cpml.pulse_teacher(
            outputs["wave"][:, 0], batch["pulse"], label, weight, batch["valid"][:, 0]
        )
        loss += weights.teacher_at(step) * terms["teacher"]
    if weights.simclr:
        terms["simclr"] = flip.simclr(outputs["augmented"]["projected"], weight, weights.simclr_temperature)
        loss += weights.simclr * terms["simclr"]
    if weights.prompt_mse:
        augmented = outputs["augmented"]
        terms["prompt_mse"] = flip.prompt_mse(
            augmented["features"], augmented["templates"], augmented["halves"], class_index, weight
        )
        loss += weights.prompt_mse * terms["prompt_mse"]
    if weights.affinity:
        assert class_embeddings is not None
        terms["affinity"] = affinity.affinity(
            outputs["projected"], class_embeddings, class_index, weight, weights.affinity_temperature
        )
        loss += weights.affinity * terms["affinity"]
    return loss, terms
