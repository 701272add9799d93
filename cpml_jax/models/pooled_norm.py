"""Batch norm, ReLU and max-pool by 2x2 of a convolution's result, in two passes over it: one forward, one backward.

Batch norm is monotone in each channel, so the pool may come first: of four pixels the largest is normalised where the
scale is positive, and the smallest where it is negative. These are the same numbers, and all that follows is on a
quarter of the pixels. For the gradient the convolution's result is kept as it is, in bfloat16 if it computes in that;
autodiff kept a float32 copy beside it.
"""

from __future__ import annotations

import enum
from functools import partial

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import lax
from jaxtyping import Array, Bool, Float

from cpml_jax.arrays import AnyArray

EPSILON = 1e-5  # of a variance
MOMENTUM = 0.9  # of the running statistics


class Pixels(enum.Enum):
    """Where the four pixels of a 2x2 cell are.

    APART: y is an image, (N, T, H, W, E).
    TOGETHER: on an axis of their own, (N, T, H/2, W/2, 4, E).
    IN_LANES: side by side among the channels, (N, T, H/2, W/2, 4 E).
    """

    APART = 0
    TOGETHER = 1
    IN_LANES = 2

    def parts(self, y: jax.Array) -> list[jax.Array]:
        """One array of each of the four pixels, (N, T, H/2, W/2, E)."""
        if self is Pixels.TOGETHER:
            return [y[..., i, :] for i in range(4)]
        if self is Pixels.IN_LANES:
            return jnp.split(y, 4, axis=-1)
        return [y[:, :, i::2, j::2] for i in range(2) for j in range(2)]

    def spread(self, part: jax.Array) -> jax.Array:
        """The same for each of the four pixels; what broadcasts with y."""
        if self is Pixels.TOGETHER:
            return part[..., None, :]
        if self is Pixels.IN_LANES:
            return jnp.concatenate([part] * 4, axis=-1)
        n, t, h, w, e = part.shape
        part = jnp.broadcast_to(part[:, :, :, None, :, None], (n, t, h, 2, w, 2, e))
        return part.reshape(n, t, 2 * h, 2 * w, e)


@partial(jax.custom_vjp, nondiff_argnums=(3,))
def extremes_and_sums(
    y: Float[Array, "N T *cells"], largest: Bool[Array, " E"], counted: Float[Array, "h w F"] | None, pixels: Pixels
) -> tuple[Float[Array, "N T h w E"], Float[Array, " F"], Float[Array, " F"]]:
    """The pool, and what batch norm needs of all pixels.

    Args:
      y: a convolution's result, as `pixels` says.
      largest: of which channels the largest of four pixels is taken; of the others it is the smallest.
      counted: 0 for what the sums leave out, else 1; None: they are of everything. F is y's last axis.
      pixels: see Pixels.

    Returns:
      One of four pixels, dtype of y; sum of y, and of its squares, of each of the last axis, float32.
    """
    return _forward(y, largest, counted, pixels)[0]


def _forward(
    y: jax.Array, largest: jax.Array, counted: jax.Array | None, pixels: Pixels
) -> tuple[tuple[jax.Array, jax.Array, jax.Array], tuple[jax.Array, jax.Array, jax.Array | None]]:
    a, b, c, d = pixels.parts(y)  # pairs: half the time of a reduction on the CPU
    top = jnp.maximum(jnp.maximum(a, b), jnp.maximum(c, d))
    bottom = jnp.minimum(jnp.minimum(a, b), jnp.minimum(c, d))
    extreme = jnp.where(largest, top, bottom)
    exact = y.astype(jnp.float32)
    if counted is not None:
        exact *= counted
    axes = tuple(range(y.ndim - 1))
    return (extreme, exact.sum(axes), lax.square(exact).sum(axes)), (y, extreme, counted)


def _backward(
    pixels: Pixels, saved: tuple[jax.Array, jax.Array, jax.Array | None], gradients: tuple[jax.Array, ...]
) -> tuple[jax.Array | None, ...]:
    """Pixels that are equally extreme share their cell's gradient."""
    y, extreme, counted = saved
    of_extreme, of_sum, of_squares = gradients
    chosen = y == pixels.spread(extreme)
    a, b, c, d = (part.astype(jnp.float32) for part in pixels.parts(chosen))
    share = of_extreme.astype(jnp.float32) / ((a + b) + (c + d))
    linear = of_sum + 2.0 * of_squares * y.astype(jnp.float32)
    if counted is not None:
        linear *= counted
    dy = jnp.where(chosen, pixels.spread(share), 0.0) + linear
    return dy.astype(y.dtype), None, None


extremes_and_sums.defvjp(_forward, _backward)

Moments = tuple[Float[AnyArray, " _"], Float[AnyArray, " _"]]  # mean and variance of each channel


class NormWeights(nn.Module):
    """Parameters and running statistics of a batch norm, by the names of nn.BatchNorm."""

    features: int

    def setup(self) -> None:
        shape = (self.features,)
        self.mean = self.variable("batch_stats", "mean", jnp.zeros, shape, jnp.float32)
        self.var = self.variable("batch_stats", "var", jnp.ones, shape, jnp.float32)
        self.scale = self.param("scale", nn.initializers.ones, shape, jnp.float32)
        self.bias = self.param("bias", nn.initializers.zeros, shape, jnp.float32)

    def __call__(self) -> tuple[AnyArray, AnyArray, Moments]:
        """scale, bias, running moments."""
        return self.scale, self.bias, (self.mean.value, self.var.value)

    def take_in(self, moments: Moments) -> None:
        """A batch's moments into the running ones."""
        if not self.is_initializing():
            for running, new in zip((self.mean, self.var), moments, strict=True):
                running.value = MOMENTUM * running.value + (1.0 - MOMENTUM) * new


def moments_of(sums: jax.Array, squares: jax.Array, count: int) -> Moments:
    """Mean and variance from the sums of `count` numbers."""
    mean = sums / count
    return mean, jnp.maximum(0.0, squares / count - lax.square(mean))


def normalised(
    x: Float[Array, "*shape D"], moments: Moments, scale: Float[AnyArray, " D"], bias: Float[AnyArray, " D"]
) -> Float[Array, "*shape D"]:
    """ReLU of the batch norm, in float32 and back."""
    mean, var = moments
    y = (x - mean) * (lax.rsqrt(var + EPSILON) * scale) + bias
    return nn.relu(y).astype(x.dtype)
