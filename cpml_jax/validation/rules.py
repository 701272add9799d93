"""The values that each configuration key may have by itself, whatever the others are."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import Any

from cpml_jax.errors import UserError
from cpml_jax.losses.push_pairs import PUSH_PAIRS
from cpml_jax.losses.total import PAIRINGS
from cpml_jax.models.class_embeddings import PROMPTS, TEXT_MODES
from cpml_jax.models.fusion import LANDMARKS, STAGE_POOLS, WIRINGS
from cpml_jax.models.heads import FUSION_PROJECTIONS, HEADS
from cpml_jax.models.physformer import INPUT_NORMS
from cpml_jax.models.prompt_bank import CLASSES
from cpml_jax.models.resolution import PFE_VIEWS, STEPS
from cpml_jax.models.streams import STREAMS
from cpml_jax.models.visual import ENCODERS, POOLS, TRAINED
from cpml_jax.schema import REAL_METHOD


@dataclasses.dataclass(frozen=True)
class Rule:
    """What a value must be, in words, and whether it is."""

    words: str
    holds: Callable[[Any], bool]


def refuse_unless(rule: Rule, key: str, value: Any) -> None:
    """Raise UserError, naming the key, unless the rule holds for the value."""
    if not rule.holds(value):
        raise UserError(f"{key}={value!r}; it is {rule.words}")


def is_of_type(value: Any, default: Any) -> bool:
    """Whether a value can stand for a default: whole numbers for fractions, lists for tuples; no NaN or infinity."""
    if isinstance(default, bool) or isinstance(value, bool):
        return isinstance(default, bool) and isinstance(value, bool)
    if isinstance(default, float):
        return isinstance(value, (int, float)) and math.isfinite(value)
    if isinstance(default, tuple):
        return isinstance(value, (tuple, list))
    return isinstance(value, type(default))


def at_least(low: float, unit: str = "") -> Rule:
    return Rule(f"{low} or more{unit}", lambda value: value >= low)


def one_of(*names: str) -> Rule:
    return Rule(f"one of {', '.join(names)}", lambda value: value in names)


def subset_of(*names: str) -> Rule:
    words = f"a non-empty subset of {', '.join(names)}, each once"
    return Rule(words, lambda value: bool(value) and not set(value) - set(names) and len(set(value)) == len(value))


def names_of(what: str, *forbidden: str) -> Rule:
    """One name or more, each once, and none of the forbidden ones."""
    besides = f", and not {', '.join(forbidden)}" if forbidden else ""

    def holds(value: tuple[str, ...]) -> bool:
        return bool(value) and _are_names(value) and len(set(value)) == len(value) and not set(value) & set(forbidden)

    return Rule(f"one {what} or more, each once{besides}", holds)


def _are_names(value: tuple[str, ...]) -> bool:
    return all(isinstance(name, str) and name for name in value)


def is_checkpoint(value: str) -> bool:
    return value in ("best", "latest") or (value.isascii() and value.isdecimal())


POSITIVE = Rule("a whole number above 0", lambda value: value > 0)
COUNT = at_least(0)
ABOVE_ZERO = Rule("above 0", lambda value: value > 0)
SHARE = Rule("between 0 and 1", lambda value: 0 <= value <= 1)
DROPOUT = Rule("0 or more and below 1", lambda value: 0 <= value < 1)
WEIGHT = Rule("a weight: 0 or more", lambda value: value >= 0)
NAMED = Rule("not empty", bool)
NAMES = Rule("a tuple of names", _are_names)
SIZES = Rule("one whole number above 0 or more", lambda v: bool(v) and all(isinstance(n, int) and n > 0 for n in v))
# exp(tau) at the start; below CLIP's limit of 0.01 it could not be learned, above 10 no score tells classes apart.
TEMPERATURE = Rule("between 0.01 and 10", lambda value: 0.01 <= value <= 10)

# Keys that config.needs may name -> what stands for their value in the line that says they are lacking.
NEEDED = {
    "init_from": "FILE (a training state of the authors' code)",
    "model.text_encoder.weights": "FOLDER (CLIP ViT-B/16)",
    "model.rppg.weights": "FILE (PhysFormer's Physformer_VIPL_fold1.pkl)",
    "model.landmarks.weights": "FILE (LRNet's g1 with g2 beside it)",
}

RULES: Mapping[str, Rule] = {
    "name": NAMED,
    "needs": Rule("a tuple of keys of trained weights", lambda value: set(value) <= NEEDED.keys()),
    "seed": Rule("a whole number from 0 to 2^32 - 1", lambda value: 0 <= value < 2**32),
    "data.records": NAMED,
    "data.num_frames": Rule("a positive multiple of 4", lambda value: value > 0 and value % 4 == 0),
    "data.max_windows": POSITIVE,
    "data.windows": one_of("first", "spread"),
    "data.detector_device": one_of("cpu", "cuda"),
    "data.limits.pixels": Rule("from 1024 to 2^28", lambda value: 1024 <= value <= 1 << 28),
    "data.limits.frames": POSITIVE,
    "data.limits.seconds": ABOVE_ZERO,
    "data.limits.decoding": ABOVE_ZERO,
    "data.workers": COUNT,
    "data.cache_mb": COUNT,
    "data.read_threads": COUNT,
    "train.compressions": names_of("compression"),
    "train.views": one_of("recorded", "downsampled"),
    "train.downsampled": subset_of(*STEPS),
    "train.methods": names_of("method", REAL_METHOD),
    "train.batch_size": Rule("even, half of a batch is real", lambda value: value > 0 and value % 2 == 0),
    "train.pulse_snr_p": SHARE,
    "train.steps": COUNT,
    "train.stills": COUNT,
    "train.log_every": POSITIVE,
    "train.eval_every": POSITIVE,
    "train.checkpoint_every": POSITIVE,
    "train.precision": one_of("float32", "bfloat16"),
    "train.devices": COUNT,
    "optim.learning_rate": ABOVE_ZERO,
    "optim.weight_decay": at_least(0),
    "optim.warmup_steps": COUNT,
    "optim.final_fraction": SHARE,
    "optim.clip_norm": at_least(0),
    "optim.accumulate": POSITIVE,
    "loss.ce": WEIGHT,
    "loss.ce_views": one_of("best", "all"),
    "loss.pairing": one_of(*PAIRINGS),
    "loss.cqsl": WEIGHT,
    "loss.cqsl_pull": WEIGHT,
    "loss.cqsl_push": WEIGHT,
    "loss.cqsl_rate": WEIGHT,
    "loss.push_pairs": one_of(*PUSH_PAIRS),
    "loss.push_margin": Rule("an |rho| of 0 or more and below 1", lambda value: 0 <= value < 1),
    "loss.push_skip_matching": Rule("an |rho| above 0, or 1 to leave no fake out", lambda value: 0 < value <= 1),
    "loss.cmcl": WEIGHT,
    "loss.cmcl_align": WEIGHT,
    "loss.cmcl_repel": WEIGHT,
    "loss.cmcl_steady": WEIGHT,
    "loss.teacher": WEIGHT,
    "loss.teacher_steps": COUNT,
    "loss.simclr": WEIGHT,
    "loss.simclr_temperature": ABOVE_ZERO,
    "loss.prompt_mse": WEIGHT,
    "loss.affinity": WEIGHT,
    "loss.affinity_temperature": ABOVE_ZERO,
    "loss.sparsity": WEIGHT,
    "model.modalities": subset_of(*STREAMS),
    "model.unified_dim": POSITIVE,
    "model.head": one_of(*HEADS),
    "model.temperature": TEMPERATURE,
    "model.fusion_dropout": DROPOUT,
    "model.fusion_projection": one_of(*FUSION_PROJECTIONS),
    "model.fusion_stage_pool": one_of(*STAGE_POOLS),
    "model.fusion_landmarks": one_of(*LANDMARKS),
    "model.fusion_wiring": one_of(*WIRINGS),
    "model.rppg.frame_size": POSITIVE,
    "model.rppg.dim": POSITIVE,
    "model.rppg.ff_dim": POSITIVE,
    "model.rppg.blocks": POSITIVE,
    "model.rppg.heads": POSITIVE,
    "model.rppg.theta": SHARE,
    "model.rppg.temperature": ABOVE_ZERO,
    "model.rppg.dropout": DROPOUT,
    "model.rppg.stem": SIZES,
    "model.rppg.patch": Rule("(time, height, width)", lambda value: SIZES.holds(value) and len(value) == 3),
    "model.rppg.input_norm": one_of(*INPUT_NORMS),
    "model.rppg.pfe_width": POSITIVE,
    "model.rppg.pfe_depth": COUNT,
    "model.rppg.pfe_views": one_of(*PFE_VIEWS),
    "model.rppg.agreement": COUNT,
    "model.landmarks.hidden": POSITIVE,
    "model.landmarks.point_dropout": DROPOUT,
    "model.landmarks.dropout": DROPOUT,
    "model.landmarks.delta_scale": ABOVE_ZERO,
    "model.landmarks.memory": Rule("0 or more than 1 frame", lambda value: value == 0 or 1 < value < math.inf),
    "model.landmarks.noise": at_least(0),
    "model.text_encoder.mode": one_of(*TEXT_MODES),
    "model.text_encoder.prompts": one_of(*PROMPTS),
    "model.text_encoder.classes": one_of(*CLASSES),
    "model.text_encoder.context_tokens": POSITIVE,
    "model.text_encoder.width": POSITIVE,
    "model.text_encoder.layers": POSITIVE,
    "model.text_encoder.heads": POSITIVE,
    "model.text_encoder.context_length": POSITIVE,
    "model.visual.encoder": Rule(
        f"one of {', '.join(ENCODERS)} (True and False of earlier versions are clip and none)", lambda v: v in ENCODERS
    ),
    "model.visual.trained": one_of(*TRAINED),
    "model.visual.projection": COUNT,
    "model.visual.pool": one_of(*POOLS),
    "model.visual.contrast": Rule("0 (off) or 2 to 32 cells a side", lambda value: value == 0 or 2 <= value <= 32),
    "model.texture.cells": Rule("2 to 32 cells a side", lambda value: 2 <= value <= 32),
    "model.visual.frames": POSITIVE,
    "model.visual.image_size": POSITIVE,
    "model.visual.patch": POSITIVE,
    "model.visual.width": POSITIVE,
    "model.visual.layers": POSITIVE,
    "model.visual.heads": POSITIVE,
    "eval.protocols": NAMES,
    "eval.compressions": NAMES,
    "eval.cross_datasets": NAMES,
    "eval.cross_compression": NAMED,
    "eval.conditions": NAMES,
    "eval.batch_size": POSITIVE,
    "eval.doubt_level": Rule("0 (off) or a share below 1", lambda value: 0 <= value < 1),
    "eval.checkpoint": Rule("best, latest, or the number of a step", is_checkpoint),
}
# Keys whose every value of the right type is allowed, or that are checked by other validation_*.py.
UNRESTRICTED = frozenset(
    (
        "init_from", "data.decoded", "train.dataset", "train.flip", "train.vary_stills", "train.shard_params",
        "optim.groups",
        "loss.stop_better",
        "model.rppg.weights", "model.landmarks.weights", "model.landmarks.spectrum", "model.text_encoder.weights",
        "model.text_encoder.bank", "model.text_encoder.context_per_class", "model.text_encoder.context_init",
        "model.visual.weights", "eval.diagnostics",
    )
)  # fmt: skip
