"""Which real-fake pairs of a batch the push term of CQSL takes apart: weights (B, B), row a real clip, column a fake.

Weights of a matrix over the global batch, and not indices: the step is the same on one device and on many.
"""

from __future__ import annotations

from collections.abc import Mapping

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Num

from cpml_jax import signal
from cpml_jax.arrays import AnyArray
from cpml_jax.schema import FAKE, REAL

PUSH_PAIRS = ("matched", "all")  # loss.push_pairs
KEEP_ALL = 1.0  # loss.push_skip_matching that leaves no fake out: no |rho| is above 1


def push_pairs(batch: Mapping[str, AnyArray], which: str, skip_matching: float = KEEP_ALL) -> Float[Array, "B B"]:
    """The weight of every pair in the push.

    Args:
      batch: schema.BATCH; of `pair`, `pulse` and `valid` only what the settings need.
      which: matched: a fake with its own real, the paper's pairs | all: every real clip with every fake.
      skip_matching: |rho| of a fake's classical trace with its own real's above which no pair has the fake.
    """
    pairs = real_fake_pairs(batch["label"], batch["weight"])
    if which == "all" and skip_matching >= KEEP_ALL:
        return pairs
    own = pairs * same_pair(batch["pair"])
    chosen = own if which == "matched" else pairs
    if skip_matching >= KEEP_ALL:
        return chosen
    return chosen * ~still_matching(batch["pulse"], batch["valid"][:, 0], own, skip_matching)


def real_fake_pairs(label: Int[AnyArray, " B"], weight: Num[AnyArray, " B"]) -> Float[Array, "B B"]:
    """1 where the row is a real clip and the column a fake, 0 elsewhere and for rows that pad the batch."""
    weight = jnp.asarray(weight, jnp.float32)
    return (weight * (label == REAL))[:, None] * (weight * (label == FAKE))


def same_pair(pair: Int[AnyArray, " B"]) -> Bool[Array, "B B"]:
    """True where both clips have one number: a real clip and the fakes made from it share theirs."""
    return jnp.asarray(pair)[:, None] == jnp.asarray(pair)


def still_matching(
    trace: Float[AnyArray, "B T"], valid: Bool[AnyArray, "B T"], own: Float[AnyArray, "B B"], threshold: float
) -> Bool[Array, " B"]:
    """Fakes whose classical trace still follows the one of the real video that they were made from.

    Such a forgery kept its target's pulse, and two waves that are to differ would have to leave the truth.

    Args:
      trace: (B, T) classical traces of the best compression.
      valid: (B, T) True where the frame could be measured; a correlation is over the frames valid in both.
      own: (B, B) above 0 where the column is a fake and the row its own real.
      threshold: of |rho|.

    Returns:
      (B,) bool; False for real clips and for fakes whose own real is not in the batch.
    """
    measured = jnp.asarray(valid, jnp.float32)
    rho = signal.pearson(jnp.asarray(trace)[:, None], trace, measured[:, None] * measured)
    return ((jnp.abs(rho) > threshold) & (own > 0)).any(axis=0)
