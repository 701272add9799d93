"""PhysFormer (Yu et al., CVPR 2022): face video -> pulse wave and stage features (docs/method.md, Encoders)."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Num

from cpml_jax.arrays import AnyArray
from cpml_jax.errors import UserError
from cpml_jax.models import conv_pool
from cpml_jax.models.agreement import Agreement
from cpml_jax.models.convolution import Conv3D, PatchEmbedding
from cpml_jax.models.physformer_blocks import Block, run_in_loop, run_in_turn
from cpml_jax.models.resolution import ResolutionViews

STAGES = 3
TIME_PATCH = 4  # the head doubles time twice
INPUT_NORMS = ("center", "temporal", "standardize", "unit")
# (x - mean) / mean of a pulse is 0.3 to 2 %: times 100 it is of order 1, as the noise of 8-bit skin is. Motion at
# an edge reaches 100 % and would rule the batch statistics: cut at 10 %.
TEMPORAL_SCALE = 100.0
TEMPORAL_LIMIT = 10.0
# Black pupils are exactly 0 in every frame after H.264, and near-black noise is no pulse: grey levels, of 255.
TEMPORAL_FLOOR = 16.0
STANDARDIZE_FLOOR = 255e-6  # grey levels; open-rppg adds 1e-6 to the deviation of values in [0, 1]


def normalise(frames: Num[AnyArray, "N T S S 3"], kind: str) -> Float[Array, "N T S S 3"]:
    """Grey levels to network input.

    Args:
      frames: (N, T, S, S, 3) uint8.
      kind: center: (x - 127.5) / 128. temporal: every pixel's relative change from its mean over the clip, in
        per cent, within +-10: (x / mean - 1) * 100, with a floor on the mean. standardize: (x - mean) / std, of
        each colour over the whole clip, as open-rppg's models are trained. unit: x / 255, as CPML's reference.

    Returns:
      (N, T, S, S, 3) float32, finite for any frames.
    """
    x = jnp.asarray(frames, jnp.float32)
    if kind == "center":
        return (x - 127.5) / 128.0
    if kind == "unit":
        return x / 255.0
    if kind == "standardize":
        x = x - mean_over_clip(x)
        return x / (jnp.sqrt(mean_over_clip(x * x)) + STANDARDIZE_FLOOR)
    mean = x.mean(axis=1, keepdims=True)
    change = (x - mean) * (TEMPORAL_SCALE / jnp.maximum(mean, TEMPORAL_FLOOR))
    return jnp.clip(change, -TEMPORAL_LIMIT, TEMPORAL_LIMIT)


def mean_over_clip(x: Float[Array, "N T S S C"]) -> Float[Array, "N 1 1 1 C"]:
    """Mean over axes 1, 2, 3, axis by axis: one float32 sum of a clip's millions of values is off by 1e-4."""
    for axis in (3, 2, 1):
        x = x.mean(axis=axis, keepdims=True)
    return x


