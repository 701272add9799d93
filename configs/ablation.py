"""Baselines and ablations: rows of small differences from one base. `main.py sweep --protocol=ablation` runs them all.

main.py --config=configs/ablation.py:without_cqsl              from configs/synthetic.py
main.py --config=configs/ablation.py:flip_mcl:ffpp             from configs/ffpp.py
main.py --config=configs/ablation.py:affinity:ffpp:c23,c40     a base's own argument behind it

`main.py sweep` runs the rows of settings() only where --rows names them.
--config.data.records=FOLDER lets rows share the records of an earlier run.
"""

from typing import Any

from ml_collections import ConfigDict

from cpml_jax.configs import _bases
from cpml_jax.errors import UserError

_ALONE = {"loss.cqsl": 0.0, "loss.cmcl": 0.0, "loss.teacher": 0.0}  # no losses on pulses, none against prompts
_LINEAR = {"model.head": "linear", "loss.cmcl": 0.0}
_FRAMES = {"model.modalities": ("visual",), **_ALONE}
# u is the image embedding itself, as in FLIP: no random projection, no dropout, nothing beside it.
_IMAGES = _FRAMES | {
    "model.visual.encoder": "clip", "model.visual.trained": "all", "model.visual.projection": 0,
    "model.visual.pool": "global", "model.visual.contrast": 0, "model.fusion_projection": "none",
    "model.fusion_dropout": 0.0, "loss.sparsity": 0.0,
}  # fmt: skip
_FLIP_IT = _IMAGES | {"model.head": "prompts", "model.text_encoder.prompts": "ensemble"}


def table() -> dict[str, dict[str, Any]]:
    """Name of the row -> {dotted key: value}."""
    return {
        "cpml": {},  # the method as the base has it: recorded views
        "cpml_downsampled": {"train.views": "downsampled"},
        "without_cqsl": {"loss.cqsl": 0.0},
        "without_cmcl": {"loss.cmcl": 0.0},
        "without_both": {"loss.cqsl": 0.0, "loss.cmcl": 0.0},
        "without_rppg": {"model.modalities": ("landmarks",), "loss.cqsl": 0.0, "loss.teacher": 0.0},
        "without_landmarks": {"model.modalities": ("rppg",)},
        "without_prompts": _LINEAR,
        "with_visual": {"model.modalities": ("rppg", "landmarks", "visual")},
        # Two streams of three.
        "rppg_landmarks": {"model.modalities": ("rppg", "landmarks")},
        "rppg_visual": {"model.modalities": ("rppg", "visual")},
        "landmarks_visual": {"model.modalities": ("landmarks", "visual"), "loss.cqsl": 0.0, "loss.teacher": 0.0},
        # UMCL's cross-modal alignment, at the weight that CMCL has.
        "affinity": {"loss.affinity": 0.25},
        # The pulse teacher stays, where the base has it: it stands in for PhysFormer's trained weights.
        "physformer_alone": {"model.modalities": ("rppg",), "loss.cqsl": 0.0, **_LINEAR},
        # Sun et al., CVPR 2021: cross-entropy on the landmarks' features.
        "lrnet_alone": {
            "model.modalities": ("landmarks",), "model.fusion_projection": "none", "model.fusion_dropout": 0.0,
            "loss.sparsity": 0.0, **_LINEAR, **_ALONE,
        },
        # Single frames, whatever moves between them: the visual stream as the base has it.
        "frames_alone": _FRAMES | _LINEAR,
        # The measured texture alone, a linear map of it: no network looks at the picture.
        "texture_alone": {"model.modalities": ("texture",), **_LINEAR, **_ALONE},
        # Srivatsan et al., ICCV 2023.
        "flip_v": _IMAGES | _LINEAR,
        "flip_it": _FLIP_IT,
        "flip_mcl": _FLIP_IT | {"loss.simclr": 1.0, "loss.prompt_mse": 1.0},
        # A linear head on the mean of the frames' embeddings is the mean of its answers for each frame. What it finds
        # is CLIP's with model.visual.weights alone: without them the frozen encoder is a random one.
        "clip_linear_probe": _IMAGES | _LINEAR | {"model.visual.trained": "none"},
    }  # fmt: skip


