import cohorts
import numpy as np
import pytest
from sklearn import metrics as sk

from cpml_jax.metrics import detection, intervals
from cpml_jax.metrics.people import units_of


def cohort(groups: int = 12, auc: float = 0.85, seed: int = 0, digits: int | None = None):
    labels, people = cohorts.labels_and_groups(groups)
    scores = cohorts.cohorts(np.random.default_rng(seed), (), groups, auc)
    return labels, scores if digits is None else scores.round(digits), people


def counted(labels, scores, shown):
    """The AUC between units by counting every pair of a fake and a real that share no person."""
    won = pairs = 0.0
    for fake in np.flatnonzero(labels == 1):
        for real in np.flatnonzero(labels == 0):
            if not set(shown[fake]) & set(shown[real]):
                won += 1.0 if scores[fake] > scores[real] else 0.5 if scores[fake] == scores[real] else 0.0
                pairs += 1
    return won / pairs, pairs


@pytest.mark.parametrize("digits", [None, 0])  # 0: many ties
def test_the_auc_between_groups_and_what_each_adds_are_what_counting_gives(digits):
    labels, scores, people = cohort(groups=5, digits=digits)
    shown = [(p,) for p in people]
    one = intervals.influence(labels, scores, units_of(people)[0])
    assert one.auc == pytest.approx(counted(labels, scores, shown)[0])
    assert one.of_units.sum() == pytest.approx(0, abs=1e-12)
    for group in range(5):
        rest = people != group
        without = counted(labels[rest], scores[rest], [(p,) for p in people[rest]])[0]
        assert one.of_units[group] == pytest.approx((one.auc - without) * 3 / 5)  # share of pairs that are left


def test_of_connected_people_too():
    shown = [(k,) for k in range(8)] + [(k, (k + 1) % 8) for k in range(8)]
    labels, scores = np.repeat([0, 1], 8), np.random.default_rng(0).normal(size=16).round(1)
    one = intervals.influence(labels, scores, units_of(shown)[0])
    auc, pairs = counted(labels, scores, shown)
    assert one.auc == pytest.approx(auc)
    rest = np.array([3 not in who for who in shown])
    without, left = counted(labels[rest], scores[rest], [w for w, r in zip(shown, rest, strict=True) if r])
    assert one.of_units[3] == pytest.approx((auc * pairs - without * left - auc * (pairs - left)) / pairs)


def test_an_interval_holds_the_auc_and_is_wider_over_people_than_over_clips():
    labels, scores, people = cohort(groups=20)
    value = detection.auc(labels, scores)
    (low, high), note = intervals.auc_ci95(labels, scores, people)
    assert note is None and low < value < high
    clips = intervals.auc_ci95(labels, scores, np.arange(len(labels)))[0]
    assert high - low > 1.2 * (clips[1] - clips[0])
    four = intervals.auc_ci95(*(np.tile(x, 4) for x in (labels, scores, people)))[0]
    np.testing.assert_allclose(four, [low, high], atol=1e-9)  # clips that repeat tell nothing new
    mirrored = intervals.auc_ci95(labels, -scores, people)[0]
    np.testing.assert_allclose(mirrored, [1 - high, 1 - low], atol=1e-9)


def test_an_auc_of_1_has_a_one_sided_bound_that_falls_with_the_groups():
    for groups, bound in ((6, 0.607), (12, 0.779), (70, 0.958)):
        labels, _, people = cohort(groups)
        (low, high), note = intervals.auc_ci95(labels, labels.astype(float), people)
        assert (round(low, 3), high) == (bound, 1.0)
        assert note == f"AUC of 1: its interval is one-sided, by the rule of three over {groups} groups"
        low, high = intervals.auc_ci95(labels, 1.0 - labels, people)[0]
        assert low == 0.0 and high == pytest.approx(1 - bound, abs=1e-3)
    # One inversion more and the interval is much the same: nothing jumps at the end of the scale.
    scores = labels.astype(float)
    scores[2] = -1.0
    low, high = intervals.auc_ci95(labels, scores, people)[0]
    assert 0.94 < low < sk.roc_auc_score(labels, scores) < high < 1


def test_several_seeds_are_wider_than_their_people_and_equal_ones_add_nothing():
    labels, people = cohorts.labels_and_groups(24)
    same = cohorts.cohorts(np.random.default_rng(1), (), 24, 0.85)
    one = intervals.auc_ci95(labels, same, people)[0]
    np.testing.assert_allclose(intervals.auc_ci95(labels, np.stack([same] * 3, 1), people)[0], one, atol=1e-6)
    spread = np.stack([same + labels * shift for shift in (-0.8, 0.0, 0.8)], axis=1)
    assert np.ptp(intervals.auc_ci95(labels, spread, people)[0]) > 1.5 * np.ptp(one)


def test_without_two_classes_or_three_groups_there_is_no_interval():
    assert intervals.auc_ci95([0, 1], [0.1, 0.9], ["a", "a"]) == (
        None, "no interval: 1 independent group of identities",
    )  # fmt: skip
    assert intervals.auc_ci95([0, 0], [0.1, 0.9], ["a", "b"]) == (None, "no fake clips")
    alone = intervals.auc_ci95([0, 1, 0, 1], [0.1, 0.9, 0.2, 0.3], ["a", "b", "c", "d"])[0]
    assert alone[0] < 1.0 and alone[1] == 1.0
