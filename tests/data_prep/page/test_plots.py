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