def settings() -> dict[str, dict[str, Any]]:
    """More rows, for `--rows` alone: sets of streams, and the two losses at other settings, each against the same
    without them.

    Changes of the losses themselves start from the paper's weights and are against without_both; the others have a
    partner, NAME_without_both.
    """
    without = {"loss.cqsl": 0.0, "loss.cmcl": 0.0}
    paper = {
        "loss.cqsl": 0.2, "loss.cqsl_pull": 1.0, "loss.cqsl_push": 1.0, "loss.cqsl_rate": 1.0,
        "loss.cmcl": 0.25, "loss.cmcl_align": 1.0, "loss.cmcl_repel": 1.0, "loss.cmcl_steady": 1.0,
    }  # fmt: skip
    pull = paper | {"loss.cqsl_push": 0.0, "loss.cqsl_rate": 0.0}  # of CQSL
    steady = {"loss.cmcl_repel": 0.0, "loss.cmcl_steady": 100.0}
    silent = {"loss.cqsl": 0.0, "loss.teacher": 0.0}  # without a pulse there are no waves
    rows = {
        # What pulse and landmarks add to the streams that look at the picture (configs/forged.py has all four).
        "images": {"model.modalities": ("visual", "texture"), **silent},
        "images_rppg": {"model.modalities": ("rppg", "visual", "texture")},
        "images_landmarks": {"model.modalities": ("landmarks", "visual", "texture"), **silent},
        # Of a base whose class embeddings are learned: those of a text encoder in their place.
        "with_prompts": {"model.head": "prompts"},
        "paper_losses": paper,
        "cqsl_quarter": paper | {"loss.cqsl": 0.05},
        "cqsl_4x": paper | {"loss.cqsl": 0.8},
        "cmcl_quarter": paper | {"loss.cmcl": 0.0625},
        "cmcl_4x": paper | {"loss.cmcl": 1.0},
        "pull_alone": pull | {"loss.cmcl": 0.0},
        "pull_alone_5x": pull | {"loss.cqsl": 1.0, "loss.cmcl": 0.0},
        "pull_5x": pull | {"loss.cqsl": 1.0},
        "pull_20x": pull | {"loss.cqsl": 4.0},
        "pull_steady": pull | steady | {"loss.cqsl": 1.0},
        "without_push": paper | {"loss.cqsl_push": 0.0},
        "push_all": paper | {"loss.push_pairs": "all"},
        # Two unrelated clean pulses of 128 frames have |rho| = 0.2 by chance.
        "push_hinge": paper | {"loss.push_margin": 0.2},
        "push_skip": paper | {"loss.push_skip_matching": 0.9},
        "stop_better": paper | {"loss.stop_better": True},
        "steady_100x": paper | steady,
        # Before each term was counted as at a batch of a real and a fake clip.
        "old_weights": paper | {"loss.cqsl": 0.4, "loss.cmcl": 0.5, "loss.push_pairs": "all", "optim.clip_norm": 2.0},
    }
    changed = {
        "batch_16": {"train.batch_size": 16},
        "rate_2.5e-3": {"optim.learning_rate": 2.5e-3},
        "rate_1e-2": {"optim.learning_rate": 1e-2},
        "temperature_0.3": {"model.temperature": 0.3},
        # From there on CQSL alone holds the waves.
        "teacher_fades": {"loss.teacher_steps": 240},
        # Labels on the best view alone, as the paper: what is known of the others comes from the losses.
        "ce_best": paper | {"loss.ce_views": "best"},
        # The wave is read as a series alone.
        "no_agreement": {"model.rppg.agreement": 0},
    }
    for name, changes in changed.items():
        rows |= {name: changes, f"{name}_without_both": changes | without}
    return rows


def get_config(argument: str = "cpml") -> ConfigDict:
    row, _, of_base = argument.partition(":")
    where = f"configs/ablation.py:{argument}"
    rows = table() | settings()
    if row not in rows:
        raise UserError(f"{where}: no row {row!r}; the rows are {', '.join(rows)}")
    config = _bases.start(of_base, where)
    config.name = f"{config.name}_{row}"
    config.update_from_flattened_dict(rows[row])
    return config
