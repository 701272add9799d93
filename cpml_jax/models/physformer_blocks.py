"""PhysFormer's blocks, and the two ways to run them: one after the other, and in a loop.

In a loop they are compiled once, not once each, and for the gradient only what goes from block to block is kept; all
else is computed again. Parameters, statistics and random draws are the same either way, and so is the tree of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import lax
from jax.typing import DTypeLike
from jaxtyping import Array, Float, PRNGKeyArray

from cpml_jax.models.attention import attend
from cpml_jax.models.convolution import Conv3D, DepthwiseConv3D

Keys = tuple[PRNGKeyArray, PRNGKeyArray, PRNGKeyArray]  # of the attention's dropout, and of what each half adds


class Block(nn.Module):
    """Temporal-difference self-attention and a spatio-temporal feed-forward, each with a residual."""

    dim: int
    ff_dim: int
    heads: int
    theta: float
    temperature: float
    dropout: float
    dtype: DTypeLike
    form: str | None

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "N T H W dim"],
        *,
        train: bool,
        views: int = 1,
        keys: Keys | tuple[None, None, None] = (None, None, None),
    ) -> Float[Array, "N T H W dim"]:
        """One block.

        Args:
          x: tokens in their grid.
          train: batch statistics of this batch, and dropout.
          views: rows that follow one another and are of one clip: they share the attention's dropout.
          keys: of the dropout (DropoutKeys); None: the module's own.
        """
        drop = nn.Dropout(self.dropout, deterministic=not train)
        y = nn.LayerNorm(epsilon=1e-6, dtype=self.dtype, name="norm1")(x)
        x = x + drop(self.attention(y, train, views, keys[0]), rng=keys[1])
        y = nn.LayerNorm(epsilon=1e-6, dtype=self.dtype, name="norm2")(x)
        return x + drop(self.feed_forward(y, train), rng=keys[2])

    def norm(self, name: str, train: bool) -> nn.Module:
        return nn.BatchNorm(use_running_average=not train, momentum=0.9, dtype=self.dtype, name=name)

    def dense(self, features: int, name: str, use_bias: bool = False) -> nn.Module:
        """A 1x1x1 convolution."""
        return nn.Dense(features, use_bias=use_bias, dtype=self.dtype, name=name)

    def attention(
        self, x: Float[Array, "N T H W D"], train: bool, views: int, key: PRNGKeyArray | None
    ) -> Float[Array, "N T H W D"]:
        """Temporal-difference self-attention over all tokens."""
        difference = dict(use_bias=False, theta=self.theta, dtype=self.dtype, form=self.form)
        q = self.norm("norm_q", train)(Conv3D(self.dim, (3, 3, 3), name="q", **difference)(x))
        k = self.norm("norm_k", train)(Conv3D(self.dim, (3, 3, 3), name="k", **difference)(x))
        v = self.dense(self.dim, "v")(x)
        n = x.shape[0]
        q, k, v = (a.reshape(n, -1, self.dim) for a in (q, k, v))
        keep, share = None, 1.0 - self.dropout if train else 1.0
        if share < 1.0:
            # For each clip and head; a clip's views share theirs, so that CQSL does not compare two masks. A step of
            # configs/synthetic.py (L = 32) takes 244 ms on one core with these or with one mask for all; a full-size
            # block (L = 640, two clips of two views, forward and gradient) 241 ms, 35 of them for these.
            shape = (n // views, self.heads, q.shape[1], q.shape[1])
            keep = jax.random.bernoulli(self.make_rng("dropout") if key is None else key, share, shape)
        y = attend(q, k, v, keep, heads=self.heads, temperature=self.temperature, kept_share=share)
        return self.dense(self.dim, "proj", use_bias=True)(y).reshape(x.shape)

    def feed_forward(self, x: Float[Array, "N T H W D"], train: bool) -> Float[Array, "N T H W D"]:
        """Spatio-temporal feed-forward."""
        x = nn.elu(self.norm("norm_ff1", train)(self.dense(self.ff_dim, "ff1")(x)))
        x = DepthwiseConv3D((3, 3, 3), self.dtype, self.form, name="depthwise")(x)
        x = nn.elu(self.norm("norm_depthwise", train)(x))
        return self.norm("norm_ff2", train)(self.dense(self.dim, "ff2")(x))


class _TwoKeys(nn.Module):
    @nn.compact
    def __call__(self) -> tuple[PRNGKeyArray, PRNGKeyArray]:
        return self.make_rng("dropout"), self.make_rng("dropout")


class DropoutKeys(nn.Module):
    """The keys that a Block of the same name draws by itself: a key follows from the names around it."""

    @nn.compact
    def __call__(self) -> Keys:
        return self.make_rng("dropout"), *_TwoKeys(name="Dropout_0")()


def run_in_turn(
    parent: nn.Module, names: Sequence[str], block: Block, x: jax.Array, *, train: bool, views: int
) -> list[jax.Array]:
    """What comes out of each block.

    Args:
      parent: the module, in a compact method of which this is called, that has the blocks.
      names: of the blocks.
      block: with the attributes of all of them, bound to nothing.
      x, train, views: see Block.
    """
    after = []
    for name in names:
        x = block.clone(parent=parent, name=name)(x, train=train, views=views)
        after.append(x)
    return after


def run_in_loop(
    parent: nn.Module, names: Sequence[str], block: Block, x: jax.Array, *, train: bool, views: int
) -> list[jax.Array]:
    """The same as run_in_turn, of blocks whose variables are there."""

    def stacked(trees: Sequence[Any]) -> Any:
        return jax.tree.map(lambda *leaves: jnp.stack(leaves), *trees)

    variables = {kind: stacked([tree[name] for name in names]) for kind, tree in parent.variables.items()}
    keys = stacked([DropoutKeys(name=name)() for name in names]) if train and block.dropout else (None, None, None)

    def step(x: jax.Array, given: tuple[Any, Any]) -> tuple[jax.Array, tuple[jax.Array, Any]]:
        variables, keys = given
        # apply returns a tuple only with mutable collections.
        y: Any = block.apply(
            variables, x, train=train, views=views, keys=keys, mutable=["batch_stats"] if train else False
        )
        y, changed = y if train else (y, {})
        return y, (y, changed)

    _, (after, changed) = lax.scan(jax.checkpoint(step, prevent_cse=False), x, (variables, keys))
    for kind, tree in changed.items():
        for i, name in enumerate(names):
            parent.put_variable(kind, name, jax.tree.map(lambda leaf, i=i: leaf[i], tree))
    return [after[i] for i in range(len(names))]
