"""CLIP's text encoder and the class embeddings, as cpml_jax/models has them, fine-tuned."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Attention(nn.Module):
    """Causal multi-head self-attention with biases."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.q_proj, self.k_proj, self.v_proj, self.out_proj = (nn.Linear(width, width) for _ in range(4))

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (
            project(x).unflatten(2, (self.heads, -1)).transpose(1, 2)
            for project in (self.q_proj, self.k_proj, self.v_proj)
        )
        return self.out_proj(F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).flatten(2))


class Layer(nn.Module):
    """Pre-norm attention and MLP, quick-GELU."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.layer_norm1, self.layer_norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.self_attn = Attention(width, heads)
        self.fc1, self.fc2 = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.self_attn(self.layer_norm1(x))
        y = self.fc1(self.layer_norm2(x))
        return x + self.fc2(y * torch.sigmoid(1.702 * y))


class TextEncoder(nn.Module):
    """(N, L) tokens, the end's the largest -> (N, projection) float32, not normalised."""

    def __init__(
        self, vocab_size: int, context_length: int, width: int, layers: int, heads: int, projection: int
    ) -> None:
        super().__init__()
        self.layers = layers
        self.token_embedding = nn.Embedding(vocab_size, width)
        self.position_embedding = nn.Parameter(torch.zeros(context_length, width))
        for i in range(layers):
            self.add_module(f"layer_{i}", Layer(width, heads))
        self.final_layer_norm = nn.LayerNorm(width)
        self.projection = nn.Linear(width, projection, bias=False)

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.token_embedding(tokens) + self.position_embedding[: tokens.shape[1]]
        for i in range(self.layers):
            x = self.get_submodule(f"layer_{i}")(x)
        end = x[torch.arange(len(x), device=x.device), tokens.argmax(dim=-1)]
        return self.projection(self.final_layer_norm(end)).float()


def unit(x: Tensor) -> Tensor:
    """x / |x| over the last axis, float32; a zero vector stays zero."""
    x = x.float()
    return x * x.square().sum(-1, keepdim=True).clamp(min=1e-12).rsqrt()
