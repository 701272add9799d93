"""Fusion of the streams into the unified feature u (docs/method.md, Fusion and score)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from cpml_jax.models.physformer import TIME_PATCH

STAGE_POOLS = ("flatten", "mean", "global")
LANDMARKS = ("crossed", "beside")
WIRINGS = ("specified", "released")
# Shares at the start where landmarks stand beside the joint vector: this and the recurrent network's features are wide,
# and memorise 32 people (configs/synthetic.py has the figures).
_JOINT_SHARE, _LANDMARK_SHARE = 0.03, 0.3
# Of the measured numbers, which differ between clips by 0.5 (agreement), 0.1 (spectrum) and 1 (contrast, texture).
_AGREEMENT_SHARE, _SPECTRUM_SHARE, _CONTRAST_SHARE, _TEXTURE_SHARE = 3.0, 8.0, 0.5, 0.5
# And of the pulse's series without landmarks, where agreement stands beside it: a linear map of a wave of any phase is
# noise, and memorises likewise.
_SERIES_SHARE = 0.1


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
    """

    stage_pool: str
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(
        self, wave: Float[Array, "N T"], stages: Sequence[Float[Array, "N tokens dim"]]
    ) -> Float[Array, "N T"]:
        """tokens: T/4 * H * W."""
        steps = wave.shape[1] // TIME_PATCH
        features = jnp.concatenate([self.pooled(stage, steps) for stage in stages[-2:]], axis=1)
        if self.stage_pool == "global":
            features = nn.LayerNorm(dtype=jnp.float32, name="norm")(features)
        # The losses see the wave through Pearson alone, which leaves its amplitude free to drift: z-scored here.
        wave = wave - wave.mean(axis=1, keepdims=True)
        wave = wave * jax.lax.rsqrt((wave * wave).mean(axis=1, keepdims=True) + 1e-6)
        mapped = nn.Dense(wave.shape[1], dtype=self.dtype, name="stages")(features)
        return wave + mapped.astype(jnp.float32)

    def pooled(self, stage: Float[Array, "N tokens dim"], steps: int) -> Float[Array, "N values"]:
        """tokens: steps * H * W."""
        n, _, dim = stage.shape
        if self.stage_pool == "flatten":
            return stage.reshape(n, -1)
        series = stage.astype(jnp.float32).reshape(n, steps, -1, dim)
        if self.stage_pool == "mean":
            return series.mean(axis=2).reshape(n, -1)
        # Inside the root: a clip without any change has no finite gradient at 0 without it.
        deviation = jnp.sqrt(series.var(axis=1) + 1e-6).mean(axis=1)
        return jnp.concatenate([series.mean(axis=(1, 2)), deviation], axis=-1)


def torch_start(fan_in: int) -> nn.initializers.Initializer:
    """torch's random start of a Linear layer, of its kernel and its bias: uniform within +-1 / sqrt(fan_in)."""
    bound = fan_in**-0.5
    return lambda key, shape, dtype=jnp.float32: jax.random.uniform(key, shape, dtype, -bound, bound)


def torch_linear(features: int, fan_in: int, dtype: DTypeLike, name: str) -> nn.Dense:
    """A linear layer that starts as torch's does."""
    start = torch_start(fan_in)
    return nn.Dense(features, dtype=dtype, kernel_init=start, bias_init=start, name=name)


