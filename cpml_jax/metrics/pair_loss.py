"""The measure that chooses a training step: a smooth stand-in for the AUC that does not saturate."""

from __future__ import annotations

import numpy as np

from cpml_jax.metrics.detection import Labels, Scores, check_scores, undefined_reason
from cpml_jax.schema import FAKE, REAL


def pair_loss(labels: Labels, margins: Scores) -> float | None:
    """Mean over all pairs of a fake and a real video of softplus((margin of real - margin of fake) / s).

    Lower is better; s is the standard deviation of all margins. The AUC counts the pairs in the wrong order, so that it
    is 1 from the first step on that has none, and cannot tell a hair's breadth from a clear gap; this counts how far
    each pair is apart. Dividing by s leaves out how confident the model is: a cross-entropy falls with the margins'
    size alone (at an AUC of 1 it reaches 1e-11), this depends on the gap between the classes relative to the spread
    within them. With balanced classes it falls from log 2 (no difference) towards softplus(-2) = 0.127 (no spread
    within a class), and never underflows, as it would if s were the spread within the classes alone.

    Args:
      labels: (M,) 0 real, 1 fake.
      margins: (M,) logit of fake minus logit of real.

    Returns:
      The loss in [0, inf); log 2 where all margins are equal; None for less than two classes.

    Raises:
      UserError: a margin is not finite.
    """
    labels, margins = check_scores(labels, margins)
    if undefined_reason(labels):
        return None
    spread = float(margins.std())
    scaled = margins / spread if spread > 0 else np.zeros_like(margins)
    fakes, reals = scaled[labels == FAKE], scaled[labels == REAL]
    # One real at a time: all pairs at once are too many for a large validation split.
    return float(np.mean([np.logaddexp(0.0, real - fakes).mean() for real in reals]))
