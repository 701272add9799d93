import numpy as np
import pytest
import tiny
from prepared_page import clip


@pytest.fixture
def three():
    invalid = np.ones(tiny.NUM_FRAMES, bool)
    invalid[3:5] = False
    return [
        clip(1, track_quality=0.99, snr_pos=3.0),
        clip(2, track_quality=0.50, snr_pos=9.0),
        clip(3, track_quality=0.9899, snr_pos=9.0, valid=invalid),
    ]
