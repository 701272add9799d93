import re

import numpy as np
import pytest
from prepared_page import clip, written

from cpml_jax.schema import FRAME_RATE
from data_prep.face import rppg
from data_prep.page import plots


@pytest.mark.parametrize("rate", [48.0, 72.0, 150.0])
def test_the_named_peak_is_the_records_heart_rate(tmp_path, rate):
    wave = np.sin(2 * np.pi * rate / 60 * np.arange(300) / FRAME_RATE)
    wave = (wave / wave.std()).astype(np.float32)
    heart_rate = rppg.heart_rate(wave.astype(float), FRAME_RATE)
    assert abs(heart_rate - rate) < 1
    _, parsed = written(tmp_path, [clip(1, pulse_pos=wave, heart_rate_pos=heart_rate, pulse_truth=wave)])
    assert f"POS {heart_rate:.1f}" in parsed.text and f"truth {heart_rate:.1f}" in parsed.text
    drawn = plots.spectra([plots.Line("pos", "POS", wave)])
    points = np.array(re.findall(r"[ML]([\d.]+) ([\d.]+)", drawn.split('class="line pos" d="')[1].split('"')[0]), float)
    marked = float(re.search(r"translate\(([\d.]+)", drawn)[1])
    assert abs(points[np.argmin(points[:, 1]), 0] - marked) < 1.5, "the mark stands on the curve's highest point"


def test_runs_are_first_and_past_the_last():
    assert plots.runs(np.array([1, 1, 0, 1, 0, 0, 1], bool)) == [(0, 2), (3, 4), (6, 7)]
    assert plots.runs(np.zeros(3, bool)) == [] == plots.runs(np.zeros(0, bool))


def test_numbers_have_a_true_minus_and_no_nan():
    assert plots.number(-1.25, ".1f", " dB") == "\N{MINUS SIGN}1.2 dB"
    assert [plots.number(value) for value in (None, float("nan"), float("-inf"))] == ["none"] * 3


def test_a_trace_stays_inside_its_axes_and_breaks_where_it_is_unknown():
    wave = np.array([0, 9, -9, np.nan, 0, 1], np.float32)
    drawn = plots.traces([plots.Line("pos", "POS", wave)], np.array([1, 1, 0, 0, 1, 1], bool))
    path = re.search('class="line pos" d="([^"]+)"', drawn)[1]
    points = np.array(re.findall(r"[ML]([\d.]+) ([\d.]+)", path), float)
    assert len(points) == 5 and path.count("M") == 2
    assert points[:, 1].min() >= plots.TOP and points[:, 1].max() <= plots.HEIGHT - plots.BOTTOM
    assert drawn.count('class="filled"') == 1, "two filled frames side by side are one stretch"
    flat = plots.spectra([plots.Line("pos", "POS", np.zeros(60, np.float32))])
    assert 'class="line pos"' not in flat and "POS none" in flat
