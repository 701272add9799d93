"""The binomial tail against SciPy's."""

import pytest
from scipy.stats import binom

from cpml_jax.evaluation.heart_rate import at_least


@pytest.mark.parametrize("chance", [0.05, 0.5])
@pytest.mark.parametrize("trials", [0, 1, 2, 37, 5000])
def test_the_tail_is_scipys(trials, chance):
    for count in {0, 1, trials // 20, trials // 2, trials} & set(range(trials + 1)):
        assert at_least(count, trials, chance) == pytest.approx(binom.sf(count - 1, trials, chance), rel=1e-8)


def test_none_of_none_is_certain():
    assert at_least(0, 0, 0.05) == 1
