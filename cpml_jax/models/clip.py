"""CLIP's two encoders (Radford et al., ICML 2021), with the numerics of the published weights.

Pre-norm transformers with quick-GELU (some later weights: GELU) and layer-norm epsilon 1e-5. Parameters are float32;
layer norms compute in float32, and the embeddings come out as float32.
"""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int

normal = nn.initializers.normal


def quick_gelu(x: Float[Array, "*any"]) -> Float[Array, "*any"]:
    return x * nn.sigmoid(1.702 * x)


ACTIVATIONS = {"quick_gelu": quick_gelu, "gelu": partial(nn.gelu, approximate=False)}


class Attention(nn.Module):
    """Multi-head self-attention with biases; causal on request."""

    heads: int
    layers: int  # of the whole encoder: CLIP's start scales what is added to the residual by (2 layers)^-1/2
    causal: bool
    dtype: DTypeLike

    @nn.compact
    def __call__(self, x: Float[Array, "N L W"]) -> Float[Array, "N L W"]:
        n, length, width = x.shape
        inner = normal(width**-0.5)
        outer = normal(width**-0.5 * (2 * self.layers) ** -0.5)

        def project(name, init=inner):
            return nn.Dense(width, dtype=self.dtype, kernel_init=init, name=name)

        def split(a):
            return a.reshape(n, length, self.heads, width // self.heads)

        q, k, v = (split(project(name)(x)) for name in ("q_proj", "k_proj", "v_proj"))
        scale = (width // self.heads) ** -0.5
        logits = jnp.einsum("nqhd,nkhd->nhqk", q * scale, k, preferred_element_type=jnp.float32)
        if self.causal:
            past = jnp.tril(jnp.ones((length, length), bool))
            logits = jnp.where(past, logits, jnp.finfo(jnp.float32).min)
        weights = jax.nn.softmax(logits, axis=-1).astype(v.dtype)
        y = jnp.einsum("nhqk,nkhd->nqhd", weights, v).reshape(n, length, width)
        return project("out_proj", outer)(y)


class Layer(nn.Module):
    """Layer norm, attention, residual; layer norm, MLP of four times the width, residual."""

    heads: int
    layers: int
    causal: bool
    dtype: DTypeLike
    activation: str = "quick_gelu"

    @nn.compact
    def __call__(self, x: Float[Array, "N L W"]) -> Float[Array, "N L W"]:
        width = x.shape[-1]
        y = nn.LayerNorm(epsilon=1e-5, dtype=self.dtype, name="layer_norm1")(x)
        x = x + Attention(self.heads, self.layers, self.causal, self.dtype, name="self_attn")(y)
        y = nn.LayerNorm(epsilon=1e-5, dtype=self.dtype, name="layer_norm2")(x)
        y = nn.Dense(4 * width, dtype=self.dtype, kernel_init=normal((2 * width) ** -0.5), name="fc1")(y)
        outer = normal(width**-0.5 * (2 * self.layers) ** -0.5)
        return x + nn.Dense(width, dtype=self.dtype, kernel_init=outer, name="fc2")(ACTIVATIONS[self.activation](y))


class TextEncoder(nn.Module):
    """Tokens -> embeddings, not normalised.

    Attributes:
      vocab_size: the end token has its largest id, as CLIP's has; it also pads.
      context_length: length of the position table.
      width, layers, heads: of the transformer (ViT-B/16's: 512, 12, 8).
      projection: width of the result.
      activation: of the MLPs, a name of ACTIVATIONS.
    """

    vocab_size: int
    context_length: int
    width: int
    layers: int
    heads: int
    projection: int
    activation: str = "quick_gelu"
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(
        self,
        tokens: Int[Array, "N L"],
        context: Float[Array, "M {self.width}"] | Float[Array, "N M {self.width}"] | None = None,
    ) -> Float[Array, "N {self.projection}"]:
        """Embed prompts.

        Args:
          tokens: (N, L) int32: start, words, end, end as padding; L <= context_length.
          context: learned vectors put after the start token (CoOp, Zhou et al., IJCV 2022): (M, W), or (N, M, W) for
            each prompt its own. Padding makes room for them: the prompt's end must come before L - M.

        Returns:
          (N, projection) float32: the end token's state, projected.

        Raises:
          ValueError: the prompts are longer than the position table.
        """
        n, length = tokens.shape
        if length > self.context_length:
            raise ValueError(f"prompts of {length} tokens; text_encoder.context_length is {self.context_length}")
        table = nn.Embed(self.vocab_size, self.width, embedding_init=normal(0.02), name="token_embedding")
        x = table(tokens)
        # The end has the largest id; of equal ids argmax gives the first, so padding by the end token is harmless.
        end = tokens.argmax(axis=-1)
        if context is not None:
            inserted = jnp.broadcast_to(context, (n, *context.shape[-2:])).astype(x.dtype)
            x = jnp.concatenate([x[:, :1], inserted, x[:, 1:]], axis=1)[:, :length]
            end = jnp.minimum(end + context.shape[-2], length - 1)
        position = self.param("position_embedding", normal(0.01), (self.context_length, self.width), jnp.float32)
        x = (x + position[:length]).astype(self.dtype)
        for i in range(self.layers):
            x = Layer(self.heads, self.layers, True, self.dtype, self.activation, name=f"layer_{i}")(x)
        # Only the end token is used, so only it is normalised: the same numbers.
        x = jnp.take_along_axis(x, end[:, None, None], axis=1)[:, 0]
        x = nn.LayerNorm(epsilon=1e-5, dtype=self.dtype, name="final_layer_norm")(x)
        out = nn.Dense(
            self.projection, use_bias=False, dtype=self.dtype, kernel_init=normal(self.width**-0.5), name="projection"
        )
        return out(x).astype(jnp.float32)


class ImageEncoder(nn.Module):
    """Images -> embeddings, not normalised (ViT with a class token).

    Attributes:
      patch: pixels of a square patch.
      width, layers, heads: of the transformer (ViT-B/16's: 768, 12, 12).
      projection: width of the result.
      activation: of the MLPs, a name of ACTIVATIONS.
    """

    patch: int
    width: int
    layers: int
    heads: int
    projection: int
    activation: str = "quick_gelu"
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, images: Float[Array, "N height width 3"]) -> Float[Array, "N {self.projection}"]:
        """images: CLIP-normalised, their sides multiples of patch."""
        n, height, width, _ = images.shape
        if height % self.patch or width % self.patch:
            raise ValueError(f"images of {height}x{width} pixels are no multiple of visual.patch={self.patch}")
        rows, columns = height // self.patch, width // self.patch
        x = images.astype(self.dtype).reshape(n, rows, self.patch, columns, self.patch, 3)
        x = x.transpose(0, 1, 3, 2, 4, 5).reshape(n, rows * columns, self.patch * self.patch * 3)
        x = nn.Dense(self.width, use_bias=False, dtype=self.dtype, kernel_init=normal(0.02), name="patch_embedding")(x)
        start = normal(self.width**-0.5)
        token = self.param("class_embedding", start, (self.width,), jnp.float32).astype(self.dtype)
        x = jnp.concatenate([jnp.broadcast_to(token, (n, 1, self.width)), x], axis=1)
        x += self.param("position_embedding", start, (x.shape[1], self.width), jnp.float32).astype(self.dtype)
        x = nn.LayerNorm(epsilon=1e-5, dtype=self.dtype, name="pre_layer_norm")(x)
        for i in range(self.layers):
            x = Layer(self.heads, self.layers, False, self.dtype, self.activation, name=f"layer_{i}")(x)
        x = nn.LayerNorm(epsilon=1e-5, dtype=self.dtype, name="post_layer_norm")(x[:, 0])
        out = nn.Dense(self.projection, use_bias=False, dtype=self.dtype, kernel_init=start, name="projection")
        return out(x).astype(jnp.float32)
