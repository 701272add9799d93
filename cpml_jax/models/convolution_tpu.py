"""The TPU's form of convolutions that a max-pool (1,2,2) follows: pixels side by side in the 128 lanes.

A TPU fills the last axis of an array up to 128, so images of 3, 24 or 48 channels take 43, 5 and 3 times their size in
memory, and as much of the arithmetic is on zeros. Here the last axis holds the channels of a cell of pixels. A
convolution reads and writes cells, with few taps and few zeros in its kernel, because the cells that it writes lie
across those that it reads: a cell of 2x2 outputs of a 3x3 kernel sees 4x4 pixels, which are 2x2 cells of 2x2 that start
one pixel earlier; a cell of 4x4 outputs of a 5x5 kernel sees 8x8 pixels, 2x2 cells of 4x4 that start two earlier.

The stem of PhysFormer (8 clips of 160 x 128 x 128, bfloat16, with its gradient, v5p): 25 instead of 73 ms by the
compiler's estimate, 46 instead of 169 GB moved, 8.5 instead of 23 GB of temporaries.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

from cpml_jax.arrays import Size

FIRST, NEXT = (1, 5, 5), (3, 3, 3)


def can_pack(shape: Sequence[Size], kernels: Sequence[Sequence[int]]) -> bool:
    """Whether there is such a form of an input (N, T, H, W, C) and kernels (kt, kh, kw, C, D)."""
    sizes = [tuple(kernel[:3]) for kernel in kernels]
    fits = all(side % 2 ** len(sizes) == 0 for side in shape[2:4])
    return fits and len(sizes) >= 2 and sizes[0] == FIRST and all(size == NEXT for size in sizes[1:])


def _convolve(x: jax.Array, kernel: jax.Array, space: tuple[int, int]) -> jax.Array:
    """Time keeps its length, height and width are padded by `space`."""
    time = (kernel.shape[0] // 2,) * 2
    return lax.conv_general_dilated(
        x, kernel, (1, 1, 1), (time, space, space), dimension_numbers=("NDHWC", "DHWIO", "NDHWC")
    )


def cells(x: Float[Array, "N T H W C"], side: int) -> Float[Array, "N T h w F"]:
    """(N, T, H, W, C) -> (N, T, H/side, W/side, side side C), pixels in row-major order."""
    n, t, h, w, c = x.shape
    x = x.reshape(n, t, h // side, side, w // side, side, c).transpose(0, 1, 2, 4, 3, 5, 6)
    return x.reshape(n, t, h // side, w // side, side * side * c)


def kernel_across_cells(kernel: Float[Array, "kt kh kw C D"], side: int) -> Float[Array, "kt 2 2 F G"]:
    """The kernel from cells of side x side pixels to those that start side // 2 pixels earlier.

    Args:
      kernel: (kt, kh, kw, C, D), kh and kw side + 1.
      side: even.

    Returns:
      (kt, 2, 2, side side C, side side D). Outputs are in the order of pixel in its 2x2 cell, cell, D.
    """
    kt, _, _, c, d = kernel.shape
    half = side // 2
    # Output (a, b) sees the kernel at (a, b) of the 2 side x 2 side pixels around its cell.
    placed = [
        jnp.pad(kernel, ((0, 0), (a, side - 1 - a), (b, side - 1 - b), (0, 0), (0, 0)))
        for i in range(2)
        for j in range(2)
        for a in range(i, side, 2)
        for b in range(j, side, 2)
    ]
    wide = jnp.stack(placed, axis=-2).reshape(kt, 2, side, 2, side, c, 4 * half * half, d)
    return wide.transpose(0, 1, 3, 2, 4, 5, 6, 7).reshape(kt, 2, 2, side * side * c, side * side * d)


def first(x: Float[Array, "N T H W C"], kernel: Float[Array, "1 5 5 C D"]) -> Float[Array, "N T h w D16"]:
    """Image -> cells of 4x4 that start two pixels outside it: (N, T, H/4 + 1, W/4 + 1, 16 D)."""
    return _convolve(cells(x, 4), kernel_across_cells(kernel, 4), (1, 1))


def second(x: Float[Array, "N T h w C4"], kernel: Float[Array, "3 3 3 C D"]) -> Float[Array, "N T h-1 w-1 D4"]:
    """`first`, pooled, which is cells of 2x2 that start one pixel outside the image -> cells of 2x2 of the image."""
    return _convolve(x, kernel_across_cells(kernel, 2), (0, 0))


def later(x: Float[Array, "N T H W C"], kernel: Float[Array, "3 3 3 C D"]) -> Float[Array, "N T H//2 W//2 D4"]:
    """Image -> its cells of 2x2."""
    outside = jnp.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1), (0, 0)))
    return second(cells(outside, 2), kernel)


class Plan(NamedTuple):
    """How a layer runs.

    convolve: of x and the kernel. cells: pooled pixels that lie side by side in its result, after the four pixels of
    each. overhangs: whether its result reaches beyond the image.
    """

    convolve: Callable[[jax.Array, jax.Array], jax.Array]
    cells: int
    overhangs: bool


PLANS = (Plan(first, 4, True), Plan(second, 1, False), Plan(later, 1, False))


def inside(shape: Sequence[int], features: int) -> Float[Array, "h w F"]:
    """1 for those of `first`'s pooled pixels that lie in the image, 0 for those around it: (h, w, 4 features)."""

    def along(count: int) -> np.ndarray:
        kept = np.ones((count, 2), np.float32)
        kept[0, 0] = kept[-1, 1] = 0
        return kept

    kept = np.einsum("ia,jb->ijab", along(shape[0]), along(shape[1])).reshape(*shape, 4)
    return jnp.asarray(kept.repeat(features, axis=-1))
