import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from cpml_jax.metrics import significance


def placement_delong(labels, a, b):
    """DeLong, DeLong & Clarke-Pearson (1988) by counting every pair: variance of the difference of two AUCs."""
    labels = np.asarray(labels)
    v10, v01, aucs = [], [], []
    for scores in (np.asarray(a), np.asarray(b)):
        fakes, reals = scores[labels == 1], scores[labels == 0]
        won = np.array([[1.0 if x > y else 0.5 if x == y else 0.0 for y in reals] for x in fakes])
        v10.append(won.mean(axis=1))
        v01.append(won.mean(axis=0))
        aucs.append(won.mean())
    s = np.cov(v10) / len(v10[0]) + np.cov(v01) / len(v01[0])
    return aucs, s[0, 0] + s[1, 1] - 2 * s[0, 1]


def sample(rng, reals=15, fakes=22, gain=1.0, digits=None):
    labels = np.repeat([0, 1], [reals, fakes])
    shared = rng.normal(size=reals + fakes)
    a, b = (labels * g + shared + rng.normal(size=reals + fakes) for g in (1.0, gain))
    return (labels, a, b) if digits is None else (labels, a.round(digits), b.round(digits))


@pytest.mark.parametrize("digits", [None, 0])  # 0: many ties
def test_delong_is_what_counting_every_pair_gives(digits):
    labels, a, b = sample(np.random.default_rng(0), digits=digits)
    answer = significance.delong(labels, a, b)
    (auc_a, auc_b), variance = placement_delong(labels, a, b)
    assert answer["auc_a"] == pytest.approx(auc_a) == pytest.approx(roc_auc_score(labels, a))
    assert answer["auc_b"] == pytest.approx(auc_b) and answer["difference"] == pytest.approx(auc_b - auc_a)
    assert answer["se"] ** 2 == pytest.approx(variance)
    other = significance.delong(labels, b, a)
    assert other["z"] == pytest.approx(-answer["z"]) and other["p"] == pytest.approx(answer["p"])


def test_under_the_null_a_twentieth_is_significant_and_a_true_difference_nearly_always():
    rng = np.random.default_rng(1)
    null = [significance.delong(*sample(rng, 40, 40))["p"] < 0.05 for _ in range(400)]
    assert 8 <= sum(null) <= 36  # binomial(400, 0.05): within 3.7 standard deviations
    strong = [significance.delong(*sample(rng, 40, 40, gain=4.0))["p"] < 0.05 for _ in range(50)]
    assert sum(strong) >= 45


def test_equal_runs_do_not_differ_and_degenerate_ones_say_why():
    labels, a, _ = sample(np.random.default_rng(2))
    for b in (a, 3 * a + 1):
        answer = significance.paired(labels, a, b, np.arange(len(a)))
        assert answer["delong"]["p"] == 1.0 and answer["delong"]["difference"] == 0.0
        assert answer["people"]["p"] == 1.0 and answer["people"]["ci95"] == [0.0, 0.0]
    perfect = significance.delong([0, 0, 1, 1], [0.1, 0.2, 0.8, 0.9], [0.9, 0.8, 0.2, 0.1])
    assert perfect["difference"] == -1.0 and perfect["p"] is None and "no variance" in perfect["note"]
    for labels, reason in (([], "no clips"), ([1, 1], "no real clips"), ([0, 0], "no fake clips")):
        scores = np.linspace(0.1, 0.9, len(labels))
        answer = significance.paired(labels, scores, scores, ["a"] * len(labels))
        for test in answer.values():
            assert test["p"] is None and test["note"] == reason
    assert significance.delong([0, 1], [0.1, 0.9], [0.3, 0.2])["note"] == "a class has a single clip"
    answer = significance.difference([0, 1], [0.1, 0.9], [0.3, 0.2], ["a", "a"])
    assert answer["difference"] == -1.0 and answer["p"] is None and "1 independent group" in answer["note"]


def test_the_difference_is_over_people():
    rng = np.random.default_rng(3)
    labels, a, b = sample(rng, 20, 20, gain=3.0)
    people = np.arange(40)
    answer = significance.difference(labels, a, b, people)
    assert answer["ci95"][0] <= answer["difference"] <= answer["ci95"][1] and answer["p"] < 0.05
    assert answer["difference"] == pytest.approx(roc_auc_score(labels, b) - roc_auc_score(labels, a))
    other = significance.difference(labels, b, a, people)
    assert other["difference"] == -answer["difference"] and other["p"] == pytest.approx(answer["p"])
    # Where every clip is a person of its own it is DeLong's test, but for the few degrees of freedom.
    assert significance.delong(labels, a, b)["p"] == pytest.approx(answer["p"], abs=0.02)
    # Every clip four times, as clips of one person: nothing was learned, so nothing gets narrower. DeLong's does.
    four = [np.tile(x, 4) for x in (labels, a, b, people)]
    np.testing.assert_allclose(significance.difference(*four)["ci95"], answer["ci95"], atol=1e-9)
    assert significance.delong(*four[:3])["se"] < 0.6 * significance.delong(labels, a, b)["se"]


def test_seeds_vary_too_and_a_single_one_has_the_spread_of_the_others():
    labels, a, b = sample(np.random.default_rng(4), 40, 40, gain=1.5)
    people = np.arange(80)
    spread = np.stack([b + labels * shift for shift in (-0.5, 0.0, 0.5)], axis=1)
    three = significance.difference(labels, np.stack([a] * 3, axis=1), spread, people)
    single = significance.difference(labels, a, b, people)
    assert np.ptp(three["ci95"]) > 1.3 * np.ptp(single["ci95"]) and three["p"] > single["p"]
    assert np.ptp(significance.difference(labels, a, spread, people)["ci95"]) > np.ptp(three["ci95"])


def test_two_perfect_runs_cannot_be_told_apart():
    labels = np.tile([0, 1], 12)
    answer = significance.difference(labels, labels * 0.5, labels * 2.0, np.repeat(np.arange(12), 2))
    assert answer["p"] == 1.0 and answer["ci95"] == pytest.approx([-0.221, 0.221], abs=1e-3)
    assert "end of the scale" in answer["note"]


def test_holm_multiplies_the_smallest_by_their_number_and_keeps_the_order():
    assert significance.holm([0.01, None, 0.04, 0.03]) == [pytest.approx(0.03), None, *[pytest.approx(0.06)] * 2]
    assert significance.holm([0.9, 0.8]) == [1.0, 1.0] and significance.holm([None]) == [None]
    assert significance.holm([]) == []
