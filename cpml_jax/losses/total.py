"""The total loss: the weighted sum of every term that a configuration asks for (docs/method.md, Losses)."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Num

from cpml_jax.arrays import AnyArray
from cpml_jax.losses import affinity, cpml, flip
from cpml_jax.losses.push_pairs import push_pairs
from cpml_jax.losses.sparsity import sparsity

PAIRINGS = ("full", "downsampled")


@dataclasses.dataclass(frozen=True)
class LossWeights:
    """`config.loss`: weights of the terms (docs/method.md, Losses); defaults and meaning are in configs/base.py.

    Attributes:
      ce_views: "best": cross-entropy on the best compression alone, as the paper; "all": the mean over the views.
      pairing: the views that CQSL and CMCL compare. "full": all, pairs being those of the best with each other one;
        "downsampled": the made ones alone, the better of them in the best one's place.
      cqsl_pull, cqsl_push, cqsl_rate: of CQSL's terms, each times cqsl.
      push_pairs, push_margin, push_skip_matching: which pairs the push takes apart, and from which |rho| on.
      cmcl_align, cmcl_repel, cmcl_steady: of CMCL's terms, each times cmcl.
      stop_better: no gradient of pull and steady reaches the best view.
      teacher_steps: of the linear decay of the teacher's weight; 0 keeps it constant.
    """

    ce: float
    ce_views: str
    pairing: str
    cqsl: float
    cqsl_pull: float
    cqsl_push: float
    cqsl_rate: float
    push_pairs: str
    push_margin: float
    push_skip_matching: float
    cmcl: float
    cmcl_align: float
    cmcl_repel: float
    cmcl_steady: float
    stop_better: bool
    teacher: float
    teacher_steps: int
    simclr: float
    simclr_temperature: float
    prompt_mse: float
    affinity: float
    affinity_temperature: float
    sparsity: float

    @property
    def factors(self) -> dict[str, float]:
        """Of every term, but the teacher's, which changes with the step."""
        return {
            "ce": self.ce,
            "pull": self.cqsl * self.cqsl_pull,
            "push": self.cqsl * self.cqsl_push,
            "rate": self.cqsl * self.cqsl_rate,
            "align": self.cmcl * self.cmcl_align,
            "repel": self.cmcl * self.cmcl_repel,
            "steady": self.cmcl * self.cmcl_steady,
            "simclr": self.simclr,
            "prompt_mse": self.prompt_mse,
            "affinity": self.affinity,
            "sparsity": self.sparsity,
        }

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
    """The sum of the weighted terms, and each term by name, without its weight.

    Args:
      outputs: of CPML: logits (B, V, C), unified (B, V, D) and, with the rPPG stream, wave (B, V, T); where their
        weights ask for them projected, augmented (CPML.augmented, with templates and halves of prompt_mse) and
        class_weights (F, C) (sparsity.py).
      class_embeddings: (C, D); None with the linear head.
      batch: schema.BATCH. class_index counts where there are more than two classes: of two, the label is one.
      weights: of the terms. A loss of weight 0 is not computed; of one that has a weight, every term is.
      step: () the training step, for the teacher's decay.
    """
    label, weight = batch["label"], batch["weight"]
    classes = outputs["logits"].shape[-1]
    # The clip's class, or of two classes its label.
    class_index = label if classes == 2 else batch["class_index"]
    terms = {"ce": _cross_entropy(outputs["logits"], class_index, weight, weights.ce_views)}
    first = 0 if weights.pairing == "full" else 1
    if "wave" in outputs and weights.cqsl:
        terms |= cpml.cqsl(
            outputs["wave"][:, first:],
            label,
            weight,
            valid_of_views(batch["valid"], outputs["wave"].shape[1])[:, first:],
            pairs=push_pairs(batch, weights.push_pairs, weights.push_skip_matching),
            push_margin=weights.push_margin,
            stop_better=weights.stop_better,
        )
    if weights.cmcl:
        assert class_embeddings is not None  # validation.model.check_heads
        unified = outputs["unified"][:, first:]
        terms |= cpml.cmcl(unified, class_embeddings, class_index, weight, stop_better=weights.stop_better)
    if "wave" in outputs and weights.teacher:
        terms["teacher"] = cpml.pulse_teacher(
            outputs["wave"][:, 0], batch["pulse"], label, weight, batch["valid"][:, 0]
        )
    if weights.simclr:
        terms["simclr"] = flip.simclr(outputs["augmented"]["projected"], weight, weights.simclr_temperature)
    if weights.prompt_mse:
        augmented = outputs["augmented"]
        terms["prompt_mse"] = flip.prompt_mse(
            augmented["features"], augmented["templates"], augmented["halves"], class_index, weight
        )
    if weights.affinity:
        assert class_embeddings is not None
        terms["affinity"] = affinity.affinity(
            outputs["projected"], class_embeddings, class_index, weight, weights.affinity_temperature
        )
    if weights.sparsity:
        terms["sparsity"] = sparsity(outputs["class_weights"])
    factors = weights.factors | {"teacher": weights.teacher_at(step)}
    return sum((factors[name] * term for name, term in terms.items()), start=jnp.zeros(())), terms


def _cross_entropy(
    logits: Float[AnyArray, "B V C"], class_index: Int[AnyArray, " B"], weight: Num[AnyArray, " B"], views: str
) -> Float[Array, ""]:
    """Of the best view, or the mean over all: `views` says where the labels are read, not how heavy they are."""
    read = logits if views == "all" else logits[:, :1]
    clips, count, classes = read.shape
    return cpml.cross_entropy(
        read.reshape(clips * count, classes), jnp.repeat(class_index, count), jnp.repeat(weight, count)
    )
