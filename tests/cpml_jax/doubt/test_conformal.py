"""Conformal p-values: the guarantee on simulated data, ties, groups, too few videos."""

import numpy as np
import pytest
from scipy.stats import binom

from cpml_jax.doubt import conformal

LEVEL, TRIALS = 0.05, 4000


def in_band(false: int, probability: float, trials: int = TRIALS) -> bool:
    """Whether so many happen with a coin of that probability, outside of 1 in 1,000."""
    low, high = binom.ppf([0.0005, 0.9995], trials, probability)
    return bool(low <= false <= high)


@pytest.mark.parametrize("number", [19, 40, 99, 150])
def test_exchangeable_videos_are_undetermined_as_often_as_the_level_says(number):
    """Exactly floor(level (N + 1)) / (N + 1) of the time, without ties; each trial draws its own calibration."""
    rng = np.random.default_rng(number)
    scores = rng.lognormal(size=(TRIALS, number + 1))
    p = [conformal.p_values(row[:1], row[1:])[0] for row in scores]
    expected = np.floor(LEVEL * (number + 1) + 1e-9) / (number + 1)
    assert in_band(int(np.sum(np.array(p) <= LEVEL)), expected) and expected <= LEVEL


def test_a_reference_fitted_to_other_videos_changes_nothing():
    """Split conformal: whatever the score measures, as long as neither side was used to make it."""
    rng = np.random.default_rng(5)
    false = 0
    for _ in range(1000):
        train, held = rng.normal(size=(30, 4)), rng.normal(size=(60, 4))
        distances = np.linalg.norm((held - train.mean(axis=0)) / train.std(axis=0), axis=1)
        false += conformal.p_values(distances[:1], distances[1:])[0] <= LEVEL
    assert in_band(false, np.floor(LEVEL * 60) / 60, 1000)


def hierarchical(rng, groups, members):
    """(members, groups + 1) scores whose group explains nearly all."""
    return rng.normal(size=groups + 1) + 0.1 * rng.normal(size=(members, groups + 1))


def test_videos_of_few_people_break_the_guarantee_and_groups_restore_it():
    """Old code counted videos: 6 groups of 20 videos give false alarms once in seven at a level of 5 %."""
    rng = np.random.default_rng(0)
    as_videos = as_groups = 0
    for _ in range(TRIALS):
        drawn = hierarchical(rng, 6, 20)
        as_videos += conformal.p_values(drawn[:1, 0], drawn[:, 1:].reshape(-1))[0] <= LEVEL
        drawn = hierarchical(rng, 24, 4)
        names = np.tile(np.arange(24), 4).tolist()
        as_groups += conformal.p_values(drawn[:1, 0], drawn[:, 1:].reshape(-1), names)[0] <= LEVEL
    assert as_videos / TRIALS > 2 * LEVEL
    assert as_groups <= binom.ppf(0.9995, TRIALS, LEVEL) and as_groups > 0.2 * LEVEL * TRIALS


def test_a_tie_counts_as_far_and_keeps_the_guarantee():
    assert conformal.p_values([2.0], [1.0, 2.0, 2.0, 3.0])[0] == pytest.approx(4 / 5)
    assert conformal.p_values([1.0], np.ones(99))[0] == 1.0  # all alike: nothing is strange
    rng = np.random.default_rng(1)
    scores = rng.integers(0, 4, size=(TRIALS, 60))
    false = sum(conformal.p_values(row[:1], row[1:])[0] <= 0.3 for row in scores)
    assert false <= binom.ppf(0.9995, TRIALS, 0.3)


@pytest.mark.parametrize("groups", [None, ["a", "a", "b"]])
def test_p_values_are_those_of_the_plain_sum(groups):
    calibration, scores = np.array([0.5, 2.0, 1.0]), [0.4, 0.5, 1.5, 2.5, np.nan]
    weights = [1, 1, 1] if groups is None else [0.5, 0.5, 1]
    count = 3 if groups is None else 2
    for score, p in zip(scores, conformal.p_values(scores, calibration, groups), strict=True):
        plain = sum(w for w, c in zip(weights, calibration, strict=True) if c >= score)
        assert p == pytest.approx((1 + plain) / (count + 1))


def test_too_few_videos_can_leave_nothing_undetermined():
    for level in (0.05, 0.01, 0.5, 1 / 3):
        needed = conformal.fewest(level)
        assert conformal.smallest(needed) <= level < conformal.smallest(needed - 1)
        assert conformal.p_values([np.inf], np.zeros(needed))[0] <= level
        assert conformal.p_values([np.inf], np.zeros(needed - 1))[0] > level
    assert conformal.p_values([9.0], [])[0] == 1.0
