"""The band-pass against SciPy's, and what a zero-phase filter must do."""

import numpy as np
import pytest
from scipy import signal

from data_prep.face import butterworth

BAND = (0.6, 4.0)


def filtered(trace, fps, padding):
    return butterworth.filtfilt(trace, *(rate / fps for rate in BAND), padding)


@pytest.mark.parametrize("fps", [12.0, 25.0, 30.0, 60.0])
@pytest.mark.parametrize("length", [1, 2, 20, 128, 900])
def test_it_is_scipys(fps, length):
    trace = 150 + np.random.default_rng(length).normal(size=(2, 3, length)).cumsum(-1)
    sections = signal.butter(2, BAND, btype="bandpass", fs=fps, output="sos")
    padding = min(length - 1, int(fps))
    expected = signal.sosfiltfilt(sections, trace, padlen=padding) if length > 1 else np.zeros_like(trace)
    np.testing.assert_allclose(filtered(trace, fps, padding), expected, rtol=0, atol=1e-9 * np.ptp(trace) + 1e-12)


@pytest.mark.parametrize("low, high", [(0.02, 0.13), (0.001, 0.01), (0.1, 0.45)])
def test_its_coefficients_are_scipys(low, high):
    numerator, denominator = signal.butter(2, (2 * low, 2 * high), btype="bandpass")
    gain, rest = butterworth.denominator(low, high)
    np.testing.assert_allclose([1.0, *rest], denominator, rtol=1e-10)
    np.testing.assert_allclose(gain * np.array([1, 0, -2, 0, 1]), numerator, rtol=1e-8, atol=1e-12)


def test_a_constant_and_a_rate_outside_vanish_and_one_inside_stays_where_it_is():
    times = np.arange(600) / 30
    assert not filtered(np.full(128, 3.7), 30.0, 30).any()
    kept, lost = (filtered(np.sin(2 * np.pi * rate * times), 30.0, 30)[100:-100] for rate in (1.5, 0.1))
    assert np.abs(lost).max() < 0.02
    np.testing.assert_allclose(kept, np.sin(2 * np.pi * 1.5 * times)[100:-100], atol=0.02)


def test_rows_are_filtered_by_themselves_and_left_as_they_were():
    traces = np.random.default_rng(0).normal(size=(4, 128)).astype(np.float32)
    before = traces.copy()
    whole = filtered(traces, 30.0, 30)
    assert whole.dtype == np.float64 and (traces == before).all()
    np.testing.assert_array_equal(whole, [filtered(trace, 30.0, 30) for trace in traces])
