"""Convolutions over (time, height, width): XLA's own, and on CPUs the same numbers in forms that are fast there.

All arrays are channels-last, (N, T, H, W, C); kernels are (kt, kh, kw, C_in, C_out), all odd, with zero padding that
keeps the size ("SAME"), except the patch embedding and depthwise2d, which is of images. `form` names one of FORMS for
tests and benchmarks; None lets the platform that the program is lowered for choose, which need not be the one that
traces it. What has no packed form is direct there.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import lax
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Num

from cpml_jax.models import convolution_cpu

FORMS = ("folded", "direct", "packed")  # chosen on CPUs, elsewhere, and on TPUs (docs/scaling.md, Forms)
_LAYOUT = ("NDHWC", "DHWIO", "NDHWC")


def in_form(
    form: str | None, folded: Callable, direct: Callable, *operands: Any, packed: Callable | None = None
) -> Any:
    """One of three functions of the same operands that give the same numbers; without a packed one, direct.

    Raises:
      ValueError: the name is not one of FORMS.
    """
    functions = dict(zip(FORMS, (folded, direct, packed or direct), strict=True))
    if form is None:
        # Each platform's program keeps its branch alone. On the CPU it costs nothing over form="folded": after 12 steps
        # of configs/synthetic.py the same bits, 1.00 against 0.99 s per step, 55,800 instructions either way.
        forms = dict(cpu=folded, default=direct) | ({} if packed is None else {"tpu": packed})
        return lax.platform_dependent(*operands, **forms)
    if form not in FORMS:
        raise ValueError(f"convolution form {form!r}; it is one of {FORMS}")
    return functions[form](*operands)


def conv3d(
    x: Float[Array, "N T H W C"], kernel: Float[Array, "kt kh kw C D"], form: str | None = None
) -> Float[Array, "N T H W D"]:
    """Convolution of stride 1 that keeps the size.

    Args:
      x: (N, T, H, W, C).
      kernel: (kt, kh, kw, C, D), odd sizes.
      form: see the module.

    Returns:
      (N, T, H, W, D).
    """
    return in_form(form, convolution_cpu.conv3d, plain_conv3d, x, kernel)


def plain_conv3d(x: Float[Array, "N T H W C"], kernel: Float[Array, "kt kh kw C D"]) -> Float[Array, "N T H W D"]:
    """conv3d in its direct form."""
    return lax.conv_general_dilated(x, kernel, (1, 1, 1), "SAME", dimension_numbers=_LAYOUT)


def depthwise3d(
    x: Float[Array, "N T H W C"], kernel: Float[Array, "kt kh kw C"], form: str | None = None
) -> Float[Array, "N T H W C"]:
    """One filter per channel.

    Args:
      x: (N, T, H, W, C).
      kernel: (kt, kh, kw, C), odd sizes.
      form: see the module.

    Returns:
      (N, T, H, W, C).
    """

    def direct(x: jax.Array, kernel: jax.Array) -> jax.Array:
        return lax.conv_general_dilated(
            x,
            kernel[..., None, :],
            (1, 1, 1),
            "SAME",
            dimension_numbers=_LAYOUT,
            feature_group_count=kernel.shape[-1],
        )

    return in_form(form, convolution_cpu.depthwise3d, direct, x, kernel)


def depthwise2d(
    x: Float[Array, "N H W C"], kernel: Float[Array, "kh kw C"], stride: int = 1, form: str | None = None
) -> Float[Array, "N h w C"]:
    """One filter per channel over height and width, padded as TensorFlow's "SAME": at stride 2 more at the end.

    Args:
      x: (N, H, W, C).
      kernel: (kh, kw, C).
      stride: along both.
      form: see the module.

    Returns:
      (N, ceil(H / stride), ceil(W / stride), C).
    """

    def direct(x: jax.Array, kernel: jax.Array) -> jax.Array:
        return lax.conv_general_dilated(
            x,
            kernel[..., None, :],
            (stride, stride),
            "SAME",
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
            feature_group_count=kernel.shape[-1],
        )

    def folded(x: jax.Array, kernel: jax.Array) -> jax.Array:
        return convolution_cpu.depthwise2d(x, kernel, stride)

    return in_form(form, folded, direct, x, kernel)


def patches3d(
    x: Float[Array, "N T H W C"], kernel: Float[Array, "kt kh kw C D"], form: str | None = None
) -> Float[Array, "N T//kt H//kh W//kw D"]:
    """Convolution whose stride is its kernel's size.

    Args:
      x: (N, T, H, W, C), sizes that the kernel divides.
      kernel: (kt, kh, kw, C, D).
      form: see the module.

    Returns:
      (N, T/kt, H/kh, W/kw, D).
    """

    def direct(x: jax.Array, kernel: jax.Array) -> jax.Array:
        return lax.conv_general_dilated(x, kernel, kernel.shape[:3], "VALID", dimension_numbers=_LAYOUT)

    return in_form(form, convolution_cpu.patches3d, direct, x, kernel)


def fold_temporal_difference(kernel: Float[Array, "3 kh kw C D"], theta: float) -> Float[Array, "3 kh kw C D"]:
    """The kernel of a temporal central-difference convolution (Yu et al., CVPR 2022, eq. 2).

    conv(x, w) - theta * conv1x1x1(x, sum over space of w[t-1] + w[t+1]): a 1x1x1 convolution is a kernel that is zero
    outside its centre, so the second one is subtracted from the first one's centre tap.

    Args:
      kernel: (3, kh, kw, C, D).
      theta: 0 gives the plain convolution.
    """
    difference = kernel[0].sum((0, 1)) + kernel[2].sum((0, 1))
    return kernel.at[1, kernel.shape[1] // 2, kernel.shape[2] // 2].add(-theta * difference)


def initializer() -> jax.nn.initializers.Initializer:
    """Of kernels."""
    return nn.initializers.variance_scaling(1.0, "fan_in", "truncated_normal")


class Conv3D(nn.Module):
    """conv3d with parameters: kernel (kt, kh, kw, C, D) and, optionally, bias (D,); theta > 0: temporal difference."""

    features: int
    kernel_size: tuple[int, int, int]
    use_bias: bool = True
    theta: float = 0.0
    dtype: DTypeLike = jnp.float32
    form: str | None = None

    @nn.compact
    def __call__(self, x: Num[Array, "N T H W C"]) -> Float[Array, "N T H W {self.features}"]:
        shape = (*self.kernel_size, x.shape[-1], self.features)
        kernel = self.param("kernel", initializer(), shape, jnp.float32)
        if self.theta:
            kernel = fold_temporal_difference(kernel, self.theta)
        y = conv3d(x.astype(self.dtype), kernel.astype(self.dtype), self.form)
        if self.use_bias:
            y += self.param("bias", nn.initializers.zeros, (self.features,), jnp.float32).astype(self.dtype)
        return y


class DepthwiseConv3D(nn.Module):
    """depthwise3d with its kernel (kt, kh, kw, C)."""

    kernel_size: tuple[int, int, int] = (3, 3, 3)
    dtype: DTypeLike = jnp.float32
    form: str | None = None

    @nn.compact
    def __call__(self, x: Float[Array, "N T H W C"]) -> Float[Array, "N T H W C"]:
        taps = self.kernel_size[0] * self.kernel_size[1] * self.kernel_size[2]
        kernel = self.param("kernel", nn.initializers.normal(taps**-0.5), (*self.kernel_size, x.shape[-1]), jnp.float32)
        return depthwise3d(x.astype(self.dtype), kernel.astype(self.dtype), self.form)


class PatchEmbedding(nn.Module):
    """patches3d with kernel (kt, kh, kw, C, D) and bias (D,)."""

    features: int
    patch: tuple[int, int, int]
    dtype: DTypeLike = jnp.float32
    form: str | None = None

    @nn.compact
    def __call__(self, x: Float[Array, "N T H W C"]) -> Float[Array, "N t h w {self.features}"]:
        kernel = self.param("kernel", initializer(), (*self.patch, x.shape[-1], self.features), jnp.float32)
        bias = self.param("bias", nn.initializers.zeros, (self.features,), jnp.float32)
        return patches3d(x.astype(self.dtype), kernel.astype(self.dtype), self.form) + bias.astype(self.dtype)
