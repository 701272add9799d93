import numpy as np
import pytest

from cpml_jax.metrics import detection, method_auc, summary

LABELS = np.array([0, 0, 1, 1, 1, 1])
SCORES = np.array([0.0, 1.0, 2.0, 2.0, 2.0, 0.5])
METHODS = ["real", "real", "a", "a", "a", "b"]


def test_each_method_is_set_against_all_reals_and_counts_alike():
    assert method_auc.by_method(LABELS, SCORES, METHODS) == {"a": 1.0, "b": 0.5}
    assert method_auc.method_mean(LABELS, SCORES, METHODS) == 0.75
    assert detection.auc(LABELS, SCORES) == pytest.approx(0.875)  # pooled, the larger method counts three times
    assert method_auc.method_mean(LABELS[2:], SCORES[2:], METHODS[2:]) is None


@pytest.mark.parametrize("excluded", [(0, 0), (1, 0), (0, 3), (2, 5)])
def test_an_excluded_video_is_a_tie_with_all_others(excluded):
    """Against all pairs, counted one by one."""
    labels = np.concatenate([LABELS, np.zeros(excluded[0], int), np.ones(excluded[1], int)])
    scores = np.concatenate([SCORES, np.full(sum(excluded), np.nan)])
    won = [
        0.5 if np.isnan(r) or np.isnan(f) or r == f else float(f > r)
        for r in scores[labels == 0] for f in scores[labels == 1]
    ]  # fmt: skip
    assert method_auc.excluded_as_chance(LABELS, SCORES, excluded) == pytest.approx(np.mean(won))


def test_figures_without_methods_or_exclusions_have_neither():
    figures = summary.figures(LABELS, SCORES, METHODS, threshold=None, probabilities=LABELS)
    assert figures["auc_by_method"] is figures["auc_method_mean"] is figures["auc_excluded_as_chance"] is None
