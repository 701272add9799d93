"""The CPU's forms of the 3-D convolutions in convolution.py: the same numbers from operations that are fast there.

XLA's 3-D convolution is slow on CPUs, and its grouped and strided kinds slower still. Here they are folded into 2-D
convolutions with time in the batch, shifted products, and matrix products. Shapes are convolution.py's.
"""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from cpml_jax.arrays import Size


def conv3d(x: Float[Array, "N T H W C"], kernel: Float[Array, "kt kh kw C D"]) -> Float[Array, "N T H W D"]:
    """One 2-D convolution over neighbouring frames side by side; a matrix product if it sees one pixel of each."""
    kt, kh, kw, c, d = kernel.shape
    if kh == kw == 1:
        return _neighbouring_frames(x, kt) @ kernel.reshape(kt * c, d)
    return _folded(x, kernel)


def conv3d_in_cells(
    x: Float[Array, "N T H W C"], kernel: Float[Array, "kt kh kw C D"]
) -> Float[Array, "N T H//2 W//2 4 D"]:
    """conv3d with the four outputs of every 2x2 cell, in row-major order, on an axis of their own; even H and W."""
    kt, kh, kw, _, _ = kernel.shape
    if kt == 1 and max(kh, kw) <= 5:
        return conv3d_of_cells(x, kernel_of_cells(kernel))
    y = conv3d(x, kernel)
    n, t, h, w, d = y.shape
    y = y.reshape(n, t, h // 2, 2, w // 2, 2, d)
    return y.transpose(0, 1, 2, 4, 3, 5, 6).reshape(n, t, h // 2, w // 2, 4, d)


def conv3d_of_cells(
    x: Float[Array, "N T H W C"], kernel: Float[Array, "1 3 3 4*C D4"]
) -> Float[Array, "N T H//2 W//2 4 D4//4"]:
    """conv3d of 2x2 cells: four times the channels on a quarter of the positions.

    A convolution of 3 channels to 8 is too thin for the CPU; 12 to 32 is not, and a max-pool of the result is a maximum
    over contiguous numbers. (1,5,5) 3->8 at 16x128x32x32, forward, CPU seconds of two cores: 0.05 instead of 0.30.

    Args:
      x: (N, T, H, W, C).
      kernel: (1, 3, 3, 4 C, 4 D) of kernel_of_cells.

    Returns:
      (N, T, H/2, W/2, 4, D).
    """
    n, t, h, w, c = x.shape
    cells = x.reshape(n, t, h // 2, 2, w // 2, 2, c).transpose(0, 1, 2, 4, 3, 5, 6)
    y = _folded(cells.reshape(n, t, h // 2, w // 2, 4 * c), kernel)
    return y.reshape(n, t, h // 2, w // 2, 4, -1)


def kernel_of_cells(kernel: Float[Array, "1 kh kw C D"]) -> Float[Array, "1 3 3 4*C 4*D"]:
    """(1, kh, kw, C, D), kh and kw up to 5 -> (1, 3, 3, 4 C, 4 D): the same convolution from 2x2 cells to 2x2 cells.

    Pixel (a, b) of a cell sees the 6x6 pixels of the 3x3 cells around it; its kernel lies at (a, b) of them.
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


def depthwise3d(x: Float[Array, "N T H W C"], kernel: Float[Array, "kt kh kw C"]) -> Float[Array, "N T H W C"]:
    """The sum of kt*kh*kw shifted products."""
    kt, kh, kw, _ = kernel.shape
    _, t, h, w, _ = x.shape
    padded = jnp.pad(x, ((0, 0), (kt // 2,) * 2, (kh // 2,) * 2, (kw // 2,) * 2, (0, 0)))
    total = jnp.zeros_like(x)
    for i in range(kt):
        for j in range(kh):
            for k in range(kw):
                total += padded[:, i : i + t, j : j + h, k : k + w] * kernel[i, j, k]
    return total


@partial(jax.custom_vjp, nondiff_argnums=(2,))
def depthwise2d(x: jax.Array, kernel: jax.Array, stride: int) -> jax.Array:
    """(N, H, W, C) and (kh, kw, C): the sum of kh*kw shifted products.

    Milliseconds of one core, 12 images, forward; gradient of x; of x and kernel, against XLA's grouped convolution:
    64x64x32, 3x3: 1.5, 3, 12 against 42, 85, 112. 64x64x96, 3x3 of stride 2: 4, 13, 44 against 33, 478, 513.
    16x16x240, 5x5: 1.5, 4, 11 against 31, 61, 148.
    """
    return _shifted_products(x, kernel, stride)


def _shifted_products(x: jax.Array, kernel: jax.Array, stride: int) -> jax.Array:
    kh, kw, _ = kernel.shape
    padded, shape = _padded_same(x, (kh, kw), stride)
    total = jnp.zeros(shape, x.dtype)
    for i in range(kh):
        for j in range(kw):
            total += _every(padded, i, j, shape, stride) * kernel[i, j]
    return total


def _depthwise2d_forward(x: jax.Array, kernel: jax.Array, stride: int) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    return _shifted_products(x, kernel, stride), (x, kernel)


def _depthwise2d_backward(
    stride: int, saved: tuple[jax.Array, jax.Array], dy: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """What autodiff writes takes 9 and 43 ms for the first of the three above, 9 and 51 for the last.

    And the whole network's gradient takes a minute to compile with it: the kernel's taps are a loop here.
    """
    x, kernel = saved
    kh, kw, c = kernel.shape
    if stride == 1:  # odd sizes: padded alike on both sides
        dx = _shifted_products(lax.optimization_barrier(dy), kernel[::-1, ::-1], 1)
    else:
        (dx,) = jax.vjp(lambda x: _shifted_products(x, kernel, stride), x)[1](dy)
    padded, (n, h, w, _) = _padded_same(x, (kh, kw), stride)

    def tap(_: None, at: jax.Array) -> tuple[None, jax.Array]:
        size = (n, stride * (h - 1) + 1, stride * (w - 1) + 1, c)
        seen = lax.dynamic_slice(padded, (0, at // kw, at % kw, 0), size)[:, ::stride, ::stride]
        return None, (seen * dy).astype(jnp.float32).sum((0, 1, 2))

    taps = lax.scan(tap, None, jnp.arange(kh * kw))[1]
    return dx, taps.reshape(kernel.shape).astype(kernel.dtype)


depthwise2d.defvjp(_depthwise2d_forward, _depthwise2d_backward)


def _padded_same(x: jax.Array, sizes: tuple[int, ...], stride: int) -> tuple[jax.Array, tuple[Size, ...]]:
    """TensorFlow's padding, and the shape of what a convolution gives of it."""
    n, *sides, c = x.shape
    out = [-(-side // stride) for side in sides]
    lacking = [max((o - 1) * stride + k - side, 0) for o, k, side in zip(out, sizes, sides, strict=True)]
    return jnp.pad(x, ((0, 0), *((p // 2, p - p // 2) for p in lacking), (0, 0))), (n, *out, c)


def _every(padded: jax.Array, i: int, j: int, shape: tuple[Size, ...], stride: int) -> jax.Array:
    """Every stride-th pixel from (i, j) on, of that shape."""
    n, h, w, c = shape
    end = (n, i + stride * (h - 1) + 1, j + stride * (w - 1) + 1, c)
    return lax.slice(padded, (0, i, j, 0), end, (1, stride, stride, 1))


def patches3d(
    x: Float[Array, "N T H W C"], kernel: Float[Array, "kt kh kw C D"]
) -> Float[Array, "N T//kt H//kh W//kw D"]:
    """A reshape and a matrix product."""
    kt, kh, kw, c, d = kernel.shape
    n, t, h, w, _ = x.shape
    x = x.reshape(n, t // kt, kt, h // kh, kh, w // kw, kw, c).transpose(0, 1, 3, 5, 2, 4, 6, 7)
    return x.reshape(n, t // kt, h // kh, w // kw, kt * kh * kw * c) @ kernel.reshape(-1, d)


# --- the folded convolution and its gradient ---------------------------------------------------------------------


def _conv_2d(x: jax.Array, kernel: jax.Array) -> jax.Array:
    return lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))


def _shifted_in_time(x: jax.Array, offset: int) -> jax.Array:
    """x[:, t + offset], zeros where that lies outside the clip."""
    length = x.shape[1]
    pad = [(0, 0)] * x.ndim
    pad[1] = (max(-offset, 0), max(offset, 0))
    return lax.slice_in_dim(jnp.pad(x, pad), max(offset, 0), max(offset, 0) + length, axis=1)


def _neighbouring_frames(x: jax.Array, kt: int) -> jax.Array:
    """Frames t - kt//2 ... t + kt//2 side by side: (N, T, H, W, C) -> (N, T, H, W, kt C)."""
    if kt == 1:
        return x
    return jnp.concatenate([_shifted_in_time(x, o - kt // 2) for o in range(kt)], axis=-1)


@jax.custom_vjp
def _folded(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """The folded form: one 2-D convolution over neighbouring frames side by side, time in the batch."""
    kt, kh, kw, c, d = kernel.shape
    n, t, h, w, _ = x.shape
    x = _neighbouring_frames(x, kt)
    kernel = kernel.transpose(1, 2, 0, 3, 4).reshape(kh, kw, kt * c, d)
    return _conv_2d(x.reshape(n * t, h, w, kt * c), kernel).reshape(n, t, h, w, d)


def _folded_forward(x: jax.Array, kernel: jax.Array) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    return _folded(x, kernel), (x, kernel)


def _folded_backward(saved: tuple[jax.Array, jax.Array], dy: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The kernel's gradient as one matrix product per spatial tap: XLA's is a convolution of image-sized kernels.

    (3,3,3) 8->16 at 16x128x16x16, CPU seconds of two cores: 0.22 instead of 0.38; (1,5,5) 3->8 on cells
    (conv3d_of_cells), 16x128x32x32: 0.22 instead of 0.39.
    """
    x, kernel = saved
    kt, kh, kw, c, d = kernel.shape
    n, t, h, w, _ = x.shape
    # The input's gradient: mirrored kernels, all kt at once, and then each one's share back to its frame. (More
    # channels out than in suits the CPU better: (3,3,3) 8->16, forward and gradient, 0.40 s instead of 0.49.)
    mirrored = kernel[:, ::-1, ::-1].transpose(1, 2, 4, 0, 3).reshape(kh, kw, d, kt * c)
    shares = _conv_2d(dy.reshape(n * t, h, w, d), mirrored).reshape(n, t, h, w, kt, c)
    dx = sum((_shifted_in_time(shares[..., o, :], kt // 2 - o) for o in range(kt)), jnp.zeros_like(x))
    # w[o] pairs x[t + o] with dy[t], which is x[t] with dy[t - o]: the shifts of time go to dy.
    wide = jnp.concatenate([_shifted_in_time(dy, kt // 2 - o) for o in range(kt)], axis=-1).reshape(-1, kt * d)
    padded = jnp.pad(x, ((0, 0), (0, 0), (kh // 2,) * 2, (kw // 2,) * 2, (0, 0)))

    def tap(i: int, j: int) -> jax.Array:
        # Without the barrier the slice is fused into the matmul's operand, and the matmul is no longer a fast one.
        columns = lax.optimization_barrier(padded[:, :, i : i + h, j : j + w].reshape(-1, c))
        return lax.dot(columns.T, wide, preferred_element_type=jnp.float32).reshape(c, kt, d)

    taps = jnp.stack([tap(i, j) for i in range(kh) for j in range(kw)])  # (kh kw, C, kt, D)
    return dx, taps.reshape(kh, kw, c, kt, d).transpose(3, 0, 1, 2, 4).astype(kernel.dtype)


_folded.defvjp(_folded_forward, _folded_backward)
