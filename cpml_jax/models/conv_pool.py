"""Layers of convolution, batch norm, ReLU and max-pool (1,2,2), in the form that the target is fast at.

folded: for CPUs; each layer as convolution_cpu.py and with the four pixels of a cell side by side.
direct: XLA's own convolutions, the pool on images.
packed: for TPUs (convolution_tpu.py), where the pixels of a cell lie side by side in the lanes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import lax
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from cpml_jax.arrays import AnyArray
from cpml_jax.models import convolution_cpu, convolution_tpu
from cpml_jax.models.convolution import in_form, initializer, plain_conv3d
from cpml_jax.models.pooled_norm import Moments, NormWeights, Pixels, extremes_and_sums, moments_of, normalised


class Layer(NamedTuple):
    """What one layer computes with; all float32.

    kernel (kt, kh, kw, C, D), bias (D,): of the convolution. scale, offset (D,): of the batch norm.
    """

    kernel: jax.Array
    bias: jax.Array
    scale: jax.Array
    offset: jax.Array


Given = tuple[Moments, ...] | None  # each layer's running moments; None: the batch's own


def conv_pools(
    x: Float[Array, "N T H W C"], layers: Sequence[Layer], given: Given, form: str | None = None
) -> tuple[Float[Array, "N T h w D"], tuple[Moments, ...]]:
    """The layers, one after the other.

    Args:
      x: (N, T, H, W, C); its dtype is computed in. 2^layers divides H and W.
      layers: see Layer.
      given: mean and variance of each layer's convolution to normalise by; None: those of x, all rows together.
      form: folded, direct or packed; None: the platform's.

    Returns:
      (N, T, H / 2^layers, W / 2^layers, D), dtype of x; the moments that were used, float32.
    """
    kernels = [layer.kernel.shape for layer in layers]
    packed = _packed if convolution_tpu.can_pack(x.shape, kernels) else _direct
    return in_form(form, _folded, _direct, x, tuple(layers), given, packed=packed)


Pooled = Callable[[jax.Array], tuple[jax.Array, jax.Array, jax.Array]]  # x -> one of four pixels; sums; of squares


def _one_by_one(
    convolve: Callable[[jax.Array, jax.Array], jax.Array],
    pixels: Pixels,
    split: Callable[[Pooled, jax.Array, bool], tuple[jax.Array, jax.Array, jax.Array]],
    x: jax.Array,
    layers: Sequence[Layer],
    given: Given,
) -> tuple[jax.Array, tuple[Moments, ...]]:
    used = []
    for i, layer in enumerate(layers):

        def pooled(x: jax.Array, layer: Layer = layer) -> tuple[jax.Array, jax.Array, jax.Array]:
            y = convolve(x, layer.kernel.astype(x.dtype)) + layer.bias.astype(x.dtype)
            return extremes_and_sums(y, layer.scale >= 0, None, pixels)

        count = math.prod(x.shape[:-1])
        extreme, sums, squares = split(pooled, x, layer.kernel.shape[0] == 1)
        used.append(moments_of(sums, squares, count) if given is None else given[i])
        x = normalised(extreme, used[-1], layer.scale, layer.offset)
    return x, tuple(used)


def in_parts(
    pooled: Pooled, x: Float[Array, "N T H W C"], of_frames: bool
) -> tuple[Float[Array, "N T h w D"], Float[Array, " D"], Float[Array, " D"]]:
    """`pooled` of one part of the frames after the other; what it computes is computed again for the gradient.

    Args:
      of_frames: each frame is convolved by itself; if not, all are taken at once, and what is computed is kept.
    """
    if not of_frames or x.shape[1] % _PARTS:
        return pooled(x)
    length = x.shape[1] // _PARTS

    @partial(jax.checkpoint, prevent_cse=False)
    def step(_: None, start: jax.Array) -> tuple[None, tuple[jax.Array, jax.Array, jax.Array]]:
        return None, pooled(lax.dynamic_slice_in_dim(x, start, length, axis=1))

    _, (extreme, sums, squares) = lax.scan(step, None, jnp.arange(_PARTS) * length)
    extreme = jnp.moveaxis(extreme, 0, 1)
    return extreme.reshape(x.shape[0], -1, *extreme.shape[3:]), sums.sum(axis=0), squares.sum(axis=0)


def in_rows(
    pooled: Pooled, x: Float[Array, "N T H W C"], of_frames: bool
) -> tuple[Float[Array, "N T h w D"], Float[Array, " D"], Float[Array, " D"]]:
    """`pooled` of one large clip after the other, small ones together. What lies between is there of one clip alone."""
    if not isinstance(x.shape[0], int) or x.shape[0] == 1 or math.prod(x.shape[1:]) < _LARGE:
        return pooled(x)

    def step(_: None, row: jax.Array) -> tuple[None, tuple[jax.Array, jax.Array, jax.Array]]:
        return None, pooled(row[None])

    _, (extreme, sums, squares) = lax.scan(step, None, x)
    return extreme[:, 0], sums.sum(axis=0), squares.sum(axis=0)


# A GPU's largest array is the first convolution's result, 8 GB of 32 pairs: never there at once.
_PARTS = 4
# Numbers of a clip. The step of configs/synthetic.py:full, two clips of two views (clips of 7.9 million), on two cores:
# 7.0 GB at most instead of 12.5, 25 CPU s instead of 26. The default's clips have 98,000.
_LARGE = 1 << 20
_folded = partial(_one_by_one, convolution_cpu.conv3d_in_cells, Pixels.TOGETHER, in_rows)
_direct = partial(_one_by_one, plain_conv3d, Pixels.APART, in_parts)


def _packed(x: jax.Array, layers: Sequence[Layer], given: Given) -> tuple[jax.Array, tuple[Moments, ...]]:
    """The first two layers without an image between them, the others each from image to image."""
    used = []
    count = x.size // x.shape[-1]
    for i, layer in enumerate(layers):
        plan = convolution_tpu.PLANS[min(i, 2)]
        features = layer.scale.shape[0]
        y = plan.convolve(x, layer.kernel.astype(x.dtype)) + jnp.tile(layer.bias.astype(x.dtype), 4 * plan.cells)
        scale, offset = (jnp.tile(a, plan.cells) for a in (layer.scale, layer.offset))
        counted = convolution_tpu.inside(y.shape[2:4], features) if plan.overhangs else None
        wide = None if counted is None else jnp.concatenate([counted] * 4, axis=-1)
        extreme, *sums = extremes_and_sums(y, scale >= 0, wide, Pixels.IN_LANES)
        total, squares = (a.reshape(-1, features).sum(axis=0) for a in sums)
        used.append(moments_of(total, squares, count) if given is None else given[i])
        mean, var = (jnp.tile(a, plan.cells) for a in used[-1])
        x = normalised(extreme, (mean, var), scale, offset)
        if counted is not None:
            x *= counted.astype(x.dtype)  # the next convolution's zero padding
        count //= 4
    return x, tuple(used)


class ConvWeights(nn.Module):
    """kernel (kt, kh, kw, C, D) and bias (D,)."""

    shape: tuple[int, ...]

    @nn.compact
    def __call__(self) -> tuple[AnyArray, AnyArray]:
        kernel = self.param("kernel", initializer(), self.shape, jnp.float32)
        return kernel, self.param("bias", nn.initializers.zeros, self.shape[-1:], jnp.float32)


class ConvPool(nn.Module):
    """Parameters and running statistics of one layer: conv/kernel, conv/bias, norm/scale, norm/bias; mean and var."""

    channels: int
    features: int
    kernel_size: tuple[int, int, int]

    def setup(self) -> None:
        self.conv = ConvWeights((*self.kernel_size, self.channels, self.features))
        self.norm = NormWeights(self.features)

    def weights(self) -> tuple[Layer, Moments]:
        """What the layer computes with, and its running moments."""
        kernel, bias = self.conv()
        scale, offset, running = self.norm()
        return Layer(*map(jnp.asarray, (kernel, bias, scale, offset))), running

    def take_in(self, moments: Moments) -> None:
        """A batch's moments into the running ones."""
        self.norm.take_in(moments)


def run(
    modules: Sequence[ConvPool],
    x: Float[Array, "N T H W C"],
    *,
    train: bool,
    dtype: DTypeLike,
    form: str | None = None,
) -> Float[Array, "N T h w D"]:
    """conv_pools with the modules' weights; in training by the batch's statistics, which the running ones take in."""
    layers, running = zip(*(module.weights() for module in modules), strict=True)
    x, used = conv_pools(x.astype(dtype), layers, None if train else running, form)
    if train:
        for module, moments in zip(modules, used, strict=True):
            module.take_in(moments)
    return x
