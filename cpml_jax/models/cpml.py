"""CPML: quality views of face clips -> unified features, class scores and pulse waves (METHOD.md)."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
from flax import linen as nn

from cpml_jax.errors import UserError
from cpml_jax.models import views
from cpml_jax.models.class_embeddings import check_text, ensemble, inserted_context, unit
from cpml_jax.models.clip import ImageEncoder, TextEncoder
from cpml_jax.models.fusion import MODALITIES, STAGE_POOLS, Fusion
from cpml_jax.models.landmark_rnn import LandmarkRNN
from cpml_jax.models.physformer import PhysFormer
from cpml_jax.prompts import present

TAU_START = math.log(1 / 0.07)  # CLIP's
TAU_LIMIT = math.log(100.0)


class CPML(nn.Module):
    """The whole model. There is no label in it: a clip is scored against every class's prompts.

    Attributes:
      modalities: non-empty subset of rppg, landmarks, visual.
      unified_dim: D, width of u and of the class embeddings.
      fusion_dropout, fusion_stage_pool: see fusion.py.
      physformer, landmark_rnn: arguments of PhysFormer and LandmarkRNN.
      clip_text: mode, context_tokens, context_per_class, context_length, width, layers, heads and, if it is
        not CLIP's own, activation.
      clip_image: frames, image_size, patch, width, layers, heads and, if need be, activation.
      vocab_size: of the prompts' tokenizer.
      classes: C, real and one or more kinds of fake.
      context_words: tokens whose embeddings the learned context starts from, context_tokens of them; (): noise.
      dtype: compute type, float32 or bfloat16. Parameters, norm statistics, softmaxes, cosines and waves are float32.
    """

    modalities: tuple[str, ...]
    unified_dim: int
    fusion_dropout: float
    physformer: dict
    landmark_rnn: dict
    clip_text: dict
    clip_image: dict
    vocab_size: int
    fusion_stage_pool: str = "flatten"
    classes: int = 2
    context_words: tuple[int, ...] = ()
    dtype: jnp.dtype = jnp.float32

    def setup(self):
        text, image = self.clip_text, self.clip_image
        shape = {k: text[k] for k in ("context_length", "width", "layers", "heads", "activation") if k in text}
        self.text_encoder = TextEncoder(self.vocab_size, projection=self.unified_dim, dtype=self.dtype, **shape)
        if text["mode"] == "context":
            shape = (text["context_tokens"], text["width"])
            if text.get("context_per_class", False):
                shape = (self.classes, *shape)
            # With words it is what is added to them: trained weights may be loaded after it starts, and decay pulls
            # it to the words.
            start = nn.initializers.zeros if self.context_words else nn.initializers.normal(0.02)
            self.context = self.param("context", start, shape, jnp.float32)
        self.tau = self.param("tau", nn.initializers.constant(TAU_START), (), jnp.float32)
        grid = 1
        if "rppg" in self.modalities:
            self.rppg = PhysFormer(dtype=self.dtype, **self.physformer)
            grid = math.prod(self.rppg.grid)
        if "landmarks" in self.modalities:
            self.landmarks = LandmarkRNN(dtype=self.dtype, **self.landmark_rnn)
        if "visual" in self.modalities:
            shape = {k: image[k] for k in ("patch", "width", "layers", "heads", "activation") if k in image}
            self.visual = ImageEncoder(projection=self.unified_dim, dtype=self.dtype, **shape)
        self.fusion = Fusion(self.unified_dim, self.fusion_dropout, grid, self.fusion_stage_pool, self.dtype)

    def __call__(
        self,
        frames: jax.Array,
        landmarks: jax.Array,
        class_embeddings: jax.Array,
        *,
        train: bool,
        downsampled: tuple[str, ...] = (),
    ) -> dict:
        """Encode and score quality views.

        Args:
          frames: (B, V, T, S, S, 3) uint8 RGB.
          landmarks: (B, V, T, 68, 2) float32 in [-1, 1].
          class_embeddings: (C, D) unit vectors, real first: encode_prompts.
          train: dropout, noise and jitter (key "dropout"), and this batch's statistics ("batch_stats" mutable).
          downsampled: names of views ("half", "quarter") made here from view 0; V' is 1 + their number, or else V.

        Returns:
          unified (B, V', D); logits (B, V', C) = exp(tau) cos(u, t_c), real first; with the pulse stream wave
          (B, V', T); all float32. intermediates: stages, three of (B, V', tokens, dim), z_land, z_visual, tau.
        """
        batch = frames.shape[0]
        if downsampled:
            frames, landmarks = frames[:, :1], landmarks[:, :1]
        count = 1 + len(downsampled) if downsampled else frames.shape[1]

        def rows(x):  # (B, V, ...) -> one batch of B V rows
            return x.reshape(-1, *x.shape[2:])

        def by_view(x):
            return x.reshape(batch, count, *x.shape[1:])

        outputs, inside = {}, {}
        pulse = z_land = z_visual = None
        if "rppg" in self.modalities:
            pulse = self.rppg(rows(frames), train=train, downsampled=downsampled)
            outputs["wave"] = by_view(pulse[0])
            inside["stages"] = tuple(by_view(stage) for stage in pulse[1])
        if "landmarks" in self.modalities:
            points = landmarks
            if downsampled:
                points = views.landmark_views(points[:, 0], downsampled, self.make_rng("dropout") if train else None)
            z_land = self.landmarks(rows(points), train=train)
            inside["z_land"] = by_view(z_land)
        if "visual" in self.modalities:
            z_visual = self.see(rows(frames), downsampled)
            inside["z_visual"] = by_view(z_visual)
        u = by_view(self.fusion(pulse, z_land, z_visual, train=train))
        inside["tau"] = jnp.minimum(self.tau, TAU_LIMIT)
        cosines = jnp.einsum("bvd,cd->bvc", unit(u), unit(class_embeddings), precision="highest")
        return outputs | {"unified": u, "logits": jnp.exp(inside["tau"]) * cosines, "intermediates": inside}

    def see(self, frames: jax.Array, downsampled: tuple[str, ...]) -> jax.Array:
        """frames (N, T, S, S, 3) -> (N V', D) float32: the mean embedding of K frames spaced over the whole clip."""
        chosen = frames[:, views.spaced_frames(frames.shape[1], self.clip_image["frames"])]
        images = views.visual_views(chosen, downsampled, self.clip_image["image_size"])
        n, count, k = images.shape[:3]
        return self.visual(images.reshape(-1, *images.shape[3:])).reshape(n * count, k, -1).mean(axis=1)

    def encode_prompts(self, tokens: jax.Array) -> jax.Array:
        """Class embeddings t_c.

        Args:
          tokens: (C, P, L) int32, real first; rows that are no prompts (prompts.present) do not count.

        Returns:
          (C, D) float32 of length 1: the mean of each class's unit embeddings, renormalised.
        """
        return ensemble(self.encode_templates(tokens), present(tokens))

    def encode_templates(self, tokens: jax.Array) -> jax.Array:
        """tokens (C, P, L) int32 -> (C, P, D) float32: every prompt's unit embedding."""
        classes, prompts, length = tokens.shape
        encoder, mode = self.text_encoder, self.clip_text["mode"]
        flat = tokens.reshape(-1, length)
        if mode == "finetune" or self.is_initializing():
            embedded = encoder(flat)
        else:
            frozen = jax.lax.stop_gradient(encoder.variables["params"])
            context = None
            if mode == "context":
                table = frozen["token_embedding"]["embedding"]
                context = inserted_context(self.context, table, self.context_words, prompts)
            embedded = encoder.clone(parent=None).apply({"params": frozen}, flat, context)
        return unit(embedded).reshape(classes, prompts, -1)

    def init_everything(self, frames: jax.Array, landmarks: jax.Array, tokens: jax.Array) -> dict:
        """Touch every parameter, also those of views that this run may not make; for `init` alone."""
        embeddings = self.encode_prompts(tokens)
        return self(frames[:, :1], landmarks[:, :1], embeddings, train=False, downsampled=("half",))


def build(
    model: dict, vocab_size: int, dtype=jnp.float32, *, classes: int = 2, context_words: tuple[int, ...] = ()
) -> CPML:
    """CPML from the plain dictionary of `config.model`; the last two as CPML's.

    Raises:
      UserError: values that do not fit together.
    """
    parts = {name: dict(model[name]) for name in ("physformer", "landmark_rnn", "clip_text", "clip_image")}
    for part in parts.values():
        part.pop("weights", "")  # pretrained/apply.py puts them into the initialised variables
    modalities = tuple(model["modalities"])
    if not modalities or set(modalities) - set(MODALITIES) or len(set(modalities)) != len(modalities):
        raise UserError(f"model.modalities={modalities}; it is a non-empty subset of {MODALITIES}")
    pool = model.get("fusion_stage_pool", "flatten")
    if pool not in STAGE_POOLS:
        raise UserError(f"model.fusion_stage_pool={pool!r}; it is one of {STAGE_POOLS}")
    check_text(parts["clip_text"], context_words)
    for name in ("clip_text", "clip_image"):
        width, heads = parts[name]["width"], parts[name]["heads"]
        if width % heads:
            raise UserError(f"model.{name}.width={width} must be a multiple of its {heads} heads")
    if parts["clip_image"]["image_size"] % parts["clip_image"]["patch"]:
        raise UserError("model.clip_image.image_size must be a multiple of model.clip_image.patch")
    if 0 < parts["landmark_rnn"]["memory"] <= 1:
        raise UserError(f"model.landmark_rnn.memory={parts['landmark_rnn']['memory']} is 0 or more than 1 frame")
    physformer = parts["physformer"]
    physformer.update(stem=tuple(physformer["stem"]), patch=tuple(physformer["patch"]))
    try:
        PhysFormer(**physformer).check()
    except ValueError as error:
        raise UserError(f"model.{error}") from None
    return CPML(
        modalities, model["unified_dim"], model["fusion_dropout"], **parts, vocab_size=vocab_size,
        fusion_stage_pool=pool, classes=classes, context_words=tuple(context_words), dtype=jnp.dtype(dtype),
    )  # fmt: skip
