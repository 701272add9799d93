"""CPML: views of face clips -> unified features, class scores and pulse waves (docs/method.md)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, cast

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int, Num, PRNGKeyArray

from cpml_jax.data.augment_images import two_views
from cpml_jax.models import visual
from cpml_jax.models.class_embeddings import TAU_LIMIT, ensemble, inserted_context, unit
from cpml_jax.models.clip import TextEncoder
from cpml_jax.models.fusion import Fusion
from cpml_jax.models.heads import ContrastHead
from cpml_jax.models.prompts import present
from cpml_jax.models.streams import STREAMS, Pass


class CPML(nn.Module):
    """The whole model. There is no label in it: a clip is scored against every class's embedding, or by a linear head.

    Attributes:
      modalities: non-empty subset of streams.STREAMS.
      unified_dim: D, width of u and of the class embeddings.
      fusion_dropout, fusion_stage_pool, fusion_projection, fusion_landmarks, fusion_wiring: see fusion.py.
      head: prompts: the classes' embeddings are a text encoder's; prototypes: learned vectors, orthogonal at the
        start; linear: a linear layer on u. The last two have no text encoder.
      temperature: exp(-tau) at the start; trained weights of the text encoder bring their own tau.
      streams: settings of each stream by name; those of other modalities are ignored.
      text: mode, context_tokens, context_per_class, context_length, width, layers, heads and, if it is not
        CLIP's, activation.
      vocab_size: of the prompts' tokenizer.
      classes: C, real and one or more kinds of fake.
      context_words: tokens whose embeddings the learned context starts from, context_tokens of them; (): noise.
      projections: those of heads.PROJECTIONS that the losses need.
      dtype: compute type, float32 or bfloat16. Parameters, norm statistics, softmaxes, cosines, waves and all of the
        landmark stream are float32.
    """

    modalities: tuple[str, ...]
    unified_dim: int
    fusion_dropout: float
    fusion_stage_pool: str
    fusion_projection: str
    fusion_landmarks: str
    head: str
    temperature: float
    streams: Mapping[str, Mapping[str, Any]]
    text: Mapping[str, Any]
    vocab_size: int
    classes: int = 2
    context_words: tuple[int, ...] = ()
    projections: tuple[str, ...] = ()
    dtype: DTypeLike = jnp.float32
    fusion_wiring: str = "specified"

    # A submodule's attribute is its prefix in the parameter tree, and decides its random start: none may be renamed.
    def setup(self) -> None:
        if self.head == "linear":
            self.classifier = nn.Dense(self.classes)
        else:
            if self.head == "prompts":
                self.set_up_prompts()
            else:
                shape = (self.classes, self.unified_dim)
                self.prototypes = self.param("prototypes", nn.initializers.orthogonal(), shape, jnp.float32)
            self.tau = self.param("tau", nn.initializers.constant(-math.log(self.temperature)), (), jnp.float32)
        for name in self.active:
            setattr(self, name, STREAMS[name].build(self.streams[name], self.unified_dim, self.dtype))
        self.fusion = Fusion(
            self.unified_dim,
            self.fusion_dropout,
            self.fusion_stage_pool,
            self.fusion_projection,
            self.fusion_landmarks,
            self.dtype,
            self.fusion_wiring,
        )
        if "simclr" in self.projections:
            self.contrast_head = ContrastHead(self.dtype)
        if "affinity" in self.projections:
            self.affinity = {name: nn.Dense(self.unified_dim, dtype=self.dtype) for name in self.modalities}

    def set_up_prompts(self) -> None:
        text = self.text
        shape = {k: text[k] for k in ("context_length", "width", "layers", "heads", "activation") if k in text}
        self.text_encoder = TextEncoder(self.vocab_size, projection=self.unified_dim, dtype=self.dtype, **shape)
        if text["mode"] == "context":
            shape = (self.classes,) * bool(text.get("context_per_class")) + (text["context_tokens"], text["width"])
            # With words it is what is added to them: trained weights may be loaded after it starts, and decay pulls
            # it to the words.
            start = nn.initializers.zeros if self.context_words else nn.initializers.normal(0.02)
            self.context = self.param("context", start, shape, jnp.float32)

    @property
    def active(self) -> tuple[str, ...]:
        """The model's streams in the order of STREAMS, whatever that of `modalities`."""
        return tuple(name for name in STREAMS if name in self.modalities)

    def __call__(
        self,
        inputs: Mapping[str, jax.Array],
        class_embeddings: Float[Array, "C D"] | None,
        *,
        train: bool,
        downsampled: tuple[str, ...] = (),
    ) -> dict[str, Any]:
        """Encode and score views.

        Args:
          inputs: (B, V, ...) of streams.INPUTS those that the streams read; more do no harm. frames (B, V, T, S, S, 3)
            and stills (B, V, K, 128, 128, 3) uint8 RGB; landmarks (B, V, T, 68, 2) float32 in [-1, 1]; texture
            (B, V, 4, G, G) float32.
          class_embeddings: (C, D) unit vectors, real first: encode_prompts; None with the linear head.
          train: dropout, noise and jitter (key "dropout"), and this batch's statistics ("batch_stats" mutable).
          downsampled: names of views ("half", "quarter") made here from view 0; V' is 1 + their number, or else V.

        Returns:
          unified (B, V', D); logits (B, V', C) = exp(tau) cos(u, t_c), or the linear head's, real first; with the
          rppg stream wave (B, V', T); with affinity projections projected: stream -> (B, V', D); all float32.
          intermediates: stages, three of (B, V', tokens, dim), z_land, z_visual, fused (stream -> what the fusion takes
          of it, (B, V', ...)) and, with prompts, tau.
        """
        inputs = {name: inputs[name] for stream in self.active for name in STREAMS[stream].inputs}
        if downsampled:
            inputs = {name: x[:, :1] for name, x in inputs.items()}
        batch, views_given = next(iter(inputs.values())).shape[:2]
        count = 1 + len(downsampled) if downsampled else views_given

        def by_view(x: jax.Array) -> jax.Array:
            return x.reshape(batch, count, *x.shape[1:])

        forward = Pass(train, downsampled, lambda: self.make_rng("dropout"))
        encoded = {
            name: STREAMS[name].encode(getattr(self, name), self.streams[name], inputs, forward) for name in self.active
        }
        outputs: dict[str, Any] = {}
        intermediates: dict[str, Any] = {}
        for stream in encoded.values():
            outputs |= jax.tree.map(by_view, stream.outputs)
            intermediates |= jax.tree.map(by_view, stream.intermediates)
        if "affinity" in self.projections:
            projected = {name: project(encoded[name].feature) for name, project in self.affinity.items()}
            outputs["projected"] = {name: by_view(x.astype(jnp.float32)) for name, x in projected.items()}
        fused = {name: stream.fused for name, stream in encoded.items()}
        intermediates["fused"] = jax.tree.map(by_view, fused)
        u = by_view(self.fusion(fused, train=train))
        logits, temperature = self.scores(u, class_embeddings)
        intermediates |= temperature
        return outputs | {"unified": u, "logits": logits, "intermediates": intermediates}

    def scores(
        self, u: Float[Array, "B V D"], class_embeddings: Float[Array, "C D"] | None
    ) -> tuple[Float[Array, "B V C"], dict[str, jax.Array]]:
        """The logits of unified features and, with prompts, {tau}."""
        if self.head == "linear":
            return self.classifier(u), {}
        assert class_embeddings is not None  # they are what this head scores against
        tau = jnp.minimum(self.tau, TAU_LIMIT)
        cosines = jnp.einsum("bvd,cd->bvc", unit(u), unit(class_embeddings), precision="highest")
        return jnp.exp(tau) * cosines, {"tau": tau}

    def fuse(self, fused: Mapping[str, Any], class_embeddings: Float[Array, "C D"] | None) -> Float[Array, "N C"]:
        """Logits of streams that were encoded before, whether of one clip or of several (evaluation/stream_swap.py).

        Args:
          fused: stream -> rows (N, ...) of the intermediates' `fused`, of all streams.
        """
        ordered = {name: fused[name] for name in self.active}  # jit sorts a dictionary's keys
        return self.scores(self.fusion(ordered, train=False)[:, None], class_embeddings)[0][:, 0]

    def augmented(
        self, stills: Num[Array, "B K S S 3"], weight: Num[Array, " B"], key: PRNGKeyArray
    ) -> dict[str, Float[Array, "2 B _"]]:
        """FLIP-MCL's two random views of every clip, through the visual stream.

        Args:
          stills: (B, K, S, S, 3) uint8.
          weight: (B,) 1 for a clip, 0 for a row that only pads the batch.
          key: for this call alone.

        Returns:
          features (2, B, D) and, with SimCLR's projection, projected (2, B, D / 2); float32.
        """
        settings = self.streams["visual"]
        both = two_views(key, stills.astype(jnp.float32) / 255.0, settings["image_size"])
        features = visual.embed_pictures(self.visual, settings, 255.0 * both.reshape(-1, *both.shape[2:]))
        augmented = {"features": features.reshape(2, len(stills), -1)}
        if "simclr" in self.projections:
            augmented["projected"] = jnp.stack([self.contrast_head(one, weight) for one in augmented["features"]])
        return augmented

    def encode_prompts(self, tokens: Int[Array, "C P L"]) -> Float[Array, "C D"]:
        """Class embeddings t_c.

        Args:
          tokens: (C, P, L) int32, real first; rows that are no prompts (prompts.present) do not count.

        Returns:
          (C, D) float32 of length 1: the mean of each class's unit embeddings, renormalised.
        """
        return ensemble(self.encode_templates(tokens), present(tokens))

    def encode_templates(self, tokens: Int[Array, "C P L"]) -> Float[Array, "C P D"]:
        """Every prompt's unit embedding; with prototypes that of each class, whatever the tokens."""
        if self.head == "prototypes":
            return unit(self.prototypes)[:, None]
        classes, prompts, length = tokens.shape
        encoder, mode = self.text_encoder, self.text["mode"]
        flat = tokens.reshape(-1, length)
        embedded: Any  # linen types what `apply` returns by its most general case
        if mode == "finetune" or self.is_initializing():
            embedded = encoder(flat)
        else:
            frozen = jax.lax.stop_gradient(encoder.variables["params"])
            context = None
            if mode == "context":
                table = frozen["token_embedding"]["embedding"]
                context = inserted_context(self.context, table, self.context_words, prompts)
            # apply returns a tuple only with mutable collections.
            embedded = cast(jax.Array, encoder.clone(parent=None).apply({"params": frozen}, flat, context))
        return unit(embedded).reshape(classes, prompts, -1)

    def init_everything(self, inputs: Mapping[str, jax.Array], tokens: Int[Array, "C P L"] | None) -> dict[str, Any]:
        """Touch every parameter, also those of views that this run may not make; for `init` alone."""
        embeddings = None if tokens is None or self.head == "linear" else self.encode_prompts(tokens)
        if "simclr" in self.projections:
            clips = len(next(iter(inputs.values())))
            self.contrast_head(jnp.zeros((clips, self.unified_dim)), jnp.ones(clips))
        first = {name: x[:, :1] for name, x in inputs.items()}
        return self(first, embeddings, train=False, downsampled=("half",))


