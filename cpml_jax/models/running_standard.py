"""Numbers standardised by what training has seen so far."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

_EPSILON = 1e-5  # of a variance: numbers that hardly differ between clips stay small
_SLOWEST = 0.01  # share of a batch in the statistics, once they have settled


class RunningStandard(nn.Module):
    """Each number less its mean, over its standard deviation, both of all batches that training has seen.

    Training uses the same statistics as evaluation, not the batch's: a batch holds some 8 clips of 4 people. The first
    100 batches count equally, so that the statistics of features that do not change are right after a few; later ones
    each count _SLOWEST, so that those of features that do change follow. No gradient goes through them.
    """

    @nn.compact
    def __call__(self, x: Float[Array, "N F"], *, train: bool) -> Float[Array, "N F"]:
        """x: float32. With train and "batch_stats" mutable the statistics take x in before they are used."""
        shape = x.shape[-1:]
        mean = self.variable("batch_stats", "mean", jnp.zeros, shape, jnp.float32)
        var = self.variable("batch_stats", "var", jnp.ones, shape, jnp.float32)
        batches = self.variable("batch_stats", "batches", jnp.zeros, (), jnp.float32)
        if train and self.is_mutable_collection("batch_stats") and not self.is_initializing():
            seen = jax.lax.stop_gradient(x)
            share = jnp.maximum(1.0 / (batches.value + 1.0), _SLOWEST)
            moved = seen.mean(axis=0) - mean.value
            # Of the pooled batches: the mean of their variances, and the variance of their means.
            var.value = (1.0 - share) * (var.value + share * moved**2) + share * seen.var(axis=0)
            mean.value += share * moved
            batches.value += 1.0
        return (x - mean.value) * jax.lax.rsqrt(var.value + _EPSILON)
