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


def _time_neighbours(x: jax.Array, kt: int) -> jax.Array:
    """Frames t - kt//2 ... t + kt//2 side by side: (N, T, H, W, C) -> (N, T, H, W, kt C)."""
    if kt == 1:
        return x
    return jnp.concatenate([shifted_in_time(x, o - kt // 2) for o in range(kt)], axis=-1)


@jax.custom_vjp
def _folded(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """The folded form: one 2-D convolution over neighbouring frames side by side, time in the batch."""
    kt, kh, kw, c, d = kernel.shape
    n, t, h, w, _ = x.shape
    x = _time_neighbours(x, kt)
    kernel = kernel.transpose(1, 2, 0, 3, 4).reshape(kh, kw, kt * c, d)
    return _conv_2d(x.reshape(n * t, h, w, kt * c), kernel).reshape(n, t, h, w, d)


def _folded_forward(x, kernel):
    return _folded(x, kernel), (x, kernel)


def _folded_backward(saved, dy):
    """The kernel's gradient as one matmul a spatial tap: XLA's own is a convolution of image-sized kernels.

    (3,3,3) 8->16 at 16x128x16x16, CPU seconds of two cores: 0.22 instead of 0.38; (1,5,5) 3->8 on cells
    (conv3d_cells), 16x128x32x32: 0.22 instead of 0.39.
    """
    x, kernel = saved
    kt, kh, kw, c, d = kernel.shape
    n, t, h, w, _ = x.shape
    # The input's gradient: mirrored kernels, all kt at once, and then each one's share back to its own frame. (More
    # channels out than in suits the CPU better: (3,3,3) 8->16, forward and gradient, 0.40 s instead of 0.49.)
    mirrored = kernel[:, ::-1, ::-1].transpose(1, 2, 4, 0, 3).reshape(kh, kw, d, kt * c)
    shares = _conv_2d(dy.reshape(n * t, h, w, d), mirrored).reshape(n, t, h, w, kt, c)
    dx = sum(shifted_in_time(shares[..., o, :], kt // 2 - o) for o in range(kt))
    # w[o] pairs x[t + o] with dy[t], which is x[t] with dy[t - o]: the shifts of time go to dy.
    wide = jnp.concatenate([shifted_in_time(dy, kt // 2 - o) for o in range(kt)], axis=-1).reshape(-1, kt * d)
    padded = jnp.pad(x, ((0, 0), (0, 0), (kh // 2,) * 2, (kw // 2,) * 2, (0, 0)))

    def tap(i, j):
        # Without the barrier the slice is fused into the matmul's operand, and the matmul is no longer a fast one.
        columns = lax.optimization_barrier(padded[:, :, i : i + h, j : j + w].reshape(-1, c))
        return lax.dot(columns.T, wide, preferred_element_type=jnp.float32).reshape(c, kt, d)

    taps = jnp.stack([tap(i, j) for i in range(kh) for j in range(kw)])  # (kh kw, C, kt, D)
    return dx, taps.reshape(kh, kw, c, kt, d).transpose(3, 0, 1, 2, 4).astype(kernel.dtype)


_folded.defvjp(_folded_forward, _folded_backward)


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
    if kh == kw == 1:
        return _time_neighbours(x, kt) @ kernel.reshape(kt * c, d)
    return _folded(x, kernel)


def conv3d_cells(x: jax.Array, kernel: jax.Array, form: str | None = None) -> jax.Array:
    """conv3d with the four outputs of every 2x2 cell on an axis of their own, ready for a max-pool.

    Folded, kernels of one frame and up to 5x5 pixels work on the cells themselves: four times the channels on a
    quarter of the positions. A convolution of 3 channels to 8 is too thin for the CPU; 12 to 32 is not, and the pool
    becomes a maximum over contiguous numbers. (1,5,5) 3->8 at 16x128x32x32, forward, CPU seconds of two cores: 0.05
    instead of 0.30.

    Args:
      x: (N, T, H, W, C), even H and W.
      kernel: (kt, kh, kw, C, D).
      form: see the module.

    Returns:
      (N, T, H/2, W/2, 4, D), cells in row-major order.
    """
    n, t, h, w, c = x.shape
    kt, kh, kw, _, d = kernel.shape
    if chosen_form(form) == "direct" or kt > 1 or max(kh, kw) > 5:
        y = conv3d(x, kernel, form).reshape(n, t, h // 2, 2, w // 2, 2, d)
        return y.transpose(0, 1, 2, 4, 3, 5, 6).reshape(n, t, h // 2, w // 2, 4, d)
    cells = x.reshape(n, t, h // 2, 2, w // 2, 2, c).transpose(0, 1, 2, 4, 3, 5, 6)
    return _folded(cells.reshape(n, t, h // 2, w // 2, 4 * c), _kernel_of_cells(kernel)).reshape(
        n, t, h // 2, w // 2, 4, d
    )


def _kernel_of_cells(kernel: jax.Array) -> jax.Array:
    """(1, kh, kw, C, D), kh and kw up to 5 -> (1, 3, 3, 4 C, 4 D): the same convolution from 2x2 cells to 2x2 cells.

    Pixel (a, b) of a cell sees the 6x6 pixels of the 3x3 cells around it; its kernel lies there at (a, b).
    """
    _, kh, kw, c, d = kernel.shape
    top, left = 2 - kh // 2, 2 - kw // 2
    placed = [
        jnp.pad(kernel[0], ((top + a, 6 - kh - top - a), (left + b, 6 - kw - left - b), (0, 0), (0, 0)))
        for a in range(2)
        for b in range(2)
    ]
    wide = jnp.stack(placed, axis=-2).reshape(3, 2, 3, 2, c, 4, d)
    return wide.transpose(0, 2, 1, 3, 4, 5, 6).reshape(1, 3, 3, 4 * c, 4 * d)


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
    """conv3d with parameters: kernel (kt, kh, kw, C, D) and, optionally, bias (D,); theta > 0: temporal difference.

    cells: the result is conv3d_cells', (N, T, H/2, W/2, 4, D); a max-pool (1,2,2) is then its maximum over axis -2.
    (The gradient of XLA's own window reduction is select-and-scatter: many times slower on the CPU.)
    """

    features: int
    kernel_size: tuple[int, int, int]
    use_bias: bool = True
    theta: float = 0.0
    cells: bool = False
    dtype: jnp.dtype = jnp.float32
    form: str | None = None

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        shape = (*self.kernel_size, x.shape[-1], self.features)
        kernel = self.param("kernel", _initializer(), shape, jnp.float32)
        if self.theta:
            kernel = fold_temporal_difference(kernel, self.theta)
        convolve = conv3d_cells if self.cells else conv3d
        y = convolve(x.astype(self.dtype), kernel.astype(self.dtype), self.form)
        if self.use_bias:
            y += self.param("bias", nn.initializers.zeros, (self.features,), jnp.float32).astype(self.dtype)
        return y


class ConvPool(nn.Module):
    """Conv3D, batch norm, ReLU, max-pool (1,2,2): (N, T, H, W, C) -> (N, T, H/2, W/2, D)."""

    features: int
    kernel_size: tuple[int, int, int]
    dtype: jnp.dtype = jnp.float32
    form: str | None = None

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        x = Conv3D(self.features, self.kernel_size, cells=True, dtype=self.dtype, form=self.form, name="conv")(x)
        x = nn.BatchNorm(use_running_average=not train, momentum=0.9, dtype=self.dtype, name="norm")(x)
        # ReLU is monotone, so it may follow the maximum: the same numbers on a quarter of the pixels.
        return nn.relu(max_over_cells(x))


def max_over_cells(x: jax.Array) -> jax.Array:
    """(..., 4, D) -> (..., D), as three pairwise maxima: half the time of a reduction and its gradient on the CPU."""
    return jnp.maximum(jnp.maximum(x[..., 0, :], x[..., 1, :]), jnp.maximum(x[..., 2, :], x[..., 3, :]))


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