def build(
    model: Mapping[str, Any],
    vocab_size: int,
    dtype: DTypeLike = jnp.float32,
    *,
    classes: int = 2,
    context_words: tuple[int, ...] = (),
    projections: tuple[str, ...] = (),
) -> CPML:
    """CPML from the plain dictionary of a valid `config.model`; the other arguments are CPML's attributes."""
    # pretrained/apply.py puts the weights into the initialised variables. JSON has lists for tuples.
    parts = {
        name: {k: tuple(v) if isinstance(v, list) else v for k, v in model[name].items() if k != "weights"}
        for name in (*STREAMS, "text_encoder")
    }
    return CPML(
        modalities=tuple(model["modalities"]),
        unified_dim=model["unified_dim"],
        fusion_dropout=model["fusion_dropout"],
        fusion_stage_pool=model["fusion_stage_pool"],
        fusion_projection=model["fusion_projection"],
        fusion_landmarks=model["fusion_landmarks"],
        fusion_wiring=model["fusion_wiring"],
        head=model["head"],
        temperature=model["temperature"],
        streams={name: parts[name] for name in STREAMS},
        text=parts["text_encoder"],
        vocab_size=vocab_size,
        classes=classes,
        context_words=tuple(context_words),
        projections=tuple(projections),
        dtype=jnp.dtype(dtype),
    )
