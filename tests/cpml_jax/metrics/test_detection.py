import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from cpml_jax.errors import UserError
from cpml_jax.metrics import detection

# Few distinct scores, so that ties are the rule.
TIED = st.lists(st.tuples(st.integers(0, 1), st.integers(0, 6)), min_size=2, max_size=60).filter(
    lambda pairs: len({label for label, _ in pairs}) == 2
)


def split(pairs):
    labels, scores = np.array(pairs).T
    return labels, scores / 6.0


@settings(max_examples=60, deadline=None)
@given(TIED)
def test_auc_is_the_share_of_pairs_in_order_with_ties_half(pairs):
    labels, scores = split(pairs)
    real, fake = scores[labels == 0], scores[labels == 1]
    expected = (np.sign(fake[:, None] - real[None]) / 2 + 0.5).mean()
    assert detection.auc(labels, scores) == pytest.approx(expected)
    assert detection.average_precision(labels, scores) == pytest.approx(sk.average_precision_score(labels, scores))


@settings(max_examples=60, deadline=None)
@given(TIED)
def test_eer_lies_between_the_two_error_rates_at_its_neighbouring_thresholds(pairs):
    labels, scores = split(pairs)
    rate, threshold = detection.eer(labels, scores)
    cuts = np.append(np.unique(scores), np.inf)
    false_alarms = np.array([(scores[labels == 0] >= c).mean() for c in cuts])
    misses = np.array([(scores[labels == 1] < c).mean() for c in cuts])
    worse = np.maximum(false_alarms, misses).min()
    better = np.minimum(false_alarms, misses).max()
    assert better - 1e-9 <= rate <= worse + 1e-9 and threshold in cuts
    assert rate <= 0.5 + 1e-9 or detection.auc(labels, scores) < 0.75


def test_eer_by_hand():
    labels, scores = [0, 0, 0, 0, 1, 1, 1, 1], [0.1, 0.2, 0.3, 0.8, 0.25, 0.6, 0.7, 0.9]
    assert detection.eer(labels, scores)[0] == pytest.approx(0.25)
    assert detection.eer([0, 1], [0.2, 0.9]) == (0.0, 0.9)


@settings(max_examples=60, deadline=None)
@given(TIED)
def test_best_threshold_has_the_best_balanced_accuracy_and_room_on_both_sides(pairs):
    labels, scores = split(pairs)
    threshold = detection.best_threshold(labels, scores)

    def balanced(cut):
        return ((scores[labels == 1] >= cut).mean() + (scores[labels == 0] < cut).mean()) / 2

    inner = np.unique(scores)[1:]  # a cut outside all scores is worth 0.5: only taken when there is no other
    assert balanced(threshold) == pytest.approx(max([balanced(c) for c in inner], default=0.5))
    assert len(inner) == 0 or threshold not in scores
    assert detection.accuracy(labels, scores, threshold) == pytest.approx(np.mean((scores >= threshold) == labels))


def test_best_threshold_is_not_won_by_the_larger_class():
    labels = np.array([0] * 2 + [1] * 40)
    scores = np.array([0.1, 0.2] + [0.15] * 15 + [0.9] * 25)  # plain accuracy would call nearly all fake
    assert detection.best_threshold(labels, scores) == pytest.approx(0.55)


def test_best_threshold_between_neighbouring_floats_still_parts_them():
    low, high = 0.5, np.nextafter(0.5, 1)
    assert detection.accuracy([0, 1], [low, high], detection.best_threshold([0, 1], [low, high])) == 1.0


@pytest.mark.parametrize(("labels", "reason"), [([], "no clips"), ([0, 0], "no fake clips"), ([1], "no real clips")])
def test_one_class_or_nothing_is_none_with_a_reason(labels, reason):
    scores = np.linspace(0.2, 0.8, len(labels))
    assert detection.undefined_reason(labels) == reason
    assert detection.auc(labels, scores) is None and detection.average_precision(labels, scores) is None
    assert detection.eer(labels, scores) == (None, None) and detection.best_threshold(labels, scores) is None


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_score_that_is_not_finite_names_the_clip(bad):
    with pytest.raises(UserError, match="synthetic/real/c23/007/0"):
        detection.check_scores([0, 1], [0.5, bad], ["other", "synthetic/real/c23/007/0"])
    for function in (detection.auc, detection.average_precision, detection.eer, detection.best_threshold):
        with pytest.raises(UserError, match="number 1"):
            function([0, 1], [0.5, bad])


def brute_tpr(labels, scores, fpr):
    """Every threshold that there is, tried."""
    reals, fakes = scores[labels == 0], scores[labels == 1]
    shares = [0.0]
    for threshold in np.unique(scores):
        if (reals >= threshold).mean() <= fpr:
            shares.append((fakes >= threshold).mean())
    return max(shares)


@pytest.mark.parametrize("digits", [2, 6])  # 2: many ties
@pytest.mark.parametrize("fpr", [0.1, 0.01, 0.001])
def test_tpr_at_fpr_is_the_best_of_every_threshold(digits, fpr):
    rng = np.random.default_rng(digits)
    labels = rng.integers(0, 2, 400)
    scores = np.round(rng.normal(labels * 1.5), digits)
    share, note = detection.tpr_at_fpr(labels, scores, fpr)
    assert share == pytest.approx(brute_tpr(labels, scores, fpr))
    assert (note is not None) == ((labels == 0).sum() < 1 / fpr)  # fewer reals allow no false alarm at all


def test_tpr_at_fpr_of_constant_scores_is_zero_and_of_one_class_is_none():
    assert detection.tpr_at_fpr([0, 1, 1], [0.5, 0.5, 0.5], 0.1)[0] == 0.0
    assert detection.tpr_at_fpr([1, 1], [0.1, 0.2], 0.1) == (None, "no real clips")
    assert detection.rates([1, 1, 0], [0.9, 0.1, 0.6], 0.5) == (0.5, 1.0)
    assert (
        detection.rates([1, 1], [0.9, 0.1], 0.5) == (0.5, None)
        and detection.rates([0, 1], [0.1, 0.2], None) == (None,) * 2
    )
