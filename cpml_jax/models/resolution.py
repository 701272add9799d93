"""The rPPG stream's low-resolution views: the learned down-sampler, and the front end for any resolution (PFE)."""

from __future__ import annotations

import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from cpml_jax.models import conv_pool

STEPS = {"half": 1, "quarter": 2}  # times that the down-sampler is applied
PFE_VIEWS = ("downsampled", "all")


def neighbourhoods(x: Float[Array, "N T H W C"]) -> Float[Array, "N T H W C9"]:
    """The 3x3 neighbourhood of every pixel, zeros outside the image: (N, T, H, W, C) -> (N, T, H, W, 9 C)."""
    _, _, h, w, _ = x.shape
    padded = jnp.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1), (0, 0)))
    return jnp.concatenate([padded[:, :, i : i + h, j : j + w] for i in range(3) for j in range(3)], axis=-1)


class PFE(nn.Module):
    """Front end for any resolution (Li et al., AAAI 2023): low-resolution clip -> clip of `size` pixels.

    For every pixel of the size x size grid: the 3x3 neighbourhood of the nearest low-resolution pixel (27 values)
    and the relative cell size (2 values: low-resolution height and width over `size`) through an MLP to 3 channels.
    None of these change inside a low-resolution cell, so the MLP runs once a cell, and its answer is repeated over
    the cell's pixels: 1/4 (half) or 1/16 (quarter) of the work. The reference leaves the MLP undefined: here `depth`
    hidden layers of `width` with ReLU.
    """

    size: int
    width: int = 32
    depth: int = 2
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "N T h w 3"]) -> Float[Array, "N T {self.size} {self.size} 3"]:
        """h and w divide `size`."""
        n, t, h, w, _ = x.shape
        if self.size % h or self.size % w:
            raise ValueError(f"PFE: a {h}x{w} clip does not divide the {self.size}x{self.size} grid")
        cell = jnp.broadcast_to(jnp.asarray([h / self.size, w / self.size], x.dtype), (n, t, h, w, 2))
        y = jnp.concatenate([neighbourhoods(x), cell], axis=-1)
        for layer in range(self.depth):
            y = nn.relu(nn.Dense(self.width, dtype=self.dtype, name=f"hidden_{layer}")(y))
        y = nn.Dense(3, dtype=self.dtype, name="out")(y)
        y = jnp.broadcast_to(y[:, :, :, None, :, None], (n, t, h, self.size // h, w, self.size // w, 3))
        return y.reshape(n, t, self.size, self.size, 3)


class ResolutionViews(nn.Module):
    """One clip -> itself and its low-resolution views, all at full size.

    The down-sampler is conv (1,5,5) 3->3, batch norm, ReLU, max-pool (1,2,2); the same weights serve both steps.

    Attributes:
      size, pfe_width, pfe_depth: of the PFE.
      pfe_views: downsampled: the clip itself is left as it is; all: it passes the PFE as the others do.
    """

    size: int
    pfe_width: int = 32
    pfe_depth: int = 2
    dtype: DTypeLike = jnp.float32
    form: str | None = None
    pfe_views: str = "downsampled"

    @nn.compact
    def __call__(
        self, x: Float[Array, "N T S S 3"], names: tuple[str, ...], *, train: bool
    ) -> Float[Array, "N V T S S 3"]:
        """x: normalised. V = 1 + len(names); the first view is x, or the PFE's of it."""
        down = conv_pool.ConvPool(3, 3, (1, 5, 5), name="down_sampler")
        pfe = PFE(self.size, self.pfe_width, self.pfe_depth, self.dtype, name="pfe")
        views, low = [pfe(x) if self.pfe_views == "all" else x], [x]
        for name in names:
            if name not in STEPS:
                raise ValueError(f"down-sampled view {name!r}; it is one of {tuple(STEPS)}")
            while len(low) <= STEPS[name]:
                low.append(conv_pool.run([down], low[-1], train=train, dtype=self.dtype, form=self.form))
            views.append(pfe(low[STEPS[name]]))
        return jnp.stack(views, axis=1)
