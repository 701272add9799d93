"""Nominal 95 % intervals hold 95 % of the time: on drawn cohorts whose true AUC is known."""

import cohorts
import jaxtyping
import numpy as np
import pytest
from scipy import stats

from cpml_jax.metrics import intervals, significance

REPEATS = 600
ERROR = 100 * np.sqrt(0.95 * 0.05 / REPEATS)  # of a measured coverage in %: 0.9


@pytest.fixture(autouse=True)
def without_checks_of_shapes():
    """Thousands of calls: they would take most of the time."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


def coverage(seed, groups, auc):
    labels, people = cohorts.labels_and_groups(groups)
    drawn = cohorts.cohorts(np.random.default_rng(seed), (REPEATS,), groups, auc)
    found = (intervals.auc_ci95(labels, scores, people)[0] for scores in drawn)
    return 100 * np.mean([low <= auc <= high for low, high in found])


def test_intervals_of_one_run_hold_what_they_promise_from_6_to_48_groups():
    measured = {(groups, auc): coverage(0, groups, auc) for groups in (6, 12, 24, 48) for auc in (0.7, 0.85, 0.95)}
    assert min(measured.values()) >= 93 - ERROR and max(measured.values()) <= 97 + ERROR, measured
    assert 94.5 <= np.mean(list(measured.values())) <= 96.5


def test_people_who_are_all_connected_are_left_out_one_by_one():
    """Celeb-DF: each person is swapped with four others at random. The second-best interval holds 94 to 98 %."""
    rng, people, auc, held = np.random.default_rng(0), 20, 0.85, []
    for _ in range(300):
        reals = [(person,) for person in range(people) for _ in range(3)]
        fakes = [(k, (k + o) % people) for k in range(people) for o in rng.choice(np.arange(1, people), 4, False)]
        face, skin, given = rng.normal(size=(3, people))
        real = [0.6 * face[k] + 0.5 * skin[k] for (k,) in reals] + 0.5 * rng.normal(size=len(reals))
        fake = [0.6 * face[k] + 0.4 * given[j] for k, j in fakes] + 0.5 * rng.normal(size=len(fakes))
        fake = fake + stats.norm.ppf(auc) * np.sqrt(0.36 + 0.25 + 0.25 + 0.36 + 0.16 + 0.25)
        labels = np.repeat([0, 1], [len(reals), len(fakes)])
        (low, high), note = intervals.auc_ci95(labels, np.concatenate([real, fake]), [*reals, *fakes])
        assert "20 identities" in note
        held.append(low <= auc <= high)
    assert 0.92 <= np.mean(held) <= 0.99


@pytest.mark.parametrize("seeds", [3, 5])
def test_methods_that_do_not_differ_are_called_different_in_a_twentieth_at_most(seeds):
    """Over people and training runs together: over people alone, a quarter of such methods would differ."""
    repeats, groups = 300, 24
    labels, people = cohorts.labels_and_groups(groups)
    drawn = cohorts.runs(np.random.default_rng(seeds), repeats, groups, seeds, auc=0.85, spread=0.3)
    p = np.array([significance.difference(labels, a, b, people)["p"] for a, b in drawn])
    assert 0.02 <= np.mean(p < 0.05) <= 0.07
    # Of one run each, which is what an interval over people alone says of a method.
    single = [significance.difference(labels, a[:, 0], b[:, 0], people)["p"] for a, b in drawn[:150]]
    assert np.mean(np.array(single) < 0.05) > 0.15


def test_two_runs_that_do_not_differ_are_called_different_in_a_twentieth():
    labels, people = cohorts.labels_and_groups(24)
    drawn = cohorts.runs(np.random.default_rng(9), 600, 24, 1, auc=0.85, spread=0.0)[..., 0]
    p = np.array([significance.difference(labels, a, b, people)["p"] for a, b in drawn])
    assert 0.03 <= np.mean(p < 0.05) <= 0.07
