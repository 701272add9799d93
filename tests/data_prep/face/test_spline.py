"""The smoothing spline against SciPy's."""

import numpy as np
import pytest
from scipy.interpolate import make_smoothing_spline

from data_prep.face.spline import smoothing_spline, solve_banded


@pytest.mark.parametrize("penalty", [1e-9, 3e-5, 1.0])
@pytest.mark.parametrize("count", [5, 50, 300])
def test_it_is_scipys_within_and_beyond_the_times(count, penalty):
    rng = np.random.default_rng(count)
    times = np.cumsum(rng.uniform(0.01, 0.1, count))
    values = rng.normal(size=(count, 7)).cumsum(0)
    at = np.sort(np.r_[times, rng.uniform(times[0] - 0.05, times[-1] + 0.05, 200)])
    expected = make_smoothing_spline(times, values, lam=penalty)(at)
    np.testing.assert_allclose(smoothing_spline(times, values, penalty, at), expected, atol=1e-6 * np.ptp(values))


def test_a_line_stays_a_line_and_a_great_penalty_makes_one():
    times = np.array([0.0, 0.1, 0.15, 0.4, 0.5, 0.9])
    line = (2 + 3 * times)[:, None]
    at = np.array([-0.1, 0.05, 0.3, 1.0])
    np.testing.assert_allclose(smoothing_spline(times, line, 5.0, at)[:, 0], 2 + 3 * at, atol=1e-12)
    bent = line + np.array([0.1, -0.2, 0.3, 0.0, -0.1, 0.2])[:, None]
    np.testing.assert_allclose(
        smoothing_spline(times, bent, 1e6, at)[:, 0], np.polyval(np.polyfit(times, bent[:, 0], 1), at), atol=1e-5
    )


@pytest.mark.parametrize("count", [1, 2, 3, 40])
def test_five_diagonals(count):
    rng = np.random.default_rng(count)
    first, second = rng.normal(size=max(0, count - 1)), rng.normal(size=max(0, count - 2))
    matrix = np.zeros((count, count))
    matrix[range(count - 1), range(1, count)] = first
    matrix[range(count - 2), range(2, count)] = second
    matrix = matrix + matrix.T
    diagonal = abs(matrix).sum(axis=0) + rng.uniform(0.1, 1, count)  # so that it is positive definite
    right = rng.normal(size=(count, 3))
    expected = np.linalg.solve(matrix + np.diag(diagonal), right)
    np.testing.assert_allclose(solve_banded(diagonal, first, second, right), expected, atol=1e-10)
