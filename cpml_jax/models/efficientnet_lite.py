"""EfficientNet-Lite0's convolutional stages (Tan and Le, ICML 2019; the Lite variant: Google, 2020).

MBConv blocks without squeeze-and-excitation, ReLU6 in place of Swish, stem and head of fixed width; TensorFlow's "SAME"
padding, which at stride 2 pads more at the end than at the start. The classifier, and the 1x1 convolution to 1,280
channels before it, are left out: nothing here reads them.

Batch norms use their running statistics in training too, and never change them ("frozen batch norm"): what ImageNet
gave is a better estimate than a batch of 8 clips of a few people, and a clip's numbers do not depend on its neighbours
in the batch. Scale and bias can be trained.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from cpml_jax.models.convolution import depthwise2d

EPSILON = 1e-3  # of batch norm, as TensorFlow's model has it
STEM = 32  # channels
EXPANSION = 6  # of every stage but the first, which has none


class Stage(NamedTuple):
    """Blocks of one shape; the first of them has the stride."""

    blocks: int
    kernel: int
    stride: int
    channels: int


STAGES = (
    Stage(1, 3, 1, 16),
    Stage(2, 3, 2, 24),
    Stage(2, 5, 2, 40),
    Stage(3, 3, 2, 80),
    Stage(3, 5, 1, 112),
    Stage(4, 5, 2, 192),
    Stage(1, 3, 1, 320),
)
# The stages whose outputs are read: the last at each of the five scales, 1/2 to 1/32 of the image.
READ = tuple(i for i in range(len(STAGES)) if i + 1 == len(STAGES) or STAGES[i + 1].stride == 2)
FEATURES = 2 * sum(STAGES[i].channels for i in READ)  # of an image: 1,024


class FrozenBatchNorm(nn.Module):
    """(x - mean) / sqrt(var + EPSILON) * scale + bias, with running statistics that nothing here changes."""

    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "*rest C"]) -> Float[Array, "*rest C"]:
        shape = x.shape[-1:]
        scale = self.param("scale", nn.initializers.ones, shape, jnp.float32)
        bias = self.param("bias", nn.initializers.zeros, shape, jnp.float32)
        mean = self.variable("batch_stats", "mean", jnp.zeros, shape, jnp.float32).value
        var = self.variable("batch_stats", "var", jnp.ones, shape, jnp.float32).value
        slope = scale * jax.lax.rsqrt(var + EPSILON)
        return x * slope.astype(self.dtype) + (bias - mean * slope).astype(self.dtype)


class Pointwise(nn.Module):
    """A 1x1 convolution, as the matrix product that it is, and its batch norm."""

    channels: int
    gain: float  # of the random start's variance: 2 before ReLU6, 1 where nothing follows
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "N H W C"]) -> Float[Array, "N H W {self.channels}"]:
        start = nn.initializers.variance_scaling(self.gain, "fan_in", "truncated_normal")
        x = nn.Dense(self.channels, use_bias=False, dtype=self.dtype, kernel_init=start, name="conv")(x)
        return FrozenBatchNorm(self.dtype, name="norm")(x)


class Depthwise(nn.Module):
    """One filter a channel, and its batch norm."""

    size: int
    stride: int
    dtype: DTypeLike = jnp.float32
    form: str | None = None

    @nn.compact
    def __call__(self, x: Float[Array, "N H W C"]) -> Float[Array, "N h w C"]:
        """h = ceil(H / stride), w likewise."""
        shape = (self.size, self.size, x.shape[-1])
        start = nn.initializers.truncated_normal((2.0 / self.size**2) ** 0.5)
        kernel = self.param("kernel", start, shape, jnp.float32)
        x = depthwise2d(x, kernel.astype(self.dtype), self.stride, self.form)
        return FrozenBatchNorm(self.dtype, name="norm")(x)


class Block(nn.Module):
    """MBConv: widen, filter each channel, narrow; the input is added where shapes allow it."""

    channels: int
    kernel: int
    stride: int
    expansion: int
    dtype: DTypeLike = jnp.float32
    form: str | None = None

    @nn.compact
    def __call__(self, x: Float[Array, "N H W C"]) -> Float[Array, "N h w {self.channels}"]:
        y, width = x, x.shape[-1] * self.expansion
        if self.expansion > 1:
            y = nn.relu6(Pointwise(width, 2.0, self.dtype, name="expand")(y))
        y = nn.relu6(Depthwise(self.kernel, self.stride, self.dtype, self.form, name="depthwise")(y))
        y = Pointwise(self.channels, 1.0, self.dtype, name="project")(y)
        return x + y if y.shape == x.shape else y


class Stem(nn.Module):
    """A 3x3 convolution of stride 2 from RGB, its batch norm, and ReLU6."""

    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "N H W 3"]) -> Float[Array, "N h w C"]:
        start = nn.initializers.variance_scaling(2.0, "fan_in", "truncated_normal")
        conv = nn.Conv(STEM, (3, 3), (2, 2), "SAME", use_bias=False, dtype=self.dtype, kernel_init=start, name="conv")
        return nn.relu6(FrozenBatchNorm(self.dtype, name="norm")(conv(x)))


class EfficientNetLite0(nn.Module):
    """Images -> the outputs of the stages of READ, finest first.

    Attributes:
      form: of the depthwise convolutions (convolution.py).
    """

    dtype: DTypeLike = jnp.float32
    form: str | None = None

    @nn.compact
    def __call__(self, images: Float[Array, "N H W 3"]) -> tuple[jax.Array, ...]:
        """images: (N, H, W, 3) as its weights expect them (IMAGE_MEAN, IMAGE_STD of visual.py).

        Returns:
          Five arrays (N, h, w, channels) of the compute dtype; h = H / 2, H / 4, ..., H / 32, rounded up.
        """
        x = Stem(self.dtype, name="stem")(images.astype(self.dtype))
        outputs: list[Any] = []
        number = 0
        for i, stage in enumerate(STAGES):
            for block in range(stage.blocks):
                stride = stage.stride if block == 0 else 1
                expansion = EXPANSION if i else 1
                x = Block(
                    stage.channels, stage.kernel, stride, expansion, self.dtype, self.form, name=f"block_{number}"
                )(x)
                number += 1
            if i in READ:
                outputs.append(x)
        return tuple(outputs)


def pooled(stages: tuple[jax.Array, ...]) -> Float[Array, "N F"]:
    """Mean and standard deviation over space of every channel of every stage: (N, FEATURES) float32."""
    numbers = []
    for stage in stages:
        x = stage.astype(jnp.float32)
        # Inside the root: a channel that is flat has no finite gradient at 0 without it.
        numbers += [x.mean(axis=(1, 2)), jnp.sqrt(x.var(axis=(1, 2)) + 1e-6)]
    return jnp.concatenate(numbers, axis=-1)
