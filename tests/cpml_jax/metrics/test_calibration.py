import numpy as np
import pytest
from scipy.special import expit
from sklearn.metrics import brier_score_loss

from cpml_jax.metrics import calibration


@pytest.mark.parametrize("true", [0.4, 1.0, 3.0])
def test_the_temperature_that_made_the_labels_is_recovered(true):
    rng = np.random.default_rng(0)
    margins = rng.normal(0, 4, 20_000)
    labels = rng.random(20_000) < expit(margins / true)
    fitted, note = calibration.fit_temperature(labels, margins)
    assert fitted == pytest.approx(true, rel=0.06) and note is None
    p = calibration.calibrated(margins, fitted)
    np.testing.assert_allclose(p, expit(margins / fitted), rtol=1e-12)
    assert calibration.ece(labels, p) < 0.012 < calibration.ece(labels, expit(margins / true * 4))


def test_validation_without_an_error_fits_nothing_and_the_bounds_say_so():
    fitted, note = calibration.fit_temperature([0, 0, 1, 1], [-3.0, -1.0, 1.0, 2.0])
    assert fitted == 1.0 and "separated without an error" in note
    fitted, note = calibration.fit_temperature([1, 1, 0, 0], [-3.0, -1.0, 1.0, 2.0])
    assert fitted == pytest.approx(20.0, rel=1e-3) and "at its bound" in note


def test_one_class_or_nothing_has_no_temperature():
    assert calibration.fit_temperature([1, 1], [0.1, 2.0]) == (None, "validation split: no real clips")
    assert calibration.fit_temperature([], []) == (None, "validation split: no clips")
    np.testing.assert_allclose(calibration.calibrated([0.0, 2.0], None), [0.5, expit(2.0)])
    assert calibration.ece([], []) is None and calibration.brier([], []) is None
    assert {b["mean"] for b in calibration.reliability_curve([], [])} == {None}


def test_extreme_margins_neither_overflow_nor_leave_the_unit_interval():
    with np.errstate(over="raise"):
        p = calibration.calibrated([-1e4, -800.0, 0.0, 800.0, 1e4], 0.05)
    assert p[0] == 0.0 and p[-1] == 1.0 and (np.diff(p) >= 0).all()


def loop_ece(labels, p, bins):
    """Guo et al., equation 3, as it is written."""
    total = 0.0
    for m in range(bins):
        low, high = m / bins, (m + 1) / bins
        inside = [
            (max(q, 1 - q), (q >= 0.5) == (y == 1))
            for y, q in zip(labels, p, strict=True)
            if low <= max(q, 1 - q) < high or (m == bins - 1 and max(q, 1 - q) == 1.0)
        ]
        if inside:
            confidence, right = np.mean(inside, axis=0)
            total += len(inside) / len(p) * abs(right - confidence)
    return total


@pytest.mark.parametrize("bins", [1, 10, 15])
def test_ece_and_brier_against_the_written_formula_and_scikit_learn(bins):
    rng = np.random.default_rng(bins)
    labels, p = rng.integers(0, 2, 300), rng.random(300)
    p[:3] = 0.0, 1.0, 0.5
    assert calibration.ece(labels, p, bins) == pytest.approx(loop_ece(labels, p, bins))
    assert calibration.brier(labels, p) == pytest.approx(brier_score_loss(labels, p))


def test_the_reliability_curve_counts_every_clip_once():
    labels, p = [0, 1, 1, 0, 1], [0.0, 0.05, 0.95, 0.5, 1.0]
    curve = calibration.reliability_curve(labels, p, bins=10)
    assert [b["count"] for b in curve] == [2, 0, 0, 0, 0, 1, 0, 0, 0, 2]
    assert curve[0]["fakes"] == 0.5 and curve[9]["fakes"] == 1.0 and curve[9]["mean"] == pytest.approx(0.975)
    assert curve[1]["mean"] is None and curve[0]["high"] == pytest.approx(curve[1]["low"])


def test_no_probability_is_surer_than_the_people_of_validation_support():
    lines = [{"label": 0, "identity": str(i // 2), "video": str(i)} for i in range(20)]
    lines += [{"label": 1, "identity": "", "video": str(i)} for i in range(3)]
    people = calibration.people_shown(lines)
    assert people == {0: 10, 1: 3}  # two videos a person; unknown ones are their videos
    low, high = calibration.bounds(people)
    assert (low, high) == (pytest.approx(1 / 12), pytest.approx(1 - 1 / 5))
    p = calibration.calibrated([-900.0, -0.1, 0.1, 900.0], 0.5, (low, high))
    assert p[0] == low and p[-1] == high and (np.diff(p) > 0).all()
    assert calibration.bounds({}) == (0.5, 0.5)  # nobody supports nothing
