"""Views and the optimizer: settings of training that do not fit together."""

from __future__ import annotations

import math
import re

from cpml_jax.configuration import Flat
from cpml_jax.errors import UserError
from cpml_jax.schema import compression_rank


def check_views(flat: Flat) -> None:
    """Refuse recorded views that are not best first, and down-sampled ones that the frames cannot give."""
    from cpml_jax.models.resolution import STEPS

    compressions = tuple(flat["train.compressions"])
    ordered = tuple(sorted(compressions, key=compression_rank))
    if flat["train.views"] == "recorded" and compressions != ordered:
        raise UserError(f"train.compressions={compressions} begins with the best: {ordered}")
    if flat["train.views"] != "downsampled":
        if flat["loss.pairing"] == "downsampled":
            raise UserError(
                f"loss.pairing='downsampled' compares made views, and train.views={flat['train.views']!r} has none; "
                "set train.views='downsampled' or loss.pairing='full'"
            )
        return
    if "texture" in flat["model.modalities"]:
        raise UserError(
            "train.views='downsampled' makes views inside the model, and the texture stream's numbers are measured on "
            "recorded frames; set train.views='recorded', or take 'texture' out of model.modalities"
        )
    if flat["loss.pairing"] == "downsampled" and len(flat["train.downsampled"]) < 2:
        raise UserError(
            f"loss.pairing='downsampled' compares two made views, train.downsampled={tuple(flat['train.downsampled'])} "
            "makes one; name half and quarter"
        )
    cell = 2 ** max(STEPS[name] for name in flat["train.downsampled"])
    if flat["model.rppg.frame_size"] % cell:
        raise UserError(
            f"model.rppg.frame_size={flat['model.rppg.frame_size']} must be a multiple of {cell} for "
            f"train.downsampled={tuple(flat['train.downsampled'])}"
        )


def check_optimizer(flat: Flat) -> None:
    """Refuse a warm-up that never ends, and parameter groups that are no groups."""
    updates = -(-flat["train.steps"] // flat["optim.accumulate"])
    if flat["optim.warmup_steps"] >= max(updates, 1):
        raise UserError(
            f"optim.warmup_steps={flat['optim.warmup_steps']} must be below the number of updates, {updates} "
            "(train.steps over optim.accumulate)"
        )
    for group in flat["optim.groups"]:
        form = "a group is (regular expression, learning-rate factor of 0 or more)"
        if not (isinstance(group, (tuple, list)) and len(group) == 2 and isinstance(group[0], str)):
            raise UserError(f"optim.groups has {group!r}; {form}")
        pattern, factor = group
        if not isinstance(factor, (int, float)) or not 0 <= factor < math.inf:
            raise UserError(f"optim.groups has {group!r}; {form}")
        try:
            re.compile(pattern)
        except re.error as error:
            raise UserError(f"optim.groups: {pattern!r} is no regular expression ({error})") from None