class PhysFormer(nn.Module):
    """Pulse wave and stage features of face clips.

    Attributes:
      frame_size: S, pixels of the input.
      dim, ff_dim, blocks, heads, theta, temperature, dropout: docs/method.md, Encoders; blocks come in three stages.
      stem: channels of the stem's convolutions, (1,5,5) first, then (3,3,3), each followed by a max-pool (1,2,2).
      patch: time, height, width of a token, in stem pixels; time 4, because the head doubles it twice.
      input_norm: see normalise.
      pfe_width, pfe_depth: hidden layers of the PFE.
      pfe_views: downsampled: the PFE makes the low-resolution views alone; all: the view as it is given passes it too,
        in training and in evaluation, as in the reference.
      agreement: cells a side of which the two regions are made whose pulses are compared (agreement.py); 0: none,
        as the paper.
      dtype: compute type; parameters, statistics, softmax and the wave are float32.
      form: of the convolutions (convolution.py); None: the platform's.
      looped: whether the blocks run in a loop (physformer_blocks.py); None: if a stage has more than one.
    """

    frame_size: int
    dim: int
    ff_dim: int
    blocks: int
    heads: int
    theta: float
    temperature: float
    dropout: float
    stem: tuple[int, ...]
    patch: tuple[int, int, int]
    input_norm: str
    pfe_width: int
    pfe_depth: int
    agreement: int = 0
    pfe_views: str = "downsampled"
    dtype: DTypeLike = jnp.float32
    form: str | None = None
    looped: bool | None = None

    def check(self) -> None:
        """Raises UserError for hyper-parameters that do not fit together."""
        if self.blocks <= 0 or self.blocks % STAGES:
            raise UserError(f"model.rppg.blocks={self.blocks} must be a positive multiple of {STAGES} (stages)")
        if self.dim % self.heads:
            raise UserError(f"model.rppg.dim={self.dim} must be a multiple of model.rppg.heads={self.heads}")
        if self.dim % 2:
            raise UserError(f"model.rppg.dim={self.dim} must be even: the head halves it")
        if len(self.patch) != 3 or self.patch[0] != TIME_PATCH:
            raise UserError(f"model.rppg.patch={self.patch} must be ({TIME_PATCH}, height, width)")
        if self.agreement and self.frame_size % self.agreement:
            raise UserError(
                f"model.rppg.agreement={self.agreement} must divide model.rppg.frame_size={self.frame_size}: "
                "regions are of whole pixels"
            )
        if self.agreement and self.input_norm != "temporal":
            raise UserError(
                f"model.rppg.agreement={self.agreement} needs model.rppg.input_norm='temporal', not "
                f"{self.input_norm!r}: it compares relative changes of colour"
            )
        pixels = 2 ** len(self.stem)
        for side in self.patch[1:]:
            if self.frame_size % (pixels * side):
                raise UserError(
                    f"model.rppg.frame_size={self.frame_size} must be a multiple of {pixels * side}: "
                    f"{len(self.stem)} poolings by 2 and patches of {side}"
                )

    @property
    def grid(self) -> tuple[int, int]:
        """Height and width of the token grid."""
        side = self.frame_size // 2 ** len(self.stem)
        return side // self.patch[1], side // self.patch[2]

    def __call__(
        self,
        frames: Num[AnyArray, "N T height width 3"],
        *,
        train: bool,
        downsampled: tuple[str, ...] = (),
        views: int = 1,
    ) -> tuple[Float[Array, "NV T"], tuple[Float[Array, "NV tokens dim"], ...]]:
        """The first two of `encode`."""
        return self.encode(frames, train=train, downsampled=downsampled, views=views)[:2]

    @nn.compact
    def encode(
        self,
        frames: Num[AnyArray, "N T height width 3"],
        *,
        train: bool,
        downsampled: tuple[str, ...] = (),
        views: int = 1,
    ) -> tuple[Float[Array, "NV T"], tuple[Float[Array, "NV tokens dim"], ...], Float[Array, "NV 3"] | None]:
        """Encode clips, and with `downsampled` also their low-resolution views, as one batch.

        Args:
          frames: (N, T, S, S, 3) uint8, T a multiple of 4 (float32 for a gradient).
          train: batch statistics of this batch, and dropout.
          downsampled: of "half", "quarter"; V' = 1 + their number.
          views: recorded views of a clip among the frames, N = clips * views in this order; 1 with downsampled.

        Returns:
          wave (N*V', T) float32; three stage features (N*V', T/4 * H * W, dim); Agreement's numbers, or
          None without it. Rows are in (N, V') order.

        Raises:
          ValueError: the frames do not fit the configuration.
        """
        n, t, height, width, _ = frames.shape
        if (height, width) != (self.frame_size, self.frame_size):
            raise ValueError(f"rppg.frame_size={self.frame_size}, but the frames are {height}x{width}")
        if t % TIME_PATCH:
            raise ValueError(f"clips of {t} frames: the number of frames must be a multiple of {TIME_PATCH}")
        x = normalise(frames, self.input_norm).astype(self.dtype)
        if downsampled or self.pfe_views == "all":
            made = ResolutionViews(
                self.frame_size, self.pfe_width, self.pfe_depth, self.dtype, self.form, self.pfe_views, name="views"
            )
            x = made(x, downsampled, train=train).reshape(-1, *x.shape[1:])
            views *= 1 + len(downsampled)
        seen = x
        x = self.tokens(x, train)
        after = self.run_blocks(x, train, views)
        stages = [y.reshape(y.shape[0], -1, self.dim) for y in after]
        x = after[-1]
        wave = self.head(x, train)
        agreement = Agreement(self.agreement, name="agreement")(seen, wave) if self.agreement else None
        return wave, tuple(stages), agreement

    def tokens(self, x: Float[Array, "N T S S 3"], train: bool) -> Float[Array, "N T4 H W dim"]:
        sizes = [(1, 5, 5)] + [(3, 3, 3)] * (len(self.stem) - 1)
        channels = (x.shape[-1], *self.stem[:-1])
        stem = [
            conv_pool.ConvPool(*layer, name=f"stem{i}")
            for i, layer in enumerate(zip(channels, self.stem, sizes, strict=True))
        ]
        x = conv_pool.run(stem, x, train=train, dtype=self.dtype, form=self.form)
        return PatchEmbedding(self.dim, self.patch, self.dtype, self.form, name="patch")(x)

    def run_blocks(self, x: Float[Array, "N T4 H W dim"], train: bool, views: int) -> list[jax.Array]:
        """What comes out of the last block of each stage, shapes of x."""
        length = self.blocks // STAGES
        block = Block(
            self.dim, self.ff_dim, self.heads, self.theta, self.temperature, self.dropout, self.dtype, self.form,
            parent=None,
        )  # fmt: skip
        names = [f"stage{stage}_block{i}" for stage in range(STAGES) for i in range(length)]
        looped = length > 1 if self.looped is None else self.looped
        # A block's variables come to be when it is called by itself.
        run = run_in_loop if looped and not self.is_initializing() else run_in_turn
        return run(self, names, block, x, train=train, views=views)[length - 1 :: length]

    def head(self, x: Float[Array, "N T4 H W dim"], train: bool) -> Float[Array, "N T"]:
        """The wave; T4 is T / 4."""
        for i, features in enumerate((self.dim, self.dim // 2)):
            x = jnp.repeat(x, 2, axis=1)
            x = Conv3D(features, (3, 1, 1), dtype=self.dtype, form=self.form, name=f"up{i}")(x)
            x = nn.BatchNorm(use_running_average=not train, momentum=0.9, dtype=self.dtype, name=f"up{i}_norm")(x)
            x = nn.elu(x)
        x = x.astype(jnp.float32).mean(axis=(2, 3))
        return nn.Dense(1, name="wave")(x)[..., 0]