class ReleasedCrossAttention(nn.Module):
    """The joint vector as the authors' code computes it, for their checkpoints; the parameters are CrossAttention's.

    Three things differ from what is specified: the wave enters alone and as it is, neither z-scored nor with the
    stage features; the two keys (2, F) are reshaped, not transposed, to (F, 2), which mixes them; and the products of
    query and keys are not scaled.
    """

    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, wave: Float[Array, "N T"], z_land: Float[Array, "N F"]) -> Float[Array, "N 2*F"]:
        n, length = wave.shape
        width = z_land.shape[-1]
        halves = wave.reshape(n, 2, length // 2)
        z_rppg = torch_linear(2, length // 2, self.dtype, "pulse")(halves)
        keys = torch_linear(width, 2, self.dtype, "keys")(z_rppg).reshape(n, width, 2)
        queries = torch_linear(width, width, self.dtype, "queries")(z_land)
        logits = jnp.einsum("nf,nfk->nk", queries, keys, preferred_element_type=jnp.float32)
        weights = jax.nn.softmax(logits, axis=-1).astype(self.dtype)
        attended = jnp.einsum("nk,nkv->nv", weights, z_rppg)
        return jnp.einsum("nf,nv->nfv", z_land, attended).reshape(n, 2 * width)


class CrossAttention(nn.Module):
    """Pulse and landmark features -> their joint vector.

    z_rppg (N, 2, 2): the series, stacked as 2 x T/2, through one linear map T/2 -> 2. Queries from z_land, keys
    from z_rppg, both as wide as z_land; softmax of the two scaled products; the attended 2-vector is the so weighted
    sum of z_rppg's two rows, and is outer-multiplied with z_land.
    """

    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, series: Float[Array, "N T"], z_land: Float[Array, "N F"]) -> Float[Array, "N 2*F"]:
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


def split(given: Any) -> tuple[Any, ...]:
    """A stream's features, None if there are none, and the numbers that stand beside them, if it has any."""
    return given if isinstance(given, tuple) else (given,)


class Fusion(nn.Module):
    """Any non-empty subset of the streams -> u.

    Pulse and landmarks together become CrossAttention's vector; alone, the pulse gives its series (T values) and the
    landmarks their features. With landmarks "beside", these stand beside the joint vector too, which is normalised and
    damped then; "crossed", the reference, has them inside it alone. Any other stream's features follow, then dropout;
    then what the streams measured (agreement, spectrum, contrast, texture), without dropout: there are few such
    numbers, and to lose one in five of them costs more than they memorise. All of it is concatenated, and goes through
    one linear map to unified_dim; or none (projection "none": u is as wide as the parts together). With wiring
    "released" pulse and landmarks, both of them, meet in ReleasedCrossAttention instead.
    """

    unified_dim: int
    dropout: float
    stage_pool: str
    projection: str
    landmarks: str = "crossed"
    dtype: DTypeLike = jnp.float32
    wiring: str = "specified"

    @nn.compact
    def __call__(self, fused: Mapping[str, Any], *, train: bool) -> Float[Array, "N D"]:
        """fused: stream -> features (N, F); of rppg (wave (N, T), stages) and, where it has them, its agreement's
        numbers (N, F); of landmarks also (features, spectrum); of visual also (features or None, contrast);
        of texture its numbers alone.

        Returns u (N, unified_dim) float32.
        """
        fused = dict(fused)
        pulse = fused.pop("rppg", None)
        landmarks, *spectra = split(fused.pop("landmarks", None))
        embedding, *contrasts = split(fused.pop("visual", None))
        textures = [fused.pop("texture")] if "texture" in fused else []
        features, agreements = [], []
        if pulse is not None:
            wave, stages, *agreements = pulse
            if self.wiring == "released":
                features.append(ReleasedCrossAttention(self.dtype, name="cross_attention")(wave, landmarks))
            else:
                alone = _SERIES_SHARE if agreements else 1.0
                features += self.specified(wave, stages, landmarks, alone)
        elif landmarks is not None:
            features.append(landmarks)
        features += [embedding] * (embedding is not None) + list(fused.values())
        parts = [_AGREEMENT_SHARE * numbers for numbers in agreements]
        parts += [_SPECTRUM_SHARE * numbers for numbers in spectra]
        parts += [_CONTRAST_SHARE * numbers for numbers in contrasts]
        parts += [_TEXTURE_SHARE * numbers for numbers in textures]
        if features:
            together = jnp.concatenate([feature.astype(self.dtype) for feature in features], axis=-1)
            parts = [nn.Dropout(self.dropout, deterministic=not train)(together), *parts]
        x = jnp.concatenate([part.astype(self.dtype) for part in parts], axis=-1)
        if self.projection == "linear":
            if self.wiring == "released":
                out = torch_linear(self.unified_dim, x.shape[-1], self.dtype, "out")
            else:
                out = nn.Dense(self.unified_dim, dtype=self.dtype, name="out")
            x = out(x)
        return x.astype(jnp.float32)

    def specified(
        self,
        wave: Float[Array, "N T"],
        stages: Sequence[Float[Array, "N tokens dim"]],
        landmarks: Float[Array, "N F"] | None,
        alone: float,
    ) -> list[jax.Array]:
        """The parts that pulse and landmarks, where there are any, give together; alone: the series' share without."""
        series = PulseTokens(self.stage_pool, self.dtype, name="series")(wave, stages)
        if landmarks is None:
            return [alone * series]
        joint = CrossAttention(self.dtype, name="cross_attention")(series, landmarks)
        if self.landmarks == "beside":
            joint = nn.LayerNorm(dtype=jnp.float32, name="joint_norm")(joint)
            return [_JOINT_SHARE * joint, _LANDMARK_SHARE * landmarks]
        return [joint]
