import math

import numpy as np
import pytest

from cpml_jax.errors import UserError
from cpml_jax.metrics import detection
from cpml_jax.metrics.pair_loss import pair_loss

LABELS = np.array([0] * 6 + [1] * 12)


def margins(gap, spread, seed=0):
    return gap * (LABELS - 0.5) + spread * np.random.default_rng(seed).normal(size=len(LABELS))


def test_it_is_the_mean_over_all_pairs():
    scores = margins(1.0, 1.0)
    scaled = scores / scores.std()
    pairs = [math.log1p(math.exp(r - f)) for r in scaled[LABELS == 0] for f in scaled[LABELS == 1]]
    assert pair_loss(LABELS, scores) == pytest.approx(np.mean(pairs))


def test_it_tells_steps_apart_whose_auc_is_1():
    """As validation did from step 80 on: AUC 1, and cross-entropies of 2e-11 and 4e-11 that were to break the tie."""
    steps = [margins(24.0, spread) for spread in (1.0, 0.5, 0.1)]
    assert {detection.auc(LABELS, step) for step in steps} == {1.0}
    losses = [pair_loss(LABELS, step) for step in steps]
    assert losses[0] > losses[1] + 1e-4 and losses[1] > losses[2] + 1e-4


@pytest.mark.parametrize("scale", [1e-3, 1.0, 50.0])
def test_confidence_alone_changes_nothing(scale):
    scores = margins(2.0, 1.0)
    assert pair_loss(LABELS, scale * scores + 3.0) == pytest.approx(pair_loss(LABELS, scores))


def test_ends():
    assert pair_loss(LABELS, np.ones(len(LABELS))) == pytest.approx(math.log(2))
    balanced = np.array([0, 0, 1, 1])
    assert pair_loss(balanced, [-1.0, -1.0, 1.0, 1.0]) == pytest.approx(math.log1p(math.exp(-2)))
    assert pair_loss(balanced, [1.0, 1.0, -1.0, -1.0]) > math.log(2)
    assert pair_loss([0, 0], [1.0, 2.0]) is None and pair_loss([], []) is None
    with pytest.raises(UserError, match="is nan"):
        pair_loss([0, 1], [float("nan"), 1.0])
