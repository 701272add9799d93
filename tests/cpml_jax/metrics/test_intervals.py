import numpy as np
from sklearn import metrics as sk

from cpml_jax.metrics import detection, intervals


def cohort(identities: int, clips: int, seed: int = 0, spread: float = 1.0):
    """Scores in which an identity shifts all of its clips: clips are then far from independent."""
    rng = np.random.default_rng(seed)
    groups = np.repeat(np.arange(identities), clips)
    labels = np.tile(np.arange(clips) % 2, identities)
    shift = rng.normal(size=identities)[groups] * spread
    return labels, shift + labels + 0.1 * rng.normal(size=len(groups)), groups


def test_bootstrap_is_by_identity_and_holds_the_value():
    labels, scores, groups = cohort(20, 10)
    value = detection.auc(labels, scores)
    (low, high), reason = intervals.bootstrap_auc_ci95(labels, scores, groups)
    assert reason is None and low < value < high
    clips = intervals.bootstrap_auc_ci95(labels, scores, np.arange(len(labels)))[0]
    assert high - low > 1.2 * (clips[1] - clips[0])  # resampled clip by clip it would look too certain
    assert [low, high] == intervals.bootstrap_auc_ci95(labels, scores, groups)[0]
    assert [low, high] != intervals.bootstrap_auc_ci95(labels, scores, groups, seed=1)[0]


def test_bootstrap_resamples_give_scikit_learns_auc():
    labels, scores, groups = cohort(7, 4, seed=3)
    scores = np.round(scores, 0)  # ties
    low_high = intervals.bootstrap_auc_ci95(labels, scores, groups, resamples=50, seed=5)[0]
    drawn = np.random.default_rng(5).multinomial(7, np.full(7, 1 / 7), size=50)
    values = [sk.roc_auc_score(labels, scores, sample_weight=times[groups]) for times in drawn]
    np.testing.assert_allclose(low_high, np.percentile(values, (2.5, 97.5)), atol=1e-12)


def test_bootstrap_covers():
    """Over repeated cohorts the 95 % interval holds the population's AUC most of the time."""
    held = 0
    population = detection.auc(*cohort(4000, 4, seed=99)[:2])
    for seed in range(60):
        low, high = intervals.bootstrap_auc_ci95(*cohort(25, 4, seed=seed), resamples=200)[0]
        held += low <= population <= high
    assert held >= 51  # of 57 expected


def test_bootstrap_without_enough_identities_has_no_interval():
    assert intervals.bootstrap_auc_ci95([0, 1], [0.1, 0.9], ["a", "a"]) == (None, "no interval: a single identity")
    # One real among many fakes' identities: most resamples are of one class.
    interval, reason = intervals.bootstrap_auc_ci95([0, 1], [0.1, 0.9], ["a", "b"])
    assert interval is None or reason is None
    assert intervals.bootstrap_auc_ci95([0, 1], [0.1, 0.9], ["a", "b"], resamples=0)[0] is None
