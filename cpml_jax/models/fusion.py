"""Fusion of the streams into the unified feature u (docs/method.md, Fusion and score)."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from flax import linen as nn

MODALITIES = ("rppg", "landmarks", "visual")
STAGE_POOLS = ("flatten", "mean", "global")


class PulseTokens(nn.Module):
    """The pulse stream's series: the wave plus a linear map of the stage features to the wave's length.

    "The wave and a linear map of the stage features to 160, stacked as 2x80" (docs/method.md) holds 160 values, so wave
    and map are *summed* before they are stacked. The stage features are those of the last two stages, tokens
    concatenated: at full size 2 * 640 * 96 = 122 880 values -> 160.

    Attributes:
      stage_pool: flatten: all values, as the reference. mean: the mean over space first, T/4 * dim values a stage:
        16 times fewer weights at full size, far better conditioned on few clips. global: each token's mean and
        standard deviation over time, averaged over space and layer-normalised, 2 * dim values a stage: blind to the
        pulse's phase, which says nothing about the class, but not to its strength.
      grid: height * width of the token grid.
    """

    grid: int
    stage_pool: str = "flatten"
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, wave: jax.Array, stages: tuple[jax.Array, ...]) -> jax.Array:
        """wave (N, T), stages: each (N, T/4 * grid, dim). Returns (N, T) float32."""
        if self.stage_pool not in STAGE_POOLS:
            raise ValueError(f"model.fusion_stage_pool={self.stage_pool!r}; it is one of {STAGE_POOLS}")
        features = jnp.concatenate([self.pooled(stage) for stage in stages[-2:]], axis=1)
        if self.stage_pool == "global":
            features = nn.LayerNorm(dtype=jnp.float32, name="norm")(features)
        # The losses see the wave through Pearson alone, which leaves its amplitude free to drift: z-scored here.
        wave = wave - wave.mean(axis=1, keepdims=True)
        wave = wave * jax.lax.rsqrt((wave * wave).mean(axis=1, keepdims=True) + 1e-6)
        mapped = nn.Dense(wave.shape[1], dtype=self.dtype, name="stages")(features)
        return wave + mapped.astype(jnp.float32)

    def pooled(self, stage: jax.Array) -> jax.Array:
        """(N, T/4 * grid, dim) -> (N, values)."""
        n, tokens, dim = stage.shape
        if self.stage_pool == "flatten":
            return stage.reshape(n, -1)
        series = stage.astype(jnp.float32).reshape(n, tokens // self.grid, self.grid, dim)
        if self.stage_pool == "mean":
            return series.mean(axis=2).reshape(n, -1)
        # Inside the root: a clip without any change has no finite gradient at 0 without it.
        deviation = jnp.sqrt(series.var(axis=1) + 1e-6).mean(axis=1)
        return jnp.concatenate([series.mean(axis=(1, 2)), deviation], axis=-1)


class CrossAttention(nn.Module):
    """Pulse and landmark features -> their joint vector.

    z_rppg (N, 2, 2): the series, stacked as 2 x T/2, through one linear map T/2 -> 2. Queries from z_land, keys
    from z_rppg, both as wide as z_land; softmax of the two scaled products; the attended 2-vector is the so weighted
    sum of z_rppg's two rows, and is outer-multiplied with z_land.
    """

    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, series: jax.Array, z_land: jax.Array) -> jax.Array:
        """series (N, T), z_land (N, F). Returns (N, 2 F)."""
        n, length = series.shape
        width = z_land.shape[-1]
        # z_rppg multiplies z_land: it starts near 1, so that the landmarks pass, and not as a random sign that follows
        # the phase of the pulse.
        start = dict(
            kernel_init=nn.initializers.variance_scaling(0.01, "fan_in", "normal"), bias_init=nn.initializers.ones
        )
        z_rppg = nn.Dense(2, dtype=self.dtype, name="pulse", **start)(series.reshape(n, 2, length // 2))
        keys = nn.Dense(width, dtype=self.dtype, name="keys")(z_rppg)
        queries = nn.Dense(width, dtype=self.dtype, name="queries")(z_land)
        logits = jnp.einsum("nf,nkf->nk", queries, keys, preferred_element_type=jnp.float32) * width**-0.5
        weights = jax.nn.softmax(logits, axis=-1).astype(self.dtype)
        attended = jnp.einsum("nk,nkv->nv", weights, z_rppg)
        return jnp.einsum("nf,nv->nfv", z_land, attended).reshape(n, 2 * width)


class Fusion(nn.Module):
    """Any non-empty subset of the modalities -> u.

    Pulse and landmarks together become CrossAttention's vector; alone, the pulse gives its series (T values) and the
    landmarks their features; the visual stream gives its embedding. What is there is concatenated, then dropout, then
    one linear map to unified_dim; or none (projection "none": u is as wide as what is there).
    """

    unified_dim: int = 512
    dropout: float = 0.5
    grid: int = 16
    stage_pool: str = "flatten"
    dtype: jnp.dtype = jnp.float32
    projection: str = "linear"

    @nn.compact
    def __call__(
        self,
        pulse: tuple[jax.Array, tuple[jax.Array, ...]] | None,
        z_land: jax.Array | None,
        z_visual: jax.Array | None,
        *,
        train: bool,
    ) -> jax.Array:
        """pulse: (wave (N, T), stages); z_land (N, F); z_visual (N, E). Returns u (N, unified_dim) float32."""
        parts = []
        if pulse is not None:
            series = PulseTokens(self.grid, self.stage_pool, self.dtype, name="series")(*pulse)
            if z_land is None:
                parts.append(series)
            else:
                parts.append(CrossAttention(self.dtype, name="cross_attention")(series, z_land))
        elif z_land is not None:
            parts.append(z_land)
        if z_visual is not None:
            parts.append(z_visual)
        x = jnp.concatenate([part.astype(self.dtype) for part in parts], axis=-1)
        x = nn.Dropout(self.dropout, deterministic=not train)(x)
        if self.projection == "linear":
            x = nn.Dense(self.unified_dim, dtype=self.dtype, name="out")(x)
        return x.astype(jnp.float32)
