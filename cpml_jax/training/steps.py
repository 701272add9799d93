"""The jitted steps: `train_step(state, batch) -> (state, metrics)` and `score_step`. Pure, sharded, state donated."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax.sharding import Mesh
from jaxtyping import Array, Float

from cpml_jax.data import augment_stills
from cpml_jax.losses.flip import prompt_halves
from cpml_jax.losses.sparsity import class_weights
from cpml_jax.losses.total import LossWeights, real_and_fake, total_loss
from cpml_jax.models import streams
from cpml_jax.models.class_embeddings import draw, ensemble
from cpml_jax.models.prompts import present
from cpml_jax.schema import CROP_SIZE
from cpml_jax.training.sharding import batch_sharding, replicated
from cpml_jax.training.state import TrainState

if TYPE_CHECKING:  # a third of a second, which only training takes
    import optax

_PICTURES = ("frames", "stills")  # the inputs that are pixels
TrainStep = Callable[[TrainState, dict[str, jax.Array]], tuple[TrainState, dict[str, jax.Array]]]


def class_prompts(
    model: nn.Module,
    variables: dict[str, Any],
    tokens: jax.Array | None,
    constants: np.ndarray | None,
    key: jax.Array,
    *,
    sampled: bool,
    every: bool,
) -> tuple[jax.Array | None, jax.Array | None]:
    """t_c (C, D), and every prompt's embedding (C, P, D) where they are known.

    Args:
      model, variables: CPML and its parameters.
      tokens: (C, P, L) int32; None with the linear head, which has no prompts.
      constants: (C, P, D) if nothing of the prompts is trained.
      key: of the draw.
      sampled: one prompt per class, drawn; else the mean of all.
      every: whether a loss needs every prompt's embedding.
    """
    if tokens is None:
        return None, None
    templates: Any = None if constants is None else jnp.asarray(constants)
    if templates is None and every:
        templates = model.apply(variables, tokens, method="encode_templates")
    is_prompt, chosen = present(tokens), tokens if templates is None else templates
    if sampled:
        chosen, is_prompt = draw(key, chosen, is_prompt), jnp.ones_like(is_prompt[:, :1])
    if templates is not None:
        return ensemble(chosen, is_prompt), templates
    embeddings: Any = model.apply(variables, chosen, method="encode_prompts")
    return embeddings, None


def augmented_views(
    model: nn.Module,
    variables: dict[str, Any],
    stills: jax.Array,
    batch: dict[str, jax.Array],
    tokens: jax.Array | None,
    templates: jax.Array | None,
    key: jax.Array,
) -> dict[str, Any]:
    """FLIP-MCL's two random views of the best compression (CPML.augmented).

    With tokens, also the halves of each class's prompts that they are compared with, and the prompts' embeddings.
    """
    view_key, half_key = jax.random.split(key)
    features: Any = model.apply(variables, stills[:, 0], batch["weight"], view_key, method="augmented")
    if tokens is None:
        return features
    label = batch["label"] if len(tokens) == 2 else batch["class_index"]
    halves = prompt_halves(half_key, present(tokens), label)
    return features | {"templates": templates, "halves": halves}


def make_train_step(
    model: nn.Module,
    optimizer: optax.GradientTransformation,
    *,
    tokens: jax.Array | None,
    class_embeddings: np.ndarray | None,
    weights: LossWeights,
    seed: int,
    sampled_prompts: bool,
    flip: bool,
    stills: int = 0,
    vary_stills: bool = False,
    downsampled: tuple[str, ...] = (),
    trained: Any = None,
) -> TrainStep:
    """The step as a pure function, not yet jitted.

    Args:
      model: CPML.
      optimizer: see optimizer.make_optimizer.
      tokens: (C, P, L) int32 prompts of all classes (prompts.tokenize); None with the linear head.
      class_embeddings: (C, P, D) of every prompt when the text encoder is frozen: constants then, not a computation.
      weights: of the losses.
      seed: every random draw of step n comes from fold_in(seed, n).
      sampled_prompts: True: one prompt per class and step; False: the mean of all.
      flip: mirror half of the clips.
      stills: how many of the stills are seen, drawn anew each step; 0: all.
      vary_stills: see them at another place, size and colour (augment_stills.py).
      downsampled: views that the model makes itself from view 0.
      trained: tree of bool like the parameters (optimizer.is_trained); None: all are. No gradient is computed of the
        others, and none counts in the norm.

    Returns:
      train_step(state, batch) -> (state, metrics); metrics: {name: () float32}, with loss, every term, the norm of
      this batch's gradient (before clipping and accumulation) and the share of clips on their label's side.
    """

    import optax

    needs_templates = bool(weights.prompt_mse)

    def train_step(state: TrainState, batch: dict[str, jax.Array]) -> tuple[TrainState, dict[str, jax.Array]]:
        key = jax.random.fold_in(jax.random.key(seed), state.step)
        flip_key, prompt_key, dropout_key = jax.random.split(key, 3)
        inputs = streams.held_inputs(batch)
        if flip:
            chosen = jax.random.bernoulli(flip_key, 0.5, batch["label"].shape)
            inputs = streams.mirror(inputs, chosen)
        if "stills" in inputs:
            draw_key, vary_key = jax.random.split(jax.random.fold_in(key, 4))
            inputs["stills"] = augment_stills.drawn(draw_key, inputs["stills"], stills)
            if vary_stills:
                inputs["stills"] = augment_stills.varied(vary_key, inputs["stills"])

        def loss_of(params: Any) -> tuple[jax.Array, tuple[dict[str, jax.Array], Any]]:
            if trained is not None:
                params = jax.tree.map(lambda p, moves: p if moves else jax.lax.stop_gradient(p), params, trained)
            variables = {"params": params, "batch_stats": state.batch_stats}
            embeddings, templates = class_prompts(
                model, variables, tokens, class_embeddings, prompt_key, sampled=sampled_prompts, every=needs_templates
            )
            outputs, changed = model.apply(
                variables,
                inputs,
                embeddings,
                train=True,
                downsampled=downsampled,
                rngs={"dropout": dropout_key},
                mutable=["batch_stats"],
            )
            if weights.simclr or weights.prompt_mse:
                view_key = jax.random.fold_in(key, 3)  # the fourth of a split: the other draws stay what they were
                compared = tokens if needs_templates else None
                outputs["augmented"] = augmented_views(
                    model, variables, inputs["stills"], batch, compared, templates, view_key
                )
            if weights.sparsity:
                outputs["class_weights"] = class_weights(params, embeddings, outputs["unified"])
            loss, terms = total_loss(outputs, embeddings, batch, weights, state.step)
            right = (real_and_fake(outputs["logits"][:, 0]).argmax(-1) == batch["label"]) * batch["weight"]
            terms["accuracy"] = right.sum() / jnp.maximum(batch["weight"].sum(), 1e-8)
            return loss, (terms, changed.get("batch_stats", state.batch_stats))

        (loss, (terms, batch_stats)), gradients = jax.value_and_grad(loss_of, has_aux=True)(state.params)
        updates, opt_state = optimizer.update(gradients, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
        metrics = {"loss": loss, **terms, "gradient_norm": optax.global_norm(gradients)}
        return TrainState(state.step + 1, params, batch_stats, opt_state), metrics

    return train_step


def jit_train_step(train_step: TrainStep, mesh: Mesh, shardings: TrainState) -> TrainStep:
    """Compile for a mesh: batch split over the data axis, state split as in `shardings` and donated.

    The batch axis is one global axis to the compiler, so batch statistics, means and the push term's real-fake
    pairs run over the whole batch however many devices and hosts hold it.
    """
    return jax.jit(
        train_step,
        in_shardings=(shardings, batch_sharding(mesh)),
        out_shardings=(shardings, replicated(mesh)),
        donate_argnums=(0,),
    )


def jit_score_step(model: nn.Module, mesh: Mesh, *, streams: bool = False) -> Callable[..., dict[str, Any]]:
    """score_step(variables, class_embeddings, the inputs of a batch with one view) -> dict, replicated.

    p_fake (B,), logits (B, 2) of real and fake whatever the classes, unified (B, D) and, with the rPPG stream,
    wave (B, T). With `streams` also streams: stream -> what the fusion takes of it, rows (B, ...).
    """

    def score_step(
        variables: dict[str, Any], class_embeddings: jax.Array | None, inputs: dict[str, jax.Array]
    ) -> dict[str, Any]:
        outputs: Any = model.apply(variables, inputs, class_embeddings, train=False)
        scores = {name: outputs[name][:, 0] for name in ("logits", "unified", "wave") if name in outputs}
        scores["logits"] = real_and_fake(scores["logits"])
        if streams:
            scores["streams"] = jax.tree.map(lambda x: x[:, 0], outputs["intermediates"]["fused"])
        return {"p_fake": jax.nn.softmax(scores["logits"], axis=-1)[:, 1], **scores}

    data = batch_sharding(mesh)
    return jax.jit(score_step, in_shardings=(None, None, data), out_shardings=replicated(mesh))


def jit_fuse_step(model: nn.Module, mesh: Mesh) -> Callable[..., jax.Array]:
    """fuse_step(variables, class_embeddings, streams of jit_score_step) -> logits (B, 2), real and fake, replicated."""

    def fuse_step(variables: dict[str, Any], class_embeddings: jax.Array | None, streams: dict[str, Any]) -> jax.Array:
        logits: Any = model.apply(variables, streams, class_embeddings, method="fuse")
        return real_and_fake(logits)

    data = batch_sharding(mesh)
    return jax.jit(fuse_step, in_shardings=(None, None, data), out_shardings=replicated(mesh))


def jit_saliency_step(model: nn.Module, mesh: Mesh) -> Callable[..., jax.Array]:
    """saliency_step(variables, class_embeddings, the inputs of a batch with one view) -> (B, S, S) float32.

    Where the model looks: |d (logit of fake - logit of real) / d pixel|, mean over time and colour (Simonyan et al.,
    ICLR workshop 2014), of the frames and stills that the inputs hold. Zero without a stream that sees pixels.
    """

    def saliency_step(
        variables: dict[str, Any], class_embeddings: jax.Array | None, inputs: dict[str, jax.Array]
    ) -> jax.Array:
        pictures = {name: inputs[name].astype(jnp.float32) for name in _PICTURES if name in inputs}

        def margin(pixels: dict[str, jax.Array]) -> jax.Array:
            outputs: Any = model.apply(variables, inputs | pixels, class_embeddings, train=False)
            logits = real_and_fake(outputs["logits"][:, 0])
            return (logits[:, 1] - logits[:, 0]).sum()  # clips do not mix without training: one gradient for all

        if not pictures:
            return jnp.zeros((len(next(iter(inputs.values()))), CROP_SIZE, CROP_SIZE))
        gradients = jax.grad(margin)(pictures)
        return saliency_map([jnp.abs(x[:, 0]).mean(axis=-1) for x in gradients.values()])

    data = batch_sharding(mesh)
    return jax.jit(saliency_step, in_shardings=(None, None, data), out_shardings=replicated(mesh))


def saliency_map(gradients: Sequence[Float[Array, "B T S S"]]) -> Float[Array, "B S S"]:
    """One map of the stored crop's pixels, from gradients of inputs of several lengths and sizes.

    A pixel of a smaller input is a mean of the crop's pixels, which share its gradient; a still is one of the clip's
    frames. So maps are sums over time and place, over the length of the longest input.
    """
    length, side = max(x.shape[1] for x in gradients), max(x.shape[2] for x in gradients)

    def enlarged(x: jax.Array) -> jax.Array:
        scale = side / x.shape[2]
        return jax.image.resize(x.sum(axis=1), (len(x), side, side), "nearest") / scale**2

    return sum((enlarged(x) for x in gradients), start=jnp.zeros(())) / length
