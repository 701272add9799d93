"""Convolutions over (time, height, width), in two forms with the same numbers.

XLA's 3-D convolution is slow on CPUs, and its grouped and strided kinds slower still, so on the CPU every one of
them is folded into what is fast there: 2-D convolutions with time in the batch, shifted products, and matmuls. On
an accelerator XLA's own convolution is kept. `form` chooses: "folded", "direct", or None for the backend's choice
at trace time. All arrays are channels-last, (N, T, H, W, C); kernels are (kt, kh, kw, C_in, C_out), all odd, with zero
padding that keeps the size ("SAME"), except the patch embedding.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import lax

FORMS = ("folded", "direct")


def chosen_form(form: str | None) -> str:
    """The form that will be traced: the argument, or the backend's own choice.

    Raises:
      ValueError: the name is not one of FORMS.
    """
    if form is None:
        return "folded" if jax.default_backend() == "cpu" else "direct"
    if form not in FORMS:
        raise ValueError(f"convolution form {form!r}; it is one of {FORMS}")
    return form


def _conv_2d(x: jax.Array, kernel: jax.Array) -> jax.Array:
    return lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))


def shifted_in_time(x: jax.Array, offset: int) -> jax.Array:
    """x[:, t + offset], zeros where that lies outside the clip."""
    length = x.shape[1]
    pad = [(0, 0)] * x.ndim
    pad[1] = (max(-offset, 0), max(offset, 0))
    return lax.slice_in_dim(jnp.pad(x, pad), max(offset, 0), max(offset, 0) + length, axis=1)


def conv3d(x: jax.Array, kernel: jax.Array, form: str | None = None) -> jax.Array:
    """Convolution of stride 1 that keeps the size.

    Args:
      x: (N, T, H, W, C).
      kernel: (kt, kh, kw, C, D), odd sizes.
      form: see the module.

    Returns:
      (N, T, H, W, D).
    """
    if chosen_form(form) == "direct":
        return lax.conv_general_dilated(x, kernel, (1, 1, 1), "SAME", dimension_numbers=("NDHWC", "DHWIO", "NDHWC"))
    kt, kh, kw, c, d = kernel.shape
    n, t, h, w, _ = x.shape
    if kt > 1:
        x = jnp.concatenate([shifted_in_time(x, o - kt // 2) for o in range(kt)], axis=-1)
        kernel = kernel.transpose(1, 2, 0, 3, 4).reshape(kh, kw, kt * c, d)
    else:
        kernel = kernel[0]
    if kh == kw == 1:
        return x @ kernel[0, 0]
    return _conv_2d(x.reshape(n * t, h, w, kt * c), kernel).reshape(n, t, h, w, d)


def depthwise3d(x: jax.Array, kernel: jax.Array, form: str | None = None) -> jax.Array:
    """Each channel with its own filter.

    Args:
      x: (N, T, H, W, C).
      kernel: (kt, kh, kw, C), odd sizes.
      form: see the module; folded: the sum of kt*kh*kw shifted products.

    Returns:
      (N, T, H, W, C).
    """
    kt, kh, kw, c = kernel.shape
    if chosen_form(form) == "direct":
        numbers = ("NDHWC", "DHWIO", "NDHWC")
        return lax.conv_general_dilated(
            x, kernel[..., None, :], (1, 1, 1), "SAME", dimension_numbers=numbers, feature_group_count=c
        )
    _, t, h, w, _ = x.shape
    padded = jnp.pad(x, ((0, 0), (kt // 2,) * 2, (kh // 2,) * 2, (kw // 2,) * 2, (0, 0)))
    total = jnp.zeros_like(x)
    for i in range(kt):
        for j in range(kh):
            for k in range(kw):
                total += padded[:, i : i + t, j : j + h, k : k + w] * kernel[i, j, k]
    return total


def patches3d(x: jax.Array, kernel: jax.Array, form: str | None = None) -> jax.Array:
    """Convolution whose stride is its kernel's size.

    Args:
      x: (N, T, H, W, C), sizes that the kernel divides.
      kernel: (kt, kh, kw, C, D).
      form: see the module; folded: a reshape and a matmul.

    Returns:
      (N, T/kt, H/kh, W/kw, D).
    """
    kt, kh, kw, c, d = kernel.shape
    if chosen_form(form) == "direct":
        return lax.conv_general_dilated(x, kernel, (kt, kh, kw), "VALID", dimension_numbers=("NDHWC", "DHWIO", "NDHWC"))
    n, t, h, w, _ = x.shape
    x = x.reshape(n, t // kt, kt, h // kh, kh, w // kw, kw, c).transpose(0, 1, 3, 5, 2, 4, 6, 7)
    return x.reshape(n, t // kt, h // kh, w // kw, kt * kh * kw * c) @ kernel.reshape(-1, d)


def max_pool_space(x: jax.Array) -> jax.Array:
    """Max-pool (1, 2, 2) of (N, T, H, W, C), even H and W.

    Four strided slices and three maxima: the gradient of a window reduction is XLA's select-and-scatter, which is
    many times slower on the CPU, and no faster elsewhere.
    """
    n, t, h, w, c = x.shape
    x = x.reshape(n, t, h // 2, 2, w // 2, 2, c)
    return x.max(axis=(3, 5))


def fold_temporal_difference(kernel: jax.Array, theta: float) -> jax.Array:
    """The kernel of a temporal central-difference convolution (Yu et al., CVPR 2022, eq. 2).

    conv(x, w) - theta * conv1x1x1(x, sum over space of w[t-1] + w[t+1]): a 1x1x1 convolution is a kernel that is zero
    outside its centre, so the second one is subtracted from the first one's centre tap.

    Args:
      kernel: (3, kh, kw, C, D).
      theta: 0 gives the plain convolution.
    """
    difference = kernel[0].sum((0, 1)) + kernel[2].sum((0, 1))
    return kernel.at[1, kernel.shape[1] // 2, kernel.shape[2] // 2].add(-theta * difference)


def _initializer():
    return nn.initializers.variance_scaling(1.0, "fan_in", "truncated_normal")


class Conv3D(nn.Module):
    """conv3d with parameters: kernel (kt, kh, kw, C, D) and, optionally, bias (D,); theta > 0: temporal difference."""

    features: int
    kernel_size: tuple[int, int, int]
    use_bias: bool = True
    theta: float = 0.0
    dtype: jnp.dtype = jnp.float32
    form: str | None = None

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        shape = (*self.kernel_size, x.shape[-1], self.features)
        kernel = self.param("kernel", _initializer(), shape, jnp.float32)
        if self.theta:
            kernel = fold_temporal_difference(kernel, self.theta)
        y = conv3d(x.astype(self.dtype), kernel.astype(self.dtype), self.form)
        if self.use_bias:
            y += self.param("bias", nn.initializers.zeros, (self.features,), jnp.float32).astype(self.dtype)
        return y


class DepthwiseConv3D(nn.Module):
    """depthwise3d with its kernel (kt, kh, kw, C)."""

    kernel_size: tuple[int, int, int] = (3, 3, 3)
    dtype: jnp.dtype = jnp.float32
    form: str | None = None

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        taps = self.kernel_size[0] * self.kernel_size[1] * self.kernel_size[2]
        kernel = self.param("kernel", nn.initializers.normal(taps**-0.5), (*self.kernel_size, x.shape[-1]), jnp.float32)
        return depthwise3d(x.astype(self.dtype), kernel.astype(self.dtype), self.form)


class PatchEmbedding(nn.Module):
    """patches3d with kernel (kt, kh, kw, C, D) and bias (D,)."""

    features: int
    patch: tuple[int, int, int]
    dtype: jnp.dtype = jnp.float32
    form: str | None = None

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        kernel = self.param("kernel", _initializer(), (*self.patch, x.shape[-1], self.features), jnp.float32)
        bias = self.param("bias", nn.initializers.zeros, (self.features,), jnp.float32)
        return patches3d(x.astype(self.dtype), kernel.astype(self.dtype), self.form) + bias.astype(self.dtype)
