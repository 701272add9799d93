"""CPML: views of face clips -> unified features, class scores and pulse waves (docs/method.md)."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
from flax import linen as nn

from cpml_jax.data.augment_images import two_views
from cpml_jax.models import views
from cpml_jax.models.check import check_streams, check_temperature
from cpml_jax.models.class_embeddings import check_text, ensemble, inserted_context, unit
from cpml_jax.models.clip import ImageEncoder, TextEncoder
from cpml_jax.models.fusion import Fusion
from cpml_jax.models.heads import ContrastHead
from cpml_jax.models.landmark_rnn import LandmarkRNN
from cpml_jax.models.physformer import PhysFormer
from cpml_jax.models.prompts import present

TEMPERATURE = 0.07  # of cosines at the start; CLIP's
LOWEST_TEMPERATURE = 0.01  # CLIP's limit
TAU_LIMIT = -math.log(LOWEST_TEMPERATURE)


class CPML(nn.Module):
    """The whole model. There is no label in it: a clip is scored against every class's prompts, or by a linear head.

    Attributes:
      modalities: non-empty subset of rppg, landmarks, visual.
      unified_dim: D, width of u and of the class embeddings.
      fusion_dropout, fusion_stage_pool: see fusion.py.
      temperature: exp(-tau) at the start.
      physformer, landmark_rnn: arguments of PhysFormer and LandmarkRNN.
      clip_text: mode, context_tokens, context_per_class, context_length, width, layers, heads and, if it is
        not CLIP's own, activation.
      clip_image: frames, image_size, patch, width, layers, heads and, if need be, activation.
      vocab_size: of the prompts' tokenizer.
      classes: C, real and one or more kinds of fake.
      context_words: tokens whose embeddings the learned context starts from, context_tokens of them; (): noise.
      head: prompts, or linear: then there is no text encoder.
      fusion_projection: see fusion.py.
      projections: those of heads.PROJECTIONS that the losses need.
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
    head: str = "prompts"
    fusion_projection: str = "linear"
    projections: tuple[str, ...] = ()
    dtype: jnp.dtype = jnp.float32
    temperature: float = TEMPERATURE

    def setup(self):
        image = self.clip_image
        if self.head == "linear":
            self.classifier = nn.Dense(self.classes)
        else:
            self.set_up_prompts()
        grid = 1
        if "rppg" in self.modalities:
            self.rppg = PhysFormer(dtype=self.dtype, **self.physformer)
            grid = math.prod(self.rppg.grid)
        if "landmarks" in self.modalities:
            self.landmarks = LandmarkRNN(dtype=self.dtype, **self.landmark_rnn)
        if "visual" in self.modalities:
            shape = {k: image[k] for k in ("patch", "width", "layers", "heads", "activation") if k in image}
            self.visual = ImageEncoder(projection=self.unified_dim, dtype=self.dtype, **shape)
        self.fusion = Fusion(
            self.unified_dim, self.fusion_dropout, grid, self.fusion_stage_pool, self.dtype, self.fusion_projection
        )
        if "simclr" in self.projections:
            self.contrast_head = ContrastHead(self.dtype)
        if "affinity" in self.projections:
            self.affinity = {name: nn.Dense(self.unified_dim, dtype=self.dtype) for name in self.modalities}

    def set_up_prompts(self) -> None:
        text = self.clip_text
        shape = {k: text[k] for k in ("context_length", "width", "layers", "heads", "activation") if k in text}
        self.text_encoder = TextEncoder(self.vocab_size, projection=self.unified_dim, dtype=self.dtype, **shape)
        if text["mode"] == "context":
            shape = (self.classes,) * bool(text.get("context_per_class")) + (text["context_tokens"], text["width"])
            # With words it is what is added to them: trained weights may be loaded after it starts, and decay pulls
            # it to the words.
            start = nn.initializers.zeros if self.context_words else nn.initializers.normal(0.02)
            self.context = self.param("context", start, shape, jnp.float32)
        self.tau = self.param("tau", nn.initializers.constant(-math.log(self.temperature)), (), jnp.float32)

    def __call__(
        self,
        frames: jax.Array,
        landmarks: jax.Array,
        class_embeddings: jax.Array | None,
        *,
        train: bool,
        downsampled: tuple[str, ...] = (),
    ) -> dict:
        """Encode and score views.

        Args:
          frames: (B, V, T, S, S, 3) uint8 RGB.
          landmarks: (B, V, T, 68, 2) float32 in [-1, 1].
          class_embeddings: (C, D) unit vectors, real first: encode_prompts; None with the linear head.
          train: dropout, noise and jitter (key "dropout"), and this batch's statistics ("batch_stats" mutable).
          downsampled: names of views ("half", "quarter") made here from view 0; V' is 1 + their number, or else V.

        Returns:
          unified (B, V', D); logits (B, V', C) = exp(tau) cos(u, t_c), or the linear head's, real first; with the
          pulse stream wave (B, V', T); with affinity projections projected: modality -> (B, V', D); all float32.
          intermediates: stages, three of (B, V', tokens, dim), z_land, z_visual and, with prompts, tau.
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
        if "affinity" in self.projections:
            # The pulse's phase says nothing about the class: the mean over the last stage's tokens.
            features = {"rppg": pulse and pulse[1][-1].mean(axis=1), "landmarks": z_land, "visual": z_visual}
            projected = {name: project(features[name]) for name, project in self.affinity.items()}
            outputs["projected"] = {name: by_view(x.astype(jnp.float32)) for name, x in projected.items()}
        u = by_view(self.fusion(pulse, z_land, z_visual, train=train))
        if self.head == "linear":
            logits = self.classifier(u)
        else:
            inside["tau"] = jnp.minimum(self.tau, TAU_LIMIT)
            cosines = jnp.einsum("bvd,cd->bvc", unit(u), unit(class_embeddings), precision="highest")
            logits = jnp.exp(inside["tau"]) * cosines
        return outputs | {"unified": u, "logits": logits, "intermediates": inside}

    def see(self, frames: jax.Array, downsampled: tuple[str, ...]) -> jax.Array:
        """frames (N, T, S, S, 3) -> (N V', D) float32: the mean embedding of K frames spaced over the whole clip."""
        chosen = frames[:, views.spaced_frames(frames.shape[1], self.clip_image["frames"])]
        return self.embed(views.visual_views(chosen, downsampled, self.clip_image["image_size"]))

    def embed(self, images: jax.Array) -> jax.Array:
        """(N, V, K, size, size, 3), CLIP-normalised -> (N V, D) float32: the mean embedding of the K frames."""
        n, count, k = images.shape[:3]
        return self.visual(images.reshape(-1, *images.shape[3:])).reshape(n * count, k, -1).mean(axis=1)

    def augmented(self, frames: jax.Array, weight: jax.Array, key: jax.Array) -> dict[str, jax.Array]:
        """FLIP-MCL's two random views of every clip.

        Args:
          frames: (B, T, S, S, 3) uint8.
          weight: (B,) 1 for a clip, 0 for a row that only pads the batch.
          key: for this call alone.

        Returns:
          features (2, B, D) and, with SimCLR's projection, projected (2, B, D / 2); float32.
        """
        size = self.clip_image["image_size"]
        chosen = frames[:, views.spaced_frames(frames.shape[1], self.clip_image["frames"])]
        both = two_views(key, chosen.astype(jnp.float32) / 255.0, size)
        found = {"features": self.embed(views.clip_images(255.0 * both, size)).reshape(2, len(frames), -1)}
        if "simclr" in self.projections:
            found["projected"] = jnp.stack([self.contrast_head(one, weight) for one in found["features"]])
        return found

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
        embeddings = None if self.head == "linear" else self.encode_prompts(tokens)
        if "simclr" in self.projections:
            self.contrast_head(jnp.zeros((len(frames), self.unified_dim)), jnp.ones(len(frames)))
        return self(frames[:, :1], landmarks[:, :1], embeddings, train=False, downsampled=("half",))


def build(
    model: dict, vocab_size: int, dtype=jnp.float32, *, classes: int = 2, context_words: tuple = (), projections=()
) -> CPML:
    """CPML from the plain dictionary of `config.model`; the last three as CPML's.

    Raises:
      UserError: values that do not fit together.
    """
    parts = {name: dict(model[name]) for name in ("rppg", "landmarks", "text_encoder", "visual")}
    for part in parts.values():
        part.pop("weights", "")  # pretrained/apply.py puts them into the initialised variables
    parts["rppg"] |= {name: tuple(parts["rppg"][name]) for name in ("stem", "patch")}
    modalities, pool = tuple(model["modalities"]), model.get("fusion_stage_pool", "flatten")
    temperature = model.get("temperature", TEMPERATURE)
    check_streams(modalities, pool, parts)
    check_temperature(temperature, LOWEST_TEMPERATURE)
    check_text(parts["text_encoder"], context_words)
    return CPML(
        modalities, model["unified_dim"], model["fusion_dropout"], physformer=parts["rppg"],
        landmark_rnn=parts["landmarks"], clip_text=parts["text_encoder"], clip_image=parts["visual"],
        vocab_size=vocab_size, fusion_stage_pool=pool, classes=classes, context_words=tuple(context_words),
        head=model["head"], fusion_projection=model["fusion_projection"], projections=tuple(projections),
        dtype=jnp.dtype(dtype), temperature=temperature,
    )  # fmt: skip
