"""AdamW with warm-up, cosine, clipping, accumulation, and a learning rate (or none) for each parameter group."""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Sequence
from typing import Any

import jax
import optax

from cpml_jax.errors import UserError
from cpml_jax.models.streams import STREAMS

BASE_GROUP, FROZEN_GROUP = "base", "frozen"
StepRate = Callable[[int], jax.typing.ArrayLike]  # of a training step, from 0
OPTIONAL_PARTS = (*STREAMS, "text_encoder", "fusion")  # a fusion without projection has no parameters


def parameter_path(path: tuple[Any, ...]) -> str:
    """A key path of jax.tree_util as text: `text_encoder/layer_0/self_attn/q_proj/kernel`."""
    return "/".join(str(getattr(entry, "key", getattr(entry, "name", entry))) for entry in path)


def group_labels(params: Any, groups: Sequence[tuple[str, float]], frozen: Sequence[str] = ()) -> Any:
    """Name every parameter's group.

    Args:
      params: tree of arrays or shapes.
      groups: (regular expression, learning-rate factor) pairs; the first that matches a path from its start counts.
      frozen: regular expressions of paths that nothing trains, whatever the groups are; matched from the start.

    Returns:
      A tree of the same structure: "base", "frozen", or the matching expression.

    Raises:
      UserError: an expression matches no parameter, which would silently train what was meant to be frozen. One that
        begins with a part of the model that this one is configured without may stay.
    """
    tops = {parameter_path(path).split("/")[0] for path, _ in jax.tree_util.tree_leaves_with_path(params)}
    left_out = tuple(f"{part}/" for part in OPTIONAL_PARTS if part not in tops)
    unused = {pattern for pattern, _ in groups if not pattern.startswith(left_out)}

    def label(path: tuple[Any, ...], _: Any) -> str:
        name = parameter_path(path)
        group = next((pattern for pattern, _ in groups if re.match(pattern, name)), BASE_GROUP)
        unused.discard(group)
        return FROZEN_GROUP if any(re.match(pattern, name) for pattern in frozen) else group

    labels = jax.tree_util.tree_map_with_path(label, params)
    if unused:
        raise UserError(
            f"optim.groups: {sorted(unused)[0]!r} matches no parameter; parameter paths begin with: "
            f"{', '.join(sorted(tops))}"
        )
    return labels


def is_trained(params: Any, groups: Sequence[tuple[str, float]], frozen: Sequence[str] = ()) -> Any:
    """Whether anything trains a parameter: its group's factor is not 0 and it is not frozen.

    Args:
      params, groups, frozen: group_labels'.

    Returns:
      A tree of bool of the same structure.

    Raises:
      UserError: as group_labels.
    """
    still = {FROZEN_GROUP, *(pattern for pattern, factor in groups if factor == 0.0)}
    return jax.tree.map(lambda label: label not in still, group_labels(params, groups, frozen))


def learning_rate_schedule(peak: float, steps: int, warmup_steps: int, final_fraction: float) -> optax.Schedule:
    """Linear warm-up from 0 to `peak`, then a cosine to `final_fraction * peak` at `steps`; all counted in updates.

    The warm-up is shorter than `steps` (validation/training.py).
    """
    return optax.warmup_cosine_decay_schedule(0.0, peak, warmup_steps, max(steps, 1), end_value=final_fraction * peak)


def make_optimizer(
    params: Any,
    *,
    steps: int,
    learning_rate: float,
    weight_decay: float,
    warmup_steps: int,
    final_fraction: float,
    clip_norm: float,
    accumulate: int,
    groups: Sequence[tuple[str, float]],
    frozen: Sequence[str] = (),
) -> tuple[optax.GradientTransformation, StepRate]:
    """The transformation, and the base group's learning rate as a function of the training step, from 0.

    With accumulation the losses, batch statistics and real-fake pairs are those of each micro-batch; gradients are
    averaged. Matrices decay, biases and norm scales do not. Frozen parameters get no update and no decay, hold no
    moments and do not count in the clipped norm.

    Args:
      params: tree of arrays or shapes.
      steps: training steps; an update takes `accumulate` of them.
      learning_rate, weight_decay, warmup_steps, final_fraction, clip_norm, accumulate: config.optim.
      groups, frozen: group_labels.

    Raises:
      UserError: as group_labels.
    """
    labels = group_labels(params, groups, frozen)
    factors: dict[Hashable, float] = {BASE_GROUP: 1.0}
    factors.update(groups)
    if frozen:
        factors[FROZEN_GROUP] = 0.0
    updates = -(-steps // accumulate)
    schedule = learning_rate_schedule(learning_rate, updates, warmup_steps, final_fraction)

    def decays(tree: Any) -> Any:
        return jax.tree.map(lambda p: p.ndim > 1, tree)

    def group(factor: float) -> optax.GradientTransformation:
        if factor == 0.0:
            return optax.set_to_zero()
        return optax.adamw(lambda count: factor * schedule(count), weight_decay=weight_decay, mask=decays)

    # Zero the frozen gradients first: they must not take part in the global norm.
    masks = {name: optax.set_to_zero() if factor == 0.0 else optax.identity() for name, factor in factors.items()}
    chain: list[optax.GradientTransformation] = [optax.multi_transform(masks, labels)]
    if clip_norm:
        chain.append(optax.clip_by_global_norm(clip_norm))
    chain.append(optax.multi_transform({name: group(factor) for name, factor in factors.items()}, labels))
    transformation = optax.chain(*chain)
    if accumulate > 1:
        transformation = optax.MultiSteps(transformation, every_k_schedule=accumulate).gradient_transformation()

    def rate(step: int) -> jax.typing.ArrayLike:
        return schedule(step // accumulate)

    return transformation, rate
